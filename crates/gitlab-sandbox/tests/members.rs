//! Members of groups and projects: who may change whom, and what is refused.

mod common;

use common::{Client, Lab};
use gitlab_sandbox::Edition;
use serde_json::{Value, json};

async fn add(client: &Client, source: &str, user: u64, level: u8) -> Value {
    let member = json!({ "user_id": user, "access_level": level });
    client
        .post(&format!("{source}/members"), member)
        .await
        .expect(201)
}

#[tokio::test]
async fn members_are_added_by_id_or_name_and_end_on_a_day() {
    let lab = Lab::start().await;
    let group = lab.group("acme", json!({})).await;
    let (ria, _) = lab.user("ria", &["api"]).await;
    lab.user("tom", &["api"]).await;
    let members = format!("groups/{group}/members");
    let made = add(&lab.client, &format!("groups/{group}"), ria, 30).await;
    assert_eq!(made["created_by"]["username"], "root");
    assert_eq!(made["expires_at"], Value::Null);
    assert!(made.get("membership_state").is_none(), "an enterprise field");
    let tom = json!({ "username": "TOM", "access_level": 20, "expires_at": "2999-12-31" });
    let made = lab.client.post(&members, tom).await.expect(201);
    assert_eq!(
        (&made["username"], &made["expires_at"]),
        (&json!("tom"), &json!("2999-12-31"))
    );
    let member = format!("{members}/{}", made["id"]);
    let kept = lab
        .client
        .put(&member, json!({ "access_level": 30 }))
        .await
        .expect(200);
    assert_eq!(kept["expires_at"], "2999-12-31", "what is not sent stays");
    let freed = lab
        .client
        .put(&member, json!({ "access_level": 30, "expires_at": "" }))
        .await
        .expect(200);
    assert_eq!(freed["expires_at"], Value::Null);

    let invalid = |attribute: &str, problem: &str| json!({ "message": { attribute: [problem] } });
    let past = json!({ "access_level": 30, "expires_at": "2020-01-01" });
    assert_eq!(
        lab.client.put(&member, past).await.expect(400),
        invalid("expires_at", "cannot be a date in the past")
    );
    for level in [0, 5, 25, 60] {
        assert_eq!(
            lab.client
                .put(&member, json!({ "access_level": level }))
                .await
                .expect(400),
            invalid("access_level", "is not included in the list")
        );
    }
    let again = json!({ "user_id": ria, "access_level": 30 });
    let taken = lab.client.post(&members, again).await.expect(409);
    assert_eq!(taken, json!({ "message": "Member already exists" }));
    let nobody = json!({ "username": "nobody", "access_level": 30 });
    let missing = lab.client.post(&members, nobody).await.expect(404);
    assert_eq!(missing, json!({ "message": "404 User Not Found" }));
    lab.client.put(&member, json!({})).await.expect(400);
}

#[tokio::test]
async fn a_group_keeps_its_last_owner() {
    let lab = Lab::start().await;
    let top = lab.group("top", json!({})).await;
    let below = lab.group("below", json!({ "parent_id": top })).await;
    let (of_top, of_below) = (format!("groups/{top}/members"), format!("groups/{below}/members"));
    // The only owner, and a bot that is no other.
    let bot = json!({ "name": "b", "scopes": ["api"], "access_level": 50, "expires_at": null });
    lab.client
        .post(&format!("groups/{top}/access_tokens"), bot)
        .await
        .expect(201);
    lab.client.delete(&format!("{of_top}/1")).await.expect(403);
    lab.client
        .put(&format!("{of_top}/1"), json!({ "access_level": 40 }))
        .await
        .expect(403);
    // Below, an owner from above is another, be it the same user.
    lab.client.delete(&format!("{of_below}/1")).await.expect(204);
    let (ria, _) = lab.user("ria", &["api"]).await;
    add(&lab.client, &format!("groups/{top}"), ria, 50).await;
    lab.client
        .put(&format!("{of_top}/1"), json!({ "access_level": 40 }))
        .await
        .expect(200);
    lab.client.delete(&format!("{of_top}/{ria}")).await.expect(403);
}

#[tokio::test]
async fn a_membership_below_is_no_lower_than_the_highest_above() {
    let lab = Lab::start().await;
    let top = lab.group("top", json!({ "name": "Top" })).await;
    let middle = lab
        .group("middle", json!({ "name": "Middle", "parent_id": top }))
        .await;
    let project = lab.project(middle, "app", json!({})).await;
    let (ria, _) = lab.user("ria", &["api"]).await;
    add(&lab.client, &format!("groups/{top}"), ria, 30).await;
    let lower = json!({ "user_id": ria, "access_level": 20 });
    let problem = |role: &str, group: &str| {
        let problem =
            format!("should be greater than or equal to {role} inherited membership from group {group}");
        json!({ "message": { "access_level": [problem] } })
    };
    let of_middle = format!("groups/{middle}/members");
    assert_eq!(
        lab.client.post(&of_middle, lower.clone()).await.expect(400),
        problem("Developer", "Top")
    );
    add(&lab.client, &format!("groups/{middle}"), ria, 40).await;
    let of_project = format!("projects/{project}/members");
    assert_eq!(
        lab.client.post(&of_project, lower).await.expect(400),
        problem("Maintainer", "Middle")
    );
    let all = lab
        .client
        .get(&format!("{of_project}/all/{ria}"))
        .await
        .expect(200);
    assert_eq!(all["access_level"], 40);
    lab.client.get(&format!("{of_project}/{ria}")).await.expect(404);
    // Removing above removes below, unless told otherwise.
    add(&lab.client, &format!("projects/{project}"), ria, 50).await;
    lab.client
        .delete(&format!("groups/{top}/members/{ria}?skip_subresources=true"))
        .await
        .expect(204);
    lab.client.get(&format!("{of_project}/{ria}")).await.expect(200);
    lab.client.delete(&format!("{of_middle}/{ria}")).await.expect(204);
    lab.client.get(&format!("{of_project}/{ria}")).await.expect(404);
}

#[tokio::test]
async fn roles_limit_who_adds_whom() {
    let lab = Lab::start().await;
    let group = lab.group("acme", json!({})).await;
    let project = lab.project(group, "app", json!({})).await;
    let (ria, maintainer) = lab.user("ria", &["api"]).await;
    let (tom, developer) = lab.user("tom", &["api"]).await;
    let (zoe, stranger) = lab.user("zoe", &["api"]).await;
    let of_project = format!("projects/{project}/members");
    add(&lab.client, &format!("projects/{project}"), ria, 40).await;
    add(&maintainer, &format!("projects/{project}"), tom, 30).await;
    let owner = json!({ "user_id": zoe, "access_level": 50 });
    maintainer.post(&of_project, owner.clone()).await.expect(403);
    developer
        .post(&of_project, json!({ "user_id": zoe, "access_level": 10 }))
        .await
        .expect(403);
    stranger.get(&of_project).await.expect(404);
    lab.client.anonymous().get(&of_project).await.expect(401);
    lab.client.post(&of_project, owner).await.expect(201);
    maintainer
        .put(&format!("{of_project}/{zoe}"), json!({ "access_level": 40 }))
        .await
        .expect(403);
    maintainer
        .delete(&format!("{of_project}/{zoe}"))
        .await
        .expect(403);
    // Everybody may leave.
    developer.delete(&format!("{of_project}/{tom}")).await.expect(204);
}

#[tokio::test]
async fn a_user_stays_the_owner_of_their_own_project() {
    let lab = Lab::start().await;
    let (ria, user) = lab.user("ria", &["api"]).await;
    let project = user.post("projects", json!({ "name": "mine" })).await.expect(201)["id"].clone();
    let member = format!("projects/{project}/members/{ria}");
    assert_eq!(user.get(&member).await.expect(200)["access_level"], 50);
    lab.client
        .put(&member, json!({ "access_level": 40 }))
        .await
        .expect(403);
    lab.client.delete(&member).await.expect(403);
}

#[tokio::test]
async fn blocked_users_stay_members_and_may_nothing() {
    let lab = Lab::start_with(|options| options.edition = Edition::Ee).await;
    let group = lab.group("acme", json!({})).await;
    let (ria, user) = lab.user("ria", &["api"]).await;
    let made = add(&lab.client, &format!("groups/{group}"), ria, 30).await;
    assert_eq!(
        (&made["membership_state"], &made["email"]),
        (&json!("active"), &json!("ria@example.com"))
    );
    assert_eq!(
        lab.client
            .post(&format!("users/{ria}/block"), json!({}))
            .await
            .expect(201),
        true
    );
    assert_eq!(
        user.get("user").await.expect(403),
        json!({ "message": "403 Forbidden - Your account has been blocked." })
    );
    let member = lab
        .client
        .get(&format!("groups/{group}/members/{ria}"))
        .await
        .expect(200);
    assert_eq!(
        (&member["state"], &member["access_level"]),
        (&json!("blocked"), &json!(30))
    );
    lab.client.post("users/1/block", json!({})).await.expect(403);
    lab.client
        .post(&format!("users/{ria}/unblock"), json!({}))
        .await
        .expect(201);
    user.get("user").await.expect(200);
}

#[tokio::test]
async fn graphql_tells_direct_members_of_many_groups_and_projects_at_once() {
    let lab = Lab::start().await;
    let top = lab.group("top", json!({})).await;
    let below = lab.group("below", json!({ "parent_id": top })).await;
    let project = lab.project(below, "app", json!({})).await;
    let (ria, _) = lab.user("ria", &["api"]).await;
    let member = json!({ "user_id": ria, "access_level": 30, "expires_at": "2999-12-31" });
    lab.client
        .post(&format!("groups/{top}/members"), member)
        .await
        .expect(201);
    let token = json!({ "name": "robot", "scopes": ["api"], "access_level": 20, "expires_at": null });
    lab.client
        .post(&format!("projects/{project}/access_tokens"), token)
        .await
        .expect(201);
    let member =
        "id accessLevel { integerValue stringValue } expiresAt user { username bot human type state }";
    let query = format!(
        "{{ groups(ids: [\"gid://gitlab/Group/{top}\", \"gid://gitlab/Group/{below}\"], sort: \"id_asc\") {{ nodes {{
                fullPath groupMembers(relations: [DIRECT]) {{ nodes {{ {member} }} }} ciVariables {{ nodes {{ key }} }} }} }}
            projects(ids: [\"gid://gitlab/Project/{project}\"]) {{ nodes {{
                projectMembers(relations: [DIRECT]) {{ nodes {{ {member} }} }} }} }} }}"
    );
    let data = lab
        .client
        .post("/api/graphql", json!({ "query": query }))
        .await
        .expect(200)["data"]
        .clone();
    let groups = &data["groups"]["nodes"];
    assert_eq!(
        (&groups[0]["fullPath"], &groups[1]["fullPath"]),
        (&json!("top"), &json!("top/below"))
    );
    let of_top = groups[0]["groupMembers"]["nodes"].as_array().unwrap();
    let ria = of_top
        .iter()
        .find(|member| member["user"]["username"] == "ria")
        .unwrap();
    assert_eq!(
        ria["accessLevel"],
        json!({ "integerValue": 30, "stringValue": "DEVELOPER" })
    );
    assert_eq!(
        (&ria["expiresAt"], &ria["user"]["type"]),
        (&json!("2999-12-31"), &json!("HUMAN"))
    );
    assert_eq!(
        groups[1]["groupMembers"]["nodes"].as_array().map(Vec::len),
        Some(1),
        "its own only"
    );
    let bot = &data["projects"]["nodes"][0]["projectMembers"]["nodes"][0];
    assert_eq!(bot["accessLevel"]["integerValue"], 20);
    let user = &bot["user"];
    assert_eq!(
        (&user["bot"], &user["human"], &user["type"]),
        (&json!(true), &json!(false), &json!("PROJECT_BOT"))
    );
}
