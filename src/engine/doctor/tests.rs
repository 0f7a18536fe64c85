//! What the doctor says of servers that are not as they should be, and that none of them is told the token.

use serde_json::json;

use super::{Diagnosis, State, examine};
use crate::live::gitlab::tests::server::{Reply, Request, Server};
use crate::live::gitlab::tests::tls::Authority;
use crate::live::gitlab::{Retries, Settings};

fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(url.parse().unwrap(), "glpat-canary".to_owned().into());
    settings.retries = Retries {
        attempts: 1,
        ..Retries::default()
    };
    settings
}

async fn diagnose(settings: Settings) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    examine(settings, &mut diagnosis).await;
    diagnosis
}

/// How a check stands, and what is said of it.
fn said(diagnosis: &Diagnosis, name: &str) -> (State, String) {
    let check = diagnosis.checks.iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("{name} was not judged: {diagnosis:?}"));
    let remedy = check.remedy.as_deref().unwrap_or_default();
    (check.state, format!("{}: {remedy}", check.found))
}

#[track_caller]
fn expect(diagnosis: &Diagnosis, name: &str, state: State, words: &str) {
    let (stands, said) = said(diagnosis, name);
    assert_eq!(stands, state, "{diagnosis:?}");
    assert!(said.contains(words), "{name} does not say `{words}`: {said}");
}

fn was_told_the_token(server: &Server) -> bool {
    let told = |request: &Request| request.headers.iter().any(|(_, value)| value.contains("canary"));
    server.requests().iter().any(told)
}

#[tokio::test]
async fn what_is_not_gitlab_is_not_told_the_token() {
    let page = |status| Reply::Send {
        status,
        headers: vec![("content-type", "text/html".into())],
        body: "<html>".into(),
    };
    let cases = [
        (page(200), "lives below a path"),
        (page(404), "lives below a path"),
        (page(401), "something before GitLab"),
        (page(403), "something before GitLab"),
        (Reply::json(502, json!({})), "GitLab's own log"),
        (
            Reply::json(429, json!({})).with("retry-after", 7),
            "run it again in 7 s",
        ),
        (
            Reply::empty(301).with("location", "https://git.example.org/api/v4/metadata"),
            "write https://",
        ),
        (
            Reply::empty(302).with("location", "/users/sign_in"),
            "this is not its API",
        ),
    ];
    for (reply, words) in cases {
        let server = Server::start(move |_, _| reply.clone()).await;
        let diagnosis = diagnose(settings(&server.url)).await;
        expect(&diagnosis, "reachable", State::Ok, "");
        expect(&diagnosis, "gitlab", State::Failed, words);
        expect(&diagnosis, "token", State::NotKnown, "not sent");
        assert!(!was_told_the_token(&server), "{words}");
        assert!(!diagnosis.is_healthy());
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_a_closed_port_are_told_apart() {
    let diagnosis = diagnose(settings("http://autogit.invalid")).await;
    expect(&diagnosis, "reachable", State::Failed, "does not resolve");
    let server = Server::start(|_, _| Reply::Drop).await;
    let url = server.url.clone();
    drop(server);
    let diagnosis = diagnose(settings(&url)).await;
    expect(&diagnosis, "reachable", State::Failed, "");
}

/// What GitLab answers nobody, and who has a token.
fn gitlab(request: &Request) -> Reply {
    if request.header("private-token").is_none() {
        return Reply::json(401, json!({"message": "401 Unauthorized"}));
    }
    match request.target.split(['?', '/']).next_back() {
        Some("metadata") => Reply::json(200, json!({"version": "18.9.0", "enterprise": false})),
        Some("user") => Reply::json(200, json!({"id": 1, "username": "root", "is_admin": false})),
        Some("self") => Reply::json(
            200,
            json!({"name": "ci", "scopes": ["read_api"], "expires_at": null}),
        ),
        _ => Reply::json(200, json!([])).with("x-total", 2),
    }
}

#[tokio::test]
async fn a_certificate_is_judged_before_the_token_is_sent() {
    let authority = Authority::new();
    let server = authority.serve_with(gitlab).await;
    let diagnosis = diagnose(settings(&server.url)).await;
    expect(&diagnosis, "reachable", State::Ok, "");
    expect(&diagnosis, "tls", State::Failed, "ca_file");
    expect(&diagnosis, "token", State::NotKnown, "not sent");
    assert_eq!(server.requests().len(), 0);
    let mut trusting = settings(&server.url);
    trusting.ca_file = Some(authority.file.clone());
    let diagnosis = diagnose(trusting).await;
    expect(&diagnosis, "tls", State::Ok, "ca.pem");
    expect(&diagnosis, "scopes", State::Ok, "apply needs `api`");
    assert!(diagnosis.is_healthy(), "{diagnosis:?}");
    let mut nowhere = settings(&server.url);
    nowhere.ca_file = Some("/nowhere/ca.pem".into());
    expect(&diagnose(nowhere).await, "tls", State::Failed, "No such file");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_warned_of() {
    let server =
        Server::start(|request, _| gitlab(request).with("date", "Sun, 06 Nov 2044 08:49:37 GMT")).await;
    let diagnosis = diagnose(settings(&server.url)).await;
    expect(&diagnosis, "clock", State::Warning, "behind GitLab's");
}

#[tokio::test]
async fn rate_limits_are_told_and_warned_of() {
    for (remaining, state) in [(400, State::Ok), (30, State::Warning)] {
        let server = Server::start(move |request, _| {
            let reset = jiff::Timestamp::now().as_second() + 60;
            let reply = gitlab(request).with("ratelimit-name", "throttle_authenticated_api");
            let reply = reply.with("ratelimit-limit", 2000).with("ratelimit-reset", reset);
            reply.with("ratelimit-remaining", remaining)
        })
        .await;
        let diagnosis = diagnose(settings(&server.url)).await;
        expect(&diagnosis, "rate_limits", state, "of 2000 requests left");
    }
}

/// GitLab answers so where what is asked with is no access token.
#[tokio::test]
async fn what_is_no_access_token_is_taken_for_what_it_is() {
    let server = Server::start(|request, _| match request.target.ends_with("/self") {
        true => Reply::json(
            400,
            json!({"message": "400 Bad request - This endpoint requires token type to be a personal access token"}),
        ),
        false => gitlab(request),
    })
    .await;
    let diagnosis = diagnose(settings(&server.url)).await;
    expect(&diagnosis, "token", State::Warning, "no access token");
    assert!(diagnosis.checks.iter().all(|check| check.name != "scopes"));
    assert!(diagnosis.is_healthy());
}
