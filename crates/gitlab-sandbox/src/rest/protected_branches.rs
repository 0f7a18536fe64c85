//! `/projects/:id/protected_branches`.

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;
use serde_json::Value;

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    paging::{ok, paginate},
    params::{Params, coerce_boolean, coerce_integer, invalid, invalid_value},
    policy::Ability,
    settings::PROTECTION_LEVELS,
    store::{AccessLevel, Grantee, Project, ProtectedBranch, Source, Store},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects/{id}/protected_branches", get(list).post(create))
        .route(
            "/projects/{id}/protected_branches/{name}",
            get(show).patch(update).delete(remove),
        )
}

/// What a caller may do to which access levels of a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Push,
    Merge,
    Unprotect,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Push, Self::Merge, Self::Unprotect];

    fn word(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Merge => "merge",
            Self::Unprotect => "unprotect",
        }
    }

    fn of(self, branch: &mut ProtectedBranch) -> &mut Vec<AccessLevel> {
        match self {
            Self::Push => &mut branch.push_access_levels,
            Self::Merge => &mut branch.merge_access_levels,
            Self::Unprotect => &mut branch.unprotect_access_levels,
        }
    }
}

/// One element of `allowed_to_*`: an access level to add, change or remove.
struct Entry {
    id: Option<u64>,
    who: Option<Grantee>,
    destroy: bool,
}

/// The project, when the caller may read its code.
fn readable<'a>(call: &Call, store: &'a Store) -> ApiResult<&'a Project> {
    let project = call.project(store)?;
    call.authorize(store.can(call.user(store), Ability::ReadCode, project))?;
    Ok(project)
}

/// The project, when the caller may change its rules.
fn administered<'a>(call: &Call, store: &'a Store) -> ApiResult<&'a Project> {
    let project = call.project(store)?;
    call.authorize(store.can(call.user(store), Ability::AdminProject, project))?;
    Ok(project)
}

fn find<'a>(call: &Call, store: &'a Store, project: &Project) -> ApiResult<&'a ProtectedBranch> {
    let key = (project.id, call.text("name").to_owned());
    store
        .protected_branches
        .find(&key)
        .ok_or_else(ApiError::record_not_found)
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let project = readable(&call, &store)?;
    let search = call
        .params
        .string("search")?
        .map(|text| text.to_lowercase())
        .filter(|text| !text.is_empty());
    let branches = store.protected_branches.children(project.id);
    let found = |branch: &&ProtectedBranch| {
        search
            .as_deref()
            .is_none_or(|text| branch.name.to_lowercase().contains(text))
    };
    let view = call.view(&store);
    paginate(&call, branches.filter(found).collect(), |branch| {
        view.protected_branch(branch)
    })
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    let project = readable(&call, &store)?;
    let branch = find(&call, &store, project)?;
    ok(StatusCode::OK, call.view(&store).protected_branch(branch))
}

async fn create(call: Call) -> ApiResult {
    call.params.require(&["name"])?;
    let name = call.params.string("name")?.unwrap_or_default();
    let allow_force_push = call.params.flag("allow_force_push", false)?;
    let mut asked = Vec::new();
    for kind in declared(&call.app) {
        asked.push((*kind, asked_levels(&call.app, &call.params, *kind, true)?));
    }
    let code_owner_approval_required = code_owners(&call)?.unwrap_or(false);
    call.app.write(|store| {
        let project = administered(&call, store)?;
        let project_id = project.id;
        if store
            .protected_branches
            .find(&(project_id, name.clone()))
            .is_some()
        {
            let message = format!("Protected branch '{name}' already exists");
            return Err(ApiError::message(StatusCode::CONFLICT, message));
        }
        let now = Timestamp::now();
        let mut branch = ProtectedBranch {
            id: 0,
            project_id,
            name,
            allow_force_push,
            code_owner_approval_required,
            push_access_levels: Vec::new(),
            merge_access_levels: Vec::new(),
            unprotect_access_levels: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        let mut problems = Vec::new();
        if branch.name.trim().is_empty() {
            problems.push("Name can't be blank".to_owned());
        }
        for (kind, entries) in asked {
            change_levels(store, &mut branch, kind, entries, &mut problems);
        }
        check(&problems)?;
        branch.id = store.protected_branches.next_id();
        let shown = call.view(store).protected_branch(&branch);
        store.protected_branches.insert(branch);
        ok(StatusCode::CREATED, shown)
    })
}

async fn update(call: Call) -> ApiResult {
    let allow_force_push = call.params.boolean("allow_force_push")?;
    if call.params.has("allow_force_push") && allow_force_push.is_none() {
        return Err(ApiError::parameter("allow_force_push is empty"));
    }
    // CE declares no levels here: it ignores them.
    let mut asked = Vec::new();
    if call.app.is_ee() {
        for kind in Kind::ALL {
            asked.push((kind, asked_levels(&call.app, &call.params, kind, false)?));
        }
    }
    let code_owner_approval_required = code_owners(&call)?;
    call.app.write(|store| {
        let project = call.project(store)?;
        let mut branch = find(&call, store, project)?.clone();
        administered(&call, store)?;
        branch.allow_force_push = allow_force_push.unwrap_or(branch.allow_force_push);
        if let Some(required) = code_owner_approval_required {
            branch.code_owner_approval_required = required;
        }
        let mut problems = Vec::new();
        for (kind, entries) in asked {
            change_levels(store, &mut branch, kind, entries, &mut problems);
        }
        check(&problems)?;
        branch.updated_at = Timestamp::now();
        let shown = call.view(store).protected_branch(&branch);
        store.protected_branches.insert(branch);
        ok(StatusCode::OK, shown)
    })
}

async fn remove(call: Call) -> ApiResult<Response> {
    call.app.write(|store| {
        let project = call.project(store)?;
        let id = find(&call, store, project)?.id;
        administered(&call, store)?;
        store.protected_branches.remove(id);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

fn declared(app: &App) -> &'static [Kind] {
    if app.is_ee() {
        &Kind::ALL
    } else {
        &[Kind::Push, Kind::Merge]
    }
}

fn code_owners(call: &Call) -> ApiResult<Option<bool>> {
    if call.app.is_ee() {
        call.params.boolean("code_owner_approval_required")
    } else {
        Ok(None)
    }
}

/// The levels a request names: `push_access_level`, and on EE `allowed_to_push`. A creation that names none gets
/// maintainers.
fn asked_levels(app: &App, params: &Params, kind: Kind, creates: bool) -> ApiResult<Vec<Entry>> {
    let role = |who| Entry {
        id: None,
        who: Some(who),
        destroy: false,
    };
    let key = format!("{}_access_level", kind.word());
    // An update knows these on EE only for unprotecting.
    let single = if creates || kind == Kind::Unprotect {
        params.integer(&key)?
    } else {
        None
    };
    let mut entries = Vec::new();
    if let Some(level) = single {
        entries.push(role(Grantee::Role(protection_level(&key, level)?)));
    }
    let key = format!("allowed_to_{}", kind.word());
    if app.is_ee()
        && let Some(list) = params.get(&key)
    {
        let items = list.as_array().ok_or_else(|| invalid(&key))?;
        for item in items {
            entries.push(entry(&key, item)?);
        }
    }
    if entries.is_empty() && creates {
        entries.push(role(Grantee::Role(40)));
    }
    Ok(entries)
}

fn protection_level(key: &str, level: i64) -> ApiResult<u8> {
    let level = Some(level).filter(|level| PROTECTION_LEVELS.contains(level));
    level
        .and_then(|level| u8::try_from(level).ok())
        .ok_or_else(|| invalid_value(key))
}

fn entry(key: &str, item: &Value) -> ApiResult<Entry> {
    let member = |name: &str| {
        let key = format!("{key}[{name}]");
        coerce_integer(&key, item.get(name).unwrap_or(&Value::Null))
            .map(|number| number.map(i64::unsigned_abs))
    };
    let level = coerce_integer(key, item.get("access_level").unwrap_or(&Value::Null))?;
    let who = match (
        member("user_id")?,
        member("group_id")?,
        member("deploy_key_id")?,
        level,
    ) {
        (Some(id), ..) => Some(Grantee::User(id)),
        (_, Some(id), ..) => Some(Grantee::Group(id)),
        (_, _, Some(id), _) => Some(Grantee::DeployKey(id)),
        (.., Some(level)) => Some(Grantee::Role(protection_level(
            &format!("{key}[access_level]"),
            level,
        )?)),
        _ => None,
    };
    Ok(Entry {
        id: member("id")?,
        who,
        destroy: coerce_boolean(key, item.get("_destroy").unwrap_or(&Value::Null))? == Some(true),
    })
}

/// Adds, changes and removes levels as nested attributes do: what is not mentioned stays.
fn change_levels(
    store: &mut Store,
    branch: &mut ProtectedBranch,
    kind: Kind,
    entries: Vec<Entry>,
    problems: &mut Vec<String>,
) {
    let word = match kind {
        Kind::Push => "Push",
        Kind::Merge => "Merge",
        Kind::Unprotect => "Unprotect",
    };
    for entry in entries {
        if let Some(problem) = entry.who.and_then(|who| refusal(store, branch.project_id, who)) {
            problems.push(format!("{word} access levels {problem}"));
            continue;
        }
        let levels = kind.of(branch);
        match (entry.id, entry.who) {
            (Some(id), _) if entry.destroy => levels.retain(|level| level.id != id),
            (Some(id), Some(who)) => {
                if let Some(level) = levels.iter_mut().find(|level| level.id == id) {
                    level.who = who;
                }
            }
            (None, Some(who)) if levels.iter().any(|level| level.who == who) => {
                let attribute = match who {
                    Grantee::Role(_) => "access level",
                    Grantee::User(_) => "user",
                    Grantee::Group(_) => "group",
                    Grantee::DeployKey(_) => "deploy key",
                };
                problems.push(format!("{word} access levels {attribute} has already been taken"));
            }
            (None, Some(who)) => {
                let level = store.access_level(who);
                kind.of(branch).push(level);
            }
            _ => {}
        }
    }
}

/// Why someone cannot be named in a rule.
fn refusal(store: &Store, project_id: u64, who: Grantee) -> Option<&'static str> {
    let project = store.projects.get(project_id)?;
    match who {
        Grantee::Role(_) => None,
        Grantee::User(id) => match store.users.get(id) {
            Some(user) if store.project_role(Some(user), project) > 0 => None,
            _ => Some("user is not a member of the project"),
        },
        Grantee::Group(id) => {
            let shared = store
                .links(Source::Project(project_id))
                .any(|link| link.group_id == id);
            let invited = shared || store.ancestry(project.namespace_id).any(|group| group.id == id);
            (!invited).then_some("group does not have access to the project")
        }
        Grantee::DeployKey(id) => match store.deploy_keys.get(id) {
            Some(key) if key.project_id == project_id && key.can_push => None,
            _ => Some("deploy key is not enabled for this project"),
        },
    }
}

/// 422 with the problems as a list.
fn check(problems: &[String]) -> ApiResult<()> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::message(
        StatusCode::UNPROCESSABLE_ENTITY,
        problems.to_vec(),
    ))
}
