//! Merge requests with real git behind them, the notes on them, and who may do what.

mod common;

use common::{Client, Lab, eventually};
use serde_json::{Value, json};

/// The project `team/app` with a commit on `main`, and on `next` one more; its id.
async fn lab(visibility: &str) -> (Lab, u64) {
    let lab = Lab::start().await;
    let group = lab.group("team", json!({ "visibility": "public" })).await;
    let project = lab
        .project(
            group,
            "app",
            json!({ "initialize_with_readme": true, "visibility": visibility }),
        )
        .await;
    branch(&lab.client, project, "next").await;
    (lab, project)
}

/// A new branch of `main` with a file of its name.
async fn branch(client: &Client, project: u64, name: &str) -> String {
    let commit = json!({ "branch": name, "start_branch": "main", "content": name, "commit_message": "More" });
    let path = format!("projects/{project}/repository/files/{name}");
    client.post(&path, commit).await.expect(201);
    head(client, project, name).await
}

async fn head(client: &Client, project: u64, branch: &str) -> String {
    let path = format!("projects/{project}/repository/branches/{branch}");
    client.get(&path).await.expect(200)["commit"]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn wanted(source: &str) -> Value {
    json!({ "title": format!("Bring {source}"), "source_branch": source, "target_branch": "main" })
}

fn requests(project: u64) -> String {
    format!("projects/{project}/merge_requests")
}

fn one(project: u64, iid: u64) -> String {
    format!("projects/{project}/merge_requests/{iid}")
}

async fn member(lab: &Lab, project: u64, name: &str, level: u8) -> Client {
    let (id, client) = lab.user(name, &["api"]).await;
    let path = format!("projects/{project}/members");
    let member = json!({ "user_id": id, "access_level": level });
    lab.client.post(&path, member).await.expect(201);
    client
}

#[tokio::test]
async fn one_is_made_listed_changed_closed_and_reopened() {
    let (lab, project) = lab("private").await;
    let client = &lab.client;
    let made = client.post(&requests(project), wanted("next")).await.expect(201);
    let sha = head(client, project, "next").await;
    assert_eq!(
        [&made["iid"], &made["state"], &made["sha"], &made["changes_count"]],
        [&json!(1), &json!("opened"), &json!(sha), &json!("1")]
    );
    assert_eq!(made["detailed_merge_status"], "mergeable");
    assert_eq!(made["references"]["full"], "team/app!1");
    assert_eq!(made["author"]["username"], "root");
    let again = client.post(&requests(project), wanted("next")).await.expect(409);
    assert_eq!(
        again["message"],
        json!(["Another open merge request already exists for this source branch: !1"])
    );
    branch(client, project, "other").await;
    let second = client.post(&requests(project), wanted("other")).await.expect(201);
    assert_eq!(second["iid"], 2);

    let change = json!({ "title": "Draft: later", "description": "- [x] a\n- [ ] b", "labels": "b,a", "state_event": "close" });
    let changed = client.put(&one(project, 1), change).await.expect(200);
    assert_eq!(
        [&changed["state"], &changed["draft"], &changed["labels"]],
        [&json!("closed"), &json!(true), &json!(["a", "b"])]
    );
    assert_eq!(
        changed["task_completion_status"],
        json!({ "count": 2, "completed_count": 1 })
    );
    assert_eq!(changed["closed_by"]["username"], "root");
    let list = async |query: &str| {
        let path = format!("{}?{query}", requests(project));
        let all = client.get(&path).await.expect(200);
        let rows = all.as_array().unwrap().iter();
        rows.map(|row| row["iid"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, [2, 1]);
    assert_eq!(list("state=opened").await, [2]);
    assert_eq!(list("state=closed&wip=yes").await, [1]);
    assert_eq!(list("source_branch=next").await, [1]);
    assert_eq!(list("sort=asc&author_username=root").await, [1, 2]);
    assert_eq!(list("iids[]=2&labels=a").await, [0_u64; 0]);
    let open = client
        .put(&one(project, 1), json!({ "state_event": "reopen" }))
        .await
        .expect(200);
    assert_eq!(
        (&open["state"], &open["closed_at"]),
        (&json!("opened"), &Value::Null)
    );
    client.put(&one(project, 1), json!({})).await.expect(400);
    client
        .put(&one(project, 1), json!({ "title": "" }))
        .await
        .expect(400);
    client.get(&one(project, 3)).await.expect(404);
}

#[tokio::test]
async fn what_gitlab_does_not_take_is_refused() {
    let (lab, project) = lab("private").await;
    let client = &lab.client;
    let post = async |body: Value| client.post(&requests(project), body).await;
    let missing = post(json!({ "title": "x" })).await.expect(400);
    assert_eq!(
        missing["error"],
        "source_branch is missing, target_branch is missing"
    );
    let same = json!({ "title": "x", "source_branch": "main", "target_branch": "main" });
    assert_eq!(
        post(same).await.expect(422)["message"],
        json!(["You can't use same project/branch for source and target"])
    );
    let mut blank = wanted("next");
    blank["title"] = json!("");
    assert_eq!(
        post(blank).await.expect(400)["message"]["title"],
        json!(["can't be blank"])
    );
    let unrelated = lab
        .project(2, "unrelated", json!({ "initialize_with_readme": true }))
        .await;
    let mut elsewhere = wanted("next");
    elsewhere["target_project_id"] = json!(unrelated);
    assert_eq!(
        post(elsewhere).await.expect(422)["message"],
        json!(["Source project is not a fork of the target project"])
    );
    let nothing = post(wanted("nothing")).await.expect(201);
    assert_eq!(
        [
            &nothing["sha"],
            &nothing["detailed_merge_status"],
            &nothing["has_conflicts"]
        ],
        [&Value::Null, &json!("commits_status"), &json!(true)]
    );
}

#[tokio::test]
async fn it_is_merged_by_git() {
    let (lab, project) = lab("private").await;
    let client = &lab.client;
    let sha = head(client, project, "next").await;
    client.post(&requests(project), wanted("next")).await.expect(201);
    let merge = format!("{}/merge", one(project, 1));
    client
        .put(&merge, json!({ "sha": "0".repeat(40) }))
        .await
        .expect(409);
    client
        .put(&one(project, 1), json!({ "title": "Draft: x" }))
        .await
        .expect(200);
    client.put(&merge, json!({})).await.expect(405);
    client
        .put(&one(project, 1), json!({ "title": "x" }))
        .await
        .expect(200);
    let ask = json!({ "sha": sha, "should_remove_source_branch": true });
    let merged = client.put(&merge, ask).await.expect(200);
    let commit = merged["merge_commit_sha"].as_str().unwrap();
    assert_eq!(
        [&merged["state"], &merged["merged_by"]["username"], &merged["sha"]],
        [&json!("merged"), &json!("root"), &json!(sha)]
    );
    assert_eq!(head(client, project, "main").await, commit);
    let path = format!("projects/{project}/repository/commits/{commit}");
    let shown = client.get(&path).await.expect(200);
    assert_eq!(shown["parent_ids"][1], json!(sha));
    assert!(
        shown["message"]
            .as_str()
            .unwrap()
            .ends_with("See merge request team/app!1"),
        "{shown}"
    );
    let path = format!("projects/{project}/repository/branches/next");
    client.get(&path).await.expect(404);
    client.put(&merge, json!({})).await.expect(405);

    // A conflict, and a branch that is behind where only fast-forwards are allowed.
    branch(client, project, "clash").await;
    let commit = json!({ "branch": "main", "content": "other", "commit_message": "Other" });
    client
        .post(&format!("projects/{project}/repository/files/clash"), commit)
        .await
        .expect(201);
    let clash = client.post(&requests(project), wanted("clash")).await.expect(201);
    assert_eq!(
        [&clash["detailed_merge_status"], &clash["merge_status"]],
        [&json!("conflict"), &json!("cannot_be_merged")]
    );
    client
        .put(&format!("{}/merge", one(project, 2)), json!({}))
        .await
        .expect(422);
    client
        .put(&format!("projects/{project}"), json!({ "merge_method": "ff" }))
        .await
        .expect(200);
    let tip = branch(client, project, "forward").await;
    client
        .post(&requests(project), wanted("forward"))
        .await
        .expect(201);
    let forward = client
        .put(&format!("{}/merge", one(project, 3)), json!({}))
        .await
        .expect(200);
    assert_eq!(forward["merge_commit_sha"], Value::Null);
    assert_eq!(head(client, project, "main").await, tip);
    branch(client, project, "squashed").await;
    client
        .post(&requests(project), wanted("squashed"))
        .await
        .expect(201);
    let squashed = client
        .put(&format!("{}/merge", one(project, 4)), json!({ "squash": true }))
        .await
        .expect(200);
    assert_eq!(
        squashed["squash_commit_sha"],
        json!(head(client, project, "main").await)
    );
}

#[tokio::test]
async fn roles_decide_who_reads_writes_and_merges() {
    let (lab, project) = lab("private").await;
    let path = format!("projects/{project}/protected_branches");
    eventually(&lab.client, &path, |body| body[0]["name"] == "main").await;
    let developer = member(&lab, project, "developer", 30).await;
    let reporter = member(&lab, project, "reporter", 20).await;
    let guest = member(&lab, project, "guest", 10).await;
    let (_, stranger) = lab.user("stranger", &["api"]).await;
    guest.get(&requests(project)).await.expect(403);
    stranger.get(&requests(project)).await.expect(404);
    reporter.get(&requests(project)).await.expect(200);
    reporter
        .post(&requests(project), wanted("next"))
        .await
        .expect(403);
    let made = developer
        .post(&requests(project), wanted("next"))
        .await
        .expect(201);
    assert_eq!(made["user"]["can_merge"], false);
    developer
        .put(&format!("{}/merge", one(project, 1)), json!({}))
        .await
        .expect(401);
    reporter
        .put(&one(project, 1), json!({ "title": "y" }))
        .await
        .expect(403);
    guest.get(&one(project, 1)).await.expect(403);
    lab.client
        .anonymous()
        .post(&requests(project), wanted("next"))
        .await
        .expect(401);

    lab.client
        .post(&format!("projects/{project}/archive"), json!({}))
        .await
        .expect(201);
    developer.get(&one(project, 1)).await.expect(200);
    developer
        .put(&one(project, 1), json!({ "title": "y" }))
        .await
        .expect(403);
    developer
        .post(&format!("{}/notes", one(project, 1)), json!({ "body": "x" }))
        .await
        .expect(403);
}

#[tokio::test]
async fn a_fork_asks_its_source() {
    let (lab, project) = lab("public").await;
    let (_, ann) = lab.user("ann", &["api"]).await;
    let fork = ann
        .post(&format!("projects/{project}/fork"), json!({}))
        .await
        .expect(201);
    let fork = fork["id"].as_u64().unwrap();
    let path = format!("projects/{fork}");
    eventually(&ann, &path, |body| {
        body["default_branch"] == "main" && body["import_status"] == "finished"
    })
    .await;
    let sha = branch(&ann, fork, "mine").await;
    let mut ask = wanted("mine");
    ask["target_project_id"] = json!(project);
    let made = ann.post(&requests(fork), ask).await.expect(201);
    assert_eq!(
        [&made["project_id"], &made["source_project_id"], &made["sha"]],
        [&json!(project), &json!(fork), &json!(sha)]
    );
    assert_eq!(made["allow_collaboration"], false);
    ann.put(&format!("{}/merge", one(project, 1)), json!({}))
        .await
        .expect(401);
    let merged = lab
        .client
        .put(&format!("{}/merge", one(project, 1)), json!({}))
        .await
        .expect(200);
    assert_eq!(merged["state"], "merged");
    let file = format!("projects/{project}/repository/files/mine?ref=main");
    lab.client.get(&file).await.expect(200);
}

#[tokio::test]
async fn a_comment_is_made_once_and_then_updated() {
    let (lab, project) = lab("public").await;
    lab.client
        .post(&requests(project), wanted("next"))
        .await
        .expect(201);
    let notes = format!("{}/notes", one(project, 1));
    let (_, ann) = lab.user("ann", &["api"]).await;
    let reporter = member(&lab, project, "reporter", 20).await;
    let made = ann.post(&notes, json!({ "body": "the plan" })).await.expect(201);
    assert_eq!(
        [
            &made["author"]["username"],
            &made["system"],
            &made["noteable_iid"]
        ],
        [&json!("ann"), &json!(false), &json!(1)]
    );
    let note = format!("{notes}/{}", made["id"]);
    let changed = ann
        .put(&note, json!({ "body": "the newer plan" }))
        .await
        .expect(200);
    assert_eq!(
        (&changed["id"], &changed["body"]),
        (&made["id"], &json!("the newer plan"))
    );
    reporter.put(&note, json!({ "body": "mine" })).await.expect(403);
    reporter.delete(&note).await.expect(403);
    reporter
        .post(&notes, json!({ "body": "second", "internal": true }))
        .await
        .expect(201);
    lab.client
        .put(&one(project, 1), json!({ "description": "Why" }))
        .await
        .expect(200);

    let bodies = async |client: &Client, query: &str| {
        let reply = client.get(&format!("{notes}?{query}")).await;
        assert!(reply.header("x-total").is_some());
        let all = reply.expect(200);
        let rows = all.as_array().unwrap().iter();
        rows.map(|row| row["body"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        bodies(&reporter, "").await,
        ["changed the description", "second", "the newer plan"]
    );
    assert_eq!(
        bodies(&ann, "sort=asc").await,
        ["the newer plan", "changed the description"],
        "an internal note is not for everybody"
    );
    assert_eq!(bodies(&reporter, "per_page=1&page=2").await, ["second"]);
    assert_eq!(
        bodies(&ann, "activity_filter=only_activity").await,
        ["changed the description"]
    );
    let system = lab
        .client
        .get(&format!("{notes}?activity_filter=only_activity"))
        .await
        .expect(200);
    lab.client
        .delete(&format!("{notes}/{}", system[0]["id"]))
        .await
        .expect(403);
    assert_eq!(
        lab.client.get(&one(project, 1)).await.expect(200)["user_notes_count"],
        2
    );

    ann.post(&notes, json!({ "body": " " })).await.expect(400);
    ann.post(&notes, json!({})).await.expect(400);
    ann.put(&note, json!({ "body": "" })).await.expect(400);
    let long = "x".repeat(1_000_001);
    ann.post(&notes, json!({ "body": long })).await.expect(400);
    lab.client.anonymous().get(&notes).await.expect(401);
    lab.client.delete(&note).await.expect(204);
    ann.get(&note).await.expect(404);
    let lock = json!({ "discussion_locked": true });
    lab.client.put(&one(project, 1), lock).await.expect(200);
    ann.post(&notes, json!({ "body": "x" })).await.expect(403);
    reporter.post(&notes, json!({ "body": "x" })).await.expect(201);
}

#[tokio::test]
async fn a_jobs_token_reads_notes_and_writes_none() {
    let (lab, project) = lab("private").await;
    lab.client
        .post(&requests(project), wanted("next"))
        .await
        .expect(201);
    let job = json!({ "project": "team/app", "user": "root" });
    let job = lab.client.post("/-/sandbox/jobs", job).await.expect(201);
    let ci = lab
        .client
        .with_credential("JOB-TOKEN", job["token"].as_str().unwrap());
    let notes = format!("{}/notes", one(project, 1));
    ci.get(&requests(project)).await.expect(200);
    ci.get(&one(project, 1)).await.expect(200);
    ci.get(&notes).await.expect(200);
    ci.post(&notes, json!({ "body": "x" })).await.expect(401);
    ci.put(&one(project, 1), json!({ "title": "x" }))
        .await
        .expect(401);
}

#[tokio::test]
async fn a_page_shows_what_git_knows_of_its_own() {
    let (lab, project) = lab("private").await;
    branch(&lab.client, project, "later").await;
    for name in ["next", "later"] {
        lab.client
            .post(&requests(project), wanted(name))
            .await
            .expect(201);
    }
    let sha = head(&lab.client, project, "next").await;
    let path = format!("{}?per_page=1&page=2", requests(project));
    let page = lab.client.get(&path).await.expect(200);
    assert_eq!(
        (page.as_array().unwrap().len(), &page[0]["sha"]),
        (1, &json!(sha))
    );
}
