//! `/-/sandbox`: the interface that arms faults and reads counters. It is not GitLab's; an administrator's token
//! opens it.

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use serde_json::{Value, json};

use crate::{
    app::App,
    auth,
    error::{ApiError, ApiResult},
    faults::Rule,
};

pub fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/-/sandbox/faults", get(list).post(arm).delete(disarm_all))
        .route("/-/sandbox/faults/{id}", delete(disarm))
        .route("/-/sandbox/counters", get(counters).delete(reset))
        .route_layer(middleware::from_fn_with_state(app.clone(), admins_only))
}

async fn admins_only(State(app): State<App>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let admin = auth::identify(&app.read(), request.headers(), query).is_ok_and(|identity| {
        identity
            .user
            .and_then(|id| app.read().users.get(id).map(|user| user.admin))
            == Some(true)
    });
    if admin {
        next.run(request).await
    } else {
        ApiError::unauthorized().into_response()
    }
}

async fn list(State(app): State<App>) -> Json<Value> {
    Json(json!(app.faults().list()))
}

async fn arm(State(app): State<App>, Json(rule): Json<Rule>) -> ApiResult {
    match app.faults().arm(rule) {
        Ok(armed) => Ok((StatusCode::CREATED, Json(armed)).into_response()),
        Err(problem) => Err(ApiError::parameter(problem)),
    }
}

async fn disarm_all(State(app): State<App>) -> StatusCode {
    app.faults().disarm(None);
    StatusCode::NO_CONTENT
}

async fn disarm(State(app): State<App>, Path(id): Path<u64>) -> StatusCode {
    app.faults().disarm(Some(id));
    StatusCode::NO_CONTENT
}

async fn counters(State(app): State<App>) -> Json<Value> {
    Json(json!(*app.counters()))
}

async fn reset(State(app): State<App>) -> StatusCode {
    *app.counters() = crate::meter::Counters::default();
    StatusCode::NO_CONTENT
}
