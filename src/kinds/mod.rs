//! Kinds: one file per sort of thing that AutoGit manages, and the table that lists them.
//!
//! A new kind is a file here that implements [`Kind`], and a line in [`TABLE`].

mod access;
mod fields;
mod group;
mod inventory;
mod member;
mod protected_branch;
mod repo;
mod settings;
mod variable;
mod within;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{FieldProblem, Place, Shape};
use crate::core::{Address, Among, Change, Fields, Impact, Key, Live, Path, Present, Rules, Step};
use crate::live::gitlab::{self, Reader, Writer};

pub use access::{Access, On, Role};
pub use inventory::{Extent, Listing, World};

/// Every kind: its type, and where its resources stand in the file.
pub static TABLE: &[Entry] = &[
    Entry::of::<group::Group>(Place::Section("groups")),
    Entry::of::<repo::Repo>(Place::Section("repos")),
    Entry::of::<protected_branch::ProtectedBranch>(Place::Within {
        kind: "repo",
        field: "protected_branches",
    }),
    Entry::of::<member::GroupMember>(Place::Within {
        kind: "group",
        field: "members",
    }),
    Entry::of::<member::RepoMember>(Place::Within {
        kind: "repo",
        field: "members",
    }),
    Entry::of::<variable::GroupVariable>(Place::Within {
        kind: "group",
        field: "variables",
    }),
    Entry::of::<variable::RepoVariable>(Place::Within {
        kind: "repo",
        field: "variables",
    }),
    Entry::of::<variable::InstanceVariable>(Place::Section("variables")),
    Entry::of::<settings::Settings>(Place::Instance {
        field: "settings",
        key: "instance",
    }),
];

/// One kind of thing. The type is what the user writes: every field is optional, and one left out is not managed.
pub trait Kind: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The kind's name: the first part of its addresses.
    const NAME: &'static str;
    /// Whether a resource may be declared with `moved_from`.
    const CAN_MOVE: bool = false;
    /// Whether AutoGit may remove one because it is no longer declared.
    const PRUNABLE: bool = true;
    /// What reading it takes.
    const READ: Access;
    /// What its changes take.
    const WRITE: Access;
    /// Fields that matter only when a resource is made.
    const CREATE_ONLY: &'static [&'static str] = &[];
    /// The field that a plain value stands for, written in place of a resource.
    const SHORTHAND: Option<&'static str> = None;
    /// Whether what it stands in takes a policy beside it: `members_policy`.
    const POLICY: bool = false;
    /// Fields that hold references to secrets.
    const SECRETS: &'static [&'static str] = &[];

    /// Judges a key as written.
    fn check_key(key: &Key) -> Result<(), String>;

    /// Judges fields that are each well-formed, but not together.
    fn check(&self) -> Vec<FieldProblem> {
        Vec::new()
    }

    /// Judges the secret that one of [`Kind::SECRETS`] refers to, by the fields beside it. Never repeats it.
    fn check_secret(_fields: &Fields, _field: &str, _secret: &str) -> Result<(), String> {
        Ok(())
    }

    /// Why a resource cannot be made of these fields alone.
    fn lacks(_fields: &Fields) -> Option<&'static str> {
        None
    }

    /// Why GitLab cannot make a change to what is there, and what to do. `fields` are all that are declared.
    fn refuses(_change: &Change, _fields: &Fields, _found: &Present) -> Option<String> {
        None
    }

    /// What there is to know about changes to what is there, beyond what they are. `fields` are all that are declared.
    fn notes(_changes: &[Change], _fields: &Fields, _found: &Present) -> Vec<String> {
        Vec::new()
    }

    /// What must be there first. `None`: the resource is on its way out.
    fn needs(key: &Key, value: Option<&Fields>) -> Vec<Address>;

    /// What a change does to people. The field of a whole resource made or removed is empty.
    fn impact(change: &Change) -> Impact;

    /// What a step does to people that only what is around it tells.
    fn among(_among: &Among) -> Impact {
        Impact::Neutral
    }

    /// What would be wrong with a group or repo that is left with just these resources of the kind: a text that says why
    /// they are not taken away.
    fn leaves(_path: &Path, _left: &[&Fields]) -> Option<&'static str> {
        None
    }

    /// Whether a resource with these fields has to stand before anything may be taken away from its collection.
    fn first(_fields: &Fields) -> bool {
        false
    }

    /// Whether a change waits until what lives in the resource is as it should be.
    fn last(_change: &Change) -> bool {
        false
    }

    /// Whether a change writes into other resources too, so that live has to be looked at again after it.
    fn spreads(_change: &Change) -> bool {
        false
    }

    /// Why a resource with these fields cannot be in another one, whose declared fields come before its live ones:
    /// a text that ends where the other's address follows.
    fn fits(_fields: &Fields, _outer: &[&Fields]) -> Option<String> {
        None
    }

    /// Why GitLab accepts no changes to what lives in a resource with these fields.
    fn seals(_fields: &Fields) -> Option<&'static str> {
        None
    }

    /// Reads a whole batch. What is not in the answer counts as unreadable.
    fn observe(cx: &Reader, scope: &Scope) -> impl Future<Output = Result<Observed, Error>> + Send;

    /// Carries out one step.
    fn apply(cx: &Context, task: &Task<'_>) -> impl Future<Output = Result<Applied, Error>> + Send;
}

/// What to observe.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The resources asked for, and the id by which the ledger knows each.
    pub wanted: BTreeMap<Key, Option<String>>,
    /// Those of them that are to be absent.
    pub absent: BTreeSet<Key>,
    /// The paths whose whole collection is asked for, declared or not. One that cannot be read is told as unreadable
    /// under the path alone.
    pub complete: BTreeSet<Path>,
    /// Everything is asked for, declared or not, of a kind that stands in nothing.
    pub all: bool,
    /// What the run is about, and who is asking.
    pub world: Arc<World>,
}

/// What was observed, by key.
pub type Observed = BTreeMap<Key, Live>;

/// One step to carry out, and what it starts from.
pub struct Task<'a> {
    /// The step.
    pub step: &'a Step,
    /// What is there; `None` where nothing is.
    pub live: Option<&'a Present>,
    /// The values of the secrets to be set, by field.
    pub secrets: &'a BTreeMap<String, SecretString>,
}

/// What is there after a step.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Its id; empty after a removal.
    pub id: String,
    /// Its fields as GitLab answered them, to be held against what was asked; empty after a removal.
    pub value: Fields,
}

/// The ids of what is there, by address; grows as steps are done. Clones share them.
#[derive(Clone, Default)]
pub struct Ids(Arc<Mutex<BTreeMap<Address, String>>>);

impl Ids {
    /// The id of what is at `address`.
    pub fn get(&self, address: &Address) -> Option<String> {
        self.locked().get(address).cloned()
    }

    /// Says what is at `address` now; `None`: nothing.
    pub fn set(&self, address: &Address, id: Option<String>) {
        match id {
            Some(id) => self.locked().insert(address.clone(), id),
            None => self.locked().remove(address),
        };
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<Address, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromIterator<(Address, String)> for Ids {
    fn from_iter<I: IntoIterator<Item = (Address, String)>>(ids: I) -> Self {
        Ids(Arc::new(Mutex::new(ids.into_iter().collect())))
    }
}

/// What a kind has at hand when it applies.
pub struct Context {
    /// Writes on behalf of the step's resource.
    pub writer: Writer,
    /// The ids of what exists.
    pub ids: Ids,
}

impl Context {
    /// The id of something this step needs.
    ///
    /// # Errors
    /// When it is not there; the planner puts what is needed first, so it then vanished meanwhile.
    pub fn id_of(&self, address: &Address) -> Result<String, Error> {
        let gone = || Error::Refused(format!("{address} is not there any more: plan again"));
        self.ids.get(address).ok_or_else(gone)
    }
}

/// Why a kind could not observe or apply.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// GitLab, or the way to it, said no.
    #[error(transparent)]
    Gitlab(#[from] gitlab::Error),
    /// AutoGit itself declined.
    #[error("{0}")]
    Refused(String),
}

type Eventually<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A kind in the table, its type erased.
pub struct Entry {
    /// What config needs to know.
    pub shape: Shape,
    /// What the planner needs to know.
    pub rules: Rules,
    /// The names of its fields, in the order in which they are best read.
    pub fields: fn() -> Vec<&'static str>,
    /// [`Kind::READ`].
    pub read: Access,
    /// [`Kind::WRITE`].
    pub write: Access,
    /// [`Kind::SECRETS`].
    pub secrets: &'static [&'static str],
    /// [`Kind::check_secret`].
    pub check_secret: fn(&Fields, &str, &str) -> Result<(), String>,
    /// [`Kind::observe`].
    pub observe: for<'a> fn(&'a Reader, &'a Scope) -> Eventually<'a, Observed>,
    /// [`Kind::apply`].
    pub apply: for<'a> fn(&'a Context, &'a Task<'a>) -> Eventually<'a, Applied>,
}

impl Entry {
    const fn of<K: Kind>(place: Place) -> Self {
        Entry {
            shape: Shape {
                name: K::NAME,
                place,
                schema: fields::schema::<K>,
                can_move: K::CAN_MOVE,
                shorthand: K::SHORTHAND,
                policy: K::POLICY,
                check_key: K::check_key,
                decode: fields::decode::<K>,
            },
            rules: Rules {
                name: K::NAME,
                parent: match place {
                    Place::Section(_) | Place::Instance { .. } => None,
                    Place::Within { kind, .. } => Some(kind),
                },
                needs: K::needs,
                impact: K::impact,
                among: K::among,
                leaves: K::leaves,
                first: K::first,
                last: K::last,
                spreads: K::spreads,
                fits: K::fits,
                seals: K::seals,
                lacks: K::lacks,
                refuses: K::refuses,
                notes: K::notes,
                create_only: K::CREATE_ONLY,
                prunable: K::PRUNABLE,
            },
            fields: fields::names::<K>,
            read: K::READ,
            write: K::WRITE,
            secrets: K::SECRETS,
            check_secret: K::check_secret,
            observe: |cx, scope| Box::pin(K::observe(cx, scope)),
            apply: |cx, task| Box::pin(K::apply(cx, task)),
        }
    }
}

impl Entry {
    /// Whether what GitLab answers does not have a field, though it was asked for: it counted when the resource was
    /// made, or it is secret.
    pub fn leaves_out(&self, field: &str) -> bool {
        let top = field.split('.').next().unwrap_or(field);
        self.rules.create_only.contains(&top) || self.secrets.contains(&top)
    }
}

/// The kind of this name.
pub fn by_name(name: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.shape.name == name)
}

/// Lists everything in `extent`: the inventory that rules and exports go by.
///
/// # Errors
/// When GitLab does not answer, or a group is not there or not visible: what was not listed is never taken for gone.
pub async fn list(cx: &Reader, extent: &Extent, sees_all: bool) -> Result<Listing, Error> {
    Ok(inventory::list(cx, extent, sees_all).await?)
}

/// Which part of an instance holds what is in these top-level namespaces. One that is certainly not there holds nothing.
///
/// # Errors
/// When GitLab does not answer, or something is there that the token cannot see.
pub async fn extent(cx: &Reader, roots: &BTreeSet<Path>) -> Result<Extent, Error> {
    inventory::extent(cx, roots).await
}

/// The shapes of all kinds, for config.
pub fn shapes() -> Vec<Shape> {
    TABLE.iter().map(|entry| entry.shape).collect()
}

/// The rules of all kinds, for the planner.
pub fn rules() -> Vec<Rules> {
    TABLE.iter().map(|entry| entry.rules).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Entry, TABLE, shapes};
    use crate::config;

    /// Compares a generated file with what is checked in; `AUTOGIT_BLESS=1` rewrites it.
    fn is_current(path: &str, generated: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os("AUTOGIT_BLESS").is_some() {
            std::fs::write(&path, generated).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == generated,
            "{} is stale: run the tests once with AUTOGIT_BLESS=1",
            path.display()
        );
    }

    #[test]
    fn the_published_schema_is_current() {
        is_current(
            "schema/autogit.schema.json",
            &format!("{:#}\n", config::schema(&shapes())),
        );
    }

    #[test]
    fn the_language_reference_is_current() {
        is_current("docs/language.md", &config::reference(&shapes()));
    }

    #[test]
    fn the_permissions_of_the_kinds_are_current() {
        let mut table =
            "| Kind | `plan`: scope `read_api` | `apply`: scope `api` |\n|---|---|---|\n".to_owned();
        for Entry {
            shape, read, write, ..
        } in TABLE
        {
            table += &format!("| `{}` | {read} | {write} |\n", shape.name);
        }
        let file = "docs/gitlab-permissions.md";
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let (before, rest) = text.split_once("<!-- kinds -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- end of kinds -->\n").unwrap();
        is_current(
            file,
            &format!("{before}<!-- kinds -->\n{table}<!-- end of kinds -->\n{after}"),
        );
    }

    #[test]
    fn the_starter_file_is_valid() {
        let loaded = config::load_bytes(Path::new("autogit.yaml"), config::starter().as_bytes(), &shapes());
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        assert!(
            loaded
                .config
                .is_some_and(|config| !config.declarations.is_empty())
        );
    }
}
