//! Projects and lists of them.

use apollo_compiler::resolvers::{FieldError, ResolveInfo, ResolvedValue};

use super::connection::{Connection, NEWEST_FIRST, Order, Place};
use super::object::{Arguments, Kind, Resolved, failed, gid, ids, time};
use super::{branch_rules, groups, members, terraform, variables};
use crate::{
    entities::View,
    git::refs,
    policy::Ability,
    settings::{self, PROJECT},
    store::{Namespace, Project, Visibility},
};

/// GitLab's limit on `projects(fullPaths:)`.
const MAX_FULL_PATHS: usize = 50;
/// `project(fullPath:)`: null for one that is hidden from the user. Former paths are not followed, as in GitLab.
pub fn by_path<'a>(view: View<'a>, info: &ResolveInfo<'_>) -> ResolvedValue<'a> {
    let project = view
        .store
        .project_by_path(info.text("fullPath").unwrap_or_default());
    view.nullable(
        project
            .filter(|project| view.can(Ability::ReadProject, *project))
            .map(Kind::Project),
    )
}

/// A field of a project.
pub fn project<'a>(
    view: View<'a>,
    project: &'a Project,
    info: &ResolveInfo<'_>,
) -> Result<Option<ResolvedValue<'a>>, FieldError> {
    let url = view.app.url();
    let group = view.store.group_of(project);
    let marked = view
        .store
        .ancestry(project.namespace_id)
        .any(|group| group.marked_for_deletion_on.is_some());
    Ok(Some(match info.field_name() {
        "archived" => ResolvedValue::leaf(view.store.is_archived(project)),
        // The sandbox keeps no avatars.
        "avatarUrl" => ResolvedValue::null(),
        "branchRules" => branch_rules::of_project(view, project, info)?,
        "ciVariables" => variables::of_source(view, project, info)?,
        "createdAt" => time(project.created_at),
        "description" => ResolvedValue::leaf(project.description.as_deref()),
        "fullPath" => ResolvedValue::leaf(project.full_path.as_str()),
        "group" => view.readable_group(group),
        "httpUrlToRepo" => ResolvedValue::leaf(format!("{url}/{}.git", project.full_path)),
        "id" => gid("Project", project.id),
        "isSelfArchived" => ResolvedValue::leaf(project.archived),
        "isSelfDeletionScheduled" => ResolvedValue::leaf(project.marked_for_deletion_on.is_some()),
        "lastActivityAt" => time(project.last_activity_at),
        "markedForDeletion" => ResolvedValue::leaf(marked || project.marked_for_deletion_on.is_some()),
        "markedForDeletionOn" => {
            ResolvedValue::leaf(project.marked_for_deletion_on.map(|day| day.to_string()))
        }
        "maxAccessLevel" => view.object(Kind::AccessLevel(view.store.project_role(view.user, project))),
        "name" => ResolvedValue::leaf(project.name.as_str()),
        "nameWithNamespace" => {
            let namespace = view.store.namespace(project.namespace_id);
            let owner = namespace
                .map(|namespace| groups::full_name(view.store, namespace))
                .unwrap_or_default();
            ResolvedValue::leaf(format!("{owner} / {}", project.name))
        }
        "namespace" => view.nullable(view.store.namespace(project.namespace_id).map(Kind::Namespace)),
        "path" => ResolvedValue::leaf(project.path.as_str()),
        "projectMembers" => members::of_project(view, project, info)?,
        "repository" => {
            let readable = view.can(Ability::ReadCode, project);
            view.nullable(readable.then_some(Kind::Repository(project)))
        }
        "rootGroup" => view.readable_group(view.store.ancestry(project.namespace_id).last()),
        "sshUrlToRepo" => {
            let host = url
                .trim_start_matches("http://")
                .split(':')
                .next()
                .unwrap_or_default();
            ResolvedValue::leaf(format!("git@{host}:{}.git", project.full_path))
        }
        "terraformState" => terraform::by_name(view, project, info),
        "terraformStates" => terraform::of_project(view, project, info)?,
        "topics" => ResolvedValue::list(
            project
                .topics
                .iter()
                .map(|topic| ResolvedValue::leaf(topic.as_str())),
        ),
        "updatedAt" => time(project.updated_at),
        "userPermissions" => view.object(Kind::ProjectPermissions(project)),
        "visibility" => ResolvedValue::leaf(project.visibility.as_str()),
        "webPath" => ResolvedValue::leaf(format!("/{}", project.full_path)),
        "webUrl" => ResolvedValue::leaf(format!("{url}/{}", project.full_path)),
        field => return Ok(setting(project, field)),
    }))
}

/// A field that shows a setting as REST does, under a name that GraphQL writes its own way.
fn setting<'a>(project: &Project, field: &str) -> Option<ResolvedValue<'a>> {
    let name = match field {
        "allowMergeOnSkippedPipeline" => "allow_merge_on_skipped_pipeline",
        "autocloseReferencedIssues" => "autoclose_referenced_issues",
        "lfsEnabled" => "lfs_enabled",
        "mergeCommitTemplate" => "merge_commit_template",
        "mergeRequestsFfOnlyEnabled" => {
            let method = settings::value(PROJECT, &project.settings, "merge_method");
            return Some(ResolvedValue::leaf(method == "ff"));
        }
        "onlyAllowMergeIfAllDiscussionsAreResolved" => "only_allow_merge_if_all_discussions_are_resolved",
        "onlyAllowMergeIfPipelineSucceeds" => "only_allow_merge_if_pipeline_succeeds",
        "printingMergeRequestLinkEnabled" => "printing_merge_request_link_enabled",
        "publicJobs" => "public_jobs",
        "removeSourceBranchAfterMerge" => "remove_source_branch_after_merge",
        "requestAccessEnabled" => "request_access_enabled",
        "sharedRunnersEnabled" => "shared_runners_enabled",
        "squashCommitTemplate" => "squash_commit_template",
        "suggestionCommitMessage" => "suggestion_commit_message",
        _ => return None,
    };
    Some(ResolvedValue::leaf(settings::value(
        PROJECT,
        &project.settings,
        name,
    )))
}

/// A field of `userPermissions`.
pub fn permissions<'a>(
    view: View<'a>,
    project: &'a Project,
    info: &ResolveInfo<'_>,
) -> Option<ResolvedValue<'a>> {
    let ability = match info.field_name() {
        "adminAllResources" => return Some(ResolvedValue::leaf(view.is_admin())),
        "adminProject" | "viewEditPage" => Ability::AdminProject,
        "archiveProject" => Ability::ArchiveProject,
        "changeNamespace" => Ability::ChangeNamespace,
        "changeVisibilityLevel" => Ability::ChangeVisibilityLevel,
        "downloadCode" => Ability::ReadCode,
        "pushCode" => Ability::PushCode,
        "readProject" => Ability::ReadProject,
        "readProjectMember" => Ability::ReadProjectMember,
        "removeProject" => Ability::RemoveProject,
        "renameProject" => Ability::RenameProject,
        _ => return None,
    };
    Some(ResolvedValue::leaf(view.can(ability, project)))
}

/// A field of a project's repository.
pub fn repository<'a>(
    view: View<'a>,
    project: &'a Project,
    info: &ResolveInfo<'_>,
) -> Option<ResolvedValue<'a>> {
    let repository = view.app.repository_path(project.id);
    Some(match info.field_name() {
        "empty" => ResolvedValue::leaf(refs::branch_names(&repository).is_empty()),
        "exists" => ResolvedValue::leaf(repository.join("HEAD").exists()),
        "rootRef" => ResolvedValue::leaf(project.default_branch.as_deref()),
        _ => return None,
    })
}

/// `projects`: those that the user can see and that pass every filter.
pub fn list<'a>(view: View<'a>, info: &ResolveInfo<'_>) -> Resolved<'a> {
    let full_paths = info.texts("fullPaths").filter(|paths| !paths.is_empty());
    let ids = ids(info, "Project")?;
    let candidates: Vec<&Project> = match (&full_paths, &ids) {
        (Some(paths), _) if paths.len() > MAX_FULL_PATHS => {
            return Err(failed(format!(
                "You cannot provide more than {MAX_FULL_PATHS} full_paths"
            )));
        }
        (Some(paths), _) => paths
            .iter()
            .filter_map(|path| view.store.project_by_path(path))
            .collect(),
        (None, Some(ids)) => ids.iter().filter_map(|id| view.store.projects.get(*id)).collect(),
        (None, None) => view.store.projects.iter().collect(),
    };
    let filter = Filter::new(view, info);
    let projects = candidates
        .into_iter()
        .filter(|project| ids.as_ref().is_none_or(|ids| ids.contains(&project.id)))
        .filter(|project| view.can(Ability::ReadProject, *project) && filter.passes(project));
    let order = info.text("sort").and_then(Order::parse).unwrap_or(NEWEST_FIRST);
    connection(view, order, projects, info)
}

/// `projects` of a namespace.
pub fn of_namespace<'a>(view: View<'a>, namespace: Namespace<'a>, info: &ResolveInfo<'_>) -> Resolved<'a> {
    let namespaces = match namespace {
        Namespace::User(user) => vec![user.namespace_id],
        Namespace::Group(group) if info.flag("includeSubgroups") == Some(true) => view
            .store
            .self_and_descendants(group)
            .iter()
            .map(|group| group.id)
            .collect(),
        Namespace::Group(group) => vec![group.id],
    };
    let ids = ids(info, "Project")?;
    let archived = info.flag("includeArchived") != Some(false);
    let marked = info.flag("notAimedForDeletion") != Some(true);
    let search = info.text("search").unwrap_or_default().to_lowercase();
    let projects = namespaces
        .into_iter()
        .flat_map(|id| view.store.projects.children(id))
        .filter(|project| ids.as_ref().is_none_or(|ids| ids.contains(&project.id)))
        .filter(|project| {
            (archived || !project.archived) && (marked || project.marked_for_deletion_on.is_none())
        })
        .filter(|project| found(project, &search) && view.can(Ability::ReadProject, *project));
    let order = info.text("sort").and_then(Order::parse).unwrap_or(NEWEST_FIRST);
    connection(view, order, projects, info)
}

fn connection<'a>(
    view: View<'a>,
    order: Order,
    projects: impl Iterator<Item = &'a Project>,
    info: &ResolveInfo<'_>,
) -> Resolved<'a> {
    let key = |project: &Project| match order.by {
        "name" => project.name.to_lowercase(),
        "path" => project.path.clone(),
        "full_path" => project.full_path.clone(),
        "created_at" => project.created_at.to_string(),
        "updated_at" => project.updated_at.to_string(),
        "last_activity_at" => project.last_activity_at.to_string(),
        _ => String::new(),
    };
    let items = projects
        .map(|project| {
            let place = Place {
                key: key(project),
                id: project.id,
            };
            (place, Kind::Project(project))
        })
        .collect();
    Ok(Connection::page(("ProjectConnection", "ProjectEdge"), order, items, info)?.into_value(view))
}

/// Whether a search finds the project by its name, path or description.
fn found(project: &Project, search: &str) -> bool {
    let texts = [
        Some(&project.name),
        Some(&project.path),
        project.description.as_ref(),
    ];
    texts
        .into_iter()
        .flatten()
        .any(|text| text.to_lowercase().contains(search))
}

/// The filters of `projects`.
struct Filter<'a> {
    view: View<'a>,
    active: Option<bool>,
    archived: Option<String>,
    marked: Option<bool>,
    not_marked: bool,
    membership: bool,
    min_level: Option<u8>,
    namespace: Option<u64>,
    personal: bool,
    search: String,
    topics: Vec<String>,
    visibility: Option<Visibility>,
}

impl<'a> Filter<'a> {
    fn new(view: View<'a>, info: &ResolveInfo<'_>) -> Self {
        let namespace = |path: &str| match view.store.group_by_path(path) {
            Some(group) => group.id,
            // No namespace has id 0: an unknown path finds nothing.
            None => view
                .store
                .user_by_username(path)
                .map_or(0, |user| user.namespace_id),
        };
        Self {
            view,
            active: info.flag("active"),
            archived: info.text("archived").map(str::to_owned),
            marked: info.flag("aimedForDeletion"),
            not_marked: info.flag("notAimedForDeletion") == Some(true),
            membership: info.flag("membership") == Some(true),
            min_level: info.text("minAccessLevel").and_then(members::level),
            namespace: info
                .text("namespacePath")
                .filter(|path| !path.is_empty())
                .map(namespace),
            personal: info.flag("personal") == Some(true),
            search: info.text("search").unwrap_or_default().to_lowercase(),
            topics: info
                .texts("topics")
                .unwrap_or_default()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            visibility: info.text("visibilityLevel").and_then(Visibility::parse),
        }
    }

    fn passes(&self, project: &Project) -> bool {
        let store = self.view.store;
        let marked = project.marked_for_deletion_on.is_some();
        let archived = store.is_archived(project);
        let role = || store.project_role(self.view.user, project);
        self.active.is_none_or(|active| active != (archived || marked))
            && match self.archived.as_deref() {
                Some("ONLY") => archived,
                Some("EXCLUDE") => !archived,
                _ => true,
            }
            && (self.marked != Some(true) || marked)
            && !(self.not_marked && marked)
            && (!self.membership || role() > 0)
            && self.min_level.is_none_or(|level| role() >= level.max(1))
            && self.namespace.is_none_or(|id| project.namespace_id == id)
            && (!self.personal
                || self
                    .view
                    .user
                    .is_none_or(|user| user.namespace_id == project.namespace_id))
            && found(project, &self.search)
            && self.topics.iter().all(|topic| project.topics.contains(topic))
            && self
                .visibility
                .is_none_or(|visibility| visibility == project.visibility)
    }
}
