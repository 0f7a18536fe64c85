//! `/application/settings`.

use axum::{Router, http::StatusCode, routing::get};
use serde_json::{Map, Value, json};

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    paging::ok,
    settings::{self, At, INSTANCE},
    store::{ApplicationSettings, Store},
};

/// Settings that have a newer name beside their own.
const THROTTLE: [(&str, &str); 3] = [
    (
        "throttle_unauthenticated_enabled",
        "throttle_unauthenticated_web_enabled",
    ),
    (
        "throttle_unauthenticated_period_in_seconds",
        "throttle_unauthenticated_web_period_in_seconds",
    ),
    (
        "throttle_unauthenticated_requests_per_period",
        "throttle_unauthenticated_web_requests_per_period",
    ),
];

pub fn routes() -> Router<App> {
    Router::new().route("/application/settings", get(show).put(update))
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    call.authenticate_admin(&store)?;
    ok(StatusCode::OK, shown(&store))
}

fn shown(store: &Store) -> Value {
    let none = Map::new();
    let values = store.settings.get(1).map_or(&none, |row| &row.values);
    let mut entity: Map<String, Value> = INSTANCE
        .iter()
        .map(|setting| (setting.name.to_owned(), setting.value(values)))
        .collect();
    entity.insert("id".to_owned(), json!(1));
    let web = entity
        .get("password_authentication_enabled_for_web")
        .cloned()
        .unwrap_or_default();
    for (name, newer) in THROTTLE {
        let value = entity.get(name).cloned().unwrap_or_default();
        entity.insert(newer.to_owned(), value);
    }
    entity.insert("password_authentication_enabled".to_owned(), web.clone());
    entity.insert("signin_enabled".to_owned(), web);
    Value::Object(entity)
}

async fn update(call: Call) -> ApiResult {
    call.app.write(|store| {
        call.authenticate_admin(store)?;
        let mut params = call.params.clone();
        for (name, newer) in THROTTLE {
            if let Some(value) = params.get(newer).cloned() {
                params.set(name, value);
            }
        }
        let mut values = settings::parse(INSTANCE, &params, At::Update)?;
        if let Some(level) = values.get("default_branch_protection").and_then(Value::as_i64) {
            values.insert(
                "default_branch_protection_defaults".to_owned(),
                settings::protection_of_level(level),
            );
        }
        if values.is_empty() && call.params.iter().all(|(key, _)| key == "private_token") {
            return Err(ApiError::parameter("at least one parameter must be provided"));
        }
        let mut row = store
            .settings
            .get(1)
            .cloned()
            .unwrap_or_else(|| ApplicationSettings {
                id: 1,
                values: Map::new(),
            });
        row.values.extend(values);
        store.settings.insert(row);
        ok(StatusCode::OK, shown(store))
    })
}
