//! How records are shown: GitLab's `lib/api/entities`.

mod group;
mod member;
mod merge_request;
mod project;
mod user;
mod variable;

pub use merge_request::Commits;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    app::App,
    policy::Ability,
    settings::{Setting, Shown},
    store::{Namespace, Store, User},
};

/// Who looks, and at what.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub app: &'a App,
    pub store: &'a Store,
    pub user: Option<&'a User>,
}

/// A time as GitLab writes it.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The members of an object made with `json!`.
fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

impl View<'_> {
    /// Adds the settings of a table to an object.
    fn add_settings(
        self,
        into: &mut Map<String, Value>,
        table: &[Setting],
        values: &Map<String, Value>,
        admin: bool,
    ) {
        for setting in table {
            if setting.shown == Shown::Always || (admin && setting.shown == Shown::Admin) {
                into.insert(setting.name.to_owned(), setting.value(values));
            }
        }
    }

    /// The namespace of a project.
    pub fn namespace_basic(self, id: u64) -> Value {
        let url = self.app.url();
        match self.store.namespace(id) {
            Some(Namespace::Group(group)) => json!({
                "id": group.id,
                "name": group.name,
                "path": group.path,
                "kind": "group",
                "full_path": group.full_path,
                "parent_id": group.parent_id,
                "avatar_url": null,
                "web_url": format!("{url}/groups/{}", group.full_path),
            }),
            Some(Namespace::User(user)) => json!({
                "id": user.namespace_id,
                "name": user.name,
                "path": user.username,
                "kind": "user",
                "full_path": user.username,
                "parent_id": null,
                "avatar_url": null,
                "web_url": format!("{url}/{}", user.username),
            }),
            None => Value::Null,
        }
    }

    /// A namespace by itself.
    pub fn namespace(self, id: u64) -> Value {
        let mut entity = members(self.namespace_basic(id));
        if let Some(group) = self.store.groups.get(id)
            && self.store.can(self.user, Ability::AdminGroup, group)
        {
            let below = self.store.self_and_descendants(group);
            let projects: usize = below
                .iter()
                .map(|group| self.store.projects.children(group.id).count())
                .sum();
            entity.insert(
                "members_count_with_descendants".to_owned(),
                json!(self.members_below(group.id)),
            );
            entity.insert("root_repository_size".to_owned(), json!(0));
            entity.insert("projects_count".to_owned(), json!(projects));
        }
        Value::Object(entity)
    }

    /// How many users are members of the group or of what is below it.
    fn members_below(self, group_id: u64) -> usize {
        use crate::store::Source;
        let Some(group) = self.store.groups.get(group_id) else {
            return 0;
        };
        let mut users = std::collections::BTreeSet::new();
        for group in self.store.self_and_descendants(group) {
            users.extend(
                self.store
                    .members
                    .children(Source::Group(group.id))
                    .map(|row| row.user_id),
            );
            for project in self.store.projects.children(group.id) {
                users.extend(
                    self.store
                        .members
                        .children(Source::Project(project.id))
                        .map(|row| row.user_id),
                );
            }
        }
        users.len()
    }
}
