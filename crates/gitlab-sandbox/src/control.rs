//! `/-/sandbox`: the interface that arms faults, reads counters, starts jobs and does what on GitLab takes its console. It is not GitLab's; an
//! administrator's token opens it.

mod instance;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::App,
    auth,
    error::{ApiError, ApiResult},
    faults::Rule,
    job_token::{self, Accepts},
    secret,
    store::Job,
};

pub fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/-/sandbox/faults", get(list).post(arm).delete(disarm_all))
        .route("/-/sandbox/faults/{id}", delete(disarm))
        .route("/-/sandbox/counters", get(counters).delete(reset))
        .route("/-/sandbox/jobs", post(start_job))
        .route("/-/sandbox/jobs/{id}", delete(end_job))
        .merge(instance::routes())
        .route_layer(middleware::from_fn_with_state(app.clone(), admins_only))
}

async fn admins_only(State(app): State<App>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    // One look for both: a second one would wait for whoever waits to write, and he for the first.
    let is_admin = {
        let store = app.read();
        let identity = auth::identify(&store, request.headers(), query, Accepts::Nothing).ok();
        let user = identity.and_then(|identity| store.users.get(identity.user?));
        user.is_some_and(|user| user.admin)
    };
    if is_admin {
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

/// What a job is started with.
#[derive(Deserialize)]
struct NewJob {
    /// Full path of the project that it belongs to.
    project: String,
    /// Name of the user whose rights it has.
    user: String,
}

/// Starts a CI job that runs nothing: what counts is its token, which the answer shows.
async fn start_job(State(app): State<App>, Json(wanted): Json<NewJob>) -> ApiResult {
    let token = secret::token(job_token::PREFIX);
    let job = app.write(|store| {
        let project = store
            .project_by_path(&wanted.project)
            .ok_or_else(|| ApiError::not_found("Project"))?;
        let user = store
            .user_by_username(&wanted.user)
            .ok_or_else(|| ApiError::not_found("User"))?;
        let (project_id, user_id) = (project.id, user.id);
        let job = Job {
            id: store.jobs.next_id(),
            project_id,
            user_id,
            digest: secret::digest(&token),
            running: true,
            created_at: Timestamp::now(),
        };
        store.jobs.insert(job.clone());
        Ok(job)
    })?;
    let shown = json!({ "id": job.id, "project_id": job.project_id, "user_id": job.user_id, "token": token });
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// Ends a job; its token is good no more.
async fn end_job(State(app): State<App>, Path(id): Path<u64>) -> ApiResult<StatusCode> {
    app.write(|store| {
        store
            .jobs
            .update(id, |job| job.running = false)
            .ok_or_else(|| ApiError::not_found("Job"))
    })?;
    Ok(StatusCode::NO_CONTENT)
}
