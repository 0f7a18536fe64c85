//! The instance itself from an empty host to a second apply that changes nothing, on a real Docker Engine.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;

use crate::docker::{self, Deployed, Wanted, docker};
use crate::process::Run;
use crate::support::{eventually, files};

pub fn trials() -> Vec<Trial> {
    docker::on_an_engine(crate::trials![
        a_plan_of_a_new_instance_is_provisional,
        an_empty_host_becomes_an_instance_with_its_contents,
        https_is_had_with_an_authority_of_its_own,
        a_restart_of_the_container_changes_nothing,
        a_port_that_is_taken_is_told_before_anything_is_done,
        no_secret_is_seen_from_outside,
        of_two_applies_one_says_who_holds_the_lock,
    ])
}

const CONTENTS: &str =
    "groups: {team: {}}\nrepos: {team/app: {description: The app, initialize_with_readme: true}}\n";

fn a_plan_of_a_new_instance_is_provisional() {
    let deployed = Deployed::new();
    deployed
        .run(&["plan"])
        .exits(0)
        .shows("the instance does not exist yet");
    assert!(!deployed.is_there());
}

fn an_empty_host_becomes_an_instance_with_its_contents() {
    let deployed = Deployed::up(CONTENTS);
    let app = deployed.admin().get("projects/team%2Fapp");
    assert_eq!(app["description"], "The app");
    let clone = format!("http://127.0.0.1:{}/team/app.git", deployed.port);
    assert_eq!(app["http_url_to_repo"], clone);
    assert!(banner(deployed.ssh).starts_with("SSH-2.0-"));

    let before = (deployed.inspect(".Id"), deployed.inspect(".State.StartedAt"));
    deployed.expect_converged();
    deployed.run(&["apply", "--yes"]).exits(0).shows("No changes");
    let after = (deployed.inspect(".Id"), deployed.inspect(".State.StartedAt"));
    assert_eq!(before, after, "a second apply touched the container");
}

/// What an SSH server says first.
fn banner(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut banner = [0; 8];
    stream.read_exact(&mut banner).unwrap();
    String::from_utf8_lossy(&banner).into_owned()
}

fn https_is_had_with_an_authority_of_its_own() {
    let deployed = Deployed::without_config();
    let url = format!("https://localhost:{}", deployed.port);
    let ports = format!(
        "https: '127.0.0.1:{}', ssh: '127.0.0.1:{}'",
        deployed.port, deployed.ssh
    );
    deployed.config(Wanted {
        url: url.clone(),
        ports,
        deploy: "tls: {self_signed: {}}",
        rest: CONTENTS,
        ..deployed.wanted()
    });
    // The last rounds of this go over the certificate.
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();

    let authority = deployed.place("ca/ca.pem");
    let curl = |args: &[&str]| {
        let mut curl = Command::new("curl");
        let output = curl
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(args);
        let output = output.arg(format!("{url}/users/sign_in")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(curl(&["--cacert", authority.to_str().unwrap()]), "200");
    assert_eq!(curl(&[]), "000", "nobody else trusts it");
}

fn a_restart_of_the_container_changes_nothing() {
    let deployed = Deployed::up(CONTENTS);
    let keys = || deployed.exec(&["sh", "-c", "cat /etc/gitlab/ssh_host_*_key.pub"]);
    let before = keys();
    docker(&["restart", &deployed.name]);
    // An apply waits for it to be ready again.
    deployed.run(&["apply", "--yes"]).exits(0).shows("No changes");
    deployed.expect_converged();
    assert_eq!(before, keys());
    assert!(deployed.admin().has("projects/team%2Fapp"));
}

fn a_port_that_is_taken_is_told_before_anything_is_done() {
    let deployed = Deployed::new();
    let _taken = TcpListener::bind(("127.0.0.1", deployed.port)).unwrap();
    let port = deployed.port.to_string();
    let plan = deployed.run(&["plan"]);
    assert_ne!(plan.code, Some(0), "{}", plan.all());
    plan.says(&port);
    deployed.run(&["apply", "--yes"]).exits(1).says(&port);
    assert!(!deployed.is_there());
}

fn no_secret_is_seen_from_outside() {
    const CANARY: &str = "canary-c0ffee-password";
    let mut deployed = Deployed::without_config();
    deployed.environment.insert("ROOT_PASSWORD".into(), CANARY.into());
    deployed.config(Wanted {
        deploy: "admin: {password: {env: ROOT_PASSWORD}}",
        ..deployed.wanted()
    });
    let (apply, commands) = watching_processes(|| deployed.run(&["apply", "--yes"]));
    let apply = apply.exits(0);
    let token = deployed.token();
    let plan = deployed.run(&["plan", "--format", "json"]).exits(0);
    let seen = [
        (
            "a process list",
            commands.into_iter().collect::<Vec<_>>().join("\n"),
        ),
        ("docker inspect", docker(&["inspect", &deployed.name])),
        ("docker logs", logs(&deployed.name)),
        ("apply", apply.all()),
        ("a plan", plan.all()),
        ("the environment", deployed.exec(&["env"])),
    ];
    for (place, text) in &seen {
        for secret in [CANARY, &token] {
            assert!(!text.contains(secret), "{place} holds {secret}:\n{text}");
        }
    }
    assert!(seen[0].1.contains("autogit"), "the process list was not read");
    for file in files(&deployed.dir.path().join(".autogit")) {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        let text = std::fs::read(&file).unwrap_or_default();
        let holds = [CANARY, &token]
            .iter()
            .any(|secret| String::from_utf8_lossy(&text).contains(secret));
        assert!(!holds || mode & 0o077 == 0, "{} is {mode:o}", file.display());
        let may = file == deployed.place("token") || file.parent() == Some(&deployed.place("etc/secrets"));
        assert!(!holds || may, "{} holds a secret", file.display());
    }
}

/// Both outputs of the container.
fn logs(name: &str) -> String {
    let output = Command::new("docker").args(["logs", name]).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Runs something, and gives every command line that any process had while it ran.
fn watching_processes(run: impl FnOnce() -> Run) -> (Run, BTreeSet<String>) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                seen.extend(command_lines());
                std::thread::sleep(Duration::from_millis(5));
            }
            seen
        });
        let run = run();
        over.store(true, Ordering::Relaxed);
        (run, watcher.join().unwrap())
    })
}

fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes
        .map(|process| std::fs::read(Path::new(&process.path()).join("cmdline")).unwrap_or_default());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

fn of_two_applies_one_says_who_holds_the_lock() {
    let deployed = Deployed::new();
    let first = deployed.start(&["apply", "--yes"]);
    eventually("the container is there", || deployed.is_there().then_some(()));
    let second = deployed.run(&["apply", "--yes"]).exits(1);
    second.says("lock").says(&first.id().to_string());
    first.wait().exits(0);
}
