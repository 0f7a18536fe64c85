//! A planted token: whatever is printed, logged, saved or shown to other users of the machine, it is not in it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::{Forge, Run, files};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        no_token_in_any_output_or_file,
        no_token_in_the_process_list,
        an_echoed_token_is_not_repeated,
        a_program_gives_a_secret_only_when_allowed,
    ]
}

const CONFIG: &str = "groups: {team: {}}\nrepos: {team/api: {description: One}}\n";

#[track_caller]
fn expect_clean(canary: &str, run: &Run) {
    assert!(!run.all().contains(canary), "the token is in:\n{}", run.all());
}

#[track_caller]
fn expect_clean_files(canary: &str, folder: &Path) {
    for file in files(folder) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes
            .windows(canary.len())
            .any(|window| window == canary.as_bytes());
        assert!(!found, "the token is in {}", file.display());
    }
}

fn no_token_in_any_output_or_file() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let canary = forge.token().to_owned();
    let commands: [&[&str]; 16] = [
        &["validate", "--format", "json"],
        &["plan", "-vvv"],
        &["plan", "--format", "json", "--out", "plan.json"],
        &["plan", "--format", "markdown"],
        &["plan", "--explain", "repo.team/api"],
        &["status", "--format", "json", "-vvv"],
        &["apply", "plan.json", "-vvv", "--log-file", "log"],
        &["apply", "--yes", "--format", "json", "-vvv"],
        &["ledger", "list", "--format", "json"],
        &["status"],
        &["doctor", "-vvv"],
        &["doctor", "--format", "json"],
        &["unlock"],
        &["plan", "--target", "repo.none"],
        &["plan", "--config", "none.yaml"],
        &["schema"],
    ];
    for command in commands {
        expect_clean(&canary, &forge.run(command));
    }
    let log = std::fs::read_to_string(forge.dir.path().join("log")).unwrap();
    assert!(log.contains("/projects"), "the log tells nothing:\n{log}");
    for status in [400, 401, 403, 404, 422, 500] {
        forge.config("groups: {team: {description: Other}}\n");
        forge.arm(json!({"methods": "write", "status": status}));
        let run = forge.run(&["apply", "--yes", "-vvv"]).exits(1);
        expect_clean(&canary, &run);
        forge.disarm();
    }
    expect_clean_files(&canary, forge.dir.path());
    expect_clean(
        &canary,
        &forge.run_as(&format!("{canary}\n bad"), &["plan", "-vvv"]),
    );
}

fn no_token_in_the_process_list() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let fault = forge.arm(json!({"methods": "write", "nth": 1, "latency_ms": 600_000}));
    let run = forge.start(&["apply", "--yes"]);
    forge.wait_for(fault);
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc").unwrap() {
        // Processes come and go.
        let Ok(line) = std::fs::read(entry.unwrap().path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains(forge.token()), "{line:?}");
        seen += usize::from(line.contains("apply\0--yes"));
    }
    assert!(seen > 0, "the run was not among the processes");
    run.signal("KILL");
    run.wait();
}

/// GitLab, or a proxy before it, may say the token back.
fn an_echoed_token_is_not_repeated() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let canary = forge.token().to_owned();
    for status in [400, 403, 500, 200] {
        let echo = json!({"message": format!("bad token {canary}"), "token": canary});
        forge.arm(json!({"path": "^/api/v4/(groups|projects)", "status": status, "body": echo}));
        let run = forge
            .run(&["apply", "--yes", "-vvv", "--log-file", "log"])
            .exits(1);
        expect_clean(&canary, &run);
        expect_clean_files(&canary, forge.dir.path());
        forge.disarm();
    }
}

fn a_program_gives_a_secret_only_when_allowed() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let config = forge.dir.path().join("autogit.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let by_program = text.replace("{env: AUTOGIT_TOKEN}", "{exec: [printenv, AUTOGIT_TOKEN]}");
    std::fs::write(&config, by_program).unwrap();
    let refused = forge.run(&["plan"]).exits(1).says("--allow-exec");
    expect_clean(forge.token(), &refused);
    let plan = forge
        .run(&["plan", "--allow-exec", "-vvv", "--out", "plan.json"])
        .exits(0);
    expect_clean(forge.token(), &plan);
    expect_clean_files(forge.token(), forge.dir.path());
    // A program with a path is found from the config, wherever one stands.
    let script = forge.dir.path().join("give");
    std::fs::write(&script, "#!/bin/sh\nprintenv AUTOGIT_TOKEN\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(&config, text.replace("{env: AUTOGIT_TOKEN}", "{exec: [./give]}")).unwrap();
    forge.run(&["plan", "--allow-exec"]).exits(0);
    let name = forge.dir.path().file_name().unwrap().to_str().unwrap();
    let mut command = forge.autogit(&[
        "plan",
        "--allow-exec",
        "--config",
        &format!("{name}/autogit.yaml"),
    ]);
    command.current_dir(forge.dir.path().parent().unwrap());
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
