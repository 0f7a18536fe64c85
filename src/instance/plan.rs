//! The plan of the instance alone: made by the planner that makes all others.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use secrecy::ExposeSecret;
use serde_json::Value;

use super::asked::{Asked, asked};
use super::blueprint::{Blueprint, secret_field};
use super::sight::Found;
use super::{Instance, Site, address, rules, upgrade};
use crate::config::deploy::Deploy;
use crate::core::planner::{self, Inputs};
use crate::core::{
    Action, Address, Change, Entry, Fields, Live, Ownership, Plan, Problem, Reason, Step, Wanted,
};

/// What the engine knows and the instance does not.
pub struct Known<'a> {
    /// What AutoGit manages.
    pub ledger: &'a BTreeMap<Address, Entry>,
    /// The keyed hash of a field's value.
    pub fingerprint: &'a dyn Fn(&Address, &str, &Value) -> String,
    /// Whether secrets are resolved, and so compared.
    pub resolves: bool,
}

/// Fields that say nothing of an instance that is to be made: how it is, and what is the same for all.
const UNSAID: [&str; 6] = [
    "running",
    "reconfigured",
    "previous",
    "token",
    "environment",
    "healthcheck",
];

impl Instance {
    /// What is to be done to the instance.
    pub async fn plan(&self, site: &Site, known: &Known<'_>) -> Plan {
        let (secrets, unresolved) = self.fingerprints(site, known).await;
        let (refusals, notes) = upgrade::judge(self, site);
        let unresolved = unresolved.into_iter().map(|message| Problem {
            address: self.address(),
            field: None,
            message,
        });
        let certificate = match known.resolves {
            true => {
                self.certificate_problems(&site.blueprint, jiff::Timestamp::now())
                    .await
            }
            false => Vec::new(),
        };
        let problems = site
            .problems
            .iter()
            .cloned()
            .chain(refusals)
            .chain(unresolved)
            .chain(certificate);
        let mut plan = planned(&self.spec, &site.blueprint, &site.live, secrets, known);
        plan.problems.extend(problems);
        if let Some(step) = plan.steps.first_mut() {
            step.notes.extend(notes);
            step.notes.extend(site.notes.iter().cloned());
            step.blocked = plan.problems.first().map(|problem| problem.message.clone());
        }
        plan
    }

    /// The fingerprints of the secrets that are declared, and why some of them are not to be had.
    async fn fingerprints(&self, site: &Site, known: &Known<'_>) -> (Secrets, Vec<String>) {
        let (mut secrets, mut unresolved) = (Secrets::new(), Vec::new());
        for (name, reference) in &site.blueprint.secrets {
            let secret = match known.resolves {
                true => self.secrets.value(reference).await.map(Some),
                false => Ok(None),
            };
            let secret = secret.unwrap_or_else(|error| {
                unresolved.push(error.to_string());
                None
            });
            let field = secret_field(name);
            let print = secret.map(|secret| {
                let secret = Value::from(secret.expose_secret());
                (known.fingerprint)(&self.address(), &field, &secret)
            });
            secrets.insert(field, print);
        }
        (secrets, unresolved)
    }
}

/// The fingerprints of secrets by the field that they are compared as; `None`: not compared.
type Secrets = BTreeMap<String, Option<String>>;

/// What is to be done to what is there.
fn planned(spec: &Deploy, blueprint: &Blueprint, live: &Live, mut secrets: Secrets, known: &Known) -> Plan {
    let address = address(spec);
    let Asked { value, problems } = asked(spec, blueprint, live);
    secrets.retain(|field, _| value.contains_key(field));
    let wanted = Wanted {
        value,
        secrets,
        ..Wanted::default()
    };
    let mut plan = compared(&address, wanted, live, &blueprint.fields(), known);
    let renamed = renamed(&address, known.ledger).map(|message| ("docker.name".to_owned(), message));
    let problems = problems.into_iter().chain(renamed);
    plan.problems.extend(problems.map(|(field, message)| Problem {
        address: address.clone(),
        field: Some(field),
        message,
    }));
    if let Some(step) = plan.steps.first_mut() {
        dress(step, live);
    }
    plan
}

/// Why this is not the instance that was deployed so far.
fn renamed(address: &Address, ledger: &BTreeMap<Address, Entry>) -> Option<String> {
    let other = ledger
        .keys()
        .find(|other| other.kind == address.kind && *other != address)?;
    let name = &other.key;
    Some(format!(
        "under this name another, empty instance would be made beside {other}: write `name: {name}`, or, if that one is \
         not to be AutoGit's any more, `autogit ledger forget {other}`"
    ))
}

/// The plan of the resource alone, in which what was recorded is compared with all that is `declared`.
fn compared(address: &Address, wanted: Wanted, live: &Live, declared: &Fields, known: &Known) -> Plan {
    let secrets = wanted.secrets.clone();
    let fingerprint = |address: &Address, field: &str, value: &Value| {
        // That something is not to be there is asked beside what is declared, and is never recorded.
        let declared = declared.get(field).filter(|_| !secrets.contains_key(field));
        (known.fingerprint)(address, field, declared.unwrap_or(value))
    };
    let ledger = known
        .ledger
        .get(address)
        .map(|entry| (address.clone(), entry.clone()));
    let plan = planner::plan(&Inputs {
        wanted: &BTreeMap::from([(address.clone(), wanted)]),
        live: &BTreeMap::from([(address.clone(), live.clone())]),
        ledger: &ledger.into_iter().collect(),
        rules: &[rules::RULES],
        prunes_owned: false,
        complete: &BTreeSet::new(),
        spared: &BTreeSet::new(),
        partial: false,
        fingerprint: &fingerprint,
    });
    let mut plan = plan.expect("one resource alone needs no other");
    for step in &mut plan.steps {
        step.value = declared.clone();
    }
    plan
}

/// Says what a reader has to know, and leaves out what says nothing.
fn dress(step: &mut Step, live: &Live) {
    if step.action == Action::Create {
        let says_nothing = |change: &Change| {
            let empty = match &change.after {
                None | Some(Value::Null) => !change.secret,
                Some(Value::Object(entries)) => entries.is_empty(),
                Some(_) => false,
            };
            empty || UNSAID.contains(&&*change.field)
        };
        step.changes.retain(|change| !says_nothing(change));
        return;
    }
    let found = Found::of(live).unwrap_or_default();
    if found.is_ours && step.reason == Reason::Found {
        // Its label is AutoGit's: a run that was killed made it, before the ledger knew.
        step.reason = Reason::LeftoverGuard;
        step.origin = Ownership::Created;
        if !step.changes.is_empty() {
            step.action = Action::Update;
        }
    }
    step.notes.extend(rules::notes(&step.changes));
    step.notes.extend(found.overriding.iter().map(|line| {
        format!(
            "line {} of the container's /etc/gitlab/gitlab.rb sets {} and is commented out; a copy is kept",
            line.line, line.key
        )
    }));
    if step.changes.iter().any(|change| change.field == "previous") {
        let interrupted = "a new container was being put in place when AutoGit was interrupted: this goes on";
        step.notes.insert(0, interrupted.into());
    }
}
