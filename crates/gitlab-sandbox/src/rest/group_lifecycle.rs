//! Archiving, deleting, restoring and transferring groups.

use axum::{
    Router,
    http::StatusCode,
    routing::{delete as on_delete, post},
};

use super::{
    Call,
    groups::{authorized, present},
    project_lifecycle::{accepted, move_to},
};
use crate::{
    app::App,
    auth::today,
    error::{ApiError, ApiResult},
    policy::Ability,
    secret,
    store::{Store, Visibility},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/groups/{id}", on_delete(delete))
        .route("/groups/{id}/archive", post(archive))
        .route("/groups/{id}/unarchive", post(unarchive))
        .route("/groups/{id}/restore", post(restore))
        .route("/groups/{id}/transfer", post(transfer))
        .route("/groups/{id}/projects/{project_id}", post(transfer_project))
}

async fn archive(call: Call) -> ApiResult {
    set_archived(&call, true)
}

async fn unarchive(call: Call) -> ApiResult {
    set_archived(&call, false)
}

fn set_archived(call: &Call, archived: bool) -> ApiResult {
    let id = call.app.write(|store| {
        let group = authorized(call, store, Ability::AdminGroup)?;
        let above = group
            .parent_id
            .is_some_and(|id| store.ancestry(id).any(|group| group.archived));
        let problem = match (archived, above) {
            (true, true) => {
                Some("Cannot archive group since one of the ancestor groups is already archived!")
            }
            (false, true) => Some("Cannot unarchive group since one of the ancestor groups is archived!"),
            (true, false) if group.archived => Some("Group is already archived!"),
            (false, false) if !group.archived => Some("Group is already unarchived!"),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(ApiError::message(StatusCode::UNPROCESSABLE_ENTITY, problem));
        }
        let id = group.id;
        store.groups.update(id, |group| group.archived = archived);
        Ok(id)
    })?;
    present(
        call,
        StatusCode::OK,
        id,
        call.params.flag("with_projects", false)?,
    )
}

async fn delete(call: Call) -> ApiResult {
    let permanently = call.params.boolean("permanently_remove").unwrap_or(None) == Some(true);
    let removed = call.app.write(|store| {
        let group = authorized(&call, store, Ability::RemoveGroup)?;
        let id = group.id;
        let marked = group.marked_for_deletion_on.is_some();
        let refuse = |message: &str| Err(ApiError::message(StatusCode::BAD_REQUEST, message));
        if permanently {
            if group.parent_id.is_none() {
                return refuse("`permanently_remove` option is only available for subgroups.");
            }
            if !marked {
                return refuse("Group must be marked for deletion first.");
            }
            if call.params.string("full_path")?.as_deref() != Some(group.full_path.as_str()) {
                return refuse(
                    "`full_path` is incorrect. You must enter the complete path for the subgroup.",
                );
            }
            return Ok(store.remove_group(id));
        }
        let above = group.parent_id.is_some_and(|id| {
            store
                .ancestry(id)
                .any(|group| group.marked_for_deletion_on.is_some())
        });
        if above {
            return Ok(Vec::new());
        }
        if marked {
            return refuse("Group has already been marked for deletion");
        }
        let (parent_id, path) = (group.parent_id, format!("{}-deletion_scheduled-{id}", group.path));
        store.groups.update(id, |group| {
            group.name = format!("{}-deletion_scheduled-{id}", group.name);
            group.marked_for_deletion_on = Some(today());
        });
        store.move_group(id, parent_id, &path);
        Ok(Vec::new())
    })?;
    for project in removed {
        call.app.remove_repository(project).await?;
    }
    accepted()
}

async fn restore(call: Call) -> ApiResult {
    let id = call.app.write(|store| {
        let group = authorized(&call, store, Ability::RemoveGroup)?.clone();
        if group.marked_for_deletion_on.is_none() {
            let message = "Group has not been marked for deletion";
            return Err(ApiError::message(StatusCode::BAD_REQUEST, message));
        }
        let suffix = format!("-deletion_scheduled-{}", group.id);
        let former = |text: &str| text.strip_suffix(&suffix).unwrap_or(text).to_owned();
        let parent = group.parent_id.and_then(|id| store.groups.get(id));
        let prefix = parent
            .map(|parent| format!("{}/", parent.full_path))
            .unwrap_or_default();
        // The path may have been taken meanwhile.
        let path = former(&group.path);
        let taken = store.is_taken(&format!("{prefix}{path}"));
        let more = if taken {
            format!("-{}", secret::suffix())
        } else {
            String::new()
        };
        let (name, path) = (former(&group.name) + &more, path + &more);
        store.groups.update(group.id, |group| {
            group.name = name;
            group.marked_for_deletion_on = None;
        });
        store.move_group(group.id, group.parent_id, &path);
        Ok(group.id)
    })?;
    present(&call, StatusCode::CREATED, id, false)
}

async fn transfer(call: Call) -> ApiResult {
    let id = call.app.write(|store| {
        let group = authorized(&call, store, Ability::ChangeGroup)?.clone();
        let target = match call.params.get("group_id") {
            Some(_) => {
                let id = call.params.id("group_id")?.unwrap_or(0);
                Some(call.find_group(store, &id.to_string())?)
            }
            None => None,
        };
        let target_id = target.map(|target| target.id);
        let refuse = |why: &str| {
            Err(ApiError::message(
                StatusCode::BAD_REQUEST,
                format!("Transfer failed: {why}"),
            ))
        };
        let user = call.user(store);
        let allowed = match target {
            Some(target) => store.can(user, Ability::CreateSubgroup, target),
            None => user.is_some_and(|user| user.admin || user.can_create_group),
        };
        if group.parent_id == target_id {
            return refuse(match target_id {
                None => "Group is already a root group.",
                Some(_) => "Group is already associated to the parent group.",
            });
        }
        if target_id.is_some_and(|id| store.ancestry(id).any(|above| above.id == group.id)) {
            return refuse("Cannot transfer group to one of its subgroup.");
        }
        if !allowed {
            return refuse("You don't have enough permissions.");
        }
        let full_path = target.map_or_else(
            || group.path.clone(),
            |target| format!("{}/{}", target.full_path, group.path),
        );
        if store.is_taken(&full_path) {
            return refuse("The parent group already has a subgroup or a project with the same path.");
        }
        let ceiling = target.map(|target| target.visibility);
        store.move_group(group.id, target_id, &group.path);
        if let Some(ceiling) = ceiling {
            lower_visibility(store, group.id, ceiling);
        }
        Ok(group.id)
    })?;
    present(&call, StatusCode::CREATED, id, false)
}

/// Makes a group and everything below it at most as open as its new parent.
fn lower_visibility(store: &mut Store, id: u64, ceiling: Visibility) {
    let Some(group) = store.groups.get(id) else { return };
    let groups: Vec<u64> = store
        .self_and_descendants(group)
        .iter()
        .map(|group| group.id)
        .collect();
    for group_id in groups {
        store
            .groups
            .update(group_id, |group| group.visibility = group.visibility.min(ceiling));
        let projects: Vec<u64> = store
            .projects
            .children(group_id)
            .map(|project| project.id)
            .collect();
        for project in projects {
            store.projects.update(project, |project| {
                project.visibility = project.visibility.min(ceiling)
            });
        }
    }
}

async fn transfer_project(call: Call) -> ApiResult {
    let id = call.app.write(|store| {
        call.authenticate_admin(store)?;
        let group = call.group(store)?.id;
        let project = call.find_project(store, call.text("project_id"))?.id;
        move_to(&call, store, project, group)?;
        Ok(group)
    })?;
    present(&call, StatusCode::CREATED, id, false)
}
