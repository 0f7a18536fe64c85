//! Rules: repos that nobody listed are caught, and nothing else is touched.

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use crate::lifecycle::steps;
use crate::support::Forge;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_repo_made_by_hand_is_caught_by_the_next_plan,
        only_what_a_rule_matches_changes,
        what_is_as_the_rule_says_is_taken_over_without_a_write,
        rules_reach_nested_collections_and_listed_repos,
        what_is_pending_deletion_is_left_alone,
        a_rule_for_a_group_that_is_yet_to_be_made,
        a_rule_that_matches_nothing_stops_the_run,
        locks_that_disagree_on_what_nobody_listed_stop_the_run,
        report_mode_shows_and_changes_nothing,
        what_no_rule_matches_any_more_is_released,
        no_broken_inventory_releases_or_changes_anything,
        targets_and_saved_plans_know_unlisted_repos,
        explain_names_the_rule,
        the_inventory_is_listed_once,
        what_moves_with_its_group_is_matched_where_it_goes,
        who_sees_less_judges_rules_by_what_they_see,
        the_documented_example_does_what_it_says,
        what_a_rule_would_remove_is_reported_as_its_own,
        repos_in_a_users_namespace_are_matched_too,
    ]
}

const RULE: &str = "rules: {baseline: {match: {path: \"team/**\"}, merge_method: ff}}\n";

/// A group with two repos in it, one deeper than the other, and one repo elsewhere; all made by hand.
fn by_hand() -> Forge {
    let forge = Forge::new();
    let team = group(&forge, "team", None);
    let sub = group(&forge, "sub", Some(team));
    let other = group(&forge, "other", None);
    repo(&forge, "api", team, json!({}));
    repo(
        &forge,
        "web",
        sub,
        json!({"topics": ["Service"], "visibility": "public"}),
    );
    repo(&forge, "x", other, json!({}));
    forge
}

fn group(forge: &Forge, path: &str, parent: Option<u64>) -> u64 {
    let group = json!({"name": path, "path": path, "parent_id": parent, "visibility": "public"});
    forge.admin.post("groups", group)["id"].as_u64().unwrap()
}

fn repo(forge: &Forge, path: &str, group: u64, fields: Value) {
    let mut repo = json!({"name": path, "path": path, "namespace_id": group, "visibility": "private"});
    for (field, value) in fields.as_object().unwrap() {
        repo[field] = value.clone();
    }
    forge.admin.post("projects", repo);
}

/// What is there, as another program sees it.
fn world(forge: &Forge) -> Value {
    let mut repos = forge.admin.get("projects?order_by=id&per_page=100");
    for repo in repos.as_array_mut().unwrap() {
        repo.as_object_mut().unwrap().remove("updated_at");
    }
    repos
}

/// One field of every repo.
fn fields(forge: &Forge, field: &str) -> Vec<String> {
    let repos = world(forge);
    let of = |repo: &Value| {
        format!(
            "{} {}",
            repo["path_with_namespace"].as_str().unwrap(),
            repo[field]
        )
    };
    let mut fields: Vec<_> = repos.as_array().unwrap().iter().map(of).collect();
    fields.sort();
    fields
}

/// The addresses of a plan's steps.
fn addresses(forge: &Forge, args: &[&str]) -> Vec<String> {
    let mut addresses: Vec<_> = steps(forge, args)
        .into_iter()
        .map(|(address, ..)| address)
        .collect();
    addresses.sort();
    addresses
}

fn a_repo_made_by_hand_is_caught_by_the_next_plan() {
    let forge = by_hand();
    forge.config(RULE);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
    let team = forge.admin.get("groups/team")["id"].as_u64().unwrap();
    repo(&forge, "fresh", team, json!({}));
    forge
        .run(&["plan", "--detailed-exitcode"])
        .exits(2)
        .shows("repo.team/fresh");
    assert_eq!(addresses(&forge, &[]), ["repo.team/fresh"]);
    forge.run(&["apply", "--yes"]).exits(0);
    assert_eq!(forge.admin.get("projects/team%2Ffresh")["merge_method"], "ff");
    forge.expect_converged();
}

fn only_what_a_rule_matches_changes() {
    for (condition, matching) in [
        ("path: \"team/**\"", vec!["team/api", "team/sub/web"]),
        ("path: \"TEAM/*\"", vec!["team/api"]),
        ("path: \"**\", not: \"team/**\"", vec!["other/x"]),
        ("topics: [service]", vec!["team/sub/web"]),
        ("visibility: private", vec!["other/x", "team/api"]),
        (
            "path: \"team/**\", visibility: public, listed: false",
            vec!["team/sub/web"],
        ),
    ] {
        let forge = by_hand();
        forge.config(&format!(
            "rules: {{r: {{match: {{{condition}}}, merge_method: ff}}}}\n"
        ));
        forge.run(&["apply", "--yes"]).exits(0);
        let expected = ["other/x", "team/api", "team/sub/web"].map(|path| {
            let method = if matching.contains(&path) { "ff" } else { "merge" };
            format!("{path} \"{method}\"")
        });
        assert_eq!(fields(&forge, "merge_method"), expected, "{condition}");
        assert_eq!(forge.ledger().len(), matching.len(), "{condition}");
        forge.expect_converged();
    }
}

fn what_is_as_the_rule_says_is_taken_over_without_a_write() {
    let forge = by_hand();
    forge.config("rules: {r: {match: {path: \"**\"}, merge_method: merge}}\n");
    let (before, writes) = (world(&forge), forge.writes());
    forge.run(&["plan", "--detailed-exitcode"]).exits(0);
    forge.run(&["apply", "--yes", "--max-changes", "0"]).exits(0);
    assert_eq!((world(&forge), forge.writes()), (before, writes));
    assert!(forge.ledger().iter().all(|(_, origin)| origin == "adopted"));
    forge.expect_converged();
}

fn rules_reach_nested_collections_and_listed_repos() {
    let forge = by_hand();
    forge.config(
        "presets: {service: {protected_branches: {\"release/*\": {push_access_level: maintainer}}}}
rules:
  baseline: {match: {path: \"team/**\"}, preset: service, squash_option: always, locked: {merge_method: ff}}
repos:
  team/api: {squash_option: never, merge_method: rebase_merge}
",
    );
    forge
        .run(&["apply", "--yes"])
        .exits(0)
        .says("`merge_method` has no effect: rule baseline locks it");
    let api = forge.admin.get("projects/team%2Fapi");
    assert_eq!(
        (&api["squash_option"], &api["merge_method"]),
        (&json!("never"), &json!("ff"))
    );
    let web = forge.admin.get("projects/team%2Fsub%2Fweb");
    assert_eq!(
        (&web["squash_option"], &web["merge_method"]),
        (&json!("always"), &json!("ff"))
    );
    for repo in ["team%2Fapi", "team%2Fsub%2Fweb"] {
        let branches = forge.admin.get(&format!("projects/{repo}/protected_branches"));
        assert_eq!(branches[0]["name"], "release/*", "{repo}");
    }
    forge.expect_converged();
}

fn what_is_pending_deletion_is_left_alone() {
    let forge = by_hand();
    let team = forge.admin.get("groups/team")["id"].as_u64().unwrap();
    let going = group(&forge, "going", Some(team));
    repo(&forge, "inside", going, json!({}));
    repo(&forge, "gone", team, json!({}));
    forge
        .admin
        .send(Method::DELETE, "projects/team%2Fgone", None)
        .expect(202);
    forge
        .admin
        .send(Method::DELETE, "groups/team%2Fgoing", None)
        .expect(202);
    let pending = || {
        let all = forge
            .admin
            .get("projects?include_pending_delete=true&order_by=id");
        let all = all.as_array().unwrap().iter().cloned();
        let theirs = |repo: &Value| {
            let path = repo["path_with_namespace"].as_str().unwrap();
            path.contains("gone") || path.contains("inside")
        };
        all.filter(theirs).collect::<Vec<_>>()
    };
    let before = pending();
    assert_eq!(before.len(), 2);
    forge.config(RULE);
    forge.run(&["apply", "--yes"]).exits(0);
    assert_eq!(pending(), before);
    let managed: Vec<_> = forge.ledger().into_iter().map(|(address, _)| address).collect();
    assert_eq!(managed, ["repo.team/api", "repo.team/sub/web"]);
    forge.expect_converged();
}

fn a_rule_for_a_group_that_is_yet_to_be_made() {
    let forge = Forge::new();
    let rule = RULE.replace("match: {", "match: {archived: false, ");
    forge.config(&format!(
        "{rule}groups: {{team: {{}}}}\nrepos: {{team/api: {{}}}}\n"
    ));
    forge.run(&["apply", "--yes"]).exits(0);
    assert_eq!(forge.admin.get("projects/team%2Fapi")["merge_method"], "ff");
    forge.expect_converged();
}

fn a_rule_that_matches_nothing_stops_the_run() {
    let forge = by_hand();
    forge.config(
        "rules:
  everybody: {match: {path: \"team/**\"}, merge_method: ff}
  nobody: {match: {path: \"team/x*\"}, merge_method: ff}
",
    );
    let writes = forge.writes();
    forge.run(&["validate"]).exits(0);
    for command in [&["plan"][..], &["apply", "--yes"]] {
        forge
            .run(command)
            .exits(1)
            .says("rule `nobody` matches no repo")
            .says("1 error");
    }
    assert_eq!(forge.writes(), writes);
}

fn locks_that_disagree_on_what_nobody_listed_stop_the_run() {
    let forge = by_hand();
    forge.config(
        "rules:
  one: {match: {path: \"team/**\"}, locked: {merge_method: ff}}
  two: {match: {topics: [service]}, locked: {merge_method: merge}}
",
    );
    let writes = forge.writes();
    forge
        .run(&["apply", "--yes"])
        .exits(1)
        .says("`merge_method` is locked differently by rule one and rule two")
        .says("both are for `team/sub/web`");
    assert_eq!(forge.writes(), writes);
}

fn report_mode_shows_and_changes_nothing() {
    let forge = by_hand();
    let config = |mode: &str| {
        format!(
            "rules:
  baseline: {{match: {{path: \"team/**\"}}, merge_method: ff}}
  trial:
    match: {{path: \"**\"}}
    mode: {mode}
    squash_option: always
    merge_method: rebase_merge
    protected_branches: {{main: {{push_access_level: no_one}}}}
  quiet: {{match: {{path: \"other/*\"}}, mode: {mode}, visibility: private}}
"
        )
    };
    forge.config(&config("report"));
    forge.run(&["apply", "--yes"]).exits(0);
    assert_eq!(
        fields(&forge, "merge_method"),
        ["other/x \"merge\"", "team/api \"ff\"", "team/sub/web \"ff\""]
    );
    let before = (world(&forge), forge.writes(), forge.ledger());
    assert_eq!(forge.ledger().len(), 2);
    let plan = forge.run(&["plan", "--detailed-exitcode"]).exits(0);
    let plan = plan
        .shows("No changes")
        .shows("rule trial (report): 9 differences in 3 repos")
        .shows("rule quiet (report): no differences")
        .shows("9 reported, not changed");
    assert!(plan.stdout.contains("squash_option"), "{}", plan.all());
    let json = forge.run(&["plan", "--format", "json"]).exits(0).json();
    assert_eq!(json["steps"], json!([]));
    let trial = &json["reported"][0];
    assert_eq!(
        (&trial["rule"], &trial["count"], &trial["repos"]),
        (&json!("trial"), &json!(9), &json!(3))
    );
    assert_eq!(trial["steps"].as_array().unwrap().len(), 6);
    assert_eq!(json["reported"][1]["count"], 0);
    let schema = forge.run(&["schema", "plan"]).exits(0).json();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&json));
    forge
        .run(&["plan", "--format", "markdown"])
        .exits(0)
        .shows("rule `trial` (report): 9 differences in 3 repos");
    assert_eq!((world(&forge), forge.writes(), forge.ledger()), before);
    forge.config(&config("enforce"));
    forge.run(&["apply", "--yes", "--allow", "weaken"]).exits(0);
    assert_eq!(
        fields(&forge, "merge_method"),
        ["other/x", "team/api", "team/sub/web"].map(|path| format!("{path} \"rebase_merge\""))
    );
    forge.expect_converged();
}

fn what_no_rule_matches_any_more_is_released() {
    let forge = by_hand();
    let rule = |path: &str| {
        format!(
            "rules: {{r: {{match: {{path: \"{path}\"}}, merge_method: ff, protected_branches: {{main: {{}}}}}}}}\n"
        )
    };
    forge.config(&rule("team/**"));
    forge.run(&["apply", "--yes"]).exits(0);
    forge.config(&rule("team/*"));
    let before = world(&forge);
    forge
        .run(&["apply", "--yes"])
        .exits(1)
        .says("2 of 4 managed resources are not declared any more");
    forge
        .run(&["apply", "--yes", "--allow-shrink"])
        .exits(0)
        .shows("released repo.team/sub/web");
    assert_eq!(world(&forge), before);
    assert!(
        forge
            .admin
            .has("projects/team%2Fsub%2Fweb/protected_branches/main")
    );
    forge.expect_converged();
}

/// Lists cut short, refused or broken: at worst the run fails.
fn no_broken_inventory_releases_or_changes_anything() {
    let lists = [
        "/descendant_groups$",
        "/groups/[^/]+/projects$",
        "^/api/v4/projects$",
        "^/api/v4/groups$",
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
    ];
    for path in ["team/**", "**"] {
        let forge = by_hand();
        forge.config(&format!(
            "rules: {{r: {{match: {{path: \"{path}\"}}, merge_method: ff}}}}\n"
        ));
        forge.run(&["apply", "--yes"]).exits(0);
        let before = (world(&forge), forge.ledger());
        for list in lists {
            for fault in &faults {
                let mut rule = fault.clone();
                rule["path"] = list.into();
                rule["methods"] = "read".into();
                let armed = forge.arm(rule.clone());
                let run = forge.run(&["apply", "--yes", "--allow", "weaken,destroy", "--allow-shrink"]);
                let fired = forge.admin.get("/-/sandbox/faults");
                let fired = fired
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|rule| rule["id"] == armed && rule["fired"] != 0);
                forge.disarm();
                let case = format!("{path} {rule}: {}", run.all());
                assert_eq!((world(&forge), forge.ledger()), before, "{case}");
                let is_projects = list.contains("projects") && fired;
                assert!(!is_projects || run.code == Some(1), "{case}");
            }
        }
    }
}

fn targets_and_saved_plans_know_unlisted_repos() {
    let forge = by_hand();
    forge.config(RULE);
    assert_eq!(
        addresses(&forge, &["--target", "repo.team/sub/*"]),
        ["repo.team/sub/web"]
    );
    forge
        .run(&["plan", "--target", "repo.other/*"])
        .exits(1)
        .says("matches nothing");
    forge.run(&["plan", "--out", "plan.json"]).exits(0);
    // What is not in the plan is not looked for, and the rules are not judged again.
    forge.config("rules: {r: {match: {path: \"nowhere/**\"}, merge_method: merge}}\n");
    forge.run(&["apply", "plan.json"]).exits(0);
    assert_eq!(
        fields(&forge, "merge_method"),
        ["other/x \"merge\"", "team/api \"ff\"", "team/sub/web \"ff\""]
    );
    forge.config(RULE);
    forge.expect_converged();
}

fn explain_names_the_rule() {
    let forge = by_hand();
    forge.config(
        "presets: {p: {squash_option: always}}
rules: {baseline: {match: {path: \"team/**\"}, preset: p, merge_method: ff, locked: {visibility: private}}}
repos: {team/api: {merge_method: merge}}
",
    );
    let mut offline = forge.autogit(&["plan", "--explain", "repo.team/api"]);
    offline.env_remove("AUTOGIT_TOKEN");
    let offline = offline.output().unwrap();
    let said = String::from_utf8_lossy(&offline.stdout);
    assert!(
        offline.status.success() && said.contains("(rule baseline, preset p)"),
        "{said}"
    );
    assert!(said.contains("over \"ff\" from autogit.yaml:4:"), "{said}");
    forge
        .run(&["plan", "--explain", "repo.team/sub/web"])
        .exits(0)
        .shows("merge_method = \"ff\"")
        .shows("(rule baseline)")
        .shows("(lock of rule baseline)");
    forge
        .run(&["plan", "--explain", "repo.other/x"])
        .exits(1)
        .says("does not declare it");
}

fn the_inventory_is_listed_once() {
    let forge = by_hand();
    let requests = |forge: &Forge| {
        let plan = forge.run(&["plan", "--format", "json"]).exits(0).json();
        plan["cost"]["requests"].as_u64().unwrap()
    };
    forge.config("repos: {team/api: {merge_method: ff}, team/sub/web: {merge_method: ff}}\n");
    let listed = requests(&forge);
    forge.config(RULE);
    assert!(requests(&forge) <= listed, "{} > {listed}", requests(&forge));
    forge.config(&RULE.replace("match", "mode: report, match"));
    assert!(requests(&forge) <= listed, "{} > {listed}", requests(&forge));
}

fn what_moves_with_its_group_is_matched_where_it_goes() {
    let forge = by_hand();
    forge.config("groups: {team: {}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    forge.config(
        "groups: {crew: {moved_from: team}}\nrules: {r: {match: {path: \"crew/**\"}, merge_method: ff}}\n",
    );
    forge.run(&["apply", "--yes"]).exits(0);
    assert_eq!(
        fields(&forge, "merge_method"),
        ["crew/api \"ff\"", "crew/sub/web \"ff\"", "other/x \"merge\""]
    );
    forge.expect_converged();
}

fn who_sees_less_judges_rules_by_what_they_see() {
    let forge = by_hand();
    let (id, token) = forge.user("mia", &["api"]);
    forge.member("team", id, 50);
    forge.config("rules: {r: {match: {path: \"**\"}, merge_method: ff}}\n");
    forge.run_as(&token, &["apply", "--yes"]).exits(0);
    assert_eq!(
        fields(&forge, "merge_method"),
        ["other/x \"merge\"", "team/api \"ff\"", "team/sub/web \"ff\""]
    );
    let (_, stranger) = forge.user("sam", &["api"]);
    forge.config("rules: {r: {match: {path: \"hidden/**\"}, merge_method: merge}}\n");
    let hidden = json!({"name": "hidden", "path": "hidden", "visibility": "private"});
    forge.admin.post("groups", hidden);
    forge
        .run_as(&stranger, &["plan"])
        .exits(1)
        .says("something that this token cannot see");
}

fn the_documented_example_does_what_it_says() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rules) = page.split_once("\n## Rules\n").unwrap();
    let example = rules.split("```").nth(1).unwrap();
    let forge = Forge::new();
    let platform = group(&forge, "platform", None);
    let sandbox = group(&forge, "sandbox", Some(platform));
    repo(&forge, "api", platform, json!({}));
    repo(&forge, "by-hand", platform, json!({"visibility": "public"}));
    repo(&forge, "toy", sandbox, json!({}));
    forge.config(example.strip_prefix("yaml\nautogit: 1\n").unwrap());
    forge
        .run(&["apply", "--yes"])
        .exits(0)
        .shows("rule squash (report): 1 difference in 1 repo");
    assert_eq!(
        fields(&forge, "merge_method"),
        [
            "platform/api \"ff\"",
            "platform/by-hand \"ff\"",
            "platform/sandbox/toy \"merge\""
        ]
    );
    let by_hand = forge.admin.get("projects/platform%2Fby-hand");
    assert_eq!(by_hand["visibility"], "private");
    forge.expect_converged();
}

fn what_a_rule_would_remove_is_reported_as_its_own() {
    let forge = by_hand();
    let (alice, _) = forge.user("alice", &["api"]);
    let (bob, _) = forge.user("bob", &["api"]);
    for user in [alice, bob] {
        let member = json!({"user_id": user, "access_level": 30});
        forge.admin.post("projects/team%2Fapi/members", member);
    }
    let config = |mode: &str| {
        format!(
            "rules:
  settings: {{match: {{path: team/api}}, mode: {mode}, squash_option: always}}
  people: {{match: {{path: team/api}}, mode: {mode}, members: {{alice: maintainer}}, members_policy: exact}}
"
        )
    };
    forge.config(&config("report"));
    let plan = forge.run(&["plan", "--format", "json"]).exits(0).json();
    assert_eq!(plan["steps"], json!([]));
    let differences = |number: usize| {
        let reported = &plan["reported"][number];
        let steps = reported["steps"].as_array().unwrap().iter();
        let steps = steps.map(|step| {
            format!(
                "{} {}",
                step["action"].as_str().unwrap(),
                step["address"].as_str().unwrap()
            )
        });
        let mut steps: Vec<_> = steps.collect();
        steps.sort();
        (reported["count"].as_u64().unwrap(), steps)
    };
    assert_eq!(differences(0), (1, vec!["adopt repo.team/api".to_owned()]));
    let people = [
        "adopt repo_member.team/api:alice",
        "delete repo_member.team/api:bob",
    ];
    assert_eq!(differences(1), (2, people.map(str::to_owned).to_vec()));
    let writes = forge.writes();
    forge
        .run(&["apply", "--yes", "--allow", "lock-out,weaken,destroy"])
        .exits(0);
    assert_eq!(forge.writes(), writes);
    forge.config(&config("enforce"));
    forge
        .run(&["apply", "--yes", "--allow", "lock-out,weaken,destroy,expose"])
        .exits(0)
        .shows("deleted repo_member.team/api:bob");
    forge.expect_converged();
}

fn repos_in_a_users_namespace_are_matched_too() {
    for path in ["**", "root/*"] {
        for own in [true, false] {
            let forge = by_hand();
            if own {
                forge
                    .admin
                    .post("projects", json!({"name": "own", "path": "own"}));
            }
            forge.config(&format!(
                "rules: {{r: {{match: {{path: \"{path}\"}}, merge_method: ff}}}}
repos: {{root/first: {{visibility: private}}}}
"
            ));
            forge.run(&["apply", "--yes"]).exits(0);
            let first = forge.admin.get("projects/root%2Ffirst");
            assert_eq!(first["merge_method"], "ff", "{path} {own}");
            if own {
                let own = forge.admin.get("projects/root%2Fown");
                assert_eq!(own["merge_method"], "ff", "{path}");
            }
            forge.expect_converged();
        }
    }
}
