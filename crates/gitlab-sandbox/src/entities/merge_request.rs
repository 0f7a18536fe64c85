//! Merge requests and the notes on them.

use serde_json::{Map, Value, json};

use super::{View, members, time};
use crate::{
    policy::{Ability, GUEST},
    settings::{self, PROJECT},
    store::{MergeRequest, Note, Project, Store},
};

/// What git knows of a merge request.
#[derive(Clone, Default)]
pub struct Commits {
    /// Where the source branch is, or was at the end.
    pub head: Option<String>,
    /// Where the target branch is, or was before the merge.
    pub target: Option<String>,
    /// Where the two part.
    pub base: Option<String>,
    /// Whether both branches are there.
    pub branches: bool,
    pub conflicts: bool,
    pub changed_files: usize,
}

impl MergeRequest {
    pub fn state(&self) -> &'static str {
        match (&self.merged, &self.closed) {
            (Some(_), _) => "merged",
            (None, Some(_)) => "closed",
            (None, None) => "opened",
        }
    }

    pub fn is_draft(&self) -> bool {
        let title = self.title.to_lowercase();
        ["draft:", "[draft]", "(draft)"]
            .iter()
            .any(|mark| title.starts_with(mark))
    }

    /// Whether merging it squashes its commits: the project may decide.
    pub fn squashes(&self, project: &Project) -> bool {
        let option = settings::value(PROJECT, &project.settings, "squash_option");
        match option.as_str() {
            Some("always") => true,
            Some("never") => false,
            _ => self.squash,
        }
    }

    /// Why it cannot be merged, in GitLab's words; `mergeable` when it can.
    pub fn detailed_status(&self, commits: &Commits) -> &'static str {
        if self.state() != "opened" {
            "not_open"
        } else if !commits.branches || commits.head == commits.base {
            "commits_status"
        } else if self.is_draft() {
            "draft_status"
        } else if commits.conflicts {
            "conflict"
        } else {
            "mergeable"
        }
    }
}

impl Store {
    /// Whether the user may merge it: the target branch decides.
    pub fn can_merge(&self, user: Option<&crate::store::User>, merge_request: &MergeRequest) -> bool {
        let Some((user, project)) = user.zip(self.projects.get(merge_request.project_id)) else {
            return false;
        };
        let branch = &merge_request.target_branch;
        let mut rules = self.protections(project.id, branch).peekable();
        self.can_push(Some(user), project, branch)
            || (self.can(Some(user), Ability::PushCode, project)
                && rules.peek().is_some()
                && rules.any(|rule| self.grants(&rule.merge_access_levels, user, project)))
    }
}

impl View<'_> {
    fn user_by_id(self, id: u64) -> Value {
        let user = self.store.users.get(id);
        user.map_or(Value::Null, |user| self.user_basic(user))
    }

    /// A merge request in a list.
    pub fn merge_request(self, row: &MergeRequest, commits: &Commits) -> Value {
        let mut entity = self.issuable(row);
        entity.extend(self.outcome(row));
        entity.extend(self.people(row));
        entity.extend(self.merge_state(row, commits));
        let full_path = self.store.projects.get(row.project_id);
        let full_path = full_path.map_or("", |project| &project.full_path);
        let reference = format!("!{}", row.iid);
        let notes = self.store.notes.children(row.id).filter(|note| !note.system);
        let tasks = |mark: &str| {
            row.description
                .as_deref()
                .unwrap_or_default()
                .matches(mark)
                .count()
        };
        let done = tasks("- [x]");
        entity.extend(members(json!({
            "target_branch": row.target_branch,
            "source_branch": row.source_branch,
            "user_notes_count": notes.count(),
            "upvotes": 0,
            "downvotes": 0,
            "source_project_id": row.source_project_id,
            "target_project_id": row.project_id,
            "labels": row.labels,
            "draft": row.is_draft(),
            "imported": false,
            "imported_from": "none",
            "work_in_progress": row.is_draft(),
            "milestone": null,
            "discussion_locked": row.discussion_locked,
            "reference": reference,
            "references": {
                "short": reference,
                "relative": reference,
                "full": format!("{full_path}{reference}"),
            },
            "web_url": format!("{}/{full_path}/-/merge_requests/{}", self.app.url(), row.iid),
            "time_stats": {
                "time_estimate": 0,
                "total_time_spent": 0,
                "human_time_estimate": null,
                "human_total_time_spent": null,
            },
            "task_completion_status": { "count": tasks("- [ ]") + done, "completed_count": done },
        })));
        if row.source_project_id != row.project_id {
            entity.insert("allow_collaboration".to_owned(), json!(row.allow_collaboration));
            entity.insert(
                "allow_maintainer_to_push".to_owned(),
                json!(row.allow_collaboration),
            );
        }
        Value::Object(entity)
    }

    /// A merge request by itself. There are no pipelines.
    pub fn merge_request_in_full(self, row: &MergeRequest, commits: &Commits) -> Value {
        let mut entity = members(self.merge_request(row, commits));
        let user = self.user;
        let changes = (commits.changed_files > 0).then(|| commits.changed_files.to_string());
        entity.extend(members(json!({
            "subscribed": user.is_some_and(|user| user.id == row.author_id),
            "changes_count": changes,
            "latest_build_started_at": null,
            "latest_build_finished_at": null,
            "first_deployed_to_production_at": null,
            "pipeline": null,
            "head_pipeline": null,
            "diff_refs": commits.head.as_ref().map(|head| json!({
                "base_sha": commits.base,
                "head_sha": head,
                "start_sha": commits.target,
            })),
            "merge_error": null,
            "user": { "can_merge": self.store.can_merge(user, row) },
        })));
        Value::Object(entity)
    }

    /// Whether its author is new to the project.
    pub fn first_contribution(self, row: &MergeRequest) -> bool {
        let author = self.store.users.get(row.author_id);
        let project = self.store.projects.get(row.project_id);
        let role = project.map_or(0, |project| self.store.project_role(author, project));
        let merged = |other: &&MergeRequest| other.author_id == row.author_id && other.merged.is_some();
        role <= GUEST
            && self
                .store
                .merge_requests
                .children(row.project_id)
                .find(merged)
                .is_none()
    }

    fn issuable(self, row: &MergeRequest) -> Map<String, Value> {
        members(json!({
            "id": row.id,
            "iid": row.iid,
            "project_id": row.project_id,
            "title": row.title,
            "description": row.description,
            "state": row.state(),
            "created_at": time(row.created_at),
            "updated_at": time(row.updated_at),
        }))
    }

    fn outcome(self, row: &MergeRequest) -> Map<String, Value> {
        let merged = row.merged.as_ref().map(|merged| &merged.event);
        let closed = row.closed.as_ref();
        let by = |user: Option<u64>| user.map_or(Value::Null, |id| self.user_by_id(id));
        members(json!({
            "merged_by": by(merged.map(|event| event.user_id)),
            "merge_user": by(merged.map(|event| event.user_id)),
            "merged_at": merged.map(|event| time(event.at)),
            "closed_by": by(closed.map(|event| event.user_id)),
            "closed_at": closed.map(|event| time(event.at)),
        }))
    }

    fn people(self, row: &MergeRequest) -> Map<String, Value> {
        let all = |ids: &[u64]| ids.iter().map(|id| self.user_by_id(*id)).collect::<Vec<_>>();
        let assignees = all(&row.assignee_ids);
        members(json!({
            "author": self.user_by_id(row.author_id),
            "assignee": assignees.first(),
            "assignees": assignees,
            "reviewers": all(&row.reviewer_ids),
        }))
    }

    fn merge_state(self, row: &MergeRequest, commits: &Commits) -> Map<String, Value> {
        let merged = row.merged.as_ref();
        let project = self.store.projects.get(row.project_id);
        let blocked = row.state() == "opened" && (commits.conflicts || !commits.branches);
        members(json!({
            "merge_when_pipeline_succeeds": false,
            "merge_status": if blocked { "cannot_be_merged" } else { "can_be_merged" },
            "detailed_merge_status": row.detailed_status(commits),
            "merge_after": null,
            "sha": commits.head,
            "merge_commit_sha": merged.and_then(|merged| merged.commit.as_ref()),
            "squash_commit_sha": merged.and_then(|merged| merged.squash_commit.as_ref()),
            "should_remove_source_branch": null,
            "force_remove_source_branch": row.remove_source_branch,
            "prepared_at": time(row.created_at),
            "squash": row.squash,
            "squash_on_merge": project.is_some_and(|project| row.squashes(project)),
            "has_conflicts": blocked,
            "blocking_discussions_resolved": true,
        }))
    }

    /// A note on a merge request.
    pub fn note(self, note: &Note, on: &MergeRequest) -> Value {
        json!({
            "id": note.id,
            "type": null,
            "body": note.body,
            "author": self.user_by_id(note.author_id),
            "created_at": time(note.created_at),
            "updated_at": time(note.updated_at),
            "system": note.system,
            "noteable_id": on.id,
            "noteable_type": "MergeRequest",
            "project_id": on.project_id,
            "resolvable": false,
            "confidential": note.internal,
            "internal": note.internal,
            "imported": false,
            "imported_from": "none",
            "noteable_iid": on.iid,
            "commands_changes": {},
        })
    }
}
