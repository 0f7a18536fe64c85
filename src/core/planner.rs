//! The planner: wanted, live and ledger in, a plan out. Nothing here reads, writes or asks.

mod order;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::address::{Address, Key, Path};
use super::diff::{self, Cause, Change, Fields};
use super::impact::Impact;
use super::plan::{
    Action, Among, Entry, Live, Ownership, Plan, Present, Problem, Reason, Rules, Step, Wanted, cause, whole,
};

/// Everything a plan is made from.
pub struct Inputs<'a> {
    /// What the config and the inventory ask for.
    pub wanted: &'a BTreeMap<Address, Wanted>,
    /// What was observed, of what is wanted, what that needs, and what the ledger holds.
    pub live: &'a BTreeMap<Address, Live>,
    /// What AutoGit manages.
    pub ledger: &'a BTreeMap<Address, Entry>,
    /// The kinds.
    pub rules: &'a [Rules],
    /// Whether what AutoGit created goes when it is no longer declared.
    pub prunes_owned: bool,
    /// The collections (kind, path of the parent) that are complete as declared: whatever else is in them goes.
    pub complete: &'a BTreeSet<(String, Path)>,
    /// The collections of which nothing goes for not being declared, not even what AutoGit created.
    pub spared: &'a BTreeSet<(String, Path)>,
    /// `wanted` is only a part of what is declared: nothing is pruned then.
    pub partial: bool,
    /// The keyed hash of a field's value.
    pub fingerprint: &'a dyn Fn(&Address, &str, &Value) -> String,
}

/// Resources that need each other in a circle.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{} need each other: {}", .0.len(), circle(.0))]
pub struct Circle(pub Vec<Address>);

fn circle(addresses: &[Address]) -> String {
    let names: Vec<_> = addresses
        .iter()
        .chain(addresses.first())
        .map(Address::to_string)
        .collect();
    names.join(" → ")
}

/// Makes the plan.
///
/// # Errors
/// When resources need each other in a circle.
pub fn plan(inputs: &Inputs) -> Result<Plan, Circle> {
    let plan = Plan {
        partial: inputs.partial,
        ..Plan::default()
    };
    let moves = moves(inputs);
    let mut planner = Planner { inputs, plan, moves };
    planner.declared();
    if !inputs.partial {
        planner.undeclared();
    }
    planner.order()
}

/// Narrows what is wanted to the targets and, step by step, what they need.
pub fn narrow(
    wanted: &BTreeMap<Address, Wanted>,
    targets: impl IntoIterator<Item = Address>,
    rules: &[Rules],
) -> BTreeMap<Address, Wanted> {
    let mut chosen = BTreeMap::new();
    let mut open: Vec<Address> = targets.into_iter().collect();
    while let Some(address) = open.pop() {
        let Some(target) = wanted.get(&address) else {
            continue;
        };
        if chosen.contains_key(&address) {
            continue;
        }
        if let Some(rules) = rules.iter().find(|rules| rules.name == address.kind) {
            open.extend((rules.needs)(&address.key, Some(&target.value)));
        }
        chosen.insert(address, target.clone());
    }
    chosen
}

struct Planner<'a> {
    inputs: &'a Inputs<'a>,
    plan: Plan,
    /// From where something is to where it is to be moved.
    moves: BTreeMap<&'a Path, &'a Path>,
}

impl<'a> Planner<'a> {
    fn rules(&self, address: &Address) -> Option<&'a Rules> {
        self.inputs.rules.iter().find(|rules| rules.name == address.kind)
    }

    fn needs(&self, address: &Address, value: Option<&Fields>) -> Vec<Address> {
        self.rules(address)
            .map(|rules| (rules.needs)(&address.key, value))
            .unwrap_or_default()
    }

    fn problem(&mut self, address: &Address, field: Option<&str>, message: impl Into<String>) {
        let field = field.map(str::to_owned);
        self.plan.problems.push(Problem {
            address: address.clone(),
            field,
            message: message.into(),
        });
    }

    /// Plans what the config asks for.
    fn declared(&mut self) {
        for (address, wanted) in self.inputs.wanted {
            let entry = self.inputs.ledger.get(address);
            match (self.inputs.live.get(address), wanted.absent) {
                (None, _) => self.problem(address, None, "it was not observed"),
                (Some(Live::Unreadable(why)), _) => self.problem(address, None, why.clone()),
                (Some(Live::Absent), true) => match entry {
                    Some(entry) => self.release(address, entry, Reason::Gone),
                    None => self.plan.unchanged += 1,
                },
                (Some(Live::Present(found)), true) => {
                    self.delete(address, found, entry, Reason::DeclaredAbsent)
                }
                (Some(Live::Absent), false) => self.create(address, wanted, entry),
                (Some(Live::Present(found)), false) => self.compare(address, wanted, found, entry),
            }
        }
    }

    fn create(&mut self, address: &Address, wanted: &Wanted, entry: Option<&Entry>) {
        let Some(rules) = self.rules(address) else { return };
        let asked = wanted.value.iter();
        let changes = asked.map(|(field, value)| match wanted.secrets.contains_key(field) {
            true => Change::secret(field),
            false => Change::new(field, None, Some(value.clone())),
        });
        let changes = changes.collect();
        if let Some(lack) = (rules.lacks)(&wanted.value) {
            return self.problem(address, None, lack);
        }
        let whole = (rules.impact)(&whole(None, Some(&wanted.value)));
        let impact = whole.max(self.among(rules, address, Some(&wanted.value), None));
        let reason = if entry.is_some() {
            Reason::Vanished
        } else {
            Reason::Missing
        };
        let step = Step {
            impact,
            changes,
            value: wanted.value.clone(),
            origin: Ownership::Created,
            ..Step::new(address, Action::Create, reason)
        };
        self.push(rules, step);
    }

    /// What a step does to people that only what is around it tells.
    fn among(
        &self,
        rules: &Rules,
        address: &Address,
        fields: Option<&Fields>,
        found: Option<&Present>,
    ) -> Impact {
        let parent = parent(rules, address).and_then(|parent| self.inputs.live.get(&parent));
        (rules.among)(&Among {
            key: &address.key,
            fields,
            found,
            beside: &self.siblings(address),
            parent_is_there: matches!(parent, Some(Live::Present(_))),
        })
    }

    /// What is there of the same kind under the same parent, but for a guard that stands in for this one.
    fn siblings(&self, address: &Address) -> Vec<(&'a Key, &'a Present)> {
        let first = Address::new(&address.kind, Key::top(address.key.path.clone()));
        let after = self.inputs.live.range(first..);
        let same =
            after.take_while(|(other, _)| other.kind == address.kind && other.key.path == address.key.path);
        let guards = |other: &Address| {
            let entry = self.inputs.ledger.get(other);
            entry.and_then(|entry| entry.guards.as_ref()) == Some(address)
        };
        let present = same.filter_map(|(other, live)| match live {
            Live::Present(found) if other != address && !guards(other) => Some((&other.key, found)),
            _ => None,
        });
        present.collect()
    }

    fn compare(&mut self, address: &Address, wanted: &Wanted, found: &Present, entry: Option<&Entry>) {
        let Some(rules) = self.rules(address) else { return };
        let known = entry.filter(|entry| entry.id == found.id);
        let mut value = wanted.value.clone();
        let changes = self.changes(rules, address, wanted, found, known, &mut value);
        if known.is_some() && changes.is_empty() {
            self.plan.unchanged += 1;
            return;
        }
        let (action, reason) = match (entry, known) {
            (None, _) => (Action::Adopt, Reason::Found),
            (Some(_), None) => (Action::Adopt, Reason::Replaced),
            _ if changes.iter().all(|change| change.cause == Cause::Drift) => (Action::Update, Reason::Drift),
            _ => (Action::Update, Reason::ConfigChanged),
        };
        let origin = match known {
            Some(entry) => entry.origin,
            None if found.automatic && self.parent_is_ours(rules, address) => Ownership::Created,
            None => Ownership::Adopted,
        };
        let among = match changes.is_empty() {
            true => Impact::Neutral,
            false => self.among(rules, address, Some(&value), Some(found)),
        };
        let step = Step {
            impact: among,
            notes: (rules.notes)(&changes, &value, found),
            changes,
            value,
            id: Some(found.id.clone()),
            origin,
            ..Step::new(address, action, reason)
        };
        self.push(rules, step);
    }

    fn parent_is_ours(&self, rules: &Rules, address: &Address) -> bool {
        parent(rules, address)
            .and_then(|parent| self.inputs.ledger.get(&parent))
            .is_some_and(|entry| entry.origin == Ownership::Created)
    }

    /// What differs, judged: impact and cause of each change. What cannot be compared becomes a problem, and leaves `value`.
    fn changes(
        &mut self,
        rules: &Rules,
        address: &Address,
        wanted: &Wanted,
        found: &Present,
        known: Option<&Entry>,
        value: &mut Fields,
    ) -> Vec<Change> {
        let recorded = |field: &str| known.and_then(|entry| entry.fingerprints.get(field));
        let mut kept = Vec::new();
        for mut change in diff::diff(&wanted.value, &found.value) {
            let field = top(&change.field);
            if rules.create_only.contains(&field) || wanted.secrets.contains_key(field) {
                continue;
            }
            let Some(asked) = value.get(field) else { continue };
            let why = incomparable(found, field);
            if let Some(why) = why.or_else(|| (rules.refuses)(&change, &wanted.value, found)) {
                self.problem(address, Some(field), why);
                value.remove(field);
                continue;
            }
            let print = (self.inputs.fingerprint)(address, field, asked);
            change.cause = cause(recorded(field), &print);
            kept.push(change);
        }
        for (field, asked) in &wanted.secrets {
            let Some(asked) = asked else { continue };
            let there = found.secrets.get(field).map(|there| {
                let there = Value::from(there.expose_secret());
                (self.inputs.fingerprint)(address, field, &there)
            });
            // What cannot be read back is taken to be as it was last applied.
            if there.as_ref().or(recorded(field)) != Some(asked) {
                let mut change = Change::secret(field);
                // What cannot be read back cannot be seen to have been somebody else's, and nobody loses what is empty.
                let holds = |there: &SecretString| !there.expose_secret().is_empty();
                change.cause = match found.secrets.get(field).is_some_and(holds) {
                    true => cause(recorded(field), asked),
                    false => Cause::Config,
                };
                kept.push(change);
            }
        }
        for change in &mut kept {
            change.impact = (rules.impact)(change);
        }
        kept.extend(self.moving(rules, address, wanted, found));
        kept
    }

    /// The move still to be made. It is judged from where the moves of what the resource lives in bring it first.
    fn moving(&self, rules: &Rules, address: &Address, wanted: &Wanted, found: &Present) -> Option<Change> {
        wanted.moved_from.as_ref()?;
        let path = found.path.as_ref()?;
        let carried = path.parent().and_then(|parent| self.carried(&parent));
        let from = carried.map_or_else(|| path.clone(), |parent| parent.join(path.name()));
        if from == address.key.path {
            return None;
        }
        let text = |path: &Path| Some(Value::from(path.as_str()));
        let mut change = Change::new("path", text(&from), text(&address.key.path));
        change.impact = (rules.impact)(&change);
        change.before = text(path);
        Some(change)
    }

    /// Where the moves that are declared bring what is at `path`; `None`: it stays.
    fn carried(&self, path: &Path) -> Option<Path> {
        match self.moves.get(path) {
            Some(&now) => Some(now.clone()),
            None => Some(self.carried(&path.parent()?)?.join(path.name())),
        }
    }

    /// Adds a step whose impact is that of the whole, split in two where some changes have to wait for what lives in
    /// the resource.
    fn push(&mut self, rules: &Rules, mut step: Step) {
        let (last, first): (Vec<_>, Vec<_>) = step.changes.drain(..).partition(|change| (rules.last)(change));
        let mut second = step.clone();
        // What is made is judged as a whole.
        if step.action != Action::Create {
            step.impact = step.impact.max(worst(&first));
        }
        if last.is_empty() {
            step.changes = first;
            self.plan.steps.push(step);
            return;
        }
        second.last = true;
        second.impact = match step.action {
            Action::Create => worst(&last),
            _ => second.impact.max(worst(&last)),
        };
        second.changes = last;
        if !first.is_empty() || step.action != Action::Update {
            second.action = Action::Update;
            for change in &second.changes {
                step.value.remove(&change.field);
            }
            step.changes = first;
            self.plan.steps.push(step);
        }
        self.plan.steps.push(second);
    }

    fn delete(&mut self, address: &Address, found: &Present, entry: Option<&Entry>, reason: Reason) {
        let Some(rules) = self.rules(address) else { return };
        let impact = match reason {
            Reason::LeftoverGuard => Impact::Neutral,
            _ => (rules.impact)(&whole(Some(&found.value), None)).max(self.among(
                rules,
                address,
                None,
                Some(found),
            )),
        };
        self.plan.steps.push(Step {
            impact,
            id: Some(found.id.clone()),
            origin: entry.map_or(Ownership::Adopted, |entry| entry.origin),
            ..Step::new(address, Action::Delete, reason)
        });
    }

    fn release(&mut self, address: &Address, entry: &Entry, reason: Reason) {
        self.plan.steps.push(Step {
            id: Some(entry.id.clone()),
            origin: entry.origin,
            ..Step::new(address, Action::Release, reason)
        });
    }

    /// Plans what the ledger holds, or a collection contains, and the config does not declare.
    fn undeclared(&mut self) {
        for (address, live) in self.inputs.live {
            if self.inputs.wanted.contains_key(address) {
                continue;
            }
            let Some(rules) = self.rules(address) else {
                continue;
            };
            let entry = self.inputs.ledger.get(address);
            match (live, entry) {
                (Live::Unreadable(why), Some(_)) => self.problem(address, None, why.clone()),
                (Live::Absent, Some(entry)) => self.release(address, entry, Reason::Gone),
                (Live::Present(found), entry) => match self.fate(rules, address, found, entry) {
                    Some((Action::Delete, reason)) => self.delete(address, found, entry, reason),
                    Some((_, reason)) => {
                        self.plan.left_in_place += 1;
                        if let Some(entry) = entry {
                            self.release(address, entry, reason);
                        }
                    }
                    None => self.plan.left_in_place += 1,
                },
                (Live::Unreadable(_) | Live::Absent, None) => {}
            }
        }
    }

    /// What becomes of something that is there and not declared; `None`: it was never managed.
    fn fate(
        &self,
        rules: &Rules,
        address: &Address,
        found: &Present,
        entry: Option<&Entry>,
    ) -> Option<(Action, Reason)> {
        let parent = parent(rules, address);
        let parent_declared = parent.as_ref().and_then(|parent| self.inputs.wanted.get(parent));
        if parent_declared.is_some_and(|wanted| wanted.absent) {
            return entry.map(|_| (Action::Release, Reason::Gone));
        }
        let ours = entry.filter(|entry| entry.id == found.id && entry.origin == Ownership::Created);
        if let Some(guarded) = ours.and_then(|entry| entry.guards.as_ref())
            && self.inputs.wanted.contains_key(guarded)
        {
            return Some((Action::Delete, Reason::LeftoverGuard));
        }
        let collection = (address.kind.clone(), address.key.path.clone());
        // What leaves the file with its parent is left alone like its parent.
        let may_go = rules.prunable
            && found.kept.is_none()
            && (parent.is_none() || parent_declared.is_some())
            && !self.inputs.spared.contains(&collection);
        let is_complete = parent_declared.is_some() && self.inputs.complete.contains(&collection);
        match ours {
            Some(_) if may_go && self.inputs.prunes_owned => Some((Action::Delete, Reason::Undeclared)),
            _ if may_go && is_complete => Some((Action::Delete, Reason::Extra)),
            _ => entry.map(|_| (Action::Release, Reason::LeftTheFile)),
        }
    }
}

/// The address of what a nested resource stands in.
pub fn parent(rules: &Rules, address: &Address) -> Option<Address> {
    rules
        .parent
        .map(|kind| Address::new(kind, Key::top(address.key.path.clone())))
}

fn moves<'a>(inputs: &Inputs<'a>) -> BTreeMap<&'a Path, &'a Path> {
    let moved = inputs.wanted.iter().filter_map(|(address, wanted)| {
        wanted.moved_from.as_ref()?;
        match inputs.live.get(address)? {
            Live::Present(found) => Some((found.path.as_ref()?, &address.key.path)),
            _ => None,
        }
    });
    moved.collect()
}

/// The field of the resource that a change is in.
fn top(field: &str) -> &str {
    field.split_once('.').map_or(field, |(top, _)| top)
}

/// Why a field's live value cannot be told.
fn incomparable(found: &Present, field: &str) -> Option<String> {
    let unknown = || format!("this GitLab does not know `{field}`: remove it");
    let why = found.unreadable.get(field).cloned();
    why.or_else(|| (!found.value.contains_key(field)).then(unknown))
}

fn worst(changes: &[Change]) -> Impact {
    changes
        .iter()
        .map(|change| change.impact)
        .max()
        .unwrap_or_default()
}
