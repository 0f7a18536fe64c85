//! Which values a type takes, from a query's text or from its variables, in GitLab's words.

use apollo_compiler::ast::{self, Type};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::{Node, Schema};
use serde_json::{Value, json};

/// Why a leaf value does not fit: the type just does not take it, or GitLab says more.
pub enum Misfit {
    Type,
    Message(String),
}

/// The record that a scalar named `…ID` of GitLab identifies, as its global id names it.
fn model(scalar: &str) -> Option<&'static str> {
    match scalar {
        "DeployKeyID" => Some("DeployKey"),
        "GroupID" => Some("Group"),
        "ProjectsBranchRuleID" => Some("Projects::BranchRule"),
        "UserID" => Some("User"),
        _ => None,
    }
}

/// The model and the number in `gid://gitlab/<model>/<number>`.
pub fn parse_global_id(text: &str) -> Option<(&str, u64)> {
    let (model, id) = text.strip_prefix("gid://gitlab/")?.rsplit_once('/')?;
    Some((model, id.parse().ok()?))
}

/// Whether a leaf of type `name` takes `value`, which is not null.
pub fn check_leaf(schema: &Schema, name: &str, value: &Value) -> Result<(), Misfit> {
    let fits = match name {
        "Int" => value.as_i64().is_some_and(|int| i32::try_from(int).is_ok()),
        "Float" => value.is_number(),
        "String" => value.is_string(),
        "Boolean" => value.is_boolean(),
        "ID" => value.is_string() || value.is_i64(),
        "Date" => value
            .as_str()
            .is_some_and(|text| text.parse::<jiff::civil::Date>().is_ok()),
        "Time" => value
            .as_str()
            .is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        _ => match (model(name), schema.get_enum(name)) {
            (Some(model), _) => return check_global_id(model, value),
            (None, Some(definition)) => value
                .as_str()
                .is_some_and(|text| definition.values.contains_key(text)),
            (None, None) => true,
        },
    };
    if fits { Ok(()) } else { Err(Misfit::Type) }
}

fn check_global_id(model: &str, value: &Value) -> Result<(), Misfit> {
    let text = value.as_str().ok_or(Misfit::Type)?;
    let message = match parse_global_id(text) {
        None if text.starts_with("gid://") && !text.starts_with("gid://gitlab/") => {
            format!("{value} is not a Gitlab Global ID")
        }
        None => format!("{value} is not a valid Global ID"),
        Some((found, _)) if suits(found, model) => return Ok(()),
        Some(_) => format!("{value} does not represent an instance of {model}"),
    };
    Err(Misfit::Message(message))
}

/// Whether a `found` is a `model`: the rule for all branches is a branch rule too.
fn suits(found: &str, model: &str) -> bool {
    found == model || (model == "Projects::BranchRule" && found == "Projects::AllBranchesRule")
}

/// A literal as JSON. Enum values become strings; variables, which are checked apart, null.
pub fn literal(value: &ast::Value) -> Value {
    match value {
        ast::Value::Null | ast::Value::Variable(_) => Value::Null,
        ast::Value::Enum(name) => json!(name.as_str()),
        ast::Value::String(text) => json!(text),
        ast::Value::Int(int) => int.as_str().parse::<i64>().map_or(Value::Null, Value::from),
        ast::Value::Float(float) => json!(float.try_to_f64().ok()),
        ast::Value::Boolean(flag) => json!(flag),
        ast::Value::List(items) => items.iter().map(|item| literal(item)).collect(),
        ast::Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.to_string(), literal(value)))
            .collect(),
    }
}

/// What is wrong with one part of a variable's value.
pub struct Problem {
    pub path: Vec<Value>,
    pub explanation: String,
}

impl Problem {
    /// `path (explanation)`; `None` for the value as a whole, which the message says already.
    pub fn describe(&self) -> Option<String> {
        let steps: Vec<_> = self
            .path
            .iter()
            .map(|step| step.to_string().replace('"', ""))
            .collect();
        (!steps.is_empty()).then(|| format!("{} ({})", steps.join("."), self.explanation))
    }

    pub fn to_json(&self) -> Value {
        json!({ "path": self.path, "explanation": self.explanation })
    }
}

/// Collects everything that is wrong with `value` as a variable of type `ty`.
pub fn problems(schema: &Schema, ty: &Type, value: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    collect(schema, ty, value, &mut Vec::new(), &mut found);
    found
}

fn collect(schema: &Schema, ty: &Type, value: &Value, path: &mut Vec<Value>, found: &mut Vec<Problem>) {
    let mut problem = |path: &[Value], explanation: String| {
        found.push(Problem {
            path: path.to_vec(),
            explanation,
        });
    };
    if value.is_null() {
        if ty.is_non_null() {
            problem(path, "Expected value to not be null".to_owned());
        }
        return;
    }
    if ty.is_list() {
        let Some(items) = value.as_array() else {
            return collect(schema, ty.item_type(), value, path, found);
        };
        for (index, item) in items.iter().enumerate() {
            path.push(json!(index));
            collect(schema, ty.item_type(), item, path, found);
            path.pop();
        }
        return;
    }
    let name = ty.inner_named_type();
    let Some(ExtendedType::InputObject(input)) = schema.types.get(name) else {
        match check_leaf(schema, name, value) {
            Ok(()) => {}
            Err(Misfit::Message(message)) => problem(path, message),
            Err(Misfit::Type) => problem(path, misfit(schema, name, value)),
        }
        return;
    };
    let Some(fields) = value.as_object() else {
        return problem(path, format!("Expected {value} to be a key-value object"));
    };
    for name in fields
        .keys()
        .filter(|name| !input.fields.contains_key(name.as_str()))
    {
        let explanation = format!("Field is not defined on {}", input.name);
        path.push(json!(name));
        problem(path, explanation);
        path.pop();
    }
    for field in input.fields.values() {
        let given = fields.get(field.name.as_str());
        if given.is_none() && !field.is_required() {
            continue;
        }
        path.push(json!(field.name.as_str()));
        collect(schema, &field.ty, given.unwrap_or(&Value::Null), path, found);
        path.pop();
    }
}

fn misfit(schema: &Schema, name: &str, value: &Value) -> String {
    match schema.get_enum(name) {
        Some(definition) => {
            let allowed: Vec<_> = definition.values.keys().map(|name| name.as_str()).collect();
            format!("Expected {value} to be one of: {}", allowed.join(", "))
        }
        None => format!("Could not coerce value {value} to {name}"),
    }
}

/// Whether a literal that is not an input object fits `ty`; items of a list are looked at one by one.
pub fn check_literal(schema: &Schema, ty: &Type, value: &Node<ast::Value>) -> Result<(), Misfit> {
    match &**value {
        ast::Value::Variable(_) => Ok(()),
        ast::Value::Null if ty.is_non_null() => Err(Misfit::Type),
        ast::Value::Null => Ok(()),
        ast::Value::List(items) if ty.is_list() => items
            .iter()
            .try_for_each(|item| check_literal(schema, ty.item_type(), item)),
        ast::Value::List(_) => Err(Misfit::Type),
        _ if ty.is_list() => check_literal(schema, ty.item_type(), value),
        leaf => {
            let name = ty.inner_named_type();
            match (schema.types.get(name), leaf) {
                (Some(ExtendedType::InputObject(_)), ast::Value::Object(_)) => Ok(()),
                (Some(ExtendedType::InputObject(_)), _) => Err(Misfit::Type),
                (Some(ExtendedType::Enum(_)), ast::Value::Enum(_)) => {
                    check_leaf(schema, name, &literal(leaf))
                }
                // A quoted word is no enum value, and a bare one is no string.
                (Some(ExtendedType::Enum(_)), _) | (_, ast::Value::Enum(_)) => Err(Misfit::Type),
                _ => check_leaf(schema, name, &literal(leaf)),
            }
        }
    }
}
