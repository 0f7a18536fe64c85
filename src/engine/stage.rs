//! The stage before all others: the instance itself, which everything else lives in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::state::{FingerprintKey, Ledger, StateError, Store};
use super::{About, Error, Targets, secrets, survey};
use crate::config::{Config, Prune};
use crate::core::planner::{self, Inputs};
use crate::core::{Entry, Fields, Live, Plan, Step};
use crate::instance::backup::schedule::{self, Timetable};
use crate::instance::{self, Heard, Instance, Known, Left, Site};
use crate::kinds;

/// The instance, what is there of it, and what is to be done to it.
pub struct Stage {
    /// The instance that is declared.
    pub instance: Instance,
    /// What is there.
    pub site: Site,
    /// What is to be done.
    pub plan: Plan,
    timetable: Option<Timetable>,
    ledger: Ledger,
    key: FingerprintKey,
}

/// Why a stage could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The instance could not be brought about.
    #[error(transparent)]
    Instance(#[from] instance::Error),
    /// State could not be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Stage {
    /// Looks at what is there, and plans. Secrets are compared only where it `resolves`.
    ///
    /// # Errors
    /// When Docker does not answer, or state cannot be used.
    pub async fn survey(instance: Instance, store: &Store, resolves: bool) -> Result<Self, StageError> {
        let ledger = store.load().await?;
        let key = store.fingerprint_key().await?;
        let site = instance.survey().await?;
        let known = Known {
            ledger: &ledger.resources,
            fingerprint: &|address, field, value| key.of(address, field, value),
            resolves,
        };
        let timetable = Timetable::survey(&instance).await?;
        let mut plan = instance.plan(&site, &known).await;
        if let Some(timetable) = &timetable {
            plan = plan.then(timetable.plan(&known));
        }
        Ok(Stage {
            instance,
            site,
            plan,
            timetable,
            ledger,
            key,
        })
    }

    /// Whether AutoGit cannot reach the instance before this is done, as it has no token on it.
    pub fn lacks_token(&self) -> bool {
        matches!(self.instance.place.read_token(), Ok(None))
    }

    /// Whether there is anything to do or to tell.
    pub fn has_something(&self) -> bool {
        !self.plan.steps.is_empty() || !self.plan.problems.is_empty()
    }

    /// Does what is planned, and records each step once it is done. `done` is told of it.
    ///
    /// # Errors
    /// When something failed.
    pub async fn carry_out(
        &self,
        store: &Store,
        heard: &dyn Heard,
        mut done: impl FnMut(&Step),
    ) -> Result<(), StageError> {
        let mut ledger = self.ledger.clone();
        for step in &self.plan.steps {
            let entry = match &*step.address.kind {
                schedule::KIND => self.apply_schedule(step).await?,
                _ => Some(self.apply_instance(step, heard).await?),
            };
            match entry {
                Some(entry) => ledger.resources.insert(step.address.clone(), entry),
                None => ledger.resources.remove(&step.address),
            };
            store.save(ledger.clone()).await?;
            ledger.serial += 1;
            done(step);
        }
        Ok(())
    }

    async fn apply_instance(&self, step: &Step, heard: &dyn Heard) -> Result<Entry, StageError> {
        let applied = self.instance.apply(&self.site, step, heard).await?;
        let mut entry = self.entry(step, applied.id, &applied.value);
        for (field, secret) in &applied.secrets {
            let value = serde_json::Value::from(secrecy::ExposeSecret::expose_secret(secret));
            let print = self.key.of(&step.address, field, &value);
            entry.fingerprints.insert(field.clone(), print);
        }
        Ok(entry)
    }

    async fn apply_schedule(&self, step: &Step) -> Result<Option<Entry>, StageError> {
        let Some(timetable) = &self.timetable else {
            return Ok(None);
        };
        let applied = timetable.apply(step).await?;
        Ok(applied.map(|(id, value)| self.entry(step, id, &value)))
    }

    fn entry(&self, step: &Step, id: String, applied: &Fields) -> Entry {
        Entry {
            id,
            origin: step.origin,
            fingerprints: survey::fingerprints(&self.key, &step.address, &step.value, applied),
            guards: None,
        }
    }
}

/// An instance that AutoGit managed and the config does not deploy any more.
pub struct Departure {
    /// What becomes of it.
    pub plan: Plan,
    left: Left,
    timetable: Option<Timetable>,
    ledger: Ledger,
}

impl Departure {
    /// Looks for one in the ledger, and plans. `state` is AutoGit's directory beside the config, `file` the config itself.
    ///
    /// # Errors
    /// When Docker does not answer, or state cannot be used.
    pub async fn survey(
        config: &Config,
        (state, file): (&Path, &Path),
        store: &Store,
    ) -> Result<Option<Self>, StageError> {
        if config.gitlab.deploy.is_some() {
            return Ok(None);
        }
        let ledger = store.load().await?;
        let mut managed = ledger.resources.iter();
        let Some((address, entry)) = managed.find(|(address, _)| address.kind == instance::KIND) else {
            return Ok(None);
        };
        let left = Left::open(state, address.key.path.as_str()).await?;
        let mut plan = left.plan(address, entry, config.prune != Prune::None).await?;
        // A schedule of what is not deployed could only fail.
        let timetable = Timetable::left(address.key.path.as_str(), file).await?;
        if let Some(timetable) = &timetable {
            let key = store.fingerprint_key().await?;
            let known = Known {
                ledger: &ledger.resources,
                fingerprint: &|address, field, value| key.of(address, field, value),
                resolves: false,
            };
            plan = plan.then(timetable.plan(&known));
        }
        Ok(Some(Departure {
            plan,
            left,
            timetable,
            ledger,
        }))
    }

    /// Does what is planned, and records it.
    ///
    /// # Errors
    /// When something failed.
    pub async fn carry_out(&self, store: &Store, heard: &dyn Heard) -> Result<(), StageError> {
        let mut ledger = self.ledger.clone();
        for step in &self.plan.steps {
            match (&*step.address.kind, &self.timetable) {
                (schedule::KIND, Some(timetable)) => timetable.apply(step).await.map(drop)?,
                _ => self.left.carry_out(step, heard).await?,
            }
            ledger.resources.remove(&step.address);
        }
        Ok(store.save(ledger).await?)
    }
}

/// What would be made on an instance that is empty.
///
/// # Errors
/// When a target names nothing, or resources need each other in a circle.
pub async fn on_an_empty_instance(
    config: &Config,
    targets: &Targets,
    key: &FingerprintKey,
) -> Result<Plan, Error> {
    let enterprise = config
        .gitlab
        .deploy
        .as_ref()
        .is_some_and(|deployment| deployment.spec.docker.image.contains("gitlab-ee"));
    let about = About {
        version: String::new(),
        enterprise,
        user: String::new(),
        admin: true,
    };
    let (mut wanted, problems) = survey::wanted(config, &about);
    let chosen = targets.choose(config, None)?;
    if let Some(chosen) = &chosen {
        wanted = planner::narrow(&wanted, chosen.iter().cloned(), &kinds::rules());
    }
    secrets::fingerprint(&mut wanted, None, key).await;
    let live: BTreeMap<_, _> = wanted
        .keys()
        .map(|address| (address.clone(), Live::Absent))
        .collect();
    let mut plan = planner::plan(&Inputs {
        wanted: &wanted,
        live: &live,
        ledger: &BTreeMap::new(),
        rules: &kinds::rules(),
        prunes_owned: false,
        complete: &BTreeSet::new(),
        spared: &BTreeSet::new(),
        partial: chosen.is_some(),
        fingerprint: &|address, field, value| key.of(address, field, value),
    })?;
    plan.problems.extend(problems);
    Ok(plan)
}
