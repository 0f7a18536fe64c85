//! The language reference: every key, what it may be and what it means, as Markdown, from the schema alone.

use serde_json::{Map, Value};

use super::schema::{RULE_FIELDS, SHORTHAND, example, schema};
use super::shape::Shape;
use super::write::{flow, text};

/// The reference of a language whose kinds are `shapes`, as Markdown.
pub fn reference(shapes: &[Shape]) -> String {
    let schema = schema(shapes);
    let mut pages = Pages {
        definitions: schema["$defs"].as_object().cloned().unwrap_or_default(),
        text: String::new(),
    };
    pages.line("# The language\n\nGenerated from the schema that the loader checks by. A field left out is not managed; `null` drops what a preset says; `\"\"` and `[]` clear.\n\n## Top level\n");
    pages.table(&schema);
    for (key, section) in fields(&schema) {
        pages.section(key, section, 2);
    }
    pages.text
}

struct Pages {
    definitions: Map<String, Value>,
    text: String,
}

impl Pages {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A heading, an example and a table for what has fields, then the same for those of its fields that have some.
    fn section(&mut self, path: &str, schema: &Value, level: usize) {
        let value = self.resolve(schema).clone();
        let is_map = value["additionalProperties"].is_object();
        let (path, mut holds) = match is_map {
            true => (
                format!("{path}.*"),
                self.resolve(&value["additionalProperties"]).clone(),
            ),
            false => (path.to_owned(), value.clone()),
        };
        if fields(&holds).next().is_none() || path == "rules.*.locked" {
            return;
        }
        let heading = "#".repeat(level.min(4));
        self.line(&format!(
            "\n{heading} `{path}`\n\n{}\n",
            description(schema, &value)
        ));
        let example = schema["examples"].get(0).cloned().or_else(|| example(&value));
        if let Some(example) = example.filter(|_| level == 2) {
            let section = path.trim_end_matches(".*");
            self.line(&format!("```yaml\n{section}:{}\n```\n", yaml(&example, 1)));
        }
        if let Some(field) = value["additionalProperties"][SHORTHAND].as_str() {
            self.line(&format!(
                "In place of the map, a plain value is taken for its `{field}`.\n"
            ));
        }
        if path == "presets.*" {
            return self.line("It holds what a repo holds, but for `absent`, `moved_from` and `preset`.");
        }
        if path == "rules.*" {
            self.line("It holds what a preset holds, and beside that:\n");
            let only =
                |fields: &mut Map<String, Value>| fields.retain(|name, _| RULE_FIELDS.contains(&&**name));
            holds["properties"].as_object_mut().map(only);
        }
        self.table(&holds);
        for (key, field) in fields(&holds) {
            self.section(&format!("{path}.{key}"), field, level + 1);
        }
    }

    fn table(&mut self, schema: &Value) {
        self.line("| Key | Value | Meaning |\n|---|---|---|");
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
        for (key, field) in fields(schema) {
            let mut meaning = self.meaning(field);
            if required.iter().any(|name| *name == key) {
                meaning.push("Required.".to_owned());
            }
            let meaning = meaning.join(" ").replace('|', "\\|");
            self.line(&format!(
                "| `{key}` | {} | {meaning} |",
                self.kind(self.resolve(field))
            ));
        }
    }

    /// What a field is for, sentence by sentence.
    fn meaning(&self, field: &Value) -> Vec<String> {
        let value = self.resolve(field);
        let mut meaning = vec![description(field, value).replace('\n', " ")];
        for branch in branches(value) {
            if let (Some(name), Some(means)) = (branch.get("const"), branch["description"].as_str()) {
                meaning.push(format!("<br>`{}`: {means}", flow(name)));
            }
        }
        let default = field.get("default").or(value.get("default"));
        if let Some(default) = default.filter(|default| !default.is_null()) {
            meaning.push(format!("Default: `{}`.", flow(default)));
        }
        let has_section = value["properties"].is_object() || value["additionalProperties"].is_object();
        let example = field["examples"].get(0).or(value["examples"].get(0));
        if let Some(example) = example.filter(|_| !has_section && constants(value).is_empty()) {
            meaning.push(format!("Example: `{}`.", flow(example)));
        }
        if field["x-edition"] == "ee" {
            meaning.push("Enterprise Edition only.".to_owned());
        }
        meaning.retain(|sentence| !sentence.is_empty());
        meaning
    }

    /// What may be written there, in a few words.
    fn kind(&self, schema: &Value) -> String {
        let constants: Vec<_> = constants(schema)
            .into_iter()
            .map(|value| format!("`{}`", flow(value)))
            .collect();
        if !constants.is_empty() {
            return constants.join(", ");
        }
        let form = |branch| match fields(self.resolve(branch)).next() {
            Some((key, _)) => format!("`{{{key}: …}}`"),
            None => self.kind(self.resolve(branch)),
        };
        let forms: Vec<_> = branches(schema).map(form).collect();
        if !forms.is_empty() {
            return forms.join(" or ");
        }
        let name = match &schema["type"] {
            Value::Array(names) => names
                .iter()
                .filter_map(Value::as_str)
                .find(|name| *name != "null"),
            name => name.as_str(),
        };
        match name {
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("integer") => format!("whole number{}", bounds(schema)),
            Some("number") => format!("number{}", bounds(schema)),
            Some("string") => "text".to_owned(),
            Some("array") => format!("list of {}", self.kind(self.resolve(&schema["items"]))),
            Some("object") => "map".to_owned(),
            _ => "anything".to_owned(),
        }
    }

    /// A schema without references, without the null that any field may be and without shorthand.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if schema.get(SHORTHAND).is_some() {
            return self.resolve(&schema["anyOf"][1]);
        }
        if let Some(reference) = schema["$ref"].as_str() {
            return self.resolve(&self.definitions[reference.trim_start_matches("#/$defs/")]);
        }
        let mut branches = branches(schema);
        match (branches.next(), branches.next()) {
            (Some(only), None) => self.resolve(only),
            _ => schema,
        }
    }
}

fn fields(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, field)| (key.as_str(), field))
}

/// The forms a value may take, but for null.
fn branches(schema: &Value) -> impl Iterator<Item = &Value> {
    let forms = [&schema["anyOf"], &schema["oneOf"]]
        .into_iter()
        .filter_map(Value::as_array)
        .flatten();
    forms.filter(|form| form["type"] != "null")
}

/// The only values allowed, if that is how it is said.
fn constants(schema: &Value) -> Vec<&Value> {
    let own = schema["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .chain(schema.get("const"));
    let forms: Vec<Vec<&Value>> = branches(schema).map(constants).collect();
    match forms.iter().any(Vec::is_empty) {
        true => Vec::new(),
        false => own
            .filter(|value| !value.is_null())
            .chain(forms.into_iter().flatten())
            .collect(),
    }
}

/// A field's own description, or else that of what it holds.
fn description(field: &Value, value: &Value) -> String {
    field["description"]
        .as_str()
        .or(value["description"].as_str())
        .unwrap_or_default()
        .to_owned()
}

fn bounds(schema: &Value) -> String {
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(min), Some(max)) => format!(", {min} to {max}"),
        (Some(min), None) => format!(", at least {min}"),
        (None, Some(max)) => format!(", at most {max}"),
        (None, None) => String::new(),
    }
}

/// A value as YAML to stand after a `key:`, maps in lines of their own.
fn yaml(value: &Value, depth: usize) -> String {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let indent = "  ".repeat(depth);
            let line = |(key, value): (&String, &Value)| {
                format!("\n{indent}{}:{}", text(key, true), yaml(value, depth + 1))
            };
            fields.iter().map(line).collect()
        }
        other => format!(" {}", flow(other)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{diagnostic::Report, parse::parse};
    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~é]{0,6}".prop_map(Value::from)
        ];
        let list = proptest::collection::vec(scalar.clone(), 0..3).prop_map(Value::from);
        prop_oneof![scalar, list].prop_recursive(3, 12, 3, |inner| {
            proptest::collection::btree_map("[ -~]{1,5}", inner, 1..4).prop_map(|map| json!(map))
        })
    }

    proptest! {
        #[test]
        fn examples_read_back_as_the_values_they_show(value in values()) {
            let mut report = Report::default();
            let file = report.sources.add("x.yaml".into(), &format!("key:{}\n", yaml(&value, 1)));
            let root = parse(file, &[], &mut report).map(|root| root.to_json());
            prop_assert_eq!(root, Some(json!({"key": value})));
        }
    }
}
