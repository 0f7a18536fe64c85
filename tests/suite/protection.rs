//! A protection on its way from one shape to another: no failure leaves it more open than both.

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Forge, in_parallel};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        by_graphql_no_failure_opens_a_branch,
        behind_a_guard_no_failure_opens_a_branch,
        deploy_keys_survive_a_change,
        deploy_keys_that_a_change_would_lose_forbid_it,
        a_new_default_branch_gets_the_protection_declared,
    ]
}

const ALLOW: [&str; 4] = ["apply", "--yes", "--allow", "weaken"];

/// Branches that the rules of these tests cover, and some that they do not.
const BRANCHES: [&str; 4] = ["main", "main2", "release/1", "feature"];

/// GitLab without `branchRuleUpdate`.
fn without_graphql(forge: &Forge) {
    let error = json!({"message": "Field 'branchRuleUpdate' doesn't exist on type 'Mutation'", "extensions": {"code": "undefinedField"}});
    forge.arm(json!({
        "path": "^/api/graphql$", "methods": "write", "status": 200, "body": {"errors": [error]},
    }));
}

/// Who may push to, merge into and force-push each branch.
type Access = Vec<(&'static str, [BTreeSet<String>; 3])>;

/// Computes it from the rules, as GitLab combines them: the most permissive counts.
fn access(forge: &Forge) -> Access {
    let rules = forge.admin.get("projects/team%2Fapi/protected_branches");
    let rules = rules.as_array().unwrap();
    let on = |branch: &'static str| {
        let covering: Vec<&Value> = rules.iter().filter(|rule| covers(rule, branch)).collect();
        if covering.is_empty() {
            return (branch, [roles(30), roles(30), roles(30)]);
        }
        let union = |field: &str| -> BTreeSet<String> {
            let entries = covering.iter().flat_map(|rule| rule[field].as_array().unwrap());
            entries.flat_map(who).collect()
        };
        let push = union("push_access_levels");
        let forced = covering.iter().any(|rule| rule["allow_force_push"] == true);
        let force = if forced { push.clone() } else { BTreeSet::new() };
        (branch, [push, union("merge_access_levels"), force])
    };
    BRANCHES.into_iter().map(on).collect()
}

fn covers(rule: &Value, branch: &str) -> bool {
    let parts: Vec<_> = rule["name"]
        .as_str()
        .unwrap()
        .split('*')
        .map(regex::escape)
        .collect();
    Regex::new(&format!("^{}$", parts.join(".*")))
        .unwrap()
        .is_match(branch)
}

fn who(entry: &Value) -> BTreeSet<String> {
    match entry["deploy_key_id"].as_u64() {
        Some(key) => BTreeSet::from([format!("key {key}")]),
        None => roles(entry["access_level"].as_u64().unwrap()),
    }
}

/// The roles from `level` up; no one for 0.
fn roles(level: u64) -> BTreeSet<String> {
    let reached = [30, 40, 60]
        .into_iter()
        .filter(|role| level > 0 && *role >= level);
    reached.map(|role| role.to_string()).collect()
}

/// Nobody may do now what they could do neither before nor after.
#[track_caller]
fn expect_no_more_than(found: &Access, before: &Access, after: &Access, case: &str) {
    for (found, (before, after)) in found.iter().zip(before.iter().zip(after)) {
        for (way, verb) in ["push", "merge", "force"].into_iter().enumerate() {
            let allowed: BTreeSet<_> = before.1[way].union(&after.1[way]).cloned().collect();
            let extra: Vec<_> = found.1[way].difference(&allowed).collect();
            assert!(extra.is_empty(), "{case}: {extra:?} can {verb} {}", found.0);
        }
    }
}

/// A rule before and after.
struct Way {
    name: &'static str,
    before: &'static str,
    after: &'static str,
}

const WAYS: [Way; 4] = [
    Way {
        name: "main",
        before: "push_access_level: developer, merge_access_level: developer, allow_force_push: true",
        after: "push_access_level: no_one, merge_access_level: maintainer, allow_force_push: false",
    },
    Way {
        name: "main",
        before: "push_access_level: no_one, merge_access_level: maintainer, allow_force_push: false",
        after: "push_access_level: developer, merge_access_level: developer, allow_force_push: true",
    },
    Way {
        name: "main",
        before: "push_access_level: maintainer, merge_access_level: developer",
        after: "push_access_level: developer, merge_access_level: maintainer",
    },
    Way {
        name: "release/*",
        before: "push_access_level: no_one, merge_access_level: developer",
        after: "push_access_level: maintainer, merge_access_level: no_one",
    },
];

impl Way {
    fn config(&self, rule: &str) -> String {
        let Way { name, .. } = self;
        format!(
            "groups: {{team: {{}}}}\nrepos: {{team/api: {{protected_branches: {{\"{name}\": {{{rule}}}}}}}}}\n"
        )
    }

    fn begin(&self, prepare: fn(&Forge)) -> Forge {
        let forge = Forge::applied(&self.config(self.before));
        prepare(&forge);
        forge.config(&self.config(self.after));
        forge
    }
}

/// Tries every failure at every write of every way.
fn no_failure_opens(prepare: fn(&Forge), least_writes: u64) {
    let failures = [
        json!({"kill": {"when": "before"}}),
        json!({"kill": {"when": "after"}}),
        json!({"drop": "after"}),
        json!({"status": 400}),
    ];
    in_parallel(&WAYS, |way| {
        let forge = way.begin(prepare);
        let (before, writes) = (access(&forge), forge.writes());
        forge.run(&ALLOW).exits(0);
        let (after, writes) = (access(&forge), forge.writes() - writes);
        assert_ne!(before, after);
        assert!(writes >= least_writes, "{writes} writes");
        for write in 1..=writes {
            for failure in &failures {
                let case = format!("{} to {}: {failure} at write {write}", way.name, way.after);
                let forge = way.begin(prepare);
                let mut rule = failure.clone();
                rule["methods"] = "write".into();
                rule["nth"] = write.into();
                let run = forge.start_when(&ALLOW, |pid| {
                    if failure["kill"].is_object() {
                        rule["kill"]["pid"] = pid.into();
                    }
                    forge.arm(rule);
                });
                run.wait();
                expect_no_more_than(&access(&forge), &before, &after, &case);
                let again = forge.run(&ALLOW);
                assert_eq!(again.code, Some(0), "{case}: {}", again.all());
                forge.expect_converged();
                assert_eq!(access(&forge), after, "{case}");
                let rules = forge.admin.get("projects/team%2Fapi/protected_branches");
                assert_eq!(rules.as_array().unwrap().len(), 1, "{case}: {rules:#}");
            }
        }
    });
}

fn by_graphql_no_failure_opens_a_branch() {
    no_failure_opens(|_| (), 1);
}

fn behind_a_guard_no_failure_opens_a_branch() {
    no_failure_opens(without_graphql, 4);
}

/// A forge whose `main` lets a deploy key push, and the key's id.
fn with_deploy_key() -> (Forge, u64) {
    let way = &WAYS[2];
    let forge = Forge::applied(&way.config(way.before));
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHEZy9Yy6jXGqgTGqcx0eKFFEtSxwUoVLKdOBkBsTn1L ci";
    let key = json!({"title": "ci", "key": key, "can_push": true});
    let key = forge.admin.post("projects/team%2Fapi/deploy_keys", key)["id"]
        .as_u64()
        .unwrap();
    let rule = forge.admin.get("projects/team%2Fapi/protected_branches/main");
    let levels = json!([{"accessLevel": 40}, {"deployKeyId": format!("gid://gitlab/DeployKey/{key}")}]);
    let input = json!({
        "id": format!("gid://gitlab/Projects::BranchRule/{}", rule["id"]),
        "name": "main",
        "branchProtection": {"pushAccessLevels": levels, "mergeAccessLevels": [{"accessLevel": 30}], "allowForcePush": false},
    });
    let query = "mutation m($input: BranchRuleUpdateInput!) { branchRuleUpdate(input: $input) { errors } }";
    let body = json!({"query": query, "variables": {"input": input}});
    let answer = forge
        .admin
        .send(Method::POST, "/api/graphql", Some(body))
        .expect(200);
    assert_eq!(
        answer["data"]["branchRuleUpdate"]["errors"],
        json!([]),
        "{answer}"
    );
    forge.expect_converged();
    forge.config(&way.config(way.after));
    (forge, key)
}

fn may_push(forge: &Forge) -> BTreeSet<String> {
    access(forge)[0].1[0].clone()
}

fn deploy_keys_survive_a_change() {
    let (forge, key) = with_deploy_key();
    forge.run(&ALLOW).exits(0);
    let mut expected = roles(30);
    expected.insert(format!("key {key}"));
    assert_eq!(may_push(&forge), expected);
    forge.expect_converged();
}

fn deploy_keys_that_a_change_would_lose_forbid_it() {
    let (forge, key) = with_deploy_key();
    without_graphql(&forge);
    let before = access(&forge);
    forge.run(&ALLOW).exits(1).says("deploy keys");
    assert_eq!(access(&forge), before);
    assert!(may_push(&forge).contains(&format!("key {key}")));
}

/// GitLab protects a new default branch by itself, at a time of its own choosing.
fn a_new_default_branch_gets_the_protection_declared() {
    for delay in [0, 10, 60_000] {
        let delay = std::time::Duration::from_millis(delay);
        let forge = Forge::with(|options| options.protection_delay = delay);
        forge.config(
            "groups: {team: {}}\nrepos: {team/api: {initialize_with_readme: true, protected_branches: \
             {\"@default\": {push_access_level: no_one, merge_access_level: developer}}}}\n",
        );
        forge.run(&["apply", "--yes"]).exits(0);
        let rules = forge.admin.get("projects/team%2Fapi/protected_branches");
        assert_eq!(rules.as_array().unwrap().len(), 1);
        assert_eq!((&rules[0]["name"], may_push(&forge)), (&json!("main"), roles(0)));
        forge.expect_converged();
    }
}
