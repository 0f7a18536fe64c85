//! The report of an apply: what was done, and what became of the rest.

use std::collections::BTreeSet;
use std::time::Instant;

use anstream::println;
use serde_json::{Value, json};

use super::validate::Format;
use super::{Exit, Problem};
use crate::core::{Action, Address};
use crate::engine::{Failure, Report, Session};
use crate::kinds;
use crate::render::count;

/// What became of the steps of a run, over all its rounds.
#[derive(Default)]
pub struct Outcome {
    /// What was done, in the order in which it was.
    pub done: Vec<(Address, Action)>,
    /// What became of the last round.
    pub last: Report,
}

impl Outcome {
    /// How a command ends that left this.
    pub fn exit(&self) -> Exit {
        if self.last.was_interrupted() {
            Exit::Interrupted
        } else if self.last.has_failed() {
            Exit::Failed
        } else if !self.last.failures.is_empty() {
            Exit::Declined
        } else {
            Exit::Done
        }
    }

    /// Prints it: what was done to standard output, what was not to standard error.
    pub fn print(&self, session: &Session, started: Instant, format: Format) {
        if format == Format::Json {
            println!("{:#}", self.json(session, started));
        }
        self.print_failures();
        if format == Format::Text {
            let left = match self.last.failures.len() {
                0 => String::new(),
                left => format!(", {left} not done"),
            };
            let counts = session.client.counts();
            println!(
                "Applied: {} done{left}; {}, {}, {:.1} s",
                self.done.len(),
                count(counts.reads, "request"),
                count(counts.writes, "write"),
                started.elapsed().as_secs_f64()
            );
        }
    }

    fn json(&self, session: &Session, started: Instant) -> Value {
        let done = self
            .done
            .iter()
            .map(|(address, action)| json!({"address": address, "action": action, "result": "done"}));
        let not_done = self.last.failures.iter().map(|(address, action, failure)| {
            json!({"address": address, "action": action, "result": "not_done", "because": failure.to_string()})
        });
        let counts = session.client.counts();
        json!({
            "format": "autogit-report",
            "version": 1,
            "done": self.done.len(),
            "not_done": self.last.failures.len(),
            "steps": done.chain(not_done).collect::<Vec<_>>(),
            "requests": counts.reads,
            "writes": counts.writes,
            "seconds": started.elapsed().as_secs_f64(),
        })
    }

    fn print_failures(&self) {
        for (address, action, failure) in &self.last.failures {
            if !matches!(failure, Failure::HeldBack | Failure::NotStarted) {
                Problem::new(format!("failed to {} {address}: {failure}", action.verb()))
                    .maybe_help(remedy(failure))
                    .print();
            }
        }
        if let Some(held_back) = self.left(|failure| matches!(failure, Failure::HeldBack)) {
            Problem::new(format!(
                "failed to apply what was held back, as its impact was not allowed: {held_back}"
            ))
            .help("allow it with --allow, or apply without --yes")
            .print();
        }
        if let Some(not_started) = self.left(|failure| matches!(failure, Failure::NotStarted)) {
            Problem::new(format!(
                "failed to finish: the run was interrupted before {not_started}"
            ))
            .help("apply again to go on")
            .print();
        }
    }

    /// The resources that were left for some reason: the first of many, and how many more.
    fn left(&self, why: impl Fn(&Failure) -> bool) -> Option<String> {
        const SHOWN: usize = 10;
        let left: BTreeSet<_> = self
            .last
            .failures
            .iter()
            .filter(|(.., failure)| why(failure))
            .map(|(address, ..)| address)
            .collect();
        let shown: Vec<_> = left.iter().take(SHOWN).map(ToString::to_string).collect();
        let shown = shown.join(", ");
        match left.len().saturating_sub(SHOWN) {
            _ if left.is_empty() => None,
            0 => Some(shown),
            more => Some(format!("{shown} and {more} more")),
        }
    }
}

fn remedy(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Failed(kinds::Error::Gitlab(error)) => error.remedy(),
        _ => None,
    }
}
