//! `/application/settings`.

use axum::{Router, http::StatusCode, routing::get};
use serde_json::{Map, Value, json};

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    naming::Problems,
    paging::ok,
    settings::{self, At, INSTANCE, INSTANCE_EE, Setting},
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

/// Settings that a request may not turn on without the other one.
const COMPANIONS: [(&str, &str); 2] = [
    ("require_two_factor_authentication", "two_factor_grace_period"),
    ("shared_runners_enabled", "shared_runners_text"),
];

pub fn routes() -> Router<App> {
    Router::new().route("/application/settings", get(show).put(update))
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    call.authenticate_admin(&store)?;
    ok(StatusCode::OK, shown(&call, &store))
}

/// The settings that the edition has.
fn known(call: &Call) -> impl Iterator<Item = &'static Setting> {
    let more: &[Setting] = if call.app.is_ee() { INSTANCE_EE } else { &[] };
    INSTANCE.iter().chain(more)
}

fn shown(call: &Call, store: &Store) -> Value {
    let none = Map::new();
    let values = store.settings.get(1).map_or(&none, |row| &row.values);
    let mut entity: Map<String, Value> = known(call)
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
        for (setting, companion) in COMPANIONS {
            if params.flag(setting, false)? && !params.has(companion) {
                return Err(ApiError::parameter(format!("{companion} is missing")));
            }
        }
        let mut values = settings::parse(INSTANCE, &params, At::Update)?;
        if call.app.is_ee() {
            values.extend(settings::parse(INSTANCE_EE, &params, At::Update)?);
        }
        // As it is stored, and shown.
        if values
            .get("enabled_git_access_protocol")
            .is_some_and(|protocol| protocol == "all")
        {
            values.insert("enabled_git_access_protocol".to_owned(), json!(""));
        }
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
        validate(&row.values)?;
        store.settings.insert(row);
        ok(StatusCode::OK, shown(&call, store))
    })
}

/// What the model refuses, of what people set.
fn validate(values: &Map<String, Value>) -> ApiResult<()> {
    let value = |name: &str| settings::value(INSTANCE, values, name);
    let is_on = |name: &str| value(name) == true;
    let mut problems = Problems::default();
    let length = value("minimum_password_length").as_i64().unwrap_or_default();
    if length < 8 {
        problems.add("minimum_password_length", "must be greater than or equal to 8");
    } else if length > 128 {
        problems.add("minimum_password_length", "must be less than or equal to 128");
    }
    let is_empty = |name: &str| value(name).as_array().is_none_or(Vec::is_empty);
    if is_on("domain_denylist_enabled") && is_empty("domain_denylist") {
        problems.add("domain_denylist", "can't be blank");
    }
    let restricted = value("restricted_visibility_levels");
    for name in ["default_project_visibility", "default_group_visibility"] {
        if restricted
            .as_array()
            .is_some_and(|levels| levels.contains(&value(name)))
        {
            problems.add(name, "cannot be set to a restricted visibility level");
        }
    }
    let period = value("deactivate_dormant_users_period")
        .as_i64()
        .unwrap_or_default();
    if is_on("deactivate_dormant_users") && period < 90 {
        let problem = format!("'{period}' days of inactivity must be greater than or equal to 90");
        problems.add("deactivate_dormant_users_period", problem);
    }
    if is_on("enforce_terms") && value("terms").as_str().is_none_or(str::is_empty) {
        problems.add("base", "You need to set terms to be enforced");
    }
    problems.check()
}
