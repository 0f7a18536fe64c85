//! What is kept between runs and while one goes on: the lock, saved plans, and what an interrupt leaves.

use std::os::unix::fs::PermissionsExt;

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Forge, Running, files};
use crate::variables::{self, GROUP, REPO, add, all, set};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        of_two_applies_one_runs_and_the_other_says_who_holds_the_lock,
        a_saved_plan_is_applied_as_reviewed,
        a_saved_plan_is_stale_when_what_it_touches_moved,
        a_saved_plan_is_not_stale_when_something_else_moved,
        a_saved_plan_replaces_no_secret_that_it_did_not_see,
        where_no_state_tells_no_secret_is_replaced,
        only_the_owner_can_read_what_is_kept,
        a_run_that_failed_for_good_still_owns_what_it_made,
        an_interrupt_finishes_what_is_in_flight,
        a_second_interrupt_stops_at_once,
        forgetting_leaves_things_as_they_are,
    ]
}

const CONFIG: &str = "groups: {team: {}}\nrepos: {team/api: {}, team/web: {}}\n";

/// A run that is held at its first write for longer than any test takes.
fn held(forge: &Forge, args: &[&str]) -> Running {
    let fault = forge.arm(json!({"methods": "write", "nth": 1, "latency_ms": 600_000}));
    let running = forge.start(args);
    forge.wait_for(fault);
    running
}

fn of_two_applies_one_runs_and_the_other_says_who_holds_the_lock() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let first = held(&forge, &["apply", "--yes"]);
    let holder = format!("process {}", first.id());
    forge
        .run(&["apply", "--yes"])
        .exits(1)
        .says("locked by `autogit apply`")
        .says(&holder);
    forge.run(&["unlock"]).exits(1).says(&holder);
    forge.run(&["plan", "--detailed-exitcode"]).exits(2);
    forge.run(&["status"]).exits(0).shows(&holder);
    first.signal("KILL");
    assert_eq!(first.wait().code, None);
    forge.run(&["unlock"]).exits(0).shows("Cleared the lock");
    forge.run(&["unlock"]).exits(0).shows("Nothing is locked");
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
}

/// A forge with a saved plan that updates, creates and deletes.
fn planned() -> Forge {
    let forge = Forge::applied(
        "groups: {team: {}}\nrepos: {team/api: {description: Old, protected_branches: {main: {push_access_level: maintainer}, \
         old: {push_access_level: maintainer}}}, team/other: {}}\n",
    );
    forge.config(
        "groups: {team: {}}\nrepos: {team/api: {description: New, protected_branches: {main: {push_access_level: no_one}}}, \
         team/other: {}, team/fresh: {}}\n",
    );
    forge
        .run(&["plan", "--out", "plan.json"])
        .exits(0)
        .says("Saved the plan");
    forge
}

const API: &str = "projects/team%2Fapi";

fn a_saved_plan_is_applied_as_reviewed() {
    let forge = planned();
    // What the config says by now does not matter.
    forge.config("groups: {team: {description: Later}}\n");
    forge.run(&["apply", "plan.json"]).exits(0).shows("4 done");
    assert_eq!(forge.admin.get(API)["description"], "New");
    assert!(forge.admin.has("projects/team%2Ffresh"));
    assert!(!forge.admin.has(&format!("{API}/protected_branches/old")));
    assert_eq!(forge.admin.get("groups/team")["description"], "");
    forge.run(&["apply", "plan.json"]).exits(1).says("stale");
}

fn a_saved_plan_is_stale_when_what_it_touches_moved() {
    type Moves = fn(&Forge);
    let moves: [(&str, Moves); 5] = [
        ("repo.team/api has another `description`", |forge| {
            forge.admin.put(API, json!({"description": "Mine"}));
        }),
        ("repo.team/fresh is there now", |forge| {
            let group = forge.admin.get("groups/team")["id"].clone();
            forge
                .admin
                .post("projects", json!({"path": "fresh", "namespace_id": group}));
        }),
        ("protected_branch.team/api:main is another one now", |forge| {
            let at = format!("{API}/protected_branches");
            remove(forge, &format!("{at}/main"), 204);
            forge
                .admin
                .post(&at, json!({"name": "main", "push_access_level": 30}));
        }),
        ("protected_branch.team/api:old is not there any more", |forge| {
            remove(forge, &format!("{API}/protected_branches/old"), 204);
        }),
        ("is not there any more", |forge| remove(forge, API, 202)),
    ];
    for (what, moved) in moves {
        let forge = planned();
        moved(&forge);
        let writes = forge.writes();
        forge
            .run(&["apply", "plan.json"])
            .exits(1)
            .says("stale")
            .says(what);
        assert_eq!(forge.writes(), writes, "{what}: a stale plan wrote");
    }
}

fn a_saved_plan_replaces_no_secret_that_it_did_not_see() {
    let forge = variables::forge("at-first");
    let two = "K: {value: {file: one}}, H: {value: {file: one}, masked: true, hidden: true}";
    forge.config(&variables::config(two, two, ""));
    forge.run(&["apply", "--yes"]).exits(0);
    set(&forge, "one", "rotated-value");
    forge.run(&["plan", "--out", "plan.json"]).exits(0);
    let saved = std::fs::read_to_string(forge.dir.path().join("plan.json")).unwrap();
    assert!(
        !saved.contains("at-first") && !saved.contains("rotated"),
        "{saved}"
    );
    forge
        .admin
        .put(&format!("{REPO}/K"), json!({"value": "set-by-hand"}));
    let writes = forge.writes();
    let run = forge.run(&["apply", "plan.json"]).exits(1).says("stale");
    run.says("repo_variable.team/api:K has another `value` now");
    assert_eq!(forge.writes(), writes, "a stale plan wrote");
    assert_eq!(all(&forge, REPO, "value"), [Value::Null, json!("set-by-hand")]);
    // Made anew by hand, the hidden one has the same name, and a value that can be read.
    forge
        .admin
        .put(&format!("{REPO}/K"), json!({"value": "at-first"}));
    remove(&forge, &format!("{GROUP}/H"), 204);
    add(&forge, GROUP, json!({"key": "H", "value": "at-first"}));
    forge
        .run(&["apply", "plan.json"])
        .exits(1)
        .says("group_variable.team:H has another `value` now");
    remove(&forge, &format!("{GROUP}/H"), 204);
    add(
        &forge,
        GROUP,
        json!({"key": "H", "value": "at-first", "masked_and_hidden": true}),
    );
    forge.run(&["apply", "plan.json"]).exits(0);
    assert_eq!(all(&forge, REPO, "value"), [Value::Null, json!("rotated-value")]);
    forge.expect_converged();
}

/// The key of the fingerprints is kept with the state, and the plan that comes before the first state has another one.
fn where_no_state_tells_no_secret_is_replaced() {
    let forge = variables::forge("declared");
    forge.config("groups: {team: {}}\nrepos: {team/api: {}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    forge.keep_state_in_gitlab("");
    add(&forge, REPO, json!({"key": "K", "value": "set-by-hand"}));
    let one = "K: {value: {file: one}}";
    forge.config(&variables::config(one, one, ""));
    forge.run(&["plan", "--out", "plan.json"]).exits(0);
    forge
        .run(&["apply", "plan.json"])
        .exits(1)
        .says("repo_variable.team/api:K may have another `value` by now")
        .says("without a saved plan");
    assert_eq!(all(&forge, REPO, "value"), ["set-by-hand"]);
    // What replaces nothing needs no state to be told by.
    forge.config(&variables::config("", one, ""));
    forge.run(&["plan", "--out", "plan.json"]).exits(0);
    forge.run(&["apply", "plan.json"]).exits(0);
    assert_eq!(all(&forge, GROUP, "value"), ["declared"]);
    // From then on there is a state.
    forge.config(&variables::config(one, one, ""));
    forge.run(&["plan", "--out", "plan.json"]).exits(0);
    forge.run(&["apply", "plan.json"]).exits(0);
    forge.expect_converged();
}

fn remove(forge: &Forge, path: &str, status: u16) {
    forge.admin.send(Method::DELETE, path, None).expect(status);
}

fn a_saved_plan_is_not_stale_when_something_else_moved() {
    let forge = planned();
    forge.admin.put("groups/team", json!({"description": "Mine"}));
    forge.admin.put(API, json!({"merge_method": "ff"}));
    remove(&forge, "projects/team%2Fother", 202);
    forge.run(&["apply", "plan.json"]).exits(0).shows("4 done");
    assert_eq!(forge.admin.get(API)["merge_method"], "ff");
}

fn only_the_owner_can_read_what_is_kept() {
    let forge = planned();
    forge
        .run(&["apply", "plan.json", "-vvv", "--log-file", "log"])
        .exits(0);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&forge.dir.path().join("plan.json")), 0o600);
    assert_eq!(mode(&forge.dir.path().join("log")), 0o600);
    assert_eq!(mode(&forge.state()), 0o700);
    for file in files(&forge.state()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// The reply to a creation is lost, and GitLab says nothing more in that run.
fn a_run_that_failed_for_good_still_owns_what_it_made() {
    let forge = Forge::new();
    forge.config("groups: {team: {}}\n");
    let fault = forge.arm(json!({"methods": "write", "nth": 1, "drop": "after", "latency_ms": 500}));
    let run = forge.start(&["apply", "--yes"]);
    forge.wait_for(fault);
    forge.arm(json!({"path": "^/api/v4/(groups|namespaces)/", "methods": "read", "status": 400}));
    run.wait().exits(1);
    forge.disarm();
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
    assert_eq!(forge.ledger(), [("group.team".to_owned(), "created".to_owned())]);
    assert_eq!(forge.admin.get("groups").as_array().map(Vec::len), Some(1));
}

fn an_interrupt_finishes_what_is_in_flight() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let fault = forge.arm(json!({"methods": "write", "nth": 1, "latency_ms": 2_000}));
    let run = forge.start(&["apply", "--yes"]);
    forge.wait_for(fault);
    run.signal("INT");
    run.wait()
        .exits(130)
        .shows("created group.team")
        .says("finishing")
        .says("interrupted before repo.team/api, repo.team/web");
    assert!(forge.admin.has("groups/team") && !forge.admin.has(API));
    let created = ("group.team".to_owned(), "created".to_owned());
    assert_eq!(forge.ledger(), [created]);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
}

fn a_second_interrupt_stops_at_once() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let run = held(&forge, &["apply", "--yes"]);
    run.signal("INT");
    run.wait_to_say("finishing");
    run.signal("INT");
    run.wait()
        .exits(130)
        .says("group.team: stopped half-way")
        .says("interrupted before repo.team/api, repo.team/web");
    forge.run(&["status"]).exits(0).shows("group.team");
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
}

fn forgetting_leaves_things_as_they_are() {
    let forge = Forge::applied(CONFIG);
    forge
        .run(&["ledger", "forget", "repo.team/none"])
        .exits(1)
        .says("not managed");
    forge.run(&["ledger", "forget", "repo.team/api"]).exits(0);
    let plan = forge.run(&["plan", "--format", "json"]).exits(0).json();
    let steps: Vec<&Value> = plan["steps"].as_array().unwrap().iter().collect();
    assert_eq!(steps.len(), 1, "{plan:#}");
    assert_eq!(
        (&steps[0]["address"], &steps[0]["action"]),
        (&json!("repo.team/api"), &json!("adopt"))
    );
    forge.run(&["apply", "--yes"]).exits(0);
    let adopted = ("repo.team/api".to_owned(), "adopted".to_owned());
    assert!(forge.ledger().contains(&adopted));
}
