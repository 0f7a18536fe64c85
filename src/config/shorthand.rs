//! Shorthand: a plain value where a resource stands, written out as the one field that it means.

use std::sync::Arc;

use super::decode::children;
use super::include::Document;
use super::layout::{PRESET_SECTION, PRESETS, RULES};
use super::shape::Shape;
use super::tree::{Data, Entry, Node};

/// Writes out every shorthand, so that whatever comes after knows one form only.
pub(super) fn write_out(documents: &mut [Document], shapes: &[Shape]) {
    if shapes.iter().all(|shape| shape.shorthand.is_none()) {
        return;
    }
    for document in documents {
        let Data::Map(sections) = &mut document.root.data else {
            continue;
        };
        for section in Arc::make_mut(sections) {
            let name = match &*section.key {
                PRESETS | RULES => PRESET_SECTION,
                name => name,
            };
            let Some(shape) = shapes.iter().find(|shape| shape.section() == Some(name)) else {
                continue;
            };
            let is_rules = *section.key == *RULES;
            each(&mut section.value, |value| {
                resource(value, shape, shapes);
                if is_rules {
                    field(value, "locked", |locked| resource(locked, shape, shapes));
                }
            });
        }
    }
}

fn resource(value: &mut Node, shape: &Shape, shapes: &[Shape]) {
    if let Some(field) = shape.shorthand
        && matches!(value.data, Data::Bool(_) | Data::Number(_) | Data::Text(_))
    {
        let entry = Entry {
            key: field.into(),
            key_span: value.span,
            value: value.clone(),
        };
        value.data = Data::Map(Arc::new(vec![entry]));
    }
    for (child, name) in children(shapes, shape) {
        field(value, name, |collection| {
            each(collection, |value| resource(value, child, shapes))
        });
    }
}

/// Changes one field of a map, if it is there.
fn field(map: &mut Node, name: &str, change: impl Fn(&mut Node)) {
    if map.entry(name).is_some()
        && let Data::Map(fields) = &mut map.data
    {
        let fields = Arc::make_mut(fields).iter_mut();
        fields
            .filter(|entry| *entry.key == *name)
            .for_each(|entry| change(&mut entry.value));
    }
}

/// Changes every value of a map.
fn each(map: &mut Node, change: impl Fn(&mut Node)) {
    if let Data::Map(entries) = &mut map.data {
        Arc::make_mut(entries)
            .iter_mut()
            .for_each(|entry| change(&mut entry.value));
    }
}
