//! Members and their roles.

use apollo_compiler::resolvers::{ResolveInfo, ResolvedValue};

use super::RESOURCE_NOT_AVAILABLE;
use super::connection::{Connection, NEWEST_FIRST, Place};
use super::object::{Arguments, Kind, Resolved, failed, gid, ids, time};
use crate::{
    entities::View,
    membership::{Held, Relations},
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

/// A field of a member of a project or a group, who has that role where one asks.
pub fn member<'a>(
    view: View<'a>,
    member: &'a Member,
    role: u8,
    info: &ResolveInfo<'_>,
) -> Option<ResolvedValue<'a>> {
    let user = |id: u64| view.nullable(view.store.users.get(id).map(Kind::User));
    Some(match (info.field_name(), member.source) {
        ("id", _) => gid(type_name(member), member.id),
        ("accessLevel", _) => view.object(Kind::AccessLevel(role)),
        ("createdAt" | "updatedAt", _) => time(member.created_at),
        ("createdBy", _) => member.created_by.map_or_else(ResolvedValue::null, user),
        ("expiresAt", _) => ResolvedValue::leaf(member.expires_at.map(|day| day.to_string())),
        ("user", _) => user(member.user_id),
        ("group", Source::Group(id)) => view.readable_group(view.store.groups.get(id)),
        ("project", Source::Project(id)) => view.nullable(view.store.projects.get(id).map(Kind::Project)),
        _ => return None,
    })
}

/// `projectMembers`, by default with those of its groups.
pub fn of_project<'a>(view: View<'a>, project: &'a Project, info: &ResolveInfo<'_>) -> Resolved<'a> {
    if !view.can(Ability::ReadProjectMember, project) {
        return Err(failed(RESOURCE_NOT_AVAILABLE));
    }
    let relations = info.texts("relations").unwrap_or_default();
    let held = if relations == ["DIRECT"] {
        let members = view.store.members.children(Source::Project(project.id));
        members.map(|member| (member, member.access_level)).collect()
    } else {
        view.store
            .members_of_project(project, asked(&relations, "SHARED_INTO_ANCESTORS"))
    };
    let names = ("MemberInterfaceConnection", "MemberInterfaceEdge");
    list(view, names, held, info)
}

/// `groupMembers`, by default with those of the groups above.
pub fn of_group<'a>(view: View<'a>, group: &'a Group, info: &ResolveInfo<'_>) -> Resolved<'a> {
    if !view.can(Ability::ReadGroupMember, group) {
        return Err(failed(RESOURCE_NOT_AVAILABLE));
    }
    let relations = asked(&info.texts("relations").unwrap_or_default(), "SHARED_FROM_GROUPS");
    let held = view.store.members_of_group(group, relations);
    list(view, ("GroupMemberConnection", "GroupMemberEdge"), held, info)
}

/// The argument `relations`; groups and projects have a name each for what comes with shared groups.
fn asked(relations: &[&str], shared: &str) -> Relations {
    let is_asked = |relation: &str| relations.contains(&relation);
    Relations {
        direct: is_asked("DIRECT"),
        inherited: is_asked("INHERITED"),
        descendants: is_asked("DESCENDANTS"),
        shared: is_asked(shared),
        invited: is_asked("INVITED_GROUPS"),
    }
}

fn list<'a>(
    view: View<'a>,
    (name, edge): (&'static str, &'static str),
    held: Vec<Held<'a>>,
    info: &ResolveInfo<'_>,
) -> Resolved<'a> {
    let levels: Option<Vec<_>> = info
        .texts("accessLevels")
        .map(|names| names.into_iter().filter_map(level).collect());
    let ids = ids(info, "User")?;
    let search = info.text("search").unwrap_or_default().to_lowercase();
    let matches = |(member, role): &Held<'_>| {
        let user = view.store.users.get(member.user_id);
        levels.as_ref().is_none_or(|levels| levels.contains(role))
            && ids.as_ref().is_none_or(|ids| ids.contains(&member.user_id))
            && user.is_some_and(|user| {
                user.name.to_lowercase().contains(&search) || user.username.to_lowercase().contains(&search)
            })
    };
    let place = |id: u64| Place {
        key: String::new(),
        id,
    };
    let members = held.into_iter().filter(matches);
    let items = members
        .map(|(member, role)| (place(member.id), Kind::Member(member, role)))
        .collect();
    Ok(Connection::page((name, edge), NEWEST_FIRST, items, info)?.into_value(view))
}
