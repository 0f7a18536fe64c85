//! What every request goes through before and after its handler: identity, limits, faults, counters, the record.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body::Frame;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    app::App,
    auth::{self, Identity},
    error::{ApiError, ApiResult},
    faults::{Class, Rule, Truncate, When},
    graphql,
    job_token::Accepts,
    meter::Standing,
    record::Exchange,
    secret,
};

/// Bodies beyond this many bytes are refused.
const MAX_BODY: usize = 64 << 20;

/// Parameters that a fault rule hides from the handler.
#[derive(Clone, Default)]
pub struct Ignored(pub Vec<String>);

/// Runs one request to its end: a client that goes away does not stop what GitLab has begun.
pub async fn pipeline(State(app): State<App>, request: Request, next: Next) -> Response {
    match tokio::spawn(serve(app, request, next)).await {
        Ok(response) => response,
        Err(error) => ApiError::internal(&error.to_string()).into_response(),
    }
}

/// API requests are counted, limited and recorded; faults apply to all.
async fn serve(app: App, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/api/") {
        match api(&app, request, next).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        }
    } else {
        let class = Class::of(request.method(), request.uri().path(), &[]);
        let rules = app.faults().fire(class, request.uri().path());
        match before(&app, &rules).await {
            Some(response) => response,
            None => after(&rules, next.run(request).await).await,
        }
    }
}

async fn api(app: &App, request: Request, next: Next) -> ApiResult {
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY)
        .await
        .map_err(|error| ApiError::bad_request(&error.to_string()))?;
    let (method, uri) = (parts.method.clone(), parts.uri.clone());
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let class = Class::of(&method, path, &body);
    let route = parts
        .extensions
        .get::<MatchedPath>()
        .map_or("(none)", MatchedPath::as_str);
    app.counters().count(class, format!("{method} {route}"));
    let rules = app.faults().fire(class, path);
    tokio::time::sleep(app.options().latency).await;
    if let Some(response) = before(app, &rules).await {
        return Ok(response);
    }
    let identity = identify(app, &method, path, query, &parts.headers);
    let user = identity.as_ref().ok().and_then(|identity| identity.user);
    let standing = app.rate_limit().count(user, app.options().requests_per_minute);
    let response = if standing.exceeded() {
        (StatusCode::TOO_MANY_REQUESTS, "Retry later\n").into_response()
    } else {
        match identity {
            Ok(identity) => {
                let ignored = rules.iter().flat_map(|rule| rule.ignore.clone()).collect();
                parts.extensions.insert(identity);
                parts.extensions.insert(Ignored(ignored));
                next.run(Request::from_parts(parts, Body::from(body.clone())))
                    .await
            }
            Err(error) if path == "/api/graphql" => graphql::refuse(error.status()),
            Err(error) => error.into_response(),
        }
    };
    let (mut parts, reply) = response.into_parts();
    let mut reply = to_bytes(reply, usize::MAX)
        .await
        .map_err(|error| ApiError::internal(&error.to_string()))?;
    add_headers(&mut parts.headers, &standing);
    for truncate in rules.iter().filter_map(|rule| rule.truncate.as_ref()) {
        reply = shorten(truncate, &mut parts.headers, reply);
    }
    app.record(&Exchange {
        method: method.as_str(),
        path,
        query,
        request: &body,
        user,
        status: parts.status.as_u16(),
        headers: &parts.headers,
        response: &reply,
    });
    Ok(after(&rules, Response::from_parts(parts, Body::from(reply))).await)
}

fn identify(app: &App, method: &Method, path: &str, query: &str, headers: &HeaderMap) -> ApiResult<Identity> {
    let accepts = Accepts::of(method, path);
    let identity = auth::identify(&app.read(), headers, query, accepts);
    if identity.is_err() && auth::is_rotation(path) {
        app.write(|store| {
            auth::revoke_successors(store, headers, query);
            Ok(())
        })?;
    }
    let identity = identity?;
    if path.starts_with("/api/v4/") {
        auth::check_scopes(&identity, method, path)?;
    }
    Ok(identity)
}

fn add_headers(headers: &mut HeaderMap, standing: &Standing) {
    standing.add_headers(headers);
    let mut text = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    let id = secret::token("");
    text("x-request-id", &id);
    text(
        "x-gitlab-meta",
        &format!("{{\"correlation_id\":\"{id}\",\"version\":\"1\"}}"),
    );
    text("x-content-type-options", "nosniff");
    text("x-frame-options", "SAMEORIGIN");
    text("cache-control", "max-age=0, private, must-revalidate");
    text("vary", "Origin");
}

/// What the rules do before the request is handled; a response ends it there.
async fn before(app: &App, rules: &[Rule]) -> Option<Response> {
    let wait: u64 = rules.iter().map(|rule| rule.latency_ms).sum();
    tokio::time::sleep(Duration::from_millis(wait)).await;
    kill(rules, When::Before).await;
    if rules.iter().any(|rule| rule.drop == Some(When::Before)) {
        return Some(dropped());
    }
    let rule = rules.iter().find(|rule| rule.status.is_some())?;
    let status = rule
        .status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = match (status, &rule.body) {
        (_, Some(body)) => (status, Json(body)).into_response(),
        (StatusCode::TOO_MANY_REQUESTS, None) => (status, "Retry later\n").into_response(),
        (status, None) => ApiError::message(status, status.to_string()).into_response(),
    };
    if let Some(seconds) = rule.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    let standing = app.rate_limit().count(None, u64::MAX);
    standing.add_headers(response.headers_mut());
    Some(response)
}

/// What the rules do with a reply that is ready.
async fn after(rules: &[Rule], response: Response) -> Response {
    kill(rules, When::After).await;
    if rules.iter().any(|rule| rule.drop == Some(When::After)) {
        return dropped();
    }
    response
}

async fn kill(rules: &[Rule], when: When) {
    for kill in rules
        .iter()
        .filter_map(|rule| rule.kill.as_ref())
        .filter(|kill| kill.when == when)
    {
        let ended = Command::new("kill")
            .args(["-KILL", &kill.pid.to_string()])
            .status()
            .await;
        if let Err(error) = ended {
            eprintln!("failed to run kill for process {}: {error}", kill.pid);
        }
    }
}

/// A response that breaks the connection before anything of it is sent.
fn dropped() -> Response {
    struct Broken;

    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
            Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
        }
    }

    Response::new(Body::new(Broken))
}

fn shorten(truncate: &Truncate, headers: &mut HeaderMap, reply: Bytes) -> Bytes {
    let Ok(Value::Array(mut items)) = serde_json::from_slice(&reply) else {
        return reply;
    };
    items.truncate(truncate.keep);
    if truncate.adjust_headers {
        for name in ["link", "x-next-page", "x-total-pages"] {
            headers.remove(name);
        }
        headers.insert("x-total", HeaderValue::from(items.len()));
    }
    // The length belongs to the longer list.
    headers.remove(header::CONTENT_LENGTH);
    Bytes::from(Value::Array(items).to_string())
}
