//! Forks: the copy, what it is a copy of, who may, and where to.

mod common;

use common::{Client, Lab, eventually};
use gitlab_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

/// A group with the project `team/app`, which has a commit on `main` and on `next`; the project's id.
async fn lab(more: Value) -> (Lab, u64) {
    let lab = Lab::start().await;
    let group = lab.group("team", json!({ "visibility": "public" })).await;
    let mut settings = json!({ "initialize_with_readme": true, "description": "The app" });
    settings
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let project = lab.project(group, "app", settings).await;
    let branch = json!({ "branch": "next", "ref": "main" });
    lab.client
        .post(&format!("projects/{project}/repository/branches"), branch)
        .await
        .expect(201);
    (lab, project)
}

async fn fork(client: &Client, project: u64, wanted: Value) -> u64 {
    let path = format!("projects/{project}/fork");
    let made = client.post(&path, wanted).await.expect(201);
    assert_eq!(made["import_status"], "scheduled", "{made}");
    let path = format!("projects/{}", made["id"]);
    let copied = eventually(client, &path, |body| body["import_status"] == "finished").await;
    copied["id"].as_u64().unwrap()
}

async fn branches(client: &Client, project: u64) -> Vec<Value> {
    let path = format!("projects/{project}/repository/branches");
    let all = client.get(&path).await.expect(200);
    let names = all.as_array().unwrap().iter();
    names.map(|branch| branch["name"].clone()).collect()
}

#[tokio::test]
async fn a_fork_is_a_copy_that_knows_its_source() {
    let (lab, project) = lab(json!({ "wiki_access_level": "disabled" })).await;
    let (_, ann) = lab.user("ann", &["api"]).await;
    lab.client
        .put(&format!("projects/{project}"), json!({ "visibility": "public" }))
        .await
        .expect(200);
    let copy = fork(&ann, project, json!({})).await;
    let shown = ann.get(&format!("projects/{copy}")).await.expect(200);
    assert_eq!(shown["path_with_namespace"], "ann/app");
    assert_eq!(shown["description"], "The app");
    assert_eq!(shown["visibility"], "public");
    assert_eq!(shown["wiki_access_level"], "disabled");
    assert_eq!(
        shown["forked_from_project"]["path_with_namespace"], "team/app",
        "{shown}"
    );
    assert_eq!(shown["mr_default_target_self"], false);
    assert_eq!(branches(&ann, copy).await, ["main", "next"]);
    let path = format!("projects/{copy}/protected_branches");
    eventually(&ann, &path, |body| body[0]["name"] == "main").await;

    let source = lab.client.get(&format!("projects/{project}")).await.expect(200);
    assert_eq!(source["forks_count"], 1);
    assert_eq!(source["import_status"], "none");
    assert!(source.get("forked_from_project").is_none(), "{source}");
    let path = format!("projects/{project}/forks");
    let forks = lab.client.get(&path).await.expect(200);
    assert_eq!(
        (forks.as_array().unwrap().len(), &forks[0]["id"]),
        (1, &json!(copy))
    );

    // A fork is a project of its own.
    let commit = json!({ "branch": "next", "content": "x", "commit_message": "More" });
    ann.post(&format!("projects/{copy}/repository/files/more"), commit)
        .await
        .expect(201);
    lab.client
        .get(&format!("projects/{project}/repository/files/more?ref=next"))
        .await
        .expect(404);
    ann.delete(&format!("projects/{copy}/fork")).await.expect(204);
    ann.delete(&format!("projects/{copy}/fork")).await.expect(304);
    let alone = ann.get(&format!("projects/{copy}")).await.expect(200);
    assert!(alone.get("forked_from_project").is_none(), "{alone}");
}

#[tokio::test]
async fn a_fork_goes_where_it_is_sent_under_another_name() {
    let (lab, project) = lab(json!({})).await;
    let other = lab.group("other", json!({})).await;
    let wanted = json!({
        "namespace_path": "other", "path": "copy", "name": "Copy", "description": "Mine", "branches": "next",
    });
    let copy = fork(&lab.client, project, wanted.clone()).await;
    let shown = lab.client.get(&format!("projects/{copy}")).await.expect(200);
    assert_eq!(shown["path_with_namespace"], "other/copy");
    assert_eq!(
        (&shown["name"], &shown["description"]),
        (&json!("Copy"), &json!("Mine"))
    );
    assert_eq!(shown["default_branch"], "next");
    assert_eq!(branches(&lab.client, copy).await, ["next"]);

    let path = format!("projects/{project}/fork");
    let taken = lab.client.post(&path, wanted).await.expect(409);
    assert!(
        taken["message"]
            .as_array()
            .unwrap()
            .contains(&json!("Path has already been taken")),
        "{taken}"
    );
    let missing = json!({ "namespace_id": other, "path": "x", "name": "x", "branches": "none" });
    assert_eq!(
        lab.client.post(&path, missing).await.expect(404)["message"],
        "404 Source Branch Not Found"
    );
    let nowhere = json!({ "namespace_id": 999 });
    assert_eq!(
        lab.client.post(&path, nowhere).await.expect(404)["message"],
        "404 Namespace Not Found"
    );
}

#[tokio::test]
async fn only_who_sees_the_code_forks_and_only_to_where_they_may_create() {
    let (lab, project) = lab(json!({ "visibility": "private" })).await;
    let (ann_id, ann) = lab.user("ann", &["api"]).await;
    let path = format!("projects/{project}/fork");
    ann.post(&path, json!({})).await.expect(404);
    lab.client.anonymous().post(&path, json!({})).await.expect(401);
    let member = |level: u8| json!({ "user_id": ann_id, "access_level": level });
    lab.client
        .post(&format!("projects/{project}/members"), member(10))
        .await
        .expect(201);
    assert_eq!(
        ann.post(&path, json!({})).await.expect(404)["message"],
        "404 Not Found"
    );
    let members = format!("projects/{project}/members/{ann_id}");
    lab.client
        .put(&members, json!({ "access_level": 20 }))
        .await
        .expect(200);
    lab.group("other", json!({ "visibility": "public" })).await;
    ann.post(&path, json!({ "namespace": "other" })).await.expect(404);
    let copy = fork(&ann, project, json!({ "visibility": "public" })).await;
    let shown = ann.get(&format!("projects/{copy}")).await.expect(200);
    assert_eq!(shown["visibility"], "private", "no more open than its source");

    // Who cannot see the source is not told of it.
    lab.client.delete(&members).await.expect(204);
    let shown = ann.get(&format!("projects/{copy}")).await.expect(200);
    assert!(shown.get("forked_from_project").is_none(), "{shown}");
    let off = json!({ "forking_access_level": "disabled" });
    lab.client
        .put(&format!("projects/{project}"), off)
        .await
        .expect(200);
    lab.client.post(&path, json!({})).await.expect(404);
}

#[tokio::test]
async fn a_fork_survives_a_restart_and_its_source() {
    let (lab, project) = lab(json!({})).await;
    let copy = fork(&lab.client, project, json!({})).await;
    let token = lab.sandbox.token().to_owned();
    lab.sandbox.shutdown().await.unwrap();
    let sandbox = Sandbox::start(Options::new(lab.dir.path())).await.unwrap();
    let client = Client::new(sandbox.url(), &token);
    let shown = client.get(&format!("projects/{copy}")).await.expect(200);
    assert_eq!(
        shown["forked_from_project"]["id"].as_u64(),
        Some(project),
        "{shown}"
    );

    client.delete(&format!("projects/{project}")).await.expect(202);
    let marked = client.get(&format!("projects/{project}")).await.expect(200);
    let path = marked["path_with_namespace"].as_str().unwrap();
    client
        .delete(&format!(
            "projects/{project}?permanently_remove=true&full_path={path}"
        ))
        .await
        .expect(202);
    let alone = client.get(&format!("projects/{copy}")).await.expect(200);
    assert!(alone.get("forked_from_project").is_none(), "{alone}");
    assert_eq!(branches(&client, copy).await, ["main", "next"]);
}
