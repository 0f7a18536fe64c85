//! Settings of projects, groups and the instance, as tables: one row says how a setting is parsed, stored and shown.

mod group;
mod instance;
mod project;

use serde_json::{Map, Value, json};

use crate::{
    error::{ApiError, ApiResult},
    params::{Params, coerce_boolean, coerce_integer, coerce_string, invalid, invalid_value},
};

pub use self::{
    group::GROUP,
    instance::{INSTANCE, INSTANCE_EE},
    project::{PROJECT, PROJECT_EE},
};

/// The type of a setting, and which values it takes.
#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    Boolean,
    Integer,
    OneOf(&'static [&'static str]),
    /// One of these numbers.
    Level(&'static [i64]),
    Texts,
    /// An object with members of these types; others are dropped.
    Object(&'static [(&'static str, Kind)]),
    /// A list of objects, each with one of these levels under `access_level`.
    AccessLevels(&'static [i64]),
}

/// What a setting is until someone sets it.
#[derive(Clone, Copy)]
pub enum Initial {
    Null,
    Bool(bool),
    Int(i64),
    Text(&'static str),
    /// As JSON text.
    Json(&'static str),
}

/// Which requests may carry a setting; elsewhere it is undeclared, so ignored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum At {
    Create,
    Update,
    Both,
}

/// Who sees a setting in answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Always,
    /// Only those who may administer the project or group.
    Admin,
    /// Stored, and shown by code of its own or not at all.
    Elsewhere,
}

/// One row of a settings table.
pub struct Setting {
    pub name: &'static str,
    pub kind: Kind,
    pub at: At,
    pub initial: Initial,
    pub shown: Shown,
}

impl Setting {
    /// A setting that creates and updates take and that is always shown.
    const fn new(name: &'static str, kind: Kind, initial: Initial) -> Self {
        Self {
            name,
            kind,
            at: At::Both,
            initial,
            shown: Shown::Always,
        }
    }

    const fn at(mut self, at: At) -> Self {
        self.at = at;
        self
    }

    const fn shown(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    /// The value in `values`, or the default.
    pub fn value(&self, values: &Map<String, Value>) -> Value {
        values.get(self.name).cloned().unwrap_or_else(|| self.default())
    }

    fn default(&self) -> Value {
        match self.initial {
            Initial::Null => Value::Null,
            Initial::Bool(value) => json!(value),
            Initial::Int(value) => json!(value),
            Initial::Text(value) => json!(value),
            Initial::Json(text) => serde_json::from_str(text).expect("defaults in the tables are JSON"),
        }
    }
}

/// The value of one setting of a table, or its default; null for a name the table lacks.
pub fn value(table: &[Setting], values: &Map<String, Value>, name: &str) -> Value {
    table
        .iter()
        .find(|setting| setting.name == name)
        .map_or(Value::Null, |setting| setting.value(values))
}

/// Takes the settings of `table` that `params` carries. All problems are reported at once, as Grape does.
pub fn parse(table: &[Setting], params: &Params, at: At) -> ApiResult<Map<String, Value>> {
    let mut values = Map::new();
    let mut problems = Vec::new();
    for setting in table
        .iter()
        .filter(|setting| setting.at == At::Both || setting.at == at)
    {
        if !params.has(setting.name) {
            continue;
        }
        let raw = params.get(setting.name).unwrap_or(&Value::Null);
        match coerce(setting.name, setting.kind, raw) {
            Ok(value) => {
                values.insert(setting.name.to_owned(), value);
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    if problems.is_empty() {
        return Ok(values);
    }
    Err(ApiError::parameter(problems.join(", ")))
}

fn coerce(name: &str, kind: Kind, raw: &Value) -> ApiResult<Value> {
    if raw.is_null() {
        return Ok(Value::Null);
    }
    Ok(match kind {
        Kind::Text => json!(coerce_string(name, raw)?),
        Kind::Boolean => json!(coerce_boolean(name, raw)?),
        Kind::Integer => json!(coerce_integer(name, raw)?),
        Kind::OneOf(words) => match coerce_string(name, raw)? {
            Some(text) if !words.contains(&text.as_str()) => return Err(invalid_value(name)),
            text => json!(text),
        },
        Kind::Level(levels) => match coerce_integer(name, raw)? {
            Some(level) if !levels.contains(&level) => return Err(invalid_value(name)),
            level => json!(level),
        },
        Kind::Texts => {
            let mut params = Params::default();
            params.set(name, raw.clone());
            json!(params.strings(name)?.unwrap_or_default())
        }
        Kind::Object(members) => {
            let object = raw.as_object().ok_or_else(|| invalid(name))?;
            let mut values = Map::new();
            for (member, kind) in members {
                if let Some(raw) = object.get(*member) {
                    values.insert(
                        (*member).to_owned(),
                        coerce(&format!("{name}[{member}]"), *kind, raw)?,
                    );
                }
            }
            Value::Object(values)
        }
        Kind::AccessLevels(levels) => {
            let items = raw.as_array().ok_or_else(|| invalid(name))?;
            let level = |item: &Value| {
                let name = format!("{name}[access_level]");
                match item.get("access_level") {
                    Some(raw) => coerce(&name, Kind::Level(levels), raw),
                    None => Err(ApiError::parameter(format!("{name} is missing"))),
                }
            };
            let items = items
                .iter()
                .map(|item| Ok(json!({ "access_level": level(item)? })));
            Value::Array(items.collect::<ApiResult<_>>()?)
        }
    })
}

/// How a default branch is protected: what `default_branch_protection_defaults` holds.
const PROTECTION_DEFAULTS: Kind = Kind::Object(&[
    ("allowed_to_push", Kind::AccessLevels(&PROTECTION_LEVELS)),
    ("allowed_to_merge", Kind::AccessLevels(&PROTECTION_LEVELS)),
    ("allow_force_push", Kind::Boolean),
    ("code_owner_approval_required", Kind::Boolean),
    ("developer_can_initial_push", Kind::Boolean),
]);

/// Roles that a protected branch knows: no one, developers, maintainers, admins.
pub const PROTECTION_LEVELS: [i64; 4] = [30, 40, 60, 0];

/// What the older `default_branch_protection` numbers stand for.
pub fn protection_of_level(level: i64) -> Value {
    let (push, merge, force, initial) = match level {
        0 => (30, 30, true, false),
        1 => (30, 40, false, false),
        3 => (40, 30, false, false),
        4 => (40, 40, false, true),
        _ => (40, 40, false, false),
    };
    json!({
        "allowed_to_push": [{ "access_level": push }],
        "allowed_to_merge": [{ "access_level": merge }],
        "allow_force_push": force,
        "developer_can_initial_push": initial,
    })
}

/// Words for visibilities.
pub const VISIBILITIES: &[&str] = &["private", "internal", "public"];
