//! Keeps secrets out of traces and errors.

use std::cmp::Reverse;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What stands where a secret was.
const MASK: &str = "[secret]";

/// Whether what is stored under `key` may be secret. A flag whose name holds `token` is not masked all the same.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    key == "value"
        || [
            "fingerprint_key",
            "token",
            "password",
            "secret",
            "private_key",
            "privatekey",
            "credential",
            "authorization",
        ]
        .iter()
        .any(|word| key.contains(word))
}

/// `value` with everything masked that may be secret: below a telling key, or a login in a URL.
pub(super) fn masked(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match value {
                Value::String(_) | Value::Number(_) | Value::Array(_) if is_secret(key) => {
                    (key.clone(), MASK.into())
                }
                value => (key.clone(), masked(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::String(text) if has_login(text) => MASK.into(),
        value => value.clone(),
    }
}

/// `reply` without `token` and without the secrets in what was `sent`, for it may repeat either.
pub(super) fn scrubbed(reply: &Value, token: Option<&str>, sent: Option<&Value>) -> Value {
    let mut secrets: Vec<_> = token.map(str::to_owned).into_iter().collect();
    if let Some(sent) = sent {
        collect(sent, false, &mut secrets);
    }
    // A reply that quotes JSON quotes them escaped.
    for secret in secrets.clone() {
        let escaped = Value::from(secret).to_string();
        secrets.push(escaped.trim_matches('"').to_owned());
    }
    // The longest first: one may be part of another.
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    hide(reply, &secrets)
}

fn hide(value: &Value, secrets: &[String]) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), hide(value, secrets)))
            .collect(),
        Value::Array(items) => items.iter().map(|item| hide(item, secrets)).collect(),
        Value::String(text) => secrets
            .iter()
            .fold(text.clone(), |text, secret| text.replace(secret.as_str(), MASK))
            .into(),
        value => value.clone(),
    }
}

fn collect(value: &Value, secret: bool, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                collect(value, secret || is_secret(key), into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secret, into)),
        // Shorter ones would blot out words that only happen to contain them.
        Value::String(text) if (secret && text.len() >= 4) || has_login(text) => into.push(text.clone()),
        _ => {}
    }
}

/// What secrets look like in a text that nobody knows the parts of: GitLab's tokens by their prefix, tokens in queries and headers,
/// logins in URLs.
///
/// Source: <https://docs.gitlab.com/security/tokens/#token-prefixes>.
static TELLING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
        \bgl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|ffct|wt)-[0-9A-Za-z_.-]{16,}
        | (?<before>(?i:private[-_]token|job[-_]token|access_token|runner_token|authenticity_token)[=:]\s*)[^\s&,;\x22]+
        | (?<scheme>://)[^\s/@\x22]+:[^\s/@\x22]+@",
    )
    .expect("it is well-formed")
});

/// `text` with everything masked that looks like a secret. One that looks like nothing in particular stays.
pub fn text(text: &str) -> std::borrow::Cow<'_, str> {
    TELLING.replace_all(text, |found: &regex::Captures<'_>| {
        let kept = found.name("before").map_or("", |before| before.as_str());
        match found.name("scheme") {
            Some(scheme) => format!("{}{MASK}@", scheme.as_str()),
            None => format!("{kept}{MASK}"),
        }
    })
}

/// Whether `text` is a URL with a user or password in it.
fn has_login(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| {
        rest.split('/')
            .next()
            .is_some_and(|authority| authority.contains('@'))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked_and_flags_are_not() {
        let body = json!({
            "name": "api", "runners_token": "t", "ci_job_token_scope_enabled": true,
            "import_url": "https://user:pw@example.org/x", "web_url": "https://example.org/@x",
            "variables": [{"key": "K", "value": "v"}], "password": 7, "custom": {"private_key": ["k"]},
        });
        assert_eq!(
            masked(&body),
            json!({
                "name": "api", "runners_token": MASK, "ci_job_token_scope_enabled": true,
                "import_url": MASK, "web_url": "https://example.org/@x",
                "variables": [{"key": "K", "value": MASK}], "password": MASK, "custom": {"private_key": MASK},
            })
        );
    }

    #[test]
    fn secrets_are_masked_in_a_text_by_their_look() {
        for (line, expected) in [
            (
                "took glpat-abcdefghij0123456789.01.0w12 of root",
                "took [secret] of root",
            ),
            (
                "GET /api/v4/user?private_token=hunter22&page=1",
                "GET /api/v4/user?private_token=[secret]&page=1",
            ),
            ("PRIVATE-TOKEN: hunter22, next", "PRIVATE-TOKEN: [secret], next"),
            (
                "clone https://ada:hunter22@example.org/x",
                "clone https://[secret]@example.org/x",
            ),
            (
                r#"{"url":"http://u:p@h/","n":1}"#,
                r#"{"url":"http://[secret]@h/","n":1}"#,
            ),
        ] {
            assert_eq!(text(line), expected);
        }
        for line in [
            "gitlab-rails runner",
            "a token: none",
            "https://example.org/@ada:x",
            "glpat-short",
        ] {
            assert_eq!(text(line), line);
        }
    }

    #[test]
    fn what_was_sent_is_scrubbed_from_what_comes_back() {
        let sent = json!({ "value": "two\nlines", "nested": { "token": { "raw": "two\nlines-more" } }, "name": "x" });
        let reply =
            json!({ "message": ["glpat-x: two\nlines", "{\"value\":\"two\\nlines-more\"} is not x"] });
        assert_eq!(
            scrubbed(&reply, Some("glpat-x"), Some(&sent)),
            json!({ "message": ["[secret]: [secret]", "{\"value\":\"[secret]\"} is not x"] })
        );
    }
}
