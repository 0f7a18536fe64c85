//! `autogit state`: a backup that can be put back, and a state that moves without anything being forgotten.

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Forge, STATE};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        what_is_pulled_can_be_pushed_in_any_store,
        a_state_that_is_older_or_of_another_instance_is_not_pushed,
        a_push_takes_the_lock,
        a_state_moves_with_all_that_is_known,
        a_state_that_is_there_is_not_moved_over,
    ]
}

const CONFIG: &str = "groups: {team: {description: The team}}\nrepos: {team/api: {}, team/web: {}}\n";

/// A forge on which the config was applied, with its state in either store.
fn applied(gitlab: bool) -> Forge {
    let forge = Forge::new();
    if gitlab {
        forge.keep_state_in_gitlab("");
    }
    forge.config(CONFIG);
    forge.run(&["apply", "--yes"]).exits(0);
    forge
}

/// Pulls the state into a file.
fn pull(forge: &Forge) -> Value {
    let document = forge.run(&["state", "pull"]).exits(0).json();
    write(forge, &document);
    document
}

fn write(forge: &Forge, document: &Value) {
    std::fs::write(forge.dir.path().join("backup.json"), document.to_string()).unwrap();
}

/// Asserts that the state knows what was last applied: a change made by hand is told from one of the config.
#[track_caller]
fn expect_known(forge: &Forge) {
    assert_eq!(forge.ledger().len(), 3);
    forge.expect_converged();
    let mine = json!({"description": "Mine"});
    forge.admin.put("groups/team", mine);
    forge.run(&["plan"]).exits(0).shows("changed outside AutoGit");
    forge.run(&["apply", "--yes"]).exits(0);
}

fn what_is_pulled_can_be_pushed_in_any_store() {
    for gitlab in [false, true] {
        let forge = applied(gitlab);
        let document = pull(&forge);
        assert_eq!(document["resources"].as_object().unwrap().len(), 3);
        forge
            .run(&["ledger", "forget", "group.team", "repo.team/api"])
            .exits(0);
        let older = forge.run(&["state", "push", "backup.json"]).exits(1);
        older.says("is there already").says("--force");
        assert_eq!(forge.ledger().len(), 1);
        let pushed = forge.run(&["state", "push", "--force", "backup.json"]).exits(0);
        pushed.shows("Pushed the state");
        expect_known(&forge);
        assert!(pull(&forge)["serial"].as_u64() > document["serial"].as_u64());
        // What was just pulled is not older.
        forge.run(&["state", "push", "backup.json"]).exits(0);
        expect_known(&forge);
    }
    let fresh = Forge::new();
    fresh.config(CONFIG);
    fresh.run(&["state", "pull"]).exits(1).says("there is none yet");
}

fn a_state_that_is_older_or_of_another_instance_is_not_pushed() {
    let forge = applied(true);
    let mut document = pull(&forge);
    document["serial"] = 50.into();
    document["instance"] = "https://old.example.org".into();
    write(&forge, &document);
    let before = forge.document();
    let refused = forge.run(&["state", "push", "backup.json"]).exits(1);
    refused
        .says("it belongs to https://old.example.org")
        .says("--force");
    document["version"] = 99.into();
    write(&forge, &document);
    forge
        .run(&["state", "push", "--force", "backup.json"])
        .exits(1)
        .says("use a newer one");
    write(&forge, &json!({"version": 4, "serial": 60, "lineage": "x"}));
    forge
        .run(&["state", "push", "--force", "backup.json"])
        .exits(1)
        .says("not a state of AutoGit");
    assert_eq!(forge.document(), before);
    document["version"] = 1.into();
    write(&forge, &document);
    forge.run(&["state", "push", "--force", "backup.json"]).exits(0);
    assert_eq!(forge.document()["serial"], 51);
    expect_known(&forge);
}

fn a_push_takes_the_lock() {
    let forge = applied(true);
    pull(&forge);
    let lock = json!({"ID": "7e1f", "Operation": "plan", "Info": "", "Who": "x", "Version": "1", "Created": "now", "Path": "x"});
    forge
        .admin
        .send(Method::POST, &format!("{STATE}/lock"), Some(lock))
        .expect(200);
    let before = forge.document();
    forge
        .run(&["state", "push", "backup.json"])
        .exits(1)
        .says("locked by root, since");
    forge
        .run(&["state", "move", "--to", "directory"])
        .exits(1)
        .says("locked by root, since");
    assert_eq!(forge.document(), before);
    forge.run(&["unlock", "--force"]).exits(0);
    forge.run(&["state", "push", "backup.json"]).exits(0);
    forge.run(&["unlock"]).exits(0).shows("Nothing is locked");
}

/// The same config, with its state beside it.
fn beside(forge: &Forge) -> [&'static str; 2] {
    let head = format!(
        "autogit: 1\ngitlab: {{url: {}, token: {{env: AUTOGIT_TOKEN}}}}\n",
        forge.url()
    );
    std::fs::write(forge.dir.path().join("beside.yaml"), head + CONFIG).unwrap();
    ["--config", "beside.yaml"]
}

fn a_state_moves_with_all_that_is_known() {
    let forge = applied(false);
    forge
        .run(&["state", "move", "--to", "gitlab"])
        .exits(1)
        .says("names no other store");
    forge.keep_state_in_gitlab("");
    forge.config(CONFIG);
    forge
        .run(&["state", "move", "--to", "gitlab"])
        .exits(0)
        .shows("Moved the state from .autogit/");
    expect_known(&forge);
    // Whoever still has the former config is stopped.
    let beside = beside(&forge);
    for command in ["plan", "apply"] {
        let run = forge.run(&[&[command][..], &beside].concat()).exits(1);
        run.says("it was moved to main of the project ops/forge");
    }
    forge.run(&["state", "move", "--to", "directory"]).exits(0);
    forge.run(&["plan"]).exits(1).says("it was moved to .autogit/");
    forge
        .run(&[&["plan", "--detailed-exitcode"][..], &beside].concat())
        .exits(0)
        .shows("No changes");
    forge
        .run(&[&["ledger", "list"][..], &beside].concat())
        .exits(0)
        .shows("3 resources");
    forge
        .run(&["state", "move", "--to", "directory"])
        .exits(1)
        .says("it was moved to");
    forge.run(&["state", "move", "--to", "gitlab"]).exits(0);
    expect_known(&forge);
    for place in ["gitlab", "directory"] {
        forge
            .run(&["state", "move", "--to", place, "--sandbox"])
            .exits(1)
            .says("names no other store");
    }
}

fn a_state_that_is_there_is_not_moved_over() {
    let forge = applied(true);
    let beside = beside(&forge);
    forge.run(&[&["apply", "--yes"][..], &beside].concat()).exits(0);
    let before = forge.document();
    let refused = forge.run(&["state", "move", "--to", "gitlab"]).exits(1);
    refused.says("there is a state already").says("--force");
    assert_eq!(forge.document(), before);
    forge
        .run(&["state", "move", "--to", "gitlab", "--force"])
        .exits(0);
    assert_ne!(forge.document()["fingerprint_key"], before["fingerprint_key"]);
    expect_known(&forge);
}
