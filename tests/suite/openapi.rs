//! An OpenAPI document, as far as the judgement of exchanges needs it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The document.
pub struct Api {
    document: Value,
    /// The names of all properties of all entities.
    properties: HashSet<String>,
}

/// One method of one path.
pub struct Operation<'a> {
    api: &'a Api,
    found: &'a Value,
}

impl Api {
    /// Reads a YAML file.
    pub fn read(path: &Path) -> Self {
        let document = yaml(path);
        let entities = document["components"]["schemas"].as_object().unwrap().values();
        let properties = entities.filter_map(|entity| entity["properties"].as_object());
        let properties = properties
            .flat_map(|properties| properties.keys().cloned())
            .collect();
        Api { document, properties }
    }

    /// The operation of a request, and its path as the document writes it. Literal segments go before placeholders.
    pub fn find(&self, method: &str, path: &str) -> Option<(&str, Operation<'_>)> {
        let paths = self.document["paths"].as_object()?.iter();
        let fitting = paths.filter(|(template, _)| fits(template, path));
        let (template, methods) = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
        let found = methods.get(method.to_lowercase())?;
        Some((template, Operation { api: self, found }))
    }
}

/// Whether a path is an instance of a template such as `/api/v4/projects/{id}`.
pub fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template
            .iter()
            .zip(path)
            .all(|(part, segment)| part.starts_with('{') || *part == segment)
}

impl<'a> Operation<'a> {
    /// The schema of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&'a Value> {
        let parameters = self.found["parameters"].as_array()?.iter();
        let mut named = parameters.filter(|parameter| {
            parameter["in"] == "query"
                && parameter["name"]
                    .as_str()
                    .map(|known| known.trim_end_matches("[]"))
                    == Some(name)
        });
        named.next().map(|parameter| &parameter["schema"])
    }

    /// The schema of a property of the request's body.
    pub fn body(&self, name: &str) -> Option<&'a Value> {
        let contents = self.found["requestBody"]["content"].as_object()?;
        contents
            .values()
            .find_map(|content| self.resolve(&content["schema"])["properties"].get(name))
    }

    /// Whether it may answer so.
    pub fn has_status(&self, status: u16) -> bool {
        self.found["responses"].get(status.to_string()).is_some()
    }

    /// Whether its answer may have this property. The document names one entity for an answer where GitLab gives
    /// another to who may see more, so that all entities count. `true` where it says nothing.
    pub fn may_answer(&self, status: u16, name: &str) -> bool {
        let contents = self.found["responses"][status.to_string()]["content"].as_object();
        let Some(schema) = contents.and_then(|contents| contents.values().next()) else {
            return true;
        };
        let schema = self.resolve(&schema["schema"]);
        let schemas = [schema, self.resolve(&schema["items"])];
        self.api.properties.contains(name)
            || schemas
                .iter()
                .any(|schema| schema["properties"].get(name).is_some())
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let target = schema["$ref"]
            .as_str()
            .and_then(|target| target.strip_prefix('#'));
        target
            .and_then(|target| self.api.document.pointer(target))
            .unwrap_or(schema)
    }
}

/// The document in a YAML file.
pub fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let mut loader = Loader {
        events: Box::new(Parser::new_from_str(&text).map(|event| event.unwrap().0)),
        anchors: HashMap::new(),
    };
    loop {
        match loader.next() {
            event @ Event::MappingStart(..) => return loader.node(event),
            _ => continue,
        }
    }
}

struct Loader<'a> {
    events: Box<dyn Iterator<Item = Event<'a>> + 'a>,
    anchors: HashMap<usize, Value>,
}

impl<'a> Loader<'a> {
    fn next(&mut self) -> Event<'a> {
        self.events.next().expect("the document ends where it should")
    }

    /// The value that begins with `event`.
    fn node(&mut self, event: Event<'a>) -> Value {
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.anchors[&anchor].clone(),
            Event::Scalar(text, style, anchor, _) => (scalar(&text, style), anchor),
            Event::SequenceStart(anchor, _) => (self.sequence(), anchor),
            Event::MappingStart(anchor, _) => (self.mapping(), anchor),
            other => panic!("{other:?} as a value"),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        value
    }

    fn sequence(&mut self) -> Value {
        let mut items = Vec::new();
        loop {
            match self.next() {
                Event::SequenceEnd => return Value::Array(items),
                event => items.push(self.node(event)),
            }
        }
    }

    fn mapping(&mut self) -> Value {
        let mut members = Map::new();
        loop {
            let key = match self.next() {
                Event::MappingEnd => return Value::Object(members),
                Event::Scalar(key, ..) => key,
                other => panic!("{other:?} as a key"),
            };
            let event = self.next();
            match (&*key, self.node(event)) {
                ("<<", Value::Object(merged)) => {
                    for (name, value) in merged {
                        members.entry(name).or_insert(value);
                    }
                }
                (key, value) => {
                    members.insert(key.to_owned(), value);
                }
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "true") => Value::Bool(true),
        (ScalarStyle::Plain, "false") => Value::Bool(false),
        (ScalarStyle::Plain, "" | "~" | "null") => Value::Null,
        (ScalarStyle::Plain, text) => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        (_, text) => text.into(),
    }
}
