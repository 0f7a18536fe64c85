//! Who sends a request: personal access tokens, their scopes, and the user behind them.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, header};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::{
    error::{ApiError, ApiResult},
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
pub fn identify(store: &Store, headers: &HeaderMap, query: &str) -> ApiResult<Identity> {
    match presented(headers, query) {
        Some(secret) => authenticate(store, &secret),
        None => Ok(Identity::default()),
    }
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
    };
    let admin_mode = store.instance_setting("admin_mode") == json!(true);
    if user.admin && admin_mode && !identity.has_scope("admin_mode") {
        let demoted = User {
            admin: false,
            ..user.clone()
        };
        identity.demoted = Some(Arc::new(demoted));
    }
    Ok(identity)
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
    let user = store
        .users
        .get(token.user_id)
        .ok_or_else(ApiError::unauthorized)?;
    if user.state == UserState::Blocked {
        return Err(ApiError::forbidden_because("Your account has been blocked."));
    }
    Ok(user)
}

/// The day in UTC.
pub fn today() -> jiff::civil::Date {
    jiff::tz::Offset::UTC.to_datetime(Timestamp::now()).date()
}

fn presented(headers: &HeaderMap, query: &str) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION.as_str())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned());
    let parameter = |key: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    bearer
        .or_else(|| parameter("access_token"))
        .or_else(|| text("private-token").map(str::to_owned))
        .or_else(|| parameter("private_token"))
        .filter(|token| !token.is_empty())
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
        || (path == SELF_ROTATION && identity.has_scope("self_rotate"));
    if allowed {
        return Ok(());
    }
    let needed: Vec<&str> = class.iter().copied().chain(["api", "read_api"]).collect();
    Err(ApiError::insufficient_scope(&needed.join(" ")))
}

const SELF_ROTATION: &str = "/api/v4/personal_access_tokens/self/rotate";

/// Scopes that the route's API class accepts for reads, beside `api` and `read_api`.
fn class_scopes(path: &str) -> &'static [&'static str] {
    let parts: Vec<&str> = path.trim_start_matches("/api/v4/").split('/').collect();
    match parts.as_slice() {
        ["personal_access_tokens", "self", "rotate"] => &["api", "self_rotate"],
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
