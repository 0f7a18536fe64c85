//! A run of a command that writes: a plan is shown, agreed to, carried out, recorded, reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anstream::eprintln;
use tokio::sync::watch;

use super::output::{can_ask, confirm};
use super::progress::Lines;
use super::report::Outcome;
use super::stage::Agreed;
use super::validate::Format;
use super::{Global, Problem, plan};
use crate::core::{Action, Address, Allowed, Impact, Live, Plan, Reported, Step};
use crate::engine::state::{Beginning, Ledger};
use crate::engine::{Applying, Interrupt, Session, Survey};
use crate::render;

/// How far a run may go.
#[derive(clap::Args)]
pub struct Leave {
    /// Do not ask; run what is neutral or tightens, and what --allow names
    #[arg(long, short)]
    pub yes: bool,
    /// With --yes: impacts that may happen, too: weaken, expose, lock-out, destroy
    #[arg(long, value_name = "IMPACT", value_delimiter = ',')]
    pub allow: Vec<Impact>,
    /// Refuse a plan of more steps than this; what is only taken over or released does not count
    #[arg(long, value_name = "N")]
    pub max_changes: Option<usize>,
}

impl Leave {
    /// Refuses a plan that is larger than anybody meant.
    pub fn check_size(&self, plan: &Plan) -> Result<(), Problem> {
        let steps = plan
            .steps
            .iter()
            .filter(|step| step.action != Action::Release && !step.takes_over_only())
            .count();
        match self.max_changes.filter(|&limit| steps > limit) {
            Some(limit) => Err(Problem::new(format!(
                "failed to apply: the plan has {steps} steps, and --max-changes is {limit}"
            ))
            .help("nothing was changed; look at the plan, and raise the limit if it is meant")),
            None => Ok(()),
        }
    }

    /// What may be done; `None` when the user said no.
    pub fn consent(&self, plan: &Plan) -> Result<Option<Allowed>, Problem> {
        // What is only taken over stays as it is: nothing to ask.
        if plan.steps.iter().all(Step::takes_over_only) {
            return Ok(Some(everything()));
        }
        if self.yes {
            return Ok(Some(self.allow.iter().copied().collect()));
        }
        if can_ask() {
            for warning in render::warnings(plan) {
                eprintln!("\u{1b}[1;33m!\u{1b}[0m {warning}");
            }
        }
        let otherwise =
            "say --yes, or review a saved plan: `autogit plan --out FILE`, then `autogit apply FILE`";
        Ok(confirm("Apply this plan?", otherwise)?.then(everything))
    }
}

/// A run: one connection, and what its rounds share.
pub struct Run<'a> {
    pub global: &'a Global,
    pub session: &'a Session,
    /// The command.
    pub operation: &'static str,
    pub started: Instant,
    pub parallelism: usize,
    pub format: Format,
    pub interrupt: &'a watch::Sender<Interrupt>,
    pub outcome: Outcome,
    /// What was shown and agreed to before.
    pub agreed: Agreed,
}

/// What a plan was made from.
pub struct Observed<'a> {
    pub live: &'a BTreeMap<Address, Live>,
    pub ledger: Ledger,
    pub survey: Option<&'a Survey>,
}

impl Run<'_> {
    /// Shows a plan to whoever reads along.
    pub fn show(&self, plan: &Plan, reported: &[Reported]) {
        if self.format == Format::Text {
            let format = plan::Format::Text;
            plan::show(self.session, plan, reported, self.started, format, self.global);
        }
    }

    /// Prints what became of it.
    pub fn print(&self) {
        self.outcome.print(self.session, self.started, self.format);
    }

    /// Carries a plan out, and records what was done.
    pub async fn carry_out(
        &mut self,
        plan: &Plan,
        observed: Observed<'_>,
        allowed: Allowed,
    ) -> Result<(), Problem> {
        let session = self.session;
        if plan.steps.is_empty() {
            return Ok(session.conclude(None, observed.survey).await?);
        }
        let beginning = Beginning {
            operation: self.operation,
            plan,
            live: observed.live,
            now: session.client.reader().server_time(),
        };
        let journal = session.store.begin(observed.ledger, &beginning).await?;
        // Held until the state is saved: an interrupt ends the program only where nobody listens.
        let interrupt = self.interrupt.subscribe();
        let progress = Arc::new(Lines::new(plan.steps.len(), self.format));
        let applying = Applying {
            client: &session.client,
            live: observed.live,
            journal: journal.clone(),
            key: session.key.clone(),
            secrets: session.secrets.clone(),
            allowed,
            parallelism: self.parallelism,
            about: &session.about,
            progress: progress.clone(),
            interrupt: interrupt.clone(),
        };
        self.outcome.last = applying.run(plan).await;
        self.outcome.done.extend(progress.end());
        let concluded = session.conclude(Some(&journal), observed.survey).await;
        if concluded.is_err() {
            // What was done is told, even where it could not be recorded.
            self.print();
        }
        Ok(concluded?)
    }
}

/// All that somebody who saw the plan agreed to.
pub fn everything() -> Allowed {
    Impact::ALL.into_iter().collect()
}
