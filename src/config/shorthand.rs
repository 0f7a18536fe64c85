//! Shorthand: a plain value where a resource stands, written out as the one field that it means.

use std::sync::Arc;

use super::decode::children;
use super::include::Document;
use super::layout::{PRESET_SECTION, PRESETS};
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
            let is_section =
                |shape: &&Shape| shape.section() == Some(&section.key) || takes_presets(shape, &section.key);
            if let Some(shape) = shapes.iter().find(is_section) {
                each(&mut section.value, |value| resource(value, shape, shapes));
            }
        }
    }
}

/// Whether what stands in `section` are parts of this kind's resources.
fn takes_presets(shape: &Shape, section: &str) -> bool {
    section == PRESETS && shape.section() == Some(PRESET_SECTION)
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
    for (child, field) in children(shapes, shape) {
        if value.entry(field).is_some()
            && let Data::Map(fields) = &mut value.data
        {
            let fields = Arc::make_mut(fields).iter_mut();
            for collection in fields.filter(|entry| &*entry.key == field) {
                each(&mut collection.value, |value| resource(value, child, shapes));
            }
        }
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
