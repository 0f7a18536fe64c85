//! Plan: the ordered actions that make live what is wanted, with a reason for each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::address::{Address, Key, Path};
use super::diff::{Cause, Change, Fields};
use super::impact::{Allowed, Impact};

/// What is asked of one resource.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The declared fields, in their kind's normal form.
    pub value: Fields,
    /// It must not exist.
    pub absent: bool,
    /// It is to be moved here from this path.
    pub moved_from: Option<Path>,
    /// Secret fields, of which `value` holds the reference: the fingerprint of the secret; `None` where it is not resolved.
    pub secrets: BTreeMap<String, Option<String>>,
}

/// What was observed of one resource.
#[derive(Clone, Debug)]
pub enum Live {
    /// It is there.
    Present(Present),
    /// It is certainly not there.
    Absent,
    /// It could not be read, and why: never taken for "not there".
    Unreadable(String),
}

/// A resource that is there.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// What identifies it for good, whatever its path.
    pub id: String,
    /// Where it was found: its key, or its former one.
    pub path: Option<Path>,
    /// Its fields, in their kind's normal form; secret ones are never among them.
    pub value: Fields,
    /// Secret fields that can be read back.
    pub secrets: BTreeMap<String, SecretString>,
    /// Fields that this token may not read, and what it would need.
    pub unreadable: BTreeMap<String, String>,
    /// When GitLab says it was created.
    pub created_at: Option<jiff::Timestamp>,
    /// It was made by GitLab itself along with its parent.
    pub automatic: bool,
    /// Why it is never removed for not being declared.
    pub kept: Option<String>,
    /// What the kind needs again when it applies; not compared.
    pub raw: Value,
}

/// What the ledger knows of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The id it had when it was last applied.
    pub id: String,
    /// Whether AutoGit made it.
    pub origin: Ownership,
    /// Per field, the keyed hash of the value last applied.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fingerprints: BTreeMap<String, String>,
    /// It only stands in for this resource while that is being replaced, and goes once that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guards: Option<Address>,
}

/// How a resource came to be managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ownership {
    /// AutoGit created it, so AutoGit may remove it.
    Created,
    /// It was there before, so it is never pruned.
    Adopted,
}

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Made anew.
    Create,
    /// Taken over as it is, with the changes listed.
    Adopt,
    /// Changed in place.
    Update,
    /// Removed.
    Delete,
    /// Left as it is and no longer managed.
    Release,
}

impl Action {
    /// The mark before a resource in a plan.
    pub fn symbol(self) -> &'static str {
        match self {
            Action::Create => "+",
            Action::Adopt | Action::Update => "~",
            Action::Delete => "-",
            Action::Release => "=",
        }
    }

    /// What is to be done: "create".
    pub fn verb(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Adopt => "adopt",
            Action::Update => "change",
            Action::Delete => "delete",
            Action::Release => "release",
        }
    }

    /// What was done: "created".
    pub fn done(self) -> &'static str {
        match self {
            Action::Create => "created",
            Action::Adopt => "adopted",
            Action::Update => "changed",
            Action::Delete => "deleted",
            Action::Release => "released",
        }
    }
}

/// Why a step is in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Declared, and not there.
    Missing,
    /// Applied before, and not there any more.
    Vanished,
    /// Declared, there, and not managed so far.
    Found,
    /// Another one stands where the managed one was.
    Replaced,
    /// The config asks for something else than was applied last.
    ConfigChanged,
    /// Live moved while the config did not.
    Drift,
    /// Declared with `absent: true`.
    DeclaredAbsent,
    /// AutoGit created it, and it is no longer declared.
    Undeclared,
    /// Not declared, in a collection that `prune: all` holds complete.
    Extra,
    /// A guard that an interrupted run left behind.
    LeftoverGuard,
    /// No longer declared, and not AutoGit's to remove.
    LeftTheFile,
    /// Gone already.
    Gone,
    /// A run is taken back.
    TakenBack,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Missing => "not there yet",
            Reason::Vanished => "was removed outside AutoGit",
            Reason::Found => "there already, not managed so far",
            Reason::Replaced => "another one stands where the managed one was",
            Reason::ConfigChanged => "the config changed",
            Reason::Drift => "changed outside AutoGit",
            Reason::DeclaredAbsent => "declared absent",
            Reason::Undeclared => "created by AutoGit, no longer declared",
            Reason::Extra => "not declared, and `prune: all`",
            Reason::LeftoverGuard => "left behind by an interrupted run",
            Reason::LeftTheFile => "no longer declared; left as it is",
            Reason::Gone => "no longer there",
            Reason::TakenBack => "as it was before the run",
        })
    }
}

/// One action on one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The resource.
    pub address: Address,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The worst of what its changes do to people.
    pub impact: Impact,
    /// The fields that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// All declared fields: what the resource is when the step is done.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub value: Fields,
    /// The id of what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the ledger will say of its origin.
    pub origin: Ownership,
    /// The second part of a change that has to wait for what lives in the resource.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// The steps, by number, that must have succeeded before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<usize>,
    /// Why it cannot be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// What there is to know about how it is done: what is restarted, and for how long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Something that keeps a resource from being planned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// The resource.
    pub address: Address,
    /// The field, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

/// The ordered actions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In an order in which they could be done one after the other.
    pub steps: Vec<Step>,
    /// What could not be planned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// How many declared resources are as declared.
    pub unchanged: usize,
    /// How many resources were seen that are not declared, and stay as they are.
    pub left_in_place: usize,
    /// Only targets were planned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Why what lives on the instance is planned as it is declared, without having been looked at; `None`: it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisional: Option<String>,
}

impl Plan {
    /// Where things move: by their former paths.
    pub fn moves(&self) -> BTreeMap<Path, Path> {
        let of = |step: &Step| {
            let change = step.changes.iter().find(|change| change.field == "path")?;
            Some((change.before_str().into(), step.address.key.path.clone()))
        };
        self.steps.iter().filter_map(of).collect()
    }

    /// This plan, and then `next`, all of which waits for all of this.
    pub fn then(mut self, next: Plan) -> Plan {
        let first = self.steps.len();
        self.steps.extend(next.steps.into_iter().map(|mut step| {
            step.after.iter_mut().for_each(|before| *before += first);
            step.after.splice(0..0, 0..first);
            step
        }));
        self.problems.extend(next.problems);
        self.unchanged += next.unchanged;
        self.left_in_place += next.left_in_place;
        self.partial |= next.partial;
        self.provisional = self.provisional.or(next.provisional);
        self
    }

    /// Whether nothing differs and nothing is wrong. Taking over what is as declared is no difference.
    pub fn is_settled(&self) -> bool {
        self.steps.iter().all(Step::takes_over_only) && self.problems.is_empty()
    }
}

/// What a rule in report mode would change, and nobody does.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// The rule.
    pub rule: String,
    /// What differs, beyond what is planned.
    pub differences: Plan,
}

impl Reported {
    /// How many differences there are: a field of a resource, or a resource made or removed, is one.
    pub fn count(&self) -> usize {
        let of = |step: &Step| match step.action {
            Action::Adopt | Action::Update => step.changes.len(),
            Action::Create | Action::Delete | Action::Release => 1,
        };
        let differences = &self.differences;
        differences.steps.iter().map(of).sum::<usize>() + differences.problems.len()
    }

    /// How many repos they are in.
    pub fn repos(&self) -> usize {
        let steps = self.differences.steps.iter().map(|step| &step.address);
        let problems = self.differences.problems.iter().map(|problem| &problem.address);
        let paths: BTreeSet<&Path> = steps.chain(problems).map(|address| &address.key.path).collect();
        paths.len()
    }
}

impl Step {
    /// A step that changes nothing and waits for nothing, on what AutoGit did not make.
    pub fn new(address: &Address, action: Action, reason: Reason) -> Self {
        Step {
            address: address.clone(),
            action,
            reason,
            impact: Impact::Neutral,
            changes: Vec::new(),
            value: Fields::new(),
            id: None,
            origin: Ownership::Adopted,
            last: false,
            after: Vec::new(),
            blocked: None,
            notes: Vec::new(),
        }
    }

    /// Whether the resource is as declared, and only to be managed from now on.
    pub fn takes_over_only(&self) -> bool {
        self.action == Action::Adopt && self.changes.is_empty()
    }

    /// The impacts of this step that were not allowed.
    pub fn forbidden(&self, allowed: &Allowed) -> BTreeSet<Impact> {
        let impacts = self
            .changes
            .iter()
            .map(|change| change.impact)
            .chain([self.impact]);
        impacts.filter(|impact| !allowed.permits(*impact)).collect()
    }
}

/// A step on one resource, and what is around it.
#[derive(Clone, Copy)]
pub struct Among<'a> {
    /// Which resource.
    pub key: &'a Key,
    /// What is declared of it; `None` where it is to go.
    pub fields: Option<&'a Fields>,
    /// What is there of it.
    pub found: Option<&'a Present>,
    /// What is there of the same kind under the same parent.
    pub beside: &'a [(&'a Key, &'a Present)],
    /// Whether the parent is there already.
    pub parent_is_there: bool,
}

/// What the planner asks of a kind: pure functions and facts.
#[derive(Clone, Copy)]
pub struct Rules {
    /// The kind's name.
    pub name: &'static str,
    /// The kind of what it is nested in; `None` for what stands by itself.
    pub parent: Option<&'static str>,
    /// What must be there first.
    pub needs: fn(&Key, Option<&Fields>) -> Vec<Address>,
    /// What a change does to people. The field of a whole resource's change is empty.
    pub impact: fn(&Change) -> Impact,
    /// What a step does to people that only what is around it tells.
    pub among: fn(&Among) -> Impact,
    /// Why what is there under a path is not taken away or changed so that just this is left.
    pub leaves: fn(&Path, &[&Fields]) -> Option<&'static str>,
    /// Whether a resource with these fields has to stand before anything may be taken away from its collection.
    pub first: fn(&Fields) -> bool,
    /// Whether a change must wait for what lives in the resource.
    pub last: fn(&Change) -> bool,
    /// Whether a change writes into other resources too.
    pub spreads: fn(&Change) -> bool,
    /// Why a resource with these fields cannot be in another one, whose declared fields come before its live ones:
    /// a text that ends where the other's address follows.
    pub fits: fn(&Fields, &[&Fields]) -> Option<String>,
    /// Why what lives in a resource with these fields cannot be changed.
    pub seals: fn(&Fields) -> Option<&'static str>,
    /// Why a resource cannot be made of these fields alone.
    pub lacks: fn(&Fields) -> Option<&'static str>,
    /// Why a change cannot be made to what is there, by all declared fields.
    pub refuses: fn(&Change, &Fields, &Present) -> Option<String>,
    /// What there is to know about changes to what is there, beyond what they are.
    pub notes: fn(&[Change], &Fields, &Present) -> Vec<String>,
    /// Fields that matter only when the resource is made.
    pub create_only: &'static [&'static str],
    /// Whether AutoGit may remove it because it is no longer declared.
    pub prunable: bool,
}

impl Rules {
    /// A kind that stands by itself, needs nothing, and of which every change is neutral.
    pub const fn plain(name: &'static str) -> Self {
        Rules {
            name,
            parent: None,
            needs: |_, _| Vec::new(),
            impact: |_| Impact::Neutral,
            among: |_| Impact::Neutral,
            leaves: |_, _| None,
            first: |_| false,
            last: |_| false,
            spreads: |_| false,
            fits: |_, _| None,
            seals: |_| None,
            lacks: |_| None,
            refuses: |_, _, _| None,
            notes: |_, _, _| Vec::new(),
            create_only: &[],
            prunable: true,
        }
    }
}

/// The kind of change that whole resources are judged by: made (`before` is none) or removed (`after` is none).
pub fn whole(before: Option<&Fields>, after: Option<&Fields>) -> Change {
    let value = |fields: &Fields| Value::Object(fields.clone());
    Change::new("", before.map(value), after.map(value))
}

/// What became of a field since it was last applied.
pub fn cause(recorded: Option<&String>, asked: &str) -> Cause {
    match recorded {
        None => Cause::First,
        Some(last) if last == asked => Cause::Drift,
        Some(_) => Cause::Config,
    }
}
