//! The plan of the instance alone: made by the planner that makes all others.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::ExposeSecret;
use serde_json::Value;

use super::blueprint::secret_field;
use super::{Instance, Site, rules, upgrade};
use crate::core::planner::{self, Inputs};
use crate::core::{Address, Entry, Plan, Problem, Wanted};

/// What the engine knows and the instance does not.
pub struct Known<'a> {
    /// What AutoGit manages.
    pub ledger: &'a BTreeMap<Address, Entry>,
    /// The keyed hash of a field's value.
    pub fingerprint: &'a dyn Fn(&Address, &str, &Value) -> String,
    /// Whether secrets are resolved, and so compared.
    pub resolves: bool,
}

impl Instance {
    /// What is to be done to the instance.
    pub async fn plan(&self, site: &Site, known: &Known<'_>) -> Plan {
        let address = self.address();
        let mut problems = site.problems.clone();
        let (refusals, notes) = upgrade::judge(self, site);
        problems.extend(refusals);
        if known.resolves {
            let now = jiff::Timestamp::now();
            problems.extend(self.certificate_problems(&site.blueprint, now).await);
        }
        let mut wanted = Wanted {
            value: site.blueprint.fields(),
            ..Wanted::default()
        };
        for (name, reference) in &site.blueprint.secrets {
            let field = secret_field(name);
            let print = match known.resolves {
                false => None,
                true => match self.secrets.value(reference).await {
                    Ok(secret) => Some((known.fingerprint)(
                        &address,
                        &field,
                        &Value::from(secret.expose_secret()),
                    )),
                    Err(error) => {
                        problems.push(Problem {
                            address: address.clone(),
                            field: None,
                            message: error.to_string(),
                        });
                        None
                    }
                },
            };
            wanted.secrets.insert(field, print);
        }
        let own = |entry: &(&Address, &Entry)| *entry.0 == address;
        let ledger = known.ledger.iter().filter(own);
        let plan = planner::plan(&Inputs {
            wanted: &BTreeMap::from([(address.clone(), wanted)]),
            live: &BTreeMap::from([(address.clone(), site.live.clone())]),
            ledger: &ledger
                .map(|(address, entry)| (address.clone(), entry.clone()))
                .collect(),
            rules: &[rules::RULES],
            prunes_owned: false,
            complete: &BTreeSet::new(),
            spared: &BTreeSet::new(),
            partial: false,
            fingerprint: known.fingerprint,
        });
        let mut plan = plan.expect("one resource alone needs no other");
        plan.problems.extend(problems);
        if let Some(step) = plan.steps.first_mut() {
            step.notes.extend(notes);
        }
        if let (Some(problem), Some(step)) = (plan.problems.first(), plan.steps.first_mut()) {
            step.blocked = Some(problem.message.clone());
        }
        plan
    }
}
