//! The doctor tells the truth: of the token, of GitLab, of what is kept beside the config. And changes nothing.

use std::os::unix::fs::PermissionsExt;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::process::{Run, Running};
use crate::support::{Forge, files};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        it_works_before_there_is_a_config_and_leaves_nothing_behind,
        a_right_that_is_missing_is_named_with_how_often,
        a_reading_token_may_read_and_not_write,
        a_token_that_is_no_good_says_why,
        an_administrator_held_back_by_admin_mode_is_told,
        what_gitlab_is_decides,
        a_config_is_examined_with_all_that_is_beside_it,
        what_is_wrong_beside_the_config_is_found,
        the_token_goes_only_where_the_guard_says,
    ]
}

const CONFIG: &str = "groups: {team: {}}\nrepos: {team/api: {}, team/web: {}}\n";

fn by_url(forge: &Forge, token: &str) -> Run {
    forge.run_as(token, &["doctor", "--url", forge.url(), "--format", "json"])
}

/// The check of this name.
#[track_caller]
fn check(run: &Run, name: &str) -> Value {
    let diagnosis = run.json();
    let mut checks = diagnosis["checks"].as_array().unwrap().iter();
    let found = checks.rfind(|check| check["name"] == name);
    found
        .unwrap_or_else(|| panic!("{name} was not judged: {}", run.all()))
        .clone()
}

#[track_caller]
fn expect(run: &Run, name: &str, state: &str, words: &str) {
    let check = check(run, name);
    assert_eq!(check["state"], state, "{check}");
    assert!(check.to_string().contains(words), "`{words}` is not in {check}");
}

/// What is said of reading or writing a kind: the answer, and what is missing.
fn right(run: &Run, kind: &str, what: &str) -> (String, String) {
    let diagnosis = run.json();
    let mut kinds = diagnosis["kinds"].as_array().unwrap().iter();
    let right = &kinds.find(|rights| rights["kind"] == kind).unwrap()[what];
    (
        right["answer"].as_str().unwrap().to_owned(),
        right["missing"].to_string(),
    )
}

fn it_works_before_there_is_a_config_and_leaves_nothing_behind() {
    let forge = Forge::new();
    let run = forge.run(&["doctor", "--url", forge.url()]).exits(0);
    let run = run.shows("root, an administrator").shows("Community Edition");
    assert!(!run.stdout.contains(forge.token()), "{}", run.all());
    assert_eq!(files(forge.dir.path()), [""; 0].map(std::path::PathBuf::from));
    let mut command = forge.autogit(&["doctor", "--url", forge.url(), "--token-env", "OTHER"]);
    command.env_remove("AUTOGIT_TOKEN").env("OTHER", forge.token());
    Running::new(command.spawn().unwrap()).wait().exits(0);
    let run = by_url(&forge, forge.token()).exits(0);
    for kind in run.json()["kinds"].as_array().unwrap() {
        assert_eq!(
            (&kind["read"]["answer"], &kind["write"]["answer"]),
            (&json!("yes"), &json!("yes"))
        );
    }
    assert_eq!(forge.writes(), 0);
}

fn a_right_that_is_missing_is_named_with_how_often() {
    let forge = Forge::applied(CONFIG);
    let (id, token) = forge.user("rita", &["api"]);
    let run = by_url(&forge, &token).exits(0);
    let (answer, missing) = right(&run, "repo", "write");
    assert_eq!(answer, "no");
    assert!(missing.contains("the user is in no repo"), "{missing}");
    forge.member("team", id, 30);
    let maintainer = json!({"user_id": id, "access_level": 40});
    forge.admin.post("projects/team%2Fapi/members", maintainer);
    let writes = forge.writes();
    let run = by_url(&forge, &token).exits(0);
    assert_eq!(right(&run, "repo", "read").0, "partly");
    let (answer, missing) = right(&run, "protected_branch", "write");
    assert_eq!(answer, "partly");
    assert!(
        missing.contains("Maintainer: the user is that in 1 of 2 repos"),
        "{missing}"
    );
    let (answer, missing) = right(&run, "group", "write");
    assert_eq!(answer, "no");
    assert!(
        missing.contains("Owner: the user is that in none of 1 group"),
        "{missing}"
    );
    assert_eq!(right(&run, "group", "read").0, "yes");
    assert_eq!(forge.writes(), writes, "a doctor wrote");
    forge
        .run_as(&token, &["doctor", "--url", forge.url()])
        .exits(0)
        .shows("write: needs Maintainer: the user is that in 1 of 2 repos");
}

fn a_reading_token_may_read_and_not_write() {
    let forge = Forge::applied(CONFIG);
    let (id, token) = forge.user("rita", &["read_api"]);
    forge.member("team", id, 50);
    let run = by_url(&forge, &token).exits(0);
    expect(&run, "scopes", "ok", "apply needs `api`");
    for kind in ["group", "repo", "protected_branch"] {
        assert_eq!(right(&run, kind, "read"), ("yes".into(), "null".into()));
        let (answer, missing) = right(&run, kind, "write");
        assert_eq!(answer, "no");
        assert!(missing.contains("the scope `api`"), "{missing}");
    }
    let (_, token) = forge.user("rob", &["read_repository"]);
    let run = by_url(&forge, &token).exits(1);
    expect(&run, "scopes", "failed", "`read_api` to plan");
}

fn a_token_that_is_no_good_says_why() {
    let forge = Forge::new();
    let (id, token) = forge.user("rita", &["api"]);
    let (_, revoked) = forge.user("rob", &["api"]);
    expect(&by_url(&forge, &token).exits(0), "token", "ok", "`test`");
    let tokens = forge.admin.get("personal_access_tokens");
    let mut tokens = tokens.as_array().unwrap().iter();
    let robs = tokens
        .find(|token| token["user_id"] != id && token["name"] == "test")
        .unwrap();
    let path = format!("personal_access_tokens/{}", robs["id"]);
    forge.admin.send(reqwest::Method::DELETE, &path, None).expect(204);
    let run = by_url(&forge, &revoked).exits(1);
    expect(&run, "token", "failed", "it was revoked");
    expect(&run, "gitlab", "ok", "");
    assert_eq!(right(&run, "repo", "read").0, "not_known");
    expect(
        &by_url(&forge, "glcbt-64_x").exits(1),
        "token",
        "failed",
        "CI job token",
    );
    expect(
        &by_url(&forge, "glpat-wrong").exits(1),
        "token",
        "failed",
        "does not know it",
    );
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 12);
    let soon = json!({"name": "soon", "scopes": ["api"], "expires_at": &soon.to_string()[..10]});
    let soon = forge
        .admin
        .post(&format!("users/{id}/personal_access_tokens"), soon);
    let run = by_url(&forge, soon["token"].as_str().unwrap()).exits(0);
    expect(&run, "expiry", "warning", "it expires in 12 days");
    let expired = json!({"error": "invalid_token", "error_description": "Token is expired. You can either do re-authorization or token refresh."});
    forge.arm(json!({"path": "/self$", "status": 401, "body": expired}));
    expect(
        &by_url(&forge, &token).exits(1),
        "token",
        "failed",
        "it has expired",
    );
}

fn an_administrator_held_back_by_admin_mode_is_told() {
    let forge = Forge::new();
    let seen = json!({"id": 1, "username": "root"});
    forge.arm(json!({"path": "/users/1$", "status": 200, "body": seen}));
    let run = by_url(&forge, forge.token()).exits(0);
    expect(&run, "admin_mode", "warning", "`admin_mode`");
    assert_eq!(right(&run, "repo", "write").0, "no", "it owns nothing itself");
}

fn what_gitlab_is_decides() {
    let forge = Forge::with(|options| options.edition = gitlab_sandbox::Edition::Ee);
    let (_, token) = forge.user("rita", &["read_api"]);
    let run = by_url(&forge, &token).exits(0);
    expect(&run, "version", "ok", "Enterprise Edition");
    expect(&run, "licence", "not_known", "administrators only");
    let licence = json!({"plan": "premium", "expired": true, "expires_at": "2020-01-01"});
    forge.arm(json!({"path": "/license$", "status": 200, "body": licence}));
    let run = by_url(&forge, forge.token()).exits(0);
    expect(&run, "licence", "warning", "premium, expired");
    let old = json!({"version": "16.11.4", "enterprise": false});
    forge.arm(json!({"path": "/metadata$", "nth": 2, "status": 200, "body": old}));
    let run = by_url(&forge, forge.token()).exits(1);
    expect(&run, "version", "failed", "17.0 or later");
    forge.disarm();
    forge.arm(json!({"path": "/metadata$", "status": 503}));
    let run = by_url(&forge, forge.token()).exits(1);
    expect(&run, "gitlab", "failed", "503");
    expect(&run, "token", "not_known", "not sent");
}

fn a_config_is_examined_with_all_that_is_beside_it() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let run = forge.run(&["doctor", "--format", "json"]).exits(0);
    expect(&run, "config", "ok", "declares 3 resources");
    expect(&run, "state", "ok", "none yet");
    assert!(
        !forge.dir.path().join(".autogit").exists(),
        "a doctor made a state"
    );
    forge.run(&["apply", "--yes"]).exits(0);
    let run = forge.run(&["doctor", "--format", "json"]).exits(0);
    expect(&run, "state", "ok", "3 managed");
    for name in [
        "guard",
        "token_reference",
        "secrets",
        "journal",
        "lock",
        "permissions",
        "git",
        "token",
    ] {
        expect(&run, name, "ok", "");
    }
    assert_eq!(run.json()["healthy"], true);
}

fn what_is_wrong_beside_the_config_is_found() {
    let forge = Forge::new();
    forge.config("repos: {team/api: {visiblity: private}}\n");
    let run = forge
        .run(&["doctor", "--format", "json"])
        .exits(1)
        .says("visiblity");
    expect(&run, "config", "failed", "1 error");
    forge.config(CONFIG);
    let fault = forge.arm(json!({"methods": "write", "nth": 2, "latency_ms": 600_000}));
    let apply = forge.start(&["apply", "--yes"]);
    forge.wait_for(fault);
    let run = forge.run(&["doctor", "--format", "json"]).exits(0);
    expect(&run, "lock", "warning", "`autogit apply`");
    apply.signal("KILL");
    apply.wait();
    forge.disarm();
    let state = forge.state();
    std::fs::set_permissions(state.join("ledger.json"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::remove_file(forge.dir.path().join(".autogit/.gitignore")).unwrap();
    let run = forge.run(&["doctor", "--format", "json"]).exits(0);
    expect(&run, "journal", "warning", "in doubt");
    expect(&run, "permissions", "warning", "ledger.json");
    expect(&run, "git", "warning", ".gitignore");
    assert!(
        !forge.dir.path().join(".autogit/.gitignore").exists(),
        "a doctor wrote"
    );
    let ledger = std::fs::read_to_string(state.join("ledger.json")).unwrap();
    std::fs::write(
        state.join("ledger.json"),
        ledger.replace(forge.url(), "https://git.example.org"),
    )
    .unwrap();
    let run = forge.run(&["doctor", "--format", "json"]).exits(1);
    expect(&run, "state", "failed", "it belongs to https://git.example.org");
    expect(&run, "token", "ok", "");
}

fn the_token_goes_only_where_the_guard_says() {
    let forge = Forge::new();
    forge.config(CONFIG);
    let mut command = forge.autogit(&["doctor", "--format", "json"]);
    command.env("AUTOGIT_URL", "https://git.example.org");
    let run = Running::new(command.spawn().unwrap()).wait().exits(1);
    expect(&run, "guard", "failed", "AUTOGIT_URL is https://git.example.org");
    expect(&run, "gitlab", "ok", "");
    expect(&run, "token", "not_known", "none that may be sent");
    let config = std::fs::read_to_string(forge.dir.path().join("autogit.yaml")).unwrap();
    let by_program = config.replace("{env: AUTOGIT_TOKEN}", "{exec: [touch, ran]}");
    std::fs::write(forge.dir.path().join("autogit.yaml"), by_program).unwrap();
    let run = forge.run(&["doctor", "--format", "json"]).exits(0);
    expect(&run, "token_reference", "not_known", "not run here");
    assert!(!forge.dir.path().join("ran").exists());
}
