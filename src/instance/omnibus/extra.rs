//! The settings that a config gives by their own key.

use super::{Ruby, Told};
use crate::config::deploy::{Deploy, OmnibusKey, Setting};

pub(super) fn tell(spec: &Deploy, told: &mut Told) {
    for (written, value) in &spec.omnibus {
        // What is no key was refused when the config was checked.
        if let Some(key) = OmnibusKey::parse(written) {
            let value = ruby(&file_name("omnibus", key.parts()), value, told);
            told.set(&key.to_string(), value);
        }
    }
}

/// A value as Ruby has it. `name` is that of its file if it is a secret.
fn ruby(name: &str, value: &Setting, told: &mut Told) -> Ruby {
    if let Some(reference) = value.reference() {
        return told.secret(name, &reference);
    }
    match value {
        Setting::Bool(value) => (*value).into(),
        Setting::Integer(value) => (*value).into(),
        Setting::Number(value) => Ruby::Float(*value),
        Setting::Text(text) => text.as_str().into(),
        Setting::List(items) => {
            let items = items.iter().enumerate();
            items
                .map(|(at, item)| ruby(&file_name(name, [&*at.to_string()]), item, told))
                .collect()
        }
        Setting::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let value = ruby(&file_name(name, [&**key]), value, told);
                (key.clone(), value)
            });
            Ruby::Map(entries.collect())
        }
    }
}

/// The name of a secret's file, further down. What is neither letter nor digit is written as its code, so that no two share a file.
fn file_name<'a>(outer: &str, parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut name = outer.to_owned();
    for part in parts {
        name.push('.');
        for char in part.chars() {
            match char.is_ascii_alphanumeric() || char == '_' {
                true => name.push(char),
                false => name.push_str(&format!("-{:x}-", char as u32)),
            }
        }
    }
    name
}
