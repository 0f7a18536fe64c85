//! Progress: a bar on a terminal, a line for each step that is done, and the list of those.

use std::io::IsTerminal;
use std::mem;
use std::sync::{Mutex, PoisonError};

use anstream::println;
use indicatif::{ProgressBar, ProgressStyle};

use super::validate::Format;
use crate::core::{Action, Address, Step};
use crate::engine::{Failure, Progress};

/// Shows a run as it goes on, and remembers what was done.
pub struct Lines {
    bar: ProgressBar,
    format: Format,
    done: Mutex<Vec<(Address, Action)>>,
}

impl Lines {
    /// For a run of so many steps. No bar where standard error is not a terminal, no lines but in a text.
    pub fn new(steps: usize, format: Format) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}");
            ProgressBar::new(steps as u64).with_style(style.expect("the template is well-formed"))
        } else {
            ProgressBar::hidden()
        };
        Lines {
            bar,
            format,
            done: Mutex::default(),
        }
    }

    /// Ends the bar, and says what was done, in the order in which it was.
    pub fn end(&self) -> Vec<(Address, Action)> {
        self.bar.finish_and_clear();
        mem::take(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Progress for Lines {
    fn started(&self, step: &Step) {
        self.bar.set_message(step.address.to_string());
    }

    fn finished(&self, step: &Step, failure: Option<&Failure>) {
        self.bar.inc(1);
        // What failed is told at the end, all together.
        if failure.is_some() {
            return;
        }
        if self.format == Format::Text {
            self.bar
                .suspend(|| println!("  {} {}", step.action.done(), step.address));
        }
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push((step.address.clone(), step.action));
    }
}
