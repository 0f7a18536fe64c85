//! Fields: from a kind's type to its schema, its normal form, and back from what GitLab answers.

use std::marker::PhantomData;

use schemars::{Schema, SchemaGenerator};
use serde::de::value::MapDeserializer;
use serde::de::{Deserializer, Visitor};
use serde_json::{Map, Value};

use super::Kind;
use crate::config::FieldProblem;
use crate::core::{Fields, Key};

/// The kind's schema.
pub fn schema<K: Kind>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<K>()
}

/// The names of the kind's fields, in the order of its struct.
pub fn names<K: Kind>() -> Vec<&'static str> {
    let mut names = Vec::new();
    // Every field is optional, so that a struct can be had from nothing; what it is asks for its fields by name.
    let _ = K::deserialize(Names(&mut names));
    names
}

/// Notes the fields that a struct asks for, and has none to give.
struct Names<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(fields);
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, &str)>()))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The normal form of what the user wrote.
pub fn decode<K: Kind>(_key: &Key, written: Map<String, Value>) -> Result<Fields, Vec<FieldProblem>> {
    let value: K = serde_path_to_error::deserialize(Value::Object(written)).map_err(|error| {
        vec![FieldProblem {
            field: error.path().to_string(),
            message: error.inner().to_string(),
        }]
    })?;
    let problems = value.check();
    match problems.is_empty() {
        true => Ok(encode(&value)),
        false => Err(problems),
    }
}

fn encode<K: Kind>(value: &K) -> Fields {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        other => unreachable!("a kind is a struct of plain fields, not {other:?}"),
    }
}

/// Picks a kind's fields out of GitLab's answers and brings them into the normal form.
pub struct Normal<K> {
    /// Each field's name, and whether it holds text: GitLab says `null` for text that is empty.
    fields: Vec<(String, bool)>,
    kind: PhantomData<K>,
}

impl<K: Kind> Normal<K> {
    /// Reads the fields off the kind's schema; make one per batch.
    pub fn new() -> Self {
        let schema = schemars::schema_for!(K);
        let properties = schema.get("properties").and_then(Value::as_object);
        let fields = properties.into_iter().flatten().map(|(name, property)| {
            let types = &property["type"];
            let text = types == "string"
                || types
                    .as_array()
                    .is_some_and(|types| types.contains(&"string".into()));
            (name.clone(), text)
        });
        Normal {
            fields: fields.collect(),
            kind: PhantomData,
        }
    }

    /// The kind's fields in `answer`. A value that the kind does not know stays as it is, so that it is shown.
    pub fn of(&self, answer: &Fields) -> Fields {
        let mut found = Fields::new();
        for (name, text) in &self.fields {
            let value = match answer.get(name) {
                None => continue,
                Some(Value::Null) if *text => "".into(),
                Some(Value::Null) => Value::Null,
                Some(value) => self.field(name, value),
            };
            found.insert(name.clone(), value);
        }
        found
    }

    fn field(&self, name: &str, value: &Value) -> Value {
        let mut value = value.clone();
        unix_lines(&mut value);
        let alone = Value::Object(Fields::from_iter([(name.to_owned(), value.clone())]));
        match serde_json::from_value::<K>(alone) {
            Ok(typed) => encode(&typed).remove(name).unwrap_or(Value::Null),
            Err(_) => value,
        }
    }
}

/// GitLab gives text back with CRLF where LF was written.
fn unix_lines(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\r') => *text = text.replace("\r\n", "\n"),
        Value::Array(items) => items.iter_mut().for_each(unix_lines),
        Value::Object(fields) => fields.values_mut().for_each(unix_lines),
        _ => {}
    }
}
