//! `/projects/:id/repository`: branches, tags, commits, files and trees of a project's repository.

mod branches;
mod commits;
mod files;
mod tags;
#[cfg(test)]
mod tests;

use axum::Router;
use serde_json::{Value, json};

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    git::repository::{Commit, Repository},
    policy::Ability,
    store::{Project, User},
};

pub fn routes() -> Router<App> {
    Router::new()
        .merge(branches::routes())
        .merge(commits::routes())
        .merge(files::routes())
        .merge(tags::routes())
}

/// A project whose code the caller may read; copied, because git is waited for without the store.
struct Target {
    project: Project,
    repository: Repository,
    /// `None` for an anonymous visitor.
    user: Option<User>,
}

impl Target {
    fn of(call: &Call) -> ApiResult<Self> {
        let store = call.app.read();
        let project = call.project(&store)?;
        let user = call.user(&store);
        call.authorize(store.can(user, Ability::ReadCode, project))?;
        Ok(Self {
            repository: Repository {
                dir: call.app.repository_path(project.id),
            },
            project: project.clone(),
            user: user.cloned(),
        })
    }

    /// As [`Self::of`], for a caller who may push; the repository is there.
    async fn writable(call: &Call) -> ApiResult<(Self, User)> {
        let target = Self::of(call)?;
        let user = target.user.clone().ok_or_else(ApiError::unauthorized)?;
        let branch = {
            let store = call.app.read();
            call.authorize(store.can(Some(&user), Ability::PushCode, &target.project))?;
            store.initial_branch(target.project.namespace_id)
        };
        call.app.ensure_repository(target.project.id, &branch).await?;
        Ok((target, user))
    }

    /// The commit that a parameter names, or that the default branch is at; `None` where there is none.
    async fn commit_at(&self, revision: Option<&str>) -> ApiResult<Option<String>> {
        match revision.or(self.project.default_branch.as_deref()) {
            Some(revision) => self.repository.resolve(revision).await,
            None => Ok(None),
        }
    }

    /// GitLab's `Entities::Commit`.
    fn commit(&self, url: &str, commit: &Commit) -> Value {
        let trailers: Value = commit
            .trailers
            .iter()
            .map(|(key, values)| (key.clone(), json!(values.last())))
            .collect();
        json!({
            "id": commit.id,
            "short_id": commit.id.get(..8),
            "created_at": commit.committer.date,
            "parent_ids": commit.parents,
            "title": commit.title(),
            "message": commit.message,
            "author_name": commit.author.name,
            "author_email": commit.author.email,
            "authored_date": commit.author.date,
            "committer_name": commit.committer.name,
            "committer_email": commit.committer.email,
            "committed_date": commit.committer.date,
            "trailers": trailers,
            "extended_trailers": commit.trailers,
            "web_url": format!("{url}/{}/-/commit/{}", self.project.full_path, commit.id),
        })
    }
}
