//! Inventory: the groups and repos that a run is about, listed once and shared by all kinds.

mod holders;
mod listing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde_json::Value;

use super::fields::Normal;
use super::{Error, Observed, Scope};
use crate::core::{Fields, Live, Path, Present};
use crate::live::gitlab::{self, Kind, Reader, segment};

pub use holders::{Holder, holders};
pub use listing::{Extent, Listing, extent, list};

/// A whole list in as few pages as GitLab allows, in an order that later additions do not disturb.
const STABLE: [(&str, &str); 2] = [("order_by", "id"), ("sort", "asc")];

/// All repos in a group, in the same order.
const IN_GROUP: [(&str, &str); 4] = [
    ("include_subgroups", "true"),
    ("with_shared", "false"),
    STABLE[0],
    STABLE[1],
];

/// What a run is about, and who is asking. A group or repo that is being moved comes with the path it had before.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Groups, and what may turn out to be one.
    pub groups: BTreeMap<Path, Option<Path>>,
    /// Repos.
    pub repos: BTreeMap<Path, Option<Path>>,
    /// The ids by which the ledger knows them.
    pub ids: BTreeMap<Path, String>,
    /// The default branches that repos are declared to have.
    pub default_branches: BTreeMap<Path, String>,
    /// Whether everybody is declared to need two-factor authentication.
    pub requires_two_factor: bool,
    /// What was listed already.
    pub listing: Option<Arc<Listing>>,
    /// The acting user's name.
    pub user: String,
    /// Whether the acting user sees everything there is.
    pub sees_all: bool,
    /// Whether GitLab is the Enterprise Edition, licensed or not.
    pub enterprise: bool,
}

/// What stands at a path.
#[derive(Clone, Debug)]
pub enum Found {
    /// It is there: as GitLab describes it.
    There(Arc<Fields>),
    /// It is certainly not there.
    Missing,
    /// Nobody can say, and why.
    Unknown(String),
}

/// What was seen, by the path at which it is.
pub type ByPath = BTreeMap<Path, Arc<Fields>>;

/// What was found, by the path it was asked for under.
pub type Inventory = BTreeMap<Path, Found>;

/// The groups of a run. A user's namespace is there too, with `kind: user`.
pub async fn groups(cx: &Reader, world: &World) -> Result<Arc<Inventory>, gitlab::Error> {
    cx.memo("groups", Box::pin(list_groups(cx, world))).await
}

/// The repos of a run.
pub async fn repos(cx: &Reader, world: &World) -> Result<Arc<Inventory>, gitlab::Error> {
    cx.memo("repos", Box::pin(list_repos(cx, world))).await
}

/// What was listed, by path; shared rather than copied, as there may be a lot of it.
fn by_path(found: impl IntoIterator<Item = Fields>) -> ByPath {
    let found = found.into_iter();
    found.map(|found| (full_path(&found), Arc::new(found))).collect()
}

async fn list_groups(cx: &Reader, world: &World) -> Result<Inventory, gitlab::Error> {
    let mut seen = world
        .listing
        .as_ref()
        .map(|listing| listing.groups.clone())
        .unwrap_or_default();
    let repos = world.listing.iter().flat_map(|listing| listing.repos.values());
    seen.extend(by_path(repos.filter_map(|repo| user_namespace(repo))));
    let by_root = by_root(&world.groups, world, &seen);
    let roots = try_join_all(by_root.iter().map(|(root, wanted)| group_tree(cx, root, wanted))).await?;
    seen.extend(by_path(roots.into_iter().flatten()));
    settle(cx, world, &world.groups, &seen, None).await
}

/// The user's namespace that a repo is in: no list of groups has it.
fn user_namespace(repo: &Fields) -> Option<Fields> {
    let namespace = repo.get("namespace")?.as_object()?;
    (namespace.get("kind")? == "user").then(|| namespace.clone())
}

/// The top-level group `root` and, where any is wanted, what lies below it.
async fn group_tree(cx: &Reader, root: &Path, wanted: &[Path]) -> Result<Vec<Fields>, gitlab::Error> {
    let Some(group) = find(cx, "groups", root.as_str()).await? else {
        let namespace = find(cx, "namespaces", root.as_str()).await?;
        return Ok(namespace
            .into_iter()
            .filter(|namespace| namespace["kind"] == "user")
            .collect());
    };
    let mut groups = vec![group];
    if wanted.iter().any(|path| path.parent().is_some()) {
        groups.extend(
            some_of(
                cx,
                &format!("/groups/{}/descendant_groups", segment(root.as_str())),
                &STABLE,
                "groups",
                wanted,
            )
            .await?,
        );
    }
    Ok(groups)
}

async fn list_repos(cx: &Reader, world: &World) -> Result<Inventory, gitlab::Error> {
    let groups = groups(cx, world).await?;
    // Where there is no group there is no repo: nothing to ask.
    let could_be = |path: &Path| !parent_is_missing(path, &groups);
    let mut seen = world
        .listing
        .as_ref()
        .map(|listing| listing.repos.clone())
        .unwrap_or_default();
    let mut by_root = by_root(&world.repos, world, &seen);
    by_root.values_mut().for_each(|wanted| wanted.retain(could_be));
    by_root.retain(|_, wanted| !wanted.is_empty());
    let roots = try_join_all(by_root.iter().map(|(root, wanted)| repo_tree(cx, root, wanted))).await?;
    seen.extend(by_path(roots.into_iter().flatten()));
    settle(cx, world, &world.repos, &seen, Some(&groups)).await
}

fn parent_is_missing(path: &Path, groups: &Inventory) -> bool {
    let parent = path.parent().and_then(|parent| groups.get(&parent));
    matches!(parent, Some(Found::Missing))
}

async fn repo_tree(cx: &Reader, root: &Path, wanted: &[Path]) -> Result<Vec<Fields>, gitlab::Error> {
    let list = format!("/groups/{}/projects", segment(root.as_str()));
    match some_of(cx, &list, &IN_GROUP, "projects", wanted).await {
        // A user's namespace, or nothing at all.
        Err(error) if absent(&error) => one_by_one(cx, "projects", wanted.iter().map(Path::as_str)).await,
        found => found,
    }
}

/// Reads `wanted` from a list or one by one, whichever takes fewer requests.
async fn some_of(
    cx: &Reader,
    list: &str,
    query: &[(&str, &str)],
    what: &str,
    wanted: &[Path],
) -> Result<Vec<Fields>, gitlab::Error> {
    let page = cx.first_page::<Fields>(list, query).await?;
    let further_pages = page.total.unwrap_or_default().saturating_sub(1) / 100;
    let missing = |items: &[Fields]| -> Vec<&Path> {
        let seen: BTreeSet<Path> = items.iter().map(full_path).collect();
        wanted.iter().filter(|path| !seen.contains(path)).collect()
    };
    let missing = missing(&page.items);
    if (missing.len() as u64) < further_pages {
        let mut found = page.items;
        found.extend(one_by_one(cx, what, missing.into_iter().map(Path::as_str)).await?);
        return Ok(found);
    }
    cx.rest(page).await
}

/// Reads objects by path or id; those that are not there are left out.
async fn one_by_one<'a>(
    cx: &Reader,
    what: &str,
    wanted: impl Iterator<Item = &'a str>,
) -> Result<Vec<Fields>, gitlab::Error> {
    let found = try_join_all(wanted.map(async |id| find(cx, what, id).await)).await?;
    Ok(found.into_iter().flatten().collect())
}

/// One object by path or id, or none. Where GitLab redirects, nothing is: the path belongs to what moved away.
async fn find(cx: &Reader, what: &str, id: &str) -> Result<Option<Fields>, gitlab::Error> {
    // Without a word against it, a group comes with a hundred of its repos.
    let query: &[_] = if what == "groups" {
        &[("with_projects", "false")]
    } else {
        &[]
    };
    match cx.find(&format!("/{what}/{}", segment(id)), query).await {
        Err(error) if absent(&error) => Ok(None),
        found => found,
    }
}

fn absent(error: &gitlab::Error) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Moved)
}

/// Says for each path what stands there, now that everything visible has been seen. `groups`: it is about repos in these.
async fn settle(
    cx: &Reader,
    world: &World,
    wanted: &BTreeMap<Path, Option<Path>>,
    seen: &ByPath,
    groups: Option<&Inventory>,
) -> Result<Inventory, gitlab::Error> {
    let what = if groups.is_some() { "projects" } else { "groups" };
    let astray = astray(cx, world, wanted, seen, what).await?;
    let mut inventory = Inventory::new();
    let mut doubtful = Vec::new();
    for (path, former) in wanted {
        let before = former
            .as_ref()
            .and_then(|former| seen.get(former).map(|found| (former, found)));
        let half_way = half_way(path, former.as_ref()).filter(|half_way| seen.contains_key(half_way));
        let found = match (seen.get(path), before, astray.get(path), half_way) {
            (Some(_), Some((former, _)), ..) if former != path => Found::Unknown(format!(
                "both `{path}` and `{former}`, from which it is to move, are there: remove `moved_from`, or one of them"
            )),
            (Some(found), ..) | (None, Some((_, found)), ..) | (None, None, Some(found), _) => {
                there(path, found)
            }
            (None, None, None, Some(half_way)) if !wanted.contains_key(&half_way) => Found::Unknown(format!(
                "it is not there, but `{half_way}` is, where an interrupted move would have left it: \
                 write `moved_from: {half_way}` if that is it, and remove `moved_from` if not"
            )),
            (None, None, None, _) => {
                if !world.sees_all && !parent_is_missing(path, groups.unwrap_or(&inventory)) {
                    doubtful.push(path);
                }
                Found::Missing
            }
        };
        inventory.insert(path.clone(), found);
    }
    let (roots, inner): (Vec<_>, Vec<_>) = doubtful.into_iter().partition(|path| path.parent().is_none());
    let hidden = try_join_all(roots.into_iter().map(|path| hidden_root(cx, path))).await?;
    inventory.extend(hidden.into_iter().flatten());
    if !inner.is_empty() {
        inventory.extend(hidden_inside(cx, inner).await?);
    }
    Ok(inventory)
}

/// What is neither where it was nor where it is to be, found by its id: a move that was interrupted left it elsewhere.
async fn astray(
    cx: &Reader,
    world: &World,
    wanted: &BTreeMap<Path, Option<Path>>,
    seen: &ByPath,
    what: &str,
) -> Result<ByPath, gitlab::Error> {
    let moving = wanted
        .iter()
        .filter_map(|(path, former)| Some((path, former.as_ref()?)));
    let gone = moving.filter(|(path, former)| !seen.contains_key(path) && !seen.contains_key(former));
    let ids: BTreeMap<&str, &Path> = gone
        .filter_map(|(path, _)| Some((world.ids.get(path)?.as_str(), path)))
        .collect();
    let found = one_by_one(cx, what, ids.keys().copied()).await?;
    let by_path = found.into_iter().filter_map(|found| {
        let path = *ids.get(id(&found).as_str())?;
        Some((path.clone(), Arc::new(found)))
    });
    Ok(by_path.collect())
}

/// Where a move that takes two writes, to another group and to another name, is between the two.
fn half_way(path: &Path, former: Option<&Path>) -> Option<Path> {
    let former = former?;
    let half_way = path
        .parent()
        .map_or_else(|| former.name().into(), |parent| parent.join(former.name()));
    (half_way != *path && half_way != *former).then_some(half_way)
}

/// What to say of a top-level path at which nothing is visible, if something is there.
async fn hidden_root(cx: &Reader, path: &Path) -> Result<Option<(Path, Found)>, gitlab::Error> {
    let answer: Option<Fields> = cx
        .find(&format!("/namespaces/{}/exists", segment(path.as_str())), &[])
        .await?;
    let exists = answer.is_some_and(|answer| answer.get("exists") == Some(&Value::Bool(true)));
    let why = "the path is taken by something that this token cannot see: that takes membership or an administrator";
    Ok(exists.then(|| (path.clone(), Found::Unknown(why.into()))))
}

/// What to say of the paths that may hold something that the acting user does not see.
async fn hidden_inside(cx: &Reader, doubtful: Vec<&Path>) -> Result<Inventory, gitlab::Error> {
    let member_of = memberships(cx).await?;
    let hidden = doubtful.into_iter().filter_map(|path| {
        let namespace = path.parent()?;
        let why = || {
            format!(
                "it is not there, or not visible to this token: that takes membership of `{namespace}` or an administrator"
            )
        };
        (!inside(&namespace, &member_of)).then(|| (path.clone(), Found::Unknown(why())))
    });
    Ok(hidden.collect())
}

/// What waits for deletion is gone for GitLab's users, but may still hold its path.
fn there(path: &Path, found: &Arc<Fields>) -> Found {
    match found.get("marked_for_deletion_on").and_then(Value::as_str) {
        Some(day) => Found::Unknown(format!(
            "`{path}` is pending deletion since {day} and still holds its path: restore it in GitLab, or delete it for good"
        )),
        None => Found::There(found.clone()),
    }
}

/// The groups and the namespace in which the acting user sees whatever there is.
async fn memberships(cx: &Reader) -> Result<Arc<BTreeSet<Path>>, gitlab::Error> {
    cx.memo("memberships", async {
        let query = [("min_access_level", "10"), STABLE[0], STABLE[1]];
        let user = [];
        let (groups, user) = futures_util::try_join!(
            cx.list::<Fields>("/groups", &query),
            cx.get::<Fields>("/user", &user)
        )?;
        let own = user.get("username").and_then(Value::as_str).map(Path::from);
        Ok(groups.iter().map(full_path).chain(own).collect())
    })
    .await
}

fn inside(namespace: &Path, member_of: &BTreeSet<Path>) -> bool {
    let mut at = Some(namespace.clone());
    while let Some(path) = at {
        if member_of.contains(&path) {
            return true;
        }
        at = path.parent();
    }
    false
}

/// All paths at which something of a run may stand and that were not listed, by their first segment.
fn by_root(paths: &BTreeMap<Path, Option<Path>>, world: &World, seen: &ByPath) -> BTreeMap<Path, Vec<Path>> {
    let listed = |path: &Path| {
        let covered = world.listing.as_ref().is_some_and(|listing| listing.covers(path));
        // A top-level path that is no group's may be a user's.
        (covered && path.parent().is_some()) || seen.contains_key(path)
    };
    let mut by_root: BTreeMap<Path, Vec<Path>> = BTreeMap::new();
    for (path, former) in paths {
        let half_way = half_way(path, former.as_ref());
        for path in [Some(path), former.as_ref(), half_way.as_ref()]
            .into_iter()
            .flatten()
            .filter(|path| !listed(path))
        {
            by_root.entry(path.root().into()).or_default().push(path.clone());
        }
    }
    by_root
}

/// Where GitLab says an object of its inventory is.
pub fn full_path(found: &Fields) -> Path {
    let path = found
        .get("path_with_namespace")
        .or_else(|| found.get("full_path"));
    path.and_then(Value::as_str).unwrap_or_default().into()
}

/// The id in what GitLab answered.
pub fn id(found: &Fields) -> String {
    found.get("id").map(Value::to_string).unwrap_or_default()
}

/// Observes groups or repos: what the inventory has, in the kind's normal form.
///
/// What the ledger knows and the inventory has not is asked for once more by id: a short list is not proof that it is gone.
pub async fn observe<K: super::Kind>(
    cx: &Reader,
    scope: &Scope,
    inventory: &Inventory,
    what: &str,
    restricted: fn(&Fields) -> BTreeMap<String, String>,
) -> Result<Observed, Error> {
    let normal = Normal::<K>::new();
    let live = try_join_all(scope.wanted.iter().map(async |(key, known)| {
        let live = match (inventory.get(&key.path), known) {
            (Some(Found::There(found)), _) => present(&normal, found, restricted),
            (Some(Found::Unknown(why)), _) => Live::Unreadable(why.clone()),
            (Some(Found::Missing) | None, None) => Live::Absent,
            (Some(Found::Missing) | None, Some(id)) => {
                match find(cx, what, id).await? {
                    Some(found) if full_path(&found) == key.path => present(&normal, &found, restricted),
                    Some(found) if found.get("marked_for_deletion_on").is_some_and(|day| !day.is_null()) => Live::Absent,
                    Some(found) => Live::Unreadable(format!(
                        "it is at `{}` now: declare it there, with `moved_from` if it is to be moved back",
                        full_path(&found)
                    )),
                    None if scope.world.sees_all => Live::Absent,
                    None => Live::Unreadable(format!(
                        "AutoGit knows it (id {id}), but this token sees it no more: it was deleted, or the token lost access; \
                         if it is gone, run `autogit ledger forget`"
                    )),
                }
            }
        };
        Ok::<_, gitlab::Error>((key.clone(), live))
    }))
    .await?;
    Ok(live.into_iter().collect())
}

fn present<K: super::Kind>(
    normal: &Normal<K>,
    found: &Fields,
    restricted: fn(&Fields) -> BTreeMap<String, String>,
) -> Live {
    Live::Present(Present {
        id: id(found),
        path: Some(full_path(found)),
        value: normal.of(found),
        unreadable: restricted(found),
        created_at: found
            .get("created_at")
            .and_then(Value::as_str)
            .and_then(|time| time.parse().ok()),
        ..Present::default()
    })
}
