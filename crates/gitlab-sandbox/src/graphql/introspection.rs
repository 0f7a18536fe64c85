//! Introspection. GitLab answers every query that asks for it with the whole schema, from a file made beforehand.

use std::sync::LazyLock;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::introspection::partial_execute;
use apollo_compiler::response::JsonMap;
use apollo_compiler::validation::Valid;
use serde_json::Value;

use super::{Request, schema};
use crate::Edition;

const QUERY: &str = include_str!("introspection.graphql");
const OPERATION: &str = "IntrospectionQuery";

/// Whether GitLab takes the request for introspection: by the name it gives, or else by its text.
pub fn asked(request: &Request) -> bool {
    match &request.operation_name {
        Some(name) => name.as_str() == Some(OPERATION),
        None => {
            let query = &request.query;
            query.contains("__schema")
                || (query.contains("__type") && !query.contains("__typename"))
                || query.contains(&format!("query {OPERATION}"))
        }
    }
}

/// The schema of `edition`, as the standard introspection query shows it.
pub fn answer(edition: Edition) -> &'static Value {
    static CE: LazyLock<Value> = LazyLock::new(|| describe(Edition::Ce));
    static EE: LazyLock<Value> = LazyLock::new(|| describe(Edition::Ee));
    match edition {
        Edition::Ce => &CE,
        Edition::Ee => &EE,
    }
}

fn describe(edition: Edition) -> Value {
    let schema = &schema::of(edition).schema;
    let document = ExecutableDocument::parse_and_validate(schema, QUERY, "introspection.graphql")
        .expect("the introspection query is valid");
    let operation = document.operations.get(None).expect("it has one operation");
    let variables = Valid::assume_valid(JsonMap::new());
    let response = partial_execute(
        schema,
        &schema.implementers_map(),
        &document,
        operation,
        &variables,
    )
    .expect("introspection needs no resolvers");
    serde_json::to_value(response).expect("a response is JSON")
}
