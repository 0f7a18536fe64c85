//! Desired: what the config asks, once its rules have been judged by what exists.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::Error;
use crate::config::{Config, Listed, Reporting, Roots};
use crate::core::{Fields, Path};
use crate::kinds::{self, Extent, Listing};
use crate::live::gitlab::{Kind, Reader};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The config.
    pub config: Config,
    /// The same as if no rule was in report mode; `None`: none is.
    pub reported: Option<Config>,
    /// The rules in report mode.
    pub reporting: Vec<Reporting>,
    /// What its rules were judged by; `None`: there are none.
    pub inventory: Option<Inventory>,
}

impl From<Config> for Desired {
    /// What a config without rules asks.
    fn from(config: Config) -> Self {
        Desired {
            config,
            reported: None,
            reporting: Vec::new(),
            inventory: None,
        }
    }
}

/// What exists, as far as rules are about it.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// As GitLab lists it.
    pub listing: Arc<Listing>,
    /// The repos that rules may be for.
    pub repos: Vec<Listed>,
}

impl Inventory {
    /// Lists what is in `roots`.
    ///
    /// # Errors
    /// When it cannot be listed whole: what was not listed is never taken for gone.
    pub async fn list(cx: &Reader, roots: &Roots, sees_all: bool) -> Result<Self, Error> {
        let listing = list(cx, roots, sees_all).await?;
        let repos = listing
            .repos
            .iter()
            .filter(|(path, repo)| !is_going(&listing, path, repo));
        let repos = repos
            .map(|(path, repo)| listed(path, repo))
            .collect::<Result<_, _>>()?;
        Ok(Inventory {
            listing: Arc::new(listing),
            repos,
        })
    }
}

async fn list(cx: &Reader, roots: &Roots, sees_all: bool) -> Result<Listing, kinds::Error> {
    let Roots::Groups(roots) = roots else {
        return kinds::list(cx, &Extent::All, sees_all).await;
    };
    match kinds::list(cx, &Extent::Groups(roots.clone()), sees_all).await {
        // A group that is yet to be made, or a user's namespace.
        Err(kinds::Error::Gitlab(error)) if matches!(error.kind(), Kind::NotFound | Kind::Moved) => {
            let extent = kinds::extent(cx, roots).await?;
            kinds::list(cx, &extent, sees_all).await
        }
        listed => listed,
    }
}

/// Whether a repo is to be deleted, by itself or with what it is in.
fn is_going(listing: &Listing, path: &Path, repo: &Fields) -> bool {
    let is_marked = |found: &Fields| {
        found
            .get("marked_for_deletion_on")
            .is_some_and(|day| !day.is_null())
    };
    let mut holders = std::iter::successors(path.parent(), Path::parent);
    is_marked(repo) || holders.any(|holder| listing.groups.get(&holder).is_some_and(|group| is_marked(group)))
}

fn listed(path: &Path, repo: &Fields) -> Result<Listed, kinds::Error> {
    let missing = |field: &str| {
        kinds::Error::Refused(format!(
            "GitLab's list of repos does not say `{field}` of `{path}`: rules cannot be judged"
        ))
    };
    let of = |field: &str| repo.get(field).ok_or_else(|| missing(field));
    let topics = of("topics")?.as_array().into_iter().flatten();
    Ok(Listed {
        path: path.clone(),
        visibility: of("visibility")?.as_str().unwrap_or_default().to_owned(),
        archived: of("archived")? == &Value::Bool(true),
        topics: topics.filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}

/// The first of the repos that are there and were not listed, though they would have been if the list was whole.
pub(super) fn unlisted<'a>(listing: &Listing, mut there: impl Iterator<Item = &'a Path>) -> Option<&'a Path> {
    there.find(|path| listing.covers(path) && !listing.repos.contains_key(path))
}

/// The names of the rules in report mode.
pub(super) fn names(reporting: &[Reporting]) -> BTreeSet<&str> {
    reporting.iter().map(|reporting| &*reporting.rule).collect()
}
