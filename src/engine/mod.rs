//! The engine: observes through a reader that cannot write, plans, and applies through a journal.

pub mod apply;
mod claims;
mod desired;
pub mod doctor;
mod observe;
mod reported;
mod revert;
mod saved;
pub mod secrets;
mod session;
mod stage;
pub mod state;
mod survey;

use crate::core::planner::Circle;
use crate::{kinds, live};

pub use apply::{Applying, Failure, Interrupt, Progress, Report};
pub use desired::{Desired, Inventory};
pub use observe::{About, Reach};
pub use revert::WayBack;
pub use saved::{SavedPlan, Seen, Stale};
pub use session::{Planned, Session};
pub use stage::{Departure, Stage, StageError, on_an_empty_instance};
pub use survey::{Survey, Targets};

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// GitLab, or the way to it, said no.
    #[error(transparent)]
    Gitlab(#[from] live::gitlab::Error),
    /// A kind could not observe.
    #[error(transparent)]
    Kind(#[from] kinds::Error),
    /// State could not be used.
    #[error(transparent)]
    State(#[from] state::StateError),
    /// Resources need each other in a circle.
    #[error(transparent)]
    Circle(#[from] Circle),
    /// GitLab is older than what AutoGit knows.
    #[error("{url} runs GitLab {version}: AutoGit needs 17.0 or later")]
    TooOld {
        /// The instance.
        url: String,
        /// Its version.
        version: String,
    },
    /// A target names nothing.
    #[error(
        "target `{0}` matches nothing that is declared: write an address such as `repo.platform/api`, or a glob such as `*.platform/*`"
    )]
    NoSuchTarget(String),
    /// A list of repos that GitLab cut short.
    #[error(
        "failed to list the repos: `{0}` is there and was not listed, so the rules cannot be judged; nothing was changed: try again"
    )]
    Unlisted(crate::core::Path),
    /// A saved plan does not fit what is there now.
    #[error(transparent)]
    Stale(#[from] Stale),
}
