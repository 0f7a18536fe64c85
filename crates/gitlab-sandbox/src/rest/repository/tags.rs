//! `/projects/:id/repository/tags`.

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use serde_json::{Value, json};

use super::{Call, Target};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    git::repository::{Commit, Ref},
    paging::{self, ok},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects/{id}/repository/tags", get(list).post(create))
        .route(
            "/projects/{id}/repository/tags/{tag_name}",
            get(show).delete(delete),
        )
}

async fn list(call: Call) -> ApiResult {
    let target = Target::of(&call)?;
    let ascending = call.params.one_of("sort", &["asc", "desc"])?.as_deref() == Some("asc");
    let order_by = call.params.one_of("order_by", &["name", "updated", "version"])?;
    let search = call.params.string("search")?.unwrap_or_default();
    let mut tags = target.repository.refs("tags").await?;
    tags.retain(|tag| tag.name.contains(&search));
    let ids: Vec<&str> = tags.iter().map(|tag| tag.commit.as_str()).collect();
    let commits = target.repository.commits(&ids).await?;
    let mut tags: Vec<(Ref, Commit)> = tags.into_iter().zip(commits).collect();
    match order_by.as_deref() {
        Some("name") => {}
        Some("version") => tags.sort_by_key(|(tag, _)| version(&tag.name)),
        _ => tags.sort_by(|(_, a), (_, b)| a.committer.date.cmp(&b.committer.date)),
    }
    if !ascending {
        tags.reverse();
    }
    paging::paginate(&call, tags, |(tag, commit)| {
        present(&call, &target, &tag, &commit)
    })
}

/// The numbers in a name, which is what versions are sorted by.
fn version(name: &str) -> Vec<u64> {
    let parts = name.split(|char: char| !char.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

fn present(call: &Call, target: &Target, tag: &Ref, commit: &Commit) -> Value {
    json!({
        "name": tag.name,
        "message": tag.message.as_deref().unwrap_or_default(),
        "target": tag.target,
        "commit": target.commit(call.app.url(), commit),
        // The sandbox has neither releases nor protected tags.
        "release": null,
        "protected": false,
        "created_at": tag.tagged_at,
    })
}

async fn find(target: &Target, name: &str) -> ApiResult<Ref> {
    let tags = target.repository.refs("tags").await?;
    let found = tags.into_iter().find(|tag| tag.name == name);
    found.ok_or_else(|| ApiError::not_found("Tag"))
}

async fn answer(call: &Call, target: &Target, status: StatusCode, name: &str) -> ApiResult {
    let tag = find(target, name).await?;
    let commit = target.repository.commit(&tag.commit).await?;
    ok(status, present(call, target, &tag, &commit))
}

fn name_of(call: &Call) -> ApiResult<String> {
    Ok(call.params.string("tag_name")?.unwrap_or_default())
}

async fn show(call: Call) -> ApiResult {
    let target = Target::of(&call)?;
    answer(&call, &target, StatusCode::OK, &name_of(&call)?).await
}

async fn create(call: Call) -> ApiResult {
    call.params.require(&["tag_name", "ref"])?;
    let (target, user) = Target::writable(&call).await?;
    let name = name_of(&call)?;
    let reference = call.params.string("ref")?.unwrap_or_default();
    let message = call
        .params
        .string("message")?
        .filter(|message| !message.is_empty());
    let refuse = |message: String| Err(ApiError::message(StatusCode::BAD_REQUEST, message));
    if !target.repository.is_branch_name(&name).await? {
        return refuse("Tag name invalid".to_owned());
    }
    let Some(commit) = target.repository.resolve(&reference).await? else {
        return refuse(format!("Target {reference} is invalid"));
    };
    if target
        .repository
        .resolve(&format!("refs/tags/{name}"))
        .await?
        .is_some()
    {
        return refuse(format!("Tag {name} already exists"));
    }
    let mut args = vec!["tag"];
    if message.is_some() {
        args.extend(["--annotate", "--cleanup=verbatim", "--file=-"]);
    }
    args.extend(["--end-of-options", &name, &commit]);
    let env = [
        ("GIT_COMMITTER_NAME", user.name.as_str()),
        ("GIT_COMMITTER_EMAIL", &user.email),
        ("TZ", "UTC"),
    ];
    let message = message.unwrap_or_default();
    target.repository.run(&args, &env, message.as_bytes()).await?;
    answer(&call, &target, StatusCode::CREATED, &name).await
}

async fn delete(call: Call) -> ApiResult {
    let (target, _) = Target::writable(&call).await?;
    let tag = find(&target, &name_of(&call)?).await?;
    let reference = format!("refs/tags/{}", tag.name);
    target
        .repository
        .run(&["update-ref", "-d", &reference, &tag.target], &[], b"")
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
