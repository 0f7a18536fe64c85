//! Tokens of users, projects and groups: what they may, how long they live, and what a dead one is told.

mod common;

use common::Lab;
use gitlab_sandbox::Edition;
use jiff::{Timestamp, ToSpan, tz::Offset};
use reqwest::Method;
use serde_json::{Value, json};

const EXPIRED: &str = "Token is expired. You can either do re-authorization or token refresh.";
const REVOKED: &str = "Token was revoked. You have to re-authorize from the user.";

fn invalid(description: &str) -> Value {
    json!({ "error": "invalid_token", "error_description": description })
}

#[tokio::test]
async fn a_token_knows_itself_and_dies_when_it_expires_or_is_revoked() {
    let lab = Lab::start().await;
    let (id, user) = lab.user("ria", &["read_api"]).await;
    let own = user.get("personal_access_tokens/self").await.expect(200);
    assert_eq!(own["scopes"], json!(["read_api"]));
    assert_eq!(
        (&own["active"], &own["revoked"], &own["user_id"]),
        (&json!(true), &json!(false), &json!(id))
    );
    let tokens = format!("users/{id}/personal_access_tokens");
    let past = json!({ "name": "old", "scopes": ["api"], "expires_at": "2020-01-01" });
    let old = lab.client.post(&tokens, past).await.expect(201);
    assert_eq!(
        (&old["active"], &old["expires_at"]),
        (&json!(false), &json!("2020-01-01"))
    );
    let expired = lab.client.with_token(old["token"].as_str().unwrap());
    assert_eq!(expired.get("user").await.expect(401), invalid(EXPIRED));
    let query = json!({ "query": "{ currentUser { id } }" });
    expired.post("/api/graphql", query).await.expect(401);

    let listed = lab
        .client
        .get(&format!("personal_access_tokens?user_id={id}&state=inactive"))
        .await
        .expect(200);
    assert_eq!(listed[0]["name"], "old");
    assert_eq!(listed.as_array().map(Vec::len), Some(1));

    user.delete("personal_access_tokens/self").await.expect(204);
    assert_eq!(user.get("user").await.expect(401), invalid(REVOKED));
    // One that is both is told that it expired.
    lab.client
        .delete(&format!("personal_access_tokens/{}", old["id"]))
        .await
        .expect(204);
    assert_eq!(expired.get("user").await.expect(401), invalid(EXPIRED));
}

#[tokio::test]
async fn creation_takes_known_scopes_a_name_and_a_year() {
    let lab = Lab::start().await;
    let (id, user) = lab.user("ria", &["api"]).await;
    let tokens = format!("users/{id}/personal_access_tokens");
    let cases = [
        (
            json!({}),
            400,
            json!({ "error": "name is missing, scopes is missing" }),
        ),
        (
            json!({ "name": "a", "scopes": ["all"] }),
            400,
            json!({ "error": "scopes does not have a valid value" }),
        ),
        (
            json!({ "name": "", "scopes": ["api"] }),
            422,
            json!({ "message": "Name can't be blank" }),
        ),
    ];
    for (token, status, answer) in cases {
        assert_eq!(lab.client.post(&tokens, token).await.expect(status), answer);
    }
    let late = json!({ "name": "a", "scopes": ["api"], "expires_at": "2999-01-01" });
    let refused = lab.client.post(&tokens, late.clone()).await.expect(422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .starts_with("Expires at must be before "),
        "{refused}"
    );
    let free = json!({ "require_personal_access_token_expiry": false });
    lab.client.put("application/settings", free).await.expect(200);
    lab.client.post(&tokens, late).await.expect(201);
    let forever = lab
        .client
        .post(&tokens, json!({ "name": "a", "scopes": ["api"] }))
        .await
        .expect(201);
    assert_eq!(forever["expires_at"], Value::Null);

    user.post(&tokens, json!({ "name": "a", "scopes": ["api"] }))
        .await
        .expect(403);
    user.post(
        "user/personal_access_tokens",
        json!({ "name": "a", "scopes": ["api"] }),
    )
    .await
    .expect(400);
    let own = json!({ "name": "a", "scopes": ["self_rotate"] });
    user.post("user/personal_access_tokens", own).await.expect(201);
    user.get("personal_access_tokens/1").await.expect(401);
    user.get("personal_access_tokens?user_id=1").await.expect(401);
    let denied = user.delete("personal_access_tokens/1").await.expect(400);
    assert_eq!(
        denied,
        json!({ "message": "400 Bad request - Not permitted to revoke" })
    );
    assert_eq!(
        lab.client.get("personal_access_tokens/99").await.expect(404),
        json!({ "message": "404 Not Found" })
    );
    lab.client
        .get("personal_access_tokens?user_id=99")
        .await
        .expect(404);
}

#[tokio::test]
async fn rotation_kills_the_old_token() {
    let lab = Lab::start().await;
    let (_, user) = lab.user("ria", &["api"]).await;
    let new = user
        .post("personal_access_tokens/self/rotate", json!({}))
        .await
        .expect(200);
    assert_eq!(user.get("user").await.expect(401), invalid(REVOKED));
    let user = user.with_token(new["token"].as_str().unwrap());
    let same = format!("personal_access_tokens/{}/rotate", new["id"]);
    let today = Offset::UTC.to_datetime(Timestamp::now()).date();
    let soon = today.saturating_add(2.days()).to_string();
    let newest = user.post(&same, json!({ "expires_at": soon })).await.expect(200);
    assert_eq!(newest["expires_at"], soon);
    let twice = lab.client.post(&same, json!({})).await.expect(400);
    assert_eq!(
        twice,
        json!({ "message": "400 Bad request - Token already revoked" })
    );
    // Whoever holds an old token and asks for another gets none, and nobody keeps one.
    let newest = user.with_token(newest["token"].as_str().unwrap());
    newest.get("user").await.expect(200);
    user.post("personal_access_tokens/self/rotate", json!({}))
        .await
        .expect(401);
    assert_eq!(newest.get("user").await.expect(401), invalid(REVOKED));
}

#[tokio::test]
async fn scopes_are_enforced() {
    let lab = Lab::start().await;
    let (_, reader) = lab.user("reader", &["read_api"]).await;
    reader.get("projects").await.expect(200);
    let refused = reader.post("projects", json!({ "name": "p" })).await.expect(403);
    assert_eq!(refused["error"], "insufficient_scope");
    assert_eq!(
        refused["error_description"],
        "The request requires higher privileges than provided by the access token."
    );
    let (_, user) = lab.user("user", &["read_user"]).await;
    user.get("user").await.expect(200);
    user.get("projects").await.expect(403);
    let (_, git) = lab.user("git", &["read_repository"]).await;
    git.get("user").await.expect(403);
    git.get("personal_access_tokens/self").await.expect(200);
    let refused = git
        .post("personal_access_tokens/self/rotate", json!({}))
        .await
        .expect(403);
    assert_eq!(refused["scope"], "api self_rotate api read_api");
    let (_, rotor) = lab.user("rotor", &["self_rotate"]).await;
    rotor
        .post("personal_access_tokens/self/rotate", json!({}))
        .await
        .expect(200);
}

#[tokio::test]
async fn in_admin_mode_a_token_needs_its_scope_for_an_administrators_powers() {
    let lab = Lab::start().await;
    let (_, owner) = lab.user("owner", &["api"]).await;
    let group = json!({ "name": "theirs", "path": "theirs" });
    owner.post("groups", group).await.expect(201);
    let plain = json!({ "name": "plain", "scopes": ["api"] });
    let plain = lab
        .client
        .post("users/1/personal_access_tokens", plain)
        .await
        .expect(201);
    let plain = lab.client.with_token(plain["token"].as_str().unwrap());
    let graphql = json!({ "query": "{ group(fullPath: \"theirs\") { id } ciVariables { nodes { id } } }" });
    plain.get("application/settings").await.expect(200);
    plain.get("groups/theirs").await.expect(200);

    lab.client
        .put("application/settings", json!({ "admin_mode": true }))
        .await
        .expect(200);
    plain.get("application/settings").await.expect(403);
    plain.get("groups/theirs").await.expect(404);
    let seen = plain.post("/api/graphql", graphql.clone()).await.expect(200);
    assert_eq!(seen["data"], json!({ "group": null, "ciVariables": null }));
    assert_eq!(plain.get("user").await.expect(200)["is_admin"], true);
    let seen = lab.client.post("/api/graphql", graphql).await.expect(200);
    assert_eq!(seen["data"]["ciVariables"], json!({ "nodes": [] }));
    lab.client.get("application/settings").await.expect(200);
}

#[tokio::test]
async fn tokens_of_projects_and_groups_bring_a_bot_that_is_a_member() {
    let lab = Lab::start().await;
    let group = lab.group("acme", json!({})).await;
    let project = lab.project(group, "app", json!({})).await;
    for (kind, id) in [("group", group), ("project", project)] {
        let (tokens, members) = (
            format!("{kind}s/{id}/access_tokens"),
            format!("{kind}s/{id}/members"),
        );
        let token =
            json!({ "name": "deploy", "scopes": ["api"], "access_level": 30, "expires_at": "2020-01-01" });
        let made = lab.client.post(&tokens, token).await.expect(201);
        assert_eq!(
            (
                &made["access_level"],
                &made["resource_type"],
                &made["resource_id"]
            ),
            (&json!(30), &json!(kind), &json!(id))
        );
        assert_eq!(made["active"], false);
        let expired = lab.client.with_token(made["token"].as_str().unwrap());
        assert_eq!(expired.get("user").await.expect(401), invalid(EXPIRED));

        let bot = lab
            .client
            .get(&format!("users/{}", made["user_id"]))
            .await
            .expect(200);
        let prefix = format!("{kind}_{id}_bot_");
        let username = bot["username"].as_str().unwrap();
        assert!(
            username.starts_with(&prefix) && username.len() == prefix.len() + 32,
            "{username}"
        );
        assert_eq!((&bot["bot"], &bot["name"]), (&json!(true), &json!("deploy")));
        let member = format!("{members}/{}", made["user_id"]);
        assert_eq!(lab.client.get(&member).await.expect(200)["access_level"], 30);
        // Its membership is changed and removed by nobody.
        lab.client
            .put(&member, json!({ "access_level": 40 }))
            .await
            .expect(403);
        lab.client.delete(&member).await.expect(403);
        let elsewhere = lab.group(&format!("{kind}-elsewhere"), json!({})).await;
        let added = json!({ "user_id": made["user_id"], "access_level": 30 });
        let refused = lab
            .client
            .post(&format!("groups/{elsewhere}/members"), added)
            .await
            .expect(400);
        let problem = "project bots cannot be added to other groups / projects";
        assert_eq!(refused, json!({ "message": { "user_id": [problem] } }));

        let one = format!("{tokens}/{}", made["id"]);
        let new = lab
            .client
            .post(&format!("{one}/rotate"), json!({}))
            .await
            .expect(200);
        assert_eq!(new["user_id"], made["user_id"]);
        let bot = lab.client.with_token(new["token"].as_str().unwrap());
        assert_eq!(bot.get("user").await.expect(200)["username"], username);
        let another = json!({ "name": "a", "scopes": ["api"], "expires_at": null, "access_level": 20 });
        let refused = bot.post(&tokens, another).await.expect(400);
        let reason = format!("400 Bad request - User does not have permission to create {kind} access token");
        assert_eq!(refused, json!({ "message": reason }));
        let own = format!("{tokens}/self/rotate");
        lab.client.post(&own, json!({})).await.expect(405);
        let new = bot.post(&own, json!({})).await.expect(200);
        let bot = lab.client.with_token(new["token"].as_str().unwrap());
        assert_eq!(bot.get("user").await.expect(200)["username"], username);
        lab.client
            .delete(&format!("{tokens}/{}", new["id"]))
            .await
            .expect(204);
        assert_eq!(bot.get("user").await.expect(401), invalid(REVOKED));
        lab.client.get(&member).await.expect(200);
        let all = lab.client.get(&tokens).await.expect(200);
        assert_eq!(all.as_array().map(Vec::len), Some(3));
        let active = lab
            .client
            .get(&format!("{tokens}?state=active"))
            .await
            .expect(200);
        assert_eq!(active, json!([]));
        let missing = lab.client.get(&format!("{tokens}/9999")).await.expect(404);
        assert_eq!(
            missing,
            json!({ "message": format!("404 {kind} Access Token Not Found") })
        );
        let without = lab
            .client
            .post(&tokens, json!({ "name": "a", "scopes": ["api"] }))
            .await
            .expect(400);
        assert_eq!(
            without,
            json!({ "message": "400 Bad request - expires_at is missing" })
        );
    }
}

#[tokio::test]
async fn a_maintainer_makes_no_token_above_themselves() {
    let lab = Lab::start().await;
    let group = lab.group("acme", json!({})).await;
    let project = lab.project(group, "app", json!({})).await;
    let (id, user) = lab.user("ria", &["api"]).await;
    let member = json!({ "user_id": id, "access_level": 40 });
    lab.client
        .post(&format!("projects/{project}/members"), member)
        .await
        .expect(201);
    let token = |level: u8| json!({ "name": "a", "scopes": ["api"], "access_level": level, "expires_at": "2020-01-01" });
    let tokens = format!("projects/{project}/access_tokens");
    let refused = user.post(&tokens, token(50)).await.expect(400);
    let reason =
        "400 Bad request - Access level of the token contains permissions not held by the creating user";
    assert_eq!(refused, json!({ "message": reason }));
    user.post(&tokens, token(40)).await.expect(201);
    let members = format!("projects/{project}/members/{id}");
    lab.client
        .put(&members, json!({ "access_level": 30 }))
        .await
        .expect(200);
    user.get(&tokens).await.expect(401);
}

#[tokio::test]
async fn only_enterprise_edition_has_a_licence() {
    let ce = Lab::start().await;
    assert_eq!(
        ce.client.get("license").await.expect(404),
        json!({ "error": "404 Not Found" })
    );
    let ee = Lab::start_with(|options| options.edition = Edition::Ee).await;
    let license = ee.client.get("license").await.expect(200);
    assert_eq!(
        (&license["plan"], &license["expired"]),
        (&json!("ultimate"), &json!(false))
    );
    let (_, user) = ee.user("ria", &["api"]).await;
    user.get("license").await.expect(403);
    user.send(Method::GET, "application/settings", None)
        .await
        .unwrap()
        .expect(403);
}

#[tokio::test]
async fn settings_tell_the_rate_limits() {
    let lab = Lab::start().await;
    let settings = lab.client.get("application/settings").await.expect(200);
    assert_eq!(settings["throttle_authenticated_api_enabled"], false);
    assert_eq!(settings["throttle_authenticated_api_requests_per_period"], 7200);
    assert_eq!(
        (
            &settings["project_api_limit"],
            &settings["group_projects_api_limit"]
        ),
        (&json!(400), &json!(600))
    );
    let change = json!({ "throttle_unauthenticated_web_enabled": true });
    let changed = lab.client.put("application/settings", change).await.expect(200);
    assert_eq!(changed["throttle_unauthenticated_enabled"], true);
    assert_eq!(changed["throttle_unauthenticated_web_enabled"], true);
}
