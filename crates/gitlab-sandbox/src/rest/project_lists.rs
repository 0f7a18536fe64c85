//! Lists of projects: all, a group's, a user's.

use std::cmp::Ordering;

use axum::{Router, routing::get};
use serde_json::json;

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    paging::{paginate, paginate_with_keyset},
    policy::{Ability, OWNER},
    settings::{self, PROJECT, VISIBILITIES},
    store::{Project, Store, User, Visibility},
};

const ORDERS: &[&str] = &[
    "id",
    "name",
    "path",
    "created_at",
    "updated_at",
    "last_activity_at",
    "similarity",
    "star_count",
    "storage_size",
    "repository_size",
    "wiki_size",
    "packages_size",
];

pub fn routes() -> Router<App> {
    Router::new()
        .route("/projects", get(list))
        .route("/users/{id}/projects", get(of_user))
        .route("/groups/{id}/projects", get(of_group))
        .route("/groups/{id}/projects/shared", get(shared))
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let by_time = call
        .params
        .get("updated_before")
        .or(call.params.get("updated_after"))
        .is_some();
    if by_time && call.params.string("order_by")?.as_deref() != Some("updated_at") {
        return Err(ApiError::bad_request(
            "`updated_at` filter and `updated_at` sorting must be paired",
        ));
    }
    present(&call, &store, store.projects.iter().collect())
}

async fn of_user(call: Call) -> ApiResult {
    let store = call.app.read();
    let owner = match call.id().parse() {
        Ok(id) => store.users.get(id),
        Err(_) => store.user_by_username(call.id()),
    };
    let owner: &User = owner.ok_or_else(|| ApiError::not_found("User"))?;
    present(
        &call,
        &store,
        store.projects.children(owner.namespace_id).collect(),
    )
}

/// The list as `/projects` shows it.
pub fn present(call: &Call, store: &Store, projects: Vec<&Project>) -> ApiResult {
    let simple = call.params.flag("simple", false)?;
    let statistics = call.params.flag("statistics", false)?;
    let projects = arrange(call, store, projects)?;
    let view = call.view(store);
    paginate_with_keyset(
        call,
        projects,
        |project| project.id,
        |project| {
            if simple || view.user.is_none() {
                return view.basic_project(project);
            }
            let shown = view.project_with_access(project);
            if statistics {
                view.with_statistics(project, shown)
            } else {
                shown
            }
        },
    )
}

async fn of_group(call: Call) -> ApiResult {
    let store = call.app.read();
    let group = call.group(&store)?;
    let simple = call.params.flag("simple", false)?;
    call.params.flag("with_shared", true)?;
    let mut groups = vec![group];
    if call.params.flag("include_subgroups", false)? {
        groups = store.self_and_descendants(group);
    }
    if call.params.flag("include_ancestor_groups", false)? {
        groups.extend(store.ancestry(group.id).skip(1));
    }
    let projects = groups
        .iter()
        .flat_map(|group| store.projects.children(group.id))
        .collect();
    let projects = arrange(&call, &store, projects)?;
    let view = call.view(&store);
    paginate(&call, projects, |project| {
        if simple {
            view.basic_project(project)
        } else {
            view.project(project)
        }
    })
}

/// The sandbox shares no projects with groups.
async fn shared(call: Call) -> ApiResult {
    let store = call.app.read();
    call.group(&store)?;
    paginate(&call, Vec::<u64>::new(), |id| json!(id))
}

/// What of `projects` the caller asks for and may read, in the order asked for.
fn arrange<'a>(call: &Call, store: &'a Store, mut projects: Vec<&'a Project>) -> ApiResult<Vec<&'a Project>> {
    let wanted = Filter::parse(call, store)?;
    projects.retain(|project| wanted.admits(project));
    let order = call
        .params
        .one_of("order_by", ORDERS)?
        .unwrap_or_else(|| "created_at".to_owned());
    let ascending = call.params.one_of("sort", &["asc", "desc"])?.as_deref() == Some("asc");
    let by = |a: &Project, b: &Project| -> Ordering {
        match order.as_str() {
            "name" => a.name.cmp(&b.name),
            "path" => a.path.cmp(&b.path),
            "updated_at" => a.updated_at.cmp(&b.updated_at),
            "last_activity_at" => a.last_activity_at.cmp(&b.last_activity_at),
            // Ids are given in the order of creation; nothing has stars or a size.
            _ => Ordering::Equal,
        }
    };
    projects.sort_by(|a, b| {
        let order = by(a, b).then(a.id.cmp(&b.id));
        if ascending { order } else { order.reverse() }
    });
    Ok(projects)
}

/// The filters of a list.
struct Filter<'a> {
    store: &'a Store,
    user: Option<&'a User>,
    search: Option<Vec<String>>,
    by_namespace: bool,
    visibility: Option<Visibility>,
    archived: Option<bool>,
    active: Option<bool>,
    marked: Option<jiff::civil::Date>,
    membership: bool,
    owned: bool,
    /// Asks for something that no project here has.
    nothing: bool,
    level: Option<u8>,
    topics: Vec<String>,
    id_after: Option<u64>,
    id_before: Option<u64>,
    active_after: Option<jiff::Timestamp>,
    active_before: Option<jiff::Timestamp>,
    updated_after: Option<jiff::Timestamp>,
    updated_before: Option<jiff::Timestamp>,
    with_issues: bool,
    with_merge_requests: bool,
}

impl<'a> Filter<'a> {
    fn parse(call: &'a Call, store: &'a Store) -> ApiResult<Self> {
        let params = &call.params;
        let user = call.user(store);
        let words = |text: String| {
            text.to_lowercase()
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let signed_in = user.is_some();
        Ok(Self {
            store,
            user,
            search: params
                .string("search")?
                .map(words)
                .filter(|words| !words.is_empty()),
            by_namespace: params.flag("search_namespaces", false)?,
            visibility: params
                .one_of("visibility", VISIBILITIES)?
                .as_deref()
                .and_then(Visibility::parse),
            archived: params.boolean("archived")?,
            active: params.boolean("active")?,
            marked: params.date("marked_for_deletion_on")?,
            membership: params.flag("membership", false)? && signed_in,
            owned: params.flag("owned", false)? && signed_in,
            nothing: params.flag("starred", false)?
                || params.flag("imported", false)?
                || params.get("topic_id").is_some()
                || params.get("with_programming_language").is_some(),
            level: params.access_level("min_access_level")?,
            topics: params
                .strings("topic")?
                .unwrap_or_default()
                .iter()
                .map(|topic| topic.to_lowercase())
                .collect(),
            id_after: params.id("id_after")?,
            id_before: params.id("id_before")?,
            active_after: params.timestamp("last_activity_after")?,
            active_before: params.timestamp("last_activity_before")?,
            updated_after: params.timestamp("updated_after")?,
            updated_before: params.timestamp("updated_before")?,
            with_issues: params.flag("with_issues_enabled", false)?,
            with_merge_requests: params.flag("with_merge_requests_enabled", false)?,
        })
    }

    fn admits(&self, project: &Project) -> bool {
        !self.nothing
            && self.id_after.is_none_or(|id| project.id > id)
            && self.id_before.is_none_or(|id| project.id < id)
            && self
                .visibility
                .is_none_or(|visibility| project.visibility == visibility)
            && self.admits_state(project)
            && self.admits_times(project)
            && self.admits_role(project)
            && self
                .topics
                .iter()
                .all(|topic| project.topics.iter().any(|own| own.to_lowercase() == *topic))
            && self
                .search
                .as_ref()
                .is_none_or(|words| self.is_found(project, words))
            && (!self.with_issues || has_feature(project, "issues_access_level"))
            && (!self.with_merge_requests || has_feature(project, "merge_requests_access_level"))
    }

    fn admits_state(&self, project: &Project) -> bool {
        let marked = || {
            project.marked_for_deletion_on.is_some()
                || self
                    .store
                    .ancestry(project.namespace_id)
                    .any(|group| group.marked_for_deletion_on.is_some())
        };
        let archived = || self.store.is_archived(project);
        self.archived.is_none_or(|wanted| archived() == wanted)
            && self
                .active
                .is_none_or(|wanted| (!archived() && !marked()) == wanted)
            && self
                .marked
                .is_none_or(|day| project.marked_for_deletion_on == Some(day))
    }

    fn admits_times(&self, project: &Project) -> bool {
        self.active_after.is_none_or(|at| project.last_activity_at > at)
            && self.active_before.is_none_or(|at| project.last_activity_at < at)
            && self.updated_after.is_none_or(|at| project.updated_at > at)
            && self.updated_before.is_none_or(|at| project.updated_at < at)
    }

    fn admits_role(&self, project: &Project) -> bool {
        let role = || self.store.project_role(self.user, project);
        if self.owned {
            return role() >= OWNER;
        }
        if let Some(level) = self.level {
            return role() >= level;
        }
        if self.membership {
            return role() > 0;
        }
        self.store.can(self.user, Ability::ReadProject, project)
    }

    /// Every word must be in one of the texts; a search shorter than three letters must be the whole of one.
    fn is_found(&self, project: &Project, words: &[String]) -> bool {
        let description = project.description.as_deref().unwrap_or_default();
        let mut texts = vec![project.name.as_str(), &project.path, description];
        if self.by_namespace {
            texts.push(&project.full_path);
        }
        let short = words.iter().map(|word| word.chars().count()).sum::<usize>() < 3;
        texts.iter().any(|text| {
            let text = text.to_lowercase();
            words
                .iter()
                .all(|word| if short { text == *word } else { text.contains(word) })
        })
    }
}

fn has_feature(project: &Project, feature: &str) -> bool {
    settings::value(PROJECT, &project.settings, feature) != json!("disabled")
}
