//! A record of API exchanges, for tests that judge them: one line of JSON each, without secrets.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{LazyLock, Mutex},
};

use axum::http::HeaderMap;
use regex::Regex;
use serde_json::{Map, Value, json};

/// Names of members whose values are secrets.
const SECRETS: [&str; 8] = [
    "token",
    "private_token",
    "access_token",
    "job_token",
    "runners_token",
    "password",
    "authorization",
    // Of a CI/CD variable.
    "value",
];
/// Where a GraphQL query renames the only secret that GraphQL shows.
static ALIAS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\w+)\s*:\s*value\b").expect("valid"));
/// What is written in place of a secret.
const REDACTED: &str = "[REDACTED]";
/// Response headers worth keeping.
const HEADERS: [&str; 10] = [
    "content-type",
    "link",
    "location",
    "retry-after",
    "x-next-page",
    "x-page",
    "x-per-page",
    "x-prev-page",
    "x-total",
    "x-total-pages",
];

/// Where exchanges are written.
pub struct Recorder(Mutex<File>);

/// One request and its answer.
pub struct Exchange<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub request: &'a [u8],
    pub user: Option<u64>,
    pub status: u16,
    pub headers: &'a HeaderMap,
    pub response: &'a [u8],
}

impl Recorder {
    /// Appends to the file, which is made when missing.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self(Mutex::new(file)))
    }

    pub fn write(&self, exchange: &Exchange<'_>) -> io::Result<()> {
        let headers: Map<String, Value> = HEADERS
            .iter()
            .filter_map(|name| {
                Some((
                    (*name).to_owned(),
                    json!(redact_pairs(exchange.headers.get(*name)?.to_str().ok()?)),
                ))
            })
            .collect();
        let line = json!({
            "method": exchange.method,
            "path": exchange.path,
            "query": redact_pairs(exchange.query),
            "request": body(exchange.path, exchange.request, &[]),
            "user": exchange.user,
            "status": exchange.status,
            "headers": headers,
            "response": body(exchange.path, exchange.response, &aliases(exchange.request)),
        });
        let mut file = self.0.lock().expect("nothing panics while it writes");
        file.write_all(format!("{line}\n").as_bytes())
    }
}

/// The names that the query of a GraphQL request gives to values.
fn aliases(request: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(request);
    ALIAS
        .captures_iter(&text)
        .map(|found| found[1].to_owned())
        .collect()
}

/// A body as JSON where it is JSON, else as text. `more` are names of secrets beside the usual.
/// Anything in a Terraform state may be a secret.
fn body(path: &str, bytes: &[u8], more: &[String]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    if is_state(path) {
        return json!(REDACTED);
    }
    match serde_json::from_slice(bytes) {
        Ok(mut value) => {
            redact(&mut value, more);
            value
        }
        // A form in parts may hold anything.
        Err(_) if bytes.starts_with(b"--") => json!(REDACTED),
        Err(_) => json!(redact_pairs(&String::from_utf8_lossy(bytes))),
    }
}

/// Whether the path is that of a Terraform state or a version of one, and not of its lock.
fn is_state(path: &str) -> bool {
    let state = path.split_once("/terraform/state/").map(|(_, state)| state);
    state.is_some_and(|state| state.split_once('/').is_none_or(|(_, part)| part != "lock"))
}

fn redact(value: &mut Value, more: &[String]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, more)),
        Value::Object(members) => {
            for (name, member) in members {
                let secret = SECRETS.contains(&name.as_str()) || more.contains(name);
                if secret && (member.is_string() || member.is_number()) {
                    *member = json!(REDACTED);
                } else {
                    redact(member, more);
                }
            }
        }
        _ => {}
    }
}

/// Hides secrets in a form, a query, or links with one.
fn redact_pairs(text: &str) -> String {
    static PAIRS: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = format!("(^|[?&])({})=[^&>]*", SECRETS.join("|"));
        Regex::new(&pattern).expect("the names are plain words")
    });
    PAIRS
        .replace_all(text, format!("${{1}}${{2}}={REDACTED}"))
        .into_owned()
}
