//! What rules in report mode would change beyond what is planned, rule by rule.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::names;
use crate::config::{Config, Reporting, Via};
use crate::core::{Action, Address, Change, Plan, Problem, Reported, Step};

/// Takes apart by rule what `would` changes beyond `plan`: `config` is what it was made from.
pub fn differences(plan: &Plan, would: &Plan, config: &Config, reporting: &[Reporting]) -> Vec<Reported> {
    let attribution = Attribution {
        config,
        reporting,
        names: names(reporting),
    };
    let mut planned: BTreeMap<&Address, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        planned.entry(&step.address).or_default().push(step);
    }
    let mut by_rule: BTreeMap<&str, Plan> = BTreeMap::new();
    for step in would.steps.iter().filter(|step| !step.takes_over_only()) {
        let steps = planned.get(&step.address).map_or(&[][..], Vec::as_slice);
        for (rule, step) in attribution.split(step, steps) {
            by_rule.entry(rule).or_default().steps.push(step);
        }
    }
    let known: BTreeSet<&Problem> = plan.problems.iter().collect();
    for problem in would.problems.iter().filter(|problem| !known.contains(problem)) {
        let rule = attribution.rule(&problem.address, problem.field.as_deref());
        let problems = by_rule.entry(rule).or_default();
        problems.problems.push(problem.clone());
    }
    let reported = reporting.iter().map(|reporting| Reported {
        rule: reporting.rule.clone(),
        differences: Plan {
            partial: plan.partial,
            ..by_rule.remove(&*reporting.rule).unwrap_or_default()
        },
    });
    reported.collect()
}

/// Which rule asks for what.
struct Attribution<'a> {
    config: &'a Config,
    reporting: &'a [Reporting],
    names: BTreeSet<&'a str>,
}

impl<'a> Attribution<'a> {
    /// What of a step is not done anyway, by the rule that asks for it.
    fn split(&self, step: &Step, planned: &[&Step]) -> BTreeMap<&'a str, Step> {
        let is_planned = |change: &&Change| {
            let same = |other: &Change| other.field == change.field && other.after == change.after;
            planned.iter().any(|step| step.changes.iter().any(same))
        };
        let is_made = planned.iter().any(|step| step.action == Action::Create);
        let mut parts: BTreeMap<&str, Step> = BTreeMap::new();
        let part = |rest: &mut BTreeMap<&'a str, Step>, rule: &'a str, change: Option<&Change>| {
            let part = rest.entry(rule).or_insert_with(|| Step {
                action: if is_made { Action::Update } else { step.action },
                changes: Vec::new(),
                after: Vec::new(),
                ..step.clone()
            });
            part.changes.extend(change.cloned());
        };
        for change in step.changes.iter().filter(|change| !is_planned(change)) {
            part(
                &mut parts,
                self.rule(&step.address, Some(&change.field)),
                Some(change),
            );
        }
        // Something made or removed as a whole.
        let is_same = |other: &&Step| other.action == step.action;
        if step.changes.is_empty() && !planned.iter().any(is_same) {
            part(&mut parts, self.rule(&step.address, None), None);
        }
        parts
    }

    /// The rule in report mode that a field of a resource comes from, or the resource itself, or what it stands in.
    /// Where it comes from none of them, it is a consequence of the last one that is for the repo.
    fn rule(&self, address: &Address, field: Option<&str>) -> &'a str {
        let declared = self.config.declarations.get(address);
        let field = field.map(|field| field.split('.').next().unwrap_or(field));
        let by_field = declared.and_then(|declared| declared.origins.get(field?)?.via.as_ref());
        let by_resource = declared.and_then(|declared| declared.via.as_ref());
        let collection = (address.kind.clone(), address.key.path.clone());
        let collection = self.config.collections.get(&collection);
        let by_collection = collection.and_then(|origin| origin.via.as_ref());
        let vias = [by_field, by_resource, by_collection].into_iter().flatten();
        let mut rules = vias
            .filter_map(Via::rule)
            .filter_map(|rule| self.names.get(&**rule));
        let matching = |reporting: &&Reporting| reporting.repos.contains(&address.key.path);
        let last = self
            .reporting
            .iter()
            .rev()
            .find(matching)
            .or(self.reporting.last());
        rules
            .next()
            .copied()
            .or(last.map(|reporting| &*reporting.rule))
            .unwrap_or_default()
    }
}
