//! What is remembered of backups beside the config: how the last one went, and which were found to be damaged.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::manifest::{Id, Manifest};
use crate::instance::{Error, Place};
use crate::live::files;

/// How backups went: `last-backup.json` in the [`Place`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When the last one was begun, whatever came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted_at: Option<Timestamp>,
    /// Why the last one failed; `None`: it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The last one that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// The last one that was restored on trial, and was what it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// Those that were found to be damaged, and how. Retention counts none of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub damaged: BTreeMap<Id, String>,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its id.
    pub id: Id,
    /// When it was done.
    pub at: Timestamp,
    /// Its bytes.
    pub size: u64,
}

/// A backup that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Its id.
    pub id: Id,
    /// When.
    pub at: Timestamp,
}

impl Record {
    /// What is remembered; nothing where no backup was ever tried.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(place: &Place) -> Result<Self, Error> {
        let path = place.root().join("last-backup.json");
        let text = files::read(&path).map_err(|error| Error::Io {
            doing: "read",
            path: path.clone(),
            error,
        })?;
        let Some(text) = text else {
            return Ok(Record::default());
        };
        serde_json::from_slice(&text).map_err(|error| {
            Error::failed(
                format!("failed to read {}: {error}", path.display()),
                "remove it: it only says how the last backup went",
            )
        })
    }

    /// Changes what is remembered.
    pub(super) fn change(place: &Place, change: impl FnOnce(&mut Record)) -> Result<(), Error> {
        let mut record = Record::read(place)?;
        change(&mut record);
        let path = place.root().join("last-backup.json");
        let text = serde_json::to_vec_pretty(&record).expect("it is plain text");
        files::replace(&path, &text).map_err(|error| Error::Io {
            doing: "write",
            path,
            error,
        })
    }

    /// Notes what came of making a backup.
    pub(super) fn note(&mut self, begun: Timestamp, outcome: Result<&Manifest, &Error>) {
        self.attempted_at = Some(begun);
        self.error = outcome.err().map(ToString::to_string);
        if let Ok(manifest) = outcome {
            self.made = Some(Made {
                id: manifest.id.clone(),
                at: Timestamp::now(),
                size: manifest.size(),
            });
        }
    }
}

/// Held while backups are made, tried, restored or removed: one at a time.
pub(super) struct Turn(#[expect(dead_code, reason = "held, not used")] File);

impl Turn {
    /// Takes it.
    ///
    /// # Errors
    /// When another process has it.
    pub fn take(place: &Place) -> Result<Self, Error> {
        let path = place.root().join("backup.lock");
        let open = || {
            files::make_folder(place.root())?;
            let mut options = OpenOptions::new();
            options
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path)
        };
        let file = open().map_err(|error| Error::Io {
            doing: "open",
            path: path.clone(),
            error,
        })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Turn(file)),
            Err(_) => Err(Error::failed(
                "failed to begin: another `autogit backup` of this instance goes on",
                "wait for it; `systemctl status` or `ps` show what it is",
            )),
        }
    }
}
