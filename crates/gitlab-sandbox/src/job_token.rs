//! Tokens of CI jobs: which routes take them, and how far they reach. A job has its user's rights in its own
//! project, and none elsewhere.

use axum::http::{HeaderMap, Method};

use crate::{
    auth::{self, Identity},
    error::{ApiError, ApiResult},
    secret,
    store::{Job, Project, Store},
};

/// What the tokens start with.
pub const PREFIX: &str = "glcbt-64_";
/// The name that comes with one in basic authentication.
pub const USER: &str = "gitlab-ci-token";

/// What a route takes as credentials beside personal access tokens in a header or the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    Nothing,
    /// Basic authentication: with a personal access token, or a job's. A bearer may be a job's too.
    Basic,
    /// A job's token as bearer, in the header `JOB-TOKEN`, or in the query.
    Request,
}

impl Accepts {
    pub fn of(method: &Method, path: &str) -> Self {
        let reads = method == Method::GET || method == Method::HEAD;
        match policy(method, path) {
            Some("read_terraform_state" | "admin_terraform_state") => Self::Basic,
            Some(_) if reads => Self::Request,
            _ => Self::Nothing,
        }
    }
}

/// The permission that a token needs at a route that takes tokens of jobs.
fn policy(method: &Method, path: &str) -> Option<&'static str> {
    let reads = method == Method::GET || method == Method::HEAD;
    let parts: Vec<&str> = path.trim_start_matches("/api/v4/").split('/').collect();
    match parts.as_slice() {
        ["projects", _, "terraform", "state", ..] if reads => Some("read_terraform_state"),
        ["projects", _, "terraform", "state", ..] => Some("admin_terraform_state"),
        ["projects", _, "repository", "branches" | "tags"]
        | ["projects", _, "repository", "tags" | "commits", _]
        | ["projects", _, "repository", "files", _, "raw"] => Some("read_repositories"),
        ["projects", _, "merge_requests"]
        | ["projects", _, "merge_requests", _]
        | ["projects", _, "merge_requests", _, "notes"]
        | ["projects", _, "merge_requests", _, "notes", _] => Some("read_merge_requests"),
        _ => None,
    }
}

/// Whether the text has a job token's prefix: then it is no personal access token.
pub fn is_one(secret: &str) -> bool {
    secret.starts_with("glcbt-")
}

/// The identity behind a job's token.
pub fn authenticate(store: &Store, secret: &str) -> ApiResult<Identity> {
    let job = find(store, secret).ok_or_else(ApiError::unauthorized)?;
    let user = auth::active(store, job.user_id)?;
    Ok(Identity {
        user: Some(user.id),
        demoted: auth::demoted(store, user),
        job: Some(job.id),
        ..Identity::default()
    })
}

fn find<'a>(store: &'a Store, secret: &str) -> Option<&'a Job> {
    store.jobs.find(&secret::digest(secret)).filter(|job| job.running)
}

/// The identity behind a bearer token, where the route takes jobs' tokens and it is one.
pub fn by_bearer(store: &Store, headers: &HeaderMap, accepts: Accepts) -> Option<Identity> {
    let secret = auth::bearer(headers).filter(|_| accepts != Accepts::Nothing)?;
    find(store, &secret)?;
    authenticate(store, &secret).ok()
}

/// The token in the header or the query string.
pub fn presented(headers: &HeaderMap, query: &str) -> Option<String> {
    let header = headers.get("job-token").and_then(|value| value.to_str().ok());
    auth::parameter(query, "job_token")
        .or_else(|| header.map(str::to_owned))
        .filter(|token| !token.is_empty())
}

/// Refuses a job that reaches for another project than its own. `readable`: its user may read the project.
pub fn check_reach(
    store: &Store,
    job: &Job,
    project: &Project,
    readable: bool,
    method: &Method,
    path: &str,
) -> ApiResult<()> {
    let own = job.project_id == project.id;
    let user = store.users.get(job.user_id);
    let visible = own || crate::policy::sees(user, project.visibility);
    if !readable || !visible {
        let from = store.projects.get(job.project_id).map(|project| &project.path);
        return Err(ApiError::forbidden_because(&format!(
            "Authentication by CI/CD job token not allowed from {} to project #{}.",
            from.map_or("", String::as_str),
            project.id
        )));
    }
    if own {
        return Ok(());
    }
    let needed = policy(method, path).unwrap_or_default();
    Err(ApiError::forbidden_because(&format!(
        "Insufficient permissions to access this resource in project #{}. The following token permission is \
         required: {needed}.",
        project.id
    )))
}
