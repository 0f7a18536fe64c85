//! The REST API: one file per room of GitLab's `lib/api`, and what every call goes through.

mod access_tokens;
mod application_settings;
mod batched_background_migrations;
mod call;
mod deploy_keys;
mod forks;
mod group_lifecycle;
mod group_lists;
mod groups;
mod health;
mod license;
mod members;
mod merge_request_merge;
mod merge_requests;
mod namespaces;
mod notes;
mod personal_access_tokens;
mod project_lifecycle;
mod project_lists;
mod project_settings;
mod projects;
mod protected_branches;
mod repository;
mod shares;
mod terraform;
mod users;
mod variables;
pub mod version;

use axum::{
    Router,
    extract::OriginalUri,
    http::Method,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};

pub use self::{
    batched_background_migrations::entity as migration,
    call::{Call, Upload},
};
use crate::{app::App, control, error::ApiError, git, graphql, server};

/// All routes.
pub fn router(app: App) -> Router {
    let api = Router::new()
        .route("/version", get(version::version))
        .route("/metadata", get(version::metadata))
        .merge(users::routes())
        .merge(personal_access_tokens::routes())
        .merge(access_tokens::routes())
        .merge(namespaces::routes())
        .merge(groups::routes())
        .merge(group_lifecycle::routes())
        .merge(group_lists::routes())
        .merge(projects::routes())
        .merge(project_lifecycle::routes())
        .merge(project_lists::routes())
        .merge(forks::routes())
        .merge(merge_requests::routes())
        .merge(merge_request_merge::routes())
        .merge(notes::routes())
        .merge(members::routes())
        .merge(shares::routes())
        .merge(variables::routes())
        .merge(protected_branches::routes())
        .merge(deploy_keys::routes())
        .merge(repository::routes())
        .merge(terraform::routes())
        .merge(application_settings::routes())
        .merge(license::routes())
        .merge(batched_background_migrations::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown);
    Router::new()
        .nest("/api/v4", api)
        .route("/api/graphql", post(graphql::execute).fallback(unknown))
        // Rails takes a slash at the end for nothing, and glab writes one.
        .route("/api/graphql/", post(graphql::execute).fallback(unknown))
        .merge(health::routes())
        .fallback(git::http::serve)
        .layer(middleware::from_fn_with_state(app.clone(), server::pipeline))
        .merge(control::routes(&app))
        .with_state(app)
}

/// Routes that the sandbox lacks; which of them GitLab has, it does not know.
async fn unknown(OriginalUri(uri): OriginalUri, method: Method) -> Response {
    ApiError::not_implemented(method.as_str(), uri.path()).into_response()
}
