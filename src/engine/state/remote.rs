//! The remote store: a state of GitLab's own Terraform-state API, shared by all who may read its project.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Document, FingerprintKey, Holder, Intent, Journal, Ledger, StateError};
use crate::core::{Action, Address, Plan};
use crate::live::gitlab::{self, Kind, StateLock, TerraformState};

/// State in a document that GitLab keeps, with all its earlier versions. Clones are the same store.
///
/// The document is read once, and saved as a whole: once before a run's first write, with all that the run is about to
/// write in doubt, and once after its last.
#[derive(Clone)]
pub struct Remote(Arc<Inner>);

struct Inner {
    state: TerraformState,
    /// The instance that the ledger is of.
    instance: String,
    /// What the state is called.
    place: String,
    /// How long the lock counts as ours without asking.
    patience: Duration,
    known: Mutex<Known>,
}

/// What is known of the state.
#[derive(Default)]
struct Known {
    document: Option<Document>,
    lock: Option<Held>,
}

/// The lock, while it is ours.
struct Held {
    id: String,
    /// When GitLab says that it was taken; none until it has said so.
    since: Option<Timestamp>,
    confirmed: Instant,
    /// Who holds it instead, once it was lost.
    lost: Option<Option<Holder>>,
}

/// How often a save is tried whose outcome is not known.
const ATTEMPTS: u32 = 3;

impl Remote {
    /// How long the lock counts as ours without asking, unless something else is said.
    pub const PATIENCE: Duration = Duration::from_secs(30);

    /// The store of `instance` in `state`, which is called `place`; nothing is sent yet.
    pub fn new(state: TerraformState, instance: &str, place: &str, patience: Duration) -> Self {
        Remote(Arc::new(Inner {
            state,
            instance: instance.trim_end_matches('/').to_owned(),
            place: place.to_owned(),
            patience,
            known: Mutex::default(),
        }))
    }

    pub(super) fn instance(&self) -> &str {
        &self.0.instance
    }

    pub(super) fn describe(&self) -> &str {
        &self.0.place
    }

    pub(super) async fn load(&self) -> Result<Ledger, StateError> {
        let ledger = self.pull().await?.ledger;
        let check = ledger.check(&self.0.instance);
        check.map_err(|why| self.unreadable(&why))?;
        Ok(ledger)
    }

    pub(super) async fn fingerprint_key(&self) -> Result<FingerprintKey, StateError> {
        let mut known = self.0.known.lock().await;
        let document = self.document(&mut known).await?;
        let wrong = "its `fingerprint_key` is not one: go back to an earlier version of the state";
        let key = document.key().ok_or_else(|| self.unreadable(wrong))?;
        Ok(FingerprintKey::new(&key))
    }

    pub(super) async fn save(&self, ledger: Ledger) -> Result<(), StateError> {
        let mut known = self.0.known.lock().await;
        self.upload(&mut known, ledger, None).await
    }

    pub(super) async fn pull(&self) -> Result<Document, StateError> {
        let mut known = self.0.known.lock().await;
        self.document(&mut known).await.cloned()
    }

    pub(super) async fn push(&self, document: Document) -> Result<(), StateError> {
        let mut known = self.0.known.lock().await;
        let Document {
            ledger,
            fingerprint_key,
        } = document;
        self.upload(&mut known, ledger, Some(fingerprint_key)).await
    }

    pub(super) async fn begin(
        &self,
        ledger: Ledger,
        plan: &Plan,
        now: Option<Timestamp>,
    ) -> Result<Journal, StateError> {
        let steps = plan.steps.iter();
        let about: BTreeMap<Address, Intent> = steps
            .filter(|step| step.action != Action::Release && step.blocked.is_none())
            .map(|step| {
                let intent = Intent {
                    since: now,
                    guards: None,
                };
                (step.address.clone(), intent)
            })
            .collect();
        let mut announced = ledger.clone();
        for (address, intent) in &about {
            announced
                .in_doubt
                .entry(address.clone())
                .or_insert(intent.clone());
        }
        self.save(announced).await?;
        Ok(Journal::remote(self.clone(), ledger, about))
    }

    /// Makes sure that the lock is still ours before a write. When that was not known for a while, what is `so_far`
    /// known is saved: GitLab refuses it from whoever does not hold the lock.
    pub(super) async fn confirm(&self, so_far: impl FnOnce() -> Ledger) -> Result<(), StateError> {
        let mut known = self.0.known.lock().await;
        match &known.lock {
            Some(held) if held.lost.is_none() && held.confirmed.elapsed() < self.0.patience => Ok(()),
            _ => self.upload(&mut known, so_far(), None).await,
        }
    }

    pub(super) async fn lock(&self, operation: &str) -> Result<(), StateError> {
        let me = Holder::this(operation);
        let id = me.lock_id();
        let mut known = self.0.known.lock().await;
        // Known before it is asked for: whoever gives up meanwhile can give it back.
        known.lock = Some(Held {
            id: id.clone(),
            since: None,
            confirmed: Instant::now(),
            lost: None,
        });
        match self.ask_for_lock(&id).await {
            Ok(held) if held.id == id => {
                if let Some(lock) = &mut known.lock {
                    lock.since = Some(held.created);
                }
                // What was read before it may be old by now.
                known.document = None;
                Ok(())
            }
            Ok(other) => {
                known.lock = None;
                Err(StateError::Locked {
                    holder: Some(other.into()),
                    by_force: true,
                })
            }
            Err(error) => {
                known.lock = None;
                if error.is_ambiguous() {
                    let _ = self.0.state.unlock(Some(&id)).await;
                }
                Err(self.failed(error))
            }
        }
    }

    pub(super) async fn release(&self) -> Result<(), StateError> {
        let mut known = self.0.known.lock().await;
        match known.lock.take() {
            Some(held) if held.lost.is_none() => {
                // Everything is saved: if it is not ours any more, nothing was lost by that.
                let released = self.0.state.unlock(Some(&held.id)).await;
                released.map(drop).map_err(|error| self.failed(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn unlock(&self, force: bool) -> Result<Option<Holder>, StateError> {
        let id = Holder::this("unlock").lock_id();
        let held = self.ask_for_lock(&id).await.map_err(|error| self.failed(error))?;
        let (holder, clear) = match held.id == id {
            true => (None, Some(id.as_str())),
            false if force => (Some(held.into()), None),
            false => {
                return Err(StateError::Locked {
                    holder: Some(held.into()),
                    by_force: true,
                });
            }
        };
        let unlocked = self.0.state.unlock(clear).await;
        unlocked.map_err(|error| self.failed(error))?;
        Ok(holder)
    }

    pub(super) async fn holder(&self) -> Result<Option<Holder>, StateError> {
        let lock = self.0.state.holder().await.map_err(|error| self.failed(error))?;
        Ok(lock.map(Holder::from))
    }

    /// The document as it was last seen, or what stands for it where there is none yet.
    async fn document<'k>(&self, known: &'k mut Known) -> Result<&'k Document, StateError> {
        let document = match known.document.take() {
            Some(document) => document,
            None => match self.0.state.get().await.map_err(|error| self.failed(error))? {
                Some(found) => self.read(found)?,
                None => Document::new(&self.0.instance).map_err(|error| StateError::Io {
                    doing: "make a key for",
                    path: self.0.place.clone().into(),
                    error,
                })?,
            },
        };
        Ok(known.document.insert(document))
    }

    fn read(&self, found: Value) -> Result<Document, StateError> {
        let document = serde_json::from_value::<Document>(found).map_err(|error| {
            self.unreadable(&format!(
                "it is not a state of AutoGit ({error}): correct `state.gitlab.name`, or go back to an earlier version"
            ))
        })?;
        Ok(document)
    }

    /// Saves `ledger` as the next version, with its key where it brings another, and finds out what became of it where
    /// that is not known.
    async fn upload(&self, known: &mut Known, ledger: Ledger, key: Option<String>) -> Result<(), StateError> {
        let before = self.document(known).await?;
        let document = Document {
            ledger: Ledger {
                serial: before.ledger.serial.max(ledger.serial) + 1,
                ..ledger
            },
            fingerprint_key: key.unwrap_or_else(|| before.fingerprint_key.clone()),
        };
        let Some(held) = &mut known.lock else {
            return Err(StateError::NotLocked(self.0.place.clone()));
        };
        if let Some(holder) = &held.lost {
            return Err(self.lost(holder.clone()));
        }
        let value = serde_json::to_value(&document).expect("state is plain text and numbers");
        let mut tried = 0;
        while let Err(error) = self.0.state.save(&value, &held.id).await {
            tried += 1;
            let is_there = self.look_up(held, &value, &error).await?;
            match is_there {
                true => break,
                false if tried == ATTEMPTS => return Err(self.failed(error)),
                false => tokio::time::sleep(Duration::from_millis(250) * tried).await,
            }
        }
        held.confirmed = Instant::now();
        known.document = Some(document);
        Ok(())
    }

    /// What became of a save that failed: whether it is there all the same. If not, it is worth another try.
    async fn look_up(
        &self,
        held: &mut Held,
        sent: &Value,
        error: &gitlab::Error,
    ) -> Result<bool, StateError> {
        let is_refused = matches!(error.kind(), Kind::Invalid | Kind::Conflict | Kind::Server);
        if !error.is_ambiguous() && !is_refused {
            return Err(self.failed(error.clone()));
        }
        let there = self.0.state.get().await.map_err(|error| self.failed(error))?;
        if there.as_ref() == Some(sent) {
            return Ok(true);
        }
        // GitLab says no more than that it failed, when the lock is not ours: asked for again, it says whose it is.
        let asked = self.ask_for_lock(&held.id).await;
        let lock = asked.map_err(|error| self.failed(error))?;
        let is_ours = lock.id == held.id;
        if is_ours && Some(lock.created) == held.since {
            let serial = |document: &Value| document["serial"].as_u64();
            return match there.as_ref().and_then(serial) >= serial(sent) {
                true => Err(StateError::Conflict {
                    place: self.0.place.clone(),
                    serial: serial(sent).unwrap_or_default(),
                }),
                false if error.kind() == Kind::Invalid => Err(self.failed(error.clone())),
                false => Ok(false),
            };
        }
        let holder = match is_ours {
            // It was free, and is ours once more: whoever cleared it may have written meanwhile.
            true => {
                let freed = self.0.state.unlock(Some(&held.id)).await;
                freed.map_err(|error| self.failed(error))?;
                None
            }
            false => Some(Holder::from(lock)),
        };
        held.lost = Some(holder.clone());
        Err(self.lost(holder))
    }

    async fn ask_for_lock(&self, id: &str) -> Result<StateLock, gitlab::Error> {
        let me = Holder::this("");
        let info = me.job.unwrap_or_default();
        self.0.state.lock(id, "autogit", &me.who, &info).await
    }

    fn lost(&self, holder: Option<Holder>) -> StateError {
        StateError::Lost {
            place: self.0.place.clone(),
            holder,
        }
    }

    fn failed(&self, error: gitlab::Error) -> StateError {
        StateError::Gitlab {
            place: self.0.place.clone(),
            error,
        }
    }

    fn unreadable(&self, why: &str) -> StateError {
        StateError::Unreadable {
            place: format!("the state in {}", self.0.place),
            why: why.to_owned(),
        }
    }
}
