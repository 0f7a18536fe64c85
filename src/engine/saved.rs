//! Saved plans: what was reviewed is what is applied, or nothing is.

use std::collections::BTreeMap;
use std::path::{self, PathBuf};

use serde::{Deserialize, Serialize};

use super::observe::Reach;
use super::secrets;
use super::state::{self, FingerprintKey, Ledger, StateError};
use crate::config::{GitlabState, SecretRef};
use crate::core::{Action, Address, Entry, Live, Path, Plan, Present, Step, diff};
use crate::kinds;

/// A plan in a file: ids, befores and references to secrets, never a secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedPlan {
    /// The format: [`SavedPlan::VERSION`].
    pub version: u32,
    /// The instance it was made for.
    pub url: url::Url,
    /// Reference to the token that made it.
    pub token: Option<SecretRef>,
    /// The certificate authority of the instance.
    pub ca_file: Option<PathBuf>,
    /// Where state is kept, if not beside the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<GitlabState>,
    /// Whether it was made for the embedded sandbox.
    pub sandbox: bool,
    /// The path that something had before it moves.
    pub moved: BTreeMap<Path, Path>,
    /// What the ledger held of what the plan touches.
    pub recorded: BTreeMap<Address, Entry>,
    /// The secrets that the plan replaces.
    pub seen: Seen,
    /// The plan.
    pub plan: Plan,
}

/// Secrets that were there, by fingerprints that only their key makes again: enough to tell whether one moved.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Which key made them.
    key: String,
    /// By resource and field.
    prints: BTreeMap<Address, BTreeMap<String, String>>,
}

impl Seen {
    /// The secrets that `plan` replaces and that could be read.
    pub fn of(plan: &Plan, live: &BTreeMap<Address, Live>, key: &FingerprintKey) -> Self {
        let replaces = |step: &&Step| step.changes.iter().any(|change| change.secret);
        let seen = |step: &Step| match live.get(&step.address)? {
            Live::Present(found) => Some((
                step.address.clone(),
                secrets::prints(key, &step.address, &found.secrets),
            )),
            _ => None,
        };
        Seen {
            key: key.name(),
            prints: plan.steps.iter().filter(replaces).filter_map(seen).collect(),
        }
    }

    /// What moved of the secrets that a step replaces.
    fn moved(&self, step: &Step, found: &Present, key: &FingerprintKey) -> Option<String> {
        let before = self.prints.get(&step.address);
        let now = secrets::prints(key, &step.address, &found.secrets);
        let mut replaced = step.changes.iter().filter(|change| change.secret);
        replaced.find_map(|change| {
            let field = &change.field;
            match (before.and_then(|prints| prints.get(field)), now.get(field)) {
                (Some(_), Some(_)) if self.key != key.name() => Some(format!(
                    "may have another `{field}` by now, which is told only by a state that the run which planned shares \
                     (`autogit apply` without a saved plan makes one)"
                )),
                (before, now) if before == now => None,
                _ => Some(format!("has another `{field}` now")),
            }
        })
    }
}

/// Something that a saved plan touches moved since.
#[derive(Debug, thiserror::Error)]
#[error("the plan is stale: {address} {what}; nothing was written: plan again")]
pub struct Stale {
    /// What moved.
    pub address: Address,
    /// How.
    pub what: String,
}

impl SavedPlan {
    /// The format this program reads and writes.
    pub const VERSION: u32 = 1;

    /// Writes the plan to `path`, readable by its owner only.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &path::Path) -> Result<(), StateError> {
        let text = serde_json::to_vec_pretty(self).expect("a plan is plain data");
        state::replace(path, &text)
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// When the file cannot be read, is no plan, or is one of another format.
    pub fn read(path: &path::Path) -> Result<Self, StateError> {
        let text = std::fs::read(path).map_err(|error| StateError::Io {
            doing: "read",
            path: path.into(),
            error,
        })?;
        let wrong = |why: String| StateError::Unreadable {
            place: path.display().to_string(),
            why,
        };
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let how = "make one with `autogit plan --out FILE`";
        let found: Version = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("it is not a saved plan ({error}): {how}")))?;
        if found.version != Self::VERSION {
            return Err(wrong(
                "it was saved by another version of AutoGit: plan again".into(),
            ));
        }
        serde_json::from_slice(&text).map_err(|error| wrong(format!("it is not a saved plan: {error}")))
    }

    /// What the ledger holds of what `plan` touches.
    pub fn recorded(plan: &Plan, ledger: &Ledger) -> BTreeMap<Address, Entry> {
        let known = |step: &Step| Some((step.address.clone(), ledger.resources.get(&step.address)?.clone()));
        plan.steps.iter().filter_map(known).collect()
    }

    /// Everything that the plan touches, what that needs, and what an interrupted run may have written.
    pub(super) fn reach(&self, ledger: &Ledger) -> Reach {
        let mut reach = Reach {
            moved: self.moved.clone(),
            ..Reach::default()
        };
        for step in &self.plan.steps {
            let kind = kinds::by_name(&step.address.kind);
            let needs = kind.map(|kind| (kind.rules.needs)(&step.address.key, Some(&step.value)));
            for need in needs.into_iter().flatten() {
                reach.addresses.entry(need).or_insert(None);
            }
            reach.addresses.insert(step.address.clone(), step.id.clone());
            reach.note(&step.address, &step.value);
            if step.action == Action::Delete {
                reach.absent.insert(step.address.clone());
            }
        }
        for address in ledger.in_doubt.keys() {
            reach.addresses.entry(address.clone()).or_insert(None);
        }
        reach
    }

    /// Checks that all it touches is as it was, there and in the ledger.
    ///
    /// # Errors
    /// Names the first thing that moved.
    pub(super) fn check(
        &self,
        live: &BTreeMap<Address, Live>,
        ledger: &Ledger,
        key: &FingerprintKey,
    ) -> Result<(), Stale> {
        for step in &self.plan.steps {
            let known = |entries: &BTreeMap<Address, Entry>| {
                entries
                    .get(&step.address)
                    .map(|entry| (entry.id.clone(), entry.origin))
            };
            let moved = match known(&self.recorded) == known(&ledger.resources) {
                true => self.moved(step, live.get(&step.address), key),
                false => Some("was managed or released by another run".into()),
            };
            if let Some(what) = moved {
                return Err(Stale {
                    address: step.address.clone(),
                    what,
                });
            }
        }
        Ok(())
    }

    /// What moved under a step since it was planned.
    fn moved(&self, step: &Step, live: Option<&Live>, key: &FingerprintKey) -> Option<String> {
        // The second part of something that the plan itself makes.
        let is_made_here = step.id.is_none();
        match live {
            _ if step.action == Action::Release => None,
            Some(Live::Absent) | None if is_made_here => None,
            Some(Live::Absent) | None => Some("is not there any more".into()),
            Some(Live::Unreadable(why)) => Some(format!("could not be read: {why}")),
            Some(Live::Present(_)) if is_made_here => Some("is there now".into()),
            Some(Live::Present(found)) if step.id.as_ref() != Some(&found.id) => {
                Some("is another one now".into())
            }
            Some(Live::Present(found)) => {
                moved_field(step, &found.value).or_else(|| self.seen.moved(step, found, key))
            }
        }
    }
}

fn moved_field(step: &Step, live: &crate::core::Fields) -> Option<String> {
    let mut changes = step
        .changes
        .iter()
        .filter(|change| change.field != "path" && !change.secret && step.id.is_some());
    let moved = changes.find(|change| diff::at(live, &change.field) != change.before.as_ref())?;
    Some(format!("has another `{}` now", moved.field))
}
