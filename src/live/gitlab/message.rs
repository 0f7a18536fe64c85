//! GitLab's error bodies, which come in half a dozen shapes, as one line.

use serde_json::Value;

/// How much of GitLab's words an error repeats, in characters.
const LONGEST: usize = 500;

/// What an error body says, on one line; empty when it says nothing.
pub(super) fn flatten(body: &Value) -> String {
    let parts: Vec<String> = ["message", "error", "error_description", "errors"]
        .iter()
        .filter_map(|key| body.get(*key))
        .map(words)
        .filter(|words| !words.is_empty())
        .collect();
    one_line(&parts.join(": "))
}

/// The scope that a token lacks, where that is what `body` says. GitLab lists every scope that would do for any call
/// of a kind; these are the ones that do for all of AutoGit's.
pub(super) fn missing_scope(body: &Value, writes: bool) -> Option<&'static str> {
    let scope = if writes { "`api`" } else { "`read_api` or `api`" };
    (body["error"] == "insufficient_scope").then_some(scope)
}

/// The words in a message of any shape, GraphQL's `errors` among them.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match fields.get("message") {
            Some(message) => words(message),
            None => fields
                .iter()
                .map(|(field, value)| about(field, value))
                .collect::<Vec<_>>()
                .join("; "),
        },
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// `{"path": ["is taken"]}` is about the path; `base` and `error` are about nothing in particular.
fn about(field: &str, value: &Value) -> String {
    match field {
        "base" | "error" => words(value),
        _ => format!("{field} {}", words(value)),
    }
}

/// `text` on one line, cut where it is long.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_of_error_becomes_one_line() {
        for (body, line) in [
            (r#"{"message":"404 Project Not Found"}"#, "404 Project Not Found"),
            (
                r#"{"error":"name is missing, path is missing"}"#,
                "name is missing, path is missing",
            ),
            (
                r#"{"message":{"path":["has already been taken","is reserved"]}}"#,
                "path has already been taken, is reserved",
            ),
            (
                r#"{"message":{"base":["no"],"name":["too short"]}}"#,
                "no; name too short",
            ),
            (
                r#"{"message":["Name is invalid","Level is invalid"]}"#,
                "Name is invalid, Level is invalid",
            ),
            (
                r#"{"message":{"error":"too many requests"}}"#,
                "too many requests",
            ),
            (
                r#"{"error":"insufficient_scope","error_description":"higher privileges","scope":"api"}"#,
                "insufficient_scope: higher privileges",
            ),
            (
                r#"{"errors":[{"message":"Field 'x'"},{"message":"Field 'y'"}]}"#,
                "Field 'x', Field 'y'",
            ),
            ("{\"message\":\"two\\n  lines\"}", "two lines"),
            (r#"{"message":null,"error":"404 Not Found"}"#, "404 Not Found"),
            ("[]", ""),
            ("null", ""),
        ] {
            assert_eq!(flatten(&body.parse().unwrap()), line, "{body}");
        }
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let body = json!({ "message": "é".repeat(600) });
        assert_eq!(flatten(&body).chars().count(), LONGEST + 1);
    }

    #[test]
    fn missing_scopes_are_named() {
        let body = json!({ "error": "insufficient_scope", "scope": "ai_workflows api read_api" });
        assert_eq!(missing_scope(&body, true), Some("`api`"));
        assert_eq!(missing_scope(&body, false), Some("`read_api` or `api`"));
        assert_eq!(missing_scope(&json!({ "message": "403 Forbidden" }), true), None);
    }
}
