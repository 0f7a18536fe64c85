//! The Docker Engine, asked through its own command: a second way to it beside AutoGit's.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What the names of all containers, volumes and networks of these tests begin with; the id of the test process follows.
pub(super) const PREFIX: &str = "autogit-test-";

/// Whether a Docker Engine answers. The first time, what killed test runs left behind goes.
pub(super) fn answers() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    *ANSWERS.get_or_init(|| {
        let answers = run(&["version"]).is_some_and(|output| output.status.success());
        if answers {
            remove_leftovers();
        }
        answers
    })
}

fn run(args: &[&str]) -> Option<Output> {
    Command::new("docker").args(args).output().ok()
}

/// Runs `docker` and gives what it printed, without the line's end.
#[track_caller]
pub fn docker(args: &[&str]) -> String {
    let output = run(args).expect("docker runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    assert!(
        output.status.success(),
        "docker {args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Removes every container, volume and network whose name begins with `name`, if there are any.
pub(super) fn remove(name: &str) {
    let filter = format!("name=^/?{name}");
    for (list, remove) in [
        (["ps", "-aq"].as_slice(), ["rm", "-fv"].as_slice()),
        (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        (&["network", "ls", "-q"], &["network", "rm"]),
    ] {
        let found = run(&[list, &["--filter", &filter]].concat());
        let found = found.map_or_else(String::new, |output| {
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
        let found: Vec<&str> = found.lines().collect();
        if !found.is_empty() {
            run(&[remove, &found].concat());
        }
    }
}

/// Removes what belongs to test processes that are no more.
fn remove_leftovers() {
    let filter = format!("name=^/?{PREFIX}");
    let mut names = String::new();
    for list in [
        ["ps", "-a", "--format", "{{.Names}}"].as_slice(),
        &["volume", "ls", "--format", "{{.Name}}"],
        &["network", "ls", "--format", "{{.Name}}"],
    ] {
        let output = run(&[list, &["--filter", &filter]].concat());
        names += &output.map_or_else(String::new, |output| {
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
    }
    let mut processes: Vec<&str> = names
        .lines()
        .filter_map(|name| name.strip_prefix(PREFIX)?.split('-').next())
        .filter(|process| !Path::new("/proc").join(process).exists())
        .collect();
    processes.sort_unstable();
    processes.dedup();
    for process in processes {
        remove(&format!("{PREFIX}{process}-"));
    }
}
