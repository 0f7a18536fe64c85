//! The doctor: what stands between here and a plan, judged one thing after the other. Reads, and never writes.

mod administration;
mod connection;
mod deployed;
mod local;
mod rights;
#[cfg(test)]
mod tests;
mod token;

use serde::Serialize;

use crate::live::gitlab::Settings;

pub use deployed::{Deployed, deployed, own_checks};
pub use local::{directory, guard, secrets, store, token as token_reference};
pub use rights::{Answer, Right, Rights};

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be found out.
    NotKnown,
}

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: one word.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    fn new(name: &'static str, state: State, found: impl Into<String>) -> Self {
        Check {
            name,
            state,
            found: found.into(),
            remedy: None,
        }
    }

    /// It is as it should be.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Ok, found)
    }

    /// It works, and somebody should look at it.
    pub fn warning(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Warning, found)
    }

    /// It does not work.
    pub fn failed(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Failed, found)
    }

    /// It could not be found out, and why.
    pub fn not_known(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, State::NotKnown, why)
    }

    /// Adds what to do.
    pub fn help(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds what to do, where that is known.
    pub fn maybe_help(mut self, remedy: Option<String>) -> Self {
        self.remedy = remedy.or(self.remedy);
        self
    }
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Diagnosis {
    /// What was judged, in this order.
    pub checks: Vec<Check>,
    /// What the token may do with each kind.
    pub kinds: Vec<Rights>,
}

impl Diagnosis {
    /// Whether nothing failed.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.state != State::Failed)
    }
}

/// Examines the way to GitLab and, once it is known that GitLab is at its end, the token, if there is one.
pub async fn examine(settings: Settings, diagnosis: &mut Diagnosis) {
    let checks = &mut diagnosis.checks;
    let is_gitlab = connection::examine(&settings, checks).await;
    let why = match (&settings.token, is_gitlab) {
        (Some(_), true) => {
            diagnosis.kinds = token::examine(settings, checks).await;
            return;
        }
        (Some(_), false) => "not sent, as it is not known that GitLab would get it",
        (None, _) => "there is none that may be sent",
    };
    checks.push(Check::not_known(token::TOKEN, why));
    diagnosis.kinds = rights::not_known();
}
