//! Living with an instance: how it is, what is wrong with it, what it says.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::docker::{self, Deployed, Wanted, docker};
use crate::process::Run;
use crate::support::eventually;

pub fn trials() -> Vec<Trial> {
    docker::on_the_standin(crate::trials![
        an_instance_is_looked_after,
        a_certificate_is_looked_at,
        nothing_is_known_of_what_is_not_there_yet,
    ])
}

fn status(deployed: &Deployed, code: i32) -> Value {
    let run = deployed.run(&["status", "--format", "json"]).exits(code);
    run.json()["instance"].clone()
}

/// Expects a check of the doctor to stand so, with these words.
#[track_caller]
fn expect(run: &Run, name: &str, state: &str, words: &str) {
    let diagnosis = run.json();
    let checks = diagnosis["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no check {name}: {diagnosis:#}"));
    assert_eq!(check["state"], state, "{check:#}");
    let found = check["found"].as_str().unwrap();
    assert!(found.contains(words), "{check:#}");
}

fn doctor(deployed: &Deployed, code: i32) -> Run {
    deployed.run(&["doctor", "--format", "json"]).exits(code)
}

/// One instance, as it is well, half down, and down.
fn an_instance_is_looked_after() {
    let deployed = Deployed::up("");
    it_is_well(&deployed);
    its_backups_are_judged(&deployed);
    its_logs_are_shown(&deployed);
    a_component_is_down(&deployed);
    its_own_checks_are_run(&deployed);
    it_is_down(&deployed);
}

fn its_backups_are_judged(deployed: &Deployed) {
    let now = jiff::Timestamp::now();
    let record = serde_json::json!({"attempted_at": now, "made": {"id": "20260131T030000Z-3fa9c1", "at": now, "size": 1}});
    std::fs::write(deployed.place("last-backup.json"), record.to_string()).unwrap();
    assert_eq!(
        status(deployed, 0)["backups"]["made"]["id"],
        "20260131T030000Z-3fa9c1"
    );
    deployed
        .run(&["status"])
        .exits(0)
        .shows(" s ago (20260131T030000Z-3fa9c1), never verified");
}

fn it_is_well(deployed: &Deployed) {
    let instance = status(deployed, 0);
    assert_eq!(instance["healthy"], true, "{instance:#}");
    assert_eq!(instance["container"]["state"], "running");
    assert_eq!(instance["version"], "18.8.4");
    assert_eq!(instance["readiness"]["parts"]["db_check"], Value::Null);
    assert_eq!(instance["certificate"], Value::Null);
    assert!(instance["token"]["ends_on"].is_string(), "{instance:#}");
    assert!(instance["disks"][0]["free"].as_u64() > Some(0), "{instance:#}");
    assert_eq!(instance["unknown"], serde_json::json!({}));
    let text = deployed.run(&["status"]).exits(0).stdout;
    for words in [
        "container    running",
        "readiness    ready",
        "token        ends in 36",
    ] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
    let run = doctor(deployed, 0);
    for (name, state) in [
        ("docker", "ok"),
        ("container", "ok"),
        ("components", "ok"),
        ("readiness", "ok"),
        ("gitlab_secrets", "ok"),
        ("host_keys", "ok"),
        ("gitlab_rb", "ok"),
        ("mail", "warning"),
        ("token", "ok"),
        ("migrations", "ok"),
    ] {
        expect(&run, name, state, "");
    }
}

fn its_logs_are_shown(deployed: &Deployed) {
    let logs = |args: &[&str], code| deployed.run(&[&["logs"], args].concat()).exits(code).all();
    assert!(logs(&[], 0).contains("gitlab Reconfigured!"));
    let last = deployed.run(&["logs", "-n", "1"]).exits(0).stdout;
    assert_eq!(last.lines().count(), 1, "{last}");
    assert!(logs(&["nowhere"], 1).contains("name one of"));
    // Whatever it is that wrote it there.
    let token = deployed.token();
    let write =
        format!("echo took {token} and glpat-abcdefghij0123456789 >> /var/log/gitlab/sidekiq/current");
    deployed.exec(&["sh", "-c", &write]);
    let shown = logs(&["sidekiq"], 0);
    assert!(shown.contains("took (secret) and [secret]"), "{shown}");
    let follows = deployed.start(&["logs", "sidekiq", "--follow", "-n", "0"]);
    let tails = || deployed.exec(&["sh", "-c", "ps | grep -c '[t]ail -n 0' || true"]);
    eventually("it follows", || (tails() == "1").then_some(()));
    deployed.exec(&["sh", "-c", "echo one more >> /var/log/gitlab/sidekiq/current"]);
    follows.wait_to_show("one more");
    follows.signal("INT");
    follows.wait().exits(130);
    eventually("nothing follows any more", || (tails() == "0").then_some(()));
}

fn a_component_is_down(deployed: &Deployed) {
    deployed.exec(&["gitlab-ctl", "stop", "sidekiq"]);
    let text = deployed.run(&["status"]).exits(1).stdout;
    assert!(text.contains("down: sidekiq"), "{text}");
    let run = doctor(deployed, 1);
    expect(&run, "components", "failed", "down: sidekiq");
    deployed.exec(&["gitlab-ctl", "start", "sidekiq"]);
    assert_eq!(status(deployed, 0)["healthy"], true);
}

fn its_own_checks_are_run(deployed: &Deployed) {
    let run = deployed.run(&["doctor", "--deep", "--format", "json"]).exits(0);
    expect(&run, "gitlab_check", "ok", "nothing wrong");
    expect(&run, "gitlab_doctor", "ok", "can be read");
    // Other keys than the data is encrypted with.
    let keys = "/etc/gitlab/gitlab-secrets.json";
    deployed.exec(&[
        "sh",
        "-c",
        &format!("cp {keys} /tmp/kept && sed -i 's/db_key_base\": \"./&0/' {keys}"),
    ]);
    let run = deployed.run(&["doctor", "--deep", "--format", "json"]).exits(1);
    expect(&run, "gitlab_doctor", "failed", "1 of ApplicationSetting");
    deployed.exec(&["cp", "/tmp/kept", keys]);
    deployed.exec(&[
        "sh",
        "-c",
        "echo \"nginx['listen_port'] = 81\" >> /etc/gitlab/gitlab.rb",
    ]);
    let run = doctor(deployed, 0);
    expect(&run, "gitlab_rb", "warning", "nginx['listen_port']");
}

fn it_is_down(deployed: &Deployed) {
    docker(&["stop", "-t", "5", &deployed.name]);
    let began = std::time::Instant::now();
    let instance = status(deployed, 1);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(instance["healthy"], false);
    assert_eq!(instance["container"]["state"], "exited");
    assert_eq!(instance["version"], "18.8.4", "{instance:#}");
    assert!(instance["unknown"]["readiness"].is_string(), "{instance:#}");
    assert!(instance["disks"][0]["size"].as_u64() > Some(0), "{instance:#}");
    let run = doctor(deployed, 1);
    expect(&run, "container", "failed", "does not run: exited");
    expect(&run, "reachable", "failed", "");
    let logs = deployed.run(&["logs", "-n", "1000"]).exits(0);
    assert!(logs.stdout.contains("Reconfigured!"), "{}", logs.all());
}

fn a_certificate_is_looked_at() {
    let deployed = Deployed::without_config();
    deployed.config(Wanted {
        url: format!("https://localhost:{}", deployed.port),
        ports: format!(
            "https: '127.0.0.1:{}', ssh: '127.0.0.1:{}'",
            deployed.port, deployed.ssh
        ),
        deploy: "tls: {self_signed: {}}",
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    let instance = status(&deployed, 0);
    let ends: jiff::Timestamp = instance["certificate"]["ends_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(ends > jiff::Timestamp::now(), "{instance:#}");
    expect(&doctor(&deployed, 0), "certificate", "ok", "it ends in ");
}

fn nothing_is_known_of_what_is_not_there_yet() {
    let deployed = Deployed::new();
    let instance = status(&deployed, 1);
    assert_eq!(instance["container"], Value::Null);
    expect(&doctor(&deployed, 1), "container", "failed", "there is none");
    let logs = deployed.run(&["logs"]).exits(1);
    assert!(
        logs.all().contains("no such container") || logs.all().contains("No such container"),
        "{}",
        logs.all()
    );
}
