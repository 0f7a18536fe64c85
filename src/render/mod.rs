//! A plan as text for a terminal, JSON for programs and Markdown for merge requests. Nothing here reads or writes anything.

mod block;
mod comment;
mod json;
mod markdown;
mod report;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Edition;
use crate::core::{Plan, Reported};
use block::{Block, Concern};

pub use comment::{comment, marker};
pub use json::{json, plan_schema};
pub use markdown::markdown;
pub use report::{junit_report, terraform_report};
pub use text::{Style, text};

/// What a plan was made against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// The instance's URL.
    pub url: String,
    /// What answered there; left out where nothing is up yet.
    #[serde(flatten)]
    pub known: Option<Known>,
    /// Where the state is kept.
    pub store: String,
}

/// What a GitLab says of itself and of who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Known {
    /// Whose token was used.
    pub user: String,
    /// What that user is on the instance.
    pub role: Role,
    /// The instance's edition.
    pub edition: Edition,
    /// The instance's version: `18.8.4`.
    pub version: String,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { url, known, store } = self;
        let Some(Known {
            user,
            role,
            edition,
            version,
        }) = known
        else {
            return write!(f, "GitLab at {url}, not up yet, state in {store}");
        };
        let edition = match edition {
            Edition::Ce => "CE",
            Edition::Ee => "EE",
        };
        write!(
            f,
            "GitLab {edition} {version} at {url}, as {user} ({role}), state in {store}"
        )
    }
}

/// What the acting user is on the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An administrator of the instance.
    Administrator,
    /// Anyone else.
    User,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Administrator => "administrator",
            Role::User => "user",
        })
    }
}

/// What it took to make a plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Requests sent to GitLab.
    pub requests: u64,
    /// How many of them were writes.
    pub writes: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// What is rendered.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What the plan was made against.
    pub header: &'a Header,
    /// The plan.
    pub plan: &'a Plan,
    /// What rules in report mode would change.
    pub reported: &'a [Reported],
    /// What it took; left out where not known.
    pub cost: Option<Cost>,
}

/// One sentence for whatever in the plan is more than neutral or tightening, worst first: what a prompt must name.
pub fn warnings(plan: &Plan) -> Vec<String> {
    block::concerns(&block::blocks(plan))
        .iter()
        .filter(|concern| concern.impact.permission().is_some())
        .map(Concern::to_string)
        .collect()
}

/// The plan in one line.
fn summary(view: &View, blocks: &[Block]) -> String {
    let tally = block::tally(blocks);
    let plan = view.plan;
    let mut parts = Vec::new();
    let mut add = |numbers: Vec<(usize, String)>| {
        let shown: Vec<_> = numbers
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{number} {what}"))
            .collect();
        if !shown.is_empty() {
            parts.push(shown.join(", "));
        }
    };
    add(tally
        .actions
        .iter()
        .map(|(action, n)| (*n, format!("to {}", action.verb())))
        .collect());
    add(tally
        .impacts
        .iter()
        .map(|(impact, n)| (*n, impact.to_string()))
        .collect());
    let problems = if plan.problems.len() == 1 {
        "problem"
    } else {
        "problems"
    };
    add(vec![
        (tally.blocked, "blocked".into()),
        (plan.problems.len(), problems.into()),
    ]);
    add(vec![
        (plan.unchanged, "unchanged".into()),
        (plan.left_in_place, "left in place".into()),
    ]);
    let reported = view.reported.iter().map(Reported::count).sum();
    add(vec![(reported, "reported, not changed".into())]);
    if let Some(Cost {
        requests,
        writes,
        seconds,
    }) = view.cost
    {
        let requests = count(requests, "request");
        let writes = count(writes, "write");
        parts.push(format!("{requests}, {writes}, {seconds:.1} s"));
    }
    let rest = parts.join("; ");
    let sentence = match (plan.is_settled(), plan.partial) {
        (true, false) => "No changes: live is as declared. ",
        (true, true) => "No changes: the targets are as declared; nothing else was planned. ",
        (false, false) => "Plan: ",
        (false, true) => "Plan of the targets only: ",
    };
    format!("{sentence}{rest}").trim_end().to_owned()
}

/// What to keep in mind of a plan of which a part was not looked at.
fn provisional(why: &str) -> String {
    format!("provisional: {why}; what lives on it is planned again, and shown again, once it is up")
}

/// What a rule in report mode comes to.
fn differences(reported: &Reported) -> String {
    match (reported.count() as u64, reported.repos() as u64) {
        (0, _) => "no differences".to_owned(),
        (differences, repos) => format!("{} in {}", count(differences, "difference"), count(repos, "repo")),
    }
}

/// A number of things: `1 write`, `2 writes`.
pub fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
