//! `/projects/:id/terraform/state/:name`: Terraform's HTTP backend, with versions and a lock.
//!
//! What GitLab does not handle answers 500, as there: a write whose `ID` is not the lock's is one such thing.

use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Call, Upload};
use crate::{
    app::App,
    entities::time,
    error::{ApiError, ApiResult},
    policy::Ability,
    store::{Project, Store, TerraformLock, TerraformState, TerraformStateVersion, User},
};

/// Most characters that a name or the id of a lock has.
const MAX_LENGTH: usize = 255;

pub fn routes() -> Router<App> {
    let state = "/projects/{id}/terraform/state/{name}";
    Router::new()
        .route(state, get(show).post(update).delete(remove))
        .route(&format!("{state}/lock"), post(lock).delete(unlock))
        .route(
            &format!("{state}/versions/{{serial}}"),
            get(show_version).delete(remove_version),
        )
        // A name holds no slash.
        .route(&format!("{state}/{{*rest}}"), any(async || ApiError::no_route()))
}

/// The project, when the caller may see its states, and the name that was asked for.
fn authorize(call: &Call, store: &Store) -> ApiResult<(u64, String)> {
    call.authenticate(store)?;
    let project = call.project(store)?;
    call.authorize(store.can(call.user(store), Ability::ReadTerraformState, project))?;
    let name = call.params.string("name")?.unwrap_or_default();
    check_length("name", &name)?;
    Ok((project.id, name))
}

/// As [`authorize`], for a caller who may change states.
fn authorize_admin(call: &Call, store: &Store) -> ApiResult<()> {
    let project: &Project = call.project(store)?;
    call.authorize(store.can(call.user(store), Ability::AdminTerraformState, project))
}

fn check_length(param: &str, text: &str) -> ApiResult<()> {
    if text.chars().count() <= MAX_LENGTH {
        return Ok(());
    }
    Err(ApiError::parameter(format!(
        "{param} {param} must be less than {MAX_LENGTH} characters"
    )))
}

/// The id of a lock that the caller names.
fn lock_id(call: &Call) -> ApiResult<Option<String>> {
    let id = call.params.string("ID")?;
    check_length("ID", id.as_deref().unwrap_or_default())?;
    Ok(id)
}

/// 422 for a state that is about to go.
fn check_not_deleted(state: &TerraformState) -> ApiResult<()> {
    match state.deleted_at {
        None => Ok(()),
        Some(_) => Err(ApiError::message(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Terraform::RemoteStateHandler::StateDeletedError",
        )),
    }
}

fn find<'a>(store: &'a Store, project_id: u64, name: &str) -> ApiResult<&'a TerraformState> {
    let state = store
        .terraform_states
        .find(&(project_id, name.to_owned()))
        .ok_or_else(ApiError::record_not_found)?;
    check_not_deleted(state)?;
    Ok(state)
}

/// The id of the state, which is made when missing.
fn find_or_create(store: &mut Store, project_id: u64, name: &str) -> ApiResult<u64> {
    if let Some(state) = store.terraform_states.find(&(project_id, name.to_owned())) {
        check_not_deleted(state)?;
        return Ok(state.id);
    }
    let now = Timestamp::now();
    let id = store.terraform_states.next_id();
    store.terraform_states.insert(TerraformState {
        id,
        project_id,
        name: name.to_owned(),
        lock: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    });
    Ok(id)
}

impl Store {
    /// The version with the highest serial.
    pub fn latest_terraform_version(&self, state_id: u64) -> Option<&TerraformStateVersion> {
        self.terraform_state_versions
            .children(state_id)
            .max_by_key(|version| version.serial)
    }

    fn touch_terraform_state(&mut self, id: u64) {
        self.terraform_states
            .update(id, |state| state.updated_at = Timestamp::now());
    }

    /// Whether `id` is that of the lock; without either they agree.
    fn holds_terraform_lock(&self, state_id: u64, id: Option<&str>) -> bool {
        let lock = self
            .terraform_states
            .get(state_id)
            .and_then(|state| state.lock.as_ref());
        lock.map_or("", |lock| &lock.id) == id.unwrap_or_default()
    }

    /// Marks the state as deleted, unless somebody holds it.
    pub fn delete_terraform_state(&mut self, id: u64) -> bool {
        let free = |state: &mut TerraformState| {
            let free = state.lock.is_none();
            if free {
                state.deleted_at = Some(Timestamp::now());
            }
            free
        };
        self.terraform_states.update(id, free).unwrap_or(false)
    }
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    let (project_id, name) = authorize(&call, &store)?;
    lock_id(&call)?;
    let state = find(&store, project_id, &name)?;
    Ok(match store.latest_terraform_version(state.id) {
        Some(version) => file(version),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

fn file(version: &TerraformStateVersion) -> Response {
    version.file.clone().into_bytes().into_response()
}

/// What GitLab answers with where it has nothing to say but 200.
fn empty() -> Response {
    Json("").into_response()
}

async fn update(Upload { call, file }: Upload) -> ApiResult {
    call.app.write(|store| {
        let (project_id, name) = authorize(&call, store)?;
        let lock_id = lock_id(&call)?;
        authorize_admin(&call, store)?;
        if file.is_empty() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let serial = serial(&file)?;
        let id = find_or_create(store, project_id, &name)?;
        if !store.holds_terraform_lock(id, lock_id.as_deref()) {
            return Err(ApiError::unhandled());
        }
        add_version(store, id, serial, &file, call.identity.job)?;
        Ok(empty())
    })
}

/// The serial of a state file, as the database takes it.
fn serial(file: &[u8]) -> ApiResult<i32> {
    let refuse = |message: &str| ApiError::message(StatusCode::UNPROCESSABLE_ENTITY, message);
    let state: Value = serde_json::from_slice(file).map_err(|_| refuse("invalid JSON"))?;
    let serial = match &state["serial"] {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|number| number.trunc() as i64)),
        Value::Bool(true) => Some(1),
        Value::String(text) if !text.trim().is_empty() => Some(leading_number(text)),
        _ => None,
    };
    let serial = serial.ok_or_else(|| refuse("No serial in payload"))?;
    i32::try_from(serial).map_err(|_| ApiError::unhandled())
}

/// The number that a text starts with, 0 without one.
fn leading_number(text: &str) -> i64 {
    let text = text.trim();
    let digits = text.trim_start_matches('-');
    let end = digits.find(|char: char| !char.is_ascii_digit());
    let number = digits[..end.unwrap_or(digits.len())].parse().unwrap_or(0);
    if text.starts_with('-') { -number } else { number }
}

fn add_version(
    store: &mut Store,
    state_id: u64,
    serial: i32,
    file: &[u8],
    job_id: Option<u64>,
) -> ApiResult<()> {
    if store.terraform_state_versions.find(&(state_id, serial)).is_some() {
        return Err(ApiError::message(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!(
                "PG::UniqueViolation: ERROR:  duplicate key value violates unique constraint \
                 \"index_terraform_state_versions_on_state_id_and_version\"\n\
                 DETAIL:  Key (terraform_state_id, version)=({state_id}, {serial}) already exists.\n"
            ),
        ));
    }
    let lock = store
        .terraform_states
        .get(state_id)
        .and_then(|state| state.lock.as_ref());
    let created_by = lock.map(|lock| lock.user_id);
    let now = Timestamp::now();
    let id = store.terraform_state_versions.next_id();
    store.terraform_state_versions.insert(TerraformStateVersion {
        id,
        state_id,
        serial,
        created_by,
        job_id,
        // It is JSON, so it is UTF-8.
        file: String::from_utf8_lossy(file).into_owned(),
        created_at: now,
        updated_at: now,
    });
    store.touch_terraform_state(state_id);
    Ok(())
}

/// A locked state stays, and the answer does not say so.
async fn remove(call: Call) -> ApiResult {
    let deleted = call.app.write(|store| {
        let (project_id, name) = authorize(&call, store)?;
        lock_id(&call)?;
        authorize_admin(&call, store)?;
        let id = find(store, project_id, &name)?.id;
        Ok(store.delete_terraform_state(id).then_some(id))
    })?;
    if let Some(id) = deleted {
        call.app.destroy_terraform_state_later(id);
    }
    Ok(empty())
}

async fn lock(call: Call) -> ApiResult {
    call.app.write(|store| {
        let (project_id, name) = authorize(&call, store)?;
        call.params
            .require(&["ID", "Operation", "Info", "Who", "Version", "Created", "Path"])?;
        let lock_id = lock_id(&call)?.unwrap_or_default();
        authorize_admin(&call, store)?;
        let user_id = call.authenticate(store)?.id;
        if lock_id.trim().is_empty() {
            return Err(ApiError::unhandled());
        }
        let id = find_or_create(store, project_id, &name)?;
        let taken = store
            .terraform_states
            .update(id, |state| {
                let taken = state.lock.is_some();
                if !taken {
                    state.updated_at = Timestamp::now();
                    state.lock = Some(TerraformLock {
                        id: lock_id,
                        user_id,
                        at: Timestamp::now(),
                    });
                }
                taken
            })
            .unwrap_or(false);
        let status = match taken {
            true => StatusCode::CONFLICT,
            false => StatusCode::OK,
        };
        let state = find(store, project_id, &name)?;
        let body = lock_info(&call, store, state)?;
        Ok((status, body.to_string().into_bytes()).into_response())
    })
}

/// The lock: its id, user and time are the holder's, the rest is what this caller sent.
fn lock_info(call: &Call, store: &Store, state: &TerraformState) -> ApiResult<Value> {
    let sent = |name: &str| call.params.string(name);
    let lock = state.lock.as_ref().ok_or_else(ApiError::unhandled)?;
    let holder: Option<&User> = store.users.get(lock.user_id);
    Ok(json!({
        "Operation": sent("Operation")?,
        "Info": sent("Info")?,
        "Version": sent("Version")?,
        "Path": sent("Path")?,
        "ID": lock.id,
        "Who": holder.ok_or_else(ApiError::unhandled)?.username,
        "Created": time(lock.at),
    }))
}

/// Without an `ID` the lock goes, whoever holds it.
async fn unlock(call: Call) -> ApiResult {
    call.app.write(|store| {
        let (project_id, name) = authorize(&call, store)?;
        let lock_id = lock_id(&call)?;
        authorize_admin(&call, store)?;
        let id = find_or_create(store, project_id, &name)?;
        let status = match lock_id.is_none() || store.holds_terraform_lock(id, lock_id.as_deref()) {
            true => StatusCode::OK,
            false => StatusCode::CONFLICT,
        };
        if status == StatusCode::OK {
            store.terraform_states.update(id, |state| {
                state.lock = None;
                state.updated_at = Timestamp::now();
            });
        }
        // GitLab's body is the status too.
        Ok((status, Json(status.as_u16())).into_response())
    })
}

/// The version that the path names. Its route takes no name with a dot in it.
fn find_version<'a>(call: &Call, store: &'a Store) -> ApiResult<&'a TerraformStateVersion> {
    let (project_id, name) = authorize(call, store)?;
    let serial = call.params.integer("serial")?.unwrap_or_default();
    if call.method == axum::http::Method::DELETE {
        authorize_admin(call, store)?;
    }
    let state = store
        .terraform_states
        .find(&(project_id, name))
        .ok_or_else(ApiError::record_not_found)?;
    // Here GitLab does not expect one that is about to go.
    check_not_deleted(state).map_err(|_| ApiError::unhandled())?;
    i32::try_from(serial)
        .ok()
        .and_then(|serial| store.terraform_state_versions.find(&(state.id, serial)))
        .ok_or_else(|| ApiError::message(StatusCode::NOT_FOUND, "404 Not Found"))
}

async fn show_version(call: Call) -> ApiResult {
    check_dotless(&call)?;
    let store = call.app.read();
    find_version(&call, &store).map(file)
}

async fn remove_version(call: Call) -> ApiResult {
    check_dotless(&call)?;
    call.app.write(|store| {
        let (id, state_id) = find_version(&call, store).map(|version| (version.id, version.state_id))?;
        store.terraform_state_versions.remove(id);
        store.touch_terraform_state(state_id);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

fn check_dotless(call: &Call) -> ApiResult<()> {
    match call.params.string("name")?.is_some_and(|name| name.contains('.')) {
        true => Err(ApiError::no_route()),
        false => Ok(()),
    }
}

impl App {
    /// Takes up the removals that a former process did not come to.
    pub fn resume_terraform_deletions(&self) {
        let waiting: Vec<u64> = {
            let store = self.read();
            let states = store
                .terraform_states
                .iter()
                .filter(|state| state.deleted_at.is_some());
            states.map(|state| state.id).collect()
        };
        for id in waiting {
            self.destroy_terraform_state_later(id);
        }
    }

    /// Removes a deleted state a moment later, as GitLab does.
    pub fn destroy_terraform_state_later(&self, id: u64) {
        let app = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(app.options().protection_delay).await;
            let removed = app.write(|store| {
                store.remove_terraform_state(id);
                Ok(())
            });
            if let Err(error) = removed {
                eprintln!("failed to remove Terraform state {id}: {error}");
            }
        });
    }
}
