//! Killed, cut off or refused at every single write: run again, everything is as if nothing had happened.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::{Forge, in_parallel};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_first_apply_killed_at_any_write_converges,
        a_first_apply_survives_any_lost_reply_or_server_error,
        an_update_killed_at_any_write_converges,
        an_update_survives_any_lost_reply_or_server_error,
        a_rate_limit_is_waited_for,
        with_its_state_in_gitlab_a_first_apply_killed_at_any_write_converges,
        with_its_state_in_gitlab_an_update_killed_at_any_write_converges,
        with_its_state_in_gitlab_a_first_apply_survives_any_lost_reply_or_server_error,
    ]
}

const BEFORE: &str = r#"
groups:
  team: {members: {alice: maintainer, bob: {access_level: guest, expires_at: 2099-01-31}}}
  team/tools: {}
repos:
  team/keep:
    initialize_with_readme: true
    members: {alice: owner}
    protected_branches:
      "@default": {push_access_level: no_one, merge_access_level: maintainer}
      "release/*": {push_access_level: maintainer}
  team/change: {visibility: private, protected_branches: {main: {push_access_level: maintainer, merge_access_level: maintainer}}}
  team/old: {protected_branches: {stable: {push_access_level: no_one}}}
  team/tools/moving: {}
  team/gone: {}
"#;

/// Creates, updates, renames, transfers, archives, deletes, tightens, loosens and prunes.
const AFTER: &str = r#"
groups:
  team: {description: The team, members: {alice: owner, bob: {absent: true}, carol: reporter}}
  team/fresh: {}
  team/tools: {}
repos:
  team/keep:
    initialize_with_readme: true
    protected_branches:
      "@default": {push_access_level: maintainer, merge_access_level: developer}
  team/change:
    visibility: private
    merge_method: ff
    protected_branches: {main: {push_access_level: no_one, merge_access_level: maintainer}}
  team/young: {moved_from: team/old, protected_branches: {stable: {push_access_level: maintainer}}}
  team/moving: {moved_from: team/tools/moving, archived: true}
  team/fresh/born: {keep_latest_artifact: false}
  team/gone: {absent: true}
"#;

const ALLOW: [&str; 5] = [
    "apply",
    "--yes",
    "--allow-shrink",
    "--allow",
    "weaken,expose,lock-out,destroy",
];

/// What is done, from what, and how it looks when nothing goes wrong.
struct Scenario {
    before: Option<&'static str>,
    config: &'static str,
    /// Whether GitLab keeps the state.
    remote: bool,
    writes: u64,
    world: Value,
    ledger: Vec<(String, String)>,
}

impl Scenario {
    fn new(before: Option<&'static str>, config: &'static str, remote: bool) -> Self {
        let mut scenario = Scenario {
            before,
            config,
            remote,
            writes: 0,
            world: Value::Null,
            ledger: Vec::new(),
        };
        let forge = scenario.begin();
        let writes = forge.writes();
        forge.run(&ALLOW).exits(0);
        scenario.writes = forge.writes() - writes;
        scenario.world = world(&forge);
        scenario.ledger = forge.ledger();
        scenario
    }

    fn first(remote: bool) -> Self {
        Self::new(None, BEFORE, remote)
    }

    fn update(remote: bool) -> Self {
        Self::new(Some(BEFORE), AFTER, remote)
    }

    fn begin(&self) -> Forge {
        // GitLab's own protection of a default branch would come between, and cost a write more or less.
        let forge = Forge::with(|options| options.protection_delay = Duration::from_secs(600));
        if self.remote {
            forge.keep_state_in_gitlab("");
        }
        for user in ["alice", "bob", "carol"] {
            forge.user(user, &["api"]);
        }
        if let Some(before) = self.before {
            forge.config(before);
            forge.run(&["apply", "--yes"]).exits(0);
        }
        forge.config(self.config);
        forge
    }

    /// Asserts that everything is as in the unharmed run.
    fn expect(&self, forge: &Forge, case: &str) {
        forge.expect_converged();
        let mut differs = Vec::new();
        differences("", &self.world, &world(forge), &mut differs);
        assert!(
            differs.is_empty(),
            "{case}: another world\n{}",
            differs.join("\n")
        );
        assert_eq!(forge.ledger(), self.ledger, "{case}: another ledger");
    }

    /// Tries every fault at every write, each on a forge of its own.
    fn at_every_write(&self, faults: &[Value], attempt: impl Fn(&Forge, Value, &str) + Sync) {
        assert!(self.writes >= 8, "only {} writes", self.writes);
        let cases: Vec<(u64, &Value)> = (1..=self.writes)
            .flat_map(|write| faults.iter().map(move |fault| (write, fault)))
            .collect();
        in_parallel(&cases, |(write, fault)| {
            let case = format!("{fault} at write {write}");
            let mut rule = json!({"methods": "write", "nth": write});
            let members = rule.as_object_mut().unwrap();
            members.extend(fault.as_object().unwrap().clone());
            let forge = self.begin();
            attempt(&forge, rule, &case);
            self.expect(&forge, &case);
        });
    }
}

/// Everything there is, without what differs from run to run: ids, times, addresses.
fn world(forge: &Forge) -> Value {
    let admin = &forge.admin;
    let mut repos = admin.get("projects?per_page=100");
    for repo in repos.as_array_mut().unwrap() {
        let rules = admin.get(&format!("projects/{}/protected_branches", repo["id"]));
        repo["protected_branches"] = rules;
        repo["members"] = admin.get(&format!("projects/{}/members", repo["id"]));
    }
    let mut groups = admin.get("groups?per_page=100");
    for group in groups.as_array_mut().unwrap() {
        group["members"] = admin.get(&format!("groups/{}/members", group["id"]));
    }
    let mut world = json!({"groups": groups, "repos": repos});
    forget(&mut world);
    world
}

fn forget(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(forget);
            items.sort_by_cached_key(Value::to_string);
        }
        Value::Object(members) => {
            members.retain(|name, _| {
                let volatile =
                    name == "id" || name.ends_with("_id") || name.ends_with("_at") || name.ends_with("token");
                !volatile && !name.ends_with("url") && !name.contains("_url_") && name != "_links"
            });
            members.values_mut().for_each(forget);
        }
        Value::String(text) => {
            // What waits for deletion is named after its id.
            if let Some(end) = text.find("deletion_scheduled-") {
                text.truncate(end);
            }
        }
        _ => {}
    }
}

/// Where two worlds differ, one line each.
fn differences(at: &str, expected: &Value, found: &Value, differs: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) if expected.keys().eq(found.keys()) => {
            for (name, value) in expected {
                differences(&format!("{at}.{name}"), value, &found[name], differs);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
                differences(&format!("{at}[{number}]"), expected, found, differs);
            }
        }
        (expected, found) if expected == found => {}
        (expected, found) => differs.push(format!("{at} is {found}, not {expected}")),
    }
}

fn killed(scenario: &Scenario) {
    let faults = [json!("before"), json!("after")];
    let faults = faults.map(|when| json!({"kill": {"when": when}}));
    scenario.at_every_write(&faults, |forge, mut rule, case| {
        let run = forge.start_when(&ALLOW, |pid| {
            rule["kill"]["pid"] = pid.into();
            forge.arm(rule);
        });
        let run = run.wait();
        assert_eq!(run.code, None, "{case}: it was to be killed\n{}", run.all());
        if scenario.remote {
            forge.run(&["unlock", "--force"]).exits(0);
        }
        let again = forge.run(&ALLOW);
        assert_eq!(again.code, Some(0), "{case}: {}", again.all());
    });
}

fn survived(scenario: &Scenario) {
    let faults = [
        json!({"drop": "before"}),
        json!({"drop": "after"}),
        json!({"status": 502}),
    ];
    scenario.at_every_write(&faults, |forge, rule, case| {
        forge.arm(rule);
        let run = forge.run(&ALLOW);
        assert_eq!(run.code, Some(0), "{case}: {}", run.all());
    });
}

fn a_first_apply_killed_at_any_write_converges() {
    killed(&Scenario::first(false));
}

fn an_update_killed_at_any_write_converges() {
    killed(&Scenario::update(false));
}

fn a_first_apply_survives_any_lost_reply_or_server_error() {
    survived(&Scenario::first(false));
}

fn an_update_survives_any_lost_reply_or_server_error() {
    survived(&Scenario::update(false));
}

fn a_rate_limit_is_waited_for() {
    let scenario = Scenario::first(false);
    let forge = scenario.begin();
    forge.arm(json!({"every": 5, "count": 3, "status": 429, "retry_after": 1}));
    forge.run(&ALLOW).exits(0);
    scenario.expect(&forge, "429");
}

fn with_its_state_in_gitlab_a_first_apply_killed_at_any_write_converges() {
    killed(&Scenario::first(true));
}

fn with_its_state_in_gitlab_an_update_killed_at_any_write_converges() {
    killed(&Scenario::update(true));
}

fn with_its_state_in_gitlab_a_first_apply_survives_any_lost_reply_or_server_error() {
    survived(&Scenario::first(true));
}
