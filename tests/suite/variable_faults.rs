//! CI/CD variables when things go wrong, and when there are many: no value is anywhere but on GitLab, and none is lost.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::lifecycle::steps;
use crate::support::{Forge, Run, files, in_parallel};
use crate::variables::{ALLOW, CANARY, GROUP, INSTANCE, REPO, add, all, config, forge, list, set, world};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        no_value_in_any_output_or_file,
        a_refusal_that_repeats_the_value_is_shown_without_it,
        a_value_that_gitlab_refuses_is_not_repeated,
        our_own_token_is_never_a_value,
        killed_at_any_write_it_converges,
        lost_replies_and_server_errors_are_survived,
        who_may_not_read_is_told_and_nothing_is_taken_for_gone,
        where_graphql_is_refused_rest_answers_alike,
        a_hundred_and_fifty_variables_are_read_whole,
        reading_costs_a_query_for_a_hundred_repos,
    ]
}

#[track_caller]
fn expect_clean(forge: &Forge, run: &Run) {
    assert!(!run.all().contains(CANARY), "the value is in:\n{}", run.all());
    let secret = forge.dir.path().join("one");
    for file in files(forge.dir.path()).into_iter().filter(|file| *file != secret) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes
            .windows(CANARY.len())
            .any(|window| window == CANARY.as_bytes());
        assert!(!found, "the value is in {}", file.display());
    }
}

fn no_value_in_any_output_or_file() {
    let forge = forge(CANARY);
    let two = "HIDDEN: {value: {file: one}, masked: true, hidden: true}, SEEN: {value: {file: one}}";
    forge.config(&config(two, two, "SEEN: {value: {file: one}}"));
    let commands: [&[&str]; 10] = [
        &["validate", "--format", "json"],
        &["plan", "-vvv"],
        &["plan", "--format", "markdown"],
        &["plan", "--explain", "repo_variable.team/api:SEEN"],
        &["plan", "--format", "json", "--out", "plan.json"],
        &["apply", "plan.json", "-vvv", "--log-file", "log"],
        &["plan", "--format", "json", "-vvv"],
        &["plan", "--no-secrets", "-vvv"],
        &["status", "--format", "json"],
        &["ledger", "list", "--format", "json"],
    ];
    for command in commands {
        expect_clean(&forge, &forge.run(command).exits(0));
        if command.contains(&"plan.json") && command[0] == "plan" {
            let saved = std::fs::read_to_string(forge.dir.path().join("plan.json")).unwrap();
            assert!(saved.contains("\"file\": \"one\""), "{saved}");
        }
    }
    assert_eq!(all(&forge, REPO, "value"), [Value::Null, json!(CANARY)]);
    let log = std::fs::read_to_string(forge.dir.path().join("log")).unwrap();
    assert!(log.contains("/variables") && log.contains("[secret]"), "{log}");
}

fn a_refusal_that_repeats_the_value_is_shown_without_it() {
    for status in [400, 403, 422, 500] {
        for at in ["/variables$", "/variables/K$"] {
            let forge = forge(CANARY);
            let one = "K: {value: {file: one}}";
            forge.config(&config(one, one, one));
            if at.ends_with("K$") {
                set(&forge, "one", "at-first");
                forge.run(&["apply", "--yes"]).exits(0);
                set(&forge, "one", CANARY);
            }
            let body = json!({"message": {"value": [format!("{CANARY} is invalid")]}, "value": CANARY});
            forge.arm(json!({"path": at, "methods": "write", "status": status, "body": body}));
            let run = forge
                .run(&["apply", "--yes", "-vvv", "--log-file", "log"])
                .exits(1);
            expect_clean(&forge, &run);
        }
    }
}

/// What masks a value may be somebody else's business; GitLab judges the value by it all the same.
fn a_value_that_gitlab_refuses_is_not_repeated() {
    let forge = Forge::applied("groups: {team: {}}\nrepos: {team/api: {}}\n");
    for path in [REPO, GROUP, INSTANCE] {
        add(
            &forge,
            path,
            json!({"key": "K", "value": "masked-value", "masked": true}),
        );
    }
    set(&forge, "one", &format!("{CANARY} {CANARY}"));
    let one = "K: {value: {file: one}}";
    forge.config(&config(one, one, one));
    let run = forge
        .run(&[&ALLOW[..], &["-vvv", "--log-file", "log"]].concat())
        .exits(1);
    expect_clean(&forge, &run);
    run.says("failed to adopt repo_variable.team/api:K")
        .says("value is invalid");
    assert_eq!(all(&forge, GROUP, "value"), ["masked-value"]);
}

fn our_own_token_is_never_a_value() {
    let forge = Forge::new();
    for value in ["{env: AUTOGIT_TOKEN}", "{file: one}"] {
        set(&forge, "one", &format!("https://x:{}@example.org", forge.token()));
        let one = format!("K: {{value: {value}}}");
        forge.config(&config(&one, &one, &one));
        let plan = forge
            .run(&["plan", "-vvv"])
            .exits(1)
            .says("never a value of anything");
        assert!(!plan.all().contains(forge.token()), "{}", plan.all());
        forge.run(&["apply", "--yes"]).exits(1);
        forge
            .run(&["validate"])
            .exits(1)
            .says("never a value of anything");
    }
    assert_eq!(list(&forge, INSTANCE).len(), 0);
}

const BEFORE: [&str; 2] = [
    "KEEP: {value: {file: one}}, GO: {value: {file: one}}, HIDDEN: {value: {file: one}, masked: true, hidden: true}",
    "KEEP: {value: {file: one}}, GO: {value: {file: one}}",
];
const AFTER: [&str; 2] = [
    "KEEP: {value: {file: two}, protected: true}, NEW: {value: {file: two}}, HIDDEN: {value: {file: two}, masked: true, \
     hidden: true}, FRESH: {value: {file: two}, masked: true, hidden: true}",
    "KEEP: {value: {file: two}, protected: true}, NEW: {value: {file: two}}",
];

fn scenario(of: [&str; 2]) -> String {
    config(of[0], of[0], of[1])
}

fn begin() -> Forge {
    let forge = forge(CANARY);
    set(&forge, "two", "rotated-value");
    forge.config(&scenario(BEFORE));
    forge.run(&["apply", "--yes"]).exits(0);
    forge.config(&scenario(AFTER));
    forge
}

const RUN: [&str; 5] = ["apply", "--yes", "--allow-shrink", "--allow", "destroy"];

/// Tries every fault at every write, and then again without.
fn at_every_write(faults: &[Value], again: bool) {
    let forge = begin();
    let writes = forge.writes();
    forge.run(&RUN).exits(0);
    let (writes, expected) = (forge.writes() - writes, world(&forge));
    let addresses: Vec<_> = forge.ledger().into_iter().map(|(address, _)| address).collect();
    assert!(writes >= 11, "only {writes} writes");
    let cases: Vec<(u64, &Value)> = (1..=writes)
        .flat_map(|write| faults.iter().map(move |fault| (write, fault)))
        .collect();
    in_parallel(&cases, |(write, fault)| {
        let case = format!("{fault} at write {write}");
        let mut rule = (*fault).clone();
        rule["methods"] = "write".into();
        rule["nth"] = (*write).into();
        let forge = begin();
        let run = forge.start_when(&RUN, |pid| {
            if fault["kill"].is_object() {
                rule["kill"]["pid"] = pid.into();
            }
            forge.arm(rule);
        });
        let run = run.wait();
        if again {
            assert_eq!(run.code, None, "{case}: {}", run.all());
            let run = forge.run(&RUN);
            assert_eq!(run.code, Some(0), "{case}: {}", run.all());
        } else {
            assert_eq!(run.code, Some(0), "{case}: {}", run.all());
        }
        forge.expect_converged();
        assert_eq!(world(&forge), expected, "{case}");
        // GitLab tells nobody when a variable was made, so one that a killed run made counts as found.
        let found: Vec<_> = forge.ledger().into_iter().map(|(address, _)| address).collect();
        assert_eq!(found, addresses, "{case}");
    });
}

fn killed_at_any_write_it_converges() {
    let kills = ["before", "after"].map(|when| json!({"kill": {"when": when}}));
    at_every_write(&kills, true);
}

fn lost_replies_and_server_errors_are_survived() {
    at_every_write(
        &[
            json!({"drop": "before"}),
            json!({"drop": "after"}),
            json!({"status": 502}),
        ],
        false,
    );
}

fn who_may_not_read_is_told_and_nothing_is_taken_for_gone() {
    let forge = forge(CANARY);
    let one = "K: {value: {file: one}}";
    forge.config(&config(one, one, one));
    forge.run(&["apply", "--yes"]).exits(0);
    let (id, token) = forge.user("dev", &["api"]);
    forge.member("team", id, 30);
    let before = (world(&forge), forge.ledger());
    let more = "K: {value: {file: one}}, NEW: {value: {file: one}}";
    for config in [config(more, more, more), config("", "", "")] {
        forge.config(&config);
        let run = forge
            .run_as(&token, &[&ALLOW[..], &["--allow-shrink"]].concat())
            .exits(1);
        run.says("Maintainer of the repo")
            .says("Owner of the group")
            .says("administrator of the instance");
        assert_eq!((world(&forge), forge.ledger()), before);
    }
    // A broken or refused list removes and makes nothing.
    forge.config(&config(one, one, one));
    let faults = [
        json!({"status": 403}),
        json!({"status": 404}),
        json!({"status": 200, "body": {"data": {"holders": {"nodes": []}}}}),
        json!({"truncate": {"keep": 0}}),
    ];
    for path in ["/variables$", "^/api/graphql$"] {
        for fault in &faults {
            let mut rule = fault.clone();
            rule["path"] = path.into();
            rule["methods"] = "read".into();
            forge.arm(rule.clone());
            let run = forge.run(&ALLOW);
            forge.disarm();
            assert_eq!((world(&forge), forge.ledger()), before, "{rule}: {}", run.all());
        }
    }
}

fn where_graphql_is_refused_rest_answers_alike() {
    let forge = begin();
    let plan = |forge: &Forge| steps(forge, &[]);
    let expected = plan(&forge);
    let error = json!({"message": "Field 'hidden' doesn't exist on type 'CiProjectVariable'", "extensions": {"code": "undefinedField"}});
    forge.arm(json!({"path": "^/api/graphql$", "status": 200, "body": {"errors": [error]}}));
    assert_eq!(plan(&forge), expected);
    forge.run(&RUN).exits(0);
    forge.expect_converged();
    forge.disarm();
    forge.expect_converged();
}

fn a_hundred_and_fifty_variables_are_read_whole() {
    let forge = Forge::applied("groups: {team: {}}\nrepos: {team/api: {}}\n");
    set(&forge, "one", CANARY);
    for path in [REPO, GROUP] {
        for number in 0..150 {
            add(
                &forge,
                path,
                json!({"key": format!("K{number}"), "value": CANARY}),
            );
        }
    }
    let all: Vec<_> = (0..150)
        .map(|number| format!("K{number}: {{value: {{file: one}}}}"))
        .collect();
    let all = all.join(", ");
    forge.config(&config(&all, &all, ""));
    let writes = forge.writes();
    forge.run(&["apply", "--yes"]).exits(0);
    assert_eq!(forge.writes(), writes);
    assert_eq!(forge.ledger().len(), 302);
}

fn reading_costs_a_query_for_a_hundred_repos() {
    let forge = forge(CANARY);
    let with = |variables: &str| {
        let repos: Vec<_> = (0..101)
            .map(|number| format!("  team/r{number}: {{{variables}}}\n"))
            .collect();
        format!("groups: {{team: {{}}}}\nrepos:\n{}", repos.concat())
    };
    forge.config(&with(
        "variables: {A: {value: {file: one}}, B: {value: {file: one}}}",
    ));
    forge.run(&["apply", "--yes"]).exits(0);
    let reads = || forge.admin.get("/-/sandbox/counters")["reads"].as_u64().unwrap();
    let cost = |config: &str| {
        forge.config(config);
        let before = reads();
        forge.run(&["plan"]).exits(0);
        reads() - before
    };
    let with_variables = cost(&with(
        "variables: {A: {value: {file: one}}, B: {value: {file: one}}}",
    ));
    let without = cost(&with(""));
    // What is managed is looked at, though it is not declared any more.
    assert_eq!(with_variables, without);
    forge.run(&[&ALLOW[..], &["--allow-shrink"]].concat()).exits(0);
    let none = cost(&with(""));
    assert_eq!(with_variables - none, 2, "{with_variables} with, {none} without");
}
