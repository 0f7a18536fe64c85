//! `/projects/:id/repository/commits`, and what every commit through the API is checked for.

use axum::{Router, http::StatusCode, routing::get};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value, json};

use super::{Call, Target};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    git::{
        change::{Action, Change, Kind},
        repository::Commit,
    },
    paging::{self, ok},
    store::User,
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects/{id}/repository/commits", get(list).post(create))
        .route("/projects/{id}/repository/commits/{sha}", get(show))
}

async fn list(call: Call) -> ApiResult {
    let target = Target::of(&call)?;
    let params = &call.params;
    let (page, per_page) = paging::page_of(params)?;
    let with_stats = params.flag("with_stats", false)?;
    let revision = params.string("ref_name")?.filter(|name| !name.is_empty());
    let path = params.string("path")?.unwrap_or_default();
    let mut args = vec![
        format!("--max-count={per_page}"),
        format!("--skip={}", (page - 1).saturating_mul(per_page as u64)),
    ];
    for (parameter, option) in [("since", "--since"), ("until", "--until")] {
        if let Some(at) = params.timestamp(parameter)? {
            args.push(format!("{option}={}", at.as_second()));
        }
    }
    if let Some(author) = params.string("author")? {
        args.push(format!("--author={author}"));
    }
    if params.flag("first_parent", false)? {
        args.push("--first-parent".to_owned());
    }
    if params.one_of("order", &["default", "topo"])?.as_deref() == Some("topo") {
        args.push("--topo-order".to_owned());
    }
    if params.flag("all", false)? {
        args.push("--all".to_owned());
    } else {
        let Some(commit) = target.commit_at(revision.as_deref()).await? else {
            return paging::paginate_uncounted(&call, Vec::<Value>::new(), |value| value);
        };
        args.push(commit);
    }
    args.push("--".to_owned());
    if !path.is_empty() {
        args.push(path.trim_start_matches('/').to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut shown = Vec::new();
    for commit in target.repository.log(&args, b"").await? {
        let mut entity = target.commit(call.app.url(), &commit);
        if with_stats {
            entity["stats"] = stats(&target, &commit.id).await?;
        }
        shown.push(entity);
    }
    paging::paginate_uncounted(&call, shown, |value| value)
}

async fn stats(target: &Target, id: &str) -> ApiResult<Value> {
    let (additions, deletions) = target.repository.stats(id).await?;
    Ok(json!({ "additions": additions, "deletions": deletions, "total": additions + deletions }))
}

async fn detail(call: &Call, target: &Target, commit: &Commit, with_stats: bool) -> ApiResult<Value> {
    let mut entity = target.commit(call.app.url(), commit);
    if with_stats {
        entity["stats"] = stats(target, &commit.id).await?;
    }
    entity["status"] = Value::Null;
    entity["project_id"] = json!(target.project.id);
    entity["last_pipeline"] = Value::Null;
    Ok(entity)
}

async fn show(call: Call) -> ApiResult {
    let target = Target::of(&call)?;
    let revision = call.params.string("sha")?.unwrap_or_default();
    let id = target
        .repository
        .resolve(&revision)
        .await?
        .ok_or_else(|| ApiError::not_found("Commit"))?;
    let commit = target.repository.commit(&id).await?;
    let with_stats = call.params.flag("stats", true)?;
    ok(StatusCode::OK, detail(&call, &target, &commit, with_stats).await?)
}

async fn create(call: Call) -> ApiResult {
    let branch = call.params.string("branch")?.unwrap_or_default();
    let (target, user) = pushing(&call, &branch).await?;
    let required = |name: &str| match call.params.string(name)? {
        Some(text) if !text.trim().is_empty() => Ok(text),
        _ => Err(ApiError::bad_request(&format!("{name} is required"))),
    };
    required("branch")?;
    let message = required("commit_message")?;
    let (actions, last_commits) = actions(&call)?;
    let start_sha = call.params.string("start_sha")?;
    let start_branch = call.params.string("start_branch")?;
    if start_sha.is_some() && start_branch.is_some() {
        return Err(ApiError::bad_request(
            "start_branch, start_sha are mutually exclusive",
        ));
    }
    let request = Request {
        branch: &branch,
        start: start_sha.as_deref().or(start_branch.as_deref()),
        force: call.params.flag("force", false)?,
        message: &message,
        actions: &actions,
    };
    let parent = request.parent(&target).await?;
    for (path, last) in &last_commits {
        if has_changed(&target, parent.as_deref(), path, last).await? {
            let message = format!("The file has changed since you started editing it: {path}");
            return Err(ApiError::message(StatusCode::BAD_REQUEST, message));
        }
    }
    let id = request.commit(&call, &target, &user, parent).await?;
    let commit = target.repository.commit(&id).await?;
    let with_stats = call.params.flag("stats", true)?;
    ok(
        StatusCode::CREATED,
        detail(&call, &target, &commit, with_stats).await?,
    )
}

/// The target of a commit to `branch`; 403 where the caller may not push to it.
pub async fn pushing(call: &Call, branch: &str) -> ApiResult<(Target, User)> {
    let target = Target::of(call)?;
    {
        let store = call.app.read();
        let user = call.authenticate(&store)?;
        if !store.can_push(Some(user), &target.project, branch) {
            return Err(ApiError::forbidden_because(
                "You are not allowed to push into this branch",
            ));
        }
    }
    Target::writable(call).await
}

/// A commit that a request asks for.
pub struct Request<'a> {
    pub branch: &'a str,
    /// The branch or commit to start a new branch from; `None`: the branch itself.
    pub start: Option<&'a str>,
    pub force: bool,
    pub message: &'a str,
    pub actions: &'a [Action],
}

impl Request<'_> {
    /// The commit to build on: none in an empty repository.
    pub async fn parent(&self, target: &Target) -> ApiResult<Option<String>> {
        if target.project.default_branch.is_none() {
            return Ok(None);
        }
        let refuse = |message: String| Err(ApiError::message(StatusCode::BAD_REQUEST, message));
        let present = target
            .repository
            .resolve(&format!("refs/heads/{}", self.branch))
            .await?;
        let start = self.start.unwrap_or(self.branch);
        if start != self.branch && present.is_some() && !self.force {
            return refuse(format!(
                "A branch called '{}' already exists. Switch to that branch in order to make changes",
                self.branch
            ));
        }
        match target.repository.resolve(start).await? {
            Some(commit) => Ok(Some(commit)),
            None => refuse("You can only create or edit files when you are on a branch".to_owned()),
        }
    }

    /// Makes the commit and returns its id.
    pub async fn commit(
        &self,
        call: &Call,
        target: &Target,
        user: &User,
        parent: Option<String>,
    ) -> ApiResult<String> {
        let refuse = |message: String| ApiError::message(StatusCode::BAD_REQUEST, message);
        if !target.repository.is_branch_name(self.branch).await? {
            return Err(refuse("Branch name is invalid".to_owned()));
        }
        let given = |name: &str| Ok::<_, ApiError>(call.params.string(name)?.filter(|text| !text.is_empty()));
        let name = given("author_name")?.unwrap_or_else(|| user.name.clone());
        let email = given("author_email")?.unwrap_or_else(|| user.email.clone());
        let change = Change {
            branch: self.branch,
            parent,
            force: self.force,
            actions: self.actions,
            message: self.message,
            author: (&name, &email),
            committer: (&user.name, &user.email),
        };
        let id = change.commit(&target.repository).await?.map_err(refuse)?;
        call.app.after_push(target.project.id);
        Ok(id)
    }
}

/// Whether the file was changed between the commit that the caller knows and the one that is built on.
pub async fn has_changed(target: &Target, parent: Option<&str>, path: &str, known: &str) -> ApiResult<bool> {
    let (Some(parent), Some(known)) = (parent, target.repository.resolve(known).await?) else {
        return Ok(false);
    };
    let now = target.repository.last_commit(parent, path).await?;
    let then = target.repository.last_commit(&known, path).await?;
    Ok(now.is_some() && then.is_some() && now != then)
}

/// A file's path, and the last commit of it that the sender of a request knows.
type Known = (String, String);

/// The actions of a request, and what it knows of the files.
fn actions(call: &Call) -> ApiResult<(Vec<Action>, Vec<Known>)> {
    let items = match call.params.get("actions") {
        Some(Value::Array(items)) => items.as_slice(),
        Some(_) => return Err(ApiError::bad_request("actions must be an array")),
        None => &[],
    };
    if items.is_empty() && !call.params.flag("allow_empty", false)? {
        return Err(ApiError::bad_request(
            "Provide at least one action, or set allow_empty to true",
        ));
    }
    let mut actions = Vec::new();
    let mut last_commits = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let empty = Map::new();
        let item = item.as_object().unwrap_or(&empty);
        let action =
            action(item).map_err(|problem| ApiError::bad_request(&format!("actions[{index}][{problem}")))?;
        if let Some(last) = item.get("last_commit_id").and_then(Value::as_str) {
            let path = action.previous_path.as_ref().unwrap_or(&action.path);
            last_commits.push((path.clone(), last.to_owned()));
        }
        actions.push(action);
    }
    Ok((actions, last_commits))
}

/// One action; its problem begins inside `actions[n][`.
fn action(item: &Map<String, Value>) -> Result<Action, String> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let required = |name: &str| {
        let given = text(name).filter(|text| !text.trim().is_empty());
        given.ok_or_else(|| format!("{name}] is required"))
    };
    let name = required("action")?;
    let path = required("file_path")?.trim_start_matches('/').to_owned();
    let kind = match name {
        "create" => Kind::Create,
        "update" => Kind::Update,
        "move" => Kind::Move,
        "delete" => Kind::Delete,
        "chmod" => Kind::Chmod,
        _ => return Err("action] must be one of: create, update, move, delete, chmod".to_owned()),
    };
    let encoding = item.get("encoding").map_or(Some("text"), Value::as_str);
    if !matches!(encoding, Some("text" | "base64")) {
        return Err("encoding] must be text or base64".to_owned());
    }
    let previous_path = text("previous_path").map(|path| path.trim_start_matches('/').to_owned());
    let executable = match item.get("execute_filemode") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(flag)) => Some(*flag),
        Some(Value::String(text)) if text == "true" || text == "false" => Some(text == "true"),
        Some(_) => return Err("execute_filemode] must be a boolean".to_owned()),
    };
    match kind {
        Kind::Update if !item.contains_key("content") => {
            return Err("content] is required for update action".to_owned());
        }
        Kind::Move if previous_path.as_deref().unwrap_or_default().is_empty() => {
            return Err("previous_path] is required for move action".to_owned());
        }
        Kind::Chmod if executable.is_none() => {
            return Err("execute_filemode] is required for chmod action".to_owned());
        }
        _ => {}
    }
    Ok(Action {
        kind,
        path,
        previous_path,
        content: text("content").map(|content| decode(content, encoding == Some("base64"))),
        executable,
    })
}

/// The bytes of a file's content. As Ruby does, whatever is not base64 is passed over.
pub fn decode(content: &str, base64: bool) -> Vec<u8> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    if !base64 {
        return content.as_bytes().to_vec();
    }
    let digits: String = content
        .chars()
        .take_while(|char| *char != '=')
        .filter(|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '/'))
        .collect();
    LENIENT.decode(digits).unwrap_or_default()
}
