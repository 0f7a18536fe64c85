//! What is there: the container as Docker tells it, and the files that it was given.

use super::{Blueprint, Error, Instance};
use crate::core::{Live, Present};

/// What is there of the instance.
pub(super) async fn observe(instance: &Instance, blueprint: &Blueprint) -> Result<Live, Error> {
    let Some(found) = instance.looker().container(&blueprint.name).await? else {
        return Ok(Live::Absent);
    };
    Ok(Live::Present(Present {
        id: found.id.unwrap_or_default(),
        ..Present::default()
    }))
}

/// Whether the data of an instance is there already.
pub(super) async fn has_data(instance: &Instance, blueprint: &Blueprint) -> Result<bool, Error> {
    let data = &blueprint.mounts["/var/opt/gitlab"];
    match data.starts_with('/') {
        true => Ok(std::fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some())),
        false => Ok(instance.looker().volume(data).await?.is_some()),
    }
}
