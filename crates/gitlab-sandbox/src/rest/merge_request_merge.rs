//! `/projects/:id/merge_requests/:iid/merge`, with real git.

use axum::{Router, http::StatusCode, routing::put};
use jiff::Timestamp;

use super::{
    Call,
    merge_requests::{find, present},
};
use crate::{
    app::App,
    entities::Commits,
    error::{ApiError, ApiResult},
    git::repository::Repository,
    settings::{self, PROJECT},
    store::{Event, MergeRequest, Merged, Project, User},
};

pub fn routes() -> Router<App> {
    Router::new().route(
        "/projects/{id}/merge_requests/{merge_request_iid}/merge",
        put(merge),
    )
}

/// What is merged, copied, because git is waited for without the store.
struct Merge {
    project: Project,
    row: MergeRequest,
    user: User,
    repository: Repository,
}

async fn merge(call: Call) -> ApiResult {
    let merge = {
        let store = call.app.read();
        let user = call.authenticate(&store)?.clone();
        let (project, row) = find(&call, &store)?;
        if !store.can_merge(Some(&user), row) {
            return Err(ApiError::unauthorized());
        }
        Merge {
            repository: Repository {
                dir: call.app.repository_path(project.id),
            },
            project: project.clone(),
            row: row.clone(),
            user,
        }
    };
    let squash = call.params.boolean("squash")?;
    let commits = call.app.commits_of(&merge.row).await?;
    let (head, target) = merge.check(&call, &commits)?;
    let merged = merge.make(&call, squash, head, target).await?;
    let id = merge.row.id;
    call.app.write(|store| {
        store.merge_requests.update(id, |row| {
            row.squash = squash.unwrap_or(row.squash);
            row.updated_at = merged.event.at;
            row.merged = Some(merged);
        });
        Ok(())
    })?;
    call.app.after_push(merge.project.id);
    merge.remove_source_branch(&call).await?;
    present(&call, StatusCode::OK, id).await
}

impl Merge {
    /// The source and target commits, when nothing is in the way.
    fn check<'a>(&self, call: &Call, commits: &'a Commits) -> ApiResult<(&'a str, &'a str)> {
        let method = settings::value(PROJECT, &self.project.settings, "merge_method");
        let behind = method != "merge" && commits.base != commits.target;
        let refused = match self.row.detailed_status(commits) {
            "mergeable" if behind => true,
            "mergeable" => false,
            "conflict" => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Err(ApiError::message(status, "Branch cannot be merged"));
            }
            _ => true,
        };
        let ends = commits.head.as_deref().zip(commits.target.as_deref());
        let Some((head, target)) = ends.filter(|_| !refused) else {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Err(ApiError::message(status, "405 Method Not Allowed"));
        };
        if call.params.string("sha")?.is_some_and(|sha| sha != head) {
            return Err(ApiError::message(
                StatusCode::CONFLICT,
                format!("SHA does not match HEAD of source branch: {head}"),
            ));
        }
        Ok((head, target))
    }

    /// Makes the commits that the project's merge method asks for, and moves the target branch.
    async fn make(&self, call: &Call, squash: Option<bool>, head: &str, target: &str) -> ApiResult<Merged> {
        let cannot = || ApiError::message(StatusCode::UNPROCESSABLE_ENTITY, "Branch cannot be merged");
        let git = &self.repository;
        let author = (self.user.name.as_str(), self.user.email.as_str());
        let tree = git.merged_tree(target, head).await?.ok_or_else(cannot)?;
        let mut row = self.row.clone();
        row.squash = squash.unwrap_or(row.squash);
        let squashed = match row.squashes(&self.project) {
            true => {
                let message = call.params.string("squash_commit_message")?;
                let message = message.unwrap_or_else(|| row.title.clone());
                Some(git.commit_tree(&tree, &[target], &message, author).await?)
            }
            false => None,
        };
        let tip = squashed.as_deref().unwrap_or(head);
        let method = settings::value(PROJECT, &self.project.settings, "merge_method");
        let commit = match method == "ff" {
            true => None,
            false => {
                let message = call.params.string("merge_commit_message")?;
                let message = message.unwrap_or_else(|| self.message());
                Some(git.commit_tree(&tree, &[target, tip], &message, author).await?)
            }
        };
        let to = commit.as_deref().unwrap_or(tip);
        if !git.move_branch(&row.target_branch, to, target).await? {
            return Err(cannot());
        }
        Ok(Merged {
            event: Event {
                user_id: self.user.id,
                at: Timestamp::now(),
            },
            commit,
            squash_commit: squashed,
            head: head.to_owned(),
            target: target.to_owned(),
        })
    }

    fn message(&self) -> String {
        let row = &self.row;
        format!(
            "Merge branch '{}' into '{}'\n\n{}\n\nSee merge request {}!{}",
            row.source_branch, row.target_branch, row.title, self.project.full_path, row.iid
        )
    }

    /// Removes the source branch when that was asked for, now or before, and it is not protected.
    async fn remove_source_branch(&self, call: &Call) -> ApiResult<()> {
        let asked = call.params.boolean("should_remove_source_branch")?;
        let row = &self.row;
        if !asked.or(row.remove_source_branch).unwrap_or(false) {
            return Ok(());
        }
        let allowed = {
            let store = call.app.read();
            let source = store.projects.get(row.source_project_id);
            source.is_some_and(|source| {
                source.default_branch.as_ref() != Some(&row.source_branch)
                    && store.protections(source.id, &row.source_branch).next().is_none()
                    && store.can_push(Some(&self.user), source, &row.source_branch)
            })
        };
        if allowed {
            let dir = call.app.repository_path(row.source_project_id);
            let reference = format!("refs/heads/{}", row.source_branch);
            call.app.git(&dir, &["update-ref", "-d", &reference]).await?;
        }
        Ok(())
    }
}
