//! What is repeated, what is not, and what the journal knows of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{client, settings, writer};
use crate::live::gitlab::{Client, Counts, Kind};

/// `fault` first, `then` for ever after.
async fn faulty(fault: Reply, then: Reply) -> Server {
    Server::start(move |_, before| if before == 0 { fault.clone() } else { then.clone() }).await
}

#[tokio::test]
async fn reads_are_repeated_after_every_passing_fault() {
    let cut = Reply::json(200, json!({ "id": 1 })).with("content-length", 100);
    let locked = Reply::json(409, json!({ "message": "409 Conflict: Resource lock" }));
    let busy = Reply::json(429, json!({ "message": "busy" })).with("Retry-After", 0);
    for fault in [
        Reply::Drop,
        cut,
        locked,
        busy,
        Reply::empty(500),
        Reply::empty(502),
        Reply::empty(503),
        Reply::empty(504),
    ] {
        let server = faulty(fault.clone(), Reply::json(200, json!({ "id": 1 }))).await;
        let client = client(&server.url);
        let found: Value = client
            .reader()
            .get("/projects/1", &[])
            .await
            .unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(found["id"], 1);
        assert_eq!(
            client.counts(),
            Counts {
                reads: 1,
                writes: 0,
                retries: 1
            }
        );
    }
}

#[tokio::test]
async fn reads_are_given_up_after_enough_attempts() {
    let server = Server::start(|_, _| Reply::empty(503)).await;
    let error = client(&server.url)
        .reader()
        .get::<Value>("/projects/1", &[])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.status(), error.is_ambiguous()),
        (Kind::Server, Some(503), false)
    );
    assert!(error.to_string().ends_with("(5 attempts)"), "{error}");
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn what_will_not_pass_is_not_repeated() {
    for status in [400, 401, 403, 404, 409, 422] {
        let server = Server::start(move |_, _| Reply::json(status, json!({ "message": "no" }))).await;
        let error = client(&server.url)
            .reader()
            .get::<Value>("/projects/1", &[])
            .await
            .unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_wait_longer_than_worth_it_is_an_error_at_once() {
    let server =
        Server::start(|_, _| Reply::json(429, json!({ "message": "busy" })).with("Retry-After", 3600)).await;
    let error = client(&server.url)
        .reader()
        .get::<Value>("/projects/1", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert!(error.remedy().unwrap().contains("3600 s"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_post_whose_outcome_is_not_known_is_not_repeated() {
    let locked = Reply::json(409, json!({ "message": "409 Conflict: Resource lock" }));
    for fault in [
        Reply::Drop,
        Reply::empty(500),
        Reply::empty(502),
        Reply::empty(503),
        locked,
    ] {
        let server = faulty(fault.clone(), Reply::json(201, json!({}))).await;
        let client = client(&server.url);
        let (writer, journal) = writer(&client);
        let error = writer
            .post::<Value>("/projects", json!({ "name": "b" }))
            .await
            .unwrap_err();
        assert!(error.is_ambiguous(), "{fault:?}");
        assert_eq!(server.requests().len(), 1);
        assert_eq!(
            journal.lines(),
            ["repo.a/b POST /projects"],
            "the intent stays open"
        );
    }
}

#[tokio::test]
async fn a_post_without_a_reply_in_time_is_not_repeated() {
    let server = Server::start_async(|_, _| Box::pin(std::future::pending())).await;
    let mut settings = settings(&server.url);
    settings.timeout = Duration::from_millis(50);
    let client = Client::connect(settings).unwrap();
    let (writer, journal) = writer(&client);
    let error = writer.post::<Value>("/projects", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_ambiguous()), (Kind::Transport, true));
    assert_eq!(error.to_string(), "failed to POST /projects: no reply in time");
    assert_eq!(server.requests().len(), 1);
    assert_eq!(journal.lines().len(), 1);
}

#[tokio::test]
async fn a_post_that_was_not_carried_out_is_repeated() {
    let busy = Reply::json(429, json!({ "message": "busy" })).with("Retry-After", 0);
    let server = faulty(busy, Reply::json(201, json!({ "id": 7 }))).await;
    let client = client(&server.url);
    let (writer, journal) = writer(&client);
    let made: Value = writer.post("/projects", json!({})).await.unwrap();
    assert_eq!(made["id"], 7);
    assert_eq!(
        client.counts(),
        Counts {
            reads: 0,
            writes: 1,
            retries: 1
        }
    );
    assert_eq!(journal.lines(), ["repo.a/b POST /projects", "1 Done"]);
}

#[tokio::test]
async fn a_refused_write_is_closed_in_the_journal() {
    let server = Server::start(|_, _| Reply::json(400, json!({ "message": { "path": ["is taken"] } }))).await;
    let client = client(&server.url);
    let (writer, journal) = writer(&client);
    let error = writer.post::<Value>("/projects", json!({})).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to POST /projects: GitLab answered 400: path is taken"
    );
    assert_eq!((error.kind(), error.is_ambiguous()), (Kind::Invalid, false));
    assert_eq!(journal.lines(), ["repo.a/b POST /projects", "1 Refused"]);
}

#[tokio::test]
async fn a_write_that_reached_nobody_is_closed_in_the_journal() {
    let server = Server::start(|_, _| Reply::Drop).await;
    let url = server.url.clone();
    drop(server);
    let client = client(&url);
    let (writer, journal) = writer(&client);
    // Dropping the server only asks its task to end.
    tokio::task::yield_now().await;
    let error = writer.post::<Value>("/projects", json!({})).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_ambiguous()),
        (Kind::Transport, false),
        "{error}"
    );
    assert_eq!(journal.lines(), ["repo.a/b POST /projects", "1 Refused"]);
    assert_eq!(client.counts().retries, 4);
}

#[tokio::test]
async fn puts_and_patches_are_repeated() {
    let server = faulty(Reply::Drop, Reply::json(200, json!({ "ok": true }))).await;
    let client_ = client(&server.url);
    let (writer_, _) = writer(&client_);
    let _: Value = writer_.put("/projects/1", json!({ "name": "b" })).await.unwrap();
    let server = faulty(Reply::empty(502), Reply::json(200, json!({ "ok": true }))).await;
    let client_ = client(&server.url);
    let (writer_, journal) = writer(&client_);
    let _: Value = writer_
        .patch("/projects/1", json!({ "name": "b" }))
        .await
        .unwrap();
    assert_eq!(journal.lines(), ["repo.a/b PATCH /projects/1", "1 Done"]);
}

#[tokio::test]
async fn a_put_refused_after_a_lost_reply_stays_in_doubt() {
    let server = faulty(
        Reply::Drop,
        Reply::json(403, json!({ "message": "403 Forbidden" })),
    )
    .await;
    let client = client(&server.url);
    let (writer, journal) = writer(&client);
    let error = writer.put::<Value>("/projects/1", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_ambiguous()), (Kind::Forbidden, true));
    assert_eq!(journal.lines().len(), 1);
}

#[tokio::test]
async fn not_found_after_a_lost_reply_is_a_delete_that_worked() {
    let gone = Reply::json(404, json!({ "message": "404 Not found" }));
    let server = faulty(Reply::Drop, gone.clone()).await;
    let client_ = client(&server.url);
    let (writer_, journal) = writer(&client_);
    writer_
        .delete("/projects/1/labels/2", &[("a", "b")])
        .await
        .unwrap();
    assert_eq!(
        journal.lines(),
        ["repo.a/b DELETE /projects/1/labels/2", "1 Done"]
    );
    assert_eq!(server.requests()[0].target, "/api/v4/projects/1/labels/2?a=b");

    let server = Server::start(move |_, _| gone.clone()).await;
    let client_ = client(&server.url);
    let (writer_, _) = writer(&client_);
    let error = writer_.delete("/projects/1/labels/2", &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "it was never there");
}

#[tokio::test]
async fn an_empty_reply_is_null() {
    let server = Server::start(|_, _| Reply::empty(204)).await;
    let client = client(&server.url);
    let (writer, _) = writer(&client);
    writer.delete("/projects/1/labels/2", &[]).await.unwrap();
    writer.post::<()>("/projects/1/star", json!({})).await.unwrap();
}
