//! Listing: everything in a part of an instance, for rules and exports to start from.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use super::{ByPath, Found, IN_GROUP, STABLE, by_path, find, hidden_root, inside};
use crate::core::{Fields, Path};
use crate::kinds::Error;
use crate::live::gitlab::{self, Reader, segment};

/// Which part of an instance is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it; for who does not see everything, what they are a member of.
    All,
    /// These groups and whatever is in them.
    Groups(BTreeSet<Path>),
}

impl Extent {
    /// Whether what is at `path` is part of it.
    pub fn covers(&self, path: &Path) -> bool {
        match self {
            Extent::All => true,
            Extent::Groups(groups) => inside(path, groups),
        }
    }
}

/// What an extent holds, as GitLab lists it, in the order of the paths. What is pending deletion is among it.
#[derive(Clone, Debug)]
pub struct Listing {
    extent: Extent,
    /// Whether nothing in the extent was hidden.
    is_whole: bool,
    /// Groups, by path.
    pub groups: ByPath,
    /// Repos, by path.
    pub repos: ByPath,
}

impl Listing {
    /// Whether what is at `path` would be in it if it were there.
    pub fn covers(&self, path: &Path) -> bool {
        self.is_whole && self.extent.covers(path)
    }
}

/// Lists everything in `extent`.
///
/// # Errors
/// When GitLab does not answer, or a group is not there or not visible: what was not listed is never taken for gone.
pub async fn list(cx: &Reader, extent: &Extent, sees_all: bool) -> Result<Listing, gitlab::Error> {
    let (groups, repos) = match extent {
        Extent::All => {
            let mine: &[_] = if sees_all {
                &[]
            } else {
                &[("min_access_level", "10")]
            };
            let member: &[_] = if sees_all { &[] } else { &[("membership", "true")] };
            futures_util::try_join!(list_all(cx, "/groups", mine), list_all(cx, "/projects", member))?
        }
        Extent::Groups(paths) => {
            // What is in a group that is listed anyway is listed with it.
            let within = |path: &&Path| !path.parent().is_some_and(|parent| inside(&parent, paths));
            let trees = try_join_all(paths.iter().filter(within).map(|path| list_tree(cx, path))).await?;
            let (groups, repos): (Vec<Vec<Fields>>, Vec<Vec<Fields>>) = trees.into_iter().unzip();
            (
                groups.into_iter().flatten().collect(),
                repos.into_iter().flatten().collect(),
            )
        }
    };
    Ok(Listing {
        extent: extent.clone(),
        is_whole: sees_all || matches!(extent, Extent::Groups(_)),
        groups: by_path(groups),
        repos: by_path(repos),
    })
}

/// Which part of an instance holds what is in these top-level namespaces: all of it, where a user's is among them.
///
/// # Errors
/// When GitLab does not answer, or something is there that the token cannot see.
pub async fn extent(cx: &Reader, roots: &BTreeSet<Path>) -> Result<Extent, Error> {
    let mut groups = BTreeSet::new();
    for root in roots {
        if find(cx, "groups", root.as_str()).await?.is_some() {
            groups.insert(root.clone());
            continue;
        }
        let namespace = find(cx, "namespaces", root.as_str()).await?;
        if namespace.is_some_and(|namespace| namespace["kind"] == "user") {
            return Ok(Extent::All);
        }
        if let Some((_, Found::Unknown(why))) = hidden_root(cx, root).await? {
            return Err(Error::Refused(format!("failed to list `{root}`: {why}")));
        }
    }
    Ok(Extent::Groups(groups))
}

async fn list_all(cx: &Reader, what: &str, query: &[(&str, &str)]) -> Result<Vec<Fields>, gitlab::Error> {
    let page = cx.first_page(what, &[query, &STABLE].concat()).await?;
    match page.total {
        Some(_) => cx.rest(page).await,
        // GitLab stops counting at 10,000, and turning pages at 50,000.
        None => {
            cx.list(what, &[query, &STABLE, &[("pagination", "keyset")]].concat())
                .await
        }
    }
}

async fn list_tree(cx: &Reader, path: &Path) -> Result<(Vec<Fields>, Vec<Fields>), gitlab::Error> {
    let at = format!("/groups/{}", segment(path.as_str()));
    let (below, projects) = (format!("{at}/descendant_groups"), format!("{at}/projects"));
    let (group, mut groups, repos) = futures_util::try_join!(
        cx.get::<Fields>(&at, &[("with_projects", "false")]),
        cx.list::<Fields>(&below, &STABLE),
        cx.list::<Fields>(&projects, &IN_GROUP),
    )?;
    groups.push(group);
    Ok((groups, repos))
}
