//! Grammar: the JSON Schema of the language compiled once, to check many values against it.

use std::collections::{BTreeSet, HashMap};

use regex::Regex;
use serde_json::{Map, Value};

use super::schema::SHORTHAND;

/// Which term.
pub(super) type TermId = usize;

/// What the whole language allows.
#[derive(Debug)]
pub(super) struct Grammar {
    terms: Vec<Term>,
    /// The terms that have a name.
    names: HashMap<String, TermId>,
}

/// A term: what is allowed in one place.
#[derive(Debug, Default)]
pub(super) struct Term {
    /// The types allowed; empty: any.
    pub types: Vec<Type>,
    /// The only values allowed; empty: any.
    pub allowed: Vec<Value>,
    /// At least one of these holds; empty: nothing more to hold.
    pub any_of: Vec<TermId>,
    pub properties: HashMap<String, Property>,
    pub additional: Additional,
    pub required: Vec<String>,
    pub items: Option<TermId>,
    pub unique: bool,
    pub length: Limits,
    pub size: Limits,
    pub number: Limits,
    pub pattern: Option<Regex>,
    /// Text that fits, for who wrote some that does not.
    pub example: Option<String>,
    /// A reference to a secret stands here (`x-secret`): what else is written is never shown.
    pub is_secret: bool,
}

/// One field of a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Property {
    pub term: TermId,
    /// Only GitLab Enterprise Edition knows it (`x-edition: ee`).
    pub is_enterprise: bool,
}

/// What a map may hold beside its properties.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Additional {
    #[default]
    Anything,
    Nothing,
    Each(TermId),
}

/// Inclusive bounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// The types of JSON Schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Type {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "string" => Type::String,
            "array" => Type::Array,
            "object" => Type::Object,
            _ => return None,
        })
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Boolean,
            Value::Number(number) if number.is_f64() => Type::Number,
            Value::Number(_) => Type::Integer,
            Value::String(_) => Type::String,
            Value::Array(_) => Type::Array,
            Value::Object(_) => Type::Object,
        }
    }

    /// The type in words.
    pub fn describe(self) -> &'static str {
        match self {
            Type::Null => "null",
            Type::Boolean => "true or false",
            Type::Integer => "a whole number",
            Type::Number => "a number",
            Type::String => "text",
            Type::Array => "a list",
            Type::Object => "a map",
        }
    }
}

impl Grammar {
    /// Compiles the `$defs` of a schema.
    ///
    /// # Panics
    /// When a kind's schema uses a keyword that is not checked, or refers to what is not there: it must not be accepted and ignored.
    pub fn compile(schema: &Value) -> Self {
        let definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
        let names: HashMap<String, TermId> = definitions.keys().cloned().zip(0..).collect();
        let terms = definitions.keys().map(|_| Term::default()).collect();
        let mut compiler = Compiler { names: &names, terms };
        for (name, definition) in &definitions {
            let term = compiler.term(definition);
            compiler.terms[names[name]] = term;
        }
        let terms = compiler.terms;
        Grammar { terms, names }
    }

    /// The term of a name in `$defs`.
    ///
    /// # Panics
    /// When there is none.
    pub fn id(&self, name: &str) -> TermId {
        self.names[name]
    }

    pub fn get(&self, id: TermId) -> &Term {
        &self.terms[id]
    }
}

struct Compiler<'a> {
    names: &'a HashMap<String, TermId>,
    terms: Vec<Term>,
}

impl Compiler<'_> {
    fn add(&mut self, schema: &Value) -> TermId {
        // A shorthand is written out before anything is checked: the map is left.
        if schema.get(SHORTHAND).is_some() {
            return self.add(&schema["anyOf"][1]);
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.trim_start_matches("#/$defs/");
            return *self
                .names
                .get(name)
                .unwrap_or_else(|| panic!("schema refers to `{reference}`, which is not there"));
        }
        let term = self.term(schema);
        // `Option<T>`: a null drops the field before it is looked at, so only the other branch matters.
        if let ([only], true) = (&term.any_of[..], term.types.is_empty() && term.allowed.is_empty()) {
            return *only;
        }
        self.terms.push(term);
        self.terms.len() - 1
    }

    fn term(&mut self, schema: &Value) -> Term {
        let mut term = Term::default();
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            self.keyword(&mut term, keyword, value);
        }
        if !term.properties.is_empty() && matches!(term.additional, Additional::Anything) {
            term.additional = Additional::Nothing;
        }
        self.join_constants(&mut term);
        term
    }

    fn keyword(&mut self, term: &mut Term, keyword: &str, value: &Value) {
        match keyword {
            "type" => {
                term.types = each(value)
                    .filter_map(|name| Type::named(name.as_str()?))
                    .collect()
            }
            "enum" | "const" => {
                term.allowed = each(value).filter(|value| !value.is_null()).cloned().collect();
            }
            "anyOf" | "oneOf" => {
                let branches = each(value).filter(|branch| branch["type"] != "null");
                term.any_of = branches.map(|branch| self.add(branch)).collect();
            }
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                term.properties = properties
                    .map(|(name, schema)| (name.clone(), self.property(schema)))
                    .collect();
            }
            "additionalProperties" => {
                term.additional = match value {
                    Value::Bool(true) => Additional::Anything,
                    Value::Bool(false) => Additional::Nothing,
                    schema => Additional::Each(self.add(schema)),
                };
            }
            "required" => {
                term.required = each(value)
                    .filter_map(|name| Some(name.as_str()?.to_owned()))
                    .collect()
            }
            "items" => term.items = Some(self.add(value)),
            "uniqueItems" => term.unique = value == true,
            "minItems" => term.size.min = value.as_f64(),
            "maxItems" => term.size.max = value.as_f64(),
            "minLength" => term.length.min = value.as_f64(),
            "maxLength" => term.length.max = value.as_f64(),
            "minimum" => term.number.min = value.as_f64(),
            "maximum" => term.number.max = value.as_f64(),
            "pattern" => term.pattern = value.as_str().and_then(|pattern| Regex::new(pattern).ok()),
            "x-secret" => term.is_secret = value == true,
            "examples" => term.example = value[0].as_str().map(str::to_owned),
            "title" | "description" | "default" | "format" | "deprecated" => {}
            _ => assert!(
                keyword.starts_with("x-"),
                "config does not check the schema keyword `{keyword}`"
            ),
        }
    }

    fn property(&mut self, schema: &Value) -> Property {
        Property {
            term: self.add(schema),
            is_enterprise: schema["x-edition"] == "ee",
        }
    }

    /// An enum whose values are documented is a `oneOf` of constants: one list of allowed values says the same.
    fn join_constants(&self, term: &mut Term) {
        let constants = term.any_of.iter().map(|branch| &self.terms[*branch]);
        if term.any_of.is_empty() || constants.clone().any(|branch| branch.allowed.is_empty()) {
            return;
        }
        term.allowed = constants.flat_map(|branch| branch.allowed.clone()).collect();
        term.types = term.allowed.iter().map(Type::of).collect();
        term.any_of.clear();
    }
}

/// The items of an array; a value that is none, alone.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) => items.iter(),
        other => std::slice::from_ref(other).iter(),
    }
}

impl Term {
    /// The term of one field, if it has one.
    pub fn field(&self, name: &str) -> Option<TermId> {
        match (self.properties.get(name), self.additional) {
            (Some(property), _) => Some(property.term),
            (None, Additional::Each(each)) => Some(each),
            (None, Additional::Anything | Additional::Nothing) => None,
        }
    }

    /// Whether a value takes one of several forms.
    pub fn has_forms(&self) -> bool {
        !self.any_of.is_empty()
    }

    /// The fields' names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.properties.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// The names of every field, anywhere in a schema, that holds a reference to a secret.
pub(super) fn secret_keys(schema: &Value) -> Vec<String> {
    let definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    let mut keys = BTreeSet::new();
    for definition in definitions.values() {
        collect_secret_keys(definition, &definitions, &mut keys);
    }
    keys.into_iter().collect()
}

fn collect_secret_keys(schema: &Value, definitions: &Map<String, Value>, keys: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if holds_secret(property, definitions) {
            keys.insert(name.clone());
        }
    }
    match schema {
        Value::Object(map) => map
            .values()
            .for_each(|child| collect_secret_keys(child, definitions, keys)),
        Value::Array(items) => items
            .iter()
            .for_each(|child| collect_secret_keys(child, definitions, keys)),
        _ => {}
    }
}

/// Whether a reference to a secret stands here: itself, as one of several forms, or as what a list or map is of.
fn holds_secret(schema: &Value, definitions: &Map<String, Value>) -> bool {
    let name = schema["$ref"]
        .as_str()
        .unwrap_or_default()
        .trim_start_matches("#/$defs/");
    let within = [
        &schema["anyOf"],
        &schema["oneOf"],
        &schema["items"],
        &schema["additionalProperties"],
    ];
    let target = definitions.get(name).unwrap_or(schema);
    target["x-secret"] == true
        || within
            .into_iter()
            .flat_map(each)
            .any(|part| part.is_object() && holds_secret(part, definitions))
}
