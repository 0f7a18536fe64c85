//! `/projects/:id/merge_requests`: made, listed and changed. Merging is in `merge_request_merge`.

use axum::{Router, http::StatusCode, routing::get};
use jiff::Timestamp;
use serde_json::json;

use super::Call;
use crate::{
    app::App,
    entities::Commits,
    error::{ApiError, ApiResult},
    git::repository::Repository,
    naming::Problems,
    paging::{ok, page_of, paginate},
    params::Params,
    policy::{Ability, GUEST},
    settings::{self, PROJECT},
    store::{Event, MergeRequest, Project, Store, User},
};

/// What a list can be sorted by.
const ORDERS: &[&str] = &[
    "created_at",
    "label_priority",
    "milestone_due",
    "popularity",
    "priority",
    "title",
    "updated_at",
    "merged_at",
];
/// Most characters that a title has.
const MAX_TITLE: usize = 255;
/// What an update may carry, in the order in which GitLab lists it.
const UPDATES: [&str; 17] = [
    "assignee_id",
    "assignee_ids",
    "reviewer_ids",
    "description",
    "labels",
    "add_labels",
    "remove_labels",
    "milestone_id",
    "remove_source_branch",
    "allow_collaboration",
    "allow_maintainer_to_push",
    "squash",
    "target_branch",
    "title",
    "state_event",
    "discussion_locked",
    "merge_after",
];

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects/{id}/merge_requests", get(list).post(create))
        .route(
            "/projects/{id}/merge_requests/{merge_request_iid}",
            get(show).put(update),
        )
}

/// The merge request of the path, for a caller who may read it.
pub fn find<'a>(call: &Call, store: &'a Store) -> ApiResult<(&'a Project, &'a MergeRequest)> {
    let project = call.project(store)?;
    let iid = call.params.id("merge_request_iid")?.unwrap_or(0);
    let found = store.merge_requests.find(&(project.id, iid));
    let found = found.ok_or_else(ApiError::record_not_found)?;
    call.authorize(store.can(call.user(store), Ability::ReadMergeRequest, project))?;
    Ok((project, found))
}

async fn list(call: Call) -> ApiResult {
    let (wanted, all) = {
        let store = call.app.read();
        let project = call.project(&store)?;
        call.authorize(store.can(call.user(&store), Ability::ReadMergeRequest, project))?;
        let all: Vec<MergeRequest> = store.merge_requests.children(project.id).cloned().collect();
        (Filter::parse(&call, &store)?, all)
    };
    let order = call.params.one_of("order_by", ORDERS)?;
    let ascending = call.params.one_of("sort", &["asc", "desc"])?.as_deref() == Some("asc");
    let mut rows: Vec<_> = all.into_iter().filter(|row| wanted.admits(row)).collect();
    rows.sort_by(|a, b| match order.as_deref() {
        Some("title") => (a.title.to_lowercase(), a.id).cmp(&(b.title.to_lowercase(), b.id)),
        Some("updated_at") => (a.updated_at, a.id).cmp(&(b.updated_at, b.id)),
        _ => a.id.cmp(&b.id),
    });
    if !ascending {
        rows.reverse();
    }
    // Git is asked for what is shown.
    let (page, per_page) = page_of(&call.params)?;
    let first = usize::try_from(page - 1)
        .unwrap_or(usize::MAX)
        .saturating_mul(per_page);
    let shown = first..first.saturating_add(per_page);
    let mut known = Vec::with_capacity(rows.len());
    for (place, row) in rows.into_iter().enumerate() {
        let commits = match shown.contains(&place) {
            true => call.app.commits_of(&row).await?,
            false => Commits::default(),
        };
        known.push((row, commits));
    }
    let store = call.app.read();
    let view = call.view(&store);
    paginate(&call, known, |(row, commits)| view.merge_request(&row, &commits))
}

/// The filters of a list.
struct Filter {
    state: Option<String>,
    iids: Vec<u64>,
    source_branch: Option<String>,
    target_branch: Option<String>,
    source_project: Option<u64>,
    author: Option<Option<u64>>,
    assignee: Option<u64>,
    labels: Vec<String>,
    search: Option<String>,
    draft: Option<bool>,
}

impl Filter {
    fn parse(call: &Call, store: &Store) -> ApiResult<Self> {
        let params = &call.params;
        let states = ["opened", "closed", "locked", "merged", "all"];
        let named = params.string("author_username")?;
        let named = named.map(|name| store.user_by_username(&name).map(|user| user.id));
        let by_me = params.string("scope")?.map(|scope| scope.replace('-', "_"));
        let me = call.identity.user;
        Ok(Self {
            state: params.one_of("state", &states)?.filter(|state| state != "all"),
            iids: params.ids("iids")?,
            source_branch: params.string("source_branch")?,
            target_branch: params.string("target_branch")?,
            source_project: params.id("source_project_id")?,
            author: match (params.id("author_id")?, named, by_me.as_deref()) {
                (Some(id), ..) => Some(Some(id)),
                (None, Some(id), _) => Some(id),
                (None, None, Some("created_by_me")) => Some(me),
                _ => None,
            },
            assignee: match by_me.as_deref() {
                Some("assigned_to_me") => me,
                _ => params.id("assignee_id")?,
            },
            labels: params.strings("labels")?.unwrap_or_default(),
            search: params.string("search")?.map(|text| text.to_lowercase()),
            draft: params.one_of("wip", &["yes", "no"])?.map(|word| word == "yes"),
        })
    }

    fn admits(&self, row: &MergeRequest) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        let description = row.description.as_deref().unwrap_or_default().to_lowercase();
        is(&self.state, row.state())
            && is(&self.source_branch, &row.source_branch)
            && is(&self.target_branch, &row.target_branch)
            && (self.iids.is_empty() || self.iids.contains(&row.iid))
            && self.source_project.is_none_or(|id| row.source_project_id == id)
            && self.author.is_none_or(|id| id == Some(row.author_id))
            && self.assignee.is_none_or(|id| row.assignee_ids.contains(&id))
            && self.labels.iter().all(|label| row.labels.contains(label))
            && self.draft.is_none_or(|draft| row.is_draft() == draft)
            && self
                .search
                .as_ref()
                .is_none_or(|text| row.title.to_lowercase().contains(text) || description.contains(text))
    }
}

async fn show(call: Call) -> ApiResult {
    let row = find(&call, &call.app.read()).map(|(_, row)| row.clone())?;
    let commits = call.app.commits_of(&row).await?;
    let store = call.app.read();
    let view = call.view(&store);
    let mut shown = view.merge_request_in_full(&row, &commits);
    shown["first_contribution"] = json!(view.first_contribution(&row));
    ok(StatusCode::OK, shown)
}

/// The merge request as changes answer with it.
pub async fn present(call: &Call, status: StatusCode, id: u64) -> ApiResult {
    let row = call.app.read().merge_requests.get(id).cloned();
    let row = row.ok_or_else(ApiError::record_not_found)?;
    let commits = call.app.commits_of(&row).await?;
    let store = call.app.read();
    ok(status, call.view(&store).merge_request_in_full(&row, &commits))
}

async fn create(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    call.params
        .require(&["title", "source_branch", "target_branch"])?;
    let wanted = Wanted::parse(&call.params)?;
    let id = call.app.write(|store| {
        let row = build(&call, store, wanted)?;
        let id = row.id;
        store.merge_requests.insert(row);
        Ok(id)
    })?;
    present(&call, StatusCode::CREATED, id).await
}

/// The merge request that is asked for, checked and not yet stored. As in GitLab, its branches need not be there.
fn build(call: &Call, store: &mut Store, wanted: Wanted) -> ApiResult<MergeRequest> {
    let user = call.authenticate(store)?;
    let source = call.project(store)?;
    let target = match call.params.id("target_project_id")? {
        Some(id) => store.projects.get(id).ok_or_else(ApiError::record_not_found)?,
        None => source,
    };
    call.authorize(store.can(Some(user), Ability::CreateMergeRequestFrom, source))?;
    call.authorize(store.can(Some(user), Ability::CreateMergeRequestIn, target))?;
    let now = Timestamp::now();
    let last = store.merge_requests.children(target.id).next_back();
    let option = settings::value(PROJECT, &target.settings, "squash_option");
    let mut row = MergeRequest {
        id: 0,
        iid: last.map_or(1, |last| last.iid + 1),
        project_id: target.id,
        source_project_id: source.id,
        source_branch: call.params.string("source_branch")?.unwrap_or_default(),
        target_branch: String::new(),
        title: String::new(),
        description: None,
        author_id: user.id,
        assignee_ids: Vec::new(),
        reviewer_ids: Vec::new(),
        labels: Vec::new(),
        squash: option == "always" || option == "default_on",
        remove_source_branch: None,
        discussion_locked: None,
        allow_collaboration: false,
        closed: None,
        merged: None,
        created_at: now,
        updated_at: now,
    };
    wanted.apply(store, &mut row);
    check(store, &row)?;
    row.id = store.merge_requests.next_id();
    Ok(row)
}

/// Refuses what GitLab does not take.
fn check(store: &Store, row: &MergeRequest) -> ApiResult<()> {
    let unprocessable = |text: &str| ApiError::message(StatusCode::UNPROCESSABLE_ENTITY, json!([text]));
    let source = store.projects.get(row.source_project_id);
    let same = row.source_project_id == row.project_id;
    if same && row.source_branch == row.target_branch {
        return Err(unprocessable(
            "You can't use same project/branch for source and target",
        ));
    }
    if !same && source.and_then(|source| source.forked_from) != Some(row.project_id) {
        return Err(unprocessable(
            "Source project is not a fork of the target project",
        ));
    }
    let rival = store.merge_requests.children(row.project_id).find(|other| {
        other.id != row.id
            && other.state() == "opened"
            && other.source_project_id == row.source_project_id
            && other.source_branch == row.source_branch
            && other.target_branch == row.target_branch
    });
    if let Some(rival) = rival.filter(|_| row.state() == "opened") {
        let message = format!(
            "Another open merge request already exists for this source branch: !{}",
            rival.iid
        );
        return Err(ApiError::message(StatusCode::CONFLICT, json!([message])));
    }
    let mut problems = Problems::default();
    if row.title.trim().is_empty() {
        problems.add("title", "can't be blank");
    }
    if row.title.chars().count() > MAX_TITLE {
        problems.add(
            "title",
            format!("is too long (maximum is {MAX_TITLE} characters)"),
        );
    }
    problems.check()
}

/// What a request asks a merge request to be.
struct Wanted {
    title: Option<String>,
    /// `Some(None)` clears it.
    description: Option<Option<String>>,
    target_branch: Option<String>,
    assignees: Option<Vec<u64>>,
    reviewers: Option<Vec<u64>>,
    labels: Option<Vec<String>>,
    add_labels: Vec<String>,
    remove_labels: Vec<String>,
    squash: Option<bool>,
    remove_source_branch: Option<bool>,
    discussion_locked: Option<bool>,
    allow_collaboration: Option<bool>,
}

impl Wanted {
    fn parse(params: &Params) -> ApiResult<Self> {
        let people = |one: &str, many: &str| -> ApiResult<Option<Vec<u64>>> {
            Ok(match (params.has(many), params.has(one)) {
                (true, _) => Some(params.ids(many)?),
                (false, true) => Some(params.id(one)?.into_iter().collect()),
                (false, false) => None,
            })
        };
        let labels = |name: &str| params.strings(name).map(Option::unwrap_or_default);
        Ok(Self {
            title: params.string("title")?,
            description: params
                .has("description")
                .then(|| params.string("description"))
                .transpose()?,
            target_branch: params.string("target_branch")?,
            assignees: people("assignee_id", "assignee_ids")?,
            reviewers: people("reviewer_id", "reviewer_ids")?,
            labels: params.has("labels").then(|| labels("labels")).transpose()?,
            add_labels: labels("add_labels")?,
            remove_labels: labels("remove_labels")?,
            squash: params.boolean("squash")?,
            remove_source_branch: params.boolean("remove_source_branch")?,
            discussion_locked: params.boolean("discussion_locked")?,
            allow_collaboration: params
                .boolean("allow_collaboration")?
                .or(params.boolean("allow_maintainer_to_push")?),
        })
    }

    fn apply(self, store: &Store, row: &mut MergeRequest) {
        let project = store.projects.get(row.project_id);
        let readers = |ids: Vec<u64>| -> Vec<u64> {
            let reads = |user: &&User| {
                project.is_some_and(|project| store.can(Some(user), Ability::ReadMergeRequest, project))
            };
            // CE takes one.
            let known = ids.into_iter().filter_map(|id| store.users.get(id)).filter(reads);
            known.map(|user| user.id).take(1).collect()
        };
        if let Some(ids) = self.assignees {
            row.assignee_ids = readers(ids);
        }
        if let Some(ids) = self.reviewers {
            row.reviewer_ids = readers(ids);
        }
        row.title = self.title.unwrap_or_else(|| row.title.clone());
        row.description = self.description.unwrap_or_else(|| row.description.clone());
        row.target_branch = self.target_branch.unwrap_or_else(|| row.target_branch.clone());
        row.labels = self.labels.unwrap_or_else(|| row.labels.clone());
        row.labels.extend(self.add_labels);
        row.labels.retain(|label| !self.remove_labels.contains(label));
        row.labels.sort();
        row.labels.dedup();
        row.squash = self.squash.unwrap_or(row.squash);
        row.remove_source_branch = self.remove_source_branch.or(row.remove_source_branch);
        row.discussion_locked = self.discussion_locked.or(row.discussion_locked);
        row.allow_collaboration = self.allow_collaboration.unwrap_or(row.allow_collaboration);
    }
}

async fn update(call: Call) -> ApiResult {
    call.authenticate(&call.app.read())?;
    if !UPDATES.iter().any(|name| call.params.has(name)) {
        let names = UPDATES.join(", ");
        return Err(ApiError::parameter(format!(
            "{names} are missing, at least one parameter must be provided"
        )));
    }
    for name in ["title", "target_branch"] {
        if call.params.has(name)
            && call
                .params
                .string(name)?
                .is_none_or(|text| text.trim().is_empty())
        {
            return Err(ApiError::parameter(format!("{name} is empty")));
        }
    }
    let event = call.params.one_of("state_event", &["close", "reopen"])?;
    let wanted = Wanted::parse(&call.params)?;
    let id = call.app.write(|store| {
        let (project, row) = find(&call, store)?;
        let user = call.authenticate(store)?;
        let own = row.author_id == user.id || row.assignee_ids.contains(&user.id);
        let own = own && store.project_role(Some(user), project) >= GUEST && !store.is_archived(project);
        call.authorize(own || store.can(Some(user), Ability::UpdateMergeRequest, project))?;
        let (before, mut row, user_id) = (row.clone(), row.clone(), user.id);
        wanted.apply(store, &mut row);
        let now = Timestamp::now();
        match event.as_deref() {
            Some("close") if row.state() == "opened" => row.closed = Some(Event { user_id, at: now }),
            Some("reopen") if row.state() == "closed" => row.closed = None,
            _ => {}
        }
        check(store, &row)?;
        row.updated_at = now;
        store.merge_requests.insert(row.clone());
        note_changes(store, &before, &row, user_id);
        Ok(row.id)
    })?;
    present(&call, StatusCode::OK, id).await
}

/// Notes what changed, as GitLab does for some of it.
fn note_changes(store: &mut Store, before: &MergeRequest, after: &MergeRequest, user_id: u64) {
    let mut note = |body: String| {
        store.add_note(after, user_id, body, true, false);
    };
    if before.description != after.description {
        note("changed the description".to_owned());
    }
    if before.target_branch != after.target_branch {
        note(format!(
            "changed target branch from `{}` to `{}`",
            before.target_branch, after.target_branch
        ));
    }
}

impl App {
    /// What git knows of a merge request; the reference that GitLab keeps for it follows the source branch.
    pub async fn commits_of(&self, row: &MergeRequest) -> ApiResult<Commits> {
        let repository = Repository {
            dir: self.repository_path(row.project_id),
        };
        let reference = format!("refs/merge-requests/{}/head", row.iid);
        if let Some(merged) = &row.merged {
            return Self::between(
                &repository,
                Some(merged.head.clone()),
                Some(merged.target.clone()),
            )
            .await;
        }
        let source = Repository {
            dir: self.repository_path(row.source_project_id),
        };
        let from = source
            .resolve(&format!("refs/heads/{}", row.source_branch))
            .await?;
        let target = repository
            .resolve(&format!("refs/heads/{}", row.target_branch))
            .await?;
        let branches = from.is_some() && target.is_some();
        if let Some(from) = from.as_deref().filter(|_| repository.dir.exists()) {
            let dir = source.dir.to_string_lossy();
            let refspec = format!("+refs/heads/{}:{reference}", row.source_branch);
            let follow = match row.source_project_id == row.project_id {
                true => vec!["update-ref", &reference, from],
                false => vec!["fetch", "--quiet", &dir, &refspec],
            };
            // It fails where another request does the same.
            repository.ask(&follow, b"").await?;
        }
        let head = repository.resolve(&reference).await?;
        let mut commits = Self::between(&repository, head, target).await?;
        commits.branches = branches;
        Ok(commits)
    }

    async fn between(
        repository: &Repository,
        head: Option<String>,
        target: Option<String>,
    ) -> ApiResult<Commits> {
        let (Some(head), Some(target)) = (&head, &target) else {
            return Ok(Commits {
                head,
                target,
                ..Commits::default()
            });
        };
        let base = repository.merge_base(target, head).await?;
        let from = base.as_deref().unwrap_or(target);
        Ok(Commits {
            branches: true,
            conflicts: repository.merged_tree(target, head).await?.is_none(),
            changed_files: repository.changed_files(from, head).await?,
            base,
            head: Some(head.clone()),
            target: Some(target.clone()),
        })
    }
}
