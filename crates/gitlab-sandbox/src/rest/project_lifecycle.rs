//! Archiving, deleting, restoring and transferring projects.

use axum::{
    Router,
    http::StatusCode,
    response::Response,
    routing::{delete as on_delete, post, put},
};
use jiff::Timestamp;
use serde_json::json;

use super::{Call, projects::present};
use crate::{
    app::App,
    auth::today,
    error::{ApiError, ApiResult},
    naming::Problems,
    paging::ok,
    policy::Ability,
    secret,
    store::{Namespace, Project, Store},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects/{id}", on_delete(delete))
        .route("/projects/{id}/archive", post(archive))
        .route("/projects/{id}/unarchive", post(unarchive))
        .route("/projects/{id}/restore", post(restore))
        .route("/projects/{id}/transfer", put(transfer))
}

async fn archive(call: Call) -> ApiResult {
    let id = change(
        &call,
        Ability::ArchiveProject,
        |store, project| {
            let refuse = |message: &str| Err(ApiError::message(StatusCode::BAD_REQUEST, message));
            if project.archived {
                return refuse("Project is already archived.");
            }
            if store.is_archived(project) {
                return refuse("Cannot archive project since one of the ancestors is already archived.");
            }
            if project.marked_for_deletion_on.is_some() || is_ancestor_marked(store, project) {
                return refuse("Cannot archive project since it is scheduled for deletion.");
            }
            Ok(())
        },
        |store, id| {
            store.projects.update(id, |project| project.archived = true);
        },
    )?;
    present(&call, StatusCode::CREATED, id)
}

async fn unarchive(call: Call) -> ApiResult {
    let id = change(
        &call,
        Ability::ArchiveProject,
        |store, project| {
            if !project.archived && store.is_archived(project) {
                let message = "Cannot unarchive project since one of the ancestors is archived.";
                return Err(ApiError::message(StatusCode::BAD_REQUEST, message));
            }
            Ok(())
        },
        |store, id| {
            store.projects.update(id, |project| project.archived = false);
        },
    )?;
    present(&call, StatusCode::CREATED, id)
}

/// Finds the project, authorizes, checks, and changes it.
fn change(
    call: &Call,
    ability: Ability,
    check: impl FnOnce(&Store, &Project) -> ApiResult<()>,
    apply: impl FnOnce(&mut Store, u64),
) -> ApiResult<u64> {
    call.app.write(|store| {
        call.authenticate(store)?;
        let project = call.project(store)?;
        call.authorize(store.can(call.user(store), ability, project))?;
        check(store, project)?;
        let id = project.id;
        apply(store, id);
        store
            .projects
            .update(id, |project| project.updated_at = Timestamp::now());
        Ok(id)
    })
}

fn is_ancestor_marked(store: &Store, project: &Project) -> bool {
    store
        .ancestry(project.namespace_id)
        .any(|group| group.marked_for_deletion_on.is_some())
}

async fn delete(call: Call) -> ApiResult {
    let permanently = call.params.boolean("permanently_remove").unwrap_or(None) == Some(true);
    let removed = call.app.write(|store| {
        call.authenticate(store)?;
        let project = call.project(store)?;
        call.authorize(store.can(call.user(store), Ability::RemoveProject, project))?;
        let (id, marked) = (project.id, project.marked_for_deletion_on.is_some());
        let refuse = |message: &str| Err(ApiError::message(StatusCode::BAD_REQUEST, message));
        if permanently {
            if !marked {
                return refuse("Project must be marked for deletion first.");
            }
            if call.params.string("full_path")?.as_deref() != Some(project.full_path.as_str()) {
                return refuse("`full_path` is incorrect. You must enter the complete path for the project.");
            }
            store.remove_project(id);
            return Ok(Some(id));
        }
        if is_ancestor_marked(store, project) {
            return Ok(None);
        }
        if marked {
            return refuse("Project has already been marked for deletion");
        }
        let namespace_id = project.namespace_id;
        let path = format!("{}-deletion_scheduled-{id}", project.path);
        store.projects.update(id, |project| {
            project.name = format!("{}-deletion_scheduled-{id}", project.name);
            project.archived = true;
            project.marked_for_deletion_on = Some(today());
        });
        store.move_project(id, namespace_id, &path);
        Ok(None)
    })?;
    if let Some(id) = removed {
        call.app.remove_repository(id).await?;
    }
    accepted()
}

/// 202: the work is done later.
pub fn accepted() -> ApiResult<Response> {
    ok(StatusCode::ACCEPTED, json!({ "message": "202 Accepted" }))
}

async fn restore(call: Call) -> ApiResult {
    let id = change(
        &call,
        Ability::RemoveProject,
        |_, project| {
            if project.marked_for_deletion_on.is_none() {
                let message = "Project has not been marked for deletion";
                return Err(ApiError::message(StatusCode::BAD_REQUEST, message));
            }
            Ok(())
        },
        |store, id| {
            let suffix = format!("-deletion_scheduled-{id}");
            let Some(project) = store.projects.get(id).cloned() else {
                return;
            };
            let former = |text: &str| text.strip_suffix(&suffix).unwrap_or(text).to_owned();
            let namespace = store.namespace_path(project.namespace_id);
            // The path may have been taken meanwhile.
            let path = former(&project.path);
            let taken = store.is_taken(&format!("{namespace}/{path}"));
            let more = if taken {
                format!("-{}", secret::suffix())
            } else {
                String::new()
            };
            let (name, path) = (former(&project.name) + &more, path + &more);
            store.projects.update(id, |project| {
                project.name = name;
                project.archived = false;
                project.marked_for_deletion_on = None;
            });
            store.move_project(id, project.namespace_id, &path);
        },
    )?;
    present(&call, StatusCode::CREATED, id)
}

async fn transfer(call: Call) -> ApiResult {
    call.params.require(&["namespace"])?;
    let target = call.params.string("namespace")?.unwrap_or_default();
    let id = call.app.write(|store| {
        call.authenticate(store)?;
        let project = call.project(store)?;
        call.authorize(store.can(call.user(store), Ability::ChangeNamespace, project))?;
        let target = call.find_namespace(store, &target)?;
        let id = project.id;
        move_to(&call, store, id, target)?;
        Ok(id)
    })?;
    present(&call, StatusCode::OK, id)
}

/// Moves a project to another namespace.
pub fn move_to(call: &Call, store: &mut Store, id: u64, target: u64) -> ApiResult<()> {
    let project = store
        .projects
        .get(id)
        .cloned()
        .ok_or_else(|| ApiError::not_found("Project"))?;
    let user = call.authenticate(store)?;
    let mut problems = Problems::default();
    let allowed = match store.namespace(target) {
        Some(Namespace::Group(group)) => store.can(Some(user), Ability::CreateProjects, group),
        Some(Namespace::User(owner)) => owner.id == user.id,
        None => false,
    };
    let same = |other: &Project| other.path.eq_ignore_ascii_case(&project.path) || other.name == project.name;
    if target == project.namespace_id {
        problems.add("new_namespace", "Project is already in this namespace.");
    } else if !allowed {
        problems.add(
            "new_namespace",
            "You don't have permission to transfer projects into that namespace.",
        );
    } else if store.projects.children(target).any(same) {
        problems.add(
            "new_namespace",
            "Project with same name or path in target namespace already exists",
        );
    }
    problems.check_as_text("Failed to transfer project")?;
    if let Some(ceiling) = store.groups.get(target).map(|group| group.visibility) {
        store
            .projects
            .update(id, |project| project.visibility = project.visibility.min(ceiling));
    }
    store.move_project(id, target, &project.path);
    Ok(())
}
