//! The instance itself, where the config deploys it: planned and brought about before what lives on it.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use indicatif::ProgressBar;
use tokio::sync::watch;

use super::connect::{Claimed, Instance, desired, state_folder};
use super::output::color;
use super::run::{Leave, Run};
use super::validate::Format;
use super::{Exit, Global, Problem, findings, plan};
use crate::config::{Config, Loaded};
use crate::core::{Action, Address, Plan, Step};
use crate::engine::state::Store;
use crate::engine::{
    Departure, Failure, Interrupt, Planned, Stage, StageError, Targets, on_an_empty_instance,
};
use crate::instance::{self, Heard};
use crate::render::Header;

impl From<instance::Error> for Problem {
    fn from(error: instance::Error) -> Self {
        let remedy = error.remedy();
        Problem::new(error.to_string()).maybe_help(remedy)
    }
}

impl From<StageError> for Problem {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Instance(error) => error.into(),
            StageError::State(error) => error.into(),
        }
    }
}

/// Looks at the instance that the config deploys, if it does, and plans it.
pub async fn survey(
    claimed: &Claimed<'_>,
    config: &Config,
    resolves: bool,
) -> Result<Option<Stage>, Problem> {
    match claimed.access.deployed(config).await? {
        Some(instance) => Ok(Some(Stage::survey(instance, &claimed.store, resolves).await?)),
        None => Ok(None),
    }
}

/// What becomes of an instance that the config does not deploy any more.
pub async fn departure(
    global: &Global,
    instance: &Instance,
    config: &Config,
    store: &Store,
) -> Result<Option<Departure>, Problem> {
    if instance.sandbox {
        return Ok(None);
    }
    let files = (&*state_folder(global), &*global.config);
    Ok(Departure::survey(config, files, store).await?)
}

/// Sees to an instance that the config does not deploy any more, after asking. All that lives on it was seen to before.
pub async fn depart(run: &mut Run<'_>, leave: &Leave, departure: &Departure) -> Result<(), Problem> {
    let plan = &departure.plan;
    run.show(plan, &[]);
    leave.check_size(plan)?;
    let allowed = leave.consent(plan)?;
    let is_allowed = |step: &Step| {
        allowed
            .as_ref()
            .is_some_and(|allowed| step.forbidden(allowed).is_empty())
    };
    if let Some(step) = plan.steps.iter().find(|step| !is_allowed(step)) {
        let failure = (step.address.clone(), step.action, Failure::HeldBack);
        run.outcome.last.failures.push(failure);
        return Ok(());
    }
    let phases = Phases::new();
    departure.carry_out(&run.session.store, &phases).await?;
    phases.0.finish_and_clear();
    let steps = plan.steps.iter();
    run.outcome
        .done
        .extend(steps.map(|step| (step.address.clone(), step.action)));
    Ok(())
}

/// What the instance and all that lives on it come to, as far as it can be told before the instance is as declared.
pub struct Outlook {
    /// Of all.
    pub plan: Plan,
    /// What it was made against.
    pub header: Header,
}

impl Outlook {
    /// Plans what lives on the instance after what is to be done to it.
    pub async fn new(
        stage: &Stage,
        claimed: &Claimed<'_>,
        global: &Global,
        instance: &Instance,
        (loaded, config): (&Loaded, &Config),
        targets: &Targets,
    ) -> Result<Self, Problem> {
        let unknown = Header {
            url: stage.instance.url.to_string(),
            known: None,
            store: claimed.store.describe(),
        };
        let (rest, header) = if stage.site.is_new {
            let key = claimed.store.fingerprint_key().await?;
            let mut rest = on_an_empty_instance(config, targets, &key).await?;
            rest.provisional = Some("the instance does not exist yet".into());
            (rest, unknown)
        } else {
            match claimed.open(instance).await {
                Ok((session, _sandbox)) => {
                    let (desired, _) = desired(global, &session, loaded, config.clone()).await?;
                    let Planned { plan, .. } = session.plan(&desired, targets, true).await?;
                    (plan, plan::header(&session))
                }
                Err(problem) => {
                    let why = match stage.lacks_token() {
                        true => "AutoGit has no token on the instance yet".to_owned(),
                        false => format!("the instance does not answer ({})", problem.message()),
                    };
                    let rest = Plan {
                        provisional: Some(why),
                        ..Plan::default()
                    };
                    (rest, unknown)
                }
            }
        };
        Ok(Outlook {
            plan: stage.plan.clone().then(rest),
            header,
        })
    }
}

/// What somebody has agreed to already.
#[derive(Default)]
pub struct Agreed(BTreeSet<String>);

impl Agreed {
    /// Notes all steps of a plan.
    pub fn to(plan: &Plan) -> Self {
        Agreed(plan.steps.iter().map(likeness).collect())
    }

    /// Whether a plan has nothing else.
    pub fn covers(&self, plan: &Plan) -> bool {
        plan.steps.iter().all(|step| self.0.contains(&likeness(step)))
    }
}

/// Equal for steps that do the same.
fn likeness(step: &Step) -> String {
    let changes = step
        .changes
        .iter()
        .map(|change| (&change.field, &change.before, &change.after, change.impact));
    let what = (
        &step.address,
        step.action,
        step.impact,
        changes.collect::<Vec<_>>(),
    );
    serde_json::to_string(&what).expect("steps have string keys only")
}

/// What bringing the instance about takes.
pub struct Bringing<'a> {
    pub stage: &'a Stage,
    pub claimed: &'a Claimed<'a>,
    pub leave: &'a Leave,
    pub format: Format,
    pub started: Instant,
    pub global: &'a Global,
}

/// What came of bringing the instance about.
pub enum Brought {
    /// It is as declared.
    About {
        /// What was done.
        done: Vec<(Address, Action)>,
        /// What was agreed to.
        agreed: Agreed,
    },
    /// The command ends here.
    Not(Exit),
}

impl Bringing<'_> {
    /// Shows the outlook, asks, and does the instance's part of it.
    pub async fn run(&self, outlook: &Outlook, config: &Config, loaded: &Loaded) -> Result<Brought, Problem> {
        if self.format == Format::Text {
            plan::show_offline(
                &outlook.header,
                &outlook.plan,
                self.started,
                plan::Format::Text,
                self.global,
            );
        }
        let found = findings::of_plan(&self.stage.plan, config);
        findings::show(&loaded.sources, &found, color());
        if !found.is_empty() {
            return Ok(Brought::Not(Exit::Failed));
        }
        self.leave.check_size(&outlook.plan)?;
        let Some(allowed) = self.leave.consent(&outlook.plan)? else {
            eprintln!("Nothing was changed.");
            return Ok(Brought::Not(Exit::Declined));
        };
        for step in &self.stage.plan.steps {
            if let Some(impact) = step.forbidden(&allowed).last() {
                let word = impact.permission().unwrap_or_default();
                Problem::new(format!(
                    "failed to {} {}: it {impact}",
                    step.action.verb(),
                    step.address
                ))
                .help(format!("allow it with --allow {word}, or apply without --yes"))
                .print();
                return Ok(Brought::Not(Exit::Declined));
            }
        }
        let phases = Phases::new();
        let mut interrupt = self.claimed.interrupt.subscribe();
        let mut done = Vec::new();
        let note = |step: &Step| {
            done.push((step.address.clone(), step.action));
            if self.format == Format::Text {
                phases
                    .0
                    .suspend(|| println!("  {} {}", step.action.done(), step.address));
            }
        };
        tokio::select! {
            done = self.stage.carry_out(&self.claimed.store, &phases, note) => done?,
            () = interrupted(&mut interrupt) => {
                phases.0.finish_and_clear();
                eprintln!("Interrupted: apply again to go on where it stopped.");
                return Ok(Brought::Not(Exit::Interrupted));
            }
        }
        phases.0.finish_and_clear();
        self.claimed.access.forget_token();
        Ok(Brought::About {
            done,
            agreed: Agreed::to(&outlook.plan),
        })
    }
}

/// Resolves once the user wants the run to end.
async fn interrupted(interrupt: &mut watch::Receiver<Interrupt>) {
    if interrupt
        .wait_for(|asked| *asked != Interrupt::None)
        .await
        .is_err()
    {
        // Nobody is left to ask: wait for the work alone.
        std::future::pending().await
    }
}

/// What goes on with the instance: a spinner on a terminal, a line for each phase elsewhere.
pub struct Phases(ProgressBar);

impl Phases {
    /// Nothing is shown yet.
    pub fn new() -> Self {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        bar.enable_steady_tick(Duration::from_millis(120));
        Phases(bar)
    }

    /// Nothing is shown any more.
    pub fn end(self) {
        self.0.finish_and_clear();
    }
}

impl Heard for Phases {
    fn phase(&self, what: &str) {
        self.0.set_message(what.to_owned());
        if self.0.is_hidden() {
            eprintln!("  {what}");
        }
    }

    fn line(&self, line: &str) {
        tracing::debug!(line, "from the instance");
    }
}
