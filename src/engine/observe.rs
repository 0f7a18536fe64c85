//! Observing: which GitLab this is, and what is there, read in bulk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;

use super::Error;
use crate::core::{Address, Fields, Live, Path};
use crate::kinds::{self, Listing, Scope, World};
use crate::live::gitlab::{Kind, Reader};

/// Which GitLab this is, and who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// GitLab's version.
    pub version: String,
    /// Whether it is the Enterprise Edition, licensed or not.
    pub enterprise: bool,
    /// The acting user's name.
    pub user: String,
    /// Whether the user is an administrator, and so sees everything.
    pub admin: bool,
}

/// What `/metadata` says.
#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) version: String,
    #[serde(default)]
    pub(super) enterprise: bool,
}

impl Metadata {
    /// Whether it is older than 17.0.
    pub(super) fn is_too_old(&self) -> bool {
        let major = self.version.split('.').next();
        major
            .and_then(|major| major.parse::<u32>().ok())
            .is_some_and(|major| major < 17)
    }
}

/// What `/user` says. Of the account: `/users/:id` says what Admin Mode lets this token use of it.
#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) username: String,
    #[serde(default)]
    pub(super) is_admin: bool,
    #[serde(default)]
    pub(super) can_create_group: bool,
}

impl About {
    /// Asks GitLab.
    ///
    /// # Errors
    /// When it does not answer, or is older than 17.0.
    pub async fn read(cx: &Reader, url: &str) -> Result<Self, Error> {
        let (metadata, user) =
            futures_util::try_join!(cx.get::<Metadata>("/metadata", &[]), cx.get::<User>("/user", &[]))
                .map_err(|error| match error.kind() {
                    // Every GitLab has both.
                    Kind::NotFound => error.no_api(),
                    _ => error,
                })?;
        if metadata.is_too_old() {
            return Err(Error::TooOld {
                url: url.to_owned(),
                version: metadata.version,
            });
        }
        let admin = user.is_admin
            && cx
                .get::<User>(&format!("/users/{}", user.id), &[])
                .await?
                .is_admin;
        Ok(About {
            version: metadata.version,
            enterprise: metadata.enterprise,
            user: user.username,
            admin,
        })
    }
}

/// What to observe.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The resources, and the id by which each is known.
    pub addresses: BTreeMap<Address, Option<String>>,
    /// Those of them that are to be absent.
    pub absent: BTreeSet<Address>,
    /// The path that something had before it moves.
    pub moved: BTreeMap<Path, Path>,
    /// The default branches that repos are declared to have.
    pub default_branches: BTreeMap<Path, String>,
    /// Whether everybody is declared to need two-factor authentication.
    pub requires_two_factor: bool,
    /// The collections (kind, path of the parent) of which everything is wanted.
    pub complete: BTreeSet<(String, Path)>,
    /// Everything is wanted of the kinds that stand in nothing.
    pub all: bool,
    /// What was listed already.
    pub listing: Option<Arc<Listing>>,
}

impl Reach {
    /// Notes what others need to know of what a resource is declared to be: the default branch of a repo, and whether the
    /// instance's settings require two-factor authentication.
    pub fn note(&mut self, address: &Address, value: &Fields) {
        let branch = value.get("default_branch").and_then(Value::as_str);
        match (&*address.kind, branch) {
            ("repo", Some(branch)) => {
                self.default_branches
                    .insert(address.key.path.clone(), branch.to_owned());
            }
            ("settings", _) => {
                self.requires_two_factor =
                    value.get("require_two_factor_authentication") == Some(&true.into());
            }
            _ => {}
        }
    }

    /// What is there, of all kinds at once.
    ///
    /// # Errors
    /// When GitLab does not answer. What it does not show is [`Live::Unreadable`].
    pub async fn observe(&self, cx: &Reader, about: &About) -> Result<BTreeMap<Address, Live>, kinds::Error> {
        let mut world = World {
            listing: self.listing.clone(),
            user: about.user.clone(),
            sees_all: about.admin,
            enterprise: about.enterprise,
            default_branches: self.default_branches.clone(),
            requires_two_factor: self.requires_two_factor,
            ..World::default()
        };
        let mut scopes: BTreeMap<&str, Scope> = BTreeMap::new();
        for (address, id) in &self.addresses {
            let (path, former) = (
                address.key.path.clone(),
                self.moved.get(&address.key.path).cloned(),
            );
            let lives_in = kinds::by_name(&address.kind).and_then(|kind| kind.rules.parent);
            if let ("group" | "repo", Some(id)) = (&*address.kind, id) {
                world.ids.insert(path.clone(), id.clone());
            }
            match lives_in.unwrap_or(&address.kind) {
                "group" => drop(world.groups.insert(path, former)),
                "repo" => drop(world.repos.insert(path, former)),
                _ => {}
            }
            let scope = scopes.entry(&address.kind).or_default();
            scope.wanted.insert(address.key.clone(), id.clone());
            if self.absent.contains(address) {
                scope.absent.insert(address.key.clone());
            }
        }
        for (kind, path) in &self.complete {
            scopes.entry(kind).or_default().complete.insert(path.clone());
        }
        let world = Arc::new(world);
        let observed = kinds::TABLE.iter().map(async |kind| {
            let mut scope = scopes.get(kind.shape.name).cloned().unwrap_or_default();
            scope.world = world.clone();
            scope.all = self.all;
            let observed = (kind.observe)(cx, &scope).await?;
            Ok::<_, kinds::Error>(
                observed
                    .into_iter()
                    .map(|(key, live)| (Address::new(kind.shape.name, key), live)),
            )
        });
        Ok(try_join_all(observed).await?.into_iter().flatten().collect())
    }
}
