//! A YAML document as a tree in which everything knows where it is written.

use std::sync::Arc;

use serde_json::{Map, Number, Value};

/// Which of the config's files.
pub(super) type FileId = u32;

/// Where something is written: from its first character to after its last, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    pub file: FileId,
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
}

impl Span {
    /// A place without extent.
    pub fn point(file: FileId, line: usize, column: usize) -> Self {
        let (line, column) = (line as u32, column as u32);
        Span {
            file,
            line,
            column,
            end_line: line,
            end_column: column,
        }
    }

    pub fn is_empty(&self) -> bool {
        (self.line, self.column) == (self.end_line, self.end_column)
    }

    /// Whether any of it is on `line`.
    pub fn touches(&self, line: usize) -> bool {
        (self.line as usize..=self.end_line as usize).contains(&line)
    }

    /// Whether the character at `line` and `column` is part of it.
    pub fn covers(&self, line: usize, column: usize) -> bool {
        let at = (line, column);
        (self.line as usize, self.column as usize) <= at
            && at < (self.end_line as usize, self.end_column as usize)
    }
}

/// A value and where it is written. Cheap to clone: what is inside is shared.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub span: Span,
    pub data: Data,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(Arc<str>),
    Seq(Arc<Vec<Node>>),
    Map(Arc<Vec<Entry>>),
}

/// A key and its value. Keys are unique within a map.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: Arc<str>,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// `key:` with nothing after it.
    pub fn is_bare(&self) -> bool {
        self.is_null() && self.span.is_empty()
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; nothing for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::Seq(items) => items,
            _ => &[],
        }
    }

    /// The entries of a map; nothing for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key == key)
    }

    /// What stands at a dotted path below this node, or the deepest node on the way there. A key may hold dots itself.
    pub fn deepest(&self, path: &str) -> &Node {
        let rest = |entry: &Entry| match path.strip_prefix(&*entry.key)? {
            "" => Some(""),
            rest => rest.strip_prefix('.'),
        };
        let under = self
            .entries()
            .iter()
            .filter_map(|entry| Some((rest(entry)?, entry)));
        match under.min_by_key(|(rest, _)| rest.len()) {
            Some(("", entry)) => &entry.value,
            Some((rest, entry)) => entry.value.deepest(rest),
            None => self,
        }
    }

    /// The value without positions; a null in a map is left out, as unset is unmanaged.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(value) => Value::Number(value.clone()),
            Data::Text(text) => Value::String(text.to_string()),
            Data::Seq(items) => items.iter().map(Node::to_json).collect(),
            Data::Map(entries) => Value::Object(to_object(entries)),
        }
    }
}

/// The entries as a JSON object, without nulls.
pub(super) fn to_object(entries: &[Entry]) -> Map<String, Value> {
    let entries = entries.iter().filter(|entry| !entry.value.is_null());
    entries
        .map(|entry| (entry.key.to_string(), entry.value.to_json()))
        .collect()
}
