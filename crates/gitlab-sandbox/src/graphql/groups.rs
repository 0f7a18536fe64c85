//! Groups, namespaces, and lists of groups.

use apollo_compiler::resolvers::{FieldError, ResolveInfo, ResolvedValue};

use super::connection::{Connection, Order, Place};
use super::object::{Arguments, Kind, Resolved, failed, gid, ids, time};
use super::{members, projects, variables};
use crate::{
    entities::View,
    policy::{Ability, OWNER},
    store::{Group, Namespace, Store},
};

const BY_NAME: Order = Order {
    by: "name",
    descending: false,
};

/// `group(fullPath:)`: null for one that is hidden from the user.
pub fn by_path<'a>(view: View<'a>, info: &ResolveInfo<'_>) -> ResolvedValue<'a> {
    view.readable_group(
        view.store
            .group_by_path(info.text("fullPath").unwrap_or_default()),
    )
}

/// `namespace(fullPath:)`: a group, or a user's own.
pub fn namespace_by_path<'a>(view: View<'a>, info: &ResolveInfo<'_>) -> ResolvedValue<'a> {
    let path = info.text("fullPath").unwrap_or_default();
    let group = view
        .store
        .group_by_path(path)
        .filter(|group| view.can(Ability::ReadGroup, *group));
    let namespace = match group {
        Some(group) => Some(Namespace::Group(group)),
        None => view
            .store
            .user_by_username(path)
            .filter(|owner| view.is_admin() || view.user.is_some_and(|user| user.id == owner.id))
            .map(Namespace::User),
    };
    view.nullable(namespace.map(Kind::Namespace))
}

/// The names from the root down, with slashes between them.
pub fn full_name(store: &Store, namespace: Namespace<'_>) -> String {
    match namespace {
        Namespace::User(user) => user.name.clone(),
        Namespace::Group(group) => {
            let mut names: Vec<_> = store
                .ancestry(group.id)
                .map(|group| group.name.as_str())
                .collect();
            names.reverse();
            names.join(" / ")
        }
    }
}

/// A field of a group.
pub fn group<'a>(
    view: View<'a>,
    group: &'a Group,
    info: &ResolveInfo<'_>,
) -> Result<Option<ResolvedValue<'a>>, FieldError> {
    let in_chain = |test: fn(&Group) -> bool| view.store.ancestry(group.id).any(test);
    let setting = |name: &str, default: &'static str| {
        let value = group.settings.get(name).and_then(|value| value.as_str());
        ResolvedValue::leaf(value.unwrap_or(default))
    };
    Ok(Some(match info.field_name() {
        "archived" => ResolvedValue::leaf(in_chain(|group| group.archived)),
        "ciVariables" => variables::of_source(view, group, info)?,
        "createdAt" => time(group.created_at),
        "descendantGroups" => descendants(view, group, info)?,
        "groupMembers" => members::of_group(view, group, info)?,
        "markedForDeletion" => ResolvedValue::leaf(in_chain(|group| group.marked_for_deletion_on.is_some())),
        "markedForDeletionOn" => ResolvedValue::leaf(group.marked_for_deletion_on.map(|day| day.to_string())),
        "maxAccessLevel" => view.object(Kind::AccessLevel(view.store.group_role(view.user, group.id))),
        "parent" => view.readable_group(group.parent_id.and_then(|parent| view.store.groups.get(parent))),
        "projectCreationLevel" => setting("project_creation_level", "developer"),
        "subgroupCreationLevel" => setting("subgroup_creation_level", "maintainer"),
        "updatedAt" => time(group.updated_at),
        "userPermissions" => view.object(Kind::GroupPermissions(group)),
        "webPath" => ResolvedValue::leaf(format!("/groups/{}", group.full_path)),
        _ => return namespace(view, Namespace::Group(group), info),
    }))
}

/// A field of `userPermissions`.
pub fn permissions<'a>(
    view: View<'a>,
    group: &'a Group,
    info: &ResolveInfo<'_>,
) -> Option<ResolvedValue<'a>> {
    let ability = match info.field_name() {
        "adminAllResources" => return Some(ResolvedValue::leaf(view.is_admin())),
        "createProjects" => Ability::CreateProjects,
        "readGroup" => Ability::ReadGroup,
        "removeGroup" => Ability::RemoveGroup,
        "viewEditPage" => Ability::AdminGroup,
        _ => return None,
    };
    Some(ResolvedValue::leaf(view.can(ability, group)))
}

/// A field of a namespace, and so of a group.
pub fn namespace<'a>(
    view: View<'a>,
    namespace: Namespace<'a>,
    info: &ResolveInfo<'_>,
) -> Result<Option<ResolvedValue<'a>>, FieldError> {
    let url = view.app.url();
    let field = info.field_name();
    match field {
        "fullName" => return Ok(Some(ResolvedValue::leaf(full_name(view.store, namespace)))),
        "projects" => return projects::of_namespace(view, namespace, info).map(Some),
        // The sandbox keeps no avatars.
        "avatarUrl" => return Ok(Some(ResolvedValue::null())),
        _ => {}
    }
    Ok(Some(match (field, namespace) {
        ("description", Namespace::Group(group)) => ResolvedValue::leaf(group.description.as_str()),
        ("description", Namespace::User(_)) => ResolvedValue::leaf(""),
        ("fullPath", Namespace::Group(group)) => ResolvedValue::leaf(group.full_path.as_str()),
        ("id", Namespace::Group(group)) => gid("Group", group.id),
        ("id", Namespace::User(user)) => gid("Namespaces::UserNamespace", user.namespace_id),
        ("name", Namespace::Group(group)) => ResolvedValue::leaf(group.name.as_str()),
        ("name", Namespace::User(user)) => ResolvedValue::leaf(user.name.as_str()),
        ("path", Namespace::Group(group)) => ResolvedValue::leaf(group.path.as_str()),
        ("path" | "fullPath", Namespace::User(user)) => ResolvedValue::leaf(user.username.as_str()),
        ("requestAccessEnabled", Namespace::Group(group)) => {
            let set = group
                .settings
                .get("request_access_enabled")
                .and_then(|value| value.as_bool());
            ResolvedValue::leaf(set.unwrap_or(true))
        }
        ("requestAccessEnabled", Namespace::User(_)) => ResolvedValue::leaf(true),
        ("visibility", Namespace::Group(group)) => ResolvedValue::leaf(group.visibility.as_str()),
        ("visibility", Namespace::User(_)) => ResolvedValue::leaf("public"),
        ("webUrl", Namespace::Group(group)) => {
            ResolvedValue::leaf(format!("{url}/groups/{}", group.full_path))
        }
        ("webUrl", Namespace::User(user)) => ResolvedValue::leaf(format!("{url}/{}", user.username)),
        _ => return Ok(None),
    }))
}

/// `groups`: those that the user can see and that pass every filter.
pub fn list<'a>(view: View<'a>, info: &ResolveInfo<'_>) -> Resolved<'a> {
    let parent = match info.text("parentPath") {
        None => None,
        Some(path) => {
            let group = view
                .store
                .group_by_path(path)
                .filter(|group| view.can(Ability::ReadGroup, *group));
            Some(group.ok_or_else(|| failed(format!("Could not find parent group with path {path}")))?)
        }
    };
    let ids = ids(info, "Group")?;
    let top_level = info.flag("topLevelOnly") == Some(true);
    let owned = info.flag("ownedOnly") == Some(true);
    let members_only = info.flag("allAvailable") == Some(false) && view.user.is_some();
    let active = info.flag("active");
    let search = info.text("search").unwrap_or_default().to_lowercase();
    let role = |group: &Group| view.store.group_role(view.user, group.id);
    let groups = view
        .store
        .groups
        .iter()
        .filter(|group| parent.is_none_or(|parent| group.parent_id == Some(parent.id)))
        .filter(|group| ids.as_ref().is_none_or(|ids| ids.contains(&group.id)))
        .filter(|group| !top_level || group.parent_id.is_none())
        .filter(|group| !owned || role(group) >= OWNER)
        .filter(|group| !members_only || role(group) > 0)
        .filter(|group| active.is_none_or(|active| active == is_active(view.store, group)))
        .filter(|group| found(group, &search) && view.can(Ability::ReadGroup, *group));
    let order = info.text("sort").and_then(Order::parse).unwrap_or(BY_NAME);
    connection(view, order, groups, info)
}

fn descendants<'a>(view: View<'a>, parent: &'a Group, info: &ResolveInfo<'_>) -> Resolved<'a> {
    let all = info.flag("includeParentDescendants") != Some(false);
    let owned = info.flag("owned") == Some(true);
    let ids = ids(info, "Group")?;
    let search = info.text("search").unwrap_or_default().to_lowercase();
    let below = view.store.self_and_descendants(parent);
    let groups = below
        .into_iter()
        .skip(1)
        .filter(|group| all || group.parent_id == Some(parent.id))
        .filter(|group| ids.as_ref().is_none_or(|ids| ids.contains(&group.id)))
        .filter(|group| !owned || view.store.group_role(view.user, group.id) >= OWNER)
        .filter(|group| found(group, &search) && view.can(Ability::ReadGroup, *group));
    let order = info.text("sort").and_then(Order::parse).unwrap_or(BY_NAME);
    connection(view, order, groups, info)
}

fn is_active(store: &Store, group: &Group) -> bool {
    !store
        .ancestry(group.id)
        .any(|group| group.archived || group.marked_for_deletion_on.is_some())
}

/// Whether a search finds the group by its name or full path.
fn found(group: &Group, search: &str) -> bool {
    group.name.to_lowercase().contains(search) || group.full_path.to_lowercase().contains(search)
}

fn connection<'a>(
    view: View<'a>,
    order: Order,
    groups: impl Iterator<Item = &'a Group>,
    info: &ResolveInfo<'_>,
) -> Resolved<'a> {
    let key = |group: &Group| match order.by {
        "name" => group.name.to_lowercase(),
        "path" => group.path.clone(),
        "full_path" => group.full_path.clone(),
        "created_at" => group.created_at.to_string(),
        "updated_at" => group.updated_at.to_string(),
        _ => String::new(),
    };
    let items = groups
        .map(|group| {
            let place = Place {
                key: key(group),
                id: group.id,
            };
            (place, Kind::Group(group))
        })
        .collect();
    Ok(Connection::page(("GroupConnection", "GroupEdge"), order, items, info)?.into_value(view))
}
