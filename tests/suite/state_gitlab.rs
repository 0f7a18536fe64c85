//! State that GitLab keeps: shared, locked, and never taken for lost.

use std::collections::BTreeMap;
use std::time::Duration;

use autogit::core::Plan;
use autogit::engine::state::{Beginning, Ledger, Remote, StateError, Store};
use autogit::live::gitlab::{Client, Journal as _, Settings, TerraformState};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Forge, Running, STATE, block_on};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        of_two_applies_one_runs_and_the_other_says_who_holds_the_lock,
        an_interrupt_gives_the_lock_back,
        a_lock_cleared_during_a_run_is_noticed,
        a_lock_taken_over_during_a_long_run_stops_it_before_the_next_write,
        what_somebody_else_saved_is_not_overwritten,
        an_apply_costs_five_requests_more_and_a_plan_one,
        a_job_token_opens_the_state,
        a_token_that_only_reads_is_enough_for_a_plan,
        a_state_that_may_not_be_read_is_not_taken_for_none,
        a_state_of_another_instance_is_refused,
        a_state_of_another_program_is_refused,
        a_state_that_makes_no_sense_is_refused,
        no_secret_is_in_the_state,
    ]
}

const CONFIG: &str = "groups: {team: {}}\nrepos: {team/api: {}, team/web: {}}\n";

/// What a run does to its lock.
const LOCK: &str = "projects/ops%2Fforge/terraform/state/main/lock";

/// A forge whose state GitLab keeps.
fn forge() -> Forge {
    let forge = Forge::new();
    forge.keep_state_in_gitlab("");
    forge.config(CONFIG);
    forge
}

/// A run that is held at its first write to anything but its state.
fn held(forge: &Forge, args: &[&str], ms: u64) -> Running {
    let fault = forge.arm(json!({"methods": "write", "path": "^/api/v4/groups", "nth": 1, "latency_ms": ms}));
    let running = forge.start(args);
    forge.wait_for(fault);
    running
}

fn of_two_applies_one_runs_and_the_other_says_who_holds_the_lock() {
    let forge = forge();
    let first = held(&forge, &["apply", "--yes"], 600_000);
    let holder = format!("process {}", first.id());
    for args in [
        &["apply", "--yes"][..],
        &["ledger", "forget", "group.team"],
        &["unlock"],
    ] {
        let refused = forge.run(args).exits(1);
        refused
            .says("locked by `autogit apply` of root")
            .says(&holder)
            .says("`autogit unlock --force`");
    }
    forge.run(&["plan", "--detailed-exitcode"]).exits(2);
    let status = forge.run(&["status"]).exits(0);
    status
        .shows(", state in main of the project ops/forge")
        .shows("Locked by root, since");
    first.signal("KILL");
    assert_eq!(first.wait().code, None);
    forge.run(&["apply", "--yes"]).exits(1).says(&holder);
    forge
        .run(&["unlock", "--force"])
        .exits(0)
        .shows("Cleared the lock of `autogit apply`")
        .shows(&holder);
    forge.run(&["unlock"]).exits(0).shows("Nothing is locked");
    forge
        .run(&["status"])
        .exits(0)
        .shows("Not locked")
        .shows("An interrupted run left 3 resources in doubt");
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
    assert_eq!(forge.ledger().len(), 3);
    let doctor = forge.run(&["doctor"]).exits(0);
    doctor
        .shows("3 managed, in main of the project ops/forge")
        .shows("nobody holds it");
}

fn an_interrupt_gives_the_lock_back() {
    let forge = forge();
    for signal in ["INT", "TERM"] {
        let reading = json!({"methods": "read", "path": "^/api/v4/user$", "nth": 1, "latency_ms": 600_000});
        let reading = forge.arm(reading);
        let run = forge.start(&["apply", "--yes"]);
        forge.wait_for(reading);
        run.signal(signal);
        run.wait().exits(130);
        forge.disarm();
        forge.run(&["unlock"]).exits(0).shows("Nothing is locked");
    }
    let run = held(&forge, &["apply", "--yes"], 2_000);
    run.signal("INT");
    run.wait().exits(130).shows("created group.team");
    forge.run(&["unlock"]).exits(0).shows("Nothing is locked");
    assert_eq!(forge.ledger(), [("group.team".to_owned(), "created".to_owned())]);
}

fn a_lock_cleared_during_a_run_is_noticed() {
    let forge = forge();
    let run = held(&forge, &["apply", "--yes"], 2_000);
    forge.run(&["unlock", "--force"]).exits(0);
    let saved = forge.document();
    run.wait()
        .exits(1)
        .shows("3 done")
        .says("the lock of the state in main of the project ops/forge was lost: somebody cleared it");
    assert_eq!(forge.document(), saved, "it was saved without the lock");
    forge.run(&["unlock"]).exits(0).shows("Nothing is locked");
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
    let ledger = forge.ledger();
    assert!(ledger.iter().all(|(_, origin)| origin == "created"), "{ledger:?}");
}

/// The store of a forge as the program makes it, but for how long it trusts its lock.
fn store(forge: &Forge, patience: Duration) -> Store {
    let settings = Settings::new(forge.url().parse().unwrap(), forge.token().into());
    let state = TerraformState::new(Client::connect(settings).unwrap(), "ops/forge", "main");
    Store::Remote(Remote::new(state, forge.url(), "main of ops/forge", patience))
}

fn a_lock_taken_over_during_a_long_run_stops_it_before_the_next_write() {
    let forge = forge();
    block_on(async {
        let store = store(&forge, Duration::ZERO);
        store.lock("apply").await.unwrap();
        let beginning = Beginning {
            operation: "apply",
            plan: &Plan::default(),
            live: &BTreeMap::new(),
            now: None,
        };
        let journal = store
            .begin(store.load().await.unwrap(), &beginning)
            .await
            .unwrap();
        let address = "group.team".parse().unwrap();
        journal.intent(&address, "POST /groups").await.unwrap();
        assert!(!journal.is_lost());
        let thief = self::store(&forge, Duration::ZERO);
        thief.unlock(true).await.unwrap();
        thief.lock("theft").await.unwrap();
        for _ in 0..2 {
            let refused = journal.intent(&address, "POST /groups").await.unwrap_err();
            assert!(
                refused.to_string().contains("it is held by `autogit theft`"),
                "{refused}"
            );
        }
        assert!(journal.is_lost());
        let refused = store.save(Ledger::new(forge.url())).await.unwrap_err();
        assert!(matches!(refused, StateError::Lost { .. }), "{refused}");
        // It is not ours to give back.
        store.release().await.unwrap();
        assert!(matches!(
            store.lock("apply").await,
            Err(StateError::Locked { .. })
        ));
    });
}

fn what_somebody_else_saved_is_not_overwritten() {
    let forge = forge();
    let run = held(&forge, &["apply", "--yes"], 2_000);
    let mut other = forge.document();
    other["serial"] = 2.into();
    // Only the holder of the lock can save, and so only somebody who took its ID.
    let lock = forge
        .admin
        .send(Method::POST, LOCK, Some(lock_info("other")))
        .expect(409);
    let id = urlencode(lock["ID"].as_str().unwrap());
    forge
        .admin
        .send(Method::POST, &format!("{STATE}?ID={id}"), Some(other.clone()))
        .expect(200);
    run.wait()
        .exits(1)
        .says("somebody saved its serial 2 meanwhile; nothing was overwritten");
    assert_eq!(forge.document(), other);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
}

fn lock_info(id: &str) -> Value {
    json!({"ID": id, "Operation": "x", "Info": "", "Who": "x", "Version": "1", "Created": "2026-01-01T00:00:00Z", "Path": "x"})
}

fn urlencode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Requests to the state so far.
fn requests(forge: &Forge) -> u64 {
    let counters = forge.admin.get("/-/sandbox/counters");
    let routes = counters["routes"].as_object().unwrap().iter();
    let state = routes.filter(|(route, _)| route.contains("/terraform/"));
    state.map(|(_, count)| count.as_u64().unwrap()).sum()
}

fn an_apply_costs_five_requests_more_and_a_plan_one() {
    let forge = forge();
    let cost = |args: &[&str]| {
        let before = requests(&forge);
        forge.run(args).exits(0);
        requests(&forge) - before
    };
    assert_eq!(cost(&["plan"]), 1);
    assert_eq!(cost(&["apply", "--yes"]), 5);
    assert_eq!(cost(&["plan"]), 1);
    assert_eq!(cost(&["apply", "--yes"]), 3, "nothing to do, nothing to save");
    forge.config(&CONFIG.replace("team/api: {}", "team/api: {description: New}"));
    assert_eq!(cost(&["apply", "--yes"]), 5);
    assert_eq!(cost(&["ledger", "list"]), 1);
}

fn a_job_token_opens_the_state() {
    let forge = Forge::new();
    forge.keep_state_in_gitlab(", token: {env: CI_JOB_TOKEN}");
    forge.config(CONFIG);
    let job = json!({"project": "ops/forge", "user": "root"});
    let job = forge
        .admin
        .send(Method::POST, "/-/sandbox/jobs", Some(job))
        .expect(201);
    let run = |args: &[&str], token: &str| {
        let mut command = forge.autogit(args);
        command.env("CI_JOB_TOKEN", token);
        command.env("CI_JOB_URL", "https://git.example.org/ops/forge/-/jobs/7");
        Running::new(command.spawn().unwrap())
    };
    let token = job["token"].as_str().unwrap();
    run(&["apply", "--yes"], token).wait().exits(0).shows("3 done");
    forge.config(&CONFIG.replace("team: {}", "team: {description: New}"));
    let fault =
        forge.arm(json!({"methods": "write", "path": "^/api/v4/groups", "nth": 1, "latency_ms": 600_000}));
    let first = run(&["apply", "--yes"], token);
    forge.wait_for(fault);
    let second = run(&["apply", "--yes"], token).wait().exits(1);
    second.says("in https://git.example.org/ops/forge/-/jobs/7");
    first.signal("KILL");
    first.wait();
    let wrong = run(&["plan"], "glcbt-64_wrong").wait().exits(1);
    wrong.says("failed to use the state").says("state.gitlab.token");
}

fn a_token_that_only_reads_is_enough_for_a_plan() {
    let forge = forge();
    let (id, token) = forge.user("rita", &["read_api"]);
    forge.member("ops", id, 30);
    forge
        .run_as(&token, &["plan", "--detailed-exitcode"])
        .exits(2)
        .says("no state in main of the project ops/forge yet");
    assert_eq!(forge.document(), Value::Null);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.member("team", id, 40);
    let writes = forge.writes();
    forge
        .run_as(&token, &["plan", "--detailed-exitcode"])
        .exits(0)
        .shows("No changes");
    forge
        .run_as(&token, &["ledger", "list"])
        .exits(0)
        .shows("3 resources");
    forge
        .run_as(&token, &["apply", "--yes"])
        .exits(1)
        .says("Maintainer");
    assert_eq!(forge.writes() - writes, 1, "but for the lock that it was refused");
}

fn a_state_that_may_not_be_read_is_not_taken_for_none() {
    let forge = forge();
    forge.run(&["apply", "--yes"]).exits(0);
    // A guest sees the project, and not its state.
    let (id, guest) = forge.user("gus", &["api"]);
    forge.member("ops", id, 10);
    forge.member("team", id, 40);
    forge
        .run_as(&guest, &["plan"])
        .exits(1)
        .says("failed to use the state in main of the project ops/forge")
        .says("Developer");
    let (_, stranger) = forge.user("sam", &["api"]);
    for args in [&["plan"][..], &["apply", "--yes"]] {
        forge.run_as(&stranger, args).exits(1).says("create it first");
    }
    for fault in [
        json!({"status": 404}),
        json!({"status": 500}),
        json!({"status": 403}),
        json!({"status": 401}),
        json!({"drop": "before"}),
    ] {
        let mut rule = json!({"methods": "read", "path": "/terraform/"});
        rule.as_object_mut()
            .unwrap()
            .extend(fault.as_object().unwrap().clone());
        forge.arm(rule);
        for args in [&["plan"][..], &["apply", "--yes"]] {
            let run = forge.run(args);
            assert_eq!(run.code, Some(1), "{fault} {args:?}: {}", run.all());
            assert!(run.stderr.contains("failed to use the state"), "{}", run.all());
        }
        forge.disarm();
    }
    forge.run(&["unlock"]).exits(0).shows("Nothing is locked");
    forge.expect_converged();
    let missing = "autogit: 1\nstate: {gitlab: {project: ops/none, name: main}}\n";
    let head = format!(
        "gitlab: {{url: {}, token: {{env: AUTOGIT_TOKEN}}}}\n",
        forge.url()
    );
    std::fs::write(forge.dir.path().join("other.yaml"), format!("{missing}{head}")).unwrap();
    forge
        .run(&["plan", "--config", "other.yaml"])
        .exits(1)
        .says("create it first");
}

/// Saves a state as somebody else might have.
fn save(forge: &Forge, document: Value) {
    forge.admin.send(Method::POST, STATE, Some(document)).expect(200);
}

fn a_state_of_another_instance_is_refused() {
    let forge = forge();
    forge.run(&["apply", "--yes"]).exits(0);
    let mut other = forge.document();
    other["serial"] = 100.into();
    other["instance"] = "https://other.example.org".into();
    save(&forge, other.clone());
    for args in [&["plan"][..], &["apply", "--yes"], &["ledger", "list"]] {
        forge
            .run(args)
            .exits(1)
            .says("it belongs to https://other.example.org");
    }
    assert_eq!(forge.document(), other);
    other["serial"] = 101.into();
    other["version"] = 99.into();
    save(&forge, other.clone());
    forge.run(&["plan"]).exits(1).says("use a newer one");
    // Whatever it holds: who goes back to an earlier version for it loses what the newer program knows.
    other["serial"] = 102.into();
    other["resources"] = json!(["in another form"]);
    save(&forge, other);
    forge.run(&["plan"]).exits(1).says("use a newer one");
}

/// Edited by hand, or torn: nothing is planned from what is left of it, and nothing written over it.
fn a_state_that_makes_no_sense_is_refused() {
    let forge = forge();
    forge.run(&["apply", "--yes"]).exits(0);
    let good = forge.document();
    let mut serial = good["serial"].as_u64().unwrap();
    type Spoil = fn(&mut Value);
    let ways: [Spoil; 7] = [
        |document| document["resources"] = json!([]),
        |document| document["resources"] = json!({"nonsense": {"id": "1", "origin": "created"}}),
        |document| document["resources"]["group.team"] = json!({"id": 1, "origin": "created"}),
        |document| document["resources"]["group.team"] = json!({"id": "1", "origin": "stolen"}),
        |document| drop(document.as_object_mut().unwrap().remove("resources")),
        |document| document["fingerprint_key"] = "00ff".into(),
        |document| document["instance"] = "".into(),
    ];
    for (number, spoil) in ways.into_iter().enumerate() {
        let mut document = good.clone();
        serial += 1;
        document["serial"] = serial.into();
        spoil(&mut document);
        save(&forge, document.clone());
        let writes = forge.writes();
        forge.run(&["plan"]).exits(1).says("failed to");
        assert_eq!(forge.writes(), writes, "{number}");
        forge.run(&["apply", "--yes"]).exits(1);
        assert_eq!(forge.document(), document, "{number}");
    }
    serial += 1;
    let mut document = good.clone();
    document["serial"] = serial.into();
    save(&forge, document);
    forge.expect_converged();
}

fn a_state_of_another_program_is_refused() {
    let forge = forge();
    let terraform = json!({"version": 4, "serial": 3, "lineage": "x", "outputs": {}, "resources": []});
    save(&forge, terraform.clone());
    forge
        .run(&["apply", "--yes"])
        .exits(1)
        .says("it is not a state of AutoGit")
        .says("state.gitlab.name");
    assert_eq!(forge.document(), terraform);
}

fn no_secret_is_in_the_state() {
    let forge = forge();
    let run = forge.run(&["apply", "--yes", "-vvv"]).exits(0);
    let document = forge.document();
    let key = document["fingerprint_key"].as_str().unwrap();
    assert_eq!(key.len(), 64);
    assert!(!run.all().contains(key), "the key of the fingerprints is shown");
    assert!(!document.to_string().contains(forge.token()));
    assert!(
        !forge.dir.path().join(".autogit").exists(),
        "something is kept beside the config, too"
    );
}
