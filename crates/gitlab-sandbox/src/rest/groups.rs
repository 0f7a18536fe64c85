//! `/groups`: one group, from creation to deletion. Lists are in `group_lists`.

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Call, project_settings::is_restricted};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    naming::{self, Problems},
    paging::ok,
    params::Params,
    policy::{Ability, OWNER},
    secret,
    settings::{self, At, GROUP, VISIBILITIES},
    store::{Group, Member, Sequence, Source, Store, Visibility},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/groups", post(create))
        .route("/groups/{id}", get(show).put(update))
}

async fn show(call: Call) -> ApiResult {
    let with_projects = call.params.flag("with_projects", true)?;
    let store = call.app.read();
    let group = call.group(&store)?;
    ok(
        StatusCode::OK,
        call.view(&store).group_detail(group, with_projects),
    )
}

/// The group as creations and changes answer with it.
pub fn present(call: &Call, status: StatusCode, id: u64, with_projects: bool) -> ApiResult {
    let store = call.app.read();
    let group = store.groups.get(id).ok_or_else(|| ApiError::not_found("Group"))?;
    ok(status, call.view(&store).group_detail(group, with_projects))
}

/// The settings in a request, older names translated.
fn settings_of(params: &Params, at: At) -> ApiResult<Map<String, Value>> {
    let mut params = params.clone();
    if let Some(disabled) = params.boolean("emails_disabled")? {
        params.set("emails_enabled", !disabled);
    }
    let mut settings = settings::parse(GROUP, &params, at)?;
    settings.retain(|name, value| !value.is_null() || settings::value(GROUP, &Map::new(), name).is_null());
    if let Some(level) = settings.get("default_branch_protection").and_then(Value::as_i64)
        && !settings.contains_key("default_branch_protection_defaults")
    {
        settings.insert(
            "default_branch_protection_defaults".to_owned(),
            settings::protection_of_level(level),
        );
    }
    Ok(settings)
}

async fn create(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    call.params.require(&["name", "path"])?;
    let settings = settings_of(&call.params, At::Create)?;
    let visibility = call
        .params
        .one_of("visibility", VISIBILITIES)?
        .as_deref()
        .and_then(Visibility::parse);
    let id = call.app.write(|store| {
        let user_id = call.authenticate(store)?.id;
        let parent_id = authorize_creation(&call, store)?;
        let by_default = store.instance_setting("default_group_visibility");
        let by_default = by_default
            .as_str()
            .and_then(Visibility::parse)
            .unwrap_or(Visibility::Private);
        let now = Timestamp::now();
        let mut group = Group {
            id: 0,
            name: call.params.string("name")?.unwrap_or_default(),
            path: call.params.string("path")?.unwrap_or_default(),
            parent_id,
            full_path: String::new(),
            description: call.params.string("description")?.unwrap_or_default(),
            visibility: visibility.unwrap_or(by_default),
            archived: false,
            marked_for_deletion_on: None,
            runners_token: secret::token("GR1348941"),
            created_at: now,
            updated_at: now,
            settings,
        };
        if let Some(parent) = parent_id.and_then(|id| store.groups.get(id))
            && let Some(runners) = parent.settings.get("shared_runners_setting")
        {
            group
                .settings
                .insert("shared_runners_setting".to_owned(), runners.clone());
        }
        let mut problems = Problems::default();
        check(&call, store, &group, &mut problems);
        problems.check_as_text("Failed to save group")?;
        group.id = store.next(Sequence::Namespaces);
        let id = group.id;
        store.add_group(group);
        add_owner(store, id, user_id);
        Ok(id)
    })?;
    present(&call, StatusCode::CREATED, id, false)
}

/// The parent to create a group in, when the caller may.
fn authorize_creation(call: &Call, store: &Store) -> ApiResult<Option<u64>> {
    let user = call.user(store);
    match call.params.get("parent_id") {
        Some(_) => {
            let id = call.params.id("parent_id")?.unwrap_or(0);
            let parent = call.find_group(store, &id.to_string())?;
            call.authorize(store.can(user, Ability::CreateSubgroup, parent))?;
            Ok(Some(id))
        }
        None => {
            call.authorize(user.is_some_and(|user| user.admin || user.can_create_group))?;
            Ok(None)
        }
    }
}

fn add_owner(store: &mut Store, group_id: u64, user_id: u64) {
    let id = store.members.next_id();
    store.members.insert(Member {
        id,
        source: Source::Group(group_id),
        user_id,
        access_level: OWNER,
        expires_at: None,
        created_by: None,
        created_at: Timestamp::now(),
    });
}

/// What the model refuses of a group as it would be stored.
fn check(call: &Call, store: &Store, group: &Group, problems: &mut Problems) {
    naming::check_group_name(&group.name, problems);
    naming::check_group_path(&group.path, group.parent_id.is_none(), problems);
    let siblings = || {
        store
            .groups
            .children(group.parent_id)
            .filter(|other| other.id != group.id)
    };
    if group.parent_id.is_some() && siblings().any(|other| other.name == group.name) {
        problems.add("name", "has already been taken");
    }
    let parent = group.parent_id.and_then(|id| store.groups.get(id));
    let full_path = parent.map_or_else(
        || group.path.clone(),
        |parent| format!("{}/{}", parent.full_path, group.path),
    );
    if !group.full_path.eq_ignore_ascii_case(&full_path) && store.is_taken(&full_path) {
        problems.add("path", "has already been taken");
    }
    if group.description.chars().count() > 500 {
        problems.add("description", "is too long (maximum is 500 characters)");
    }
    if parent.is_some() && store.ancestry(group.parent_id.unwrap_or(0)).count() >= 20 {
        problems.add("parent_id", "has too deep level of nesting");
    }
    check_visibility(call, store, group, problems);
}

fn check_visibility(call: &Call, store: &Store, group: &Group, problems: &mut Problems) {
    let level = group.visibility.as_str();
    let parent = group.parent_id.and_then(|id| store.groups.get(id));
    if let Some(parent) = parent.filter(|parent| group.visibility > parent.visibility) {
        let ceiling = parent.visibility.as_str();
        let problem = format!("{level} is not allowed since the parent group has a {ceiling} visibility.");
        problems.add("visibility_level", problem);
    }
    let live = |project: &&crate::store::Project| project.marked_for_deletion_on.is_none();
    if store
        .projects
        .children(group.id)
        .filter(live)
        .any(|project| project.visibility > group.visibility)
    {
        let problem =
            format!("{level} is not allowed since this group contains projects with higher visibility.");
        problems.add("visibility_level", problem);
    }
    if store
        .groups
        .children(Some(group.id))
        .any(|child| child.visibility > group.visibility)
    {
        let problem = format!("{level} is not allowed since there are sub-groups with higher visibility.");
        problems.add("visibility_level", problem);
    }
    if is_restricted(call, store, group.visibility) {
        problems.add(
            "visibility_level",
            format!("{level} has been restricted by your GitLab administrator"),
        );
    }
}

async fn update(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    let settings = settings_of(&call.params, At::Update)?;
    let visibility = call
        .params
        .one_of("visibility", VISIBILITIES)?
        .as_deref()
        .and_then(Visibility::parse);
    let id = call.app.write(|store| {
        let mut group = authorized(&call, store, Ability::AdminGroup)?.clone();
        let former = group.path.clone();
        group.name = call.params.string("name")?.unwrap_or(group.name);
        group.path = call.params.string("path")?.unwrap_or(group.path);
        if call.params.has("description") {
            group.description = call.params.string("description")?.unwrap_or_default();
        }
        group.visibility = visibility.unwrap_or(group.visibility);
        let runners = settings.get("shared_runners_setting").cloned();
        group.settings.extend(settings);
        if !call.user(store).is_some_and(|user| user.admin) {
            group.settings.remove("max_artifacts_size");
        }
        let mut problems = Problems::default();
        check(&call, store, &group, &mut problems);
        check_runners(store, &group, &mut problems);
        problems.check()?;
        group.updated_at = Timestamp::now();
        let (id, parent_id, path) = (
            group.id,
            group.parent_id,
            std::mem::replace(&mut group.path, former.clone()),
        );
        store.groups.insert(group);
        if path != former {
            store.move_group(id, parent_id, &path);
        }
        if let Some(runners) = runners.filter(|runners| runners != "enabled") {
            disable_runners(store, id, &runners);
        }
        Ok(id)
    })?;
    present(&call, StatusCode::OK, id, true)
}

/// The group that `:id` names, when the caller may do this to it.
pub fn authorized<'a>(call: &Call, store: &'a Store, ability: Ability) -> ApiResult<&'a Group> {
    call.authenticate(store)?;
    let group = call.group(store)?;
    call.authorize(store.can(call.user(store), ability, group))?;
    Ok(group)
}

fn check_runners(store: &Store, group: &Group, problems: &mut Problems) {
    let setting = |group: &Group| settings::value(GROUP, &group.settings, "shared_runners_setting");
    let parent = group.parent_id.and_then(|id| store.groups.get(id));
    let forbidden = parent.is_some_and(|parent| setting(parent) == "disabled_and_unoverridable");
    if forbidden && setting(group) == "enabled" {
        problems.add(
            "update_shared_runners",
            "Validation failed: Shared runners enabled cannot be enabled because parent group has shared Runners disabled",
        );
    }
}

/// Turns instance runners off in everything below a group.
fn disable_runners(store: &mut Store, id: u64, setting: &Value) {
    let Some(group) = store.groups.get(id) else { return };
    let groups: Vec<u64> = store
        .self_and_descendants(group)
        .iter()
        .map(|group| group.id)
        .collect();
    for group_id in groups {
        store.groups.update(group_id, |group| {
            group
                .settings
                .insert("shared_runners_setting".to_owned(), setting.clone())
        });
        let projects: Vec<u64> = store
            .projects
            .children(group_id)
            .map(|project| project.id)
            .collect();
        for project in projects {
            store.projects.update(project, |project| {
                project
                    .settings
                    .insert("shared_runners_enabled".to_owned(), json!(false))
            });
        }
    }
}
