//! Blocks: the steps of a plan by resource, and resources to which the same is done for the same reason together.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::json::ChangeOut;
use super::value::{self, Shown};
use crate::core::{Action, Address, Change, Impact, Plan, Reason, Step};

/// What is done to one resource, or alike to many.
pub struct Block<'a> {
    /// The steps of the first of them: two where a part has to wait for what lives in it.
    parts: Vec<&'a Step>,
    /// The resources, in the plan's order.
    pub addresses: Vec<&'a Address>,
}

impl<'a> Block<'a> {
    /// What is done.
    pub fn action(&self) -> Action {
        self.parts[0].action
    }

    /// Why.
    pub fn reason(&self) -> &'a Reason {
        &self.parts[0].reason
    }

    /// The fields that differ, and whether each has to wait for what lives in the resource.
    pub fn changes(&self) -> impl Iterator<Item = (&'a Change, bool)> {
        self.parts
            .iter()
            .flat_map(|step| step.changes.iter().map(|change| (change, step.last)))
    }

    /// What it does to people beyond neutral, mildest first.
    pub fn impacts(&self) -> BTreeSet<Impact> {
        let steps = self.parts.iter().map(|step| step.impact);
        let changes = self.changes().map(|(change, _)| change.impact);
        steps
            .chain(changes)
            .filter(|impact| *impact != Impact::Neutral)
            .collect()
    }

    /// Why it cannot be done.
    pub fn blocked(&self) -> Option<&'a str> {
        self.parts.iter().find_map(|step| step.blocked.as_deref())
    }

    /// What there is to know about how it is done.
    pub fn notes(&self) -> impl Iterator<Item = &'a str> {
        let parts = self.parts.iter();
        parts.flat_map(|step| step.notes.iter().map(String::as_str))
    }

    /// What is shown of a field.
    pub fn show(&self, change: &Change, most: usize) -> Shown {
        value::show(change, self.action() == Action::Create, most)
    }

    /// What the block is about: an address, or how many of which kind.
    pub fn name(&self) -> String {
        match self.addresses[..] {
            [one] => value::plain(&one.to_string()),
            _ => format!("{} × {}", self.addresses.len(), self.parts[0].address.kind),
        }
    }

    /// The addresses, at most so many, and how many more there are.
    pub fn listed(&self, most: usize) -> (Vec<String>, usize) {
        let addresses = self.addresses.iter().take(most);
        let listed = addresses
            .map(|address| value::plain(&address.to_string()))
            .collect();
        (listed, self.addresses.len().saturating_sub(most))
    }
}

/// The blocks of a plan, each where its first resource stands.
pub fn blocks(plan: &Plan) -> Vec<Block<'_>> {
    let mut parts: HashMap<&Address, Vec<&Step>> = HashMap::new();
    for step in &plan.steps {
        parts.entry(&step.address).or_default().push(step);
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut blocks: Vec<Block> = Vec::new();
    for step in &plan.steps {
        // A second part has been shown with its first.
        let Some(parts) = parts.remove(&step.address) else {
            continue;
        };
        match places.entry(likeness(&parts)) {
            Entry::Occupied(place) => blocks[*place.get()].addresses.push(&step.address),
            Entry::Vacant(place) => {
                place.insert(blocks.len());
                let addresses = vec![&step.address];
                blocks.push(Block { parts, addresses });
            }
        }
    }
    blocks
}

/// Equal for resources of which the same is shown.
fn likeness(parts: &[&Step]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|step| {
            let changes: Vec<_> = step.changes.iter().map(ChangeOut::new).collect();
            let what = (
                &step.address.kind,
                step.action,
                &step.reason,
                step.impact,
                step.last,
            );
            (what, changes, &step.blocked, &step.notes)
        })
        .collect();
    serde_json::to_string(&parts).expect("steps have string keys only")
}

/// How many resources there are of each sort.
#[derive(Default)]
pub struct Tally {
    /// By what is done to them.
    pub actions: BTreeMap<Action, usize>,
    /// By what that does to people; one resource may count under several.
    pub impacts: BTreeMap<Impact, usize>,
    /// Those to which it cannot be done.
    pub blocked: usize,
}

/// Counts the resources in blocks.
pub fn tally(blocks: &[Block]) -> Tally {
    let mut tally = Tally::default();
    for block in blocks {
        let resources = block.addresses.len();
        *tally.actions.entry(block.action()).or_default() += resources;
        for impact in block.impacts() {
            *tally.impacts.entry(impact).or_default() += resources;
        }
        if block.blocked().is_some() {
            tally.blocked += resources;
        }
    }
    tally
}

/// An impact beyond neutral, on whom, and by what.
pub struct Concern {
    /// What it does.
    pub impact: Impact,
    /// The resource, or the first of several and how many more.
    pub who: String,
    /// The fields that do it, or what is done to the whole resource.
    pub what: String,
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Concern { impact, who, what } = self;
        write!(f, "{impact} {who} ({what})")
    }
}

/// Every impact beyond neutral, worst first.
pub fn concerns(blocks: &[Block]) -> Vec<Concern> {
    let mut concerns: Vec<_> = blocks
        .iter()
        .flat_map(|block| block.impacts().into_iter().map(|impact| concern(block, impact)))
        .collect();
    concerns.sort_by_key(|concern| std::cmp::Reverse(concern.impact));
    concerns
}

/// What of a block has this impact.
pub fn concern(block: &Block, impact: Impact) -> Concern {
    let fields: Vec<_> = block
        .changes()
        .filter(|(change, _)| change.impact == impact)
        .map(|(change, _)| match block.show(change, 0) {
            Shown::Inline(value) => format!("{}: {value}", value::plain(&change.field)),
            Shown::Lines(_) => value::plain(&change.field),
        })
        .collect();
    let mut who = value::plain(&block.addresses[0].to_string());
    if block.addresses.len() > 1 {
        who.push_str(&format!(" and {} more", block.addresses.len() - 1));
    }
    let what = match fields.is_empty() {
        true => block.action().verb().to_owned(),
        false => fields.join(", "),
    };
    Concern { impact, who, what }
}
