//! Backups: GitLab's data, its `/etc/gitlab`, and a manifest that says what they are of.
//!
//! A backup is made of three files in a [target](Target): what `gitlab-backup` wrote, an archive of what it leaves out, and the
//! manifest, which is written last. Whatever has no manifest is no backup.

mod config;
mod create;
mod inside;
mod manifest;
mod record;
mod restore;
mod retention;
pub mod schedule;
mod stream;
mod target;
mod verify;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use super::omnibus::Ruby;
use super::{Blueprint, Error, Heard, Instance};
use crate::config::deploy::{self, Backup};
use crate::live::docker::Hands;
use crate::live::files;

pub use create::Created;
pub use manifest::{Counts, File, Id, Manifest, Release};
pub use record::{Made, Record, Verified};
pub use restore::{Restore, Restored};
pub use target::Listing;
pub use verify::Verdict;

use inside::Inside;
use record::Turn;
use target::Target;

/// Where GitLab keeps its archives unless it is told otherwise.
const BACKUPS: &str = "/var/opt/gitlab/backups";

/// Makes a backup, and gives its id.
///
/// # Errors
/// When it could not be made whole: nothing is left that looks like one. When the config does not say where to.
pub async fn create(instance: &Instance, heard: &dyn Heard) -> Result<String, Error> {
    let backups = Backups::open(instance).await?;
    let made = backups.create(heard, std::future::pending()).await?;
    Ok(made.manifest.id.to_string())
}

/// The backups of an instance.
pub struct Backups<'a> {
    instance: &'a Instance,
    spec: &'a Backup,
    target: Target,
    hands: Hands,
    backups: String,
    /// What marks the ids of this instance.
    owner: String,
}

/// Which backups go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruning {
    /// They go.
    pub goes: BTreeSet<Id>,
    /// They stay.
    pub stays: BTreeSet<Id>,
}

impl<'a> Backups<'a> {
    /// The backups of the instance, where the config says how it is backed up.
    ///
    /// # Errors
    /// When it does not, or when a secret is not to be had.
    pub async fn open(instance: &'a Instance) -> Result<Self, Error> {
        let spec = instance.spec.backup.as_ref().ok_or_else(|| {
            Error::failed(
                "failed to back up: the config does not say where to",
                "add `backup: {to: {directory: PATH}}` under `gitlab.deploy`",
            )
        })?;
        let target = Target::open(&spec.to, &instance.secrets, instance.place.root()).await?;
        let blueprint = Blueprint::new(&instance.spec, &instance.url, &instance.place);
        let backups = match blueprint.settings.get("gitlab_rails['backup_path']") {
            Some(Ruby::Text(path)) => path.clone(),
            _ => BACKUPS.to_owned(),
        };
        let path = instance.place.id();
        let id = files::read(&path).map_err(|error| Error::Io {
            doing: "read",
            path,
            error,
        })?;
        let id = id.and_then(|id| String::from_utf8(id).ok());
        Ok(Backups {
            instance,
            spec,
            target,
            hands: Hands::new(instance.looker().clone()),
            backups,
            owner: id.unwrap_or_else(|| instance.url.to_string()),
        })
    }

    fn inside(&self) -> Inside<'_> {
        Inside {
            hands: &self.hands,
            container: self.instance.name(),
            backups: &self.backups,
        }
    }

    /// What there is where backups are kept, of other instances too.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn list(&self) -> Result<Listing, Error> {
        let listed = self.target.list().await;
        listed.map_err(|error| self.about("list the backups", error))
    }

    /// The backup of this id, or the newest of this instance.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(&self, id: Option<&Id>) -> Result<Manifest, Error> {
        let listing = self.list().await?;
        let mut newest_first = listing.backups.into_iter().rev();
        let found = match id {
            Some(id) => newest_first.find(|manifest| manifest.id == *id),
            None => newest_first.find(|manifest| self.is_ours(manifest)),
        };
        if let (None, Some(why)) = (&found, id.and_then(|id| listing.unreadable.get(id))) {
            return Err(Error::failed(
                format!("failed to use that backup: {why}"),
                "use another: `autogit backup list` shows them",
            ));
        }
        found.ok_or_else(|| match id {
            Some(id) => Error::failed(
                format!("failed to find the backup {id} in {}", self.describe()),
                "`autogit backup list` shows those that there are",
            ),
            None => Error::failed(
                format!("failed to find a backup of {} in {}", self.instance.url, self.describe()),
                "make one with `autogit backup create`, or name one of another URL by its id: `autogit backup list`",
            ),
        })
    }

    /// Whether a backup is of this instance.
    pub fn is_ours(&self, manifest: &Manifest) -> bool {
        manifest.url == self.instance.url.as_str()
    }

    /// Which backups of this instance no rule asks for. Without rules all stay.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn pruning(&self) -> Result<Pruning, Error> {
        let listing = self.list().await?;
        let damaged = Record::read(&self.instance.place)?.damaged;
        let ours = listing.backups.iter().filter(|manifest| self.is_ours(manifest));
        let candidates: Vec<_> = ours
            .map(|manifest| retention::Candidate {
                id: manifest.id.clone(),
                at: manifest.created_at,
                damaged: damaged.contains_key(&manifest.id),
            })
            .collect();
        let goes = match &self.spec.keep {
            Some(keep) => retention::goes(&candidates, keep),
            None => BTreeSet::new(),
        };
        let all = candidates.into_iter().map(|candidate| candidate.id);
        let stays = all.filter(|id| !goes.contains(id)).collect();
        Ok(Pruning { goes, stays })
    }

    /// Removes the backups that a pruning names, and nothing that a newer one would not.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub async fn prune(&self, agreed: &Pruning) -> Result<BTreeSet<Id>, Error> {
        let _turn = Turn::take(&self.instance.place)?;
        self.remove(agreed).await
    }

    async fn remove(&self, agreed: &Pruning) -> Result<BTreeSet<Id>, Error> {
        let now = self.pruning().await?;
        let goes: BTreeSet<Id> = now.goes.intersection(&agreed.goes).cloned().collect();
        let ids: Vec<Id> = goes.iter().cloned().collect();
        let removed = self.target.remove(&ids).await;
        removed.map_err(|error| self.about("remove backups", error))?;
        Record::change(&self.instance.place, |record| {
            record.damaged.retain(|id, _| !goes.contains(id));
        })?;
        Ok(goes)
    }

    /// Where backups are kept, for people.
    pub fn describe(&self) -> String {
        match &self.spec.to {
            deploy::Target::Directory(path) => path.display().to_string(),
            deploy::Target::S3 {
                endpoint,
                bucket,
                prefix,
                ..
            } => match prefix {
                Some(prefix) => format!("the bucket {bucket}/{prefix} at {endpoint}"),
                None => format!("the bucket {bucket} at {endpoint}"),
            },
            deploy::Target::Restic { repository, .. } => format!("the repository {repository} of restic"),
        }
    }

    /// What went wrong with the target.
    fn about(&self, doing: &str, error: io::Error) -> Error {
        let remedy = match &self.spec.to {
            deploy::Target::Directory(_) => {
                "see that the directory is there, has space, and is yours to write"
            }
            deploy::Target::S3 { .. } => {
                "see that the bucket is there, and that the key may list, read, write and delete in it"
            }
            deploy::Target::Restic { .. } => "try it by hand: `restic -r REPOSITORY snapshots`",
        };
        Error::failed(
            format!("failed to {doing} in {}: {error}", self.describe()),
            remedy,
        )
    }
}

/// The backup was interrupted.
fn interrupted(doing: &str) -> Error {
    Error::failed(format!("failed to {doing}: interrupted"), "run it again")
}

/// A file of AutoGit's own directory could not be used.
fn io_error(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |error| Error::Io { doing, path, error }
}
