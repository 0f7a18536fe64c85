//! Backups: GitLab's data, its `/etc/gitlab`, and a manifest that says what they are of.

use super::{Error, Heard, Instance};

/// Makes a backup, and gives its id.
///
/// # Errors
/// When it could not be made whole: nothing is left that looks like one.
pub async fn create(_instance: &Instance, _heard: &dyn Heard) -> Result<String, Error> {
    Err(Error::failed(
        "failed to back up: this is being built",
        "wait for it",
    ))
}
