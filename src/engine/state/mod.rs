//! State: the ledger of what AutoGit manages, the journal of what it was about to do, and the lock. Live systems are the truth:
//! losing the state loses no resource.

mod directory;
mod fingerprint;
mod journal;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::core::{Address, Entry};

pub use directory::Directory;
pub(in crate::engine) use directory::replace;
pub use fingerprint::FingerprintKey;
pub use journal::{Intent, Journal};

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
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// User and host, as far as the environment tells.
    pub who: String,
    /// The command.
    pub operation: String,
    /// Since when.
    pub since: jiff::Timestamp,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Holder {
            pid,
            who,
            operation,
            since,
        } = self;
        write!(f, "`autogit {operation}` of {who}, process {pid}, since {since}")
    }
}

/// Where state is kept.
pub trait Store: Send + Sync {
    /// What a plan's header calls it.
    fn describe(&self) -> String;

    /// The ledger, with what an interrupted run's journal adds to it; an empty one where there is none yet.
    fn load(&self) -> Result<Ledger, StateError>;

    /// Replaces the ledger, counting its serial up, and ends the journal that led to it.
    fn save(&self, ledger: Ledger) -> Result<(), StateError>;

    /// Saves the ledger that a run starts from, and begins the run's journal. The lock must be held.
    fn begin(&self, ledger: Ledger) -> Result<Journal, StateError>;

    /// The key of this store's fingerprints.
    fn fingerprint_key(&self) -> Result<FingerprintKey, StateError>;

    /// Takes the lock for as long as the guard lives.
    fn lock(&self, operation: &str) -> Result<Lock, StateError>;

    /// Clears what a dead process left in the lock, and says whose it was; never under a live one.
    fn unlock(&self) -> Result<Option<Holder>, StateError>;

    /// Who holds the lock now, if anyone.
    fn holder(&self) -> Result<Option<Holder>, StateError>;
}

/// The lock, held until dropped.
pub struct Lock {
    release: Option<Box<dyn FnOnce() + Send>>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

/// Why state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Somebody else works on it.
    #[error("the state is locked by {}; wait until it is done", .0.as_ref().map_or("another process".into(), Holder::to_string))]
    Locked(Option<Holder>),
    /// The file system said no.
    #[error("failed to {doing} {}: {error}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A file of the state is not what this program writes.
    #[error("failed to read {}: {why}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
}
