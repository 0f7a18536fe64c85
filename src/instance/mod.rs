//! The GitLab that AutoGit runs itself, in a container of Docker.
//!
//! What is declared becomes a [`Blueprint`] (pure), Docker and the files beside the config are observed, and the two are compared
//! by the same planner as everything else: one resource, `instance.<name>`, with a field for everything that can differ.

mod apply;
mod asked;
pub mod backup;
mod blueprint;
mod bootstrap;
mod change;
mod container;
mod content;
mod effective;
mod endpoints;
pub mod health;
mod hide;
mod left;
pub mod logs;
mod observe;
pub mod omnibus;
mod own_file;
mod place;
mod plan;
mod preflight;
mod rules;
mod sight;
mod site;
mod stops;
pub mod tls;
mod upgrade;
mod wait;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use url::Url;

use crate::config::SecretRef;
use crate::config::deploy::Deploy;
use crate::core::{Address, Key};
use crate::live::docker::{self, Looker};
use crate::live::secrets::Secrets;

pub use apply::{Applied, Heard};
pub use blueprint::Blueprint;
pub use container::LABEL;
pub use endpoints::Endpoints;
pub use left::{Left, left_at};
pub use place::{Host, Place};
pub use plan::Known;
pub use sight::Found;
pub use site::Site;
pub use stops::{Release, Stop, Version, next_stop};

/// The kind's name in addresses.
pub const KIND: &str = "instance";

/// The name of the container unless the config gives one.
pub const DEFAULT_NAME: &str = "gitlab";

/// The instance that a config deploys.
#[derive(Clone)]
pub struct Instance {
    /// What is declared.
    pub spec: Deploy,
    /// The URL that users know it by.
    pub url: Url,
    /// Where AutoGit keeps what the container is given, and its own token.
    pub place: Place,
    /// Resolves references to secrets.
    pub secrets: Arc<Secrets>,
    /// The reference to the token that it is reached with; `None`: the one that AutoGit makes.
    token: Option<SecretRef>,
    /// A certificate authority to trust at its URL.
    ca_file: Option<PathBuf>,
    /// The config that declares it; `None`: nothing that runs later can find it.
    config_file: Option<PathBuf>,
    looker: Looker,
}

/// Why the instance could not be observed or brought about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Docker, or the way to it, said no.
    #[error(transparent)]
    Docker(#[from] docker::Error),
    /// A file could not be read or written.
    #[error("failed to {doing} {}: {error}", path.display())]
    Io {
        /// What was to be done: `write`.
        doing: &'static str,
        /// To which file.
        path: std::path::PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Something else, said in full.
    #[error("{message}")]
    Failed {
        /// What failed, where and why: `failed to …`.
        message: String,
        /// What to do.
        remedy: Option<String>,
    },
}

impl Error {
    /// A failure and what to do about it.
    pub fn failed(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error::Failed {
            message: message.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// What to do about it, where that is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Error::Docker(error) => error.remedy(),
            Error::Io { .. } => None,
            Error::Failed { remedy, .. } => remedy.clone(),
        }
    }
}

impl Instance {
    /// Connects to Docker. `state` is AutoGit's directory beside the config.
    ///
    /// # Errors
    /// When Docker does not answer.
    pub async fn open(spec: &Deploy, url: &Url, state: &Path, secrets: Arc<Secrets>) -> Result<Self, Error> {
        let host = docker::host(spec.docker.host.as_deref());
        Ok(Instance {
            place: Place::new(state, name(spec)),
            looker: Looker::connect(&host).await?,
            spec: spec.clone(),
            url: url.clone(),
            secrets,
            token: None,
            ca_file: None,
            config_file: None,
        })
    }

    /// This instance, reached with the token that a reference names, and trusting a certificate authority.
    pub fn reached(self, token: Option<SecretRef>, ca_file: Option<PathBuf>) -> Self {
        Instance {
            token,
            ca_file,
            ..self
        }
    }

    /// This instance, as a config file declares it: backups are made by that on a schedule.
    pub fn declared_in(self, config: &Path) -> Self {
        Instance {
            config_file: Some(config.to_owned()),
            ..self
        }
    }

    /// The container's name.
    pub fn name(&self) -> &str {
        name(&self.spec)
    }

    /// The address of the instance in plans and the ledger.
    pub fn address(&self) -> Address {
        address(&self.spec)
    }

    /// The way to look at its Docker Engine.
    pub fn looker(&self) -> &Looker {
        &self.looker
    }
}

/// The name of the container that is declared.
pub fn name(spec: &Deploy) -> &str {
    spec.docker.name.as_deref().unwrap_or(DEFAULT_NAME)
}

/// The address of the instance that is declared.
pub fn address(spec: &Deploy) -> Address {
    Address::new(KIND, Key::top(name(spec)))
}
