//! The config as the rest of the house sees it: decoded, with the position of everything that may have to be pointed at.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::deploy::Deploy;
use crate::core::{Address, Path};

/// A place in one of the config's files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The file, as it was named on the command line or found by an include.
    pub file: PathBuf,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Where it is written.
    pub position: Position,
    /// Through what it came; `None` when it is the resource's own.
    pub via: Option<Via>,
}

/// Through what a value came to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via<N = String> {
    /// A preset that the resource names.
    Preset(N),
    /// A rule's own field.
    Rule(N),
    /// A preset that a rule names.
    RulePreset {
        /// The rule.
        rule: N,
        /// The preset.
        preset: N,
    },
    /// What a rule has locked.
    Lock(N),
}

impl<N> Via<N> {
    /// The rule, if it came through one.
    pub fn rule(&self) -> Option<&N> {
        match self {
            Via::Preset(_) => None,
            Via::Rule(rule) | Via::RulePreset { rule, .. } | Via::Lock(rule) => Some(rule),
        }
    }
}

impl From<Via<&str>> for Via {
    fn from(via: Via<&str>) -> Self {
        match via {
            Via::Preset(preset) => Via::Preset(preset.into()),
            Via::Rule(rule) => Via::Rule(rule.into()),
            Via::RulePreset { rule, preset } => Via::RulePreset {
                rule: rule.into(),
                preset: preset.into(),
            },
            Via::Lock(rule) => Via::Lock(rule.into()),
        }
    }
}

impl<N: fmt::Display> fmt::Display for Via<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Via::Preset(preset) => write!(f, "preset {preset}"),
            Via::Rule(rule) => write!(f, "rule {rule}"),
            Via::RulePreset { rule, preset } => write!(f, "rule {rule}, preset {preset}"),
            Via::Lock(rule) => write!(f, "lock of rule {rule}"),
        }
    }
}

impl Serialize for Via {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.via {
            Some(via) => write!(f, "{} ({via})", self.position),
            None => write!(f, "{}", self.position),
        }
    }
}

/// The whole config.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How to reach GitLab.
    pub gitlab: Gitlab,
    /// What happens to what AutoGit manages and the config no longer declares.
    pub prune: Prune,
    /// Where state is kept, if not beside the config.
    pub state: Option<GitlabState>,
    /// Every resource declared, nested ones under their own address.
    pub declarations: BTreeMap<Address, Declaration>,
    /// The nested collections that were written, even empty ones, by their kind and their parent's address: `prune: all` holds those complete.
    pub collections: BTreeMap<(String, Path), Origin>,
    /// The policies of nested collections, by their kind and their parent's address. One without a policy goes by `prune`.
    pub policies: BTreeMap<(String, Path), Policy>,
}

impl Config {
    /// How many resources are declared, the instance among them.
    pub fn resources(&self) -> usize {
        self.declarations.len() + usize::from(self.gitlab.deploy.is_some())
    }
}

/// One resource as the config asks for it.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The declared fields in their kind's normal form; a field left out is not managed.
    pub value: Map<String, Value>,
    /// `absent: true`: must not exist.
    pub absent: bool,
    /// The path it had before.
    pub moved_from: Option<Path>,
    /// Where its key is written: in the rule, for a repo that the file does not list.
    pub position: Position,
    /// Through what it came to be declared; `None` when the file itself lists it.
    pub via: Option<Via>,
    /// Where each top-level field of `value` came from.
    pub origins: BTreeMap<String, Origin>,
    /// Declared fields that only GitLab Enterprise Edition knows.
    pub enterprise_fields: Vec<String>,
}

/// The `gitlab:` section.
#[derive(Clone, Debug, Default)]
pub struct Gitlab {
    /// The instance's base URL.
    pub url: Option<url::Url>,
    /// Reference to the access token.
    pub token: Option<SecretRef>,
    /// What the user, or the image that is deployed, says the instance is; unset: asked of GitLab at plan time.
    pub edition: Option<Edition>,
    /// A PEM file with the certificate authority that signed the instance's certificate, relative to the config.
    pub ca_file: Option<PathBuf>,
    /// How AutoGit runs the instance, if it does.
    pub deploy: Option<Deployment>,
}

/// The `deploy` section, and where it is written.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// What is written.
    pub spec: Deploy,
    /// Where each of its fields is written, dotted from `deploy` on; the section itself under the empty name.
    pub positions: BTreeMap<String, Position>,
}

impl Deployment {
    /// Where a field is written, or what comes nearest to it.
    pub fn position(&self, field: &str) -> Option<&Position> {
        let mut field = field;
        loop {
            match (self.positions.get(field), field.rsplit_once('.')) {
                (Some(position), _) => return Some(position),
                (None, Some((outer, _))) => field = outer,
                (None, None) => return self.positions.get(""),
            }
        }
    }
}

/// Which GitLab is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Edition {
    /// Community Edition.
    Ce,
    /// Enterprise Edition.
    Ee,
}

/// State in GitLab's own Terraform-state API, on the instance at `gitlab.url`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitlabState {
    /// The path of the project that keeps the state. It must exist, and whoever may read its state (Developer) sees what AutoGit manages.
    #[schemars(extend("examples" = ["platform/forge"]))]
    pub project: String,
    /// The state's name in that project.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$"), extend("examples" = ["production"]))]
    pub name: String,
    /// Reference to a token for the state alone; `gitlab.token` unless it is set. `{env: CI_JOB_TOKEN}` is sent as the token of a CI job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"env": "CI_JOB_TOKEN"}]))]
    pub token: Option<SecretRef>,
}

/// What happens to what AutoGit manages and the config no longer declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prune {
    /// Nothing is removed.
    None,
    /// What AutoGit created, and only that, is removed.
    #[default]
    Owned,
    /// Nested collections that are declared are complete: anything else in them is removed.
    All,
}

/// What becomes of what a rule asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is planned and applied.
    #[default]
    Enforce,
    /// What would change is shown and counted, and never changed.
    Report,
}

/// What happens to what stands in one nested collection and is not declared there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The collection is complete: anything else in it is removed, whatever `prune` says.
    Exact,
    /// Nothing is removed for not being declared, whatever `prune` says: not even what AutoGit added itself.
    AtLeast,
}

/// Where a secret is to be had; never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(extend("x-secret" = true))]
pub enum SecretRef {
    /// An environment variable.
    Env(#[schemars(regex(pattern = ENV_NAME))] String),
    /// A file, relative to the config; one trailing newline is dropped.
    File(PathBuf),
    /// A program and its arguments; its standard output, one trailing newline dropped. Runs only with `--allow-exec`.
    Exec(#[schemars(length(min = 1))] Vec<String>),
}

/// What the name of an environment variable looks like, as a regular expression.
const ENV_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// Whether `text` can be the name of an environment variable.
pub(super) fn is_env_name(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
