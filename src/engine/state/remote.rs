//! The remote store: a state of GitLab's own Terraform-state API, shared by all who may read its project.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{
    Beginning, Document, FingerprintKey, Holder, Intent, Journal, Ledger, PastRun, PastStep, StateError,
};
use crate::core::{Action, Address};
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
    /// What was begun in the run that goes on.
    begun: std::sync::Mutex<Vec<PastStep>>,
}

/// What is known of the state.
#[derive(Default)]
struct Known {
    document: Option<Document>,
    lock: Option<Held>,
    /// The run that goes on: what it is still to do, as far as that was announced.
    run: Option<PastRun>,
    /// The run before that one.
    before: Option<PastRun>,
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
            begun: std::sync::Mutex::default(),
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

    /// Saves what is known once a run is over, and where none goes on.
    pub(super) async fn save(&self, ledger: Ledger) -> Result<(), StateError> {
        let mut known = self.0.known.lock().await;
        if let Some(run) = &mut known.run {
            run.steps.clear();
        }
        self.upload(&mut known, ledger, None).await
    }

    /// Saves what is known while a run goes on.
    pub(super) async fn save_so_far(&self, ledger: Ledger) -> Result<(), StateError> {
        let mut known = self.0.known.lock().await;
        self.upload(&mut known, ledger, None).await
    }

    /// Remembers a step that is about to be carried out, to be saved with what is saved next: it was announced already.
    pub(super) fn past(&self, step: PastStep) {
        self.begun().push(step);
    }

    fn begun(&self) -> MutexGuard<'_, Vec<PastStep>> {
        self.0.begun.lock().unwrap_or_else(PoisonError::into_inner)
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
            // The runs of another store are not found from here.
            last_run: _,
        } = document;
        self.upload(&mut known, ledger, Some(fingerprint_key)).await
    }

    /// The newest runs, each found in the version that was saved before the next one began.
    pub(super) async fn runs(&self, most: usize) -> Result<Vec<PastRun>, StateError> {
        let mut last = self.pull().await?.last_run;
        let mut runs = Vec::new();
        while let Some(run) = last.take().filter(|_| runs.len() < most) {
            let before = run.number.saturating_sub(1);
            runs.push(run);
            if before > 0 && runs.len() < most {
                let version = self.0.state.version(before).await;
                let version = version.map_err(|error| self.failed(error))?;
                last = version
                    .map(|found| self.read(found))
                    .transpose()?
                    .and_then(|found| found.last_run);
            }
        }
        Ok(runs)
    }

    pub(super) async fn begin(
        &self,
        ledger: Ledger,
        beginning: &Beginning<'_>,
    ) -> Result<Journal, StateError> {
        let steps = beginning.plan.steps.iter();
        let about: BTreeMap<Address, Intent> = steps
            .filter(|step| step.action != Action::Release && step.blocked.is_none())
            .map(|step| {
                let intent = Intent {
                    since: beginning.now,
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
        let mut known = self.0.known.lock().await;
        let by = Holder::this(beginning.operation);
        let mut run = PastRun::intended(by, beginning.plan, beginning.live);
        run.number = match &known.run {
            Some(run) => run.number,
            None => {
                let document = self.document(&mut known).await?;
                let (number, before) = (document.ledger.serial + 1, document.last_run.clone());
                known.before = before;
                number
            }
        };
        known.run = Some(run);
        self.upload(&mut known, announced, None).await?;
        drop(known);
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
        (known.run, known.before) = (None, None);
        self.begun().clear();
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
        if let Some(why) = Document::too_new(&found) {
            return Err(self.unreadable(&why));
        }
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
        let run = known.run.clone().map(|mut run| {
            run.steps.splice(..0, self.begun().iter().cloned());
            run
        });
        // A run that began nothing is none.
        let run = run
            .filter(|run| !run.steps.is_empty())
            .or_else(|| known.before.clone());
        let before = self.document(known).await?;
        let document = Document {
            ledger: Ledger {
                serial: before.ledger.serial.max(ledger.serial) + 1,
                ..ledger
            },
            fingerprint_key: key.unwrap_or_else(|| before.fingerprint_key.clone()),
            last_run: run.or_else(|| before.last_run.clone()),
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
