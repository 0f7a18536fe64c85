//! What an instance tells of itself, and what its administrator does on the server rather than over the API.

mod common;

use common::Lab;
use gitlab_sandbox::Edition;
use serde_json::json;

#[tokio::test]
async fn it_says_which_release_it_is_and_where_it_is_reached() {
    let lab = Lab::start_with(|options| {
        options.edition = Edition::Ee;
        options.version = "18.2.4".to_owned();
        options.url = Some("https://git.example.org".to_owned());
    })
    .await;
    let about = lab.client.get("metadata").await.expect(200);
    assert_eq!(
        (&about["version"], &about["enterprise"]),
        (&json!("18.2.4-ee"), &json!(true))
    );
    let group = lab.group("team", json!({})).await;
    let app = lab.project(group, "app", json!({})).await;
    let app = lab.client.get(&format!("projects/{app}")).await.expect(200);
    assert_eq!(app["http_url_to_repo"], "https://git.example.org/team/app.git");
}

#[tokio::test]
async fn its_health_is_for_whoever_asks_and_can_be_made_to_fail() {
    let lab = Lab::start().await;
    let anyone = lab.client.anonymous();
    assert_eq!(anyone.get("/-/health").await.expect(200), "GitLab OK");
    anyone.get("/-/liveness").await.expect(200);
    let ready = json!({"status": "ok", "master_check": [{"status": "ok"}]});
    assert_eq!(anyone.get("/-/readiness").await.expect(200), ready);
    let all = anyone.get("/-/readiness?all=1").await.expect(200);
    assert_eq!(all["db_check"], json!([{"status": "ok"}]));

    let failed = json!({"status": "failed", "db_check": [{"status": "failed", "message": "no"}]});
    lab.client
        .arm(json!({"path": "^/-/readiness", "status": 503, "body": failed}))
        .await;
    assert_eq!(anyone.get("/-/readiness?all=1").await.expect(503), failed);
}

#[tokio::test]
async fn a_token_can_be_given_its_value() {
    let lab = Lab::start().await;
    let value = "glpat-abcdefghijklmnopqrst";
    let wanted = json!({"user": "root", "name": "made", "scopes": ["api"], "expires_at": "2099-01-31", "token": value});
    let made = lab
        .client
        .post("/-/sandbox/tokens", wanted.clone())
        .await
        .expect(201);
    let shown = lab
        .client
        .with_token(value)
        .get("personal_access_tokens/self")
        .await;
    let shown = shown.expect(200);
    assert_eq!(
        (&shown["id"], &shown["expires_at"]),
        (&made["id"], &json!("2099-01-31"))
    );
    lab.client.post("/-/sandbox/tokens", wanted).await.expect(409);
    let (_, nobody) = lab.user("nobody", &["api"]).await;
    nobody.get("/-/sandbox/tokens").await.expect(401);

    let change = json!({"email": "ada@example.org"});
    lab.client
        .patch("/-/sandbox/users/root", change)
        .await
        .expect(204);
    assert_eq!(
        lab.client.get("user").await.expect(200)["email"],
        "ada@example.org"
    );
}

#[tokio::test]
async fn a_background_migration_is_under_way_until_it_is_finished() {
    let lab = Lab::start().await;
    let list = "admin/batched_background_migrations";
    assert_eq!(lab.client.get(list).await.expect(200), json!([]));
    let wanted = json!({"job_class_name": "CopyColumn", "table_name": "events", "column_name": "id"});
    let made = lab
        .client
        .post("/-/sandbox/batched_background_migrations", wanted)
        .await;
    let id = made.expect(201)["id"].clone();
    assert_eq!(lab.client.get(list).await.expect(200)[0]["status"], "active");
    let none = lab.client.get(&format!("{list}?job_class_name=Other")).await;
    assert_eq!(none.expect(200), json!([]));
    let done = json!({"status": "finished", "progress": 100});
    let path = format!("/-/sandbox/batched_background_migrations/{id}");
    lab.client.patch(&path, done).await.expect(204);
    let shown = lab.client.get(&format!("{list}/{id}")).await.expect(200);
    assert_eq!(
        (&shown["status"], &shown["progress"]),
        (&json!("finished"), &json!(100.0))
    );
    lab.client.get(&format!("{list}/9")).await.expect(404);
    let (_, nobody) = lab.user("nobody", &["api"]).await;
    nobody.get(list).await.expect(403);
}
