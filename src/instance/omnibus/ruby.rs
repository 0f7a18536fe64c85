//! Values as Ruby writes them.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::super::place::MOUNT;

/// A value in `gitlab.rb`.
#[derive(Clone, Debug, PartialEq)]
pub enum Ruby {
    /// `nil`.
    Nil,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Ruby>),
    /// A hash with text for keys.
    Map(BTreeMap<String, Ruby>),
    /// What is in the secret file of this name.
    Secret(String),
}

impl Ruby {
    /// The value as plans show it and as it is compared. A secret is shown by the name of its file.
    pub fn to_json(&self) -> Value {
        match self {
            Ruby::Nil => Value::Null,
            Ruby::Bool(value) => (*value).into(),
            Ruby::Integer(value) => (*value).into(),
            Ruby::Float(value) => (*value).into(),
            Ruby::Text(text) => text.as_str().into(),
            Ruby::List(items) => items.iter().map(Ruby::to_json).collect(),
            Ruby::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| (key.clone(), value.to_json()));
                Value::Object(entries.collect())
            }
            Ruby::Secret(name) => json!({"secret": name}),
        }
    }
}

impl From<bool> for Ruby {
    fn from(value: bool) -> Self {
        Ruby::Bool(value)
    }
}

impl From<i64> for Ruby {
    fn from(value: i64) -> Self {
        Ruby::Integer(value)
    }
}

impl From<&str> for Ruby {
    fn from(text: &str) -> Self {
        Ruby::Text(text.to_owned())
    }
}

impl From<String> for Ruby {
    fn from(text: String) -> Self {
        Ruby::Text(text)
    }
}

impl<T: Into<Ruby>> FromIterator<T> for Ruby {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Ruby::List(items.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Ruby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ruby::Nil => f.write_str("nil"),
            Ruby::Bool(value) => write!(f, "{value}"),
            Ruby::Integer(value) => write!(f, "{value}"),
            Ruby::Float(value) => write!(f, "{value:?}"),
            Ruby::Text(text) => quoted(f, text),
            Ruby::List(items) => {
                f.write_str("[")?;
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
            Ruby::Map(entries) => {
                f.write_str("{")?;
                for (number, (key, value)) in entries.iter().enumerate() {
                    f.write_str(if number > 0 { ", " } else { " " })?;
                    quoted(f, key)?;
                    write!(f, " => {value}")?;
                }
                f.write_str(if entries.is_empty() { "}" } else { " }" })
            }
            Ruby::Secret(name) => write!(f, "File.read('{MOUNT}/secrets/{name}')"),
        }
    }
}

/// Text in single quotes, in which Ruby knows only two escapes; in double quotes where it holds what does not survive in a file of
/// Ruby: it takes the end of a line of Windows for one of Unix.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if !text.contains(char::is_control) {
        return write!(f, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    }
    f.write_char('"')?;
    for char in text.chars() {
        match char {
            '\n' => f.write_str("\\n")?,
            '"' | '\\' | '#' => write!(f, "\\{char}")?,
            char if char.is_control() => write!(f, "\\u{{{:x}}}", char as u32)?,
            char => f.write_char(char)?,
        }
    }
    f.write_char('"')
}
