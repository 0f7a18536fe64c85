//! Personal access tokens.

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::{Call, users};
use crate::{
    app::App,
    auth::today,
    error::{ApiError, ApiResult},
    paging::{ok, paginate},
    params::invalid_value,
    secret,
    store::{PersonalAccessToken, Store},
};

/// Scopes that the token of a project or group can have.
pub const RESOURCE_SCOPES: &[&str] = &[
    "api",
    "read_api",
    "create_runner",
    "manage_runner",
    "k8s_proxy",
    "self_rotate",
    "mcp",
    "granular",
    "read_repository",
    "write_repository",
    "read_registry",
    "write_registry",
    "read_virtual_registry",
    "write_virtual_registry",
    "read_observability",
    "write_observability",
    "ai_features",
];
/// What a user's token can have beside [`RESOURCE_SCOPES`].
const USER_SCOPES: &[&str] = &["read_user", "sudo", "admin_mode", "read_service_ping"];
/// What users may give themselves over the API.
const OWN_SCOPES: &[&str] = &["k8s_proxy", "self_rotate"];
/// The longest life of a token, in days.
const MAX_LIFETIME: i64 = 365;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/users/{id}/personal_access_tokens", post(create))
        .route("/user/personal_access_tokens", post(create_own))
        .route("/personal_access_tokens", get(list))
        .route("/personal_access_tokens/self", get(show_own).delete(revoke_own))
        .route("/personal_access_tokens/{id}", get(show).delete(revoke))
        .route("/personal_access_tokens/{id}/rotate", post(rotate))
}

/// A token as a request describes it.
pub struct Draft {
    name: String,
    description: Option<String>,
    scopes: Vec<String>,
    expires_at: Option<jiff::civil::Date>,
    previous: Option<u64>,
}

impl Draft {
    /// `allowed` are the scopes that the route takes.
    pub fn parse(call: &Call, store: &Store, allowed: &[&[&str]]) -> ApiResult<Self> {
        call.params.require(&["name", "scopes"])?;
        let scopes = call.params.strings("scopes")?.unwrap_or_default();
        let known = |scope: &String| allowed.iter().any(|list| list.contains(&scope.as_str()));
        if !scopes.iter().all(known) {
            return Err(invalid_value("scopes"));
        }
        let by_default = expiry_required(store).then(|| today().saturating_add(MAX_LIFETIME.days()));
        Ok(Self {
            name: call.params.string("name")?.unwrap_or_default(),
            description: call.params.string("description")?,
            scopes,
            expires_at: call.params.date("expires_at")?.or(by_default),
            previous: None,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the model refuses of it.
    pub fn check(&self, store: &Store) -> Result<(), String> {
        let latest = today().saturating_add(MAX_LIFETIME.days());
        let mut problems = Vec::new();
        if self.name.trim().is_empty() {
            problems.push("Name can't be blank".to_owned());
        }
        if self.scopes.is_empty() {
            problems.push("Scopes can't be blank".to_owned());
        }
        if expiry_required(store) && self.expires_at.is_some_and(|day| day > latest) {
            problems.push(format!("Expires at must be before {latest}"));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join(" and ")),
        }
    }

    /// Stores it, and returns it with its secret.
    pub fn insert(self, store: &mut Store, user_id: u64) -> (PersonalAccessToken, String) {
        let secret = secret::token("glpat-");
        let token = PersonalAccessToken {
            id: store.tokens.next_id(),
            user_id,
            name: self.name,
            description: self.description,
            scopes: self.scopes,
            digest: secret::digest(&secret),
            revoked: false,
            previous: self.previous,
            expires_at: self.expires_at,
            last_used_at: None,
            created_at: Timestamp::now(),
        };
        store.tokens.insert(token.clone());
        (token, secret)
    }
}

fn expiry_required(store: &Store) -> bool {
    store.instance_setting("require_personal_access_token_expiry") == json!(true)
}

async fn create(call: Call) -> ApiResult {
    call.app.write(|store| {
        call.authenticate_admin(store)?;
        let user_id = users::find(store, call.id())?.id;
        let draft = Draft::parse(&call, store, &[RESOURCE_SCOPES, USER_SCOPES])?;
        add(&call, store, user_id, draft)
    })
}

async fn create_own(call: Call) -> ApiResult {
    call.app.write(|store| {
        let user_id = call.authenticate(store)?.id;
        let draft = Draft::parse(&call, store, &[OWN_SCOPES])?;
        add(&call, store, user_id, draft)
    })
}

fn add(call: &Call, store: &mut Store, user_id: u64, draft: Draft) -> ApiResult {
    draft
        .check(store)
        .map_err(|problem| ApiError::message(StatusCode::UNPROCESSABLE_ENTITY, problem))?;
    let (token, secret) = draft.insert(store, user_id);
    let shown = call.view(store).token(&token);
    ok(StatusCode::CREATED, with_secret(shown, &secret))
}

/// The token as it is shown this once.
pub fn with_secret(mut token: Value, secret: &str) -> Value {
    token["token"] = json!(secret);
    token
}

/// The filters that every list of tokens takes.
pub fn filter(call: &Call) -> ApiResult<impl Fn(&&PersonalAccessToken) -> bool + use<>> {
    let params = &call.params;
    let search = params.string("search")?.map(|text| text.to_lowercase());
    let revoked = params.boolean("revoked")?;
    let state = params.one_of("state", &["active", "inactive"])?;
    let active = state.map(|state| state == "active");
    let created = (
        params.timestamp("created_after")?,
        params.timestamp("created_before")?,
    );
    let expires = (params.date("expires_after")?, params.date("expires_before")?);
    Ok(move |token: &&PersonalAccessToken| {
        search
            .as_ref()
            .is_none_or(|text| token.name.to_lowercase().contains(text))
            && revoked.is_none_or(|revoked| token.revoked == revoked)
            && active.is_none_or(|active| token.is_active() == active)
            && created.0.is_none_or(|at| token.created_at >= at)
            && created.1.is_none_or(|at| token.created_at <= at)
            && expires
                .0
                .is_none_or(|day| token.expires_at.is_some_and(|expiry| expiry >= day))
            && expires
                .1
                .is_none_or(|day| token.expires_at.is_some_and(|expiry| expiry < day))
    })
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let user = call.authenticate(&store)?;
    let of = call.params.id("user_id")?;
    if !user.admin && of.is_some_and(|id| id != user.id) {
        return Err(ApiError::unauthorized());
    }
    if of.is_some_and(|id| store.users.get(id).is_none()) {
        return Err(missing());
    }
    let passes = filter(&call)?;
    let tokens: Vec<_> = store
        .tokens
        .iter()
        .filter(|token| of.map_or(user.admin || token.user_id == user.id, |id| token.user_id == id))
        .filter(passes)
        .collect();
    let view = call.view(&store);
    paginate(&call, tokens, |token| view.token_with_uses(token))
}

fn missing() -> ApiError {
    ApiError::message(StatusCode::NOT_FOUND, "404 Not Found")
}

async fn show_own(call: Call) -> ApiResult {
    let store = call.app.read();
    call.authenticate(&store)?;
    let token = call
        .identity
        .token
        .and_then(|id| store.tokens.get(id))
        .ok_or_else(ApiError::unauthorized)?;
    ok(StatusCode::OK, call.view(&store).token_with_uses(token))
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    let token = find(&call, &store)?;
    ok(StatusCode::OK, call.view(&store).token_with_uses(token))
}

/// The token that `:id` names: one's own, or any for an administrator.
fn find<'a>(call: &Call, store: &'a Store) -> ApiResult<&'a PersonalAccessToken> {
    let user = call.authenticate(store)?;
    let id = if call.id() == "self" {
        call.identity.token
    } else {
        call.id().parse().ok()
    };
    let token = id
        .and_then(|id| store.tokens.get(id))
        .filter(|token| user.admin || token.user_id == user.id);
    token.ok_or_else(|| {
        if user.admin {
            missing()
        } else {
            ApiError::unauthorized()
        }
    })
}

async fn revoke(call: Call) -> ApiResult<Response> {
    call.app.write(|store| {
        let user = call.authenticate(store)?;
        let id = call.id().parse().unwrap_or(0);
        let token = store.tokens.get(id).ok_or_else(ApiError::record_not_found)?;
        if !user.admin && token.user_id != user.id {
            return Err(ApiError::bad_request("Not permitted to revoke"));
        }
        store.tokens.update(id, |token| token.revoked = true);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

async fn revoke_own(mut call: Call) -> ApiResult<Response> {
    let id = call.identity.token.ok_or_else(ApiError::unauthorized)?;
    call.params.set("id", id.to_string());
    revoke(call).await
}

async fn rotate(call: Call) -> ApiResult {
    call.app.write(|store| {
        let token = find(&call, store)?.clone();
        let (new, secret) = renew(&call, store, token)?;
        ok(StatusCode::OK, with_secret(call.view(store).token(&new), &secret))
    })
}

/// Replaces a token: the old one dies at once; the new one lasts a week unless told otherwise.
pub fn renew(
    call: &Call,
    store: &mut Store,
    old: PersonalAccessToken,
) -> ApiResult<(PersonalAccessToken, String)> {
    if old.revoked {
        return Err(ApiError::bad_request("Token already revoked"));
    }
    let by_default = expiry_required(store).then(|| today().saturating_add(7.days()));
    let draft = Draft {
        name: old.name,
        description: old.description,
        scopes: old.scopes,
        expires_at: call.params.date("expires_at")?.or(by_default),
        previous: Some(old.id),
    };
    draft
        .check(store)
        .map_err(|problem| ApiError::bad_request(&problem))?;
    store.tokens.update(old.id, |token| token.revoked = true);
    Ok(draft.insert(store, old.user_id))
}
