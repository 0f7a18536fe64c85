//! What users are told, and what they must never be shown.

use std::io;
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::server::{Reply, Server};
use super::{CANARY, client, writer};
use crate::live::gitlab::{Error, Kind, segment};

async fn failure(reply: Reply) -> Error {
    let server = Server::start(move |_, _| reply.clone()).await;
    let path = format!("/projects/{}", segment("platform/api"));
    client(&server.url)
        .reader()
        .get::<Value>(&path, &[("with", "query")])
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let error = failure(Reply::json(
        403,
        json!({
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": "api read_api",
        }),
    ))
    .await;
    assert_eq!(error.kind(), Kind::Forbidden);
    assert_eq!(
        error.to_string(),
        "failed to GET /projects/platform%2Fapi: GitLab answered 403: insufficient_scope: \
         The request requires higher privileges than provided by the access token."
    );
    assert!(
        error
            .needs("Maintainer")
            .remedy()
            .unwrap()
            .ends_with("with the scope `read_api` or `api`")
    );
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    for (status, kind, says) in [
        (401, Kind::Unauthorized, "create one"),
        (
            403,
            Kind::Forbidden,
            "the token's user needs to be Maintainer of platform/api",
        ),
        (404, Kind::NotFound, "not visible to this token"),
        (409, Kind::Conflict, "exists already"),
    ] {
        let error = failure(Reply::json(status, json!({ "message": "no" })))
            .await
            .needs("Maintainer of platform/api");
        assert_eq!(error.kind(), kind);
        assert!(error.remedy().unwrap().contains(says), "{:?}", error.remedy());
    }
    let error = failure(Reply::json(422, json!({ "message": ["Name is invalid"] }))).await;
    assert_eq!(
        (error.kind(), error.remedy()),
        (Kind::Invalid, None),
        "GitLab's words say it all"
    );
    assert!(error.detail().ends_with("Name is invalid"));
}

#[tokio::test]
async fn a_redirect_is_not_existence() {
    let other = Server::start(|_, _| Reply::json(200, json!({ "id": 1 }))).await;
    for (location, says) in [
        ("/api/v4/projects/7".to_owned(), "renamed or transferred"),
        ("/users/sign_in?x=1".to_owned(), "not its API"),
        (format!("{}/api/v4/projects/7", other.url), "GitLab's own address"),
        ("https://127.0.0.1/api/v4/projects/7".to_owned(), "write https://"),
    ] {
        let error = failure(Reply::empty(301).with("Location", &location)).await;
        assert_eq!(error.kind(), Kind::Moved);
        let target = location.split('?').next().unwrap();
        assert!(
            error.location().unwrap().ends_with(target),
            "{:?}",
            error.location()
        );
        assert!(error.remedy().unwrap().contains(says), "{:?}", error.remedy());
    }
    assert!(other.requests().is_empty(), "the token went nowhere else");
}

#[tokio::test]
async fn find_takes_only_404_for_absence() {
    let server = Server::start(|request, _| match request.target.as_str() {
        "/api/v4/gone" => Reply::json(404, json!({ "message": "404 Not found" })),
        "/api/v4/moved" => Reply::empty(301).with("Location", "/api/v4/here"),
        _ => Reply::json(403, json!({ "message": "403 Forbidden" })),
    })
    .await;
    let reader = client(&server.url).reader();
    assert_eq!(reader.find::<Value>("/gone", &[]).await.unwrap(), None);
    assert_eq!(
        reader.find::<Value>("/moved", &[]).await.unwrap_err().kind(),
        Kind::Moved
    );
    assert_eq!(
        reader.find::<Value>("/closed", &[]).await.unwrap_err().kind(),
        Kind::Forbidden
    );
}

#[tokio::test]
async fn a_write_to_what_has_moved_is_told_from_an_invalid_one() {
    let said = "405 Non GET methods are not allowed for moved projects";
    let server = Server::start(move |_, _| Reply::json(405, json!({ "message": said }))).await;
    let client = client(&server.url);
    let (writer, _) = writer(&client);
    let error = writer.put::<Value>("/projects/1", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Moved);
}

#[derive(Deserialize, Debug)]
struct Hook {
    #[expect(dead_code)]
    settings: Settings,
}

#[derive(Deserialize, Debug)]
struct Settings {
    #[expect(dead_code)]
    token: u32,
}

#[tokio::test]
async fn a_reply_that_does_not_fit_is_named_by_field_and_not_by_value() {
    let server = Server::start(|request, _| match request.target.as_str() {
        "/api/v4/typed" => Reply::json(200, json!({ "settings": { "token": "hunter22" } })),
        "/api/v4/missing" => Reply::json(200, json!({ "settings": {} })),
        _ => Reply::Send {
            status: 200,
            headers: Vec::new(),
            body: "<html>".to_owned(),
        },
    })
    .await;
    let reader = client(&server.url).reader();
    let error = reader.get::<Hook>("/typed", &[]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Decode);
    assert_eq!(
        error.detail(),
        "`settings.token` in the reply does not fit: expected u32"
    );
    let error = reader.get::<Hook>("/missing", &[]).await.unwrap_err();
    assert_eq!(
        error.detail(),
        "`settings` in the reply does not fit: missing field `token`"
    );
    let error = reader.get::<Hook>("/html", &[]).await.unwrap_err();
    assert!(error.detail().starts_with("the reply is not JSON"), "{error}");
}

/// Collects what is traced.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn secrets_are_in_no_error_and_no_trace() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // With a single dispatcher, tracing asks the default of whichever thread comes first, and other tests have none.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    // A GitLab that repeats everything: what was sent, and with which token.
    let server = Server::start(|request, before| {
        let token = request.header("private-token").unwrap();
        let said = format!("token {token} may not send {}", request.body);
        match before {
            0 => Reply::json(400, json!({ "message": said })),
            1 => Reply::json(200, json!({ "errors": [{ "message": said }] })),
            _ => Reply::json(201, json!({ "runners_token": "hunter22", "name": "shown" })),
        }
    })
    .await;
    let client = client(&server.url);
    let (writer, _) = writer(&client);
    let body = json!({ "key": "K", "value": "hunter22" });
    let refused = writer
        .post::<Value>("/projects/1/variables", body.clone())
        .await
        .unwrap_err();
    let invalid = writer
        .mutate::<Value>("mutation m { m { errors } }", body.clone())
        .await
        .unwrap_err();
    let _: Value = writer.post("/projects/1/variables", body).await.unwrap();

    let traced = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        traced.contains("POST /projects/1/variables") && traced.contains("status=400"),
        "{traced}"
    );
    assert!(traced.contains("shown"), "bodies are traced: {traced}");
    for text in [
        traced,
        format!("{refused} {refused:?} {:?}", refused.remedy()),
        format!("{invalid} {invalid:?}"),
    ] {
        assert!(!text.contains(CANARY) && !text.contains("hunter22"), "{text}");
    }
}
