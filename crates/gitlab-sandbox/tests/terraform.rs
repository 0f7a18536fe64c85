//! Terraform states: contents, versions, the lock, who may, and the credentials that the API takes.

mod common;

use common::{Client, Lab, eventually};
use gitlab_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

/// A group `team` with the project `team/infra`, and its id.
async fn lab() -> (Lab, u64) {
    let lab = Lab::start().await;
    let group = lab.group("team", json!({})).await;
    let project = lab.project(group, "infra", json!({})).await;
    (lab, project)
}

fn state(project: u64, name: &str) -> String {
    format!("projects/{project}/terraform/state/{name}")
}

fn lock(id: &str) -> Value {
    json!({
        "ID": id, "Operation": "OperationTypeApply", "Info": "", "Who": "alice@laptop", "Version": "1.11.4",
        "Created": "2026-01-02T03:04:05.678Z", "Path": "",
    })
}

fn serial(serial: u64) -> String {
    format!(r#"{{"version":4,"serial":{serial},"id":"of the body","name":"of the body"}}"#)
}

/// A user with a role in the project.
async fn member(lab: &Lab, project: u64, name: &str, level: u8) -> Client {
    let (id, client) = lab.user(name, &["api"]).await;
    let path = format!("projects/{project}/members");
    let member = json!({ "user_id": id, "access_level": level });
    lab.client.post(&path, member).await.expect(201);
    client
}

/// A client with the token of a job of `team/infra` that runs for `user`, and the job's id.
async fn job(lab: &Lab, user: &str) -> (u64, String) {
    let job = lab
        .client
        .post(
            "/-/sandbox/jobs",
            json!({ "project": "team/infra", "user": user }),
        )
        .await
        .expect(201);
    (
        job["id"].as_u64().unwrap(),
        job["token"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn a_state_is_missing_then_empty_then_what_was_written() {
    let (lab, project) = lab().await;
    let path = state(project, "prod");
    let missing = lab.client.get(&path).await.expect(404);
    assert_eq!(missing["message"], "404 Not found");
    lab.client
        .post(&format!("{path}/lock"), lock("a"))
        .await
        .expect(200);
    lab.client.get(&path).await.expect(204);
    let held = format!("{path}?ID=a");
    assert_eq!(lab.client.post_file(&held, &serial(1)).await.expect(200), "");
    let read = lab.client.get(&path).await.expect(200);
    assert_eq!(read["serial"], 1);
    // Nothing of the file was taken for a parameter.
    assert_eq!(read["id"], "of the body");
    lab.client.post_file(&held, "").await.expect(204);
}

#[tokio::test]
async fn a_serial_is_taken_once_and_the_highest_is_the_state() {
    let (lab, project) = lab().await;
    let path = state(project, "prod");
    let write = async |body: &str| lab.client.post_file(&path, body).await;
    write(&serial(7)).await.expect(200);
    let taken = write(&serial(7)).await.expect(422);
    assert!(taken["message"].as_str().unwrap().contains("PG::UniqueViolation"));
    write(&serial(3)).await.expect(200);
    assert_eq!(lab.client.get(&path).await.expect(200)["serial"], 7);
    for (body, message) in [
        ("{", "invalid JSON"),
        ("{}", "No serial in payload"),
        (r#"{"serial":null}"#, "No serial in payload"),
        (r#"{"deep":{"serial":9}}"#, "No serial in payload"),
    ] {
        assert_eq!(write(body).await.expect(422)["message"], message, "{body}");
    }
    write(r#"{"serial":"9"}"#).await.expect(200);
    write(r#"{"serial":3000000000}"#).await.expect(500);

    let version = |serial: &str| format!("{path}/versions/{serial}");
    assert_eq!(lab.client.get(&version("3")).await.expect(200)["serial"], 3);
    lab.client.get(&version("4")).await.expect(404);
    lab.client.get(&version("x")).await.expect(400);
    lab.client.delete(&version("9")).await.expect(204);
    lab.client.delete(&version("9")).await.expect(404);
    assert_eq!(lab.client.get(&path).await.expect(200)["serial"], 7);
}

#[tokio::test]
async fn the_lock_has_one_holder_and_is_shown_to_others() {
    let (lab, project) = lab().await;
    let path = state(project, "prod");
    let alice = member(&lab, project, "alice", 40).await;
    let (write, lock_path) = (format!("{path}?ID=a"), format!("{path}/lock"));
    let mine = alice.post(&lock_path, lock("a")).await.expect(200);
    assert_eq!(
        (&mine["ID"], &mine["Who"]),
        (&json!("a"), &json!("alice")),
        "GitLab names the user, whatever was sent"
    );
    let mut wanted = lock("b");
    wanted["Info"] = json!("mine");
    let refused = lab.client.post(&lock_path, wanted).await.expect(409);
    assert_eq!(
        [&refused["ID"], &refused["Who"], &refused["Info"]],
        [&json!("a"), &json!("alice"), &json!("mine")],
        "the holder's id and name, and the rest of what was asked"
    );
    alice.post(&lock_path, lock("a")).await.expect(409);

    // Nobody writes without the id; GitLab does not handle it.
    lab.client.post_file(&path, &serial(1)).await.expect(500);
    lab.client
        .post_file(&format!("{path}?ID=b"), &serial(1))
        .await
        .expect(500);
    alice.post_file(&write, &serial(1)).await.expect(200);
    lab.client.get(&path).await.expect(200);

    assert_eq!(
        lab.client.delete_with(&lock_path, lock("b")).await.expect(409),
        409
    );
    alice.delete_with(&lock_path, lock("a")).await.expect(200);
    alice.post_file(&write, &serial(2)).await.expect(500);
    alice.post_file(&path, &serial(2)).await.expect(200);
    alice.post(&lock_path, lock("c")).await.expect(200);
    assert_eq!(lab.client.delete(&lock_path).await.expect(200), 200, "by force");
    lab.client.post(&lock_path, lock("d")).await.expect(200);
}

#[tokio::test]
async fn a_lock_and_a_name_are_checked() {
    let (lab, project) = lab().await;
    let path = |name: &str| format!("{}/lock", state(project, name));
    let missing = lab
        .client
        .post(&path("prod"), json!({ "ID": "a", "Info": "" }))
        .await
        .expect(400);
    assert_eq!(
        missing["error"],
        "Operation is missing, Who is missing, Version is missing, Created is missing, Path is missing"
    );
    let long = "x".repeat(256);
    let refused = lab.client.post(&path(&long), lock("a")).await.expect(400);
    assert_eq!(refused["error"], "name name must be less than 255 characters");
    lab.client.post(&path(&long[1..]), lock(&long)).await.expect(400);
    lab.client
        .post(&path(&long[1..]), lock(&long[1..]))
        .await
        .expect(200);
    lab.client.post(&path("prod"), lock("")).await.expect(500);
    lab.client.post(&path("a%2Fb.c"), lock("a")).await.expect(200);
    lab.client.post(&path("a/b"), lock("a")).await.expect(404);

    let dotted = state(project, "prod.eu");
    lab.client.post_file(&dotted, &serial(1)).await.expect(200);
    lab.client.get(&dotted).await.expect(200);
    let unrouted = lab.client.get(&format!("{dotted}/versions/1")).await.expect(404);
    assert_eq!(unrouted["error"], "404 Not Found");
}

#[tokio::test]
async fn a_deleted_state_is_gone_a_moment_later_unless_it_is_locked() {
    let (lab, project) = lab().await;
    let path = state(project, "prod");
    lab.client.delete(&path).await.expect(404);
    lab.client.post_file(&path, &serial(1)).await.expect(200);
    lab.client
        .post(&format!("{path}/lock"), lock("a"))
        .await
        .expect(200);
    assert_eq!(lab.client.delete(&path).await.expect(200), "");
    lab.client.get(&path).await.expect(200);
    lab.client.delete(&format!("{path}/lock")).await.expect(200);
    lab.client.delete(&path).await.expect(200);
    eventually(&lab.client, &path, |body| body["message"] == "404 Not found").await;
    lab.client.post_file(&path, &serial(1)).await.expect(200);
}

#[tokio::test]
async fn a_deletion_is_taken_up_after_a_restart() {
    let lab = Lab::start_with(|options| options.protection_delay = std::time::Duration::from_secs(60)).await;
    let group = lab.group("team", json!({})).await;
    let project = lab.project(group, "infra", json!({})).await;
    let (kept, gone) = (state(project, "kept"), state(project, "gone"));
    for path in [&kept, &gone] {
        lab.client.post_file(path, &serial(1)).await.expect(200);
    }
    lab.client
        .post(&format!("{kept}/lock"), lock("a"))
        .await
        .expect(200);
    lab.client.delete(&gone).await.expect(200);
    let refused = lab.client.get(&gone).await.expect(422);
    assert_eq!(
        refused["message"],
        "Terraform::RemoteStateHandler::StateDeletedError"
    );
    lab.client.post_file(&gone, &serial(2)).await.expect(422);
    lab.client
        .post(&format!("{gone}/lock"), lock("a"))
        .await
        .expect(422);
    let token = lab.sandbox.token().to_owned();
    lab.sandbox.shutdown().await.unwrap();

    let sandbox = Sandbox::start(Options::new(lab.dir.path())).await.unwrap();
    let client = Client::new(sandbox.url(), &token);
    eventually(&client, &gone, |body| body["message"] == "404 Not found").await;
    assert_eq!(client.get(&kept).await.expect(200)["serial"], 1);
    client
        .post_file(&format!("{kept}?ID=a"), &serial(2))
        .await
        .expect(200);
}

#[tokio::test]
async fn developers_read_maintainers_write_and_nobody_where_infrastructure_is_off() {
    let (lab, project) = lab().await;
    let path = state(project, "prod");
    lab.client.post_file(&path, &serial(1)).await.expect(200);
    let maintainer = member(&lab, project, "maintainer", 40).await;
    let developer = member(&lab, project, "developer", 30).await;
    let reporter = member(&lab, project, "reporter", 20).await;
    let (_, stranger) = lab.user("stranger", &["api"]).await;

    developer.get(&path).await.expect(200);
    developer.get(&format!("{path}/versions/1")).await.expect(200);
    let lock_path = format!("{path}/lock");
    developer.post_file(&path, &serial(2)).await.expect(403);
    developer.post(&lock_path, lock("a")).await.expect(403);
    developer.delete(&lock_path).await.expect(403);
    developer.delete(&path).await.expect(403);
    developer.delete(&format!("{path}/versions/1")).await.expect(403);
    reporter.get(&path).await.expect(403);
    stranger.get(&path).await.expect(404);
    lab.client.anonymous().get(&path).await.expect(401);
    maintainer.post_file(&path, &serial(2)).await.expect(200);

    let off = json!({ "infrastructure_access_level": "disabled" });
    lab.client
        .put(&format!("projects/{project}"), off)
        .await
        .expect(200);
    lab.client.get(&path).await.expect(403);
}

#[tokio::test]
async fn personal_access_tokens_come_in_a_header_or_by_basic_authentication() {
    let (lab, project) = lab().await;
    let path = state(project, "prod");
    let (id, _) = lab.user("ci", &["api"]).await;
    let member = json!({ "user_id": id, "access_level": 40 });
    lab.client
        .post(&format!("projects/{project}/members"), member)
        .await
        .expect(201);
    let token = async |scope: &str| {
        let path = format!("users/{id}/personal_access_tokens");
        let wanted = json!({ "name": scope, "scopes": [scope] });
        let made = lab.client.post(&path, wanted).await.expect(201);
        made["token"].as_str().unwrap().to_owned()
    };
    let (writes, reads) = (token("api").await, token("read_api").await);
    let by_password = lab.client.with_password("ci", &writes);
    by_password.post_file(&path, &serial(1)).await.expect(200);
    lab.client
        .with_password("whoever", &writes)
        .get(&path)
        .await
        .expect(200);
    lab.client
        .with_password("ci", "wrong")
        .get(&path)
        .await
        .expect(401);
    let reader = lab.client.with_password("ci", &reads);
    reader.get(&path).await.expect(200);
    assert_eq!(
        reader.post_file(&path, &serial(2)).await.expect(403)["error"],
        "insufficient_scope"
    );
    lab.client
        .with_credential("Authorization", &format!("Bearer {writes}"))
        .get(&path)
        .await
        .expect(200);
    // Other routes do not look at it.
    by_password.get(&format!("projects/{project}")).await.expect(404);
    by_password.get("user").await.expect(401);
}

#[tokio::test]
async fn a_jobs_token_is_good_for_its_own_project_while_it_runs() {
    let (lab, project) = lab().await;
    let path = state(project, "prod");
    member(&lab, project, "maintainer", 40).await;
    member(&lab, project, "developer", 30).await;
    let (id, token) = job(&lab, "maintainer").await;
    let (_, weak) = job(&lab, "developer").await;
    assert!(token.starts_with("glcbt-"), "{token}");
    let ci = lab.client.with_password("gitlab-ci-token", &token);
    ci.post_file(&path, &serial(1)).await.expect(200);
    ci.post(&format!("{path}/lock"), lock("a")).await.expect(200);
    let weak = lab.client.with_password("gitlab-ci-token", &weak);
    weak.get(&path).await.expect(200);
    weak.post_file(&path, &serial(2)).await.expect(403);

    // A bearer is taken; the header of other routes is not, nor is another name.
    let bearer = format!("Bearer {token}");
    lab.client
        .with_credential("Authorization", &bearer)
        .get(&path)
        .await
        .expect(200);
    let refused = [
        lab.client.with_credential("JOB-TOKEN", &token),
        lab.client.with_token(&token),
        lab.client.with_password("maintainer", &token),
        lab.client.with_password("gitlab-ci-token", "glcbt-64_wrong"),
    ];
    for client in refused {
        client.get(&path).await.expect(401);
    }
    for path in ["user", "projects", "groups"] {
        let anonymous = lab.client.anonymous().get(path).await;
        let reply = ci.get(path).await;
        assert_eq!(
            (reply.status, reply.body),
            (anonymous.status, anonymous.body),
            "{path}"
        );
    }

    let group = lab.group("elsewhere", json!({})).await;
    let other = lab.project(group, "other", json!({})).await;
    let refused = ci.get(&state(other, "prod")).await.expect(403);
    assert_eq!(
        refused["message"],
        format!(
            "403 Forbidden - Authentication by CI/CD job token not allowed from infra to project #{other}."
        )
    );
    ci.get(&state(999, "prod")).await.expect(404);
    lab.client
        .delete(&format!("/-/sandbox/jobs/{id}"))
        .await
        .expect(204);
    ci.get(&path).await.expect(401);
}

#[tokio::test]
async fn a_jobs_token_reads_a_repository_with_its_own_header() {
    let (lab, project) = lab().await;
    member(&lab, project, "developer", 30).await;
    let (_, token) = job(&lab, "developer").await;
    let ci = lab.client.with_credential("JOB-TOKEN", &token);
    ci.get(&format!("projects/{project}/repository/branches"))
        .await
        .expect(200);
    ci.get(&format!("projects/{project}")).await.expect(404);
    ci.get(&format!("projects/{project}/repository/tree"))
        .await
        .expect(404);
    lab.client
        .with_credential("JOB-TOKEN", "glcbt-64_wrong")
        .get(&format!("projects/{project}/repository/branches"))
        .await
        .expect(401);
}

#[tokio::test]
async fn the_record_holds_no_state_and_no_jobs_token() {
    let files = tempfile::TempDir::new().unwrap();
    let file = files.path().join("record.jsonl");
    let lab = Lab::start_with(|options| options.record = Some(file.clone())).await;
    let group = lab.group("team", json!({})).await;
    let project = lab.project(group, "infra", json!({})).await;
    let path = state(project, "lock");
    let secret = r#"{"serial":1,"outputs":{"password":{"value":"hunter2"}}}"#;
    lab.client.post_file(&path, secret).await.expect(200);
    lab.client.get(&path).await.expect(200);
    lab.client.get(&format!("{path}/versions/1")).await.expect(200);
    let (_, token) = job(&lab, "root").await;
    let query = format!("projects/{project}/repository/branches?job_token={token}");
    lab.client.anonymous().get(&query).await.expect(200);

    let record = std::fs::read_to_string(file).unwrap();
    assert!(record.contains("terraform/state/lock"), "{record}");
    assert!(
        !record.contains("hunter2") && !record.contains(&token),
        "{record}"
    );
}

#[tokio::test]
async fn graphql_shows_who_holds_a_state_and_its_latest_version() {
    let (lab, project) = lab().await;
    let maintainer = member(&lab, project, "maintainer", 40).await;
    let reporter = member(&lab, project, "reporter", 20).await;
    for name in ["prod", "a/b"] {
        let path = state(project, &name.replace('/', "%2F"));
        maintainer
            .post(&format!("{path}/lock"), lock("a"))
            .await
            .expect(200);
        for number in [1, 2] {
            maintainer
                .post_file(&format!("{path}?ID=a"), &serial(number))
                .await
                .expect(200);
        }
    }
    let ask = async |client: &Client, field: &str| {
        let query = format!("{{ project(fullPath: \"team/infra\") {{ {field} }} }}");
        let reply = client
            .post("/api/graphql", json!({ "query": query }))
            .await
            .expect(200);
        assert!(reply.get("errors").is_none(), "{reply}");
        reply["data"]["project"].clone()
    };
    let one = "terraformState(name: \"prod\") { name lockedAt deletedAt createdAt updatedAt lockedByUser { username } \
               latestVersion { serial createdByUser { username } } }";
    let held = ask(&maintainer, one).await["terraformState"].clone();
    assert_eq!(held["lockedByUser"]["username"], "maintainer");
    assert!(
        held["lockedAt"].is_string() && held["deletedAt"].is_null(),
        "{held}"
    );
    assert_eq!(
        held["latestVersion"],
        json!({ "serial": 2, "createdByUser": { "username": "maintainer" } })
    );
    let all = "terraformStates { count nodes { name } }";
    assert_eq!(
        ask(&maintainer, all).await["terraformStates"],
        json!({ "count": 2, "nodes": [{ "name": "a/b" }, { "name": "prod" }] })
    );
    assert_eq!(ask(&reporter, one).await["terraformState"], Value::Null);
    assert_eq!(ask(&reporter, all).await["terraformStates"]["count"], 0);

    let path = state(project, "prod");
    lab.client.delete(&format!("{path}/lock")).await.expect(200);
    let free = ask(&maintainer, one).await["terraformState"].clone();
    assert!(
        free["lockedAt"].is_null() && free["lockedByUser"].is_null(),
        "{free}"
    );
}
