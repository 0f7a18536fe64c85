//! What stands in the way of bringing the instance up, found before anything is changed.

use super::{Blueprint, Error, Instance};
use crate::core::{Live, Problem};
use crate::live::docker::Engine;

/// Everything that would make it fail. Fields are named as the config has them, from `deploy` on.
pub(super) async fn check(
    _instance: &Instance,
    _engine: &Engine,
    _blueprint: &Blueprint,
    _live: &Live,
) -> Result<Vec<Problem>, Error> {
    Ok(Vec::new())
}
