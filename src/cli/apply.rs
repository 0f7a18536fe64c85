//! `autogit apply`: closes the difference, after asking.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anstream::{eprint, eprintln};
use tokio::sync::watch;

use super::connect::{Connected, Endpoint, Instance, desired, load};
use super::output::{can_ask, color};
use super::plan::{self, Chosen};
use super::progress::Lines;
use super::report::Outcome;
use super::validate::Format;
use super::{Exit, Global, Problem, findings};
use crate::config::{Config, Loaded};
use crate::core::{Action, Address, Allowed, Impact, Live, Plan, Reported, Step};
use crate::engine::state::Ledger;
use crate::engine::{Applying, Interrupt, Planned, SavedPlan, Session, Survey, Targets};
use crate::{kinds, render};

/// Change what differs, after asking
///
/// Shows the plan, asks, applies it, and says what became of every step. What fails is named, and what does
/// not depend on it is still done. Interrupted or killed, run it again: it goes on where it stopped.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit apply
  autogit apply --yes --allow weaken --max-changes 20
  autogit plan --out plan.json && autogit apply plan.json
  autogit apply --sandbox --yes")]
pub struct Args {
    /// A plan saved by `plan --out`: it is applied as reviewed, or refused when something it touches moved
    #[arg(value_name = "FILE", conflicts_with = "targets")]
    saved: Option<PathBuf>,
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    chosen: Chosen,
    /// Do not ask; run what is neutral or tightens, and what --allow names
    #[arg(long, short)]
    yes: bool,
    /// With --yes: impacts that may happen, too: weaken, expose, lock-out, destroy
    #[arg(long, value_name = "IMPACT", value_delimiter = ',')]
    allow: Vec<Impact>,
    /// Refuse a plan of more steps than this; what is only released does not count
    #[arg(long, value_name = "N")]
    max_changes: Option<usize>,
    /// With --yes: go on even if more than a tenth of what is managed is not declared any more
    #[arg(long)]
    allow_shrink: bool,
    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A run: one connection, and what its rounds share.
struct Run<'a> {
    global: &'a Global,
    session: &'a Session,
    started: Instant,
    interrupt: &'a watch::Sender<Interrupt>,
    outcome: Outcome,
}

/// What a plan was made from.
struct Observed<'a> {
    live: &'a BTreeMap<Address, Live>,
    ledger: Ledger,
    survey: Option<&'a Survey>,
}

/// What was to be applied in one round.
struct Round {
    plan: Plan,
    /// Nobody said no.
    confirmed: bool,
    /// Something could not be planned.
    flawed: bool,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        match &self.saved {
            Some(path) => self.apply_saved(global, path).await,
            None => self.apply_config(global).await,
        }
    }

    async fn apply_saved(&self, global: &Global, path: &Path) -> Result<Exit, Problem> {
        let started = Instant::now();
        let saved = SavedPlan::read(path)?;
        let instance = Instance {
            sandbox: self.instance.sandbox || saved.sandbox,
            ..self.instance
        };
        let endpoint = Endpoint {
            url: Some(&saved.url),
            token: saved.token.as_ref(),
            ca_file: saved.ca_file.as_deref(),
            state: saved.state.as_ref(),
        };
        let connected = instance.connect(global, endpoint, Some("apply")).await?;
        let outcome = self
            .run_saved(Run::new(global, &connected, started), &saved)
            .await;
        connected.close(outcome).await
    }

    async fn run_saved(&self, mut run: Run<'_>, saved: &SavedPlan) -> Result<Exit, Problem> {
        let (ledger, live) = run.session.recheck(saved).await?;
        self.show(&run, &saved.plan, &[]);
        self.check_size(&saved.plan)?;
        let observed = Observed {
            live: &live,
            ledger,
            survey: None,
        };
        self.carry_out(&mut run, &saved.plan, observed, everything())
            .await?;
        run.outcome.print(run.session, run.started, self.format);
        if run.outcome.last.failures.is_empty() && spreads(&saved.plan) {
            eprintln!("GitLab wrote into what lives in the groups, too: run `autogit apply` again.");
        }
        for problem in &saved.plan.problems {
            Problem::new(format!("failed to plan {}: {}", problem.address, problem.message)).print();
        }
        Ok(match run.outcome.exit() {
            Exit::Done if !saved.plan.problems.is_empty() => Exit::Failed,
            exit => exit,
        })
    }

    async fn apply_config(&self, global: &Global) -> Result<Exit, Problem> {
        let started = Instant::now();
        let (loaded, config) = load(global)?;
        let targets = self.chosen.targets()?;
        let endpoint = (&config).into();
        let connected = self.instance.connect(global, endpoint, Some("apply")).await?;
        let run = Run::new(global, &connected, started);
        let outcome = self.run_config(run, &loaded, &config, &targets).await;
        connected.close(outcome).await
    }

    async fn run_config(
        &self,
        mut run: Run<'_>,
        loaded: &Loaded,
        config: &Config,
        targets: &Targets,
    ) -> Result<Exit, Problem> {
        findings::show_edition(&loaded.sources, config, &run.session.about);
        let mut round = self.round(&mut run, loaded, config, targets).await?;
        if round.confirmed && run.outcome.last.failures.is_empty() && spreads(&round.plan) {
            round = self.round(&mut run, loaded, config, targets).await?;
        }
        if !round.confirmed && run.outcome.done.is_empty() {
            eprintln!("Nothing was changed.");
            return Ok(Exit::Declined);
        }
        run.outcome.print(run.session, run.started, self.format);
        Ok(match run.outcome.exit() {
            Exit::Done if !round.confirmed => Exit::Declined,
            Exit::Done | Exit::Declined if round.flawed => Exit::Failed,
            exit => exit,
        })
    }

    /// Surveys, plans, asks and applies.
    async fn round(
        &self,
        run: &mut Run<'_>,
        loaded: &Loaded,
        config: &Config,
        targets: &Targets,
    ) -> Result<Round, Problem> {
        // What a round wrote may be what a rule goes by.
        let (desired, sources) = desired(run.global, run.session, loaded, config.clone()).await?;
        let Planned {
            survey,
            plan,
            reported,
        } = run.session.plan(&desired, targets, true).await?;
        self.show(run, &plan, &reported);
        let found = findings::of_plan(&plan, &desired.config);
        findings::show(&sources, &found, color());
        self.check_size(&plan)?;
        self.check_shrinkage(&survey)?;
        let allowed = self.consent(&plan)?;
        let confirmed = allowed.is_some();
        if let Some(allowed) = allowed {
            let observed = Observed {
                live: &survey.live,
                ledger: survey.ledger.clone(),
                survey: Some(&survey),
            };
            self.carry_out(run, &plan, observed, allowed).await?;
        }
        Ok(Round {
            plan,
            confirmed,
            flawed: !found.is_empty(),
        })
    }

    fn show(&self, run: &Run, plan: &Plan, reported: &[Reported]) {
        if self.format == Format::Text {
            let format = plan::Format::Text;
            plan::show(run.session, plan, reported, run.started, format, run.global);
        }
    }

    async fn carry_out(
        &self,
        run: &mut Run<'_>,
        plan: &Plan,
        observed: Observed<'_>,
        allowed: Allowed,
    ) -> Result<(), Problem> {
        let session = run.session;
        if plan.steps.is_empty() {
            return Ok(session.conclude(None, observed.survey).await?);
        }
        let journal = session
            .store
            .begin(observed.ledger, plan, session.client.reader().server_time())
            .await?;
        // Held until the state is saved: an interrupt ends the program only where nobody listens.
        let interrupt = run.interrupt.subscribe();
        let progress = Arc::new(Lines::new(plan.steps.len(), self.format));
        let applying = Applying {
            client: &session.client,
            live: observed.live,
            journal: journal.clone(),
            key: session.key.clone(),
            secrets: session.secrets.clone(),
            allowed,
            parallelism: usize::from(self.instance.parallelism),
            about: &session.about,
            progress: progress.clone(),
            interrupt: interrupt.clone(),
        };
        run.outcome.last = applying.run(plan).await;
        run.outcome.done.extend(progress.end());
        let concluded = session.conclude(Some(&journal), observed.survey).await;
        if concluded.is_err() {
            // What was done is told, even where it could not be recorded.
            run.outcome.print(session, run.started, self.format);
        }
        Ok(concluded?)
    }

    /// Refuses a plan that is larger than anybody meant.
    fn check_size(&self, plan: &Plan) -> Result<(), Problem> {
        let steps = plan
            .steps
            .iter()
            .filter(|step| step.action != Action::Release)
            .count();
        match self.max_changes.filter(|&limit| steps > limit) {
            Some(limit) => Err(Problem::new(format!(
                "failed to apply: the plan has {steps} steps, and --max-changes is {limit}"
            ))
            .help("nothing was changed; look at the plan, and raise the limit if it is meant")),
            None => Ok(()),
        }
    }

    /// Refuses, where nobody looks, a config that lost much of what it declared.
    fn check_shrinkage(&self, survey: &Survey) -> Result<(), Problem> {
        let (gone, managed) = survey.shrinkage();
        // One resource may always go, however few there are.
        if self.yes && !self.allow_shrink && gone > 1 && gone * 10 > managed {
            return Err(Problem::new(format!(
                "failed to apply: {gone} of {managed} managed resources are not declared any more, more than a tenth"
            ))
            .help("nothing was changed; if it is meant, say so with --allow-shrink, or apply without --yes"));
        }
        Ok(())
    }

    /// What may be done; `None` when the user said no.
    fn consent(&self, plan: &Plan) -> Result<Option<Allowed>, Problem> {
        // What is only taken over stays as it is: nothing to ask.
        if plan.steps.iter().all(Step::takes_over_only) {
            return Ok(Some(everything()));
        }
        if self.yes {
            return Ok(Some(self.allow.iter().copied().collect()));
        }
        if !can_ask() {
            return Err(
                Problem::new("failed to ask whether to apply: there is no terminal").help(
                    "say --yes, or review a saved plan: `autogit plan --out FILE`, then `autogit apply FILE`",
                ),
            );
        }
        for warning in render::warnings(plan) {
            eprintln!("\u{1b}[1;33m!\u{1b}[0m {warning}");
        }
        eprint!("Apply this plan? Only `yes` is taken for an answer: ");
        let mut answer = String::new();
        let asked = std::io::stderr()
            .flush()
            .and_then(|()| std::io::stdin().lock().read_line(&mut answer));
        asked.map_err(|error| Problem::new(format!("failed to read the answer: {error}")))?;
        Ok((answer.trim() == "yes").then(everything))
    }
}

impl<'a> Run<'a> {
    fn new(global: &'a Global, connected: &'a Connected, started: Instant) -> Self {
        Run {
            global,
            session: &connected.session,
            started,
            interrupt: &connected.interrupt,
            outcome: Outcome::default(),
        }
    }
}

/// All that somebody who saw the plan agreed to.
fn everything() -> Allowed {
    Impact::ALL.into_iter().collect()
}

/// Whether the plan has changes with which GitLab writes into other resources, too.
fn spreads(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| {
        let kind = kinds::by_name(&step.address.kind);
        kind.is_some_and(|kind| step.changes.iter().any(kind.rules.spreads))
    })
}
