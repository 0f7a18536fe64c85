//! `/namespaces`: groups and users' own namespaces together.

use axum::{Router, http::StatusCode, response::Response, routing::get};
use serde_json::{Value, json};

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    paging::{ok, paginate},
    policy::Ability,
    store::{Namespace, Store, User},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/namespaces", get(list))
        .route("/namespaces/{id}", get(show))
        .route("/namespaces/{id}/exists", get(exists))
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let user = call.authenticate(&store)?;
    let search = call.params.string("search")?.map(|text| text.to_lowercase());
    let top_level = call.params.flag("top_level_only", false)?;
    let owned = call.params.flag("owned_only", false)?;
    let by_path = call.params.flag("full_path_search", false)?;
    let matches = |name: &str, path: &str, full_path: &str| {
        search.as_deref().is_none_or(|text| {
            name.to_lowercase().contains(text)
                || path.to_lowercase().contains(text)
                || (by_path && full_path.to_lowercase().contains(text))
        })
    };
    let visible_user = |other: &&User| user.admin || other.id == user.id;
    let users = store.users.iter().filter(visible_user);
    let groups = store.groups.iter().filter(|group| {
        let role = store.group_role(Some(user), group.id);
        (user.admin || role > 0)
            && (!owned || user.admin || role >= 50)
            && !(top_level && group.parent_id.is_some())
    });
    let mut ids: Vec<u64> = users
        .filter(|user| matches(&user.name, &user.username, &user.username))
        .map(|user| user.namespace_id)
        .chain(
            groups
                .filter(|group| matches(&group.name, &group.path, &group.full_path))
                .map(|group| group.id),
        )
        .collect();
    ids.sort_unstable();
    let view = call.view(&store);
    paginate(&call, ids, |id| view.namespace(id))
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    call.authenticate(&store)?;
    let id = call.find_namespace(&store, call.id())?;
    ok(StatusCode::OK, call.view(&store).namespace(id))
}

async fn exists(call: Call) -> ApiResult<Response> {
    let store = call.app.read();
    call.authenticate(&store)?;
    let parent = call.params.id("parent_id")?;
    let siblings: Vec<&str> = match parent {
        Some(_) => store
            .groups
            .children(parent)
            .map(|group| group.path.as_str())
            .collect(),
        None => {
            let users = store.users.iter().map(|user| user.username.as_str());
            store
                .groups
                .children(None)
                .map(|group| group.path.as_str())
                .chain(users)
                .collect()
        }
    };
    let is_taken = |path: &str| siblings.iter().any(|sibling| sibling.eq_ignore_ascii_case(path));
    let taken = is_taken(call.id());
    let free = (1..)
        .map(|number| format!("{}{number}", call.id()))
        .find(|path| !is_taken(path));
    let suggests: Vec<String> = if taken {
        free.into_iter().collect()
    } else {
        Vec::new()
    };
    ok(StatusCode::OK, json!({ "exists": taken, "suggests": suggests }))
}

impl Call {
    /// Id of the namespace that the text names, by id or full path, when the caller belongs to it.
    pub fn find_namespace(&self, store: &Store, id: &str) -> ApiResult<u64> {
        let user = self.user(store);
        let found = match id.parse() {
            Ok(id) => store.namespace(id),
            Err(_) => match store.group_by_path(id) {
                Some(group) => Some(Namespace::Group(group)),
                None => store.user_by_username(id).map(Namespace::User),
            },
        };
        let admin = user.is_some_and(|user| user.admin);
        let readable = match found {
            Some(Namespace::Group(group)) => {
                let member = store.group_role(user, group.id) > 0;
                (admin || member || store.can(user, Ability::AdminGroup, group)).then_some(group.id)
            }
            Some(Namespace::User(owner)) => {
                (admin || user.is_some_and(|user| user.id == owner.id)).then_some(owner.namespace_id)
            }
            None => None,
        };
        readable.ok_or_else(|| ApiError::not_found("Namespace"))
    }

    /// The `:id` or other parameter as text.
    pub fn text(&self, key: &str) -> &str {
        self.params.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}
