//! Bringing the instance about: files, network, volumes, container, and what GitLab in it is told.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{Error, Instance, Site, upgrade};
use crate::core::{Fields, Step};

/// Hears what goes on, phase by phase.
pub trait Heard: Send + Sync {
    /// Something began that may take a while: `waiting for database migrations`.
    fn phase(&self, what: &str);
    /// A line that somebody who waits may want to see.
    fn line(&self, line: &str);
}

/// What is there once it is done.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// What identifies it.
    pub id: String,
    /// Its fields as they were brought about.
    pub value: Fields,
    /// The secrets that it was given, by field.
    pub secrets: BTreeMap<String, SecretString>,
}

impl Instance {
    /// Carries out the one step of a plan of the instance, and waits until GitLab is ready and AutoGit has a token.
    ///
    /// # Errors
    /// When something failed; what was there before is there again where that is possible, and the message says so.
    pub async fn apply(&self, site: &Site, step: &Step, heard: &dyn Heard) -> Result<Applied, Error> {
        if step
            .changes
            .iter()
            .any(|change| change.field == "image" && change.before.is_some())
        {
            upgrade::prepare(self, site, step, heard).await?;
        }
        Err(Error::failed(
            "failed to deploy: this is being built",
            "wait for it",
        ))
    }
}
