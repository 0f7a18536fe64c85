//! `/projects/:id/repository/files` and `/projects/:id/repository/tree`.

use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::digest;
use serde_json::{Map, Value, json};

use super::{
    Call, Target,
    commits::{Request, decode, has_changed, pushing},
};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    git::change::{Action, Kind},
    paging::{self, ok},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route(
            "/projects/{id}/repository/files/{file_path}",
            get(show).post(create).put(update).delete(delete),
        )
        .route("/projects/{id}/repository/files/{file_path}/raw", get(raw))
        .route("/projects/{id}/repository/tree", get(tree))
}

/// A file in a commit.
struct File {
    /// What GitLab's headers and JSON say of it.
    facts: Map<String, Value>,
    bytes: Vec<u8>,
}

fn path_of(call: &Call) -> ApiResult<String> {
    let path = call.params.string("file_path")?.unwrap_or_default();
    if path.split('/').any(|part| part == "..") {
        return Err(ApiError::parameter("file_path should be a valid file path"));
    }
    Ok(path)
}

async fn find(call: &Call) -> ApiResult<File> {
    let target = Target::of(call)?;
    let path = path_of(call)?;
    let revision = call.params.string("ref")?;
    let commit = target
        .commit_at(revision.as_deref().filter(|name| *name != "HEAD"))
        .await?;
    let commit = commit.ok_or_else(|| ApiError::not_found("Commit"))?;
    let entry = target.repository.entry(&commit, &path).await?;
    let entry = entry
        .filter(|entry| entry.kind == "blob")
        .ok_or_else(|| ApiError::not_found("File"))?;
    let bytes = target.repository.blob(&entry.id).await?;
    let last = target.repository.last_commit(&commit, &path).await?;
    let hash = digest::digest(&digest::SHA256, &bytes);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let facts = [
        ("file_name", json!(path.rsplit('/').next())),
        ("file_path", json!(path)),
        ("size", json!(bytes.len())),
        ("encoding", json!("base64")),
        ("content_sha256", json!(hash)),
        ("ref", json!(revision)),
        ("blob_id", json!(entry.id)),
        ("commit_id", json!(commit)),
        ("last_commit_id", json!(last)),
        ("execute_filemode", json!(entry.mode == "100755")),
    ];
    Ok(File {
        facts: facts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        bytes,
    })
}

/// `X-Gitlab-*`: the facts again, as headers.
fn headers(facts: &Map<String, Value>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in facts {
        let name = format!("x-gitlab-{}", name.replace('_', "-"));
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // A path may hold what no header can: it is left out then.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(text)) {
            headers.insert(name, value);
        }
    }
    headers
}

async fn show(call: Call) -> ApiResult {
    call.params.require(&["ref"])?;
    let file = find(&call).await?;
    let headers = headers(&file.facts);
    let mut body = file.facts;
    body.insert("content".to_owned(), json!(BASE64.encode(&file.bytes)));
    Ok((headers, ok(StatusCode::OK, Value::Object(body))?).into_response())
}

async fn raw(call: Call) -> ApiResult {
    let file = find(&call).await?;
    let text = std::str::from_utf8(&file.bytes).is_ok_and(|text| !text.contains('\0'));
    let kind = if text {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    };
    let kind = [(header::CONTENT_TYPE, kind)];
    Ok((headers(&file.facts), kind, file.bytes).into_response())
}

async fn create(call: Call) -> ApiResult {
    write(&call, Kind::Create, StatusCode::CREATED).await
}

async fn update(call: Call) -> ApiResult {
    write(&call, Kind::Update, StatusCode::OK).await
}

async fn write(call: &Call, kind: Kind, status: StatusCode) -> ApiResult {
    let params = &call.params;
    for name in ["branch", "commit_message"] {
        if params.string(name)?.unwrap_or_default().trim().is_empty() {
            return Err(ApiError::bad_request(&format!("{name} is required")));
        }
    }
    if !params.has("content") {
        return Err(ApiError::bad_request("content is required"));
    }
    let encoding = params.string("encoding")?.unwrap_or_else(|| "text".to_owned());
    if !["text", "base64"].contains(&encoding.as_str()) {
        return Err(ApiError::bad_request("encoding must be text or base64"));
    }
    let content = params.string("content")?.unwrap_or_default();
    let content = decode(&content, encoding == "base64");
    let path = path_of(call)?;
    let branch = change(call, kind, &path, Some(content)).await?;
    ok(status, json!({ "file_path": path, "branch": branch }))
}

async fn delete(call: Call) -> ApiResult {
    call.params.require(&["branch", "commit_message"])?;
    let path = path_of(&call)?;
    change(&call, Kind::Delete, &path, None).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Commits one action on the request's file; returns the branch.
async fn change(call: &Call, kind: Kind, path: &str, content: Option<Vec<u8>>) -> ApiResult<String> {
    let params = &call.params;
    let branch = params.string("branch")?.unwrap_or_default();
    let message = params.string("commit_message")?.unwrap_or_default();
    let start = params.string("start_branch")?;
    let (target, user) = pushing(call, &branch).await?;
    let action = Action {
        kind,
        path: path.to_owned(),
        previous_path: None,
        content,
        executable: params.boolean("execute_filemode")?,
    };
    let request = Request {
        branch: &branch,
        start: start.as_deref(),
        force: false,
        message: &message,
        actions: &[action],
    };
    let parent = request.parent(&target).await?;
    if let Some(known) = params.string("last_commit_id")?
        && has_changed(&target, parent.as_deref(), path, &known).await?
    {
        return Err(ApiError::message(
            StatusCode::BAD_REQUEST,
            match kind {
                Kind::Delete => "You are attempting to delete a file that has been previously updated.",
                _ => "You are attempting to update a file that has changed since you started editing it.",
            },
        ));
    }
    request.commit(call, &target, &user, parent).await?;
    Ok(branch)
}

async fn tree(call: Call) -> ApiResult {
    let target = Target::of(&call)?;
    let revision = call.params.string("ref")?;
    let path = call.params.string("path")?.unwrap_or_default();
    let recursive = call.params.flag("recursive", false)?;
    let missing = || ApiError::not_found("Tree");
    let commit = target.commit_at(revision.as_deref()).await?.ok_or_else(missing)?;
    let mut entries = target.repository.tree(&commit, &path, recursive).await?;
    if entries.is_empty() && !path.is_empty() {
        return Err(ApiError::message(
            StatusCode::NOT_FOUND,
            "404 invalid revision or path Not Found",
        ));
    }
    // Directories, then files, then submodules.
    let rank = |kind: &str| ["tree", "blob", "commit"].iter().position(|other| *other == kind);
    entries.sort_by_key(|entry| rank(&entry.kind));
    paging::paginate(&call, entries, |entry| {
        json!({
            "id": entry.id,
            "name": entry.path.rsplit('/').next(),
            "type": entry.kind,
            "path": entry.path,
            "mode": entry.mode,
        })
    })
}
