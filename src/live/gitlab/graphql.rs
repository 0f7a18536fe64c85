//! GraphQL: what an answer holds, why a document was refused, and connections page by page.

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::Inner;
use super::request::{Call, Repeat, misfit};
use super::{Error, GraphQlRefusal, Kind, message};

/// One page of a GraphQL connection: ask for `nodes` and `pageInfo { hasNextPage endCursor }`.
///
/// An inner connection that has more is followed by [`super::Reader::query_pages`], from its cursor.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection<T> {
    /// What is on this page.
    pub nodes: Vec<T>,
    /// Whether there is more.
    pub page_info: PageInfo,
}

/// Where a GraphQL connection goes on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageInfo {
    /// Whether this page is not the last.
    pub has_next_page: bool,
    /// What to send as `after` for the next one.
    pub end_cursor: Option<String>,
}

/// What GitLab answers to any document.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Value,
    #[serde(default)]
    errors: Vec<Value>,
}

impl Inner {
    /// The `data` of a query.
    pub(super) async fn query(&self, document: &str, variables: &Value) -> Result<Value, Error> {
        if writes(document) {
            return Err(Error::new(
                Kind::Usage,
                "query",
                "the document is not a query: a reader cannot write",
            ));
        }
        let subject = format!("query {}", operation(document));
        self.execute(document, variables, subject, Repeat::Safe).await
    }

    /// The `data` of a document that GitLab carried out without `errors`.
    pub(super) async fn execute(
        &self,
        document: &str,
        variables: &Value,
        subject: String,
        repeat: Repeat,
    ) -> Result<Value, Error> {
        let body = json!({ "query": document, "variables": variables });
        let call = Call {
            method: Method::POST,
            url: self.graphql_url(),
            subject,
            body: Some(&body),
            writes: repeat == Repeat::Never,
            repeat,
            also: &[],
        };
        let reply = self.call(&call).await.map_err(|error| match error.status() {
            _ if error.detail().contains("less complex query") => {
                error.kind_is(Kind::GraphQl(GraphQlRefusal::TooComplex))
            }
            // Switched off, or not let through by a proxy.
            Some(404 | 405) => error.kind_is(Kind::GraphQl(GraphQlRefusal::Unsupported)),
            _ => error,
        })?;
        let doubtful = |error: Error, doubt: bool| error.ambiguous_is(call.writes && doubt);
        // A good status and no answer: whatever spoke for GitLab, it may have passed the mutation on.
        let answer: Answer = reply
            .decode(&call.subject)
            .map_err(|error| doubtful(error, true))?;
        if !answer.errors.is_empty() {
            let refusal = refusal(&answer.errors);
            let said = self.said(&answer.errors.into(), &body);
            let error = Error::new(Kind::GraphQl(refusal), &call.subject, said);
            return Err(doubtful(error, leaves_doubt(&answer.data, refusal)));
        }
        if answer.data.is_null() {
            let error = Error::new(
                Kind::Decode,
                &call.subject,
                "the reply holds neither data nor errors",
            );
            return Err(doubtful(error, true));
        }
        Ok(answer.data)
    }

    /// GitLab's words on one line, without secrets that it repeats.
    pub(super) fn said(&self, errors: &Value, body: &Value) -> String {
        message::one_line(&message::words(&self.without_secrets(errors, Some(body))))
    }

    /// All nodes of the connection at `pointer`, from the cursor `after` in `variables` on.
    pub(super) async fn query_pages<T: DeserializeOwned>(
        &self,
        document: &str,
        mut variables: Value,
        pointer: &str,
    ) -> Result<Vec<T>, Error> {
        let wrong = |kind, why: &str| Error::new(kind, format!("query {}", operation(document)), why);
        let mut nodes = Vec::new();
        loop {
            let mut data = self.query(document, &variables).await?;
            let connection = match data.pointer_mut(pointer).map(Value::take) {
                None | Some(Value::Null) => {
                    return Err(wrong(
                        Kind::NotFound,
                        &format!("nothing is at `{pointer}` in the answer"),
                    ));
                }
                Some(connection) => connection,
            };
            let page: Connection<T> = decode(connection, &format!("query {}", operation(document)))?;
            nodes.extend(page.nodes);
            if !page.page_info.has_next_page {
                return Ok(nodes);
            }
            let cursor = page.page_info.end_cursor.map_or(Value::Null, Value::String);
            if cursor.is_null() || cursor == variables["after"] {
                return Err(wrong(
                    Kind::Partial,
                    "GitLab says that there is more, and not where",
                ));
            }
            variables["after"] = cursor;
        }
    }
}

/// Whether a mutation that was answered with errors may have changed something: without data it was not even begun.
fn leaves_doubt(data: &Value, refusal: GraphQlRefusal) -> bool {
    data.as_object().is_some_and(|data| {
        refusal == GraphQlRefusal::Other || data.values().any(|payload| !payload.is_null())
    })
}

/// `data` as `T`.
pub(super) fn decode<T: DeserializeOwned>(data: Value, subject: &str) -> Result<T, Error> {
    serde_path_to_error::deserialize(data).map_err(|error| {
        Error::new(
            Kind::Decode,
            subject,
            misfit(&error.path().to_string(), &error.inner().to_string()),
        )
    })
}

/// What the payloads of a mutation complain about; `None` when it was carried out.
pub(super) fn complaints(data: &Value) -> Option<&Value> {
    data.as_object()?
        .values()
        .map(|payload| &payload["errors"])
        .find(|errors| errors.as_array().is_some_and(|errors| !errors.is_empty()))
}

/// Whether `document` may hold anything but queries. It errs on the side of yes: no field that we read is
/// called so.
pub(super) fn writes(document: &str) -> bool {
    names(document).any(|name| matches!(name, "mutation" | "subscription"))
}

/// What a document is called: the name of its operation.
pub(super) fn operation(document: &str) -> &str {
    names(document)
        .skip_while(|name| !matches!(*name, "query" | "mutation"))
        .nth(1)
        .unwrap_or("(unnamed)")
}

fn names(document: &str) -> impl Iterator<Item = &str> {
    document
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|name| !name.is_empty())
}

/// Why GitLab refused, by its code where it gives one, else by its words. The weightiest error decides.
fn refusal(errors: &[Value]) -> GraphQlRefusal {
    let reasons: Vec<_> = errors.iter().map(reason).collect();
    [
        GraphQlRefusal::Unsupported,
        GraphQlRefusal::TooComplex,
        GraphQlRefusal::Denied,
    ]
    .into_iter()
    .find(|reason| reasons.contains(reason))
    .unwrap_or(GraphQlRefusal::Other)
}

fn reason(error: &Value) -> GraphQlRefusal {
    let said = error["message"].as_str().unwrap_or_default();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    match error["extensions"]["code"].as_str() {
        Some("undefinedField" | "argumentNotAccepted" | "undefinedType" | "undefinedDirective") => {
            GraphQlRefusal::Unsupported
        }
        _ if says(&[
            "doesn't exist on type",
            "doesn't accept argument",
            "isn't a defined input type",
            "No such type",
            "is not defined on",
        ]) =>
        {
            GraphQlRefusal::Unsupported
        }
        _ if says(&[
            "exceeds max complexity",
            "exceeds max depth",
            "Query too large",
            "less complex query",
            "Timeout on",
        ]) =>
        {
            GraphQlRefusal::TooComplex
        }
        _ if says(&["don't have permission", "insufficient_scope"]) => GraphQlRefusal::Denied,
        _ => GraphQlRefusal::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_may_write_are_told_from_queries() {
        assert!(!writes(
            "query repos($after: String) { projects(after: $after) { nodes { mutations } } }"
        ));
        assert!(writes("mutation m { x { errors } }"));
        assert!(writes("query a { b }\nmutation{x{errors}}"));
        assert!(writes("subscription s { x }"));
    }

    #[test]
    fn operations_are_named() {
        assert_eq!(
            operation("query repos($a: ID!) { project(fullPath: $a) { id } }"),
            "repos"
        );
        assert_eq!(
            operation("mutation branchRuleUpdate { x { errors } }"),
            "branchRuleUpdate"
        );
        assert_eq!(operation("{ a }"), "(unnamed)");
    }

    #[test]
    fn refusals_are_told_apart() {
        let because = |error: Value| refusal(&[error]);
        assert_eq!(
            because(json!({ "message": "x", "extensions": { "code": "undefinedField" } })),
            GraphQlRefusal::Unsupported
        );
        assert_eq!(
            because(json!({ "message": "Query has complexity of 400, which exceeds max complexity of 250" })),
            GraphQlRefusal::TooComplex
        );
        assert_eq!(
            because(json!({ "message": "it does not exist or you don't have permission to see it" })),
            GraphQlRefusal::Denied
        );
        assert_eq!(
            because(json!({ "message": "Internal server error" })),
            GraphQlRefusal::Other
        );
    }
}
