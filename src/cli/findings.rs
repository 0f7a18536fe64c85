//! What is wrong with a config, shown where it stands: what loading found, and what only GitLab could tell.

use std::collections::BTreeMap;

use anstream::eprintln;

use super::output::color;
use crate::config::{Config, Diagnostic, Edition, Position, Sources};
use crate::core::{Address, Plan};
use crate::engine::About;

/// Prints diagnostics to standard error.
pub fn show(sources: &Sources, diagnostics: &[Diagnostic], color: bool) {
    for diagnostic in diagnostics {
        eprintln!("{}\n", sources.render(diagnostic, color));
    }
}

/// Warns where the config says another edition than the instance does: `validate` judges by the config's.
pub fn show_edition(sources: &Sources, config: &Config, about: &About) {
    let (is, name) = match about.enterprise {
        true => (Edition::Ee, "ee"),
        false => (Edition::Ce, "ce"),
    };
    if config.gitlab.edition.is_some_and(|said| said != is) {
        let warning = Diagnostic::warning(format!("`gitlab.edition` is not what the instance is: `{name}`"))
            .help("`validate` judges by it: correct it, or leave it out");
        show(sources, &[warning], color());
    }
}

/// What the plan could not do, at the place in the config that asks for it. The same problem of many resources is one.
pub fn of_plan(plan: &Plan, config: &Config) -> Vec<Diagnostic> {
    let problems = plan
        .problems
        .iter()
        .map(|problem| (&problem.address, problem.field.as_deref(), &problem.message));
    let is_told = |address: &Address, why: &String| {
        let mut problems = plan.problems.iter();
        problems.any(|problem| problem.address == *address && problem.message == *why)
    };
    let blocked = plan
        .steps
        .iter()
        .filter_map(|step| Some((&step.address, None, step.blocked.as_ref()?)))
        .filter(|(address, _, why)| !is_told(address, why));
    let mut by_message: BTreeMap<&str, Vec<(&Address, Option<&str>)>> = BTreeMap::new();
    for (address, field, message) in problems.chain(blocked) {
        by_message.entry(message).or_default().push((address, field));
    }
    by_message
        .into_iter()
        .map(|(message, places)| diagnostic(message, &places, config))
        .collect()
}

fn diagnostic(message: &str, places: &[(&Address, Option<&str>)], config: &Config) -> Diagnostic {
    let (address, field) = places[0];
    let title = format!("{address}: {message}");
    let mut diagnostic = Diagnostic::error(title);
    if let Some(position) = position(config, address, field) {
        diagnostic = diagnostic.at(position, "");
    }
    match places.len() {
        1 => diagnostic,
        many => {
            let named: Vec<_> = places[1..]
                .iter()
                .take(3)
                .map(|(address, _)| address.to_string())
                .collect();
            let more = if many > 4 {
                format!(" and {} more", many - 4)
            } else {
                String::new()
            };
            diagnostic.help(format!("the same holds for {}{more}", named.join(", ")))
        }
    }
}

fn position(config: &Config, address: &Address, field: Option<&str>) -> Option<Position> {
    if let (Some(deployment), "instance") = (&config.gitlab.deploy, &*address.kind) {
        return deployment.position(field.unwrap_or_default()).cloned();
    }
    let declared = config.declarations.get(address)?;
    let origin = field.and_then(|field| declared.origins.get(field));
    Some(origin.map_or_else(|| declared.position.clone(), |origin| origin.position.clone()))
}
