//! Sharing: what is best said once of one value that many have, and what is then left to say of each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::core::Fields;

/// About how long a map may be on one line.
const LINE: usize = 80;

/// What is best said once of the values that many have, of which `inherited` is said already. `None`: nothing.
/// A null says that there is to be none, against what is inherited.
pub fn share(values: &[Option<&Value>], inherited: Option<&Value>) -> Option<Value> {
    let cost = |base: Option<&Value>| -> usize {
        let left = values.iter().filter_map(|value| left(*value, base));
        left.map(|left| weight(&left)).sum()
    };
    let whole = most(values).filter(|whole| *whole != inherited);
    let whole = whole.map(|whole| {
        // The whole reads best, unless a part of what is inherited would shine through.
        let said = match whole {
            Some(whole) if over(inherited, whole) == *whole => Some(whole.clone()),
            whole => left(whole, inherited),
        };
        (said.unwrap_or(Value::Null), whole.cloned())
    });
    let parts = parts(values, inherited).map(|parts| {
        let base = over(inherited, &parts);
        (parts, Some(base))
    });
    let mut best = (cost(inherited), None);
    for (said, base) in whole.into_iter().chain(parts) {
        let with = cost(base.as_ref()) + weight(&said);
        if with < best.0 {
            best = (with, Some(said));
        }
    }
    best.1
}

/// What more than half of the values are, if there is such a thing.
fn most<'a>(values: &[Option<&'a Value>]) -> Option<Option<&'a Value>> {
    let mut counts: BTreeMap<Option<String>, (usize, Option<&Value>)> = BTreeMap::new();
    for value in values {
        let count = counts.entry(value.map(Value::to_string)).or_insert((0, *value));
        count.0 += 1;
    }
    let most = counts.into_values().find(|(count, _)| count * 2 > values.len());
    most.map(|(_, value)| value)
}

/// The parts that are best said once of values that are maps for the most part.
fn parts(values: &[Option<&Value>], inherited: Option<&Value>) -> Option<Value> {
    if inherited.is_some_and(|inherited| !inherited.is_object()) {
        return None;
    }
    let maps: Vec<&Fields> = values
        .iter()
        .filter_map(|value| value.as_ref()?.as_object())
        .collect();
    if maps.len() * 2 <= values.len() {
        return None;
    }
    let inherited = inherited.and_then(Value::as_object);
    let names: BTreeSet<&String> = maps
        .iter()
        .flat_map(|map| map.keys())
        .chain(inherited.into_iter().flat_map(|map| map.keys()))
        .collect();
    let parts = names.into_iter().filter_map(|name| {
        let each: Vec<_> = maps.iter().map(|map| map.get(name)).collect();
        let inherited = inherited.and_then(|inherited| inherited.get(name));
        Some((name.clone(), share(&each, inherited)?))
    });
    let parts: Fields = parts.collect();
    (!parts.is_empty()).then_some(Value::Object(parts))
}

/// About how many lines a value takes.
pub fn weight(value: &Value) -> usize {
    match value {
        Value::Object(fields) if value.to_string().len() > LINE => {
            1 + fields.values().map(weight).sum::<usize>()
        }
        _ => 1,
    }
}

/// What is left to say of a value of which `base` is said already. `None`: nothing; a null: that there is none.
fn left(value: Option<&Value>, base: Option<&Value>) -> Option<Value> {
    match (value, base) {
        (value, base) if value == base => None,
        (None, _) => Some(Value::Null),
        (Some(Value::Object(value)), Some(Value::Object(base))) => Some(Value::Object(residue(value, base))),
        (Some(value), _) => Some(value.clone()),
    }
}

/// What is left to say of fields of which `base` is said already.
pub fn residue(fields: &Fields, base: &Fields) -> Fields {
    let names: BTreeSet<&String> = fields.keys().chain(base.keys()).collect();
    let left = names
        .into_iter()
        .filter_map(|name| Some((name.clone(), left(fields.get(name), base.get(name))?)));
    left.collect()
}

/// What it comes to to say `said` over `base`: maps merge, a null drops, anything else replaces.
pub fn merged(base: &Fields, said: &Fields) -> Fields {
    let mut merged = base.clone();
    for (name, value) in said {
        match value {
            Value::Null => drop(merged.remove(name)),
            value => drop(merged.insert(name.clone(), over(base.get(name), value))),
        }
    }
    merged
}

fn over(base: Option<&Value>, said: &Value) -> Value {
    match (base, said) {
        (Some(Value::Object(base)), Value::Object(said)) => Value::Object(merged(base, said)),
        (_, Value::Object(said)) => Value::Object(merged(&Fields::new(), said)),
        (_, said) => said.clone(),
    }
}
