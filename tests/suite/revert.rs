//! A run taken back: everything is as it was, and what cannot be is said.

use std::time::Duration;

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Forge, files};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        what_a_run_changed_comes_back,
        with_the_state_in_gitlab_it_does_too,
        what_a_run_made_goes_only_when_that_is_allowed,
        what_took_the_place_of_what_a_run_made_stays,
        what_a_run_took_over_is_let_go,
        a_deleted_repo_is_made_again_without_its_content,
        what_moved_is_moved_back,
        a_secret_is_neither_recorded_nor_brought_back,
        what_was_changed_since_is_said,
        a_killed_run_can_be_taken_back,
        an_earlier_run_is_taken_back_by_its_number,
        a_run_that_is_not_remembered_is_not_taken_back,
        nothing_is_taken_back_unasked,
    ]
}

const BEFORE: &str = r#"
groups: {team: {description: The team}}
repos:
  team/api:
    description: An API
    visibility: private
    topics: [rust]
    container_expiration_policy: {enabled: true, keep_n: 10}
    protected_branches:
      main: {push_access_level: no_one, merge_access_level: maintainer}
      old: {push_access_level: maintainer}
  team/web: {}
"#;

/// Changes, tightens, weakens, prunes and protects.
const AFTER: &str = r#"
groups: {team: {description: Another}}
repos:
  team/api:
    description: The API
    visibility: private
    topics: [go, rust]
    container_expiration_policy: {enabled: false, keep_n: 25}
    protected_branches:
      main: {push_access_level: maintainer, merge_access_level: developer}
      fresh: {push_access_level: no_one}
  team/web: {description: The web}
"#;

const ALL: &str = "weaken,expose,lock-out,destroy";

fn forge(gitlab: bool) -> Forge {
    let forge = Forge::with(|options| options.protection_delay = Duration::from_secs(600));
    if gitlab {
        forge.keep_state_in_gitlab("");
    }
    forge
}

fn apply(forge: &Forge, config: &str) {
    forge.config(config);
    let all = ["apply", "--yes", "--allow-shrink", "--allow", ALL];
    forge.run(&all).exits(0);
}

/// What the configs are about, as it is there.
fn world(forge: &Forge) -> Value {
    let api = forge.admin.get("projects/team%2Fapi");
    let mut rules = forge.admin.get("projects/team%2Fapi/protected_branches");
    for rule in rules.as_array_mut().unwrap() {
        for levels in ["push_access_levels", "merge_access_levels"] {
            let levels = rule[levels].as_array_mut().unwrap();
            levels
                .iter_mut()
                .for_each(|level| *level = level["access_level"].take());
        }
        rule.as_object_mut().unwrap().remove("id");
    }
    rules
        .as_array_mut()
        .unwrap()
        .sort_by_key(|rule| rule["name"].to_string());
    let policy = &api["container_expiration_policy"];
    let web = forge.admin.get("projects/team%2Fweb");
    json!({
        "team": forge.admin.get("groups/team")["description"],
        "api": [&api["description"], &api["visibility"], &api["topics"], &policy["enabled"], &policy["keep_n"]],
        // None and an empty one are the same to GitLab.
        "web": web["description"].as_str().unwrap_or_default(),
        "rules": rules,
    })
}

/// Applies, changes, and takes the change back, and that back, too.
fn there_and_back(gitlab: bool) {
    let forge = forge(gitlab);
    apply(&forge, BEFORE);
    let (before, ledger) = (world(&forge), forge.ledger());
    apply(&forge, AFTER);
    let after = world(&forge);
    assert_ne!(before, after);
    // What weakens is held back as in any plan.
    let held = forge.run(&["revert", "--yes", "--max-changes", "1"]).exits(1);
    held.says("--max-changes is 1");
    assert_eq!(world(&forge), after);
    let back = forge.run(&["revert", "--yes", "--allow", ALL]).exits(0);
    back.shows("Taking back run")
        .shows("as it was before the run")
        .says("the config still asks for what the run did to");
    assert_eq!(world(&forge), before);
    assert_eq!(forge.ledger(), ledger);
    // The config that was there before has nothing left to do, and the later one all of it.
    forge.config(BEFORE);
    forge.expect_converged();
    forge
        .run(&["revert", "--yes", "--allow", ALL])
        .exits(0)
        .shows("`autogit revert`");
    assert_eq!(world(&forge), after);
    forge.config(AFTER);
    forge.expect_converged();
}

fn what_a_run_changed_comes_back() {
    there_and_back(false);
}

fn with_the_state_in_gitlab_it_does_too() {
    there_and_back(true);
}

fn what_a_run_made_goes_only_when_that_is_allowed() {
    let forge = forge(false);
    apply(&forge, "groups: {team: {}}\n");
    apply(
        &forge,
        "groups: {team: {}}\nrepos: {team/api: {protected_branches: {main: {push_access_level: no_one}}}}\n",
    );
    let plan = forge.run(&["revert", "--yes"]).exits(3);
    plan.shows("- repo.team/api")
        .says("held back")
        .says("the config still asks for what the run did to 1 resource");
    assert!(forge.admin.has("projects/team%2Fapi"));
    forge
        .run(&["revert", "--yes", "--allow", "destroy"])
        .exits(0)
        .shows("deleted repo.team/api");
    assert!(!forge.admin.has("projects/team%2Fapi"));
    assert!(forge.admin.has("groups/team"));
    forge.config("groups: {team: {}}\n");
    forge.expect_converged();
}

fn what_took_the_place_of_what_a_run_made_stays() {
    let forge = forge(false);
    apply(&forge, "groups: {team: {}}\nrepos: {}\n");
    apply(
        &forge,
        "groups: {team: {}}\nrepos: {team/api: {}, team/web: {}}\n",
    );
    let group = forge.admin.get("groups/team")["id"].clone();
    let api = "projects/team%2Fapi";
    forge.admin.send(Method::DELETE, api, None).expect(202);
    let theirs = json!({"path": "api", "namespace_id": group, "description": "By hand"});
    forge.admin.post("projects", theirs);
    let list = forge.run(&["revert", "--list", "--format", "json"]).exits(0);
    let run = list.json()["runs"][0]["number"].to_string();
    let all = ["revert", &run, "--yes", "--allow", ALL];
    for adopted in [false, true] {
        if adopted {
            apply(&forge, "groups: {team: {}}\nrepos: {team/api: {}}\n");
        }
        forge.run(&all).exits(1).says("repo.team/api").says("and stays");
        assert_eq!(forge.admin.get(api)["description"], "By hand");
        assert!(!forge.admin.has("projects/team%2Fweb"));
    }
}

fn what_a_run_took_over_is_let_go() {
    let forge = forge(false);
    let group = json!({"name": "team", "path": "team", "description": "By hand"});
    let group = forge.admin.post("groups", group)["id"].clone();
    let repo = json!({"path": "api", "namespace_id": group});
    forge.admin.post("projects", repo);
    apply(
        &forge,
        "groups: {team: {description: The team}}\nrepos: {team/api: {}}\n",
    );
    assert_eq!(forge.ledger().len(), 2);
    forge
        .run(&["revert", "--yes"])
        .exits(0)
        .shows("changed group.team")
        .shows("released repo.team/api");
    assert_eq!(forge.admin.get("groups/team")["description"], "By hand");
    assert_eq!(forge.ledger(), []);
    assert!(forge.admin.has("projects/team%2Fapi"));
}

fn a_deleted_repo_is_made_again_without_its_content() {
    let forge = forge(false);
    apply(&forge, BEFORE);
    let id = forge.admin.get("projects/team%2Fapi")["id"].clone();
    apply(
        &forge,
        "groups: {team: {description: The team}}\nrepos: {team/api: {absent: true}, team/web: {}}\n",
    );
    assert!(!forge.admin.has("projects/team%2Fapi"));
    let run = forge.run(&["revert", "--yes", "--allow", ALL]).exits(0);
    run.says("repo.team/api is made again without its content")
        .says("restore it there");
    let api = forge.admin.get("projects/team%2Fapi");
    assert_ne!(api["id"], id);
    assert_eq!(api["description"], "An API");
    assert_eq!(api["container_expiration_policy"]["keep_n"], 10);
}

fn a_secret_is_neither_recorded_nor_brought_back() {
    for gitlab in [false, true] {
        let forge = forge(gitlab);
        let secret = |value: &str| std::fs::write(forge.dir.path().join("secret"), value).unwrap();
        let variables = |variables: &str| {
            format!("groups: {{team: {{}}}}\nrepos: {{team/api: {{variables: {{{variables}}}}}}}\n")
        };
        secret("canary-one");
        apply(
            &forge,
            &variables("KEEP: {value: {file: secret}, protected: false}, GONE: {value: {file: secret}}"),
        );
        secret("canary-two");
        apply(
            &forge,
            &variables("KEEP: {value: {file: secret}, protected: true}"),
        );
        let run = forge.run(&["revert", "--yes", "--allow", ALL]).exits(0);
        run.says("`value` of repo_variable.team/api:KEEP stays as it is: it is secret")
            .says("repo_variable.team/api:GONE is not made again: its value is secret");
        let kept = forge.admin.get("projects/team%2Fapi/variables/KEEP");
        assert_eq!(kept["protected"], false);
        assert_eq!(kept["value"], "canary-two");
        assert!(!forge.admin.has("projects/team%2Fapi/variables/GONE"));
        let mut state = forge.document().to_string();
        for file in files(forge.dir.path())
            .iter()
            .filter(|file| !file.ends_with("secret"))
        {
            state += &String::from_utf8_lossy(&std::fs::read(file).unwrap());
        }
        assert!(state.contains("protected"), "nothing was recorded: {state}");
        assert!(!state.contains("canary"), "{state}");
    }
}

fn what_moved_is_moved_back() {
    let forge = forge(false);
    apply(
        &forge,
        "groups: {old: {}}\nrepos: {old/api: {protected_branches: {main: {push_access_level: no_one}}}}\n",
    );
    let id = forge.admin.get("projects/old%2Fapi")["id"].clone();
    apply(
        &forge,
        "groups: {new: {moved_from: old}}\nrepos: {new/api: {description: Moved, protected_branches: {main: {push_access_level: \
         maintainer}}}}\n",
    );
    let run = forge.run(&["revert", "--yes", "--allow", ALL]).exits(0);
    run.says("the config still asks for");
    let api = forge.admin.get("projects/old%2Fapi");
    let description = api["description"].as_str().unwrap_or_default();
    assert_eq!((&api["id"], description), (&id, ""));
    forge.config(
        "groups: {old: {}}\nrepos: {old/api: {protected_branches: {main: {push_access_level: no_one}}}}\n",
    );
    forge.expect_converged();
}

fn what_was_changed_since_is_said() {
    let forge = forge(false);
    apply(&forge, BEFORE);
    apply(&forge, AFTER);
    forge
        .admin
        .put("projects/team%2Fapi", json!({"description": "Mine"}));
    let run = forge.run(&["revert", "--yes", "--allow", ALL]).exits(0);
    run.says("`description` of repo.team/api was changed again since")
        .shows("Mine → \"An API\"");
    assert_eq!(forge.admin.get("projects/team%2Fapi")["description"], "An API");
}

fn a_killed_run_can_be_taken_back() {
    for gitlab in [false, true] {
        let forge = forge(gitlab);
        apply(&forge, BEFORE);
        let before = world(&forge);
        forge.config(AFTER);
        let run = forge.start_when(&["apply", "--yes", "--allow", ALL], |pid| {
            let path = "^/api/(v4/(groups|projects)/[^/]*(/protected.*)?|graphql)$";
            let kill = json!({"pid": pid, "when": "after"});
            forge.arm(json!({"methods": "write", "path": path, "nth": 4, "kill": kill}));
        });
        assert_eq!(run.wait().code, None);
        forge.disarm();
        assert_ne!(world(&forge), before);
        if gitlab {
            forge.run(&["unlock", "--force"]).exits(0);
        }
        forge.run(&["revert", "--yes", "--allow", ALL]).exits(0);
        assert_eq!(world(&forge), before);
        forge.config(BEFORE);
        forge.run(&["apply", "--yes"]).exits(0);
        assert_eq!(world(&forge), before);
        forge.expect_converged();
    }
}

fn an_earlier_run_is_taken_back_by_its_number() {
    for gitlab in [false, true] {
        let forge = forge(gitlab);
        for description in ["One", "Two", "Three"] {
            apply(
                &forge,
                &format!("groups: {{team: {{description: {description}}}}}\n"),
            );
        }
        let list = forge
            .run(&["revert", "--list", "--format", "json"])
            .exits(0)
            .json();
        let runs: Vec<u64> = list["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["number"].as_u64().unwrap())
            .collect();
        assert_eq!(runs.len(), 3, "{list:#}");
        assert!(runs.is_sorted_by(|newer, older| newer > older));
        forge
            .run(&["revert", "--list"])
            .exits(0)
            .shows("1 step, 1 can come back; `autogit apply` of");
        forge
            .run(&["revert", "--yes", &runs[1].to_string()])
            .exits(0)
            .says("was changed again since");
        assert_eq!(forge.admin.get("groups/team")["description"], "One");
        forge
            .run(&["revert", "--yes", "--allow", "destroy", &runs[2].to_string()])
            .exits(0);
        assert!(!forge.admin.has("groups/team"));
    }
}

fn a_run_that_is_not_remembered_is_not_taken_back() {
    let forge = forge(false);
    forge.config("groups: {team: {}}\n");
    forge
        .run(&["revert", "--list"])
        .exits(0)
        .shows("No run is remembered");
    forge
        .run(&["revert", "--yes"])
        .exits(1)
        .says("failed to find a run in")
        .says("--list");
    forge.run(&["apply", "--yes"]).exits(0);
    forge
        .run(&["revert", "--yes", "4711"])
        .exits(1)
        .says("failed to find run 4711");
}

fn nothing_is_taken_back_unasked() {
    let forge = forge(false);
    apply(&forge, BEFORE);
    apply(&forge, AFTER);
    let (after, writes) = (world(&forge), forge.writes());
    forge.run(&["revert"]).exits(1).says("there is no terminal");
    assert_eq!((world(&forge), forge.writes()), (after, writes));
    // Somebody else's lock is respected.
    let fault = forge.arm(json!({"methods": "write", "nth": 1, "latency_ms": 600_000}));
    let first = forge.start(&["revert", "--yes", "--allow", ALL]);
    forge.wait_for(fault);
    forge
        .run(&["apply", "--yes"])
        .exits(1)
        .says("locked by `autogit revert`");
    first.signal("KILL");
    first.wait();
    forge
        .admin
        .send(Method::DELETE, "/-/sandbox/faults", None)
        .expect(204);
    // It may have done something; a run that began nothing is none.
    let list = forge
        .run(&["revert", "--list"])
        .exits(0)
        .shows("`autogit apply` of");
    assert_eq!(
        list.stdout.matches("`autogit revert`").count(),
        1,
        "{}",
        list.stdout
    );
}
