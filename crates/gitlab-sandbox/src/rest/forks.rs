//! `/projects/:id/fork`: copies of projects, made in the background, and what they are copies of.

use axum::{
    Router,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Call,
    project_lists::present as present_list,
    projects::{add_owner, check_place, present},
};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    git::repository::Repository,
    naming::Problems,
    policy::Ability,
    secret,
    settings::VISIBILITIES,
    store::{Import, Namespace, Project, Store, Visibility},
};

/// Settings that a fork takes over, beside all access levels.
const INHERITED: [&str; 5] = [
    "shared_runners_enabled",
    "ci_config_path",
    "suggestion_commit_message",
    "merge_commit_template",
    "squash_commit_template",
];

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects/{id}/fork", post(fork).delete(unlink))
        .route("/projects/{id}/forks", get(list))
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let id = call.project(&store)?.id;
    present_list(&call, &store, store.forks(id).collect())
}

async fn fork(call: Call) -> ApiResult {
    let branch = call
        .params
        .string("branches")?
        .filter(|branch| !branch.is_empty());
    check_branch(&call, branch.as_deref()).await?;
    let id = call.app.write(|store| {
        let (project, personal) = build(&call, store, branch)?;
        let (id, creator) = (project.id, project.creator_id);
        store.add_project(project);
        if personal {
            add_owner(store, id, creator);
        }
        Ok(id)
    })?;
    let shown = present(&call, StatusCode::CREATED, id);
    call.app.import_later(id);
    shown
}

/// 404 unless the branch that alone is to be copied is there.
async fn check_branch(call: &Call, branch: Option<&str>) -> ApiResult<()> {
    let source = {
        let store = call.app.read();
        forkable(call, &store)?.id
    };
    let Some(branch) = branch else { return Ok(()) };
    let repository = Repository {
        dir: call.app.repository_path(source),
    };
    match repository.resolve(&format!("refs/heads/{branch}")).await? {
        Some(_) => Ok(()),
        None => Err(ApiError::not_found("Source Branch")),
    }
}

/// The project of the path, when the caller may fork it.
fn forkable<'a>(call: &Call, store: &'a Store) -> ApiResult<&'a Project> {
    let user = call.authenticate(store)?;
    let project = call.project(store)?;
    match store.can(Some(user), Ability::ForkProject, project) {
        true => Ok(project),
        false => Err(ApiError::message(StatusCode::NOT_FOUND, "404 Not Found")),
    }
}

/// The fork that is asked for, not yet stored, and whether it is a user's own.
fn build(call: &Call, store: &mut Store, branch: Option<String>) -> ApiResult<(Project, bool)> {
    let source = forkable(call, store)?.clone();
    let creator = call.authenticate(store)?;
    let (namespace_id, ceiling) = target(call, store)?;
    let wanted = call.params.one_of("visibility", VISIBILITIES)?;
    let wanted = wanted.as_deref().and_then(Visibility::parse);
    let visibility = source.visibility.min(ceiling);
    let text = |name: &str| {
        call.params
            .string(name)
            .map(|text| text.filter(|text| !text.is_empty()))
    };
    let now = Timestamp::now();
    let project = Project {
        id: 0,
        name: text("name")?.unwrap_or_else(|| source.name.clone()),
        path: text("path")?.unwrap_or_else(|| source.path.clone()),
        namespace_id,
        full_path: String::new(),
        creator_id: creator.id,
        description: text("description")?.or(source.description),
        visibility: wanted.map_or(visibility, |wanted| wanted.min(visibility)),
        topics: Vec::new(),
        forked_from: Some(source.id),
        import: Some(Import::Scheduled(branch)),
        default_branch: None,
        awaits_protection: false,
        readme: None,
        archived: false,
        marked_for_deletion_on: None,
        runners_token: secret::token("GR1348941"),
        created_at: now,
        updated_at: now,
        last_activity_at: now,
        settings: inherited(&source.settings),
    };
    let mut problems = Problems::default();
    check_place(store, &project, &mut problems);
    let problems = problems.sentences();
    if !problems.is_empty() {
        return Err(ApiError::message(StatusCode::CONFLICT, json!(problems)));
    }
    let personal = store.groups.get(namespace_id).is_none();
    let id = store.projects.next_id();
    Ok((Project { id, ..project }, personal))
}

/// The namespace that the fork goes to, and the most open visibility there.
fn target(call: &Call, store: &Store) -> ApiResult<(u64, Visibility)> {
    let user = call.authenticate(store)?;
    let named = ["namespace_id", "namespace_path", "namespace"]
        .iter()
        .find_map(|name| call.params.string(name).transpose())
        .transpose()?
        .filter(|name| !name.is_empty());
    let id = match named {
        Some(name) => call.find_namespace(store, &name)?,
        None => user.namespace_id,
    };
    let allowed = match store.namespace(id) {
        Some(Namespace::Group(group)) if store.can(Some(user), Ability::CreateProjects, group) => {
            Some(group.visibility)
        }
        Some(Namespace::User(owner)) if owner.id == user.id || user.admin => Some(Visibility::Public),
        _ => None,
    };
    allowed
        .map(|ceiling| (id, ceiling))
        .ok_or_else(|| ApiError::not_found("Target Namespace"))
}

fn inherited(settings: &Map<String, Value>) -> Map<String, Value> {
    let kept = settings
        .iter()
        .filter(|(name, _)| name.ends_with("_access_level") || INHERITED.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Ends the relation; the copy stays.
async fn unlink(call: Call) -> ApiResult {
    call.app.write(|store| {
        call.authenticate(store)?;
        let project = call.project(store)?;
        let owner = store.can(call.user(store), Ability::RemoveProject, project);
        call.authorize(owner)?;
        if project.forked_from.is_none() {
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
        let id = project.id;
        store.projects.update(id, |project| project.forked_from = None);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

impl App {
    /// Takes up the copies that a former process did not finish.
    pub fn resume_imports(&self) {
        let waiting: Vec<u64> = {
            let store = self.read();
            let projects = store
                .projects
                .iter()
                .filter(|project| matches!(project.import, Some(Import::Scheduled(_))));
            projects.map(|project| project.id).collect()
        };
        for id in waiting {
            self.import_later(id);
        }
    }

    /// Copies the repository of a fork in the background, as GitLab does.
    fn import_later(&self, id: u64) {
        let app = self.clone();
        tokio::spawn(async move {
            if let Err(error) = app.import(id).await {
                eprintln!("failed to copy the repository of project {id}: {error}");
            }
        });
    }

    async fn import(&self, id: u64) -> ApiResult<()> {
        let found = {
            let store = self.read();
            let fork = store.projects.get(id);
            fork.and_then(|fork| {
                let source = store.projects.get(fork.forked_from?)?;
                Some((fork.import.clone(), source.clone()))
            })
        };
        let Some((Some(Import::Scheduled(only)), source)) = found else {
            return Ok(());
        };
        let head = only.clone().or(source.default_branch);
        if let Some(head) = &head {
            let path = self.ensure_repository(id, head).await?;
            let from = self.repository_path(source.id);
            let from = from.to_string_lossy();
            let branches = match &only {
                Some(branch) => format!("+refs/heads/{branch}:refs/heads/{branch}"),
                None => "+refs/heads/*:refs/heads/*".to_owned(),
            };
            let fetch = ["fetch", "--quiet", &from, &branches, "+refs/tags/*:refs/tags/*"];
            self.git(&path, &fetch).await?;
        }
        self.write(|store| {
            store.projects.update(id, |project| {
                project.import = Some(Import::Finished);
                project.readme = source.readme;
            });
            Ok(())
        })?;
        if let Some(head) = head {
            self.after_first_push(id, &head);
        }
        Ok(())
    }
}
