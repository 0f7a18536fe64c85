//! `/projects/:id/deploy_keys`.

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    naming::Problems,
    paging::{ok, paginate},
    policy::Ability,
    store::{DeployKey, Grantee, Store},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects/{id}/deploy_keys", get(list).post(create))
        .route(
            "/projects/{id}/deploy_keys/{key_id}",
            get(show).put(update).delete(remove),
        )
}

/// Id of the project, when the caller may administer it.
fn project(call: &Call, store: &Store) -> ApiResult<u64> {
    call.authenticate(store)?;
    let project = call.project(store)?;
    call.authorize(store.can(call.user(store), Ability::AdminProject, project))?;
    Ok(project.id)
}

fn find<'a>(call: &Call, store: &'a Store) -> ApiResult<&'a DeployKey> {
    let project_id = project(call, store)?;
    let id = call.params.id("key_id")?.unwrap_or(0);
    let key = store
        .deploy_keys
        .get(id)
        .filter(|key| key.project_id == project_id);
    key.ok_or_else(|| ApiError::not_found("Deploy Key"))
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let keys = store.deploy_keys.children(project(&call, &store)?).collect();
    let view = call.view(&store);
    paginate(&call, keys, |key| view.deploy_key(key))
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    let key = find(&call, &store)?;
    ok(StatusCode::OK, call.view(&store).deploy_key(key))
}

async fn create(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    call.params.require(&["key", "title"])?;
    let key = call.params.string("key")?.unwrap_or_default().trim().to_owned();
    let title = call.params.string("title")?.unwrap_or_default();
    let can_push = call.params.flag("can_push", false)?;
    let expires_at = call.params.timestamp("expires_at")?;
    call.app.write(|store| {
        let project_id = project(&call, store)?;
        if let Some(known) = store.deploy_keys.find(&(project_id, key.clone())) {
            return ok(StatusCode::CREATED, call.view(store).deploy_key(known));
        }
        let mut problems = Problems::default();
        let mut words = key.split_whitespace();
        let algorithm = words.next().unwrap_or_default();
        if !(algorithm.starts_with("ssh-") || algorithm.starts_with("ecdsa-") || algorithm.starts_with("sk-"))
            || words.next().is_none()
        {
            problems.add("deploy_key.key", "must be a supported SSH public key.");
        }
        problems.check()?;
        let key = DeployKey {
            id: store.deploy_keys.next_id(),
            project_id,
            user_id: call.authenticate(store)?.id,
            title,
            key,
            can_push,
            expires_at,
            created_at: Timestamp::now(),
        };
        let shown = call.view(store).deploy_key(&key);
        store.deploy_keys.insert(key);
        ok(StatusCode::CREATED, shown)
    })
}

async fn update(call: Call) -> ApiResult {
    let title = call.params.string("title")?;
    let can_push = call.params.boolean("can_push")?;
    if title.is_none() && can_push.is_none() {
        let problem = "title, can_push are missing, at least one parameter must be provided";
        return Err(ApiError::parameter(problem));
    }
    call.app.write(|store| {
        let mut key = find(&call, store)?.clone();
        key.title = title.unwrap_or(key.title);
        key.can_push = can_push.unwrap_or(key.can_push);
        let shown = call.view(store).deploy_key(&key);
        store.deploy_keys.insert(key);
        ok(StatusCode::OK, shown)
    })
}

/// A key that goes, goes from the protected branches that named it too.
async fn remove(call: Call) -> ApiResult<Response> {
    call.app.write(|store| {
        let (id, project_id) = find(&call, store).map(|key| (key.id, key.project_id))?;
        store.deploy_keys.remove(id);
        let branches: Vec<u64> = store
            .protected_branches
            .children(project_id)
            .map(|branch| branch.id)
            .collect();
        for branch in branches {
            store.protected_branches.update(branch, |branch| {
                branch
                    .push_access_levels
                    .retain(|level| level.who != Grantee::DeployKey(id))
            });
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}
