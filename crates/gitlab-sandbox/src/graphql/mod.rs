//! GraphQL at `/api/graphql`: requests in, GitLab's answers and errors out.

mod branch_rules;
mod connection;
mod cost;
mod error;
mod groups;
mod introspection;
mod levels;
mod members;
mod mutations;
mod object;
mod projects;
mod query;
mod scalars;
mod schema;
mod terraform;
#[cfg(test)]
mod tests;
mod users;
mod validate;
mod variables;

use apollo_compiler::ast::{Document, OperationType};
use apollo_compiler::executable::Operation;
use apollo_compiler::parser::Parser;
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::resolvers::Execution;
use apollo_compiler::response::JsonMap;
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{ExecutableDocument, Schema};
use axum::{
    Json,
    body::Bytes,
    extract::{Extension, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use self::cost::{Limits, Meter};
use self::error::QueryError;
use crate::{
    app::App,
    auth::Identity,
    entities::View,
    params::Params,
    store::{Store, User},
};

/// What GitLab says of everything that is not there, or not for this user.
const RESOURCE_NOT_AVAILABLE: &str = "The resource that you are attempting to access does not exist or you don't have permission to perform this action";
/// GitLab's `MAX_QUERY_SIZE`, in characters.
const MAX_QUERY_SIZE: usize = 10_000;

/// One query of a request.
pub struct Request {
    query: String,
    variables: Value,
    /// As sent; `None` where the request has no such member.
    operation_name: Option<Value>,
}

/// Answers `POST /api/graphql`.
pub async fn execute(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let may_read = identity.has_scope("api") || identity.has_scope("read_api");
    if identity.token.is_some() && !may_read {
        return refuse(StatusCode::UNAUTHORIZED);
    }
    let (requests, many) = match requests(parameters.as_deref(), &headers, &body) {
        Ok(requests) => requests,
        Err(message) => return refusal(StatusCode::UNPROCESSABLE_ENTITY, &message),
    };
    if requests
        .iter()
        .map(|request| request.query.chars().count())
        .sum::<usize>()
        > MAX_QUERY_SIZE
    {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "Query too large");
    }
    // Resolvers read repositories and hold the store: neither is for the threads that serve everybody.
    let answers = tokio::task::spawn_blocking(move || {
        let answer = |request: &Request| answer(&app, &identity, request);
        requests.iter().map(answer).collect::<Vec<_>>()
    });
    match answers.await {
        Ok(answers) if many => Json(answers).into_response(),
        Ok(mut answers) => Json(answers.pop()).into_response(),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
    }
}

/// Refuses a request before its query is looked at: 403 for a user who may not use the API, or 401 for a bad token.
pub fn refuse(status: StatusCode) -> Response {
    match status {
        StatusCode::FORBIDDEN => refusal(status, "API not accessible for user"),
        _ => refusal(StatusCode::UNAUTHORIZED, "Invalid token"),
    }
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "errors": [{ "message": message }] }))).into_response()
}

/// The queries of a request, and whether they came as a list.
fn requests(
    parameters: Option<&str>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(Vec<Request>, bool), String> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let mut params = Params::default();
    params.add_urlencoded(parameters.unwrap_or_default());
    if content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        params.add_urlencoded(&String::from_utf8_lossy(body));
    } else if !body.is_empty() {
        match serde_json::from_slice(body).map_err(|error| error.to_string())? {
            Value::Object(object) => params.add_object(object),
            Value::Array(items) => {
                let request = |item: &Value| Request::parse(item.as_object().unwrap_or(&Map::new()));
                return Ok((items.iter().map(request).collect::<Result<_, _>>()?, true));
            }
            other => return Err(format!("Unexpected parameter: {other}")),
        }
    }
    let members = params
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Ok((vec![Request::parse(&members)?], false))
}

impl Request {
    fn parse(members: &Map<String, Value>) -> Result<Self, String> {
        let variables = match members.get("variables") {
            None | Some(Value::Null) => json!({}),
            Some(Value::String(text)) if text.is_empty() => json!({}),
            Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| error.to_string())?,
            Some(value) => value.clone(),
        };
        if !variables.is_object() {
            return Err(format!("Unexpected parameter: {variables}"));
        }
        Ok(Self {
            query: members
                .get("query")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            variables,
            operation_name: members.get("operationName").cloned(),
        })
    }
}

fn answer(app: &App, identity: &Identity, request: &Request) -> Value {
    let edition = app.options().edition;
    if introspection::asked(request) {
        return introspection::answer(edition).clone();
    }
    let priced = schema::of(edition);
    let run = || {
        let document = parse(&priced.schema, &request.query)?;
        let name = request
            .operation_name
            .as_ref()
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty());
        let operation = operation(&document, name)?;
        let variables = variables(&priced.schema, &document, operation, &request.variables)?;
        let meter = Meter {
            priced,
            document: &document,
            variables: &variables,
        };
        let run = Run {
            app,
            identity,
            document: &document,
            operation,
            meter,
        };
        run.execute(&variables)
    };
    run().unwrap_or_else(|errors: Vec<QueryError>| json!({ "errors": errors }))
}

/// An operation that is valid, with what it needs to run.
struct Run<'a> {
    app: &'a App,
    identity: &'a Identity,
    document: &'a Valid<ExecutableDocument>,
    operation: &'a Operation,
    meter: Meter<'a>,
}

impl Run<'_> {
    fn execute(&self, variables: &Valid<JsonMap>) -> Result<Value, Vec<QueryError>> {
        let on = self.operation.object_type();
        let selections = &self.operation.selection_set.selections;
        let limits = limits(self.user(&self.app.read()));
        let over = self.meter.check(on, selections, limits);
        if !over.is_empty() {
            return Err(over);
        }
        let execution = Execution::new(&self.meter.priced.schema, self.document)
            .operation(self.operation)
            .coerced_variable_values(variables);
        let response = match self.operation.operation_type {
            OperationType::Mutation => {
                let writer = Some(self.identity).filter(|identity| identity.has_scope("api"));
                execution.execute_sync(&mutations::Mutation {
                    app: self.app,
                    writer,
                })
            }
            _ => {
                let store = self.app.read();
                let view = View {
                    app: self.app,
                    store: &store,
                    user: self.user(&store),
                };
                let score = self.meter.complexity(on, selections);
                execution.execute_sync(&query::Query {
                    view,
                    score,
                    limit: limits.complexity,
                })
            }
        };
        let mut response = response.map_err(|error| vec![QueryError::new(error.message().to_string())])?;
        for error in &mut response.errors {
            // The executor's own words, which GitLab's answers do not begin with.
            if let Some(message) = error.message.strip_prefix("resolver error: ") {
                error.message = message.to_owned();
            }
        }
        Ok(serde_json::to_value(response).unwrap_or_default())
    }

    fn user<'s>(&'s self, store: &'s Store) -> Option<&'s User> {
        self.identity.user_in(store)
    }
}

/// GitLab's limits on one query.
fn limits(user: Option<&User>) -> Limits {
    let complexity = match user {
        Some(user) if user.admin => 300,
        Some(_) => 250,
        None => 200,
    };
    let depth = if user.is_some() { 20 } else { 15 };
    Limits { complexity, depth }
}

fn parse(schema: &Valid<Schema>, query: &str) -> Result<Valid<ExecutableDocument>, Vec<QueryError>> {
    if query.trim().is_empty() {
        return Err(vec![QueryError::new("No query string was present")]);
    }
    // The first syntax error is the one that counts: what follows comes of it.
    let document: Document = Parser::new()
        .parse_ast(query, "query.graphql")
        .map_err(|invalid| compiler_errors(&invalid.errors, 1))?;
    let errors = validate::validate(schema, &document);
    if !errors.is_empty() {
        return Err(errors);
    }
    document
        .to_executable_validate(schema)
        .map_err(|invalid| compiler_errors(&invalid.errors, usize::MAX))
}

fn compiler_errors(errors: &DiagnosticList, most: usize) -> Vec<QueryError> {
    errors
        .iter()
        .take(most)
        .map(|error| {
            let error = error.to_json();
            QueryError {
                locations: error.locations,
                ..QueryError::new(error.message)
            }
        })
        .collect()
}

fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a Operation, Vec<QueryError>> {
    let found = document.operations.get(name).map(|operation| &**operation);
    found.map_err(|_| {
        vec![QueryError::new(match name {
            Some(name) => format!("No operation named \"{name}\""),
            None => "An operation name is required".to_owned(),
        })]
    })
}

fn variables(
    schema: &Valid<Schema>,
    document: &ExecutableDocument,
    operation: &Operation,
    given: &Value,
) -> Result<Valid<JsonMap>, Vec<QueryError>> {
    let mut errors = Vec::new();
    for variable in &operation.variables {
        let value = given.get(variable.name.as_str());
        if value.is_none() && (variable.default_value.is_some() || !variable.ty.is_non_null()) {
            continue;
        }
        let value = value.unwrap_or(&Value::Null);
        let problems = scalars::problems(schema, &variable.ty, value);
        if problems.is_empty() {
            continue;
        }
        let mut message = format!(
            "Variable ${} of type {} was provided invalid value",
            variable.name, variable.ty
        );
        let inner: Vec<_> = problems.iter().filter_map(scalars::Problem::describe).collect();
        if !inner.is_empty() {
            message = format!("{message} for {}", inner.join(", "));
        }
        let mut error = QueryError::new(message).at(variable.location(), &document.sources);
        error.extensions.insert("value".to_owned(), value.clone());
        error.extensions.insert(
            "problems".to_owned(),
            problems.iter().map(scalars::Problem::to_json).collect(),
        );
        errors.push(error);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let given = serde_json::from_value(given.clone()).unwrap_or_default();
    coerce_variable_values(schema, operation, &given)
        .map_err(|error| vec![QueryError::new(error.message().to_string())])
}
