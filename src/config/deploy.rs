//! The `deploy` section: the GitLab that AutoGit runs itself. What is written here, and nothing of what follows from it.

mod backup;
mod check;
mod docker;
mod listeners;
mod omnibus;
mod services;
mod sign_in;
mod tls;
mod units;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{Edition, SecretRef};

pub use backup::{Backup, Cron, Encryption, Keep, Target};
pub(super) use check::{check, remarks};
pub use docker::{Docker, Limits, Ports, Profile, Publish, Restart, Ulimit, Volumes};
pub use listeners::{Listener, Service};
pub use omnibus::{OmnibusKey, names_secret};
pub(crate) use services::OBJECTS;
pub use services::{Monitoring, ObjectStorage, Registry, ReverseProxy, Smtp, SmtpTls, Ssh};
pub use sign_in::{ClientAuth, Github, Google, Ldap, LdapEncryption, OpenidConnect, Provider, Saml, SignIn};
pub use tls::Tls;
pub use units::{Duration, Size};

/// The GitLab that AutoGit runs itself, at `gitlab.url`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The container that it runs in.
    pub docker: Docker,
    /// How HTTPS is had when `gitlab.url` begins with `https://` and no reverse proxy ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// A proxy of your own stands in front and ends HTTPS: GitLab itself speaks HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse_proxy: Option<ReverseProxy>,
    /// What clone URLs over SSH show, where that is not the host of `gitlab.url` and the host's port `docker.ports.ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// The administrator `root` as GitLab first makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// The container registry. Off unless this is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
    /// How mail is sent. None is sent unless this is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
    /// Where artifacts, uploads, packages and the like are kept, if not in the data volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_storage: Option<ObjectStorage>,
    /// What GitLab measures of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Who may sign in with accounts that are kept elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignIn>,
    /// More settings of `gitlab.rb`, by their key as it stands there. What AutoGit derives from other fields cannot be set here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = [{"gitlab_rails['time_zone']": "Europe/Berlin"}]))]
    pub omnibus: BTreeMap<String, Setting>,
    /// How it is backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// How its version is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// How long it may take to be ready after a start. Default: 20m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_within: Option<Duration>,
}

impl Deploy {
    /// Which edition the image is, by its name and tag as GitLab gives them; `None`: they do not tell.
    pub fn edition(&self) -> Option<Edition> {
        let image = self.docker.image.rsplit('/').next().unwrap_or_default();
        match (image.contains("-ce"), image.contains("-ee")) {
            (true, false) => Some(Edition::Ce),
            (false, true) => Some(Edition::Ee),
            _ => None,
        }
    }
}

/// The administrator `root`. Only a GitLab that starts with an empty data volume looks at this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Reference to the first password. GitLab makes one up unless this is set, and removes the file that holds it after 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"file": "root-password"}]))]
    pub password: Option<SecretRef>,
    /// The first mail address. GitLab makes one up at `example.com` unless this is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["ada@example.org"]))]
    pub email: Option<String>,
}

/// How the version is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// Whether a backup is made before. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
    /// How long background migrations may take to end before. Default: 2h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations_within: Option<Duration>,
}

/// The value of a setting in `gitlab.rb`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Setting {
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Setting>),
    /// A map, or a reference to a secret: `{env: NAME}`, `{file: PATH}`, `{exec: [program]}`.
    Map(BTreeMap<String, Setting>),
}
