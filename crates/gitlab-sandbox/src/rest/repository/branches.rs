//! `/projects/:id/repository/branches`.

use std::collections::BTreeSet;

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use regex::Regex;
use serde_json::{Value, json};

use super::{Call, Target};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    git::{
        change::{Action, Change, Kind},
        repository::{Commit, Ref},
    },
    paging::{self, ok},
    policy::Ability,
    store::Grantee,
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects/{id}/repository/branches", get(list).post(create))
        .route(
            "/projects/{id}/repository/branches/{branch}",
            get(show).delete(delete),
        )
}

async fn list(call: Call) -> ApiResult {
    let target = Target::of(&call)?;
    let search = call.params.string("search")?.unwrap_or_default();
    let matches = matcher(&search)?;
    let pattern = call
        .params
        .string("regex")?
        .map(|text| Regex::new(&text))
        .transpose();
    let pattern = pattern.map_err(|_| ApiError::message(StatusCode::BAD_REQUEST, "Regex is invalid"))?;
    let sort = call
        .params
        .one_of("sort", &["name_asc", "updated_asc", "updated_desc"])?;
    let mut branches = target.repository.refs("heads").await?;
    branches.retain(|branch| {
        matches.is_match(&branch.name) && pattern.as_ref().is_none_or(|regex| regex.is_match(&branch.name))
    });
    let ids: Vec<&str> = branches.iter().map(|branch| branch.commit.as_str()).collect();
    let commits = target.repository.commits(&ids).await?;
    let mut branches: Vec<(Ref, Commit)> = branches.into_iter().zip(commits).collect();
    match sort.as_deref() {
        Some("updated_asc") => branches.sort_by(|(_, a), (_, b)| a.committer.date.cmp(&b.committer.date)),
        Some("updated_desc") => branches.sort_by(|(_, a), (_, b)| b.committer.date.cmp(&a.committer.date)),
        _ => {}
    }
    let merged = merged(&target).await?;
    paging::paginate(&call, branches, |(branch, commit)| {
        present(&call, &target, &merged, &branch, &commit)
    })
}

/// GitLab's search: `^` and `$` stand for the ends of the name, `*` for any text, and case does not matter.
fn matcher(search: &str) -> ApiResult<Regex> {
    let start = search.starts_with('^');
    let end = search.ends_with('$');
    let text = search.trim_start_matches('^').trim_end_matches('$');
    let text = text.split('*').map(regex::escape).collect::<Vec<_>>().join(".*?");
    let pattern = format!(
        "(?i){}{text}{}",
        if start { "^" } else { "" },
        if end { "$" } else { "" }
    );
    Regex::new(&pattern).map_err(|error| ApiError::internal(&error.to_string()))
}

/// Names of the branches whose commits the default branch holds.
async fn merged(target: &Target) -> ApiResult<BTreeSet<String>> {
    let Some(root) = target.commit_at(None).await? else {
        return Ok(BTreeSet::new());
    };
    let args = [
        "for-each-ref",
        "--format=%(refname:lstrip=2) %(objectname)",
        "--merged",
        &root,
        "refs/heads",
    ];
    let output = target.repository.run(&args, &[], b"").await?;
    let branches = output.lines().filter_map(|line| line.split_once(' '));
    // One that is where the default branch is has nothing that was merged.
    Ok(branches
        .filter(|(_, id)| *id != root)
        .map(|(name, _)| name.to_owned())
        .collect())
}

fn present(call: &Call, target: &Target, merged: &BTreeSet<String>, branch: &Ref, commit: &Commit) -> Value {
    let store = call.app.read();
    let project = &target.project;
    let rules: Vec<_> = store.protections(project.id, &branch.name).collect();
    let developers =
        |levels: &[crate::store::AccessLevel]| levels.iter().any(|level| level.who == Grantee::Role(30));
    json!({
        "name": branch.name,
        "commit": target.commit(call.app.url(), commit),
        "merged": merged.contains(&branch.name),
        "protected": !rules.is_empty(),
        "developers_can_push": rules.iter().any(|rule| developers(&rule.push_access_levels)),
        "developers_can_merge": rules.iter().any(|rule| developers(&rule.merge_access_levels)),
        "can_push": store.can_push(target.user.as_ref(), project, &branch.name),
        "default": project.default_branch.as_ref() == Some(&branch.name),
        "web_url": format!("{}/{}/-/tree/{}", call.app.url(), project.full_path, branch.name),
    })
}

async fn find(target: &Target, name: &str) -> ApiResult<Ref> {
    if !target.repository.is_branch_name(name).await.unwrap_or(false) {
        // Where there is no repository git cannot be asked, and there is no branch either.
        return Err(match target.repository.dir.exists() {
            true => ApiError::message(StatusCode::BAD_REQUEST, "The branch refname is invalid"),
            false => ApiError::not_found("Branch"),
        });
    }
    let branches = target.repository.refs(&format!("heads/{name}")).await?;
    let found = branches.into_iter().find(|branch| branch.name == name);
    found.ok_or_else(|| ApiError::not_found("Branch"))
}

async fn answer(call: &Call, target: &Target, status: StatusCode, branch: &Ref) -> ApiResult {
    let commit = target.repository.commit(&branch.commit).await?;
    let merged = merged(target).await?;
    ok(status, present(call, target, &merged, branch, &commit))
}

fn name_of(call: &Call) -> ApiResult<String> {
    Ok(call.params.string("branch")?.unwrap_or_default())
}

async fn show(call: Call) -> ApiResult {
    let target = Target::of(&call)?;
    let branch = find(&target, &name_of(&call)?).await?;
    answer(&call, &target, StatusCode::OK, &branch).await
}

async fn create(call: Call) -> ApiResult {
    call.params.require(&["branch", "ref"])?;
    let (mut target, user) = Target::writable(&call).await?;
    let name = name_of(&call)?;
    let reference = call.params.string("ref")?.unwrap_or_default();
    if name.is_empty() || reference.is_empty() {
        let empty = if name.is_empty() { "branch" } else { "ref" };
        return Err(ApiError::parameter(format!("{empty} is empty")));
    }
    if target.project.default_branch.is_none() {
        add_readme(&call, &target, &user).await?;
        let store = call.app.read();
        target.project = call.project(&store)?.clone();
    }
    let refuse = |message: String| Err(ApiError::message(StatusCode::BAD_REQUEST, message));
    if !target.repository.is_branch_name(&name).await? {
        return refuse("Branch name is invalid".to_owned());
    }
    if target
        .repository
        .resolve(&format!("refs/heads/{name}"))
        .await?
        .is_some()
    {
        return refuse("Branch already exists".to_owned());
    }
    let Some(commit) = target.repository.resolve(&reference).await? else {
        return refuse(format!(
            "Failed to create branch '{name}': invalid reference name '{reference}'"
        ));
    };
    if let Some(message) = creation_refused(&call, &target, &name, &commit).await? {
        return refuse(message.to_owned());
    }
    let update = ["update-ref", &format!("refs/heads/{name}"), &commit, ""];
    if target.repository.ask(&update, b"").await?.is_none() {
        return refuse(format!(
            "Failed to create branch '{name}': Branch name conflicts with existing branch hierarchy."
        ));
    }
    call.app.after_push(target.project.id);
    let branch = find(&target, &name).await?;
    answer(&call, &target, StatusCode::CREATED, &branch).await
}

/// What GitLab does first in an empty repository: one commit with an empty README.
async fn add_readme(call: &Call, target: &Target, user: &crate::store::User) -> ApiResult<()> {
    let branch = call.app.read().initial_branch(target.project.namespace_id);
    let readme = Action {
        kind: Kind::Create,
        path: "README.md".to_owned(),
        previous_path: None,
        content: None,
        executable: None,
    };
    let change = Change {
        branch: &branch,
        parent: None,
        force: false,
        actions: &[readme],
        message: "Add README.md",
        author: (&user.name, &user.email),
        committer: (&user.name, &user.email),
    };
    let made = change.commit(&target.repository).await?;
    made.map_err(|message| ApiError::message(StatusCode::BAD_REQUEST, message))?;
    call.app.after_push(target.project.id);
    Ok(())
}

/// Why a branch that rules cover may not be made at this commit; `None` where it may.
async fn creation_refused(
    call: &Call,
    target: &Target,
    name: &str,
    commit: &str,
) -> ApiResult<Option<&'static str>> {
    {
        let store = call.app.read();
        let user = target.user.as_ref();
        let may_merge = || {
            let mut rules = store.protections(target.project.id, name);
            user.is_some_and(|user| {
                rules.any(|rule| store.grants(&rule.merge_access_levels, user, &target.project))
            })
        };
        if store.can_push(user, &target.project, name) {
            return Ok(None);
        }
        if !may_merge() {
            return Ok(Some(
                "You are not allowed to create protected branches on this project.",
            ));
        }
    }
    let args = [
        "for-each-ref",
        "--format=%(refname:lstrip=2)",
        "--contains",
        commit,
        "refs/heads",
    ];
    let holding = target.repository.run(&args, &[], b"").await?;
    let store = call.app.read();
    let is_protected = |name: &str| store.protections(target.project.id, name).next().is_some();
    let safe = holding.lines().any(is_protected);
    Ok((!safe).then_some(
        "You can only use an existing protected branch ref as the basis of a new protected branch.",
    ))
}

async fn delete(call: Call) -> ApiResult {
    let (target, user) = Target::writable(&call).await?;
    let branch = find(&target, &name_of(&call)?).await?;
    let refused = {
        let store = call.app.read();
        let protected = store
            .protections(target.project.id, &branch.name)
            .next()
            .is_some();
        if target.project.default_branch.as_ref() == Some(&branch.name) {
            Some("The default branch of a project cannot be deleted.")
        } else if protected && !store.can(Some(&user), Ability::AdminProject, &target.project) {
            Some(
                "You are not allowed to delete protected branches from this project. Only a project maintainer or owner can delete a protected branch.",
            )
        } else {
            None
        }
    };
    if let Some(message) = refused {
        return Err(ApiError::message(StatusCode::BAD_REQUEST, message));
    }
    let reference = format!("refs/heads/{}", branch.name);
    target
        .repository
        .run(&["update-ref", "-d", &reference, &branch.target], &[], b"")
        .await?;
    let response: Response = StatusCode::NO_CONTENT.into_response();
    Ok(response)
}
