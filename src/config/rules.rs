//! A JSON Schema compiled once, to check many values against it.

use std::collections::{BTreeSet, HashMap};

use regex::Regex;
use serde_json::{Map, Value};

use super::schema::SHORTHAND;

/// Which rule.
pub(super) type RuleId = usize;

/// The rules of the whole language.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    /// The rules that have a name.
    names: HashMap<String, RuleId>,
}

/// What is allowed in one place.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// The types allowed; empty: any.
    pub types: Vec<Type>,
    /// The only values allowed; empty: any.
    pub allowed: Vec<Value>,
    /// At least one of these holds; empty: nothing more to hold.
    pub any_of: Vec<RuleId>,
    pub properties: HashMap<String, Property>,
    pub additional: Additional,
    pub required: Vec<String>,
    pub items: Option<RuleId>,
    pub unique: bool,
    pub length: Limits,
    pub size: Limits,
    pub number: Limits,
    pub pattern: Option<Regex>,
    /// A reference to a secret stands here (`x-secret`): what else is written is never shown.
    pub is_secret: bool,
    /// Names that the language has plans for.
    pub planned: &'static [&'static str],
}

/// One field of a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Property {
    pub rule: RuleId,
    /// Only GitLab Enterprise Edition knows it (`x-edition: ee`).
    pub is_enterprise: bool,
}

/// What a map may hold beside its properties.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Additional {
    #[default]
    Anything,
    Nothing,
    Each(RuleId),
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

impl Rules {
    /// Compiles the `$defs` of a schema.
    ///
    /// # Panics
    /// When a kind's schema uses a keyword that is not checked, or refers to what is not there: it must not be accepted and ignored.
    pub fn compile(schema: &Value) -> Self {
        let definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
        let names: HashMap<String, RuleId> = definitions.keys().cloned().zip(0..).collect();
        let rules = definitions.keys().map(|_| Rule::default()).collect();
        let mut compiler = Compiler { names: &names, rules };
        for (name, definition) in &definitions {
            let rule = compiler.rule(definition);
            compiler.rules[names[name]] = rule;
        }
        let rules = compiler.rules;
        Rules { rules, names }
    }

    /// The rule of a name in `$defs`.
    ///
    /// # Panics
    /// When there is none.
    pub fn id(&self, name: &str) -> RuleId {
        self.names[name]
    }

    pub fn get(&self, id: RuleId) -> &Rule {
        &self.rules[id]
    }

    pub fn set_planned(&mut self, name: &str, planned: &'static [&'static str]) {
        self.rules[self.names[name]].planned = planned;
    }
}

struct Compiler<'a> {
    names: &'a HashMap<String, RuleId>,
    rules: Vec<Rule>,
}

impl Compiler<'_> {
    fn add(&mut self, schema: &Value) -> RuleId {
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
        let rule = self.rule(schema);
        // `Option<T>`: a null drops the field before it is looked at, so only the other branch matters.
        if let ([only], true) = (&rule.any_of[..], rule.types.is_empty() && rule.allowed.is_empty()) {
            return *only;
        }
        self.rules.push(rule);
        self.rules.len() - 1
    }

    fn rule(&mut self, schema: &Value) -> Rule {
        let mut rule = Rule::default();
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            self.keyword(&mut rule, keyword, value);
        }
        if !rule.properties.is_empty() && matches!(rule.additional, Additional::Anything) {
            rule.additional = Additional::Nothing;
        }
        self.join_constants(&mut rule);
        rule
    }

    fn keyword(&mut self, rule: &mut Rule, keyword: &str, value: &Value) {
        match keyword {
            "type" => {
                rule.types = each(value)
                    .filter_map(|name| Type::named(name.as_str()?))
                    .collect()
            }
            "enum" | "const" => {
                rule.allowed = each(value).filter(|value| !value.is_null()).cloned().collect();
            }
            "anyOf" | "oneOf" => {
                let branches = each(value).filter(|branch| branch["type"] != "null");
                rule.any_of = branches.map(|branch| self.add(branch)).collect();
            }
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                rule.properties = properties
                    .map(|(name, schema)| (name.clone(), self.property(schema)))
                    .collect();
            }
            "additionalProperties" => {
                rule.additional = match value {
                    Value::Bool(true) => Additional::Anything,
                    Value::Bool(false) => Additional::Nothing,
                    schema => Additional::Each(self.add(schema)),
                };
            }
            "required" => {
                rule.required = each(value)
                    .filter_map(|name| Some(name.as_str()?.to_owned()))
                    .collect()
            }
            "items" => rule.items = Some(self.add(value)),
            "uniqueItems" => rule.unique = value == true,
            "minItems" => rule.size.min = value.as_f64(),
            "maxItems" => rule.size.max = value.as_f64(),
            "minLength" => rule.length.min = value.as_f64(),
            "maxLength" => rule.length.max = value.as_f64(),
            "minimum" => rule.number.min = value.as_f64(),
            "maximum" => rule.number.max = value.as_f64(),
            "pattern" => rule.pattern = value.as_str().and_then(|pattern| Regex::new(pattern).ok()),
            "x-secret" => rule.is_secret = value == true,
            "title" | "description" | "default" | "examples" | "format" | "deprecated" => {}
            _ => assert!(
                keyword.starts_with("x-"),
                "config does not check the schema keyword `{keyword}`"
            ),
        }
    }

    fn property(&mut self, schema: &Value) -> Property {
        Property {
            rule: self.add(schema),
            is_enterprise: schema["x-edition"] == "ee",
        }
    }

    /// An enum whose values are documented is a `oneOf` of constants: one list of allowed values says the same.
    fn join_constants(&self, rule: &mut Rule) {
        let constants = rule.any_of.iter().map(|branch| &self.rules[*branch]);
        if rule.any_of.is_empty() || constants.clone().any(|branch| branch.allowed.is_empty()) {
            return;
        }
        rule.allowed = constants.flat_map(|branch| branch.allowed.clone()).collect();
        rule.types = rule.allowed.iter().map(Type::of).collect();
        rule.any_of.clear();
    }
}

/// The items of an array; a value that is none, alone.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) => items.iter(),
        other => std::slice::from_ref(other).iter(),
    }
}

impl Rule {
    /// The rule of one field, if it has one.
    pub fn field(&self, name: &str) -> Option<RuleId> {
        match (self.properties.get(name), self.additional) {
            (Some(property), _) => Some(property.rule),
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
