//! Errors as GitLab's GraphQL endpoint writes them.

use apollo_compiler::parser::{LineColumn, SourceMap, SourceSpan};
use serde::Serialize;
use serde_json::{Map, Value};

/// One entry of a response's `errors`.
#[derive(Debug, Serialize)]
pub struct QueryError {
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<LineColumn>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

impl QueryError {
    /// An error about the request as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            locations: Vec::new(),
            path: Vec::new(),
            extensions: Map::new(),
        }
    }

    /// Says where in the query text the error is.
    pub fn at(mut self, span: Option<SourceSpan>, sources: &SourceMap) -> Self {
        self.locations
            .extend(span.and_then(|span| span.line_column(sources)));
        self
    }

    /// Adds GitLab's machine-readable part: a code and what it is about.
    pub fn with(mut self, entries: &[(&str, &str)]) -> Self {
        for (key, value) in entries {
            self.extensions.insert((*key).to_owned(), Value::from(*value));
        }
        self
    }
}
