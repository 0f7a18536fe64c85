//! `/admin/batched_background_migrations`: what an upgrade left to do in the background.

use axum::{Router, http::StatusCode, routing::get};
use serde_json::{Value, json};

use super::Call;
use crate::{
    app::App,
    entities::time,
    error::{ApiError, ApiResult},
    paging::ok,
    store::BatchedBackgroundMigration,
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/admin/batched_background_migrations", get(list))
        .route("/admin/batched_background_migrations/{id}", get(show))
}

/// All of them: GitLab does not page this list.
async fn list(call: Call) -> ApiResult {
    call.params.one_of("database", &["main", "ci"])?;
    let store = call.app.read();
    call.authenticate_admin(&store)?;
    let job = call.params.string("job_class_name")?;
    let wanted =
        |row: &&BatchedBackgroundMigration| job.as_ref().is_none_or(|job| row.job_class_name == *job);
    let shown: Value = store.migrations.iter().filter(wanted).map(entity).collect();
    ok(StatusCode::OK, shown)
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    call.authenticate_admin(&store)?;
    let row = call.id().parse().ok().and_then(|id| store.migrations.get(id));
    let row = row.ok_or_else(ApiError::record_not_found)?;
    ok(StatusCode::OK, entity(row))
}

/// As `lib/api/entities/batched_background_migration.rb` shows it.
pub fn entity(row: &BatchedBackgroundMigration) -> Value {
    json!({
        "id": row.id,
        "job_class_name": row.job_class_name,
        "table_name": row.table_name,
        "column_name": row.column_name,
        "status": row.status,
        "progress": row.progress,
        "created_at": time(row.created_at),
        "estimated_time_remaining": null,
    })
}
