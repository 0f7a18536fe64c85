//! `/user`, `/users` and personal access tokens.

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::Call;
use crate::{
    app::App,
    auth::today,
    error::{ApiError, ApiResult},
    naming::Problems,
    paging::{ok, paginate},
    secret,
    store::{PersonalAccessToken, Sequence, Store, User, UserState},
};

/// Scopes that a token can have.
const SCOPES: &[&str] = &[
    "api",
    "read_user",
    "read_api",
    "read_repository",
    "write_repository",
    "read_registry",
    "write_registry",
    "sudo",
    "admin_mode",
    "create_runner",
    "manage_runner",
    "ai_features",
    "k8s_proxy",
    "self_rotate",
    "read_service_ping",
];

pub fn routes() -> Router<App> {
    Router::new()
        .route("/user", get(current))
        .route("/users", get(list).post(create))
        .route("/users/{id}", get(show))
        .route("/users/{id}/personal_access_tokens", post(create_token))
        .route("/personal_access_tokens", get(tokens))
        .route("/personal_access_tokens/self", get(own_token).delete(revoke_own))
        .route("/personal_access_tokens/{id}", get(token).delete(revoke))
        .route("/personal_access_tokens/{id}/rotate", post(rotate))
}

async fn current(call: Call) -> ApiResult {
    let store = call.app.read();
    let user = call.authenticate(&store)?;
    ok(StatusCode::OK, call.view(&store).user_public(user))
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let viewer = call.user(&store);
    let username = call.params.string("username")?;
    let search = call.params.string("search")?.map(|text| text.to_lowercase());
    if viewer.is_none() && username.is_none() {
        return Err(ApiError::forbidden_because(
            "Not authorized to access /api/v4/users",
        ));
    }
    let active = call.params.flag("active", false)?;
    let blocked = call.params.flag("blocked", false)?;
    let users: Vec<&User> = store
        .users
        .iter()
        .rev()
        .filter(|user| {
            username
                .as_ref()
                .is_none_or(|name| user.username.eq_ignore_ascii_case(name))
        })
        .filter(|user| {
            search.as_deref().is_none_or(|text| {
                user.name.to_lowercase().contains(text)
                    || user.username.to_lowercase().contains(text)
                    || user.email.to_lowercase() == text
            })
        })
        .filter(|user| !active || user.state == UserState::Active)
        .filter(|user| !blocked || user.state == UserState::Blocked)
        .collect();
    let view = call.view(&store);
    let admin = viewer.is_some_and(|user| user.admin);
    paginate(&call, users, |user| {
        if admin {
            view.user_public(user)
        } else {
            view.user_basic(user)
        }
    })
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    let viewer = call
        .user(&store)
        .ok_or_else(|| ApiError::forbidden_because("Not authorized!"))?;
    let user = find(&store, call.id())?;
    let view = call.view(&store);
    let shown = if viewer.admin {
        view.user_details(user)
    } else {
        view.user(user)
    };
    ok(StatusCode::OK, shown)
}

/// The user with this id.
fn find<'a>(store: &'a Store, id: &str) -> ApiResult<&'a User> {
    let id = id.parse().map_err(|_| ApiError::parameter("id is invalid"))?;
    store.users.get(id).ok_or_else(|| ApiError::not_found("User"))
}

async fn create(call: Call) -> ApiResult {
    call.app.write(|store| {
        call.authenticate_admin(store)?;
        call.params.require(&["email", "name", "username"])?;
        let given = |key: &str| Ok::<_, ApiError>(call.params.string(key)?.unwrap_or_default());
        let (email, name, username) = (given("email")?, given("name")?, given("username")?);
        let has_password = call.params.has("password");
        let random = call.params.flag("force_random_password", false)? || call.params.flag("reset_password", false)?;
        if !has_password && !random {
            return Err(ApiError::parameter(
                "password, reset_password, force_random_password are missing, at least one parameter must be provided",
            ));
        }
        let conflict = |message: &str| Err(ApiError::message(StatusCode::CONFLICT, message));
        if store.users.iter().any(|user| user.email.eq_ignore_ascii_case(&email)) {
            return conflict("Email has already been taken");
        }
        if store.is_taken(&username) {
            return conflict("Username has already been taken");
        }
        let mut problems = Problems::default();
        if !email.contains('@') {
            problems.add("email", "is invalid");
        }
        problems.check()?;
        let user = User {
            id: store.users.next_id(),
            username,
            name,
            email,
            state: UserState::Active,
            admin: call.params.flag("admin", false)?,
            namespace_id: store.next(Sequence::Namespaces),
            can_create_group: call.params.flag("can_create_group", true)?,
            projects_limit: call.params.id("projects_limit")?.unwrap_or(100_000),
            external: call.params.flag("external", false)?,
            private_profile: call.params.flag("private_profile", false)?,
            created_at: Timestamp::now(),
        };
        let id = user.id;
        store.users.insert(user);
        let user = &store.users.get(id).ok_or_else(|| ApiError::not_found("User"))?;
        ok(StatusCode::CREATED, call.view(store).user_public(user))
    })
}

async fn create_token(call: Call) -> ApiResult {
    call.app.write(|store| {
        call.authenticate_admin(store)?;
        let user_id = find(store, call.id())?.id;
        call.params.require(&["name", "scopes"])?;
        let scopes = call.params.strings("scopes")?.unwrap_or_default();
        if scopes.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
            return Err(crate::params::invalid_value("scopes"));
        }
        let secret = secret::token("glpat-");
        let token = PersonalAccessToken {
            id: store.tokens.next_id(),
            user_id,
            name: call.params.string("name")?.unwrap_or_default(),
            description: call.params.string("description")?,
            scopes,
            digest: secret::digest(&secret),
            revoked: false,
            expires_at: Some(
                call.params
                    .date("expires_at")?
                    .unwrap_or_else(|| today().saturating_add(365.days())),
            ),
            last_used_at: None,
            created_at: Timestamp::now(),
        };
        let shown = with_secret(call.view(store).token(&token), &secret);
        store.tokens.insert(token);
        ok(StatusCode::CREATED, shown)
    })
}

fn with_secret(mut token: Value, secret: &str) -> Value {
    token["token"] = json!(secret);
    token
}

async fn tokens(call: Call) -> ApiResult {
    let store = call.app.read();
    let user = call.authenticate(&store)?;
    let of = call.params.id("user_id")?;
    if !user.admin && of.is_some_and(|id| id != user.id) {
        return Err(ApiError::unauthorized());
    }
    let search = call.params.string("search")?;
    let revoked = call.params.boolean("revoked")?;
    let state = call.params.one_of("state", &["active", "inactive"])?;
    let active =
        |token: &PersonalAccessToken| !token.revoked && token.expires_at.is_none_or(|day| day > today());
    let tokens: Vec<_> = store
        .tokens
        .iter()
        .filter(|token| of.map_or(user.admin || token.user_id == user.id, |id| token.user_id == id))
        .filter(|token| search.as_ref().is_none_or(|text| token.name.contains(text)))
        .filter(|token| revoked.is_none_or(|revoked| token.revoked == revoked))
        .filter(|token| {
            state
                .as_deref()
                .is_none_or(|state| active(token) == (state == "active"))
        })
        .collect();
    let view = call.view(&store);
    paginate(&call, tokens, |token| view.token(token))
}

async fn own_token(call: Call) -> ApiResult {
    let store = call.app.read();
    call.authenticate(&store)?;
    let token = call
        .identity
        .token
        .and_then(|id| store.tokens.get(id))
        .ok_or_else(ApiError::unauthorized)?;
    ok(StatusCode::OK, call.view(&store).token(token))
}

async fn token(call: Call) -> ApiResult {
    let store = call.app.read();
    let token = find_token(&call, &store)?;
    ok(StatusCode::OK, call.view(&store).token(token))
}

/// The token that `:id` names: one's own, or any for an administrator.
fn find_token<'a>(call: &Call, store: &'a Store) -> ApiResult<&'a PersonalAccessToken> {
    let user = call.authenticate(store)?;
    let id = if call.id() == "self" {
        call.identity.token
    } else {
        call.id().parse().ok()
    };
    let token = id
        .and_then(|id| store.tokens.get(id))
        .filter(|token| user.admin || token.user_id == user.id);
    let missing = || {
        if user.admin {
            ApiError::message(StatusCode::NOT_FOUND, "404 Not Found")
        } else {
            ApiError::unauthorized()
        }
    };
    token.ok_or_else(missing)
}

async fn revoke(call: Call) -> ApiResult {
    call.app.write(|store| {
        let id = find_token(&call, store)?.id;
        store.tokens.update(id, |token| token.revoked = true);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

async fn revoke_own(mut call: Call) -> ApiResult<Response> {
    call.params.set("id", "self");
    revoke(call).await
}

/// The old token dies at once; the new one lasts a week unless told otherwise.
async fn rotate(call: Call) -> ApiResult {
    call.app.write(|store| {
        let token = find_token(&call, store)?;
        if token.revoked {
            return Err(ApiError::bad_request("token already revoked"));
        }
        let secret = secret::token("glpat-");
        let mut new = token.clone();
        let old = token.id;
        new.id = store.tokens.next_id();
        new.digest = secret::digest(&secret);
        new.expires_at = Some(
            call.params
                .date("expires_at")?
                .unwrap_or_else(|| today().saturating_add(7.days())),
        );
        new.created_at = Timestamp::now();
        store.tokens.update(old, |token| token.revoked = true);
        let shown = with_secret(call.view(store).token(&new), &secret);
        store.tokens.insert(new);
        ok(StatusCode::OK, shown)
    })
}
