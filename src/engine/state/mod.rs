//! State: the ledger of what AutoGit manages, the journal of what it was about to do, and the lock. Live systems are the truth:
//! losing the state loses no resource.

mod directory;
mod document;
mod error;
mod fingerprint;
mod history;
mod holder;
mod journal;
mod remote;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::core::{Address, Entry, Live, Plan};

pub use directory::Directory;
pub(in crate::engine) use directory::replace;
pub use document::Document;
pub use error::StateError;
pub use fingerprint::FingerprintKey;
pub use history::{PastRun, PastStep};
pub use holder::Holder;
pub use journal::{Intent, Journal};
pub use remote::Remote;

/// What AutoGit manages on one instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The format: [`Ledger::VERSION`].
    pub version: u32,
    /// The instance's URL, so that a ledger is never used for another.
    pub instance: String,
    /// Counts the times it was saved.
    pub serial: u64,
    /// What is managed.
    pub resources: BTreeMap<Address, Entry>,
    /// What interrupted runs may have written, and nobody has looked at since.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub in_doubt: BTreeMap<Address, Intent>,
    /// The store that it was moved to: here it is of no more use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
}

impl Ledger {
    /// The format this program reads and writes.
    pub const VERSION: u32 = 1;

    /// An empty ledger for `instance`.
    pub fn new(instance: &str) -> Self {
        Ledger {
            version: Self::VERSION,
            instance: instance.to_owned(),
            ..Ledger::default()
        }
    }

    /// Refuses one that a newer program wrote, that belongs to another instance than `instance`, or that was moved.
    ///
    /// # Errors
    /// Says why it is refused, and what to do.
    pub fn check(&self, instance: &str) -> Result<(), String> {
        let (format, known) = (self.version, Self::VERSION);
        if format > known {
            return Err(format!(
                "it has format {format}, and this program knows up to {known}: use a newer one"
            ));
        }
        if self.instance != instance {
            return Err(format!(
                "it belongs to {}, not to {instance}: correct `gitlab.url`, or keep the state elsewhere to start anew",
                self.instance
            ));
        }
        match &self.moved_to {
            Some(place) => Err(format!(
                "it was moved to {place}: let `state` in the config say so, or move it back with `autogit state move`"
            )),
            None => Ok(()),
        }
    }
}

/// Where state is kept. Clones are the same store.
#[derive(Clone)]
pub enum Store {
    /// In files beside the config.
    Directory(Arc<Directory>),
    /// In GitLab's Terraform-state API.
    Remote(Remote),
}

/// What a run is about to do.
pub struct Beginning<'a> {
    /// The command.
    pub operation: &'a str,
    /// What it carries out.
    pub plan: &'a Plan,
    /// What is there.
    pub live: &'a BTreeMap<Address, Live>,
    /// GitLab's clock.
    pub now: Option<jiff::Timestamp>,
}

impl Store {
    /// The instance whose state it is.
    pub fn instance(&self) -> &str {
        match self {
            Store::Directory(directory) => directory.instance(),
            Store::Remote(remote) => remote.instance(),
        }
    }

    /// What a plan's header calls it.
    pub fn describe(&self) -> String {
        match self {
            Store::Directory(directory) => directory.root().display().to_string(),
            Store::Remote(remote) => remote.describe().to_owned(),
        }
    }

    /// The ledger, with what an interrupted run's journal adds to it; an empty one where there is none yet.
    ///
    /// # Errors
    /// When it cannot be read: that is never taken for "none yet".
    pub async fn load(&self) -> Result<Ledger, StateError> {
        match self {
            Store::Directory(directory) => directory.load(),
            Store::Remote(remote) => remote.load().await,
        }
    }

    /// Replaces the ledger, counting its serial up, and ends the journal that led to it. The lock must be held.
    ///
    /// # Errors
    /// When it cannot be written, or the lock was lost.
    pub async fn save(&self, ledger: Ledger) -> Result<(), StateError> {
        match self {
            Store::Directory(directory) => directory.save(ledger),
            Store::Remote(remote) => remote.save(ledger).await,
        }
    }

    /// The whole state, whatever it is of, or `None` where there is none yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn pull(&self) -> Result<Option<Document>, StateError> {
        let document = match self {
            Store::Directory(directory) => directory.pull(),
            Store::Remote(remote) => remote.pull().await,
        };
        Ok(Some(document?).filter(|document| document.ledger.serial > 0))
    }

    /// Replaces the whole state, counting its serial up from the higher one. The lock must be held.
    ///
    /// # Errors
    /// As for [`Store::save`].
    pub async fn push(&self, document: Document) -> Result<(), StateError> {
        match self {
            Store::Directory(directory) => directory.push(document),
            Store::Remote(remote) => remote.push(document).await,
        }
    }

    /// Saves the ledger that a run starts from, and begins the run's journal. The lock must be held. What is begun again
    /// under the same lock is the same run.
    ///
    /// # Errors
    /// As for [`Store::save`].
    pub async fn begin(&self, ledger: Ledger, beginning: &Beginning<'_>) -> Result<Journal, StateError> {
        match self {
            Store::Directory(directory) => directory.begin(ledger, beginning),
            Store::Remote(remote) => remote.begin(ledger, beginning).await,
        }
    }

    /// The numbers and contents of the newest runs that the store remembers, newest first: `most` at most.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn runs(&self, most: usize) -> Result<Vec<PastRun>, StateError> {
        match self {
            Store::Directory(directory) => directory.runs(most),
            Store::Remote(remote) => remote.runs(most).await,
        }
    }

    /// The key of this store's fingerprints. Where a store that is not of this machine has none yet, it is new, and
    /// kept with the first ledger that is saved.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn fingerprint_key(&self) -> Result<FingerprintKey, StateError> {
        match self {
            Store::Directory(directory) => directory.fingerprint_key(),
            Store::Remote(remote) => remote.fingerprint_key().await,
        }
    }

    /// Takes the lock, to be held until it is released or this process ends.
    ///
    /// # Errors
    /// [`StateError::Locked`] when somebody else holds it.
    pub async fn lock(&self, operation: &str) -> Result<(), StateError> {
        match self {
            Store::Directory(directory) => directory.lock(operation),
            Store::Remote(remote) => remote.lock(operation).await,
        }
    }

    /// Gives the lock back, if it is held.
    ///
    /// # Errors
    /// When that could not be done.
    pub async fn release(&self) -> Result<(), StateError> {
        match self {
            Store::Directory(directory) => {
                directory.release();
                Ok(())
            }
            Store::Remote(remote) => remote.release().await,
        }
    }

    /// Clears a lock that another left behind, and says whose it was. A directory's is never cleared under a living
    /// process; of GitLab's nobody can tell whether its holder lives, so it is cleared only with `force`.
    ///
    /// # Errors
    /// [`StateError::Locked`] when it was not cleared.
    pub async fn unlock(&self, force: bool) -> Result<Option<Holder>, StateError> {
        match self {
            Store::Directory(directory) => directory.unlock(),
            Store::Remote(remote) => remote.unlock(force).await,
        }
    }

    /// Who holds the lock now, if anyone.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn holder(&self) -> Result<Option<Holder>, StateError> {
        match self {
            Store::Directory(directory) => directory.holder(),
            Store::Remote(remote) => remote.holder().await,
        }
    }
}
