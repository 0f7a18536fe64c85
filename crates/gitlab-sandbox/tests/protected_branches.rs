//! Protected branches on both editions.

mod common;

use common::Lab;
use gitlab_sandbox::Edition;
use serde_json::{Value, json};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEa4fgVqlqUHTGZEUQsdyPtBPbqHhfrrJzh1hRkWlgLp ci";

async fn project(lab: &Lab) -> String {
    let group = lab.group("team", json!({})).await;
    let id = lab.project(group, "p", json!({})).await;
    format!("projects/{id}")
}

#[tokio::test]
async fn ce_changes_only_force_push_in_place() {
    let lab = Lab::start().await;
    let branches = format!("{}/protected_branches", project(&lab).await);
    let rule = json!({ "name": "release/*", "push_access_level": 0, "allowed_to_merge": [{ "user_id": 1 }] });
    let made = lab.client.post(&branches, rule.clone()).await.expect(201);
    assert_eq!(made["push_access_levels"][0]["access_level"], 0);
    assert_eq!(
        made["push_access_levels"][0]["access_level_description"],
        "No one"
    );
    assert_eq!(made["push_access_levels"][0]["deploy_key_id"], Value::Null);
    assert_eq!(
        made["merge_access_levels"].as_array().unwrap().len(),
        1,
        "allowed_to_merge is EE's"
    );
    assert_eq!(made["merge_access_levels"][0]["access_level"], 40);
    assert!(made["merge_access_levels"][0].get("deploy_key_id").is_none());
    assert!(made.get("unprotect_access_levels").is_none());

    let refused = lab.client.post(&branches, rule).await.expect(409);
    assert_eq!(refused["message"], "Protected branch 'release/*' already exists");
    let refused = lab
        .client
        .post(&branches, json!({ "name": "x", "push_access_level": 50 }))
        .await
        .expect(400);
    assert_eq!(refused["error"], "push_access_level does not have a valid value");
    let one = format!("{branches}/release%2F%2A");
    let change = json!({ "push_access_level": 40, "allow_force_push": true });
    let changed = lab.client.patch(&one, change).await.expect(200);
    assert_eq!(
        changed["push_access_levels"], made["push_access_levels"],
        "levels are not declared here"
    );
    assert_eq!(changed["allow_force_push"], true);
    lab.client.get(&one).await.expect(200);
    lab.client.delete(&one).await.expect(204);
    let missing = lab.client.get(&one).await.expect(404);
    assert_eq!(missing["message"], "404 Not found");
}

#[tokio::test]
async fn ee_adds_levels_and_removes_them_by_id() {
    let lab = Lab::start_with(|options| options.edition = Edition::Ee).await;
    let project = project(&lab).await;
    let branches = format!("{project}/protected_branches");
    let key = json!({ "title": "ci", "key": KEY, "can_push": true });
    let key = lab
        .client
        .post(&format!("{project}/deploy_keys"), key)
        .await
        .expect(201)["id"]
        .clone();
    let made = lab
        .client
        .post(&branches, json!({ "name": "main" }))
        .await
        .expect(201);
    let role = made["push_access_levels"][0]["id"].clone();
    let one = format!("{branches}/main");
    let allowed = json!({ "allowed_to_push": [{ "deploy_key_id": key }] });
    let changed = lab.client.patch(&one, allowed.clone()).await.expect(200);
    assert_eq!(changed["push_access_levels"].as_array().unwrap().len(), 2);
    assert_eq!(changed["push_access_levels"][1]["deploy_key_id"], key);
    assert_eq!(changed["push_access_levels"][1]["access_level_description"], "ci");
    let refused = lab.client.patch(&one, allowed).await.expect(422);
    assert_eq!(
        refused["message"],
        json!(["Push access levels deploy key has already been taken"])
    );
    let gone = json!({ "allowed_to_push": [{ "id": role, "_destroy": true }] });
    let changed = lab.client.patch(&one, gone).await.expect(200);
    assert_eq!(changed["push_access_levels"].as_array().unwrap().len(), 1);
    lab.client
        .delete(&format!("{project}/deploy_keys/{key}"))
        .await
        .expect(204);
    assert_eq!(
        lab.client.get(&one).await.expect(200)["push_access_levels"],
        json!([])
    );
}
