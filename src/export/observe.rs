//! Observing for an export: everything in an extent, by the bulk reads that a plan makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Place;
use crate::core::{Address, Key, Live, Path};
use crate::engine::{About, Reach};
use crate::kinds::{self, Extent};
use crate::live::gitlab::Reader;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What is there, by address.
    pub live: BTreeMap<Address, Live>,
    /// Groups and repos that are pending deletion or in a group that is, by address: the path of what is, and since when.
    pub pending: BTreeMap<Address, (Path, String)>,
}

/// Reads everything of every kind in `extent`.
///
/// # Errors
/// When GitLab does not answer, or a group is not there.
pub async fn observe(cx: &Reader, about: &About, extent: &Extent) -> Result<Found, kinds::Error> {
    let listing = Arc::new(kinds::list(cx, extent, about.admin).await?);
    let mut found = Found::default();
    let mut reach = Reach {
        listing: Some(listing.clone()),
        all: *extent == Extent::All,
        ..Reach::default()
    };
    let leaving: BTreeMap<&Path, &str> = listing
        .groups
        .iter()
        .chain(&listing.repos)
        .filter_map(|(path, fields)| Some((path, fields.get("marked_for_deletion_on")?.as_str()?)))
        .collect();
    let groups = listing.groups.keys().map(|path| ("group", path));
    let repos = listing.repos.keys().map(|path| ("repo", path));
    for (kind, path) in groups.chain(repos) {
        let address = Address::new(kind, Key::top(path.clone()));
        if let Some((at, since)) = with_holders(path).find_map(|at| Some((at.clone(), *leaving.get(&at)?))) {
            found.pending.insert(address, (at, since.to_owned()));
            continue;
        }
        let within = kinds::TABLE.iter().filter_map(|entry| match entry.shape.place {
            Place::Within { kind: parent, .. } if parent == kind => Some(entry.shape.name),
            _ => None,
        });
        reach
            .complete
            .extend(within.map(|name| (name.to_owned(), path.clone())));
        reach.addresses.insert(address, None);
    }
    found.live = reach.observe(cx, about).await?;
    Ok(found)
}

/// A path, and those of what holds it.
fn with_holders(path: &Path) -> impl Iterator<Item = Path> + use<> {
    std::iter::successors(Some(path.clone()), Path::parent)
}
