//! `/projects`: one project, from creation to deletion. Lists are in `project_lists`.

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Call,
    project_settings::{Wanted, check_visibility, is_restricted, refuse_imports},
};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    naming::{self, Problems},
    paging::ok,
    policy::{Ability, OWNER},
    readme, secret,
    settings::{self, At, PROJECT},
    store::{Member, Namespace, Project, Source, Store, User, Visibility},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects", post(create))
        .route("/projects/user/{user_id}", post(create_for_user))
        .route("/projects/{id}", get(show).put(update))
        .route("/projects/{id}/push_rule", get(push_rule))
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    let project = call.project(&store)?;
    let view = call.view(&store);
    let mut shown = match view.user {
        Some(_) => view.project_with_access(project),
        None => view.project_details(project),
    };
    if call.params.flag("statistics", false)? {
        shown = view.with_statistics(project, shown);
    }
    if call.params.flag("license", false)? {
        shown["license"] = Value::Null;
        shown["license_url"] = Value::Null;
    }
    ok(StatusCode::OK, shown)
}

async fn create(call: Call) -> ApiResult {
    let owner = call.authenticate(&call.app.read())?.id;
    if !call.params.has("name") && !call.params.has("path") {
        return Err(ApiError::parameter(
            "name, path are missing, at least one parameter must be provided",
        ));
    }
    create_owned_by(call, owner).await
}

async fn create_for_user(call: Call) -> ApiResult {
    call.authenticate_admin(&call.app.read())?;
    call.params.require(&["name"])?;
    let id = call.params.id("user_id")?.unwrap_or(0);
    let owner = call
        .app
        .read()
        .users
        .get(id)
        .map(|user| user.id)
        .ok_or_else(|| ApiError::not_found("User"))?;
    create_owned_by(call, owner).await
}

async fn create_owned_by(call: Call, owner: u64) -> ApiResult {
    refuse_imports(&call)?;
    let wanted = Wanted::parse(&call.app, &call.params, At::Create)?;
    let with_readme = call.params.flag("initialize_with_readme", false)?;
    let (project, creator, branch) = call.app.write(|store| {
        let creator = store
            .users
            .get(owner)
            .cloned()
            .ok_or_else(ApiError::unauthorized)?;
        let project = build(&call, store, &creator, &wanted)?;
        let branch = wanted
            .default_branch
            .clone()
            .unwrap_or_else(|| store.initial_branch(project.namespace_id));
        let id = project.id;
        let personal = store.groups.get(project.namespace_id).is_none();
        store.add_project(project);
        if personal {
            add_owner(store, id, creator.id);
        }
        let project = store
            .projects
            .get(id)
            .cloned()
            .ok_or_else(|| ApiError::not_found("Project"))?;
        Ok((project, creator, branch))
    })?;
    if with_readme {
        readme::commit(&call.app, &project, &creator, &branch).await?;
        call.app.write(|store| {
            store.projects.update(project.id, |project| {
                project.readme = Some("README.md".to_owned())
            });
            Ok(())
        })?;
        call.app.after_first_push(project.id, &branch);
    } else if wanted.default_branch.is_some() {
        call.app.ensure_repository(project.id, &branch).await?;
    }
    present(&call, StatusCode::CREATED, project.id)
}

/// The project that a creation asks for, checked and not yet stored.
fn build(call: &Call, store: &mut Store, creator: &User, wanted: &Wanted) -> ApiResult<Project> {
    let namespace_id = call.params.id("namespace_id")?.unwrap_or(creator.namespace_id);
    let ceiling = check_namespace(store, creator, namespace_id)?;
    let by_default = store.instance_setting("default_project_visibility");
    let by_default = by_default
        .as_str()
        .and_then(Visibility::parse)
        .unwrap_or(Visibility::Private);
    // More than the namespace allows is lowered to what it has, without a word.
    let visibility = wanted.visibility.unwrap_or(by_default).min(ceiling);
    let path = match (&wanted.path, &wanted.name) {
        (Some(path), _) if !path.is_empty() => path.clone(),
        (_, name) => naming::path_of_name(name.as_deref().unwrap_or_default()),
    };
    let name = wanted
        .name
        .clone()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| path.clone());
    let settings = initial_settings(store, namespace_id, visibility, &wanted.settings);
    let now = Timestamp::now();
    let project = Project {
        id: 0,
        name,
        path,
        namespace_id,
        full_path: String::new(),
        creator_id: creator.id,
        description: wanted.description.clone().flatten(),
        visibility,
        topics: wanted.topics.clone().unwrap_or_default(),
        forked_from: None,
        import: None,
        default_branch: None,
        awaits_protection: false,
        readme: None,
        archived: false,
        marked_for_deletion_on: None,
        runners_token: secret::token("GR1348941"),
        created_at: now,
        updated_at: now,
        last_activity_at: now,
        settings,
    };
    let mut problems = Problems::default();
    wanted.check(store, namespace_id, &project.settings, &mut problems);
    if is_restricted(call, store, visibility) {
        let level = visibility.as_str();
        problems.add(
            "visibility_level",
            format!("{level} has been restricted by your GitLab administrator"),
        );
    }
    check_place(store, &project, &mut problems);
    problems.check()?;
    Ok(Project {
        id: store.projects.next_id(),
        ..project
    })
}

/// The most open visibility that the namespace allows, when the user may create projects in it.
fn check_namespace(store: &Store, creator: &User, namespace_id: u64) -> ApiResult<Visibility> {
    let invalid = || {
        let mut problems = Problems::default();
        problems.add("namespace", "is not valid");
        problems.check().expect_err("there is a problem")
    };
    match store.namespace(namespace_id).ok_or_else(invalid)? {
        Namespace::Group(group) if store.can(Some(creator), Ability::CreateProjects, group) => {
            Ok(group.visibility)
        }
        Namespace::User(user) if user.id == creator.id => {
            let limit = user.projects_limit;
            if store.projects.children(namespace_id).count() as u64 >= limit {
                let message = match limit {
                    0 => "You cannot create projects in your personal namespace. Contact your GitLab administrator."
                        .to_owned(),
                    limit => format!(
                        "You've reached your limit of {limit} projects created. Contact your GitLab administrator."
                    ),
                };
                return Err(ApiError::raw(
                    StatusCode::FORBIDDEN,
                    json!({ "error": [message] }),
                ));
            }
            Ok(Visibility::Public)
        }
        _ => Err(invalid()),
    }
}

fn initial_settings(
    store: &Store,
    namespace_id: u64,
    visibility: Visibility,
    wanted: &Map<String, Value>,
) -> Map<String, Value> {
    let mut settings = wanted.clone();
    let mut default = |name: &str, value: Value| {
        settings.entry(name).or_insert(value);
    };
    if visibility == Visibility::Public {
        default("pages_access_level", json!("enabled"));
    }
    let of_group = store
        .groups
        .get(namespace_id)
        .and_then(|group| group.settings.get("shared_runners_setting"));
    let by_group = of_group
        .and_then(Value::as_str)
        .is_none_or(|setting| setting == "enabled");
    let by_instance = store.instance_setting("shared_runners_enabled") != json!(false);
    if !(by_group && by_instance) {
        default("shared_runners_enabled", json!(false));
    }
    settings
}

/// Refuses a name or path that is not allowed, or taken in the project's namespace.
pub fn check_place(store: &Store, project: &Project, problems: &mut Problems) {
    naming::check_project_name(&project.name, problems);
    naming::check_project_path(&project.path, problems);
    let siblings = || {
        store
            .projects
            .children(project.namespace_id)
            .filter(|other| other.id != project.id)
    };
    if siblings().any(|other| other.name == project.name) {
        problems.add("name", "has already been taken");
        problems.add("project_namespace.name", "has already been taken");
    }
    let full_path = format!("{}/{}", store.namespace_path(project.namespace_id), project.path);
    let own = project.full_path.eq_ignore_ascii_case(&full_path);
    if !own && store.is_taken(&full_path) {
        problems.add("path", "has already been taken");
    }
}

/// Makes the user an owner by a membership of their own.
pub fn add_owner(store: &mut Store, project_id: u64, user_id: u64) {
    let id = store.members.next_id();
    store.members.insert(Member {
        id,
        source: Source::Project(project_id),
        user_id,
        access_level: OWNER,
        expires_at: None,
        created_by: None,
        created_at: Timestamp::now(),
    });
}

/// The project as creations and changes answer with it.
pub fn present(call: &Call, status: StatusCode, id: u64) -> ApiResult {
    let store = call.app.read();
    let project = store
        .projects
        .get(id)
        .ok_or_else(|| ApiError::not_found("Project"))?;
    ok(status, call.view(&store).project(project))
}

async fn update(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    let mut wanted = Wanted::parse(&call.app, &call.params, At::Update)?;
    if !Wanted::is_update(&call.app, &call.params) {
        return Err(ApiError::parameter(at_least_one()));
    }
    let project = authorize_update(&call, &mut wanted)?;
    if let Some(branch) = &wanted.default_branch {
        change_head(&call, &project, branch).await?;
    }
    call.app
        .write(|store| apply_update(&call, store, project.id, &wanted))?;
    present(&call, StatusCode::OK, project.id)
}

/// What Grape says to an update that carries nothing it knows.
fn at_least_one() -> String {
    let mut names: Vec<&str> = PROJECT
        .iter()
        .filter(|row| row.at != At::Create)
        .map(|row| row.name)
        .collect();
    names.extend([
        "default_branch",
        "description",
        "name",
        "path",
        "tag_list",
        "topics",
        "visibility",
    ]);
    names.sort_unstable();
    format!(
        "{} are missing, at least one parameter must be provided",
        names.join(", ")
    )
}

/// The project, when the caller may change it so; what they may not change is dropped or refused, as in GitLab.
fn authorize_update(call: &Call, wanted: &mut Wanted) -> ApiResult<Project> {
    let store = call.app.read();
    let project = call.project(&store)?;
    let user = call.user(&store);
    let may = |ability| store.can(user, ability, project);
    call.authorize(may(Ability::AdminProject))?;
    if wanted.name.is_some() {
        call.authorize(may(Ability::RenameProject))?;
    }
    if wanted.visibility.is_some() {
        call.authorize(may(Ability::ChangeVisibilityLevel))?;
    }
    let owner = may(Ability::ChangeVisibilityLevel);
    if wanted.settings.contains_key("ci_delete_pipelines_in_seconds") {
        call.authorize(owner)?;
    }
    if !owner {
        wanted.settings.remove("emails_enabled");
    }
    if !user.is_some_and(|user| user.admin) {
        wanted.settings.remove("max_artifacts_size");
        wanted.settings.remove("repository_storage");
    }
    let role = wanted.settings.get("ci_pipeline_variables_minimum_override_role");
    if role == Some(&json!("owner")) && !owner {
        return Err(ApiError::message(
            StatusCode::BAD_REQUEST,
            "Changing the ci_pipeline_variables_minimum_override_role to the owner role is not allowed",
        ));
    }
    Ok(project.clone())
}

/// Points HEAD at another branch, which must exist.
async fn change_head(call: &Call, project: &Project, branch: &str) -> ApiResult<()> {
    let current = project.default_branch.clone();
    let current = current.unwrap_or_else(|| call.app.read().initial_branch(project.namespace_id));
    if current == branch {
        return Ok(());
    }
    let path = call.app.ensure_repository(project.id, &current).await?;
    let reference = format!("refs/heads/{branch}");
    if call
        .app
        .git(&path, &["rev-parse", "--verify", "--quiet", &reference])
        .await
        .is_err()
    {
        let mut problems = Problems::default();
        problems.add(
            "base",
            format!("Could not change HEAD: branch '{branch}' does not exist"),
        );
        return problems.check();
    }
    call.app.git(&path, &["symbolic-ref", "HEAD", &reference]).await?;
    call.app.write(|store| {
        store.projects.update(project.id, |project| {
            project.default_branch = Some(branch.to_owned())
        });
        Ok(())
    })
}

fn apply_update(call: &Call, store: &mut Store, id: u64, wanted: &Wanted) -> ApiResult<()> {
    let mut project = store
        .projects
        .get(id)
        .cloned()
        .ok_or_else(|| ApiError::not_found("Project"))?;
    let moves = wanted.path.as_ref().is_some_and(|path| *path != project.path);
    let mut problems = Problems::default();
    if let Some(visibility) = wanted.visibility
        && visibility != project.visibility
    {
        check_visibility(call, store, &project, visibility, &mut problems);
        project.visibility = visibility;
    }
    if let Some(name) = &wanted.name {
        project.name.clone_from(name);
    }
    if let Some(path) = &wanted.path {
        project.path.clone_from(path);
    }
    if let Some(description) = &wanted.description {
        project.description.clone_from(description);
    }
    if let Some(topics) = &wanted.topics {
        project.topics.clone_from(topics);
    }
    project.settings.extend(wanted.settings.clone());
    if let Some(Value::Object(policy)) = wanted.settings.get("container_expiration_policy_attributes") {
        let mut merged = settings::value(
            PROJECT,
            &store
                .projects
                .get(id)
                .map(|row| row.settings.clone())
                .unwrap_or_default(),
            "container_expiration_policy_attributes",
        );
        if let Value::Object(members) = &mut merged {
            members.extend(policy.clone());
            project
                .settings
                .insert("container_expiration_policy_attributes".to_owned(), merged);
        }
    }
    wanted.check(store, project.namespace_id, &project.settings, &mut problems);
    check_place(store, &project, &mut problems);
    problems.check()?;
    project.updated_at = Timestamp::now();
    let (namespace_id, path) = (project.namespace_id, project.path.clone());
    if let Some(row) = store.projects.get(id) {
        project.path.clone_from(&row.path);
    }
    store.projects.insert(project);
    if moves {
        store.move_project(id, namespace_id, &path);
    }
    Ok(())
}

/// Push rules are EE's, where none reads as null; CE has no such route. Clients ask on both.
async fn push_rule(call: Call) -> ApiResult {
    if !call.app.is_ee() {
        return Err(ApiError::error(StatusCode::NOT_FOUND, "404 Not Found"));
    }
    call.project(&call.app.read())?;
    ok(StatusCode::OK, Value::Null)
}
