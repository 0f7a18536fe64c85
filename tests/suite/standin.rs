//! The stand-in for GitLab's image: that it says no where the real one does, and that what it gives can be relied on.

use std::io::Write;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::docker::{self, Deployed, docker, of};
use crate::support::{Http, eventually};

pub fn trials() -> Vec<Trial> {
    docker::on_the_standin(crate::trials![
        a_reconfigure_refuses_what_omnibus_refuses,
        a_token_is_set_in_the_console,
        an_upgrade_that_jumps_a_stop_does_not_start,
        a_backup_is_restored_by_the_same_release_only,
    ])
}

/// Runs the stand-in of a release on the volumes of `deployed`, in place of what ran before.
fn start(deployed: &Deployed, release: &str) {
    let Deployed { name, port, .. } = deployed;
    let _ = Command::new("docker").args(["rm", "-f", name]).output();
    // Not the default bridge: another Docker Engine on this host may have removed it.
    let _ = Command::new("docker").args(["network", "create", name]).output();
    let volume = |what: &str, path: &str| format!("{name}-{what}:{path}");
    let (config, logs, data) = (
        volume("config", "/etc/gitlab"),
        volume("logs", "/var/log/gitlab"),
        volume("data", "/var/opt/gitlab"),
    );
    let publish = format!("127.0.0.1:{port}:80");
    docker(&[
        "run",
        "-d",
        "--name",
        name,
        "--network",
        name,
        "-p",
        &publish,
        "-v",
        &config,
        "-v",
        &logs,
        "-v",
        &data,
        &of(release),
    ]);
}

fn wait_until_ready(deployed: &Deployed) {
    let check = [
        "exec",
        &deployed.name,
        "curl",
        "-fs",
        "http://localhost/-/readiness?all=1",
    ];
    eventually("it is ready", || {
        let output = Command::new("docker").args(check).output().unwrap();
        output.status.success().then_some(())
    });
}

/// Runs a command in the container with this as its input: whether it went well, and what it said.
fn with_input(deployed: &Deployed, command: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new("docker")
        .args(["exec", "-i", &deployed.name])
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn a_reconfigure_refuses_what_omnibus_refuses() {
    let deployed = Deployed::without_config();
    start(&deployed, docker::RELEASE);
    wait_until_ready(&deployed);
    let reconfigure = "cat >/etc/gitlab/gitlab.rb && gitlab-ctl reconfigure";
    for (settings, why) in [
        (
            "gitlab_rials['time_zone'] = 'UTC'",
            "unsupported config value gitlab_rials",
        ),
        ("gitlab_rails['time_zone' = 'UTC'", "syntax error"),
        (
            "gitlab_rails['time_zone'] = 'Nowhere/Invalid'",
            "Invalid Timezone",
        ),
        ("external_url 'gitlab.example.com'", "schema and FQDN"),
        ("external_url 'https://gitlab.example.com'", "letsencrypt"),
        ("nginx['listen_port'] = 'no port'", "nginx refuses"),
    ] {
        let (went_well, said) = with_input(&deployed, &["sh", "-c", reconfigure], settings);
        assert!(!went_well && said.contains(why), "{settings}:\n{said}");
    }
    let good = "gitlab_rails['time_zone'] = 'Europe/Berlin'\nputs 'evaluated by Ruby'";
    let (went_well, said) = with_input(&deployed, &["sh", "-c", reconfigure], good);
    assert!(went_well && said.contains("evaluated by Ruby"), "{said}");
    assert_eq!(deployed.settings()["gitlab_rails"]["time_zone"], "Europe/Berlin");

    // Who asks from elsewhere is told nothing about its health.
    wait_until_ready(&deployed);
    let outside = Http::new(&deployed.wanted().url, "");
    assert!(!outside.has("/-/readiness") && outside.has("/users/sign_in"));
}

fn a_token_is_set_in_the_console() {
    let deployed = Deployed::without_config();
    start(&deployed, "18.8.4-ee.0");
    wait_until_ready(&deployed);
    let value = "glpat-abcdefghijklmnopqrst";
    let script = format!(
        "root = User.find_by_username('root')
         token = root.personal_access_tokens.build(name: 'made', scopes: ['api', 'admin_mode'], expires_at: 365.days.from_now)
         token.set_token('{value}')
         token.save!
         raise 'lost' unless PersonalAccessToken.find_by_token('{value}').active?
         print File.readable?('/etc/gitlab/gitlab-secrets.json'), Process.uid"
    );
    let (went_well, said) = with_input(&deployed, &["gitlab-rails", "runner", "-"], &script);
    // GitLab's own user, who cannot read what is root's.
    assert!(went_well && said == "false998", "{said}");
    let made = Http::new(&deployed.wanted().url, value);
    assert_eq!(made.get("metadata")["version"], "18.8.4-ee");

    let (went_well, said) = with_input(
        &deployed,
        &["gitlab-rails", "runner", "-"],
        "User.find_by_mail('x')",
    );
    assert!(!went_well && said.contains("undefined method"), "{said}");
}

fn an_upgrade_that_jumps_a_stop_does_not_start() {
    let deployed = Deployed::without_config();
    start(&deployed, "18.2.4-ce.0");
    wait_until_ready(&deployed);
    start(&deployed, "18.8.4-ce.0");
    eventually("it ends", || {
        (deployed.inspect(".State.Status") == "exited").then_some(())
    });
    assert_eq!(deployed.inspect(".State.ExitCode"), "1");
    start(&deployed, "18.5.3-ce.0");
    wait_until_ready(&deployed);
}

fn a_backup_is_restored_by_the_same_release_only() {
    let deployed = Deployed::without_config();
    start(&deployed, docker::RELEASE);
    wait_until_ready(&deployed);
    deployed.exec(&["gitlab-backup", "create", "CRON=1", "BACKUP=kept"]);
    let restore = |name: &str| {
        let script = format!(
            "gitlab-ctl stop puma sidekiq && GITLAB_ASSUME_YES=1 gitlab-backup restore BACKUP={name}"
        );
        with_input(&deployed, &["sh", "-c", &script], "")
    };
    let (went_well, said) = with_input(&deployed, &["gitlab-backup", "restore", "BACKUP=kept"], "yes\n");
    assert!(!went_well && said.contains("accessed by other users"), "{said}");
    let (went_well, said) = restore("lost");
    assert!(!went_well && said.contains("does not exist"), "{said}");
    let (went_well, said) = restore("kept");
    assert!(went_well, "{said}");

    // Data under other secrets than it was written with.
    let doctor = || deployed.exec(&["gitlab-rake", "gitlab:doctor:secrets"]);
    assert!(doctor().contains("Total: 0 row(s) affected"));
    deployed.exec(&[
        "sh",
        "-c",
        "rm /etc/gitlab/gitlab-secrets.json && gitlab-ctl reconfigure",
    ]);
    assert!(doctor().contains("Total: 1 row(s) affected"));

    start(&deployed, "18.8.5-ce.0");
    wait_until_ready(&deployed);
    let (went_well, said) = restore("kept");
    assert!(!went_well && said.contains("version mismatch"), "{said}");
}
