//! How backups went, as what makes them remembers it beside the config.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::Place;
use super::Told;
use crate::live::files;

/// The file that making and trying backups leaves in the [`Place`].
const FILE: &str = "last-backup.json";

/// How backups went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backups {
    /// When the last one was begun, whatever came of it.
    pub attempted_at: Option<Timestamp>,
    /// Why the last one failed; `None`: it did not.
    pub error: Option<String>,
    /// The last one that was made.
    pub made: Option<Backup>,
    /// The last one that was restored on trial.
    pub verified: Option<Backup>,
    /// Those that were found to be damaged, and how.
    pub damaged: BTreeMap<String, String>,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its id.
    pub id: String,
    /// When that was done to it.
    pub at: Timestamp,
}

impl Backups {
    pub(super) fn read(place: &Place) -> Told<Self> {
        let path = place.root().join(FILE);
        let failed = |why: String| format!("failed to read {}: {why}", path.display());
        match files::read(&path).map_err(|error| failed(error.to_string()))? {
            Some(text) => serde_json::from_slice(&text).map_err(|error| failed(error.to_string())),
            None => Ok(Backups::default()),
        }
    }
}
