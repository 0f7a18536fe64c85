//! Holders: the groups and repos whose resources of some kind are to be read.

use std::collections::BTreeMap;

use super::{Found, Inventory};
use crate::core::{Fields, Key, Live, Path};
use crate::kinds::{Observed, Scope};

/// A group or repo whose resources of some kind are to be read.
pub struct Holder<'a> {
    /// Where it is declared to be.
    pub path: &'a Path,
    /// As GitLab describes it.
    pub found: &'a Fields,
    /// The resources asked for.
    pub keys: Vec<&'a Key>,
}

impl Holder<'_> {
    /// That none of its resources can be read, told of each that is asked for and of the collection as a whole.
    pub fn unreadable(&self, why: &str) -> Observed {
        let whole = Key::top(self.path.clone());
        let keys = self.keys.iter().map(|&key| key.clone()).chain([whole]);
        keys.map(|key| (key, Live::Unreadable(why.to_owned()))).collect()
    }
}

/// What a scope asks for, by the group or repo (`what`) that holds it. What can be told without reading is told.
pub fn holders<'a>(what: &str, scope: &'a Scope, inventory: &'a Inventory) -> (Vec<Holder<'a>>, Observed) {
    let mut wanted: BTreeMap<&Path, Vec<&Key>> =
        scope.complete.iter().map(|path| (path, Vec::new())).collect();
    for key in scope.wanted.keys() {
        wanted.entry(&key.path).or_default().push(key);
    }
    let mut observed = Observed::new();
    let mut holders = Vec::new();
    for (path, keys) in wanted {
        let why = match inventory.get(path) {
            Some(Found::There(found)) => {
                holders.push(Holder { path, found, keys });
                continue;
            }
            Some(Found::Unknown(_)) => Some(format!("{what}.{path} could not be read")),
            Some(Found::Missing) | None => None,
        };
        observed.extend(keys.into_iter().map(|key| {
            let live = match (&why, &scope.wanted[key]) {
                (Some(why), _) => Live::Unreadable(why.clone()),
                (None, None) => Live::Absent,
                // A short list is no proof that its holder is gone, and it with that: the holder is asked for itself.
                (None, Some(_)) => Live::Unreadable(format!("{what}.{path} was not listed: run it again, or `autogit ledger forget` it if that is gone")),
            };
            (key.clone(), live)
        }));
    }
    (holders, observed)
}
