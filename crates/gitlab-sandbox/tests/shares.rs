//! Groups and projects that are shared with groups: who comes with them, and what is refused.

mod common;

use common::Lab;
use serde_json::{Value, json};

fn usernames(members: &Value) -> Vec<(&str, u64)> {
    let members = members.as_array().unwrap().iter();
    let mut names: Vec<_> = members
        .map(|member| {
            (
                member["username"].as_str().unwrap(),
                member["access_level"].as_u64().unwrap(),
            )
        })
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn members_of_an_invited_group_come_with_no_more_than_the_share_gives() {
    let lab = Lab::start().await;
    let team = lab.group("team", json!({})).await;
    let guests = lab.group("guests", json!({})).await;
    let project = lab.project(team, "app", json!({})).await;
    let (ria, user) = lab.user("ria", &["api"]).await;
    let member = json!({ "user_id": ria, "access_level": 40 });
    lab.client
        .post(&format!("groups/{guests}/members"), member)
        .await
        .expect(201);
    for (kind, id) in [("project", project), ("group", team)] {
        let path = format!("{kind}s/{id}");
        user.get(&path).await.expect(404);
        let share = json!({ "group_id": guests, "group_access": 30, "expires_at": "2999-12-31" });
        let made = lab
            .client
            .post(&format!("{path}/share"), share.clone())
            .await
            .expect(201);
        if kind == "project" {
            assert_eq!(
                made,
                json!({ "id": 1, "project_id": id, "group_id": guests, "group_access": 30, "expires_at": "2999-12-31" })
            );
        }
        let shown = lab.client.get(&path).await.expect(200);
        assert_eq!(
            shown["shared_with_groups"],
            json!([{ "group_id": guests, "group_name": "guests", "group_full_path": "guests",
                "group_access_level": 30, "expires_at": "2999-12-31" }])
        );
        user.get(&path).await.expect(200);
        user.put(&path, json!({ "description": "mine" }))
            .await
            .expect(403);
        let all = lab.client.get(&format!("{path}/members/all")).await.expect(200);
        assert_eq!(usernames(&all), [("ria", 30), ("root", 50)]);
        let direct = lab.client.get(&format!("{path}/members")).await.expect(200);
        assert!(
            !usernames(&direct).iter().any(|(name, _)| *name == "ria"),
            "{direct}"
        );
        let (field, relations, name) = match kind {
            "project" => (
                "projectMembers",
                "[DIRECT, INHERITED, INVITED_GROUPS]",
                &shown["path_with_namespace"],
            ),
            _ => (
                "groupMembers",
                "[DIRECT, SHARED_FROM_GROUPS]",
                &shown["full_path"],
            ),
        };
        let nodes = "{ nodes { accessLevel { integerValue } user { username } } }";
        let query = format!(
            "{{ {kind}(fullPath: {name}) {{ all: {field}(relations: {relations}) {nodes}
                direct: {field}(relations: [DIRECT]) {nodes} }} }}"
        );
        let answer = lab
            .client
            .post("/api/graphql", json!({ "query": query }))
            .await
            .expect(200);
        let levels = |list: &str| {
            let nodes = answer["data"][kind][list]["nodes"].as_array().unwrap().iter();
            let found = nodes.filter(|member| member["user"]["username"] == "ria");
            found
                .map(|member| member["accessLevel"]["integerValue"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!((levels("all"), levels("direct")), (vec![json!(30)], vec![]));
        let invited = lab
            .client
            .get(&format!("{path}/invited_groups"))
            .await
            .expect(200);
        assert_eq!(invited[0]["full_path"], "guests");
        lab.client.post(&format!("{path}/share"), share).await.expect(409);
        lab.client
            .delete(&format!("{path}/share/{guests}"))
            .await
            .expect(204);
        let missing = lab
            .client
            .delete(&format!("{path}/share/{guests}"))
            .await
            .expect(404);
        assert_eq!(missing, json!({ "message": "404 Group Link Not Found" }));
        user.get(&path).await.expect(404);
    }
}

#[tokio::test]
async fn shares_that_are_not_allowed_are_refused() {
    let lab = Lab::start().await;
    let team = lab.group("team", json!({})).await;
    let other = lab.group("other", json!({})).await;
    let project = lab.project(team, "app", json!({})).await;
    let share = |group: u64| json!({ "group_id": group, "group_access": 30 });
    let path = format!("projects/{project}/share");
    let own = lab.client.post(&path, share(team)).await.expect(409);
    let problem = "Project cannot be shared with the group it is in or one of its ancestors.";
    assert_eq!(own, json!({ "message": problem }));
    let nothing = lab.client.post(&path, share(99)).await.expect(404);
    assert_eq!(nothing, json!({ "message": "Not Found" }));
    let wrong = lab
        .client
        .post(&path, json!({ "group_id": other, "group_access": 25 }))
        .await
        .expect(400);
    assert_eq!(
        wrong,
        json!({ "error": "group_access does not have a valid value" })
    );
    lab.client.post(&path, json!({})).await.expect(400);
    let lock = json!({ "share_with_group_lock": true });
    lab.client.put(&format!("groups/{team}"), lock).await.expect(200);
    let locked = lab.client.post(&path, share(other)).await.expect(400);
    assert_eq!(
        locked,
        json!({ "message": "The project sharing with group is disabled" })
    );
    // A stranger's group, and a group of strangers.
    let (_, user) = lab.user("ria", &["api"]).await;
    user.post(&path, share(other)).await.expect(404);
    user.post(&format!("groups/{team}/share"), share(other))
        .await
        .expect(404);
    let inside = json!({ "prevent_sharing_groups_outside_hierarchy": true });
    lab.client
        .put(&format!("groups/{team}"), inside)
        .await
        .expect(200);
    lab.client
        .post(&format!("groups/{team}/share"), share(other))
        .await
        .expect(404);
    // What is expired gives nothing.
    let (tom, guest) = lab.user("tom", &["api"]).await;
    lab.client
        .post(
            &format!("groups/{other}/members"),
            json!({ "user_id": tom, "access_level": 30 }),
        )
        .await
        .expect(201);
    let third = lab.group("third", json!({})).await;
    let over = json!({ "group_id": other, "group_access": 30, "expires_at": "2020-01-01" });
    lab.client
        .post(&format!("groups/{third}/share"), over)
        .await
        .expect(201);
    guest.get("groups/third").await.expect(404);
}
