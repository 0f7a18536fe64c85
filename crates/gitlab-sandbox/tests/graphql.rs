//! GraphQL over HTTP, beside REST and git on the same projects.

mod common;

use common::{Lab, eventually};
use serde_json::{Value, json};
use tokio::process::Command;

const RULES: &str = "query($path: ID!) { project(fullPath: $path) { repository { empty rootRef } branchRules { nodes {
    id name isDefault matchingBranchesCount branchProtection { allowForcePush pushAccessLevels { nodes { accessLevel } } } } } } }";

async fn rules(lab: &Lab) -> Value {
    let query = json!({ "query": RULES, "variables": { "path": "platform/api" } });
    let answer = lab.client.post("/api/graphql", query).await.expect(200);
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["project"].clone()
}

#[tokio::test]
async fn a_protection_that_gitlab_makes_after_a_push_is_a_branch_rule() {
    let lab = Lab::start().await;
    let group = lab.group("platform", json!({})).await;
    let id = lab.project(group, "api", json!({})).await;
    assert_eq!(
        rules(&lab).await["repository"],
        json!({ "empty": true, "rootRef": null })
    );

    let work = tempfile::TempDir::new().unwrap();
    let url = lab
        .sandbox
        .url()
        .replace("http://", &format!("http://any:{}@", lab.sandbox.token()));
    let script = format!(
        "git init -q -b trunk . && git -c user.name=T -c user.email=t@example.com commit -q --allow-empty -m first && git push -q {url}/platform/api.git trunk"
    );
    let pushed = Command::new("sh")
        .args(["-ec", &script])
        .current_dir(&work)
        .status()
        .await
        .unwrap();
    assert!(pushed.success());
    let branches = format!("projects/{id}/protected_branches");
    eventually(&lab.client, &branches, |body| body[0]["name"] == "trunk").await;

    let project = rules(&lab).await;
    assert_eq!(
        project["repository"],
        json!({ "empty": false, "rootRef": "trunk" })
    );
    let rule = &project["branchRules"]["nodes"][1];
    assert_eq!(
        (&rule["name"], &rule["isDefault"], &rule["matchingBranchesCount"]),
        (&json!("trunk"), &json!(true), &json!(1))
    );

    // In one step to a level that REST cannot change on CE.
    let update = json!({
        "query": "mutation($input: BranchRuleUpdateInput!) { branchRuleUpdate(input: $input) { errors } }",
        "variables": { "input": { "id": rule["id"], "name": "trunk", "branchProtection": {
            "pushAccessLevels": [{ "accessLevel": 0 }], "mergeAccessLevels": [{ "accessLevel": 30 }],
        } } },
    });
    let answer = lab.client.post("/api/graphql", update).await.expect(200);
    assert_eq!(
        answer,
        json!({ "data": { "branchRuleUpdate": { "errors": [] } } })
    );
    let protected = lab.client.get(&format!("{branches}/trunk")).await.expect(200);
    assert_eq!(protected["push_access_levels"][0]["access_level"], 0);
    assert_eq!(protected["merge_access_levels"][0]["access_level"], 30);
    let refused = Command::new("sh")
        .args(["-ec", &format!("git -c user.name=T -c user.email=t@example.com commit -q --allow-empty -m second && git push -q {url}/platform/api.git trunk")])
        .current_dir(&work)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("GitLab: You are not allowed to push code to protected branches on this project."),
        "{said}"
    );
}

#[tokio::test]
async fn requests_come_alone_or_in_lists_and_bad_ones_are_refused_as_gitlab_does() {
    let lab = Lab::start().await;
    let (_, reader) = lab.user("ria", &["read_user"]).await;
    let me = json!({ "query": "{ currentUser { username } }" });
    let named = json!({ "query": "query A { echo(text: \"a\") } query B { echo(text: \"b\") }", "operationName": "B" });
    let answers = lab
        .client
        .post("/api/graphql", json!([me, named]))
        .await
        .expect(200);
    assert_eq!(
        answers,
        json!([{ "data": { "currentUser": { "username": "root" } } }, { "data": { "echo": "\"root\" says: b" } }])
    );
    let nobody = lab
        .client
        .anonymous()
        .post("/api/graphql", me.clone())
        .await
        .expect(200);
    assert_eq!(nobody, json!({ "data": { "currentUser": null } }));

    let invalid = json!({ "errors": [{ "message": "Invalid token" }] });
    assert_eq!(
        lab.client
            .with_token("wrong")
            .post("/api/graphql", me.clone())
            .await
            .expect(401),
        invalid
    );
    assert_eq!(
        reader.post("/api/graphql", me).await.expect(401),
        invalid,
        "its scope does not cover GraphQL"
    );
    let long = json!({ "query": format!("{{ currentUser {{ id }} }}{}", " ".repeat(10_000)) });
    let too_large = lab.client.post("/api/graphql", long).await.expect(422);
    assert_eq!(too_large, json!({ "errors": [{ "message": "Query too large" }] }));
}
