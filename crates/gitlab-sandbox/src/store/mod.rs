//! Everything the sandbox knows, in memory, with a log on disk.

mod log;
mod paths;
mod records;
mod table;

use std::io;

use serde_json::Value;

pub use self::{log::Log, records::*, table::Table};

/// What owns projects: a group, or a user through their own namespace.
#[derive(Clone, Copy)]
pub enum Namespace<'a> {
    Group(&'a Group),
    User(&'a User),
}

/// The tables, and lookups that span several.
#[derive(Default)]
pub struct Store {
    pub users: Table<User>,
    pub groups: Table<Group>,
    pub projects: Table<Project>,
    pub members: Table<Member>,
    pub group_links: Table<GroupLink>,
    pub tokens: Table<PersonalAccessToken>,
    pub protected_branches: Table<ProtectedBranch>,
    pub deploy_keys: Table<DeployKey>,
    pub variables: Table<Variable>,
    pub merge_requests: Table<MergeRequest>,
    pub notes: Table<Note>,
    pub terraform_states: Table<TerraformState>,
    pub terraform_state_versions: Table<TerraformStateVersion>,
    pub jobs: Table<Job>,
    pub redirects: Table<RedirectRoute>,
    pub settings: Table<ApplicationSettings>,
    pub migrations: Table<BatchedBackgroundMigration>,
    sequences: Table<SequenceState>,
}

/// Calls the same method on every table.
macro_rules! each_table {
    ($store:ident, $table:ident => $call:expr) => {
        each_table!(@ $store, $table => $call; users groups projects members group_links tokens protected_branches
            deploy_keys variables merge_requests notes terraform_states terraform_state_versions jobs redirects
            settings migrations sequences)
    };
    (@ $store:ident, $table:ident => $call:expr; $($field:ident)*) => {
        $({ let $table = &mut $store.$field; $call })*
    };
}

impl Store {
    /// The next id of a sequence.
    pub fn next(&mut self, sequence: Sequence) -> u64 {
        let id = sequence as u64;
        if let Some(last) = self.sequences.update(id, |row| {
            row.last += 1;
            row.last
        }) {
            return last;
        }
        self.sequences.insert(SequenceState { id, last: 1 });
        1
    }

    pub fn namespace(&self, id: u64) -> Option<Namespace<'_>> {
        match self.groups.get(id) {
            Some(group) => Some(Namespace::Group(group)),
            None => self
                .users
                .iter()
                .find(|user| user.namespace_id == id)
                .map(Namespace::User),
        }
    }

    /// The group with this full path, whatever its case.
    pub fn group_by_path(&self, path: &str) -> Option<&Group> {
        self.groups.find(&path.to_lowercase())
    }

    /// The project with this full path, whatever its case.
    pub fn project_by_path(&self, path: &str) -> Option<&Project> {
        self.projects.find(&path.to_lowercase())
    }

    pub fn user_by_username(&self, username: &str) -> Option<&User> {
        self.users.find(&username.to_lowercase())
    }

    /// What moved away from this path, whatever its case.
    pub fn redirect(&self, path: &str) -> Option<Source> {
        self.redirects
            .find(&path.to_lowercase())
            .map(|redirect| redirect.target)
    }

    /// The group and its ancestors, the nearest first.
    pub fn ancestry(&self, group_id: u64) -> impl Iterator<Item = &Group> {
        std::iter::successors(self.groups.get(group_id), |group| {
            group.parent_id.and_then(|parent| self.groups.get(parent))
        })
    }

    /// The group that owns a project; `None` for a user's own project.
    pub fn group_of(&self, project: &Project) -> Option<&Group> {
        self.groups.get(project.namespace_id)
    }

    fn drain(&mut self) -> Vec<Value> {
        let mut changes = Vec::new();
        each_table!(self, table => table.drain(&mut changes));
        changes
    }

    fn touch_all(&mut self) {
        each_table!(self, table => table.touch_all());
    }

    fn apply(&mut self, name: &str, id: u64, row: Value) -> io::Result<()> {
        each_table!(self, table => if table.name() == name {
            return Ok(table.apply(id, row)?);
        });
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("store.jsonl holds an unknown table {name:?}"),
        ))
    }
}
