//! Members and their roles.

use std::collections::BTreeMap;

use apollo_compiler::resolvers::{ResolveInfo, ResolvedValue};

use super::RESOURCE_NOT_AVAILABLE;
use super::connection::stored;
use super::object::{Arguments, Kind, Resolved, failed, gid, ids, time};
use crate::{
    entities::View,
    policy::Ability,
    store::{Group, Member, Project, Source},
};

/// GitLab's roles: level, enum value, name.
const ROLES: [(u8, &str, &str); 8] = [
    (0, "NO_ACCESS", "None"),
    (5, "MINIMAL_ACCESS", "Minimal Access"),
    (10, "GUEST", "Guest"),
    (15, "PLANNER", "Planner"),
    (20, "REPORTER", "Reporter"),
    (30, "DEVELOPER", "Developer"),
    (40, "MAINTAINER", "Maintainer"),
    (50, "OWNER", "Owner"),
];

/// The level behind a value of `AccessLevelEnum`.
pub fn level(name: &str) -> Option<u8> {
    ROLES
        .iter()
        .find(|(_, value, _)| *value == name)
        .map(|(level, ..)| *level)
}

pub fn type_name(member: &Member) -> &'static str {
    match member.source {
        Source::Group(_) => "GroupMember",
        Source::Project(_) => "ProjectMember",
    }
}

/// A field of a role.
pub fn access_level<'a>(level: u8, info: &ResolveInfo<'_>) -> Option<ResolvedValue<'a>> {
    let role = ROLES.iter().find(|(value, ..)| *value == level);
    Some(match info.field_name() {
        "integerValue" => ResolvedValue::leaf(level),
        "stringValue" => ResolvedValue::leaf(role.map(|(_, value, _)| *value)),
        "humanAccess" => ResolvedValue::leaf(role.map(|(.., name)| *name)),
        _ => return None,
    })
}

/// A field of a member of a project or a group.
pub fn member<'a>(view: View<'a>, member: &'a Member, info: &ResolveInfo<'_>) -> Option<ResolvedValue<'a>> {
    let user = |id: u64| view.nullable(view.store.users.get(id).map(Kind::User));
    Some(match (info.field_name(), member.source) {
        ("id", _) => gid(type_name(member), member.id),
        ("accessLevel", _) => view.object(Kind::AccessLevel(member.access_level)),
        ("createdAt" | "updatedAt", _) => time(member.created_at),
        ("createdBy", _) => member.created_by.map_or_else(ResolvedValue::null, user),
        ("expiresAt", _) => ResolvedValue::leaf(member.expires_at.map(|day| day.to_string())),
        ("user", _) => user(member.user_id),
        ("group", Source::Group(id)) => view.readable_group(view.store.groups.get(id)),
        ("project", Source::Project(id)) => view.nullable(view.store.projects.get(id).map(Kind::Project)),
        _ => return None,
    })
}

/// `projectMembers`: the project's own members before those of its groups.
pub fn of_project<'a>(view: View<'a>, project: &'a Project, info: &ResolveInfo<'_>) -> Resolved<'a> {
    if !view.can(Ability::ReadProjectMember, project) {
        return Err(failed(RESOURCE_NOT_AVAILABLE));
    }
    let relations = info.texts("relations").unwrap_or_default();
    let mut sources = Vec::new();
    if relations.contains(&"DIRECT") {
        sources.push(Source::Project(project.id));
    }
    // The project's group is a relation of its own only for groups: it is always looked at here, as in GitLab.
    if relations != ["DIRECT"] {
        sources.extend(
            view.store
                .ancestry(project.namespace_id)
                .map(|group| Source::Group(group.id)),
        );
    }
    list(
        view,
        ("MemberInterfaceConnection", "MemberInterfaceEdge"),
        &sources,
        info,
    )
}

/// `groupMembers`: the group's own members before those of the groups above, then of those below.
pub fn of_group<'a>(view: View<'a>, group: &'a Group, info: &ResolveInfo<'_>) -> Resolved<'a> {
    if !view.can(Ability::ReadGroupMember, group) {
        return Err(failed(RESOURCE_NOT_AVAILABLE));
    }
    let relations = info.texts("relations").unwrap_or_default();
    let mut sources = Vec::new();
    if relations.contains(&"DIRECT") {
        sources.push(Source::Group(group.id));
    }
    if relations.contains(&"INHERITED") {
        sources.extend(
            view.store
                .ancestry(group.id)
                .skip(1)
                .map(|group| Source::Group(group.id)),
        );
    }
    if relations.contains(&"DESCENDANTS") {
        sources.extend(
            view.store
                .self_and_descendants(group)
                .iter()
                .skip(1)
                .map(|group| Source::Group(group.id)),
        );
    }
    list(view, ("GroupMemberConnection", "GroupMemberEdge"), &sources, info)
}

/// The members of `sources`, each user once: the membership of the earliest source that has one.
fn list<'a>(
    view: View<'a>,
    names: (&'static str, &'static str),
    sources: &[Source],
    info: &ResolveInfo<'_>,
) -> Resolved<'a> {
    let levels: Option<Vec<_>> = info
        .texts("accessLevels")
        .map(|names| names.into_iter().filter_map(level).collect());
    let ids = ids(info, "User")?;
    let search = info.text("search").unwrap_or_default().to_lowercase();
    let mut by_user = BTreeMap::new();
    for source in sources {
        for member in view.store.members.children(*source) {
            by_user.entry(member.user_id).or_insert(member);
        }
    }
    let matches = |member: &&Member| {
        let user = view.store.users.get(member.user_id);
        levels
            .as_ref()
            .is_none_or(|levels| levels.contains(&member.access_level))
            && ids.as_ref().is_none_or(|ids| ids.contains(&member.user_id))
            && user.is_some_and(|user| {
                user.name.to_lowercase().contains(&search) || user.username.to_lowercase().contains(&search)
            })
    };
    let members = by_user.into_values().filter(matches);
    stored(
        view,
        names,
        members.map(|member| (member.id, Kind::Member(member))),
        info,
    )
}
