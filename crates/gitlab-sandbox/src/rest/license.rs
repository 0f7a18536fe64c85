//! `/license`, which only Enterprise Edition has.

use axum::{Router, http::StatusCode, routing::get};
use jiff::{ToSpan, tz::Offset};
use serde_json::json;

use super::Call;
use crate::{
    app::App,
    entities::time,
    error::{ApiError, ApiResult},
    paging::ok,
    store::UserState,
};

pub fn routes() -> Router<App> {
    Router::new().route("/license", get(show))
}

/// A licence for a year from the instance's first day, for any number of users.
async fn show(call: Call) -> ApiResult {
    if !call.app.is_ee() {
        return Err(ApiError::error(StatusCode::NOT_FOUND, "404 Not Found"));
    }
    let store = call.app.read();
    let admin = call.authenticate_admin(&store)?;
    let first = store.users.iter().next().unwrap_or(admin);
    let starts = Offset::UTC.to_datetime(first.created_at).date();
    let active = |user: &&crate::store::User| user.state == UserState::Active && user.bot_of.is_none();
    let users = store.users.iter().filter(active).count();
    let license = json!({
        "id": 1,
        "plan": "ultimate",
        "created_at": time(first.created_at),
        "starts_at": starts,
        "expires_at": starts.saturating_add(1.year()),
        "historical_max": users,
        "maximum_user_count": users,
        "licensee": { "Name": first.name, "Email": first.email, "Company": "" },
        "add_ons": {},
        "expired": false,
        "overage": 0,
        "user_limit": 0,
        "active_users": users,
    });
    ok(StatusCode::OK, license)
}
