//! Changing the version of an instance, on releases of the stand-in.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::docker::{self, Deployed, Wanted, of};

pub fn trials() -> Vec<Trial> {
    docker::on_the_standin(crate::trials![
        an_instance_goes_from_stop_to_stop,
        an_upgrade_awaits_background_migrations,
        a_backup_is_made_before_the_version_changes,
        an_edition_goes_one_way,
    ])
}

/// What is asked: no backup, and little patience.
const QUICK: &str = "upgrade: {backup: false, migrations_within: 20s}";

/// Writes the config for this release.
fn release(deployed: &Deployed, release: &str) {
    deployed.config(Wanted {
        image: of(release),
        deploy: QUICK,
        ..deployed.wanted()
    });
}

/// An instance of this release.
fn up(at: &str) -> Deployed {
    let deployed = Deployed::without_config();
    release(&deployed, at);
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed
}

/// What the data was last used by.
fn version(deployed: &Deployed) -> String {
    deployed.exec(&["cat", "/var/opt/gitlab/gitlab-rails/VERSION"])
}

/// Expects plan and apply to refuse in these words, and the container to stay as it is.
#[track_caller]
fn refused(deployed: &Deployed, words: &[&str]) {
    let before = deployed.inspect(".State.StartedAt");
    for command in [["plan"].as_slice(), &["apply", "--yes", "--allow", "lock-out"]] {
        let run = deployed.run(command).exits(1);
        for word in words {
            assert!(run.all().contains(word), "no `{word}` in:\n{}", run.all());
        }
    }
    assert_eq!(deployed.inspect(".State.StartedAt"), before);
}

fn an_instance_goes_from_stop_to_stop() {
    let deployed = up("18.2.4-ce.0");
    release(&deployed, "18.8.4-ce.0");
    refused(
        &deployed,
        &[
            "deploy the last patch of 18.5 first",
            "18.2.4 → 18.5.x → 18.8.4",
            "autogit.yaml:",
        ],
    );
    deployed.config(Wanted {
        image: of("18.5.3-ce.0"),
        ..deployed.wanted()
    });
    refused(&deployed, &["does not say where to", "upgrade: {backup: false}"]);
    release(&deployed, "18.5.3-ce.0");
    let plan = deployed.run(&["plan"]).exits(0);
    for step in [
        "upgrade 18.2.4 → 18.5.3, in this order:",
        "1. the settings are checked against 18.5.3",
        "2. background migrations of 18.2.4 are awaited, up to 20s",
        "3. no backup is made",
    ] {
        assert!(plan.stdout.contains(step), "no `{step}` in:\n{}", plan.all());
    }
    deployed.run(&["apply", "--yes", "--allow", "lock-out"]).exits(0);
    assert_eq!(version(&deployed), "18.5.3");
    deployed.expect_converged();
    release(&deployed, "18.2.4-ce.0");
    refused(
        &deployed,
        &["cannot go back from 18.5.3 to 18.2.4", "autogit backup restore"],
    );
    // Removed by hand, its data still says what it is of.
    docker::docker(&["rm", "-f", &deployed.name]);
    let plan = deployed.run(&["plan"]).exits(1);
    assert!(
        plan.all().contains("cannot go back from 18.5.3"),
        "{}",
        plan.all()
    );
}

fn a_backup_is_made_before_the_version_changes() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("backups");
    let deployed = Deployed::without_config();
    let to = format!("backup: {{to: {{directory: '{}'}}}}", folder.display());
    let release = |release: &str| {
        deployed.config(Wanted {
            image: of(release),
            deploy: &to,
            ..deployed.wanted()
        });
    };
    release("18.8.4-ce.0");
    deployed.run(&["apply", "--yes"]).exits(0);
    release("18.8.5-ce.0");
    // A backup that cannot be made keeps the old version running.
    std::fs::write(&folder, "no directory").unwrap();
    let before = deployed.inspect(".State.StartedAt");
    deployed.run(&["apply", "--yes"]).exits(1);
    assert_eq!(deployed.inspect(".State.StartedAt"), before);
    assert_eq!(version(&deployed), "18.8.4");
    std::fs::remove_file(&folder).unwrap();
    deployed.run(&["apply", "--yes"]).exits(0);
    assert_eq!(version(&deployed), "18.8.5");
    let listed = deployed
        .run(&["backup", "list", "--format", "json"])
        .exits(0)
        .json();
    let backups = listed["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 1, "{listed:#}");
    assert_eq!(backups[0]["gitlab"]["version"], "18.8.4", "{listed:#}");
    deployed.expect_converged();
}

/// Leaves a migration to do.
fn migration(deployed: &Deployed, status: &str) -> u64 {
    let wanted = json!({
        "job_class_name": "BackfillOfTheTest", "table_name": "users", "column_name": "id", "status": status,
    });
    let made = ask(deployed, "POST", "", &wanted);
    made["id"].as_u64().unwrap()
}

fn change(deployed: &Deployed, migration: u64, status: &str) {
    ask(
        deployed,
        "PATCH",
        &format!("/{migration}"),
        &json!({"status": status}),
    );
}

/// Asks the sandbox in the stand-in, which does what GitLab's console could.
fn ask(deployed: &Deployed, method: &str, below: &str, body: &Value) -> Value {
    let script = r#"curl -sS --fail -X "$1" -H "PRIVATE-TOKEN: $(cat /var/opt/gitlab/standin/sandbox/token)" \
        -H 'Content-Type: application/json' -d "$3" "http://127.0.0.1:8080/-/sandbox/batched_background_migrations$2""#;
    let answer = deployed.exec(&["sh", "-c", script, "sh", method, below, &body.to_string()]);
    serde_json::from_str(&answer).unwrap_or_default()
}

fn an_upgrade_awaits_background_migrations() {
    let deployed = up("18.5.3-ce.0");
    let failed = migration(&deployed, "failed");
    release(&deployed, "18.8.4-ce.0");
    let before = deployed.inspect(".State.StartedAt");
    let apply = ["apply", "--yes", "--allow", "lock-out"];
    let run = deployed.run(&apply).exits(1);
    for words in [
        "1 background migration is stuck",
        "main_1: BackfillOfTheTest of users (failed)",
        "retry it",
    ] {
        assert!(run.all().contains(words), "no `{words}` in:\n{}", run.all());
    }
    change(&deployed, failed, "active");
    let run = deployed.run(&apply).exits(1);
    assert!(
        run.all()
            .contains("after 20s 1 background migration is not finished"),
        "{}",
        run.all()
    );
    assert_eq!(deployed.inspect(".State.StartedAt"), before, "it was touched");
    assert_eq!(version(&deployed), "18.5.3");
    let running = deployed.start(&apply);
    std::thread::sleep(Duration::from_secs(4));
    change(&deployed, failed, "finished");
    let run = running.wait().exits(0);
    let heard = run.all();
    assert!(
        heard.contains("waiting: 1 background migration goes on"),
        "{heard}"
    );
    assert!(heard.contains("no background migration is left"), "{heard}");
    assert_eq!(version(&deployed), "18.8.4");
    // A patch needs none of this.
    migration(&deployed, "active");
    release(&deployed, "18.8.5-ce.0");
    deployed.run(&apply).exits(0);
    assert_eq!(version(&deployed), "18.8.5");
}

fn an_edition_goes_one_way() {
    let deployed = up("18.8.4-ce.0");
    release(&deployed, "18.8.4-ee.0");
    let plan = deployed.run(&["plan"]).exits(0);
    assert!(
        plan.stdout.contains("becomes the Enterprise Edition"),
        "{}",
        plan.all()
    );
    deployed.run(&["apply", "--yes", "--allow", "lock-out"]).exits(0);
    assert_eq!(version(&deployed), "18.8.4-ee");
    release(&deployed, "18.8.4-ce.0");
    refused(
        &deployed,
        &[
            "Enterprise Edition cannot run as Community Edition",
            "convert_to_ee/revert",
        ],
    );
}
