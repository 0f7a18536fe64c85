//! Where each value of a resource comes from, and what it won against.

use serde::Serialize;
use serde_json::Value;

use crate::core::{Address, Key};

use super::decode::children;
use super::diagnostic::{Report, Sources};
use super::inventory::{Inventory, Listed};
use super::layout::PRESET_SECTION;
use super::load::Loaded;
use super::merge::{FieldTerm, Opinion, effective, fields, is_absent};
use super::model::{Mode, Origin, Position, Via};
use super::rules::{Said, goes_by_live};
use super::shape::Shape;
use super::tree::{Data, Span};

/// Every opinion the config holds on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Which resource.
    pub address: Address,
    /// Where its key is written.
    pub position: Position,
    /// Its fields by name, dotted where they are nested.
    pub fields: Vec<Explained>,
}

/// Every opinion on one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The field, dotted where it is nested.
    pub field: String,
    /// The value as written; null: what the weaker opinions say is dropped.
    pub value: Value,
    /// Where it is written.
    pub origin: Origin,
    /// The weaker opinions that lost, strongest first.
    pub overridden: Vec<(Value, Origin)>,
}

impl Loaded {
    /// Where each value of a resource comes from; `None` when the config does not declare it. What a rule says of it
    /// counts as far as the repos that exist, in `listed`, or the files alone tell that the rule is for it.
    pub fn explain(&self, address: &Address, listed: Option<&[Listed]>) -> Option<Explanation> {
        let mut report = Report::new(self.sources.clone());
        let layout = self.layout(&mut report);
        let checks = self.checks(&layout);
        let reusable = checks.reusable(&mut report);
        let inventory = listed.map(|listed| Inventory::new(listed, &layout));
        let path = &address.key.path;
        let exists = inventory.as_ref().is_some_and(|inventory| inventory.has(path));
        let live = inventory.as_ref().map(|inventory| inventory.get(path));
        let alone = |shape: &&Shape| shape.section().is_some() || shape.of_instance().is_some();
        for shape in self.shapes.iter().filter(alone) {
            let parent = Address::new(shape.name, Key::top(path.clone()));
            let resource = layout.resources.get_key_value(&parent);
            let takes_rules = shape.section() == Some(PRESET_SECTION);
            let (parent, mut said) = match resource {
                Some((parent, resource)) => (parent.clone(), Said::of(resource.entry, &layout)),
                None if takes_rules && exists => (parent, Said::default()),
                None => continue,
            };
            let is_absent = resource.is_some_and(|(_, resource)| is_absent(&resource.entry.value));
            if takes_rules && !is_absent {
                said.apply(&reusable.rules, Mode::Enforce, path, live.as_deref());
            }
            let own = resource.map(|(_, resource)| resource.entry);
            let Some(place) = own.or(said.rules.first().map(|rule| rule.entry)) else {
                continue;
            };
            let found = self.explain_in(shape, &parent, &said.opinions(), place.key_span, address);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Whether what exists may make a difference to a resource: a rule may be for a repo that the file does not list, or
    /// goes by more than the file says.
    pub fn depends(&self, address: &Address) -> bool {
        let layout = self.layout(&mut Report::new(self.sources.clone()));
        let of = |section: &str| {
            let shape = self.shapes.iter().find(|shape| shape.section() == Some(section));
            shape.map(|shape| Address::new(shape.name, Key::top(address.key.path.clone())))
        };
        let repo = of(PRESET_SECTION);
        let is_repos = repo.as_ref().is_some_and(|repo| {
            let mut within = self
                .shapes
                .iter()
                .filter(|shape| shape.field_within(&repo.kind).is_some());
            repo.kind == address.kind || within.any(|shape| shape.name == address.kind)
        });
        let is_listed = repo.is_some_and(|repo| layout.resources.contains_key(&repo));
        is_repos && layout.rules.iter().any(|rule| !is_listed || goes_by_live(rule))
    }

    /// Explains a resource of a section, or what is nested in it.
    fn explain_in(
        &self,
        shape: &Shape,
        parent: &Address,
        opinions: &[Opinion],
        place: Span,
        address: &Address,
    ) -> Option<Explanation> {
        if parent == address {
            let nested: Vec<_> = children(&self.shapes, shape).map(|(_, field)| field).collect();
            return Some(self.explanation(parent.clone(), opinions, place, &nested));
        }
        let mut children = children(&self.shapes, shape);
        let (child, field) = children.find(|(child, _)| child.name == address.kind)?;
        let collections = fields(opinions).remove(field).unwrap_or_default();
        let entries = fields(effective(&collections));
        let opinions = effective(entries.get(address.key.name())?);
        let key = Key::within(parent.key.path.clone(), address.key.name());
        let place = opinions.last()?.entry.key_span;
        Some(self.explanation(Address::new(child.name, key), opinions, place, &[]))
    }

    fn explanation(
        &self,
        address: Address,
        opinions: &[Opinion],
        place: Span,
        nested: &[&str],
    ) -> Explanation {
        let position = self.sources.position(place);
        let term = FieldTerm::new(&self.grammar, self.grammar.id(&address.kind));
        let mut explained = Vec::new();
        for (field, opinions) in fields(opinions) {
            if field != "preset" && !nested.contains(&field) {
                explain_field(
                    term.field(field),
                    field.to_owned(),
                    &opinions,
                    &self.sources,
                    &mut explained,
                );
            }
        }
        Explanation {
            address,
            position,
            fields: explained,
        }
    }
}

fn explain_field(
    term: FieldTerm,
    field: String,
    opinions: &[Opinion],
    sources: &Sources,
    explained: &mut Vec<Explained>,
) {
    let merged = term.effective(opinions);
    let is_map =
        |opinion: &Opinion| matches!(&opinion.entry.value.data, Data::Map(entries) if !entries.is_empty());
    if merged.iter().any(is_map) && !term.is_one_value() {
        for (name, opinions) in fields(merged) {
            explain_field(
                term.field(name),
                format!("{field}.{name}"),
                &opinions,
                sources,
                explained,
            );
        }
        return;
    }
    let mut told = opinions
        .iter()
        .rev()
        .map(|opinion| (opinion.entry.value.to_json(), origin(opinion, sources)));
    if let Some((value, origin)) = told.next() {
        let overridden = told.collect();
        explained.push(Explained {
            field,
            value,
            origin,
            overridden,
        });
    }
}

/// Where an opinion is written.
pub(super) fn origin(opinion: &Opinion, sources: &Sources) -> Origin {
    Origin {
        position: sources.position(opinion.entry.key_span),
        via: opinion.via.map(Via::from),
    }
}
