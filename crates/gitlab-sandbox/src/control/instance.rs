//! What an administrator does on GitLab's own server, in its console or database, and not over the API: set a token's value,
//! change an account, leave a background migration unfinished.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
    routing::{get, patch, post},
};
use jiff::{Timestamp, civil::Date};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    rest::migration,
    secret,
    store::{BatchedBackgroundMigration, PersonalAccessToken},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/-/sandbox/tokens", get(tokens).post(add_token))
        .route("/-/sandbox/users/{username}", patch(change_user))
        .route("/-/sandbox/batched_background_migrations", post(add_migration))
        .route(
            "/-/sandbox/batched_background_migrations/{id}",
            patch(change_migration),
        )
}

/// All tokens, with the digests that they are looked up by.
async fn tokens(State(app): State<App>) -> Json<Value> {
    let store = app.read();
    Json(store.tokens.iter().map(token).collect())
}

fn token(row: &PersonalAccessToken) -> Value {
    json!({
        "id": row.id,
        "user_id": row.user_id,
        "name": row.name,
        "scopes": row.scopes,
        "revoked": row.revoked,
        "expires_at": row.expires_at,
        "created_at": row.created_at,
        "digest": row.digest,
    })
}

/// A token whose value is given.
#[derive(Deserialize)]
struct NewToken {
    user: String,
    name: String,
    scopes: Vec<String>,
    expires_at: Option<Date>,
    token: String,
}

async fn add_token(State(app): State<App>, Json(wanted): Json<NewToken>) -> ApiResult {
    let added = app.write(|store| {
        let user = store
            .user_by_username(&wanted.user)
            .ok_or_else(|| ApiError::not_found("User"))?;
        let user_id = user.id;
        let digest = secret::digest(&wanted.token);
        if store.tokens.find(&digest).is_some() {
            return Err(ApiError::message(
                StatusCode::CONFLICT,
                "Token digest has already been taken",
            ));
        }
        let row = PersonalAccessToken {
            id: store.tokens.next_id(),
            user_id,
            name: wanted.name,
            description: None,
            scopes: wanted.scopes,
            digest,
            revoked: false,
            previous: None,
            expires_at: wanted.expires_at,
            last_used_at: None,
            created_at: Timestamp::now(),
        };
        store.tokens.insert(row.clone());
        Ok(token(&row))
    })?;
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

/// What of an account is changed.
#[derive(Deserialize)]
struct UserChange {
    email: Option<String>,
    name: Option<String>,
}

async fn change_user(
    State(app): State<App>,
    Path(username): Path<String>,
    Json(change): Json<UserChange>,
) -> ApiResult<StatusCode> {
    app.write(|store| {
        let id = store.user_by_username(&username).map(|user| user.id);
        let id = id.ok_or_else(|| ApiError::not_found("User"))?;
        store.users.update(id, |user| {
            user.email = change.email.unwrap_or_else(|| user.email.clone());
            user.name = change.name.unwrap_or_else(|| user.name.clone());
        });
        Ok(StatusCode::NO_CONTENT)
    })
}

/// A migration that is under way.
#[derive(Deserialize)]
struct NewMigration {
    job_class_name: String,
    table_name: String,
    column_name: String,
    /// `active` unless another is given.
    status: Option<String>,
}

async fn add_migration(State(app): State<App>, Json(wanted): Json<NewMigration>) -> ApiResult {
    let added = app.write(|store| {
        let row = BatchedBackgroundMigration {
            id: store.migrations.next_id(),
            job_class_name: wanted.job_class_name,
            table_name: wanted.table_name,
            column_name: wanted.column_name,
            status: wanted.status.unwrap_or_else(|| "active".to_owned()),
            progress: 0.0,
            created_at: Timestamp::now(),
        };
        store.migrations.insert(row.clone());
        Ok(migration(&row))
    })?;
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

/// How far a migration has come.
#[derive(Deserialize)]
struct MigrationChange {
    status: String,
    progress: Option<f64>,
}

async fn change_migration(
    State(app): State<App>,
    Path(id): Path<u64>,
    Json(change): Json<MigrationChange>,
) -> ApiResult<StatusCode> {
    app.write(|store| {
        let changed = store.migrations.update(id, |row| {
            row.status = change.status;
            row.progress = change.progress.unwrap_or(row.progress);
        });
        changed.ok_or_else(ApiError::record_not_found)?;
        Ok(StatusCode::NO_CONTENT)
    })
}
