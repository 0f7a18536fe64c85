//! `autogit unlock`: clears what a dead process left of its lock.

use anstream::println;

use super::{Exit, Global, Problem, connect};
use crate::engine::state::Store;

/// Clear the lock that a dead process left
///
/// A lock that a living process holds is never taken from it.
#[derive(clap::Args)]
pub struct Args {
    /// The lock of the sandbox's state instead of that of the config's GitLab
    #[arg(long)]
    sandbox: bool,
}

impl Args {
    pub fn run(self, global: &Global) -> Result<Exit, Problem> {
        match connect::offline_store(global, self.sandbox)?.unlock()? {
            Some(holder) => println!("Cleared the lock of {holder}."),
            None => println!("Nothing is locked."),
        }
        Ok(Exit::Done)
    }
}
