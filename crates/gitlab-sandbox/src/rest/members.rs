//! Members of groups and projects.

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::{Timestamp, civil::Date};
use serde_json::json;

use super::Call;
use crate::{
    app::App,
    auth::today,
    error::{ApiError, ApiResult},
    membership::{Held, Relations},
    naming::Problems,
    paging::{ok, paginate},
    params::coerce_integer,
    policy::{Ability, OWNER},
    store::{Member, Source, Store, User},
};

pub fn routes() -> Router<App> {
    let mut router = Router::new();
    for kind in ["groups", "projects"] {
        router = router
            .route(&format!("/{kind}/{{id}}/members"), get(list).post(add))
            .route(&format!("/{kind}/{{id}}/members/all"), get(list_all))
            .route(
                &format!("/{kind}/{{id}}/members/all/{{user_id}}"),
                get(show_inherited),
            )
            .route(
                &format!("/{kind}/{{id}}/members/{{user_id}}"),
                get(show).put(update).delete(remove),
            );
    }
    router
}

impl Call {
    /// The group or project that the path names, when the caller may see its members.
    fn member_source(&self, store: &Store) -> ApiResult<Source> {
        self.authenticate(store)?;
        let user = self.user(store);
        if self.path.starts_with("/api/v4/groups/") {
            let group = self.group(store)?;
            self.authorize(store.can(user, Ability::ReadGroupMember, group))?;
            Ok(Source::Group(group.id))
        } else {
            let project = self.project(store)?;
            self.authorize(store.can(user, Ability::ReadProjectMember, project))?;
            Ok(Source::Project(project.id))
        }
    }
}

/// Whether the user may add members: not to an archived group.
fn may_invite(store: &Store, user: Option<&User>, source: Source) -> bool {
    match source {
        Source::Group(id) => {
            let group = store.groups.get(id);
            group.is_some_and(|group| store.can(user, Ability::InviteGroupMembers, group))
        }
        Source::Project(_) => true,
    }
}

/// Whether the user may add and remove members, and whether owners too.
fn rights(store: &Store, user: Option<&User>, source: Source) -> (bool, bool) {
    match source {
        Source::Group(id) => {
            let admin = store
                .groups
                .get(id)
                .is_some_and(|group| store.can(user, Ability::AdminGroupMember, group));
            (admin, admin)
        }
        Source::Project(id) => match store.projects.get(id) {
            Some(project) => (
                store.can(user, Ability::AdminProjectMember, project),
                store.can(user, Ability::RemoveProject, project),
            ),
            None => (false, false),
        },
    }
}

/// The members here and above and those of groups that these are shared with, with the role that they have here.
fn with_inherited(store: &Store, source: Source) -> Vec<Member> {
    let held = match source {
        Source::Group(id) => store
            .groups
            .get(id)
            .map(|group| store.members_of_group(group, Relations::ALL)),
        Source::Project(id) => store
            .projects
            .get(id)
            .map(|project| store.members_of_project(project, Relations::ALL)),
    };
    let shown = |(member, access_level): Held<'_>| Member {
        access_level,
        ..member.clone()
    };
    let mut members: Vec<_> = held.into_iter().flatten().map(shown).collect();
    members.sort_by_key(|member| member.id);
    members
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let source = call.member_source(&store)?;
    present(&call, &store, store.members.children(source).collect())
}

async fn list_all(call: Call) -> ApiResult {
    let store = call.app.read();
    let source = call.member_source(&store)?;
    let members = with_inherited(&store, source);
    present(&call, &store, members.iter().collect())
}

fn present(call: &Call, store: &Store, members: Vec<&Member>) -> ApiResult {
    let query = call.params.string("query")?.map(|text| text.to_lowercase());
    let only = call.params.ids("user_ids")?;
    let skipped = call.params.ids("skip_users")?;
    let is_found = |member: &Member| {
        let user = store.users.get(member.user_id);
        query.as_deref().is_none_or(|text| {
            user.is_some_and(|user| {
                [&user.name, &user.username, &user.email]
                    .iter()
                    .any(|name| name.to_lowercase().contains(text))
            })
        })
    };
    let members = members
        .into_iter()
        .filter(|member| is_found(member))
        .filter(|member| only.is_empty() || only.contains(&member.user_id))
        .filter(|member| !skipped.contains(&member.user_id))
        .collect();
    let view = call.view(store);
    paginate(call, members, |member: &Member| view.member(member))
}

fn user_id(call: &Call) -> ApiResult<u64> {
    call.params.id("user_id").map(|id| id.unwrap_or(0))
}

async fn show(call: Call) -> ApiResult {
    let user_id = user_id(&call)?;
    let store = call.app.read();
    let source = call.member_source(&store)?;
    let member = store
        .members
        .find(&(source, user_id))
        .ok_or_else(ApiError::record_not_found)?;
    ok(StatusCode::OK, call.view(&store).member(member))
}

async fn show_inherited(call: Call) -> ApiResult {
    let user_id = user_id(&call)?;
    let store = call.app.read();
    let source = call.member_source(&store)?;
    let members = with_inherited(&store, source);
    let member = members
        .into_iter()
        .find(|member| member.user_id == user_id)
        .ok_or_else(ApiError::record_not_found)?;
    ok(StatusCode::OK, call.view(&store).member(&member))
}

async fn add(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    call.params.require(&["access_level"])?;
    let level = call.params.integer("access_level")?.unwrap_or(0);
    let expires_at = call.params.date("expires_at")?;
    let key = match (call.params.has("user_id"), call.params.has("username")) {
        (true, true) => return Err(ApiError::parameter("user_id, username are mutually exclusive")),
        (false, false) => {
            let problem = "user_id, username are missing, at least one parameter must be provided";
            return Err(ApiError::parameter(problem));
        }
        (true, false) => "user_id",
        (false, true) => "username",
    };
    call.app.write(|store| {
        let source = call.member_source(store)?;
        let names = call.params.strings(key)?.unwrap_or_default();
        let many = call
            .params
            .string(key)
            .ok()
            .flatten()
            .is_some_and(|text| text.contains(','));
        let user = call.authenticate(store)?;
        let (creator, may) = (user.id, rights(store, Some(user), source));
        call.authorize(may_invite(store, Some(user), source))?;
        let mut added = None;
        for name in names {
            let user = match key {
                "user_id" => {
                    coerce_integer(key, &json!(name))?.and_then(|id| store.users.get(id.unsigned_abs()))
                }
                _ => store.user_by_username(&name),
            };
            let user_id = user
                .map(|user| user.id)
                .ok_or_else(|| ApiError::not_found("User"))?;
            if store.members.find(&(source, user_id)).is_some() {
                return Err(ApiError::message(StatusCode::CONFLICT, "Member already exists"));
            }
            call.authorize(may.0 && (may.1 || level != i64::from(OWNER)))?;
            let access_level = check(store, source, user_id, level, expires_at)?;
            let id = store.members.next_id();
            store.members.insert(Member {
                id,
                source,
                user_id,
                access_level,
                expires_at,
                created_by: Some(creator),
                created_at: Timestamp::now(),
            });
            added = Some(id);
        }
        let member = added
            .and_then(|id| store.members.get(id))
            .ok_or_else(|| ApiError::not_found("User"))?;
        let shown = if many {
            json!({ "status": "success" })
        } else {
            call.view(store).member(member)
        };
        ok(StatusCode::CREATED, shown)
    })
}

/// The role, when it exists, is not below what the user inherits, and does not end in the past.
fn check(store: &Store, source: Source, user_id: u64, level: i64, expires_at: Option<Date>) -> ApiResult<u8> {
    const LEVELS: [u8; 6] = [10, 15, 20, 30, 40, 50];
    let mut problems = Problems::default();
    let known = u8::try_from(level).ok().filter(|level| LEVELS.contains(level));
    if known.is_none() {
        problems.add("access_level", "is not included in the list");
    }
    if expires_at.is_some_and(|day| day < today()) {
        problems.add("expires_at", "cannot be a date in the past");
    }
    let is_bot = store
        .users
        .get(user_id)
        .is_some_and(|user| user.bot_of.is_some_and(|home| home != source));
    if is_bot {
        problems.add(
            "user_id",
            "project bots cannot be added to other groups / projects",
        );
    }
    let above = match source {
        Source::Group(id) => store.groups.get(id).and_then(|group| group.parent_id),
        Source::Project(id) => store.projects.get(id).map(|project| project.namespace_id),
    };
    let ancestors = above.into_iter().flat_map(|id| store.ancestry(id));
    let memberships = ancestors.filter_map(|group| {
        let member = store.members.find(&(Source::Group(group.id), user_id))?;
        Some((member.access_level, group))
    });
    let inherited = memberships
        .max_by_key(|(role, _)| *role)
        .filter(|(role, _)| i64::from(*role) > level);
    if let Some((role, group)) = inherited {
        let (role, group) = (role_name(role), &group.name);
        let problem =
            format!("should be greater than or equal to {role} inherited membership from group {group}");
        problems.add("access_level", problem);
    }
    problems.check()?;
    Ok(known.unwrap_or(0))
}

fn role_name(level: u8) -> &'static str {
    match level {
        10 => "Guest",
        15 => "Planner",
        20 => "Reporter",
        30 => "Developer",
        40 => "Maintainer",
        _ => "Owner",
    }
}

async fn update(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    call.params.require(&["access_level"])?;
    let level = call.params.integer("access_level")?.unwrap_or(0);
    let expires_at = call.params.date("expires_at")?;
    let user_id = user_id(&call)?;
    call.app.write(|store| {
        let source = call.member_source(store)?;
        let member = store
            .members
            .find(&(source, user_id))
            .ok_or_else(ApiError::record_not_found)?;
        let (id, current) = (member.id, member.access_level);
        let fixed = is_fixed(store, member);
        let may = rights(store, call.user(store), source);
        let touches_owner = current == OWNER || level == i64::from(OWNER);
        call.authorize(may.0 && (may.1 || !touches_owner) && !fixed)?;
        let access_level = check(store, source, user_id, level, expires_at)?;
        store.members.update(id, |member| {
            member.access_level = access_level;
            if call.params.has("expires_at") {
                member.expires_at = expires_at;
            }
        });
        let member = store.members.get(id).ok_or_else(ApiError::record_not_found)?;
        ok(StatusCode::OK, call.view(store).member(member))
    })
}

async fn remove(call: Call) -> ApiResult<Response> {
    let user_id = user_id(&call)?;
    let keep_below = call.params.flag("skip_subresources", false)?;
    call.app.write(|store| {
        let source = call.member_source(store)?;
        let member = store
            .members
            .find(&(source, user_id))
            .ok_or_else(ApiError::record_not_found)?;
        let (id, current) = (member.id, member.access_level);
        let fixed = is_fixed(store, member);
        let may = rights(store, call.user(store), source);
        let own = call.identity.user == Some(user_id);
        let allowed = own || (may.0 && (may.1 || current != OWNER));
        call.authorize(allowed && !fixed)?;
        store.members.remove(id);
        if let (Source::Group(group), false) = (source, keep_below) {
            remove_below(store, group, user_id);
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

/// Whether nobody may change or remove the membership: of a bot, of a group's last owner, or of the user whose own
/// project it is.
fn is_fixed(store: &Store, member: &Member) -> bool {
    let is_bot = |id: u64| store.users.get(id).is_some_and(|user| user.bot_of.is_some());
    if is_bot(member.user_id) {
        return true;
    }
    match member.source {
        Source::Project(id) => {
            let namespace = store.projects.get(id).map(|project| project.namespace_id);
            store.users.get(member.user_id).map(|user| user.namespace_id) == namespace
        }
        // Owners of the groups above count for a group that has any.
        Source::Group(id) => {
            let mut others = store
                .ancestry(id)
                .flat_map(|group| store.members.children(Source::Group(group.id)))
                .filter(|other| other.id != member.id && other.access_level == OWNER);
            member.access_level == OWNER && others.all(|other| is_bot(other.user_id))
        }
    }
}

fn remove_below(store: &mut Store, group_id: u64, user_id: u64) {
    let Some(group) = store.groups.get(group_id) else {
        return;
    };
    let mut sources = Vec::new();
    for group in store.self_and_descendants(group) {
        sources.push(Source::Group(group.id));
        sources.extend(
            store
                .projects
                .children(group.id)
                .map(|project| Source::Project(project.id)),
        );
    }
    for source in sources {
        if let Some(id) = store.members.find(&(source, user_id)).map(|member| member.id) {
            store.members.remove(id);
        }
    }
}
