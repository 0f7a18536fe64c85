//! What cannot be seen or done is said, and never taken for gone or done.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Forge, Run};
use crate::variables::set;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        what_only_reads_sends_nothing_but_reads,
        a_token_that_only_reads_names_the_missing_scope,
        a_stranger_sees_nothing_gone,
        a_developer_is_told_which_role_is_missing,
        a_wrong_token_says_so,
        no_broken_list_removes_or_makes_anything,
        a_write_that_gitlab_ignores_is_named,
        a_failing_branch_of_the_graph_stops_no_other,
        what_is_no_gitlab_or_an_old_one_is_refused,
    ]
}

const CONFIG: &str = "\
groups: {team: {}, team/sub: {}}
repos:
  team/api: {description: An API, protected_branches: {main: {push_access_level: maintainer}}}
  team/sub/web: {}
";

/// The same, with something new and something no longer declared: what a bad reading could get wrong.
const CHANGED: &str = "\
groups: {team: {}, team/sub: {}}
repos:
  team/api: {description: Another, protected_branches: {dev: {push_access_level: maintainer}}}
  team/sub/web: {}
  team/fresh: {}
";

/// All that a plan can be about: each kind, each way of leaving, rules in both modes.
const RICH: &str = "\
prune: all
rules:
  all: {match: {path: \"**\"}, merge_method: ff}
  later: {match: {path: \"**\"}, mode: report, description: Told only}
groups: {team: {members_policy: exact, members: {rita: owner}, variables: {K: {value: {file: one}}}}, team/sub: {}}
repos:
  team/api: {description: Another, members: {rita: owner}, variables: {\"K:production\": {value: {file: one}}}, \
    protected_branches: {dev: {push_access_level: maintainer}}}
  team/sub/web: {absent: true}
  team/fresh: {}
variables: {K: {value: {file: one}}}
";

/// Whatever is different, wrong or in doubt: as the sandbox saw it, request by request.
fn what_only_reads_sends_nothing_but_reads() {
    let mut record = None;
    let forge = Forge::with(|options| record = options.record.clone());
    let record = record.expect("what is said to a sandbox is recorded");
    set(&forge, "one", "some-value");
    let (id, token) = forge.user("rita", &["read_api"]);
    forge.keep_state_in_gitlab("");
    forge.config(CONFIG);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.member("team", id, 50);
    forge.member("ops", id, 50);
    let (stranger, _) = forge.user("sam", &["api"]);
    forge.member("team", stranger, 30);
    let variable = json!({"key": "K", "value": "set-by-hand"});
    forge.admin.post("projects/team%2Fapi/variables", variable);
    // A run that was killed leaves a lock and something in doubt.
    let killed = forge.start_when(&["apply", "--yes"], |pid| {
        forge.config(&CONFIG.replace("team/sub: {}}", "team/sub: {}, team/new: {}}"));
        forge.arm(json!({"methods": "write", "path": "/groups$", "kill": {"when": "after", "pid": pid}}));
    });
    assert_eq!(killed.wait().code, None);
    forge.config(RICH);
    let said = || std::fs::read_to_string(&record).unwrap();
    let before = said().lines().count();
    let commands: [&[&str]; 12] = [
        &["plan", "--out", "plan.json"],
        &["plan", "--no-secrets"],
        &["plan", "--target", "repo.team/api"],
        &["plan", "--explain", "repo.team/api"],
        &["export"],
        &["export", "--factor", "--out", "exported"],
        &["export", "--group", "team"],
        &["doctor"],
        &["doctor", "--format", "json"],
        &["status"],
        &["ledger", "list"],
        &["state", "pull"],
    ];
    for who in [forge.token(), &token] {
        for command in commands {
            let run = forge.run_as(who, command);
            assert!(matches!(run.code, Some(0 | 1)), "{command:?}: {}", run.all());
            let _ = std::fs::remove_dir_all(forge.dir.path().join("exported"));
        }
        // A plan came about, whatever it could not say.
        std::fs::remove_file(forge.dir.path().join("plan.json")).unwrap();
    }
    let said = said();
    let mut kinds = [0, 0];
    for line in said.lines().skip(before) {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let document = exchange["request"]["query"].as_str().unwrap_or_default();
        let is_query = exchange["path"] == "/api/graphql" && document.trim_start().starts_with("query");
        assert!(exchange["method"] == "GET" || is_query, "{line}");
        kinds[usize::from(is_query)] += 1;
    }
    assert!(kinds[0] > 50 && kinds[1] > 10, "{kinds:?}: little was asked");
}

/// The addresses of a plan's steps that could be done, with one of these actions.
fn steps(run: &Run, actions: &[&str]) -> Vec<String> {
    let plan = run.json();
    let steps = plan["steps"].as_array().unwrap().iter();
    let chosen = steps
        .filter(|step| step.get("blocked").is_none() && actions.contains(&step["action"].as_str().unwrap()));
    chosen
        .map(|step| step["address"].as_str().unwrap().to_owned())
        .collect()
}

fn world(forge: &Forge) -> Value {
    json!([
        forge.admin.get("groups"),
        forge.admin.get("projects?order_by=id"),
        forge.admin.get("projects/team%2Fapi/protected_branches"),
    ])
}

fn a_token_that_only_reads_names_the_missing_scope() {
    let forge = Forge::applied(CONFIG);
    let (id, token) = forge.user("rita", &["read_api"]);
    forge.member("team", id, 50);
    forge.config(CHANGED);
    let before = world(&forge);
    let run = forge
        .run_as(&token, &["apply", "--yes", "--allow", "weaken"])
        .exits(1);
    assert!(
        run.stderr.contains("scope") && run.stderr.contains("api"),
        "{}",
        run.all()
    );
    assert!(run.stdout.contains("0 done"), "{}", run.all());
    assert_eq!(world(&forge), before);
}

fn a_stranger_sees_nothing_gone() {
    let forge = Forge::applied(CONFIG);
    let (_, token) = forge.user("sam", &["api"]);
    let before = (world(&forge), forge.ledger());
    for config in [CONFIG, CHANGED, "groups: {}\nrepos: {}\n"] {
        forge.config(config);
        let plan = forge.run_as(&token, &["plan", "--format", "json"]);
        assert_eq!(plan.code, Some(1), "{}", plan.all());
        assert_eq!(
            steps(&plan, &["create", "delete", "release"]),
            [""; 0],
            "{}",
            plan.all()
        );
        plan.says("team");
        let run = forge.run_as(&token, &["apply", "--yes", "--allow", "weaken,destroy"]);
        assert_eq!(run.code, Some(1), "{}", run.all());
        assert_eq!((world(&forge), forge.ledger()), before);
    }
}

fn a_developer_is_told_which_role_is_missing() {
    let forge = Forge::applied(CONFIG);
    let (id, token) = forge.user("dev", &["api"]);
    forge.member("team", id, 30);
    let before = (world(&forge), forge.ledger());
    forge.config(CHANGED);
    let plan = forge.run_as(&token, &["plan", "--format", "json"]);
    assert_eq!(steps(&plan, &["release"]), [""; 0]);
    let run = forge.run_as(&token, &["apply", "--yes", "--allow", "weaken"]);
    let run = run.exits(1).says("needs to be Maintainer");
    assert!(
        forge
            .ledger()
            .iter()
            .all(|entry| before.1.contains(entry) || entry.0 == "repo.team/fresh"),
        "{}",
        run.all()
    );
    assert_eq!(forge.admin.get("projects/team%2Fapi")["description"], "An API");
    assert_eq!(
        forge.admin.get("projects/team%2Fapi/protected_branches"),
        before.0[2]
    );
}

fn a_wrong_token_says_so() {
    let forge = Forge::new();
    forge.config(CONFIG);
    forge
        .run_as("glpat-wrong", &["plan"])
        .exits(1)
        .says("token is not valid")
        .says("Access tokens");
    let mut command = forge.autogit(&["plan"]);
    command.env_remove("AUTOGIT_TOKEN");
    let run = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(
        stderr.contains("{env: AUTOGIT_TOKEN}: the variable is not set"),
        "{stderr}"
    );
    let mut command = forge.autogit(&["plan"]);
    command.env("AUTOGIT_URL", "https://git.example.org");
    let run = command.output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("the token goes only there"));
}

/// Lists cut short, refused or broken: at worst the run fails.
fn no_broken_list_removes_or_makes_anything() {
    let lists = [
        "/descendant_groups$",
        "/groups/[^/]+/projects$",
        "/protected_branches$",
        "^/api/graphql$",
        "^/api/v4/groups/[^/]+$",
    ];
    let faults = [
        json!({"truncate": {"keep": 0}}),
        json!({"truncate": {"keep": 0, "adjust_headers": true}}),
        json!({"truncate": {"keep": 1}}),
        json!({"truncate": {"keep": 1, "adjust_headers": true}}),
        json!({"status": 403}),
        json!({"status": 404}),
        json!({"status": 200, "body": []}),
        json!({"status": 200, "body": {"data": {"projects": {"nodes": []}}}}),
    ];
    let forge = Forge::applied(CONFIG);
    let before = (world(&forge), forge.ledger());
    for path in lists {
        for fault in &faults {
            let mut rule = fault.clone();
            rule["path"] = path.into();
            rule["methods"] = "read".into();
            forge.config(CONFIG);
            forge.arm(rule.clone());
            let run = forge.run(&["apply", "--yes", "--allow", "weaken,destroy"]);
            forge.disarm();
            let case = format!("{rule}: {}", run.all());
            assert_eq!((world(&forge), forge.ledger()), before, "{case}");
        }
    }
}

fn a_write_that_gitlab_ignores_is_named() {
    let forge = Forge::new();
    forge.config(
        "groups: {team: {}}\nrepos: {team/api: {merge_method: ff}, team/web: {merge_method: merge}}\n",
    );
    forge.arm(json!({"methods": "write", "path": "/projects", "ignore": ["merge_method"]}));
    let run = forge.run(&["apply", "--yes"]);
    run.exits(1)
        .says("repo.team/api")
        .says("`merge_method`")
        .says("asked for")
        .shows("created repo.team/web");
    forge.disarm();
    forge
        .run(&["apply", "--yes"])
        .exits(0)
        .shows("changed repo.team/api");
    forge.expect_converged();
}

fn a_failing_branch_of_the_graph_stops_no_other() {
    let forge = Forge::new();
    forge.config(
        "groups: {team: {}, team/sub: {}, crew: {}}\nrepos:\n  team/sub/api: {protected_branches: {main: {push_access_level: no_one}}}\n  \
         crew/web: {protected_branches: {main: {push_access_level: no_one}}}\n",
    );
    forge.arm(json!({"methods": "write", "path": "/groups$", "nth": 3, "status": 400}));
    let run = forge.run(&["apply", "--yes", "--parallelism", "1"]).exits(1);
    let run = run
        .shows("created protected_branch.crew/web:main")
        .shows("created group.team")
        .says("failed to create group.team/sub: ")
        .says("repo.team/sub/api: not done, because group.team/sub was not done");
    assert!(
        run.stderr.contains("protected_branch.team/sub/api:main"),
        "{}",
        run.all()
    );
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
}

fn what_is_no_gitlab_or_an_old_one_is_refused() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let old = json!({"version": "16.11.4", "revision": "0", "kas": {}, "enterprise": false});
    forge.arm(json!({"path": "/(metadata|user)$", "status": 404}));
    forge
        .run(&["plan"])
        .exits(1)
        .says("set `gitlab.url` to GitLab's base address: this is not its API");
    forge.disarm();
    forge.arm(json!({"path": "/metadata$", "status": 200, "body": old}));
    forge.run(&["plan"]).exits(1).says("16.11.4").says("17.0");
}
