//! `/user` and `/users`.

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use jiff::Timestamp;
use serde_json::Value;

use super::Call;
use crate::{
    app::App,
    entities::View,
    error::{ApiError, ApiResult},
    naming::Problems,
    paging::{ok, paginate},
    store::{Sequence, Store, User, UserState},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/user", get(current))
        .route("/users", get(list).post(create))
        .route("/users/{id}", get(show))
        .route("/users/{id}/block", post(block))
        .route("/users/{id}/unblock", post(unblock))
}

async fn current(call: Call) -> ApiResult {
    let store = call.app.read();
    let id = call.authenticate(&store)?.id;
    let user = find(&store, &id.to_string())?;
    // Whether they are an administrator shows even where their token gives them no such powers.
    let view = View {
        user: Some(user),
        ..call.view(&store)
    };
    ok(StatusCode::OK, view.user_public(user))
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
    let humans = call.params.flag("humans", false)?;
    let without_bots = call.params.flag("without_project_bots", false)?;
    // Only administrators filter by it. Nobody has any here.
    let with_two_factor = match call.params.string("two_factor")? {
        Some(filter) if viewer.is_some_and(|user| user.admin) => filter == "enabled",
        _ => false,
    };
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
        .filter(|user| !(humans || without_bots) || user.bot_of.is_none())
        .filter(|_| !with_two_factor)
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
pub fn find<'a>(store: &'a Store, id: &str) -> ApiResult<&'a User> {
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
            bot_of: None,
            created_at: Timestamp::now(),
        };
        let id = user.id;
        store.users.insert(user);
        let user = &store.users.get(id).ok_or_else(|| ApiError::not_found("User"))?;
        ok(StatusCode::CREATED, call.view(store).user_public(user))
    })
}

async fn block(call: Call) -> ApiResult {
    set_state(&call, UserState::Blocked)
}

async fn unblock(call: Call) -> ApiResult {
    set_state(&call, UserState::Active)
}

/// Answers whether this changed anything.
fn set_state(call: &Call, state: UserState) -> ApiResult {
    call.app.write(|store| {
        let admin = call.authenticate_admin(store)?.id;
        let user = find(store, call.id())?;
        let (id, changes) = (user.id, user.state != state);
        if id == admin && state == UserState::Blocked {
            let reason = "The API initiating user cannot be blocked by the API";
            return Err(ApiError::forbidden_because(reason));
        }
        store.users.update(id, |user| user.state = state);
        let answer = match (state, changes) {
            (UserState::Blocked, false) => Value::Null,
            (_, changes) => Value::Bool(changes),
        };
        ok(StatusCode::CREATED, answer)
    })
}
