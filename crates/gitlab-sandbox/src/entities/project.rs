//! Projects.

use serde_json::{Map, Value, json};

use super::{View, group::no_statistics, members, time};
use crate::{
    policy::{Ability, MAINTAINER},
    settings::{self, PROJECT, PROJECT_EE},
    store::{Import, Namespace, Project, Source, Store},
};

impl Store {
    /// The forks of a project.
    pub fn forks(&self, id: u64) -> impl Iterator<Item = &Project> {
        self.projects
            .iter()
            .filter(move |project| project.forked_from == Some(id))
    }

    /// The branch that an empty repository's HEAD names, and that a first commit goes to.
    pub fn initial_branch(&self, namespace_id: u64) -> String {
        let of_group = self
            .ancestry(namespace_id)
            .find_map(|group| group.settings.get("default_branch").and_then(Value::as_str))
            .filter(|name| !name.is_empty())
            .map(str::to_owned);
        let of_instance = || {
            self.instance_setting("default_branch_name")
                .as_str()
                .map(str::to_owned)
        };
        of_group
            .or_else(of_instance)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "main".to_owned())
    }
}

impl View<'_> {
    /// What is needed to name a project.
    pub fn project_identity(self, project: &Project) -> Value {
        let namespace = match self.store.namespace(project.namespace_id) {
            Some(Namespace::Group(group)) => self.store.full_name(group),
            Some(Namespace::User(user)) => user.name.clone(),
            None => String::new(),
        };
        json!({
            "id": project.id,
            "description": project.description,
            "name": project.name,
            "name_with_namespace": format!("{namespace} / {}", project.name),
            "path": project.path,
            "path_with_namespace": project.full_path,
            "created_at": time(project.created_at),
        })
    }

    /// A project with `simple=true`, or for an anonymous visitor.
    pub fn basic_project(self, project: &Project) -> Value {
        let mut entity = members(self.project_identity(project));
        let url = self.app.url();
        let host = url.trim_start_matches("http://");
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        entity.extend(members(json!({
            "tag_list": project.topics,
            "topics": project.topics,
            "ssh_url_to_repo": format!("git@{host}:{}.git", project.full_path),
            "http_url_to_repo": format!("{url}/{}.git", project.full_path),
            "web_url": format!("{url}/{}", project.full_path),
            "avatar_url": null,
            "star_count": 0,
            "last_activity_at": time(project.last_activity_at),
            "visibility": project.visibility,
            "namespace": self.namespace_basic(project.namespace_id),
        })));
        if self.store.can(self.user, Ability::ReadCode, project) {
            let branch = project.default_branch.clone();
            let readme = branch.as_ref().zip(project.readme.as_ref());
            let readme =
                readme.map(|(branch, file)| format!("{url}/{}/-/blob/{branch}/{file}", project.full_path));
            let branch = branch.unwrap_or_else(|| self.store.initial_branch(project.namespace_id));
            entity.insert("default_branch".to_owned(), json!(branch));
            entity.insert("readme_url".to_owned(), json!(readme));
            let forks = self.store.forks(project.id).count();
            entity.insert("forks_count".to_owned(), json!(forks));
        }
        if self.user.is_some_and(|user| user.admin) {
            let storage = settings::value(PROJECT, &project.settings, "repository_storage");
            entity.insert("repository_storage".to_owned(), storage);
        }
        Value::Object(entity)
    }

    /// A project as an anonymous visitor sees it alone: with what it is a fork of.
    pub fn project_details(self, project: &Project) -> Value {
        let mut entity = members(self.basic_project(project));
        let source = project.forked_from.and_then(|id| self.store.projects.get(id));
        if let Some(source) = source.filter(|source| self.store.can(self.user, Ability::ReadProject, *source))
        {
            entity.insert("forked_from_project".to_owned(), self.basic_project(source));
        }
        Value::Object(entity)
    }

    /// A project in full.
    pub fn project(self, project: &Project) -> Value {
        let mut entity = members(self.project_details(project));
        let admin = self.store.can(self.user, Ability::AdminProject, project);
        self.add_settings(&mut entity, PROJECT, &project.settings, admin);
        if !self.store.can(self.user, Ability::ReadCode, project) {
            entity.remove("ci_config_path");
        }
        entity.extend(self.project_state(project));
        entity.extend(self.legacy_fields(&entity));
        if admin {
            entity.extend(self.admin_fields(project, &entity));
        }
        if self.app.is_ee() {
            self.add_settings(&mut entity, PROJECT_EE, &project.settings, admin);
            entity.insert("requirements_enabled".to_owned(), json!(true));
            entity.insert("security_and_compliance_enabled".to_owned(), json!(true));
            entity.insert("compliance_frameworks".to_owned(), json!([]));
        }
        Value::Object(entity)
    }

    /// A project in full, with the viewer's own roles in it.
    pub fn project_with_access(self, project: &Project) -> Value {
        let mut entity = members(self.project(project));
        let role = |level: u8| match level {
            0 => Value::Null,
            level => json!({ "access_level": level, "notification_level": 3 }),
        };
        let own = self
            .user
            .and_then(|user| self.store.members.find(&(Source::Project(project.id), user.id)));
        let own = own.map_or(0, |member| member.access_level);
        let inherited = self.store.group_role(self.user, project.namespace_id);
        let permissions = json!({ "project_access": role(own), "group_access": role(inherited) });
        entity.insert("permissions".to_owned(), permissions);
        Value::Object(entity)
    }

    /// Adds statistics to a shown project, for those who may read them.
    pub fn with_statistics(self, project: &Project, mut entity: Value) -> Value {
        let reads =
            self.user.is_some_and(|user| user.admin) || self.store.project_role(self.user, project) >= 20;
        if reads {
            let mut statistics = members(no_statistics());
            statistics.insert("commit_count".to_owned(), json!(0));
            statistics.insert("container_registry_size".to_owned(), json!(0));
            entity["statistics"] = Value::Object(statistics);
        }
        entity
    }

    fn project_state(self, project: &Project) -> Map<String, Value> {
        let api = format!("{}/api/v4/projects/{}", self.app.url(), project.id);
        let mut state = members(json!({
            "_links": {
                "self": api,
                "issues": format!("{api}/issues"),
                "merge_requests": format!("{api}/merge_requests"),
                "repo_branches": format!("{api}/repository/branches"),
                "labels": format!("{api}/labels"),
                "events": format!("{api}/events"),
                "members": format!("{api}/members"),
                "cluster_agents": format!("{api}/cluster_agents"),
            },
            "marked_for_deletion_at": project.marked_for_deletion_on,
            "marked_for_deletion_on": project.marked_for_deletion_on,
            "empty_repo": project.default_branch.is_none(),
            "archived": self.store.is_archived(project),
            "container_expiration_policy": expiration_policy(project),
            "service_desk_enabled": false,
            "can_create_merge_request_in": self.store.can(self.user, Ability::CreateMergeRequestIn, project),
            "creator_id": project.creator_id,
            "import_status": match project.import {
                None => "none",
                Some(Import::Scheduled(_)) => "scheduled",
                Some(Import::Finished) => "finished",
            },
            "open_issues_count": 0,
            "description_html": description_html(project.description.as_deref()),
            "updated_at": time(project.updated_at),
            "shared_with_groups": self.shared_with(Source::Project(project.id)),
        }));
        if let Some(Namespace::User(owner)) = self.store.namespace(project.namespace_id) {
            state.insert("owner".to_owned(), self.user_basic(owner));
        }
        if project.forked_from.is_some() {
            state.insert("mr_default_target_self".to_owned(), json!(false));
        }
        if self.user.is_some_and(|user| user.admin) || self.store.project_role(self.user, project) >= 20 {
            state.insert("service_desk_address".to_owned(), Value::Null);
        }
        state
    }

    /// Older names of settings.
    fn legacy_fields(self, entity: &Map<String, Value>) -> Map<String, Value> {
        let enabled =
            |feature: &str| entity.get(&format!("{feature}_access_level")) != Some(&json!("disabled"));
        let emails = entity
            .get("emails_enabled")
            .and_then(Value::as_bool)
            .unwrap_or(true);
        members(json!({
            "issues_enabled": enabled("issues"),
            "merge_requests_enabled": enabled("merge_requests"),
            "wiki_enabled": enabled("wiki"),
            "jobs_enabled": enabled("builds"),
            "snippets_enabled": enabled("snippets"),
            "container_registry_enabled": enabled("container_registry"),
            "packages_enabled": enabled("package_registry"),
            "emails_disabled": !emails,
        }))
    }

    fn admin_fields(self, project: &Project, entity: &Map<String, Value>) -> Map<String, Value> {
        let role = entity.get("ci_pipeline_variables_minimum_override_role");
        let mut fields = members(json!({
            "import_url": null,
            "import_type": null,
            "import_error": null,
            "ci_job_token_scope_enabled": false,
            "restrict_user_defined_variables": role != Some(&json!("developer")),
            "runner_token_expiration_interval": null,
        }));
        if self.user.is_some_and(|user| user.admin)
            || self.store.project_role(self.user, project) >= MAINTAINER
        {
            fields.insert("runners_token".to_owned(), json!(project.runners_token));
        }
        fields
    }
}

/// The cleanup policy of the container registry: GitLab's defaults with what was set.
fn expiration_policy(project: &Project) -> Value {
    let mut policy = members(json!({
        "cadence": "1d",
        "enabled": false,
        "keep_n": 10,
        "older_than": "90d",
        "name_regex": ".*",
        "name_regex_keep": null,
        "next_run_at": time(project.created_at + jiff::SignedDuration::from_hours(24)),
    }));
    if let Some(Value::Object(set)) = project.settings.get("container_expiration_policy_attributes") {
        policy.extend(set.clone());
    }
    Value::Object(policy)
}

/// Descriptions are one paragraph of Markdown; the sandbox renders it as text.
fn description_html(description: Option<&str>) -> String {
    let Some(text) = description.filter(|text| !text.is_empty()) else {
        return String::new();
    };
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!(
        "<p data-sourcepos=\"1:1-1:{}\" dir=\"auto\">{escaped}</p>",
        text.len()
    )
}
