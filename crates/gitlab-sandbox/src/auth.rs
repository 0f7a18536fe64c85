//! Who sends a request: personal access tokens, their scopes, and the user behind them. `job_token` has the
//! tokens of CI jobs.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, header};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::{
    error::{ApiError, ApiResult},
    job_token::{self, Accepts},
    secret,
    store::{PersonalAccessToken, Store, User, UserState},
};

/// Who sends a request. Without a token nobody does: an anonymous visitor.
#[derive(Clone, Default)]
pub struct Identity {
    /// Id of the user.
    pub user: Option<u64>,
    /// Id of the token.
    pub token: Option<u64>,
    /// Scopes of the token.
    pub scopes: Vec<String>,
    /// In admin mode: an administrator whose token has no part in it, without their powers.
    pub demoted: Option<Arc<User>>,
    /// Id of the CI job whose token it is instead; such a token has no scopes.
    pub job: Option<u64>,
}

impl Identity {
    /// The user, with the powers that the token gives.
    pub fn user_in<'a>(&'a self, store: &'a Store) -> Option<&'a User> {
        let stored = || self.user.and_then(|id| store.users.get(id));
        self.demoted.as_deref().or_else(stored)
    }

    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }
}

/// Finds the token in the headers or the query string and checks it; its scopes are for the caller to judge.
/// Basic authentication and the tokens of CI jobs count where the route takes them.
pub fn identify(store: &Store, headers: &HeaderMap, query: &str, accepts: Accepts) -> ApiResult<Identity> {
    if let Some(identity) = job_token::by_bearer(store, headers, accepts) {
        return Ok(identity);
    }
    if let Some(secret) = presented(headers, query).filter(|secret| !job_token::is_one(secret)) {
        return authenticate(store, &secret);
    }
    if accepts == Accepts::Basic
        && let Some((login, secret)) = basic(headers)
    {
        return match login == job_token::USER && job_token::is_one(&secret) {
            true => job_token::authenticate(store, &secret),
            // GitLab does not look at the name that comes with a personal access token.
            false => authenticate(store, &secret),
        };
    }
    match job_token::presented(headers, query).filter(|_| accepts == Accepts::Request) {
        Some(secret) => job_token::authenticate(store, &secret),
        None => Ok(Identity::default()),
    }
}

/// Name and password of basic authentication.
pub fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let decoded = BASE64.decode(credentials.trim()).ok()?;
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    scheme
        .eq_ignore_ascii_case("basic")
        .then(|| (name.to_owned(), password.to_owned()))
}

/// The identity behind a token.
pub fn authenticate(store: &Store, secret: &str) -> ApiResult<Identity> {
    let token = store
        .tokens
        .find(&secret::digest(secret))
        .ok_or_else(ApiError::unauthorized)?;
    let user = check(store, token)?;
    let mut identity = Identity {
        user: Some(user.id),
        token: Some(token.id),
        scopes: token.scopes.clone(),
        demoted: None,
        job: None,
    };
    if !identity.has_scope("admin_mode") {
        identity.demoted = demoted(store, user);
    }
    Ok(identity)
}

/// In admin mode: the administrator without their powers.
pub fn demoted(store: &Store, user: &User) -> Option<Arc<User>> {
    let admin_mode = store.instance_setting("admin_mode") == json!(true);
    (user.admin && admin_mode).then(|| {
        Arc::new(User {
            admin: false,
            ..user.clone()
        })
    })
}

fn check<'a>(store: &'a Store, token: &PersonalAccessToken) -> ApiResult<&'a User> {
    if token.is_expired() {
        return Err(ApiError::invalid_token(
            "Token is expired. You can either do re-authorization or token refresh.",
        ));
    }
    if token.revoked {
        return Err(ApiError::invalid_token(
            "Token was revoked. You have to re-authorize from the user.",
        ));
    }
    active(store, token.user_id)
}

/// The user, unless blocked.
pub fn active(store: &Store, id: u64) -> ApiResult<&User> {
    let user = store.users.get(id).ok_or_else(ApiError::unauthorized)?;
    if user.state == UserState::Blocked {
        return Err(ApiError::forbidden_because("Your account has been blocked."));
    }
    Ok(user)
}

/// Whether a request asks for a new token in place of its own or another.
pub fn is_rotation(path: &str) -> bool {
    path.contains("access_tokens/") && path.ends_with("/rotate")
}

/// What GitLab does when a token that was replaced asks to be replaced again, which a thief's would: its successors die.
pub fn revoke_successors(store: &mut Store, headers: &HeaderMap, query: &str) {
    let secret = presented(headers, query).unwrap_or_default();
    let replayed = store
        .tokens
        .find(&secret::digest(&secret))
        .filter(|token| token.revoked && !token.is_expired());
    let mut next = replayed.map(|token| token.id);
    while let Some(id) = next {
        next = store
            .tokens
            .iter()
            .find(|token| token.previous == Some(id))
            .map(|token| token.id);
        if let Some(successor) = next {
            store.tokens.update(successor, |token| token.revoked = true);
        }
    }
}

/// The day in UTC.
pub fn today() -> jiff::civil::Date {
    jiff::tz::Offset::UTC.to_datetime(Timestamp::now()).date()
}

fn presented(headers: &HeaderMap, query: &str) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    bearer(headers)
        .or_else(|| parameter(query, "access_token"))
        .or_else(|| text("private-token").map(str::to_owned))
        .or_else(|| parameter(query, "private_token"))
        .filter(|token| !token.is_empty())
}

/// The bearer token.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

/// A parameter of the query string.
pub fn parameter(query: &str, key: &str) -> Option<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// Checks that the token's scopes allow this call of the REST API.
pub fn check_scopes(identity: &Identity, method: &Method, path: &str) -> ApiResult<()> {
    if identity.token.is_none() {
        return Ok(());
    }
    let reads = method == Method::GET || method == Method::HEAD;
    let class = class_scopes(path);
    let allowed = identity.has_scope("api")
        || (reads && (identity.has_scope("read_api") || class.iter().any(|scope| identity.has_scope(scope))))
        // Any token may look at and revoke itself.
        || path == "/api/v4/personal_access_tokens/self"
        || (path.ends_with("access_tokens/self/rotate") && identity.has_scope("self_rotate"));
    if allowed {
        return Ok(());
    }
    let needed: Vec<&str> = class.iter().copied().chain(["api", "read_api"]).collect();
    Err(ApiError::insufficient_scope(&needed.join(" ")))
}

/// Scopes that the route's API class accepts for reads, beside `api` and `read_api`.
fn class_scopes(path: &str) -> &'static [&'static str] {
    let parts: Vec<&str> = path.trim_start_matches("/api/v4/").split('/').collect();
    match parts.as_slice() {
        [.., "personal_access_tokens" | "access_tokens", "self", "rotate"] => &["api", "self_rotate"],
        ["version" | "metadata"] => &["read_user", "ai_features"],
        ["user" | "users", ..] => &["read_user", "ai_workflows"],
        ["projects", _, "repository", "files", ..] => &["read_repository", "ai_workflows"],
        ["projects" | "groups"] | ["projects" | "groups", _] => &["ai_workflows"],
        _ => &[],
    }
}

impl ApiError {
    /// 401 for a token that was good once.
    pub fn invalid_token(description: &str) -> Self {
        Self::raw(
            axum::http::StatusCode::UNAUTHORIZED,
            json!({ "error": "invalid_token", "error_description": description }),
        )
    }
}
