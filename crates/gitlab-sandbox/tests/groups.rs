//! Groups, members and who may do what.

mod common;

use common::Lab;
use serde_json::{Value, json};

#[tokio::test]
async fn a_group_that_cannot_be_saved_says_why_in_a_string() {
    let lab = Lab::start().await;
    let group = lab.group("platform", json!({})).await;
    let create = |body: Value| lab.client.post("groups", body);
    let refused = create(json!({})).await.expect(400);
    assert_eq!(refused["error"], "name is missing, path is missing");
    let refused = create(json!({ "name": "x", "path": "Platform" }))
        .await
        .expect(400);
    assert_eq!(
        refused["message"],
        "Failed to save group {:path=>[\"has already been taken\"]}"
    );
    let refused = create(json!({ "name": "x", "path": "api" })).await.expect(400);
    assert_eq!(
        refused["message"],
        "Failed to save group {:path=>[\"api is a reserved name\"]}"
    );
    let refused =
        create(json!({ "name": "x", "path": "xx", "parent_id": group, "visibility": "public" })).await;
    let problem = "public is not allowed since the parent group has a private visibility.";
    let message = format!("Failed to save group {{:visibility_level=>[\"{problem}\"]}}");
    assert_eq!(refused.expect(400)["message"], message);
    create(json!({ "name": "x", "path": "xx", "parent_id": 999 }))
        .await
        .expect(404);
}

#[tokio::test]
async fn groups_nest_rename_transfer_and_list() {
    let lab = Lab::start().await;
    let top = lab.group("top", json!({ "visibility": "public" })).await;
    let child = lab
        .group("child", json!({ "parent_id": top, "visibility": "public" }))
        .await;
    let leaf = lab.group("leaf", json!({ "parent_id": child })).await;
    let shown = lab
        .client
        .get("groups/TOP%2Fchild%2Fleaf?with_projects=false")
        .await
        .expect(200);
    assert_eq!(shown["full_name"], "top / child / leaf");
    assert!(shown.get("projects").is_none());
    let names = |body: Value| -> Vec<String> {
        body.as_array()
            .unwrap()
            .iter()
            .map(|group| group["path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(lab.client.get("groups?top_level_only=true").await.expect(200)),
        ["top"]
    );
    assert_eq!(
        names(lab.client.get("groups?order_by=id&sort=desc").await.expect(200)),
        ["leaf", "child", "top"]
    );
    assert_eq!(
        names(
            lab.client
                .get(&format!("groups?skip_groups={top},{leaf}"))
                .await
                .expect(200)
        ),
        ["child"]
    );
    assert_eq!(
        names(lab.client.get("groups/top/subgroups").await.expect(200)),
        ["child"]
    );
    assert_eq!(
        names(lab.client.get("groups/top/descendant_groups").await.expect(200)),
        ["child", "leaf"]
    );
    let refused = lab
        .client
        .post(&format!("groups/{top}/transfer"), json!({ "group_id": leaf }))
        .await
        .expect(400);
    assert_eq!(
        refused["message"],
        "Transfer failed: Cannot transfer group to one of its subgroup."
    );
    let moved = lab
        .client
        .post(&format!("groups/{leaf}/transfer"), json!({}))
        .await
        .expect(201);
    assert_eq!(moved["full_path"], "leaf");
    assert_eq!(moved["parent_id"], Value::Null);
}

#[tokio::test]
async fn group_deletion_is_delayed_and_can_be_undone() {
    let lab = Lab::start().await;
    let id = lab.group("gone", json!({})).await;
    let path = format!("groups/{id}");
    lab.client.delete(&path).await.expect(202);
    let marked = lab.client.get(&path).await.expect(200);
    assert_eq!(marked["path"], format!("gone-deletion_scheduled-{id}"));
    lab.client.delete(&path).await.expect(400);
    let refused = lab
        .client
        .delete(&format!("{path}?permanently_remove=true"))
        .await
        .expect(400);
    assert_eq!(
        refused["message"],
        "`permanently_remove` option is only available for subgroups."
    );
    let restored = lab
        .client
        .post(&format!("{path}/restore"), json!({}))
        .await
        .expect(201);
    assert_eq!(restored["path"], "gone");
    assert_eq!(restored["marked_for_deletion_on"], Value::Null);
}

#[tokio::test]
async fn roles_decide_what_is_seen_and_done() {
    let lab = Lab::start().await;
    let group = lab.group("team", json!({})).await;
    let id = lab.project(group, "p", json!({})).await;
    let (maintainer_id, maintainer) = lab.user("mia", &["api"]).await;
    let (reporter_id, reporter) = lab.user("rob", &["api"]).await;
    let (_, stranger) = lab.user("sam", &["api"]).await;
    let members = format!("projects/{id}/members");
    let add = |user: u64, level: u64| {
        lab.client
            .post(&members, json!({ "user_id": user, "access_level": level }))
    };
    add(maintainer_id, 40).await.expect(201);
    add(reporter_id, 20).await.expect(201);
    let path = format!("projects/{id}");

    lab.client.anonymous().get(&path).await.expect(404);
    let members_of = format!("{path}/members");
    lab.client.anonymous().get(&members_of).await.expect(401);
    stranger.get(&path).await.expect(404);
    let seen = reporter.get(&path).await.expect(200);
    assert!(seen.get("ci_default_git_depth").is_none(), "for maintainers only");
    assert!(
        maintainer
            .get(&path)
            .await
            .expect(200)
            .get("ci_default_git_depth")
            .is_some()
    );
    let change = json!({ "description": "x" });
    let refused = reporter.put(&path, change.clone()).await.expect(403);
    assert_eq!(refused, json!({ "message": "403 Forbidden" }));
    lab.client
        .anonymous()
        .put(&path, change.clone())
        .await
        .expect(401);
    maintainer.put(&path, change).await.expect(200);
    maintainer
        .put(&path, json!({ "visibility": "private" }))
        .await
        .expect(403);
    maintainer.delete(&path).await.expect(403);
    maintainer
        .post(&members, json!({ "username": "sam", "access_level": 50 }))
        .await
        .expect(403);
    maintainer
        .post(&members, json!({ "username": "sam", "access_level": 30 }))
        .await
        .expect(201);
    let refused = maintainer
        .post(&members, json!({ "username": "sam", "access_level": 30 }))
        .await
        .expect(409);
    assert_eq!(refused["message"], "Member already exists");
    reporter.get("application/settings").await.expect(403);
    reporter
        .post("projects", json!({ "path": "q", "namespace_id": group }))
        .await
        .expect(400);
}

#[tokio::test]
async fn an_archived_group_takes_nothing_new() {
    let lab = Lab::start().await;
    let group = lab.group("old", json!({})).await;
    let (user, _) = lab.user("ann", &["api"]).await;
    let archived = lab
        .client
        .post(&format!("groups/{group}/archive"), json!({}))
        .await
        .expect(200);
    assert_eq!(archived["archived"], true);
    let project = json!({ "path": "p", "namespace_id": group });
    let refused = lab.client.post("projects", project.clone()).await.expect(400);
    assert_eq!(refused["message"]["namespace"], json!(["is not valid"]));
    let child = json!({ "name": "c", "path": "cc", "parent_id": group });
    lab.client.post("groups", child).await.expect(403);
    let member = json!({ "user_id": user, "access_level": 30 });
    lab.client
        .post(&format!("groups/{group}/members"), member)
        .await
        .expect(403);
    lab.client
        .post(&format!("groups/{group}/archive"), json!({}))
        .await
        .expect(422);
    lab.client
        .post(&format!("groups/{group}/unarchive"), json!({}))
        .await
        .expect(200);
    lab.client.post("projects", project).await.expect(201);
}

#[tokio::test]
async fn tokens_are_limited_to_their_scopes_and_life() {
    let lab = Lab::start().await;
    let (id, reader) = lab.user("ria", &["read_api"]).await;
    reader.get("user").await.expect(200);
    let refused = reader.post("projects", json!({ "path": "p" })).await.expect(403);
    assert_eq!(refused["error"], "insufficient_scope");
    let refused = lab
        .client
        .with_token("glpat-wrong")
        .get("version")
        .await
        .expect(401);
    assert_eq!(refused, json!({ "message": "401 Unauthorized" }));
    let rotated = lab
        .client
        .post("personal_access_tokens/2/rotate", json!({}))
        .await
        .expect(200);
    let refused = reader.get("user").await.expect(401);
    assert_eq!(refused["error"], "invalid_token");
    let user = reader
        .with_token(rotated["token"].as_str().unwrap())
        .get("user")
        .await
        .expect(200);
    assert_eq!(user["id"], id);
    assert!(user.get("is_admin").is_none());
    assert_eq!(lab.client.get("user").await.expect(200)["is_admin"], true);
}

#[tokio::test]
async fn members_inherit_and_a_group_keeps_an_owner() {
    let lab = Lab::start().await;
    let group = lab.group("team", json!({})).await;
    let id = lab.project(group, "p", json!({})).await;
    let (user, _) = lab.user("dev", &["api"]).await;
    let members = format!("groups/{group}/members");
    lab.client
        .post(&members, json!({ "user_id": user, "access_level": 30 }))
        .await
        .expect(201);
    let direct = lab
        .client
        .get(&format!("projects/{id}/members"))
        .await
        .expect(200);
    assert_eq!(direct, json!([]));
    let all = lab
        .client
        .get(&format!("projects/{id}/members/all"))
        .await
        .expect(200);
    assert_eq!(all.as_array().unwrap().len(), 2);
    let low = json!({ "user_id": user, "access_level": 20 });
    let refused = lab
        .client
        .post(&format!("projects/{id}/members"), low)
        .await
        .expect(400);
    let problem = "should be greater than or equal to Developer inherited membership from group team";
    assert_eq!(refused["message"]["access_level"], json!([problem]));
    lab.client.delete(&format!("{members}/1")).await.expect(403);
    lab.client
        .put(&format!("{members}/{user}"), json!({ "access_level": 50 }))
        .await
        .expect(200);
    lab.client.delete(&format!("{members}/1")).await.expect(204);
    lab.client.get(&format!("{members}/1")).await.expect(404);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let lab = Lab::start().await;
    let reply = lab.client.get("projects/1/issues").await.expect(501);
    assert_eq!(
        reply["error"],
        "501 Not Implemented: GET /api/v4/projects/1/issues"
    );
    lab.client.post("version", json!({})).await.expect(501);
}
