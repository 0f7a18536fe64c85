//! Inventory: the repos that exist, at the paths they will have once what is declared to move has moved.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::layout::Layout;
use super::merge::is_absent;
use super::paths::moved_from;
use crate::core::Path;

/// A repo that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub path: Path,
    /// Who can see it: `private`.
    pub visibility: String,
    /// Whether it is archived.
    pub archived: bool,
    /// Its topics.
    pub topics: Vec<String>,
}

/// The repos that exist, by the paths they will have.
pub(super) struct Inventory<'a> {
    repos: BTreeMap<Path, &'a Listed>,
}

impl<'a> Inventory<'a> {
    pub fn new(listed: &'a [Listed], layout: &Layout) -> Self {
        let moves = moves(layout);
        let mut repos = BTreeMap::new();
        // Where something is both here and to be moved here, what is here counts.
        let (moving, staying): (Vec<_>, Vec<_>) = listed
            .iter()
            .map(|repo| (destination(&moves, &repo.path), repo))
            .partition(|(path, _)| path.is_some());
        for (path, repo) in moving.into_iter().chain(staying) {
            repos.insert(path.unwrap_or_else(|| repo.path.clone()), repo);
        }
        Inventory { repos }
    }

    /// Whether something is there for a path.
    pub fn has(&self, path: &Path) -> bool {
        self.repos.contains_key(path)
    }

    /// What is there for a path, or what GitLab would make there: it is not archived and has no topics, and its
    /// visibility is anybody's guess.
    pub fn get(&self, path: &Path) -> Cow<'a, Listed> {
        let made = || Listed {
            path: path.clone(),
            visibility: String::new(),
            archived: false,
            topics: Vec::new(),
        };
        self.repos
            .get(path)
            .map_or_else(|| Cow::Owned(made()), |repo| Cow::Borrowed(*repo))
    }

    /// The repos that the file does not list, and that are in nothing that it declares absent.
    pub fn unlisted<'l>(&'l self, layout: &'l Layout) -> impl Iterator<Item = (&'l Path, &'a Listed)> {
        let declared: BTreeMap<&Path, bool> = layout
            .resources
            .iter()
            .filter(|(_, resource)| resource.shape.can_move)
            .map(|(address, resource)| (&address.key.path, is_absent(&resource.entry.value)))
            .collect();
        let is_free = move |path: &Path| {
            let mut holders = std::iter::successors(path.parent(), Path::parent);
            !declared.contains_key(path) && !holders.any(|holder| declared.get(&holder) == Some(&true))
        };
        let repos = self.repos.iter().map(|(path, repo)| (path, *repo));
        repos.filter(move |(path, _)| is_free(path))
    }
}

/// From where to where things are declared to move.
pub(super) fn moves<'l>(layout: &'l Layout) -> BTreeMap<Path, &'l Path> {
    let resources = layout.resources.iter();
    let moves =
        resources.filter_map(|(address, resource)| Some((moved_from(resource)?.1, &address.key.path)));
    moves.collect()
}

/// Where what is at `path` moves; `None`: it stays.
fn destination(moves: &BTreeMap<Path, &Path>, path: &Path) -> Option<Path> {
    match moves.get(path) {
        Some(&to) => Some(to.clone()),
        None => Some(destination(moves, &path.parent()?)?.join(path.name())),
    }
}
