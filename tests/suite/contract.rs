//! What was said in this run, judged by what GitLab publishes: paths, parameters, statuses and property names by its
//! OpenAPI document, types by recorded traffic. GraphQL is not in either, and not judged here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::Value;

use crate::openapi::{Api, Operation};
use crate::support;

/// One recorded exchange.
#[derive(Deserialize)]
struct Exchange {
    method: String,
    path: String,
    query: String,
    request: Value,
    status: u16,
    response: Value,
}

/// The judgements on all that was recorded, which must have ended. `whole` says that nothing was left out of the run.
pub fn trials(whole: bool) -> Vec<Trial> {
    let folder = std::env::var_os("AUTOGIT_CONTRACT_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/contract"),
        PathBuf::from,
    );
    let exchanges: Arc<Vec<Exchange>> = Arc::new(recorded());
    let absent = !folder.join("openapi").is_dir() || exchanges.is_empty();
    let trial = |name: &str, judge: fn(&Path, &[Exchange], bool) -> Vec<String>| {
        let (folder, exchanges) = (folder.clone(), exchanges.clone());
        let run = move || {
            let problems = judge(&folder, &exchanges, whole);
            match problems.is_empty() {
                true => Ok(()),
                false => Err(Failed::from(problems.join("\n"))),
            }
        };
        Trial::test(format!("contract::{name}"), run).with_ignored_flag(absent)
    };
    vec![
        trial("requests_and_answers_are_in_the_openapi_document", by_openapi),
        trial("answers_have_types_seen_in_recorded_traffic", by_traffic),
    ]
}

/// Every different exchange.
fn recorded() -> Vec<Exchange> {
    let folder = support::EXCHANGES.get().expect("main set it");
    let mut lines = BTreeSet::new();
    for file in support::files(folder) {
        let text = std::fs::read_to_string(file).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    let exchanges = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    exchanges
        .filter(|exchange: &Exchange| exchange.path.starts_with("/api/v4/"))
        .collect()
}

fn by_openapi(folder: &Path, exchanges: &[Exchange], whole: bool) -> Vec<String> {
    let api = Api::read(&folder.join("openapi/gitlab-18.9-openapi_v3.yaml"));
    let mut problems = BTreeSet::new();
    let mut seen = BTreeSet::new();
    // Looking an operation up takes time, and most are used often.
    let mut known = BTreeMap::new();
    for exchange in exchanges {
        let Exchange { method, path, .. } = exchange;
        let found = known
            .entry((method, path))
            .or_insert_with(|| api.find(method, path));
        let Some((template, operation)) = found else {
            problems.insert(format!("{method} {path}: no such operation"));
            continue;
        };
        seen.insert(format!("{method} {template}"));
        let found = judge(operation, exchange);
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{method} {template}: {problem}")),
        );
    }
    if whole && seen.len() < 25 {
        problems.insert(format!("only these operations were used: {seen:?}"));
    }
    problems.into_iter().collect()
}

fn judge(operation: &Operation, exchange: &Exchange) -> Vec<String> {
    let mut problems = Vec::new();
    // Saving a state takes the lock's ID, of which the document has nothing, and fails so without the right one.
    // Source: GitLab's `API::Terraform::State` and `Terraform::RemoteStateHandler`.
    let saves_state = exchange.method == "POST" && exchange.path.contains("/terraform/state/");
    let pairs: Vec<_> = url::form_urlencoded::parse(exchange.query.as_bytes()).collect();
    for (name, value) in &pairs {
        // GitLab takes a write's parameters from either.
        let name = name.trim_end_matches("[]");
        match operation.parameter(name).or_else(|| operation.body(name)) {
            None if saves_state && name == "ID" => {}
            None if is_scope_filter(exchange, name) => {}
            None => problems.push(format!("the query has `{name}`")),
            Some(schema) => problems.extend(not_in_enum(name, &Value::from(value.as_ref()), schema)),
        }
    }
    for (name, value) in exchange.request.as_object().into_iter().flatten() {
        match operation.body(name) {
            None if is_scope_filter(exchange, name) => {}
            None => problems.push(format!("the request has `{name}`")),
            Some(schema) => problems.extend(not_in_enum(name, value, schema)),
        }
    }
    // Every operation answers these, whether it says so or not; 202 is for what is done later, 301 for what has moved, 409
    // for what is there already.
    let common = [202, 301, 400, 401, 403, 404, 409, 429];
    // Groups are deleted later, as repos are. Source: GitLab's `API::Groups`.
    let is_accepted = exchange.method == "DELETE" && exchange.status == 202;
    // What the sandbox does not have it says so of, and doctor asks for it all the same.
    let is_unbuilt = exchange.status == 501;
    let fails_so = is_unbuilt || is_accepted || (saves_state && exchange.status == 500);
    if !operation.has_status(exchange.status) && !common.contains(&exchange.status) && !fails_so {
        problems.push(format!("the answer has status {}", exchange.status));
    }
    if exchange.status < 300 {
        let items = match &exchange.response {
            Value::Array(items) => items.iter().collect(),
            item => vec![item],
        };
        let objects = items.into_iter().filter_map(Value::as_object);
        let names: BTreeSet<_> = objects.flat_map(|item| item.keys()).collect();
        let unknown = names
            .into_iter()
            .filter(|name| !operation.may_answer(exchange.status, name))
            .filter(|name| {
                !(exchange.path.starts_with("/api/v4/users/") && FOR_ADMINISTRATORS.contains(&name.as_str()))
            });
        problems.extend(unknown.map(|name| format!("the answer has `{name}`")));
    }
    problems
}

/// The document leaves it out for variables of groups, and GitLab takes it there as for those of repos.
/// Source: `API::GroupVariables`, `Ci::VariablesFinder`.
fn is_scope_filter(exchange: &Exchange, name: &str) -> bool {
    crate::openapi::fits("/api/v4/groups/{id}/variables/{key}", &exchange.path) && name.starts_with("filter")
}

/// What administrators are shown of a user; the document has the answer that others get.
/// Source: GitLab's `API::Entities::UserDetailsWithAdmin`.
const FOR_ADMINISTRATORS: &[&str] = &[
    "current_sign_in_ip",
    "highest_role",
    "last_sign_in_ip",
    "sign_in_count",
];

fn not_in_enum(name: &str, value: &Value, schema: &Value) -> Option<String> {
    let allowed = schema["enum"].as_array()?;
    let known = allowed.iter().any(|allowed| plain(allowed) == plain(value));
    (!known && !value.is_null()).then(|| format!("`{name}` is {value}, which is not among {allowed:?}"))
}

/// A value as a query string would have it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Fields of a fresh instance that the recorded traffic, years older and of busy ones, never shows so, and types that
/// they have all the same: nobody there waited for deletion, and no variable was hidden.
const UNSEEN: &[(&str, &str)] = &[
    ("current_sign_in_at", "null"),
    ("last_activity_on", "null"),
    ("last_sign_in_at", "null"),
    ("note", "null"),
    // Of an instance without terms.
    ("terms", "null"),
    ("value", "null"),
    ("marked_for_deletion_at", "string"),
    ("marked_for_deletion_on", "string"),
];

fn by_traffic(folder: &Path, exchanges: &[Exchange], whole: bool) -> Vec<String> {
    #[derive(Deserialize)]
    struct Route {
        fields: BTreeMap<String, BTreeMap<String, u64>>,
    }
    let text = std::fs::read_to_string(folder.join("observed_response_types.json")).unwrap();
    let routes: BTreeMap<String, Route> = serde_json::from_str(&text).unwrap();
    // What one route has shown only as text, another has shown null: a field has its types everywhere.
    let mut types: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (field, seen) in routes.values().flat_map(|route| &route.fields) {
        let leaf = field.rsplit('.').next().unwrap_or(field);
        types
            .entry(leaf)
            .or_default()
            .extend(seen.keys().map(String::as_str));
    }
    let mut problems = BTreeSet::new();
    let mut compared = BTreeSet::new();
    for exchange in exchanges {
        let is_like = |key: &&String| {
            let parts: Vec<_> = key.split(' ').collect();
            parts[0] == exchange.method
                && parts[2] == exchange.status.to_string()
                && crate::openapi::fits(parts[1], &exchange.path)
        };
        let Some(key) = routes.keys().find(is_like) else {
            continue;
        };
        compared.insert(key);
        let mut found = BTreeSet::new();
        collect("", &exchange.response, &mut found);
        for (field, kind) in found
            .iter()
            .filter(|(field, _)| routes[key].fields.contains_key(field))
        {
            let leaf = field.rsplit('.').next().unwrap_or(field);
            let excused = UNSEEN.contains(&(leaf, *kind));
            if !excused && !types[leaf].contains(kind) {
                problems.insert(format!(
                    "{key}: {field} is {kind}, and was only ever {:?}",
                    types[leaf]
                ));
            }
        }
    }
    if whole && compared.len() < 8 {
        problems.insert(format!("only these routes were compared: {compared:?}"));
    }
    problems.into_iter().collect()
}

/// The JSON type of every field, by its path: `.namespace.id`, `.topics[]`.
fn collect(at: &str, value: &Value, found: &mut BTreeSet<(String, &'static str)>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    found.insert((at.to_owned(), kind));
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect(&format!("{at}[]"), item, found)),
        Value::Object(members) => members
            .iter()
            .for_each(|(name, member)| collect(&format!("{at}.{name}"), member, found)),
        _ => {}
    }
}
