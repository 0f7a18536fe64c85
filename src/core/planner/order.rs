//! The order of a plan's steps: what each must come after, and what keeps it from being done at all.

use std::collections::{BTreeMap, HashMap};

use super::{Circle, Planner, parent};
use crate::core::address::{Address, Key, Path};
use crate::core::diff::Fields;
use crate::core::graph;
use crate::core::plan::{Action, Live, Plan, Step};

impl Planner<'_> {
    /// Connects the steps and puts them in order.
    pub(super) fn order(mut self) -> Result<Plan, Circle> {
        self.plan
            .steps
            .sort_by(|a, b| (&a.address, a.last).cmp(&(&b.address, b.last)));
        self.block();
        let after = self.connect();
        let order = graph::order(&after).map_err(|cycle| {
            Circle(
                cycle
                    .0
                    .iter()
                    .map(|&n| self.plan.steps[n].address.clone())
                    .collect(),
            )
        })?;
        let mut number = vec![0; order.sequence.len()];
        for (place, &step) in order.sequence.iter().enumerate() {
            number[step] = place;
        }
        let mut steps: Vec<Option<Step>> = self.plan.steps.drain(..).map(Some).collect();
        for &old in &order.sequence {
            let mut step = steps[old].take().expect("an order names each step once");
            step.after = after[old].iter().map(|&need| number[need]).collect();
            step.after.sort_unstable();
            step.after.dedup();
            self.plan.steps.push(step);
        }
        self.plan.problems.sort();
        Ok(self.plan)
    }

    /// For each step, the steps that must have succeeded before it.
    fn connect(&self) -> Vec<Vec<usize>> {
        let steps = &self.plan.steps;
        let mut by_address: HashMap<&Address, Vec<usize>> = HashMap::new();
        let mut kept_by_collection: HashMap<(&str, &Path), Vec<usize>> = HashMap::new();
        for (n, step) in steps.iter().enumerate() {
            by_address.entry(&step.address).or_default().push(n);
            if step.action != Action::Delete && step.address.key.name.is_some() {
                kept_by_collection
                    .entry((&step.address.kind, &step.address.key.path))
                    .or_default()
                    .push(n);
            }
        }
        let first_by_collection = self.first_by_collection();
        let mut after = vec![Vec::new(); steps.len()];
        for (n, step) in steps.iter().enumerate() {
            let removes = step.action == Action::Delete;
            if step.last {
                after[n].extend(by_address[&step.address].iter().filter(|&&other| other != n));
            }
            for need in self.needed_by(step) {
                for &other in by_address.get(&need).into_iter().flatten() {
                    // On the way up what is needed comes first, on the way down it goes last.
                    let goes_last = steps[other].last || (removes && steps[other].action == Action::Delete);
                    match goes_last {
                        true => after[other].push(n),
                        false => after[n].push(other),
                    }
                }
            }
            for left in self.left(step) {
                let there = by_address.get(&left).into_iter().flatten();
                there
                    .filter(|&&other| steps[other].action == Action::Delete)
                    .for_each(|&other| after[other].push(n));
            }
            let first = first_by_collection.get(&(step.address.kind.as_str(), &step.address.key.path));
            let first = first.filter(|first| !first.contains(&n) && self.may_take(step));
            let first = first.into_iter().flatten();
            after[n].extend(first.filter(|&&other| steps[other].address != step.address));
            if removes && step.address.key.name.is_some() {
                // Nothing in a collection goes before what is to stay there stands.
                let kept = kept_by_collection.get(&(step.address.kind.as_str(), &step.address.key.path));
                after[n].extend(kept.into_iter().flatten());
            }
        }
        after
    }

    /// Whether a step may take away what others in its collection are there to make up for: it touches what is there,
    /// or what GitLab makes along with the parent.
    fn may_take(&self, step: &Step) -> bool {
        let parent = self
            .rules(&step.address)
            .and_then(|rules| parent(rules, &step.address));
        let parent = parent.and_then(|parent| self.inputs.live.get(&parent));
        step.action != Action::Create || !matches!(parent, Some(Live::Present(_)))
    }

    /// For each collection, the steps that come before those that may take something away from it.
    fn first_by_collection(&self) -> HashMap<(&str, &Path), Vec<usize>> {
        let mut first: HashMap<(&str, &Path), Vec<usize>> = HashMap::new();
        for (n, step) in self.plan.steps.iter().enumerate() {
            let makes = matches!(step.action, Action::Create | Action::Update | Action::Adopt);
            let rules = self
                .rules(&step.address)
                .filter(|_| makes && step.address.key.name.is_some());
            if rules.is_some_and(|rules| (rules.first)(&step.value)) {
                first
                    .entry((&step.address.kind, &step.address.key.path))
                    .or_default()
                    .push(n);
            }
        }
        first
    }

    /// Marks the steps that cannot be done.
    fn block(&mut self) {
        let stays = self.stays();
        let because = self.plan.steps.iter().map(|step| match stays.get(&step.address) {
            Some(dependent) if step.action == Action::Delete => {
                Some(format!("{dependent} is declared, and would go with it"))
            }
            _ => self.needed_by(step).find_map(|need| self.unmet(step, &need)),
        });
        let because: Vec<_> = because.collect();
        let left = self.left_without();
        for (step, because) in self.plan.steps.iter_mut().zip(because) {
            let collection = (step.address.kind.clone(), step.address.key.path.clone());
            let takes = !step.takes_over_only() && step.id.is_some() && step.action != Action::Release;
            let left = left.get(&collection).filter(|_| takes).map(|why| why.to_string());
            step.blocked = because.or(left);
        }
    }

    /// The collections that the plan would leave without what they need, and why that is not done.
    fn left_without(&self) -> HashMap<(String, Path), &'static str> {
        let mut after: HashMap<(String, Path), BTreeMap<&Address, Fields>> = HashMap::new();
        let collection = |address: &Address| (address.kind.clone(), address.key.path.clone());
        for step in self
            .plan
            .steps
            .iter()
            .filter(|step| step.address.key.name.is_some())
        {
            after.entry(collection(&step.address)).or_default();
        }
        for (address, live) in self.inputs.live {
            if let (Live::Present(found), Some(after)) = (live, after.get_mut(&collection(address))) {
                after.insert(address, found.value.clone());
            }
        }
        for step in &self.plan.steps {
            let Some(after) = after.get_mut(&collection(&step.address)) else {
                continue;
            };
            match step.action {
                Action::Delete => drop(after.remove(&step.address)),
                Action::Release => {}
                _ => after.entry(&step.address).or_default().extend(step.value.clone()),
            }
        }
        let left = after.into_iter().filter_map(|(collection, after)| {
            let rules = self
                .inputs
                .rules
                .iter()
                .find(|rules| rules.name == collection.0)?;
            let after: Vec<&Fields> = after.values().collect();
            let why = (rules.leaves)(&collection.1, &after)?;
            Some((collection, why))
        });
        left.collect()
    }

    fn needed_by(&self, step: &Step) -> impl Iterator<Item = Address> {
        let value = (step.action != Action::Delete).then_some(&step.value);
        self.needs(&step.address, value).into_iter()
    }

    /// What is needed by something that is there and is to stay, and by what.
    fn stays(&self) -> HashMap<Address, &Address> {
        let mut stays = HashMap::new();
        if self.plan.steps.iter().all(|step| step.action != Action::Delete) {
            return stays;
        }
        for (address, wanted) in self.inputs.wanted.iter().filter(|(_, wanted)| !wanted.absent) {
            if let Some(Live::Present(_)) = self.inputs.live.get(address) {
                let needs = self.needs(address, Some(&wanted.value)).into_iter();
                stays.extend(needs.map(|need| (need, address)));
            }
        }
        stays
    }

    /// All that a step moves its resource out of: none of it may go before.
    fn left(&self, step: &Step) -> Vec<Address> {
        let moves = step.changes.iter().find(|change| change.field == "path");
        let mut left = Vec::new();
        let mut at = moves.map(|change| Address::new(&step.address.kind, Key::top(change.before_str())));
        while let Some(address) = at {
            let needs = self.needs(&address, None);
            at = needs.first().cloned();
            left.extend(needs);
        }
        left
    }

    /// Why a step cannot be done for want of `need`.
    fn unmet(&self, step: &Step, need: &Address) -> Option<String> {
        let makes = match step.action {
            Action::Create | Action::Update => true,
            Action::Adopt if step.changes.is_empty() => return None,
            Action::Adopt => true,
            Action::Delete => false,
            Action::Release => return None,
        };
        let declared = self.inputs.wanted.get(need);
        if makes && declared.is_some_and(|wanted| wanted.absent) {
            return Some(format!("{need} is declared absent"));
        }
        let live = self.inputs.live.get(need);
        if makes {
            let found = match live {
                Some(Live::Present(found)) => Some(&found.value),
                _ => None,
            };
            let outer: Vec<&Fields> = declared
                .map(|wanted| &wanted.value)
                .into_iter()
                .chain(found)
                .collect();
            if let Some(why) = (self.rules(&step.address)?.fits)(&step.value, &outer) {
                return Some(format!("{why} {need}"));
            }
        }
        match live {
            Some(Live::Present(found)) => {
                let seals = self.rules(need)?.seals;
                seals(&found.value)?;
                let mut fields = found.value.clone();
                fields.extend(declared.into_iter().flat_map(|wanted| wanted.value.clone()));
                seals(&fields).map(|why| format!("{need} {why}"))
            }
            Some(Live::Unreadable(_)) => Some(format!("{need} could not be read")),
            _ if declared.is_some() || !makes => None,
            _ => Some(format!(
                "{need} is neither declared nor there: declare it, or create it first"
            )),
        }
    }
}
