//! Groups.

use serde_json::{Map, Value, json};

use super::{View, members, time};
use crate::{
    policy::Ability,
    settings::{self, GROUP},
    store::{Group, GroupLink, Source, Store},
};

impl Store {
    /// A setting of the instance, or its default.
    pub fn instance_setting(&self, name: &str) -> Value {
        let none = Map::new();
        let values = self.settings.get(1).map_or(&none, |row| &row.values);
        settings::value(settings::INSTANCE, values, name)
    }

    /// How default branches of projects in this namespace are protected.
    pub fn default_protection(&self, namespace_id: u64) -> Value {
        let own = self.groups.get(namespace_id).map(|group| &group.settings);
        match own.and_then(|settings| settings.get("default_branch_protection_defaults")) {
            Some(defaults) if defaults.as_object().is_some_and(|members| !members.is_empty()) => {
                defaults.clone()
            }
            _ => self.instance_setting("default_branch_protection_defaults"),
        }
    }

    /// Names from the root down: `Group / Subgroup`.
    pub fn full_name(&self, group: &Group) -> String {
        let mut names: Vec<&str> = self.ancestry(group.id).map(|group| group.name.as_str()).collect();
        names.reverse();
        names.join(" / ")
    }
}

impl View<'_> {
    /// A group in a list.
    pub fn group(self, group: &Group, statistics: bool) -> Value {
        let mut entity = members(json!({
            "id": group.id,
            "web_url": format!("{}/groups/{}", self.app.url(), group.full_path),
            "name": group.name,
            "path": group.path,
            "description": group.description,
            "visibility": group.visibility,
            "archived": self.store.ancestry(group.id).any(|group| group.archived),
            "avatar_url": null,
            "full_name": self.store.full_name(group),
            "full_path": group.full_path,
            "created_at": time(group.created_at),
            "parent_id": group.parent_id,
            "organization_id": 1,
            "marked_for_deletion_on": group.marked_for_deletion_on,
            "default_branch_protection_defaults": self.store.default_protection(group.id),
        }));
        self.add_settings(&mut entity, GROUP, &group.settings, true);
        let emails = entity
            .get("emails_enabled")
            .and_then(Value::as_bool)
            .unwrap_or(true);
        entity.insert("emails_disabled".to_owned(), json!(!emails));
        if self.app.is_ee() {
            entity.extend(members(json!({
                "ldap_cn": null,
                "ldap_access": null,
                "wiki_access_level": "enabled",
            })));
        }
        if statistics {
            entity.insert("statistics".to_owned(), no_statistics());
        }
        Value::Object(entity)
    }

    /// A group by itself.
    pub fn group_detail(self, group: &Group, with_projects: bool) -> Value {
        let mut entity = members(self.group(group, false));
        let admin = self.store.can(self.user, Ability::AdminGroup, group);
        let root = group.parent_id.is_none();
        let shared = self.shared_with(Source::Group(group.id));
        entity.insert("shared_with_groups".to_owned(), shared);
        if admin {
            entity.insert("runners_token".to_owned(), json!(group.runners_token));
        }
        let setting = |name: &str| settings::value(GROUP, &group.settings, name);
        if admin && root {
            let protocol = setting("enabled_git_access_protocol");
            entity.insert("enabled_git_access_protocol".to_owned(), protocol);
        }
        if root {
            let name = "prevent_sharing_groups_outside_hierarchy";
            entity.insert(name.to_owned(), setting(name));
        }
        if with_projects {
            entity.insert("projects".to_owned(), self.projects_in(group));
            entity.insert("shared_projects".to_owned(), self.projects_shared_with(group));
        }
        Value::Object(entity)
    }

    /// The groups that something is shared with, of those that the viewer can read.
    pub fn shared_with(self, source: Source) -> Value {
        let links = self.store.group_links.children(source);
        let show = |link: &GroupLink| {
            let group = self.store.groups.get(link.group_id)?;
            let readable = self.store.can(self.user, Ability::ReadGroup, group);
            let shown = json!({
                "group_id": group.id,
                "group_name": group.name,
                "group_full_path": group.full_path,
                "group_access_level": link.access_level,
                "expires_at": link.expires_at,
            });
            readable.then_some(shown)
        };
        links.filter_map(show).collect()
    }

    /// The projects elsewhere that are shared with the group and that the viewer can read.
    fn projects_shared_with(self, group: &Group) -> Value {
        let links = self
            .store
            .group_links
            .iter()
            .filter(|link| link.group_id == group.id);
        let projects = links.filter_map(|link| match link.source {
            Source::Project(id) => self.store.projects.get(id),
            Source::Group(_) => None,
        });
        let readable = projects.filter(|project| self.store.can(self.user, Ability::ReadProject, *project));
        readable.take(100).map(|project| self.project(project)).collect()
    }

    /// The newest hundred projects directly in the group that the viewer can read.
    fn projects_in(self, group: &Group) -> Value {
        let projects = self.store.projects.children(group.id).rev();
        let readable = projects.filter(|project| self.store.can(self.user, Ability::ReadProject, *project));
        readable.take(100).map(|project| self.project(project)).collect()
    }
}

/// Sizes of nothing.
pub fn no_statistics() -> Value {
    json!({
        "storage_size": 0,
        "repository_size": 0,
        "wiki_size": 0,
        "lfs_objects_size": 0,
        "job_artifacts_size": 0,
        "pipeline_artifacts_size": 0,
        "packages_size": 0,
        "snippets_size": 0,
        "uploads_size": 0,
    })
}
