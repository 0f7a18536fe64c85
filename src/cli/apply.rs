//! `autogit apply`: closes the difference, after asking.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anstream::eprintln;

use super::connect::{Claimed, Connected, Endpoint, Instance, desired, load};
use super::output::color;
use super::plan::Chosen;
use super::report::Outcome;
use super::run::{Leave, Observed, Run, everything};
use super::stage::{self, Agreed, Bringing, Brought, Outlook, Phases};
use super::validate::Format;
use super::{Exit, Global, Problem, findings};
use crate::config::{Config, Loaded};
use crate::core::Plan;
use crate::engine::{Planned, SavedPlan, Survey, Targets};
use crate::kinds;

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
    #[command(flatten)]
    leave: Leave,
    /// With --yes: go on even if more than a tenth of what is managed is not declared any more
    #[arg(long)]
    allow_shrink: bool,
    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    format: Format,
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
            deploy: None,
        };
        let connected = instance.connect(global, endpoint, Some("apply")).await?;
        let outcome = self
            .run_saved(self.start(global, &connected, started), &saved)
            .await;
        connected.close(outcome).await
    }

    async fn run_saved(&self, mut run: Run<'_>, saved: &SavedPlan) -> Result<Exit, Problem> {
        let (ledger, live) = run.session.recheck(saved).await?;
        run.show(&saved.plan, &[]);
        self.leave.check_size(&saved.plan)?;
        let observed = Observed {
            live: &live,
            ledger,
            survey: None,
        };
        run.carry_out(&saved.plan, observed, everything()).await?;
        run.print();
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

    fn start<'a>(&self, global: &'a Global, connected: &'a Connected, started: Instant) -> Run<'a> {
        Run {
            global,
            session: &connected.session,
            operation: "apply",
            started,
            parallelism: usize::from(self.instance.parallelism),
            format: self.format,
            interrupt: &connected.interrupt,
            outcome: Outcome::default(),
            agreed: Agreed::default(),
        }
    }

    async fn apply_config(&self, global: &Global) -> Result<Exit, Problem> {
        let started = Instant::now();
        let (loaded, config) = load(global)?;
        let targets = self.chosen.targets()?;
        let endpoint = (&config).into();
        let claimed = self.instance.claim(global, endpoint, Some("apply")).await?;
        let brought = self
            .bring_about(global, &claimed, (&loaded, &config), &targets, started)
            .await;
        let (done, agreed) = match brought {
            Ok(Brought::About { done, agreed }) => (done, agreed),
            Ok(Brought::Not(exit)) => return claimed.close(Ok(exit)).await,
            Err(problem) => return claimed.close(Err(problem)).await,
        };
        let connected = claimed.connect(&self.instance).await?;
        let mut run = self.start(global, &connected, started);
        run.outcome.done = done;
        run.agreed = agreed;
        let outcome = self.run_config(run, &loaded, &config, &targets).await;
        connected.close(outcome).await
    }

    /// Brings the instance about, where the config deploys one that is not as declared.
    async fn bring_about(
        &self,
        global: &Global,
        claimed: &Claimed<'_>,
        (loaded, config): (&Loaded, &Config),
        targets: &Targets,
        started: Instant,
    ) -> Result<Brought, Problem> {
        let nothing = Brought::About {
            done: Vec::new(),
            agreed: Agreed::default(),
        };
        let Some(stage) = stage::survey(claimed, config, true).await? else {
            return Ok(nothing);
        };
        if !stage.has_something() {
            // It may have been started just now.
            stage.instance.wait(&Phases::new()).await?;
            return Ok(nothing);
        }
        let outlook =
            Outlook::new(&stage, claimed, global, &self.instance, (loaded, config), targets).await?;
        let bringing = Bringing {
            stage: &stage,
            claimed,
            leave: &self.leave,
            format: self.format,
            started,
            global,
        };
        bringing.run(&outlook, config, loaded).await
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
        let is_done = round.confirmed && !round.flawed && run.outcome.last.failures.is_empty();
        if is_done && !round.plan.partial {
            let store = &run.session.store;
            if let Some(departure) = stage::departure(run.global, &self.instance, config, store).await? {
                stage::depart(&mut run, &self.leave, &departure).await?;
            }
        }
        run.print();
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
        run.show(&plan, &reported);
        let found = findings::of_plan(&plan, &desired.config);
        findings::show(&sources, &found, color());
        self.leave.check_size(&plan)?;
        self.check_shrinkage(&survey)?;
        let allowed = match run.agreed.covers(&plan) {
            true if !self.leave.yes => Some(everything()),
            _ => self.leave.consent(&plan)?,
        };
        let confirmed = allowed.is_some();
        if let Some(allowed) = allowed {
            let observed = Observed {
                live: &survey.live,
                ledger: survey.ledger.clone(),
                survey: Some(&survey),
            };
            run.carry_out(&plan, observed, allowed).await?;
        }
        Ok(Round {
            plan,
            confirmed,
            flawed: !found.is_empty(),
        })
    }

    /// Refuses, where nobody looks, a config that lost much of what it declared.
    fn check_shrinkage(&self, survey: &Survey) -> Result<(), Problem> {
        let (gone, managed) = survey.shrinkage();
        // One resource may always go, however few there are.
        if self.leave.yes && !self.allow_shrink && gone > 1 && gone * 10 > managed {
            return Err(Problem::new(format!(
                "failed to apply: {gone} of {managed} managed resources are not declared any more, more than a tenth"
            ))
            .help("nothing was changed; if it is meant, say so with --allow-shrink, or apply without --yes"));
        }
        Ok(())
    }
}

/// Whether the plan has changes with which GitLab writes into other resources, too.
fn spreads(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| {
        let kind = kinds::by_name(&step.address.kind);
        kind.is_some_and(|kind| step.changes.iter().any(kind.rules.spreads))
    })
}
