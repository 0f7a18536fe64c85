//! Where each value of a resource comes from, and what it won against.

use serde::Serialize;
use serde_json::Value;

use crate::core::{Address, Key};

use super::decode::{children, preset_names};
use super::diagnostic::{Report, Sources};
use super::layout::{Layout, Resource};
use super::load::Loaded;
use super::merge::{FieldTerm, Opinion, effective, fields};
use super::model::{Origin, Position};
use super::tree::Data;

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
    /// Where each value of a resource comes from; `None` when the config does not declare it.
    pub fn explain(&self, address: &Address) -> Option<Explanation> {
        let layout = Layout::new(
            &self.documents,
            &self.shapes,
            &mut Report::new(self.sources.clone()),
        );
        let parents = layout
            .resources
            .iter()
            .filter(|(parent, _)| parent.key.path == address.key.path);
        for (parent, resource) in parents {
            let opinions = opinions(&layout, resource);
            if parent == address {
                let nested: Vec<_> = children(&self.shapes, resource.shape)
                    .map(|(_, field)| field)
                    .collect();
                return self.explanation(address.clone(), &opinions, &nested);
            }
            for (child, field) in
                children(&self.shapes, resource.shape).filter(|(child, _)| child.name == address.kind)
            {
                let collections = fields(&opinions).remove(field).unwrap_or_default();
                let entries = fields(effective(&collections));
                if let Some(opinions) = entries.get(address.key.name()) {
                    let address = Address::new(
                        child.name,
                        Key::within(parent.key.path.clone(), address.key.name()),
                    );
                    return self.explanation(address, effective(opinions), &[]);
                }
            }
        }
        None
    }

    fn explanation(&self, address: Address, opinions: &[Opinion], nested: &[&str]) -> Option<Explanation> {
        let position = self.sources.position(opinions.last()?.entry.key_span);
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
        Some(Explanation {
            address,
            position,
            fields: explained,
        })
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
        via: opinion.preset.map(|preset| format!("preset {preset}")),
    }
}

/// The opinions on a resource of a section: its presets that are declared, and its own.
fn opinions<'a>(layout: &Layout<'a>, resource: &Resource<'a>) -> Vec<Opinion<'a>> {
    let named = preset_names(&resource.entry.value)
        .iter()
        .filter_map(|name| layout.presets.get(name.as_text()?));
    let presets = named.map(|preset| Opinion {
        entry: preset,
        preset: Some(&preset.key),
    });
    presets
        .chain([Opinion {
            entry: resource.entry,
            preset: None,
        }])
        .collect()
}
