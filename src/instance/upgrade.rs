//! Changing the version: along GitLab's upgrade stops, with background migrations done and a backup made before.

use super::{Error, Heard, Instance, Site};
use crate::core::{Problem, Step};

/// What stands in the way of the version that is declared, and what there is to know about the way there.
pub(super) fn judge(_instance: &Instance, _site: &Site) -> (Vec<Problem>, Vec<String>) {
    (Vec::new(), Vec::new())
}

/// What has to be done while the old version still runs.
pub(super) async fn prepare(
    _instance: &Instance,
    _site: &Site,
    _step: &Step,
    _heard: &dyn Heard,
) -> Result<(), Error> {
    Ok(())
}
