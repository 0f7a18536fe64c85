//! `autogit unlock`: clears a lock that a dead process left.

use anstream::println;

use super::connect::State;
use super::{Exit, Global, Problem};

/// Clear the lock that a dead process left
///
/// A lock in a directory is never taken from a process that lives. Whether the holder of a lock in GitLab lives cannot be
/// known: it is shown, and its lock is cleared only with --force.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit unlock
  autogit unlock --force    the job that held the lock was killed")]
pub struct Args {
    #[command(flatten)]
    state: State,
    /// Clear a lock in GitLab, whoever holds it: a run that still goes on finds out and stops
    #[arg(long)]
    force: bool,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let store = self.state.store(global).await?;
        match store.unlock(self.force).await? {
            Some(holder) => println!("Cleared the lock of {holder}."),
            None => println!("Nothing is locked."),
        }
        Ok(Exit::Done)
    }
}
