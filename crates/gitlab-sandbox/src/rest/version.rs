//! `/version` and `/metadata`.

use axum::{Json, http::StatusCode};
use serde_json::{Value, json};

use super::Call;
use crate::{app::App, error::ApiResult};

/// GitLab names its commit here.
const REVISION: &str = "sandbox";

pub async fn version(call: Call) -> ApiResult<(StatusCode, Json<Value>)> {
    call.authenticate(&call.app.read())?;
    Ok((StatusCode::OK, Json(describe(&call.app))))
}

pub async fn metadata(call: Call) -> ApiResult<(StatusCode, Json<Value>)> {
    version(call).await
}

/// What both answer.
pub fn describe(app: &App) -> Value {
    let release = &app.options().version;
    let version = match app.is_ee() {
        true => format!("{release}-ee"),
        false => release.clone(),
    };
    json!({
        "version": version,
        "revision": REVISION,
        "kas": { "enabled": false, "externalUrl": null, "externalK8sProxyUrl": null, "version": null },
        "enterprise": app.is_ee(),
    })
}
