//! Faults on request, limits, counters, and what survives the end of a process.

mod common;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::{Client, Lab, eventually};
use gitlab_sandbox::{Options, Sandbox};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_rule_fires_when_it_is_due() {
    let lab = Lab::start().await;
    lab.client
        .arm(json!({ "methods": "write", "nth": 2, "status": 503 }))
        .await;
    lab.client
        .arm(json!({ "path": "/version$", "every": 2, "count": 1, "status": 429, "retry_after": 3 }))
        .await;
    lab.client.get("user").await.expect(200);
    lab.group("one", json!({})).await;
    lab.client
        .post("groups", json!({ "name": "two", "path": "two" }))
        .await
        .expect(503);
    lab.client.get("groups/two").await.expect(404);
    lab.group("two", json!({})).await;
    lab.client.get("version").await.expect(200);
    let refused = lab.client.get("version").await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (429, Some("3"))
    );
    for _ in 0..3 {
        lab.client.get("version").await.expect(200);
    }
    let rules = lab.client.get("/-/sandbox/faults").await.expect(200);
    assert_eq!((&rules[1]["matched"], &rules[1]["fired"]), (&json!(5), &json!(1)));
    lab.client.delete("/-/sandbox/faults").await.expect(204);
    assert_eq!(lab.client.get("/-/sandbox/faults").await.expect(200), json!([]));
}

#[tokio::test]
async fn a_reply_can_be_lost_before_or_after_the_work() {
    let lab = Lab::start().await;
    for (name, when, done) in [("lost", "before", 404), ("done", "after", 200)] {
        lab.client
            .arm(json!({ "methods": "write", "path": "/groups", "nth": 1, "drop": when }))
            .await;
        let body = json!({ "name": name, "path": name });
        lab.client
            .send(Method::POST, "groups", Some(body))
            .await
            .expect_err("the connection ends");
        lab.client.get(&format!("groups/{name}")).await.expect(done);
        lab.client.delete("/-/sandbox/faults").await.expect(204);
    }
}

#[tokio::test]
async fn lists_are_cut_and_parameters_ignored() {
    let lab = Lab::start().await;
    for name in ["aa", "bb", "cc"] {
        lab.group(name, json!({})).await;
    }
    lab.client
        .arm(json!({ "path": "/groups$", "methods": "read", "nth": 1, "truncate": { "keep": 1 } }))
        .await;
    let short = lab.client.get("groups").await;
    assert_eq!(short.header("x-total"), Some("3"));
    assert_eq!(short.body.as_array().unwrap().len(), 1);
    lab.client
        .arm(json!({ "methods": "write", "ignore": ["visibility"] }))
        .await;
    let group = json!({ "name": "dd", "path": "dd", "visibility": "public" });
    assert_eq!(
        lab.client.post("groups", group).await.expect(201)["visibility"],
        "private"
    );
}

#[tokio::test]
async fn a_process_is_killed_at_a_write() {
    let lab = Lab::start().await;
    let mut victim = Command::new("sleep").arg("600").spawn().unwrap();
    let kill = json!({ "pid": victim.id(), "when": "after" });
    lab.client
        .arm(json!({ "methods": "write", "path": "/groups", "nth": 1, "kill": kill }))
        .await;
    lab.group("one", json!({})).await;
    let status = tokio::task::spawn_blocking(move || victim.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(!status.success());
}

#[tokio::test]
async fn requests_are_counted_and_limited() {
    let lab = Lab::start_with(|options| options.requests_per_minute = 3).await;
    let mut last = lab.client.get("version").await;
    assert_eq!(last.header("ratelimit-limit"), Some("3"));
    // The minute may turn once on the way.
    for _ in 0..6 {
        last = lab.client.get("version").await;
    }
    assert_eq!(last.status, 429);
    assert!(last.header("retry-after").is_some());
    let counters = lab.client.get("/-/sandbox/counters").await.expect(200);
    assert_eq!(counters["reads"], 7);
    assert_eq!(counters["routes"]["GET /api/v4/version"], 7);
    lab.client
        .anonymous()
        .get("/-/sandbox/counters")
        .await
        .expect(401);
}

#[tokio::test]
async fn the_record_holds_exchanges_and_no_secrets() {
    let files = tempfile::TempDir::new().unwrap();
    let file = files.path().join("record.jsonl");
    let lab = Lab::start_with(|options| options.record = Some(file.clone())).await;
    let token = json!({ "name": "t", "scopes": ["api"] });
    let made = lab
        .client
        .post("users/1/personal_access_tokens", token)
        .await
        .expect(201);
    let secret = made["token"].as_str().unwrap();
    lab.client
        .get(&format!("user?private_token={secret}"))
        .await
        .expect(200);
    let record = std::fs::read_to_string(file).unwrap();
    assert!(
        !record.contains(secret) && !record.contains(lab.sandbox.token()),
        "{record}"
    );
    let last: Value = serde_json::from_str(record.lines().last().unwrap()).unwrap();
    assert_eq!(last["path"], "/api/v4/user");
    assert_eq!((&last["status"], &last["user"]), (&json!(200), &json!(1)));
    assert_eq!(last["response"]["username"], "root");
}

#[tokio::test]
async fn a_rule_that_cannot_work_is_refused() {
    let lab = Lab::start().await;
    let arm = |rule: Value| lab.client.post("/-/sandbox/faults", rule);
    arm(json!({ "path": "(" })).await.expect(400);
    arm(json!({ "kill": { "pid": 0, "when": "after" } }))
        .await
        .expect(400);
    arm(json!({ "unknown": 1 })).await.expect(422);
}

#[tokio::test]
async fn state_and_token_survive_a_restart() {
    let Lab { sandbox, client, dir } = Lab::start().await;
    client
        .post("groups", json!({ "name": "kept", "path": "kept" }))
        .await
        .expect(201);
    let token = sandbox.token().to_owned();
    Sandbox::start(Options::new(dir.path()))
        .await
        .err()
        .expect("the directory is locked");
    sandbox.shutdown().await.unwrap();
    let again = Sandbox::start(Options::new(dir.path())).await.unwrap();
    assert_eq!(again.token(), token);
    let client = Client::new(again.url(), again.token());
    let kept = client.get("groups/kept").await.expect(200);
    let next = client
        .post("groups", json!({ "name": "next", "path": "next" }))
        .await
        .expect(201);
    assert!(next["id"].as_u64() > kept["id"].as_u64());
}

#[tokio::test]
async fn a_protection_that_a_stop_interrupts_is_made_after_the_restart() {
    let never = Duration::from_secs(3600);
    let Lab { sandbox, client, dir } = Lab::start_with(|options| options.protection_delay = never).await;
    client
        .post("projects", json!({ "name": "p", "initialize_with_readme": true }))
        .await
        .expect(201);
    assert_eq!(
        client.get("projects/1/protected_branches").await.expect(200),
        json!([])
    );
    sandbox.shutdown().await.unwrap();
    let mut options = Options::new(dir.path());
    options.protection_delay = Duration::ZERO;
    let again = Sandbox::start(options).await.unwrap();
    let client = Client::new(again.url(), again.token());
    eventually(&client, "projects/1/protected_branches", |body| {
        body[0]["name"] == "main"
    })
    .await;
}

/// Serves until it is killed, when the test below runs it as a process of its own.
#[tokio::test]
async fn child() {
    let Ok(dir) = std::env::var("SANDBOX_CHILD_DIR") else {
        return;
    };
    let mut sandbox = Sandbox::start(Options::new(&dir)).await.unwrap();
    let url = Path::new(&dir).join("url");
    std::fs::write(url.with_extension("new"), sandbox.url()).unwrap();
    std::fs::rename(url.with_extension("new"), url).unwrap();
    sandbox.wait().await.unwrap();
}

async fn spawn(dir: &Path) -> (Child, Client) {
    let url = dir.join("url");
    let _ = std::fs::remove_file(&url);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env("SANDBOX_CHILD_DIR", dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !url.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let token = std::fs::read_to_string(dir.join("token")).unwrap();
    (
        child,
        Client::new(&std::fs::read_to_string(url).unwrap(), token.trim()),
    )
}

#[tokio::test]
async fn every_acknowledged_write_survives_a_kill() {
    let dir = tempfile::TempDir::new().unwrap();
    let (mut child, client) = spawn(dir.path()).await;
    for number in 0..20 {
        let name = format!("group{number}");
        client
            .post("groups", json!({ "name": name, "path": name }))
            .await
            .expect(201);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, client) = spawn(dir.path()).await;
    let groups = client.get("groups?per_page=100").await.expect(200);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        groups.as_array().map(Vec::len),
        Some(20),
        "{}",
        Value::clone(&groups)
    );
}
