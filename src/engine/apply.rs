//! Apply: carries out a plan, side by side where nothing stands between, and says what became of every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::secrets::{self, Values};
use super::state::{FingerprintKey, Journal, PastStep};
use super::survey::fingerprints;
use super::{About, Reach};
use crate::core::{Action, Address, Allowed, Change, Entry, Live, Plan, Present, Step, diff};
use crate::kinds::{self, Applied, Context, Error as KindError, Ids, Task};
use crate::live::gitlab::{Client, Kind, Writer};
use crate::live::secrets::Secrets;

/// How often a step whose outcome was not known is looked up and taken up again.
const ATTEMPTS: usize = 3;

/// What a user may ask of a run while it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interrupt {
    /// Nothing.
    #[default]
    None,
    /// Finish what is in flight, and start nothing more.
    Finish,
    /// Stop at once.
    Stop,
}

/// Hears of every step as it goes on.
pub trait Progress: Send + Sync {
    /// A step was begun.
    fn started(&self, step: &Step);
    /// A step is over.
    fn finished(&self, step: &Step, failure: Option<&Failure>);
}

/// Why a step was not done.
#[derive(Debug)]
pub enum Failure {
    /// It was tried and did not work.
    Failed(KindError),
    /// GitLab answered with success and did not do it.
    Ignored(Vec<String>),
    /// Something it needs was not done, or is not there.
    Blocked(String),
    /// Its impact, or that of something it needs, was not allowed.
    HeldBack,
    /// The run was interrupted before it.
    NotStarted,
    /// The run was stopped during it: it may be done or not, and the next run finds out.
    InDoubt,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Failed(error) => write!(f, "{error}"),
            Failure::Ignored(fields) => write!(
                f,
                "GitLab answered with success, but left {}: it may not be allowed there, or not known to this version or edition",
                fields.join(", ")
            ),
            Failure::Blocked(because) => write!(f, "not done, because {because}"),
            Failure::HeldBack => {
                f.write_str("held back: its impact, or that of something it needs, was not allowed")
            }
            Failure::NotStarted => f.write_str("not started"),
            Failure::InDoubt => {
                f.write_str("stopped half-way: run again, and AutoGit finds out what is left")
            }
        }
    }
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Report {
    /// The steps that were not, with the reason, in the plan's order.
    pub failures: Vec<(Address, Action, Failure)>,
}

impl Report {
    /// Whether a step failed, rather than being held back or not started.
    pub fn has_failed(&self) -> bool {
        self.failures
            .iter()
            .any(|(.., failure)| !matches!(failure, Failure::HeldBack | Failure::NotStarted))
    }

    /// Whether the run ended before its steps did.
    pub fn was_interrupted(&self) -> bool {
        self.failures
            .iter()
            .any(|(.., failure)| matches!(failure, Failure::NotStarted | Failure::InDoubt))
    }
}

/// What carries out a plan.
pub struct Applying<'a> {
    /// The way to GitLab.
    pub client: &'a Client,
    /// What is there, as it was surveyed.
    pub live: &'a BTreeMap<Address, Live>,
    /// Records every write and every step done.
    pub journal: Journal,
    /// Makes the ledger's fingerprints.
    pub key: FingerprintKey,
    /// Resolves the secrets to be set.
    pub secrets: Arc<Secrets>,
    /// What may be done beyond neutral and tightening.
    pub allowed: Allowed,
    /// How many steps go on at a time.
    pub parallelism: usize,
    /// Which GitLab, and who is asking.
    pub about: &'a About,
    /// Hears of every step.
    pub progress: Arc<dyn Progress>,
    /// What the user asks meanwhile.
    pub interrupt: watch::Receiver<Interrupt>,
}

impl Applying<'_> {
    /// Carries out `plan`. What fails is reported, and what does not depend on it goes on.
    pub async fn run(mut self, plan: &Plan) -> Report {
        let ids = self.ids();
        let mut waiting: Vec<usize> = plan.steps.iter().map(|step| step.after.len()).collect();
        let mut unblocks = vec![Vec::new(); plan.steps.len()];
        for (number, step) in plan.steps.iter().enumerate() {
            step.after
                .iter()
                .for_each(|&before| unblocks[before].push(number));
        }
        let mut ready: BTreeSet<usize> = (0..plan.steps.len())
            .filter(|&number| waiting[number] == 0)
            .collect();
        let mut outcomes: Vec<Option<Result<(), Failure>>> = plan.steps.iter().map(|_| None).collect();
        let mut running = JoinSet::new();
        let mut in_flight = BTreeSet::new();
        loop {
            while *self.interrupt.borrow() == Interrupt::None
                && !self.journal.is_lost()
                && running.len() < self.parallelism.max(1)
            {
                let Some(number) = ready.pop_first() else { break };
                let step = &plan.steps[number];
                match self.obstacle(step, plan, &outcomes) {
                    Some(failure) => self.settle(plan, number, Err(failure), &mut outcomes),
                    None => {
                        self.progress.started(step);
                        running.spawn(self.carry_out(number, step, &ids));
                        in_flight.insert(number);
                        continue;
                    }
                }
                release(&unblocks[number], &mut waiting, &mut ready);
            }
            let finished = tokio::select! {
                finished = running.join_next() => finished,
                true = stopped(&mut self.interrupt) => break,
            };
            let Some(finished) = finished else { break };
            let (number, outcome) = match finished {
                Ok(finished) => finished,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => continue,
            };
            in_flight.remove(&number);
            self.settle(plan, number, outcome, &mut outcomes);
            release(&unblocks[number], &mut waiting, &mut ready);
        }
        running.shutdown().await;
        report(plan, outcomes, &in_flight)
    }

    fn ids(&self) -> Ids {
        let present = self.live.iter().filter_map(|(address, live)| match live {
            Live::Present(found) => Some((address.clone(), found.id.clone())),
            _ => None,
        });
        present.collect()
    }

    /// Why a step is not even tried.
    fn obstacle(
        &self,
        step: &Step,
        plan: &Plan,
        outcomes: &[Option<Result<(), Failure>>],
    ) -> Option<Failure> {
        if let Some(because) = &step.blocked {
            return Some(Failure::Blocked(because.clone()));
        }
        for &before in &step.after {
            match &outcomes[before] {
                Some(Err(Failure::HeldBack)) => return Some(Failure::HeldBack),
                Some(Err(_)) => {
                    let because = format!("{} was not done", plan.steps[before].address);
                    return Some(Failure::Blocked(because));
                }
                _ => {}
            }
        }
        (!step.forbidden(&self.allowed).is_empty()).then_some(Failure::HeldBack)
    }

    fn settle(
        &self,
        plan: &Plan,
        number: usize,
        outcome: Result<(), Failure>,
        outcomes: &mut [Option<Result<(), Failure>>],
    ) {
        self.progress
            .finished(&plan.steps[number], outcome.as_ref().err());
        outcomes[number] = Some(outcome);
    }

    /// One step, from first write to ledger, as a task of its own.
    fn carry_out(
        &self,
        number: usize,
        step: &Step,
        ids: &Ids,
    ) -> impl Future<Output = (usize, Result<(), Failure>)> + Send + 'static {
        let one = OneStep {
            step: step.clone(),
            live: match self.live.get(&step.address) {
                Some(Live::Present(found)) => Some(found.clone()),
                _ => None,
            },
            client: self.client.clone(),
            journal: self.journal.clone(),
            key: self.key.clone(),
            secrets: self.secrets.clone(),
            values: Values::new(),
            ids: ids.clone(),
            about: self.about.clone(),
            since: self.client.reader().server_time(),
        };
        async move { (number, one.run().await) }
    }
}

/// Resolves to true once the user wants to stop at once.
async fn stopped(interrupt: &mut watch::Receiver<Interrupt>) -> bool {
    match interrupt.wait_for(|asked| *asked == Interrupt::Stop).await {
        Ok(_) => true,
        // Nobody is left to ask: wait for the work alone.
        Err(_) => std::future::pending().await,
    }
}

fn release(unblocks: &[usize], waiting: &mut [usize], ready: &mut BTreeSet<usize>) {
    for &number in unblocks {
        waiting[number] -= 1;
        if waiting[number] == 0 {
            ready.insert(number);
        }
    }
}

fn report(plan: &Plan, outcomes: Vec<Option<Result<(), Failure>>>, in_flight: &BTreeSet<usize>) -> Report {
    let mut report = Report::default();
    for (number, (step, outcome)) in plan.steps.iter().zip(outcomes).enumerate() {
        let failure = match outcome {
            Some(Ok(())) => continue,
            Some(Err(failure)) => failure,
            None if in_flight.contains(&number) => Failure::InDoubt,
            None => Failure::NotStarted,
        };
        report.failures.push((step.address.clone(), step.action, failure));
    }
    report
}

/// A step with all it needs to be carried out alone.
struct OneStep {
    step: Step,
    live: Option<Present>,
    client: Client,
    journal: Journal,
    key: FingerprintKey,
    secrets: Arc<Secrets>,
    /// The secrets that it sets.
    values: Values,
    ids: Ids,
    about: About,
    /// GitLab's clock when the step was begun.
    since: Option<jiff::Timestamp>,
}

impl OneStep {
    async fn run(mut self) -> Result<(), Failure> {
        let address = self.step.address.clone();
        let failed = |error: std::io::Error| {
            Failure::Failed(KindError::Refused(format!(
                "failed to write the journal: {error}"
            )))
        };
        // Before it is begun: what was in flight when the run was killed can be taken back, too.
        let past = PastStep::of(&self.step, self.live.as_ref());
        self.journal.past(past).map_err(failed)?;
        if self.step.action == Action::Release {
            return self.journal.removed(&address).map_err(failed);
        }
        if self.step.action == Action::Update && self.step.id.is_none() {
            // The second part of what this run created.
            self.step.id = self.ids.get(&address);
        }
        let applied = match (&self.live, self.step.takes_over_only()) {
            // As it should be already: nothing to ask, nothing to write.
            (Some(live), true) => Applied {
                id: live.id.clone(),
                value: live.value.clone(),
            },
            _ => self.attempt().await.map_err(Failure::Failed)?,
        };
        if self.step.action == Action::Delete {
            self.ids.set(&address, None);
            return self.journal.removed(&address).map_err(failed);
        }
        self.ids.set(&address, Some(applied.id.clone()));
        let before = self.journal.entry(&address);
        let mut prints = before.map(|entry| entry.fingerprints).unwrap_or_default();
        prints.extend(fingerprints(
            &self.key,
            &address,
            &self.step.value,
            &applied.value,
        ));
        prints.extend(secrets::prints(&self.key, &address, &self.values));
        let entry = Entry {
            id: applied.id.clone(),
            origin: self.step.origin,
            fingerprints: prints,
            guards: None,
        };
        self.journal.applied(&address, entry).map_err(failed)?;
        self.verify(&applied)
    }

    /// Carries the step out. Where a write's outcome is not known, looks before it writes again.
    async fn attempt(&mut self) -> Result<Applied, KindError> {
        let kind = kinds::by_name(&self.step.address.kind)
            .ok_or_else(|| KindError::Refused(format!("there is no kind `{}`", self.step.address.kind)))?;
        let values = secrets::values(&self.secrets, &self.step).await;
        self.values = values.map_err(KindError::Refused)?;
        let mut tried = 0;
        loop {
            tried += 1;
            self.journal.set_server_time(self.client.reader().server_time());
            let journal = Arc::new(self.journal.clone());
            let writer = Writer::new(&self.client, journal, self.step.address.clone());
            let context = Context {
                writer,
                ids: self.ids.clone(),
            };
            let task = Task {
                step: &self.step,
                live: self.live.as_ref(),
                secrets: &self.values,
            };
            match (kind.apply)(&context, &task).await {
                Err(KindError::Gitlab(error)) if error.is_ambiguous() && tried < ATTEMPTS => {
                    tracing::info!(address = %self.step.address, %error, "outcome not known: looking it up");
                    if let Some(applied) = Box::pin(self.look_up(kind)).await? {
                        return Ok(applied);
                    }
                }
                Err(KindError::Gitlab(error)) if error.kind() == Kind::Forbidden => {
                    return Err(error.needs(kind.write.to_string()).into());
                }
                outcome => return outcome,
            }
        }
    }

    /// What became of a step whose outcome is not known: done, or what is left of it becomes the step.
    async fn look_up(&mut self, kind: &kinds::Entry) -> Result<Option<Applied>, KindError> {
        let address = &self.step.address;
        let mut reach = Reach::default();
        reach.addresses.insert(address.clone(), self.step.id.clone());
        if let Some(change) = self.step.changes.iter().find(|change| change.field == "path") {
            reach
                .moved
                .insert(address.key.path.clone(), change.before_str().into());
        }
        let live = Box::pin(reach.observe(&self.client.reader(), &self.about))
            .await?
            .remove(address);
        match (live, self.step.action) {
            (Some(Live::Unreadable(why)), _) => Err(KindError::Refused(why)),
            (Some(Live::Absent), Action::Delete) => Ok(Some(Applied::default())),
            (Some(Live::Absent), Action::Update | Action::Adopt) => {
                self.make_again();
                Ok(None)
            }
            (Some(Live::Present(found)), Action::Create | Action::Update | Action::Adopt) => {
                self.take_up(kind, found)
            }
            // Not there yet, or there still: the step as it is.
            _ => Ok(None),
        }
    }

    /// What was being replaced is gone and not back: it is made as it was, with the changes.
    fn make_again(&mut self) {
        let mut value = self.live.take().map(|live| live.value).unwrap_or_default();
        value.extend(std::mem::take(&mut self.step.value));
        self.step.value = value;
        self.step.action = Action::Create;
        self.step.id = None;
    }

    /// Goes on from what is there: nothing, or the differences that are left.
    fn take_up(&mut self, kind: &kinds::Entry, found: Present) -> Result<Option<Applied>, KindError> {
        let earlier = found
            .created_at
            .zip(self.since)
            .is_some_and(|(made, since)| made.as_second() < since.as_second());
        if self.step.action == Action::Create && earlier {
            return Err(KindError::Refused(
                "somebody else made it meanwhile: plan again".into(),
            ));
        }
        let mut changes = diff::diff(&self.step.value, &found.value);
        changes.retain(|change| !kind.leaves_out(&change.field));
        // What cannot be read back may not have arrived.
        let there = |(field, value): &(&String, &SecretString)| {
            let there = found.secrets.get(*field).map(ExposeSecret::expose_secret);
            there != Some(value.expose_secret())
        };
        changes.extend(
            self.values
                .iter()
                .filter(there)
                .map(|(field, _)| Change::secret(field)),
        );
        if let Some(path) = found
            .path
            .as_ref()
            .filter(|path| **path != self.step.address.key.path)
        {
            let to = self.step.address.key.path.to_string();
            changes.push(Change::new(
                "path",
                Some(path.to_string().into()),
                Some(to.into()),
            ));
        }
        if changes.is_empty() {
            return Ok(Some(Applied {
                id: found.id,
                value: found.value,
            }));
        }
        if self.step.action == Action::Create {
            self.step.action = Action::Update;
        }
        self.step.changes = changes;
        self.step.id = Some(found.id.clone());
        self.live = Some(found);
        Ok(None)
    }

    /// Holds GitLab's answer against what was asked: it ignores what it does not know.
    fn verify(&self, applied: &Applied) -> Result<(), Failure> {
        let kind = kinds::by_name(&self.step.address.kind);
        let left_out = |field: &str| kind.is_some_and(|kind| kind.leaves_out(field));
        let left: Vec<String> = diff::diff(&self.step.value, &applied.value)
            .into_iter()
            .filter(|change| !left_out(&change.field))
            .map(|change| {
                let show = |value: Option<serde_json::Value>| {
                    value.map_or("unset".into(), |value| value.to_string())
                };
                format!(
                    "`{}` at {} (asked for {})",
                    change.field,
                    show(change.before),
                    show(change.after)
                )
            })
            .collect();
        match left.is_empty() {
            true => Ok(()),
            false => Err(Failure::Ignored(left)),
        }
    }
}
