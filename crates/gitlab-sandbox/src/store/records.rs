//! The records the store keeps. Names follow GitLab's models.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::table::Record;
use crate::auth::today;

macro_rules! record {
    ($type:ty, $table:literal, |$row:ident| $parent:ty = $parent_of:expr, $key:ty = $key_of:expr) => {
        impl Record for $type {
            const TABLE: &'static str = $table;
            type Parent = $parent;
            type Key = $key;

            fn id(&self) -> u64 {
                self.id
            }

            #[allow(unused_variables, reason = "some tables have one list for all rows")]
            fn parent(&self) -> Self::Parent {
                let $row = self;
                $parent_of
            }

            fn key(&self) -> Self::Key {
                let $row = self;
                $key_of
            }
        }
    };
}

/// Who may see a group or project; ordered from closed to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    Private,
    Internal,
    Public,
}

impl Visibility {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "private" => Some(Self::Private),
            "internal" => Some(Self::Internal),
            "public" => Some(Self::Public),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    pub id: u64,
    pub username: String,
    pub name: String,
    pub email: String,
    pub state: UserState,
    pub admin: bool,
    /// Id of the user's own namespace, from the sequence that groups use too.
    pub namespace_id: u64,
    pub can_create_group: bool,
    pub projects_limit: u64,
    pub external: bool,
    pub private_profile: bool,
    /// The project or group of the access token whose bot this is.
    pub bot_of: Option<Source>,
    pub created_at: Timestamp,
}
record!(User, "users", |row| () = (), String = row.username.to_lowercase());

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserState {
    Active,
    Blocked,
}

/// A group; its id comes from the sequence of namespaces.
#[derive(Clone, Serialize, Deserialize)]
pub struct Group {
    pub id: u64,
    pub name: String,
    pub path: String,
    pub parent_id: Option<u64>,
    pub full_path: String,
    pub description: String,
    pub visibility: Visibility,
    pub archived: bool,
    pub marked_for_deletion_on: Option<Date>,
    pub runners_token: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// What differs from the defaults of the settings table.
    pub settings: Map<String, Value>,
}
record!(Group, "groups", |row| Option<u64> = row.parent_id, String = row.full_path.to_lowercase());

#[derive(Clone, Serialize, Deserialize)]
pub struct Project {
    pub id: u64,
    pub name: String,
    pub path: String,
    /// A group's id or a user's `namespace_id`.
    pub namespace_id: u64,
    pub full_path: String,
    pub creator_id: u64,
    pub description: Option<String>,
    pub visibility: Visibility,
    pub topics: Vec<String>,
    /// The project that this one is a fork of.
    pub forked_from: Option<u64>,
    /// How far the copying of a fork is.
    pub import: Option<Import>,
    /// The branch that HEAD of the repository names; `None` while the repository is empty.
    pub default_branch: Option<String>,
    /// The default branch is about to be protected; a restart takes it up again.
    pub awaits_protection: bool,
    /// Path of the README on the default branch.
    pub readme: Option<String>,
    pub archived: bool,
    pub marked_for_deletion_on: Option<Date>,
    pub runners_token: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_activity_at: Timestamp,
    /// What differs from the defaults of the settings table.
    pub settings: Map<String, Value>,
}
record!(
    Project,
    "projects",
    |row| u64 = row.namespace_id,
    String = row.full_path.to_lowercase()
);

/// How far the copying of another project's repository is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Import {
    /// It has not begun or not ended; the branch that alone is copied.
    Scheduled(Option<String>),
    Finished,
}

/// What a member belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Group(u64),
    Project(u64),
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Member {
    pub id: u64,
    pub source: Source,
    pub user_id: u64,
    pub access_level: u8,
    pub expires_at: Option<Date>,
    pub created_by: Option<u64>,
    pub created_at: Timestamp,
}
record!(
    Member,
    "members",
    |row| Source = row.source,
    (Source, u64) = (row.source, row.user_id)
);

/// A group that a group or project is shared with.
#[derive(Clone, Serialize, Deserialize)]
pub struct GroupLink {
    pub id: u64,
    /// What is shared.
    pub source: Source,
    /// Whose members come with it.
    pub group_id: u64,
    /// The most that they may do.
    pub access_level: u8,
    pub expires_at: Option<Date>,
}
record!(
    GroupLink,
    "group_links",
    |row| Source = row.source,
    (Source, u64) = (row.source, row.group_id)
);

#[derive(Clone, Serialize, Deserialize)]
pub struct PersonalAccessToken {
    pub id: u64,
    pub user_id: u64,
    pub name: String,
    pub description: Option<String>,
    pub scopes: Vec<String>,
    /// SHA-256 of the token, in hexadecimal.
    pub digest: String,
    pub revoked: bool,
    /// The token that this one took the place of.
    pub previous: Option<u64>,
    pub expires_at: Option<Date>,
    pub last_used_at: Option<Timestamp>,
    pub created_at: Timestamp,
}
record!(
    PersonalAccessToken,
    "personal_access_tokens",
    |row| u64 = row.user_id,
    String = row.digest.clone()
);

impl PersonalAccessToken {
    pub fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|day| day <= today())
    }

    pub fn is_active(&self) -> bool {
        !self.revoked && !self.is_expired()
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub struct ProtectedBranch {
    pub id: u64,
    pub project_id: u64,
    pub name: String,
    pub allow_force_push: bool,
    pub code_owner_approval_required: bool,
    pub push_access_levels: Vec<AccessLevel>,
    pub merge_access_levels: Vec<AccessLevel>,
    pub unprotect_access_levels: Vec<AccessLevel>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
record!(
    ProtectedBranch,
    "protected_branches",
    |row| u64 = row.project_id,
    (u64, String) = (row.project_id, row.name.clone())
);

/// Who may do something to a protected branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLevel {
    pub id: u64,
    #[serde(flatten)]
    pub who: Grantee,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grantee {
    /// A role: 0 (no one), 30, 40 or 60 (admin).
    Role(u8),
    User(u64),
    Group(u64),
    DeployKey(u64),
}

#[derive(Clone, Serialize, Deserialize)]
pub struct DeployKey {
    pub id: u64,
    pub project_id: u64,
    /// Who added the key.
    pub user_id: u64,
    pub title: String,
    pub key: String,
    pub can_push: bool,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
}
record!(
    DeployKey,
    "deploy_keys",
    |row| u64 = row.project_id,
    (u64, String) = (row.project_id, row.key.clone())
);

/// A CI/CD variable.
#[derive(Clone, Serialize, Deserialize)]
pub struct Variable {
    pub id: u64,
    /// The project or group; `None` for one of the instance.
    pub source: Option<Source>,
    pub key: String,
    pub value: Option<String>,
    pub file: bool,
    pub protected: bool,
    pub masked: bool,
    /// The value is never shown again.
    pub hidden: bool,
    pub raw: bool,
    /// `*` for one of the instance, which has no scope.
    pub environment_scope: String,
    pub description: Option<String>,
}
record!(
    Variable,
    "ci_variables",
    |row| Option<Source> = row.source,
    (Option<Source>, String, String) = (row.source, row.key.clone(), row.environment_scope.clone())
);

impl Variable {
    /// How many an owner may have on GitLab's default plan.
    pub fn limit(source: Option<Source>) -> usize {
        match source {
            Some(Source::Project(_)) => 8_000,
            Some(Source::Group(_)) => 30_000,
            None => 25,
        }
    }

    pub fn variable_type(&self) -> &'static str {
        if self.file { "file" } else { "env_var" }
    }

    /// The value, unless it is hidden.
    pub fn shown_value(&self) -> Option<&str> {
        self.value.as_deref().filter(|_| !self.hidden)
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub struct MergeRequest {
    pub id: u64,
    /// The number that it has in its project.
    pub iid: u64,
    /// The project that it goes to.
    pub project_id: u64,
    pub source_project_id: u64,
    pub source_branch: String,
    pub target_branch: String,
    pub title: String,
    pub description: Option<String>,
    pub author_id: u64,
    pub assignee_ids: Vec<u64>,
    pub reviewer_ids: Vec<u64>,
    pub labels: Vec<String>,
    pub squash: bool,
    pub remove_source_branch: Option<bool>,
    pub discussion_locked: Option<bool>,
    pub allow_collaboration: bool,
    pub closed: Option<Event>,
    pub merged: Option<Merged>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
record!(
    MergeRequest,
    "merge_requests",
    |row| u64 = row.project_id,
    (u64, u64) = (row.project_id, row.iid)
);

/// Who did something, and when.
#[derive(Clone, Serialize, Deserialize)]
pub struct Event {
    pub user_id: u64,
    pub at: Timestamp,
}

/// How a merge request was merged.
#[derive(Clone, Serialize, Deserialize)]
pub struct Merged {
    pub event: Event,
    /// The merge commit; `None` where the branch was moved forward only.
    pub commit: Option<String>,
    pub squash_commit: Option<String>,
    /// Where the source and the target branch were.
    pub head: String,
    pub target: String,
}

/// A comment on a merge request, or a change to it that GitLab notes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Note {
    pub id: u64,
    pub merge_request_id: u64,
    pub author_id: u64,
    pub body: String,
    pub system: bool,
    /// Shown to reporters only.
    pub internal: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
record!(Note, "notes", |row| u64 = row.merge_request_id, u64 = row.id);

/// A named Terraform state of a project; its contents are its versions.
#[derive(Clone, Serialize, Deserialize)]
pub struct TerraformState {
    pub id: u64,
    pub project_id: u64,
    pub name: String,
    pub lock: Option<TerraformLock>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Set when its removal has been asked for; the removal follows in the background.
    pub deleted_at: Option<Timestamp>,
}
record!(
    TerraformState,
    "terraform_states",
    |row| u64 = row.project_id,
    (u64, String) = (row.project_id, row.name.clone())
);

/// Who holds a Terraform state.
#[derive(Clone, Serialize, Deserialize)]
pub struct TerraformLock {
    /// What the holder calls the lock.
    pub id: String,
    pub user_id: u64,
    pub at: Timestamp,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct TerraformStateVersion {
    pub id: u64,
    pub state_id: u64,
    pub serial: i32,
    /// Who held the lock when it was written; GitLab looks at nobody else.
    pub created_by: Option<u64>,
    /// The job that wrote it.
    pub job_id: Option<u64>,
    /// The file as it was sent.
    pub file: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
record!(
    TerraformStateVersion,
    "terraform_state_versions",
    |row| u64 = row.state_id,
    (u64, i32) = (row.state_id, row.serial)
);

/// A CI job, as far as its token goes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Job {
    pub id: u64,
    pub project_id: u64,
    /// Whose rights the token has.
    pub user_id: u64,
    /// SHA-256 of the token, in hexadecimal.
    pub digest: String,
    /// The token is good while the job runs.
    pub running: bool,
    pub created_at: Timestamp,
}
record!(
    Job,
    "jobs",
    |row| u64 = row.project_id,
    String = row.digest.clone()
);

/// A path that something had before it was renamed or moved.
#[derive(Clone, Serialize, Deserialize)]
pub struct RedirectRoute {
    pub id: u64,
    pub path: String,
    pub target: Source,
}
record!(
    RedirectRoute,
    "redirect_routes",
    |row| Source = row.target,
    String = row.path.to_lowercase()
);

/// The instance's settings that differ from the defaults; one row.
#[derive(Clone, Serialize, Deserialize)]
pub struct ApplicationSettings {
    pub id: u64,
    pub values: Map<String, Value>,
}
record!(
    ApplicationSettings,
    "application_settings",
    |row| () = (),
    u64 = row.id
);

/// A change to the database that goes on, batch by batch, after an upgrade.
#[derive(Clone, Serialize, Deserialize)]
pub struct BatchedBackgroundMigration {
    pub id: u64,
    pub job_class_name: String,
    pub table_name: String,
    pub column_name: String,
    /// `active`, `paused`, `finished`, `failed` or `finalizing`.
    pub status: String,
    /// Per cent.
    pub progress: f64,
    pub created_at: Timestamp,
}
record!(
    BatchedBackgroundMigration,
    "batched_background_migrations",
    |row| () = (),
    u64 = row.id
);

/// Ids that are not those of one table.
#[derive(Clone, Copy)]
pub enum Sequence {
    /// Groups and users' own namespaces share their ids.
    Namespaces = 1,
    /// Access levels live inside protected branches.
    AccessLevels = 2,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct SequenceState {
    pub id: u64,
    pub last: u64,
}
record!(SequenceState, "sequences", |row| () = (), u64 = row.id);
