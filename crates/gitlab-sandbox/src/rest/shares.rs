//! Groups and projects that are shared with groups.

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::json;

use super::{Call, groups};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    paging::{ok, paginate},
    policy::Ability,
    settings::{self, GROUP},
    store::{Group, GroupLink, Project, Source, Store},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/groups/{id}/share", post(share_group))
        .route("/groups/{id}/share/{group_id}", delete(unshare_group))
        .route("/groups/{id}/invited_groups", get(invited_to_group))
        .route("/projects/{id}/share", post(share_project))
        .route("/projects/{id}/share/{group_id}", delete(unshare_project))
        .route("/projects/{id}/invited_groups", get(invited_to_project))
}

fn is_set(group: &Group, name: &str) -> bool {
    settings::value(GROUP, &group.settings, name) == json!(true)
}

fn not_found() -> ApiError {
    ApiError::message(StatusCode::NOT_FOUND, "Not Found")
}

/// Adds the link that the request asks for, once everything else is checked.
fn link(call: &Call, store: &mut Store, source: Source, group_id: u64, taken: &str) -> ApiResult<GroupLink> {
    if store.group_links.find(&(source, group_id)).is_some() {
        return Err(ApiError::message(StatusCode::CONFLICT, taken));
    }
    let link = GroupLink {
        id: store.group_links.next_id(),
        source,
        group_id,
        access_level: call.params.access_level("group_access")?.unwrap_or(0),
        expires_at: call.params.date("expires_at")?,
    };
    store.group_links.insert(link.clone());
    Ok(link)
}

/// Whether the hierarchy lets what is in it be shared with `other`.
fn may_be_shared(store: &Store, namespace_id: u64, other: &Group) -> bool {
    let root = |id: u64| store.ancestry(id).last();
    root(namespace_id).is_none_or(|top| {
        let inside = root(other.id).is_some_and(|root| root.id == top.id);
        inside || !is_set(top, "prevent_sharing_groups_outside_hierarchy")
    })
}

async fn share_group(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    call.params.require(&["group_id", "group_access"])?;
    call.params.access_level("group_access")?;
    let id = call.app.write(|store| {
        let user = call.user(store);
        let invited = call.params.id("group_id")?.unwrap_or(0);
        let invited = call.find_group(store, &invited.to_string())?;
        let group = call.group(store)?;
        let allowed = store.can(user, Ability::AdminGroup, group) && may_be_shared(store, group.id, invited);
        if !allowed {
            return Err(not_found());
        }
        let (id, invited) = (group.id, invited.id);
        let taken = "Shared group The group has already been shared with this group";
        link(&call, store, Source::Group(id), invited, taken)?;
        Ok(id)
    })?;
    groups::present(&call, StatusCode::CREATED, id, false)
}

async fn share_project(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    call.params.require(&["group_id", "group_access"])?;
    call.params.access_level("group_access")?;
    call.app.write(|store| {
        let user = call.user(store);
        let project = administered(&call, store)?;
        let home = store.group_of(project);
        if home.is_some_and(|group| is_set(group, "share_with_group_lock")) {
            let reason = "The project sharing with group is disabled";
            return Err(ApiError::message(StatusCode::BAD_REQUEST, reason));
        }
        let invited = call.params.id("group_id")?.and_then(|id| store.groups.get(id));
        let is_member =
            |group: &&Group| user.is_some_and(|user| user.admin) || store.group_role(user, group.id) > 0;
        let invited = invited
            .filter(is_member)
            .filter(|group| may_be_shared(store, project.namespace_id, group))
            .filter(|_| store.can(user, Ability::RemoveProject, project))
            .ok_or_else(not_found)?;
        if store
            .ancestry(project.namespace_id)
            .any(|group| group.id == invited.id)
        {
            let reason = "Project cannot be shared with the group it is in or one of its ancestors.";
            return Err(ApiError::message(StatusCode::CONFLICT, reason));
        }
        let (id, invited) = (project.id, invited.id);
        let taken = "Project already shared with this group";
        let link = link(&call, store, Source::Project(id), invited, taken)?;
        let shown = json!({
            "id": link.id,
            "project_id": id,
            "group_id": link.group_id,
            "group_access": link.access_level,
            "expires_at": link.expires_at,
        });
        ok(StatusCode::CREATED, shown)
    })
}

fn administered<'a>(call: &Call, store: &'a Store) -> ApiResult<&'a Project> {
    let project = call.project(store)?;
    call.authorize(store.can(call.user(store), Ability::AdminProject, project))?;
    Ok(project)
}

/// Who may not do it is answered as if it were done, as GitLab does.
async fn unshare_group(call: Call) -> ApiResult<Response> {
    call.app.write(|store| {
        let user = Some(call.authenticate(store)?);
        let group = call.group(store)?;
        let may = store.can(user, Ability::AdminGroupMember, group);
        let id = find(&call, store, Source::Group(group.id))?;
        if may {
            store.group_links.remove(id);
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

async fn unshare_project(call: Call) -> ApiResult<Response> {
    call.app.write(|store| {
        let user = Some(call.authenticate(store)?);
        let project = administered(&call, store)?;
        let id = find(&call, store, Source::Project(project.id))?;
        let group = store
            .group_links
            .get(id)
            .and_then(|link| store.groups.get(link.group_id));
        let may = store.can(user, Ability::RemoveProject, project)
            || group.is_some_and(|group| store.can(user, Ability::AdminGroup, group));
        if !may {
            return Err(ApiError::message(StatusCode::FORBIDDEN, "Forbidden"));
        }
        store.group_links.remove(id);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

/// The link that the path names.
fn find(call: &Call, store: &Store, source: Source) -> ApiResult<u64> {
    let group_id = call.params.id("group_id")?.unwrap_or(0);
    let link = store.group_links.find(&(source, group_id));
    link.map(|link| link.id)
        .ok_or_else(|| ApiError::not_found("Group Link"))
}

async fn invited_to_group(call: Call) -> ApiResult {
    let store = call.app.read();
    let group = call.group(&store)?;
    list(&call, &store, Source::Group(group.id), group.parent_id)
}

async fn invited_to_project(call: Call) -> ApiResult {
    let store = call.app.read();
    let project = call.project(&store)?;
    list(
        &call,
        &store,
        Source::Project(project.id),
        Some(project.namespace_id),
    )
}

/// The groups that this (`direct`) and the groups above it (`inherited`) are shared with.
fn list(call: &Call, store: &Store, source: Source, above: Option<u64>) -> ApiResult {
    let relations = call.params.strings("relation")?.unwrap_or_default();
    let is_asked = |relation: &str| relations.is_empty() || relations.iter().any(|one| one == relation);
    let search = call.params.string("search")?.unwrap_or_default().to_lowercase();
    let mut sources = Vec::new();
    if is_asked("direct") {
        sources.push(source);
    }
    if is_asked("inherited") {
        let above = above.into_iter().flat_map(|id| store.ancestry(id));
        sources.extend(above.map(|group| Source::Group(group.id)));
    }
    let links = sources
        .into_iter()
        .flat_map(|source| store.group_links.children(source));
    let view = call.view(store);
    let mut groups: Vec<&Group> = links
        .filter_map(|link| store.groups.get(link.group_id))
        .filter(|group| view.can(Ability::ReadGroup, *group))
        .filter(|group| {
            group.name.to_lowercase().contains(&search) || group.path.to_lowercase().contains(&search)
        })
        .collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
    groups.dedup_by_key(|group| group.id);
    paginate(call, groups, |group| view.group(group, false))
}
