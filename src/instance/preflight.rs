//! What stands in the way of bringing the instance up, found before anything is changed.
//!
//! What is known of the host is gathered in one place ([`Facts`]); what follows from it is judged by functions that look at nothing else.

mod engine;
mod facts;
mod ports;
mod room;
#[cfg(test)]
mod tests;

use super::{Blueprint, Error, Instance};
use crate::config::deploy::Profile;
use crate::core::{Address, Live, Problem};
use crate::live::docker::Engine;

pub(super) use facts::Facts;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// What would make it fail: the field as the config has it from `deploy` on, and what is wrong and what to do.
    refusals: Vec<(&'static str, String)>,
    /// What there is to know.
    notes: Vec<String>,
}

impl Findings {
    fn refuse(&mut self, field: &'static str, message: impl Into<String>) {
        self.refusals.push((field, message.into()));
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// What is to be, as far as the host has to do with it.
pub(super) struct Asked<'a> {
    /// All that follows from what is declared.
    pub blueprint: &'a Blueprint,
    /// How large it is to be.
    pub profile: Profile,
    /// Whether a container has to be made: there is none yet, or not of this image.
    pub is_made: bool,
    /// Whether there is none yet.
    pub is_new: bool,
}

/// Everything that would make it fail, and what there is to know. Fields are named as the config has them, from `deploy` on.
pub(super) async fn check(
    instance: &Instance,
    engine: &Engine,
    blueprint: &Blueprint,
    live: &Live,
) -> Result<(Vec<Problem>, Vec<String>), Error> {
    let asked = Asked {
        blueprint,
        profile: instance.spec.docker.profile.unwrap_or_default(),
        is_made: live_image(live) != Some(&blueprint.image),
        is_new: matches!(live, Live::Absent),
    };
    let facts = Facts::gather(instance.looker(), engine, blueprint).await?;
    let Findings { refusals, notes } = judge(&asked, &facts);
    let problems = refusals
        .into_iter()
        .map(|(field, message)| problem(instance.address(), field, message));
    Ok((problems.collect(), notes))
}

fn problem(address: Address, field: &str, message: String) -> Problem {
    Problem {
        address,
        field: Some(field.to_owned()),
        message,
    }
}

/// The image that is run, as it was asked for.
pub(super) fn live_image(live: &Live) -> Option<&str> {
    match live {
        Live::Present(found) => found.value.get("image")?.as_str(),
        _ => None,
    }
}

/// What follows from what is known.
fn judge(asked: &Asked, facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    engine::judge(asked, facts, &mut findings);
    ports::judge(asked, facts, &mut findings);
    room::judge(asked, facts, &mut findings);
    findings
}
