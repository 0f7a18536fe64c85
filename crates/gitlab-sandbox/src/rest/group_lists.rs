//! Lists of groups.

use std::cmp::Ordering;

use axum::{Router, routing::get};

use super::Call;
use crate::{
    app::App,
    error::ApiResult,
    paging::paginate,
    policy::{Ability, GUEST, OWNER},
    settings::VISIBILITIES,
    store::{Group, Source, Store, Visibility},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/groups", get(list))
        .route("/groups/{id}/subgroups", get(subgroups))
        .route("/groups/{id}/descendant_groups", get(descendants))
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let top_level = call.params.flag("top_level_only", false)?;
    let groups = store
        .groups
        .iter()
        .filter(|group| !top_level || group.parent_id.is_none());
    present(&call, &store, groups.collect(), !top_level)
}

async fn subgroups(call: Call) -> ApiResult {
    let store = call.app.read();
    let parent = call.group(&store)?.id;
    present(
        &call,
        &store,
        store.groups.children(Some(parent)).collect(),
        false,
    )
}

async fn descendants(call: Call) -> ApiResult {
    let store = call.app.read();
    let parent = call.group(&store)?;
    let below = store
        .self_and_descendants(parent)
        .into_iter()
        .filter(|group| group.id != parent.id);
    present(&call, &store, below.collect(), false)
}

/// One page of the groups that the caller asked for and may see. `anywhere`: a search looks at parents' names too.
fn present(call: &Call, store: &Store, groups: Vec<&Group>, anywhere: bool) -> ApiResult {
    let mut groups = filter(call, store, groups, anywhere)?;
    let order = call
        .params
        .one_of("order_by", &["name", "path", "id", "similarity"])?;
    let descending = call.params.one_of("sort", &["asc", "desc"])?.as_deref() == Some("desc");
    let by = |a: &Group, b: &Group| -> Ordering {
        match order.as_deref() {
            Some("id") => a.id.cmp(&b.id),
            Some("path") => a.path.cmp(&b.path),
            _ => a.name.cmp(&b.name),
        }
    };
    groups.sort_by(|a, b| {
        let order = by(a, b);
        (if descending { order.reverse() } else { order }).then(a.id.cmp(&b.id))
    });
    let statistics = call.params.flag("statistics", false)?;
    let view = call.view(store);
    let statistics = statistics && view.user.is_some_and(|user| user.admin);
    paginate(call, groups, |group| view.group(group, statistics))
}

fn filter<'a>(
    call: &Call,
    store: &'a Store,
    groups: Vec<&'a Group>,
    anywhere: bool,
) -> ApiResult<Vec<&'a Group>> {
    let params = &call.params;
    let user = call.user(store);
    let admin = user.is_some_and(|user| user.admin);
    let all = params.flag("all_available", admin || user.is_none())?;
    let owned = params.flag("owned", false)? && user.is_some();
    let level = params.access_level("min_access_level")?;
    let search = params.string("search")?.map(|text| text.to_lowercase());
    let visibility = params
        .one_of("visibility", VISIBILITIES)?
        .as_deref()
        .and_then(Visibility::parse);
    let skipped = params.ids("skip_groups")?;
    let archived = params.boolean("archived")?;
    let active = params.boolean("active")?;
    let marked = params.date("marked_for_deletion_on")?;
    let is_archived = |group: &Group| store.ancestry(group.id).any(|group| group.archived);
    let is_active = |group: &Group| {
        store
            .ancestry(group.id)
            .all(|group| !group.archived && group.marked_for_deletion_on.is_none())
    };
    let found = |group: &Group, text: &str| {
        let wide = [&store.full_name(group), &group.full_path];
        let narrow = [&group.name, &group.path];
        narrow
            .into_iter()
            .chain(wide.into_iter().filter(|_| anywhere))
            .any(|name| name.to_lowercase().contains(text))
    };
    let mut groups = groups;
    groups.retain(|group| {
        let role = store.group_role(user, group.id);
        let visible = if owned {
            role >= OWNER
        } else if let Some(level) = level {
            role >= level
        } else if all {
            store.can(user, Ability::ReadGroup, *group)
        } else {
            role >= GUEST || is_member_below(store, call, group)
        };
        visible
            && search.as_deref().is_none_or(|text| found(group, text))
            && visibility.is_none_or(|visibility| group.visibility == visibility)
            && !skipped.contains(&group.id)
            && archived.is_none_or(|archived| is_archived(group) == archived)
            && active.is_none_or(|active| is_active(group) == active)
            && marked.is_none_or(|day| group.marked_for_deletion_on == Some(day))
    });
    Ok(groups)
}

/// Whether the caller is a member of a project in the group or of anything below it.
fn is_member_below(store: &Store, call: &Call, group: &Group) -> bool {
    let Some(user) = call.user(store) else {
        return false;
    };
    let below = store.self_and_descendants(group);
    let member = |source: Source| store.members.find(&(source, user.id)).is_some();
    below.iter().any(|group| {
        member(Source::Group(group.id))
            || store
                .projects
                .children(group.id)
                .any(|project| member(Source::Project(project.id)))
    })
}
