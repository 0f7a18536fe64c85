//! `autogit revert`: takes a run back.

use std::time::Instant;

use anstream::{eprintln, println};
use serde_json::json;

use super::connect::{Access, Instance, desired, load};
use super::output::color;
use super::report::Outcome;
use super::run::{Leave, Observed, Run};
use super::stage::Agreed;
use super::validate::Format;
use super::{Exit, Global, Problem, findings};
use crate::config::{Config, Loaded};
use crate::core::Action;
use crate::engine::WayBack;
use crate::engine::state::{PastRun, Store};
use crate::render::count;

/// Take a run back, after asking
///
/// Plans what undoes a run, shows it like any plan, asks, and applies it. What the run changed gets the values that it had
/// before, what it made goes (repos and groups take --allow destroy), what it deleted is made again, and what it took over
/// is let go. It says what cannot come back. The config stays as it is: change it first, or the next apply does the
/// same again. What was reverted can be reverted.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit revert --list
  autogit revert                 the last run
  autogit revert 12 --yes --allow weaken")]
pub struct Args {
    /// The number of the run, as --list shows it; the last one unless it is given
    #[arg(value_name = "RUN", conflicts_with = "list")]
    run: Option<u64>,
    /// List the runs that are remembered, newest first
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    leave: Leave,
    /// How to print the list or the report
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How many runs are looked through.
const MOST: usize = 50;

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let started = Instant::now();
        let (loaded, config) = load(global)?;
        if self.list {
            let access = Access::new(
                global,
                (&config).into(),
                self.instance.sandbox,
                self.instance.allow_exec,
            );
            return self.list(&access.store().await?).await;
        }
        let connected = self
            .instance
            .connect(global, (&config).into(), Some("revert"))
            .await?;
        let run = Run {
            global,
            session: &connected.session,
            operation: "revert",
            started,
            parallelism: usize::from(self.instance.parallelism),
            format: self.format,
            interrupt: &connected.interrupt,
            outcome: Outcome::default(),
            agreed: Agreed::default(),
        };
        let outcome = self.revert(run, &loaded, &config).await;
        connected.close(outcome).await
    }

    async fn list(&self, store: &Store) -> Result<Exit, Problem> {
        let runs = store.runs(MOST).await?;
        if self.format == Format::Json {
            let runs: Vec<_> = runs
                .iter()
                .map(|run| {
                    json!({
                        "number": run.number, "by": run.by, "steps": run.steps.len(), "comes_back": comes_back(run),
                    })
                })
                .collect();
            println!(
                "{:#}",
                json!({"format": "autogit-runs", "version": 1, "runs": runs})
            );
            return Ok(Exit::Done);
        }
        for run in &runs {
            println!(
                "{}  {}, {} can come back; {}",
                run.number,
                count(run.steps.len() as u64, "step"),
                comes_back(run),
                run.by
            );
        }
        if runs.is_empty() {
            println!("No run is remembered in {}.", store.describe());
        }
        Ok(Exit::Done)
    }

    async fn revert(&self, mut run: Run<'_>, loaded: &Loaded, config: &Config) -> Result<Exit, Problem> {
        let past = self.find(&run.session.store).await?;
        let back = WayBack::from(&past);
        let (survey, plan) = match back.is_empty() {
            true => Default::default(),
            false => {
                let (survey, plan) = run.session.plan_back(&back).await?;
                (Some(survey), plan)
            }
        };
        if self.format == Format::Text {
            println!("Taking back run {}: {}\n", past.number, past.by);
        }
        if survey.is_some() {
            run.show(&plan, &[]);
        }
        let found = findings::of_plan(&plan, &Config::default());
        findings::show(&loaded.sources, &found, color());
        for lost in &back.lost {
            eprintln!("note: {lost}");
        }
        let Some(survey) = survey else {
            match self.format {
                Format::Text => println!("Nothing of it can come back."),
                Format::Json => run.print(),
            }
            return Ok(Exit::Done);
        };
        for again in back.changed_since(&survey) {
            eprintln!("note: {again} was changed again since: look at what is there now");
        }
        let (desired, _) = desired(run.global, run.session, loaded, config.clone()).await?;
        match back.still_asked_for(&desired.config) {
            0 => {}
            asked => eprintln!(
                "note: the config still asks for what the run did to {}: change it first, or the next apply does that again",
                count(asked as u64, "resource")
            ),
        }
        self.leave.check_size(&plan)?;
        let Some(allowed) = self.leave.consent(&plan)? else {
            eprintln!("Nothing was changed.");
            return Ok(Exit::Declined);
        };
        let observed = Observed {
            live: &survey.live,
            ledger: survey.ledger.clone(),
            survey: Some(&survey),
        };
        run.carry_out(&plan, observed, allowed).await?;
        run.print();
        Ok(match run.outcome.exit() {
            Exit::Done | Exit::Declined if !found.is_empty() => Exit::Failed,
            exit => exit,
        })
    }

    async fn find(&self, store: &Store) -> Result<PastRun, Problem> {
        let most = if self.run.is_some() { MOST } else { 1 };
        let mut runs = store.runs(most).await?.into_iter();
        let found = match self.run {
            Some(number) => runs.find(|run| run.number == number),
            None => runs.next(),
        };
        let which = self.run.map_or("a run".into(), |number| format!("run {number}"));
        found.ok_or_else(|| {
            Problem::new(format!(
                "failed to find {which} in {}: it is not remembered",
                store.describe()
            ))
            .help("`autogit revert --list` shows what is")
        })
    }
}

/// How many steps of a run can come back.
fn comes_back(run: &PastRun) -> usize {
    let steps = run.steps.iter();
    steps.filter(|step| step.action != Action::Release).count()
}
