//! Why state could not be used, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::Holder;
use crate::live::gitlab::{self, Kind};

/// Why state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Somebody else works on it.
    #[error("the state is locked by {}", or_another(holder.as_ref()))]
    Locked {
        /// Who, if they say.
        holder: Option<Holder>,
        /// Whether it can be cleared by force alone, for want of knowing whether its holder lives.
        by_force: bool,
    },
    /// The lock was ours, and is not any more.
    #[error("the lock of the state in {place} was lost: {}; nothing more was written", taken_by(holder.as_ref()))]
    Lost {
        /// Which state.
        place: String,
        /// Who holds it now.
        holder: Option<Holder>,
    },
    /// Somebody saved while this run had it.
    #[error(
        "failed to save the state in {place}: somebody saved its serial {serial} meanwhile; nothing was overwritten"
    )]
    Conflict {
        /// Which state.
        place: String,
        /// The serial that is taken.
        serial: u64,
    },
    /// Nothing is written without the lock.
    #[error("failed to save the state in {0}: the lock is not held")]
    NotLocked(String),
    /// GitLab said no.
    #[error("failed to use the state in {place}: {error}")]
    Gitlab {
        /// Which state.
        place: String,
        /// What it said.
        error: gitlab::Error,
    },
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
    /// A part of the state is not what this program writes.
    #[error("failed to read {place}: {why}")]
    Unreadable {
        /// Which file, or which state.
        place: String,
        /// What is wrong, and what to do.
        why: String,
    },
}

impl StateError {
    /// What to do about it, where the error itself does not say.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            StateError::Locked { by_force: false, .. } => "wait until it is done".into(),
            StateError::Locked { by_force: true, .. } => {
                "wait until it is done; if it was killed, and you are sure of \
                 that, `autogit unlock --force` clears its lock"
                    .into()
            }
            StateError::Lost { .. } | StateError::Conflict { .. } => {
                "once nobody else is at it, run it again: AutoGit finds out what is left".into()
            }
            StateError::Gitlab { error, .. } => return remedy(error),
            StateError::NotLocked(_) | StateError::Io { .. } | StateError::Unreadable { .. } => return None,
        })
    }
}

/// What to do about GitLab's refusal to let a state be used.
fn remedy(error: &gitlab::Error) -> Option<String> {
    Some(match error.kind() {
        Kind::Unauthorized => "the token is not valid, or has expired: put another one where `state.gitlab.token` points, or \
             `gitlab.token` where that is not set"
            .into(),
        Kind::Forbidden => "reading needs the scope `read_api` and the role Developer in the project, locking and writing `api` \
             and Maintainer; infrastructure must not be disabled in the project's settings"
            .into(),
        Kind::NotFound => "the project is not there, or not visible to this token: make its user a Developer of it to plan and a \
             Maintainer to apply, or create it first, private, with nobody in it who may not see the state"
            .into(),
        Kind::Moved => "the project was renamed or transferred: correct `state.gitlab.project`".into(),
        _ => return error.remedy(),
    })
}

fn or_another(holder: Option<&Holder>) -> String {
    holder.map_or("another process".into(), Holder::to_string)
}

fn taken_by(holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => format!("it is held by {holder} now"),
        None => "somebody cleared it".into(),
    }
}
