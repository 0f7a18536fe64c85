//! `/-/health`, `/-/liveness` and `/-/readiness`, whose answers GitLab gives to monitoring clients only: who those are is for what
//! stands before the sandbox to say. To have a check fail, arm a fault on its path.

use axum::{Json, Router, extract::RawQuery, routing::get};
use serde_json::{Value, json};

use crate::{app::App, auth::parameter};

/// What `all` adds, beside Redis' instances, of which one is named here.
const ALL: [&str; 4] = ["db_check", "cache_check", "shared_state_check", "gitaly_check"];

pub fn routes() -> Router<App> {
    Router::new()
        .route("/-/health", get(|| async { "GitLab OK" }))
        .route("/-/liveness", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/-/readiness", get(readiness))
}

async fn readiness(RawQuery(query): RawQuery) -> Json<Value> {
    let mut answer = json!({"status": "ok", "master_check": [{"status": "ok"}]});
    if parameter(&query.unwrap_or_default(), "all").is_some() {
        for check in ALL {
            answer[check] = json!([{"status": "ok"}]);
        }
    }
    Json(answer)
}
