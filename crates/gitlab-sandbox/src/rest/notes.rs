//! `/projects/:id/merge_requests/:iid/notes`: comments. Quick actions in them are not run.

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    paging::{ok, paginate},
    policy::Ability,
    store::{MergeRequest, Note, Project, Store},
};

/// Most characters that a note has.
const MAX_BODY: usize = 1_000_000;

pub fn routes() -> Router<App> {
    let notes = "/projects/{id}/merge_requests/{merge_request_iid}/notes";
    Router::new().route(notes, get(list).post(create)).route(
        &format!("{notes}/{{note_id}}"),
        get(show).put(update).delete(remove),
    )
}

/// The merge request, when the caller may read it: another is not to be found.
fn target<'a>(call: &Call, store: &'a Store) -> ApiResult<(&'a Project, &'a MergeRequest)> {
    call.authenticate(store)?;
    let project = call.project(store)?;
    let iid = call.params.id("merge_request_iid")?.unwrap_or(0);
    store
        .merge_requests
        .find(&(project.id, iid))
        .filter(|_| store.can(call.user(store), Ability::ReadMergeRequest, project))
        .map(|found| (project, found))
        .ok_or_else(ApiError::record_not_found)
}

/// Whether the caller may read the note.
fn readable(call: &Call, store: &Store, project: &Project, note: &Note) -> bool {
    let user = call.user(store);
    !note.internal
        || user.is_some_and(|user| user.id == note.author_id)
        || store.can(user, Ability::ReadInternalNote, project)
}

fn find<'a>(call: &Call, store: &'a Store) -> ApiResult<(&'a Project, &'a MergeRequest, &'a Note)> {
    let (project, on) = target(call, store)?;
    let id = call.params.id("note_id")?.unwrap_or(0);
    store
        .notes
        .get(id)
        .filter(|note| note.merge_request_id == on.id)
        .map(|note| (project, on, note))
        .ok_or_else(ApiError::record_not_found)
}

/// As [`find`], for a caller who may change the note: its author, or a maintainer. Nobody changes GitLab's own.
fn find_editable(call: &Call, store: &Store) -> ApiResult<u64> {
    let (project, _, note) = find(call, store)?;
    let user = call.user(store);
    let own = user.is_some_and(|user| user.id == note.author_id);
    let may = own || store.can(user, Ability::AdminNote, project);
    call.authorize(may && !note.system)?;
    Ok(note.id)
}

async fn list(call: Call) -> ApiResult {
    let order = call.params.one_of("order_by", &["created_at", "updated_at"])?;
    let ascending = call.params.one_of("sort", &["asc", "desc"])?.as_deref() == Some("asc");
    let filters = ["all_notes", "only_comments", "only_activity"];
    let filter = call.params.one_of("activity_filter", &filters)?;
    let store = call.app.read();
    let (project, on) = target(&call, &store)?;
    let mut notes: Vec<&Note> = store
        .notes
        .children(on.id)
        .filter(|note| readable(&call, &store, project, note))
        .filter(|note| match filter.as_deref() {
            Some("only_comments") => !note.system,
            Some("only_activity") => note.system,
            _ => true,
        })
        .collect();
    notes.sort_by_key(|note| match order.as_deref() {
        Some("updated_at") => (note.updated_at, note.id),
        _ => (note.created_at, note.id),
    });
    if !ascending {
        notes.reverse();
    }
    let view = call.view(&store);
    paginate(&call, notes, |note| view.note(note, on))
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    let (project, on, note) = find(&call, &store)?;
    if !readable(&call, &store, project, note) {
        return Err(ApiError::not_found("Note"));
    }
    ok(StatusCode::OK, call.view(&store).note(note, on))
}

fn check(body: &str) -> ApiResult<()> {
    let problem = match body {
        body if body.trim().is_empty() => "can't be blank".to_owned(),
        body if body.chars().count() > MAX_BODY => {
            format!("is too long (maximum is {MAX_BODY} characters)")
        }
        _ => return Ok(()),
    };
    Err(ApiError::bad_request(&format!("Note {{:note=>[{problem:?}]}}")))
}

async fn create(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    call.params.require(&["body"])?;
    let body = call.params.string("body")?.unwrap_or_default();
    let internal = call.params.flag("internal", false)? || call.params.flag("confidential", false)?;
    call.app.write(|store| {
        let (project, on) = target(&call, store)?;
        let user = call.authenticate(store)?;
        call.authorize(store.can(Some(user), Ability::CreateNote, project))?;
        let member = store.project_role(Some(user), project) > 0 || user.admin;
        call.authorize(member || on.discussion_locked != Some(true))?;
        check(&body)?;
        let (on, author_id) = (on.clone(), user.id);
        let internal = internal && store.can(Some(user), Ability::ReadInternalNote, project);
        let note = store.add_note(&on, author_id, body, false, internal);
        ok(StatusCode::CREATED, call.view(store).note(&note, &on))
    })
}

async fn update(call: Call) -> ApiResult {
    let body = call.params.string("body")?;
    if body.as_ref().is_some_and(|body| body.trim().is_empty()) {
        return Err(ApiError::parameter("body is empty"));
    }
    call.app.write(|store| {
        let id = find_editable(&call, store)?;
        if let Some(body) = body {
            check(&body)?;
            store.notes.update(id, |note| {
                note.body = body;
                note.updated_at = Timestamp::now();
            });
        }
        let (_, on, note) = find(&call, store)?;
        ok(StatusCode::OK, call.view(store).note(note, on))
    })
}

async fn remove(call: Call) -> ApiResult<Response> {
    call.app.write(|store| {
        let id = find_editable(&call, store)?;
        store.notes.remove(id);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

impl Store {
    /// Adds a note, which counts as a change of what it is on.
    pub fn add_note(
        &mut self,
        on: &MergeRequest,
        author_id: u64,
        body: String,
        system: bool,
        internal: bool,
    ) -> Note {
        let now = Timestamp::now();
        let note = Note {
            id: self.notes.next_id(),
            merge_request_id: on.id,
            author_id,
            body,
            system,
            internal,
            created_at: now,
            updated_at: now,
        };
        self.notes.insert(note.clone());
        self.merge_requests.update(on.id, |row| row.updated_at = now);
        note
    }
}
