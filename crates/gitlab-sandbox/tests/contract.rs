//! Judges the sandbox's answers by what GitLab publishes: JSON Schemas, types seen in recorded traffic, and the
//! property names of its OpenAPI document. They are read from `AUTOGIT_CONTRACT_DIR`, by default
//! `../shared/contract` beside the workspace; where that is absent, each check is reported as ignored.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{Client, Lab, eventually};
use gitlab_sandbox::Edition;
use jsonschema::{Retrieve, Uri};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

/// One recorded exchange.
#[derive(serde::Deserialize)]
struct Exchange {
    method: String,
    path: String,
    query: Option<String>,
    status: u16,
    user: Option<u64>,
    response: Value,
}

fn main() {
    let arguments = Arguments::from_args();
    let dir = contract();
    let present = dir.join("schemas").is_dir();
    let exchanges: Arc<Vec<Exchange>> = Arc::new(if present { record() } else { Vec::new() });
    let trial = |name: &str, check: fn(&Path, &[Exchange]) -> Result<(), Failed>| {
        let (dir, exchanges) = (dir.clone(), Arc::clone(&exchanges));
        Trial::test(name, move || check(&dir, &exchanges)).with_ignored_flag(!present)
    };
    let trials = vec![
        trial("answers_satisfy_gitlabs_json_schemas", schemas),
        trial("answers_have_the_types_seen_in_recorded_traffic", observed_types),
        trial("answers_have_no_properties_that_gitlab_lacks", property_names),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn contract() -> PathBuf {
    match std::env::var_os("AUTOGIT_CONTRACT_DIR") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contract"),
    }
}

/// Uses both editions through their interface, and returns what was said.
fn record() -> Vec<Exchange> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut text = runtime.block_on(scenario(Edition::Ce));
    text += &runtime.block_on(scenario(Edition::Ee));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn scenario(edition: Edition) -> String {
    let files = tempfile::TempDir::new().unwrap();
    let file = files.path().join("exchanges.jsonl");
    let lab = Lab::start_with(|options| {
        options.edition = edition;
        options.record = Some(file.clone());
    })
    .await;
    let client = &lab.client;
    let group = lab.group("platform", json!({ "visibility": "public" })).await;
    let child = lab
        .group(
            "sub",
            json!({ "parent_id": group, "visibility": "public", "description": "" }),
        )
        .await;
    let id = lab
        .project(
            child,
            "api",
            json!({ "visibility": "public", "description": "An API", "topics": "a,b" }),
        )
        .await;
    let own = client
        .post(
            "projects",
            json!({ "name": "Mine", "initialize_with_readme": true }),
        )
        .await
        .expect(201);
    let (user, reader) = lab.user("ria", &["api"]).await;
    let branches = format!("projects/{}/protected_branches", own["id"]);
    eventually(client, &branches, |body| body[0]["name"] == "main").await;
    client
        .post(&branches, json!({ "name": "release/*" }))
        .await
        .expect(201);
    client
        .patch(&format!("{branches}/main"), json!({ "allow_force_push": true }))
        .await
        .expect(200);
    client
        .put(&format!("projects/{id}"), json!({ "merge_method": "ff" }))
        .await
        .expect(200);
    client
        .put(&format!("projects/{id}"), json!({ "default_branch": "nope" }))
        .await
        .expect(400);
    client
        .put(&format!("groups/{group}"), json!({ "description": "Ours" }))
        .await
        .expect(200);
    client
        .put("application/settings", json!({ "signup_enabled": false }))
        .await
        .expect(200);
    client
        .post("projects", json!({ "name": "Mine" }))
        .await
        .expect(400);
    client
        .post(
            &format!("projects/{id}/members"),
            json!({ "user_id": user, "access_level": 30 }),
        )
        .await
        .expect(201);
    client
        .put(
            &format!("projects/{id}/members/{user}"),
            json!({ "access_level": 40 }),
        )
        .await
        .expect(200);
    client
        .post(
            &format!("groups/{group}/members"),
            json!({ "user_id": user, "access_level": 20 }),
        )
        .await
        .expect(201);
    variables(
        client,
        &[&format!("projects/{id}"), &format!("groups/{group}"), "admin/ci"],
    )
    .await;
    access_tokens(client, &[&format!("projects/{id}"), &format!("groups/{group}")]).await;
    let guests = lab.group("guests", json!({})).await;
    for shared in [format!("projects/{id}"), format!("groups/{group}")] {
        let share = json!({ "group_id": guests, "group_access": 30 });
        client.post(&format!("{shared}/share"), share).await.expect(201);
        client.get(&format!("{shared}/invited_groups")).await.expect(200);
    }
    for path in ["archive", "unarchive"] {
        client
            .post(&format!("projects/{id}/{path}"), json!({}))
            .await
            .expect(201);
    }
    let reads = [
        "version",
        "metadata",
        "user",
        "users",
        "users/1",
        "namespaces",
        "namespaces/platform",
        "application/settings",
        "groups",
        "groups/platform",
        "groups/platform/projects?include_subgroups=true",
        "projects",
        "projects?simple=true",
        "projects/platform%2Fsub%2Fapi",
        "projects/platform%2Fsub%2Fapi/members",
        "projects/platform%2Fsub%2Fapi/members/all",
        "groups/platform/members",
        "groups/platform/members/all/1",
        "personal_access_tokens",
        "personal_access_tokens/self",
        "license",
    ];
    for path in reads {
        client.get(path).await;
        reader.get(path).await;
        client.anonymous().get(path).await;
    }
    client.get("groups/none").await.expect(404);
    repository(client, &format!("projects/{}/repository", own["id"])).await;
    review(client, &format!("projects/{}", own["id"])).await;
    client.delete(&format!("projects/{id}")).await.expect(202);
    client.delete(&format!("groups/{child}")).await.expect(202);
    lab.sandbox.shutdown().await.unwrap();
    fs::read_to_string(file).unwrap()
}

/// Uses variables of each owner.
async fn variables(client: &Client, owners: &[&str]) {
    for owner in owners {
        let path = format!("{owner}/variables");
        for (key, hidden) in [("A", false), ("B", true)] {
            let variable = json!({ "key": key, "value": "long-enough", "masked_and_hidden": hidden });
            client.post(&path, variable).await.expect(201);
        }
        let change = json!({ "description": "why", "variable_type": "file" });
        client.put(&format!("{path}/A"), change).await.expect(200);
        client.get(&format!("{path}/B")).await.expect(200);
        client.get(&path).await.expect(200);
        client
            .post(&path, json!({ "key": "A", "value": "" }))
            .await
            .expect(400);
    }
}

/// Uses access tokens of projects and groups.
async fn access_tokens(client: &Client, owners: &[&str]) {
    for owner in owners {
        let path = format!("{owner}/access_tokens");
        let token = json!({ "name": "bot", "scopes": ["api"], "expires_at": null });
        let made = client.post(&path, token).await.expect(201);
        client.get(&path).await.expect(200);
        let one = format!("{path}/{}", made["id"]);
        client.get(&one).await.expect(200);
        client.post(&format!("{one}/rotate"), json!({})).await.expect(200);
        client
            .get(&format!("users/{}", made["user_id"]))
            .await
            .expect(200);
    }
}

/// Uses a repository that has a README.
async fn repository(client: &Client, base: &str) {
    let action = json!({ "action": "create", "file_path": "a", "content": "a" });
    let commit = json!({ "branch": "main", "commit_message": "Add a", "actions": [action] });
    client.post(&format!("{base}/commits"), commit).await.expect(201);
    let branch = json!({ "branch": "topic", "ref": "main" });
    client.post(&format!("{base}/branches"), branch).await.expect(201);
    for (name, message) in [("v1", ""), ("v2", "Two")] {
        let tag = json!({ "tag_name": name, "ref": "main", "message": message });
        client.post(&format!("{base}/tags"), tag).await.expect(201);
    }
    let file = json!({ "branch": "main", "commit_message": "Add b", "content": "b" });
    client.post(&format!("{base}/files/b"), file).await.expect(201);
    let reads = [
        "branches",
        "branches/main",
        "commits",
        "commits/main",
        "files/a?ref=main",
        "tags",
        "tags/v2",
        "tree",
    ];
    for path in reads {
        client.get(&format!("{base}/{path}")).await.expect(200);
    }
    client.get(&format!("{base}/commits/nope")).await.expect(404);
    client.delete(&format!("{base}/branches/topic")).await.expect(204);
}

/// Merge requests of a project with a commit on `main`, notes on one, and a fork.
async fn review(client: &Client, project: &str) {
    for (branch, title) in [("one", "First"), ("two", "Draft: second")] {
        let commit =
            json!({ "branch": branch, "start_branch": "main", "commit_message": "More", "content": branch });
        let path = format!("{project}/repository/files/{branch}");
        client.post(&path, commit).await.expect(201);
        let wanted = json!({ "title": title, "source_branch": branch, "target_branch": "main" });
        let path = format!("{project}/merge_requests");
        client.post(&path, wanted).await.expect(201);
    }
    let one = format!("{project}/merge_requests/1");
    let notes = format!("{one}/notes");
    let note = client
        .post(&notes, json!({ "body": "Looks good" }))
        .await
        .expect(201);
    let note = format!("{notes}/{}", note["id"]);
    let better = json!({ "body": "Looks better" });
    client.put(&note, better).await.expect(200);
    let why = json!({ "description": "Because" });
    client.put(&one, why).await.expect(200);
    let merge = format!("{one}/merge");
    client.put(&merge, json!({})).await.expect(200);
    let list = format!("{project}/merge_requests");
    for path in [&list, &one, &notes, &note] {
        client.get(path).await.expect(200);
    }
    let copy = json!({ "path": "copy", "name": "Copy" });
    let copy = client.post(&format!("{project}/fork"), copy).await.expect(201);
    let path = format!("projects/{}", copy["id"]);
    eventually(client, &path, |body| body["import_status"] == "finished").await;
    client.get(&format!("{project}/forks")).await.expect(200);
}

/// Loads the files that schemas refer to.
struct Files;

impl Retrieve for Files {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        Ok(serde_json::from_str(&fs::read_to_string(uri.path().as_str())?)?)
    }
}

/// Which schema GitLab's own specs hold an answer against. User 1 is the administrator.
fn schema_of(exchange: &Exchange) -> Option<&'static str> {
    let simple = exchange
        .query
        .as_deref()
        .is_some_and(|query| query.contains("simple=true"));
    let path: Vec<&str> = exchange.path.trim_start_matches("/api/v4/").split('/').collect();
    let admin = exchange.user == Some(1);
    match (exchange.method.as_str(), path.as_slice(), exchange.status) {
        ("GET", ["version" | "metadata"], 200) => Some("metadata"),
        ("GET", ["user"], 200) => Some(if admin { "user/admin" } else { "user/public" }),
        ("GET", ["users"], 200) => Some(if admin { "user/admins" } else { "user/basics" }),
        ("GET", ["users", _], 200) => Some(if admin { "user/admin" } else { "user/basic" }),
        ("GET", ["projects"], 200) if exchange.user.is_none() || (simple && !admin) => Some("projects"),
        ("GET", ["projects", _], 200) if exchange.user.is_none() => Some("project"),
        ("GET", ["projects" | "groups", _, "members"], 200) => Some("members"),
        ("GET", ["projects" | "groups", _, "access_tokens"], 200) => Some("resource_access_tokens"),
        ("GET", ["projects" | "groups", _, "access_tokens", _], 200) => Some("resource_access_token"),
        ("GET", ["projects", _, "merge_requests"], 200) => Some("merge_requests"),
        ("GET" | "PUT", ["projects", _, "merge_requests", _], 200) => Some("merge_request"),
        ("GET", ["projects", _, "merge_requests", _, "notes"], 200) => Some("notes"),
        (_, ["projects", _, "repository", rest @ ..], 200 | 201) => match (exchange.method.as_str(), rest) {
            ("GET", ["branches"]) => Some("branches"),
            ("POST", ["branches"]) | ("GET", ["branches", _]) => Some("branch"),
            ("GET", ["commits"]) => Some("commits"),
            ("POST", ["commits"]) | ("GET", ["commits", _]) => Some("commit/detail"),
            ("GET", ["tags"]) => Some("tags"),
            ("POST", ["tags"]) | ("GET", ["tags", _]) => Some("tag"),
            _ => None,
        },
        _ => None,
    }
}

fn schemas(dir: &Path, exchanges: &[Exchange]) -> Result<(), Failed> {
    let base = dir.join("schemas/public_api/v4").canonicalize()?;
    let mut problems = Vec::new();
    let mut checked = BTreeSet::new();
    for exchange in exchanges {
        let Some(name) = schema_of(exchange) else { continue };
        let file = base.join(format!("{name}.json"));
        let schema: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
        let validator = jsonschema::options()
            .with_base_uri(format!("file://{}", file.display()))
            .with_retriever(Files)
            .build(&schema)?;
        let (method, path) = (&exchange.method, &exchange.path);
        problems.extend(
            validator
                .iter_errors(&exchange.response)
                // It is null where neither the user nor Gravatar has one.
                .filter(|error| !error.instance_path().as_str().ends_with("/avatar_url"))
                .map(|error| format!("{method} {path} ({name}): {error} at {}", error.instance_path())),
        );
        checked.insert(name);
    }
    if checked.len() < 8 {
        problems.push(format!("only these schemas were used: {checked:?}"));
    }
    verdict(problems)
}

/// Fields that the recorded traffic, years older and of busy instances, never shows null: of a fresh instance, and
/// hidden values.
const NULLABLE: &[&str] = &[
    "terms",
    "current_sign_in_at",
    "last_activity_on",
    "last_sign_in_at",
    "note",
    "after_sign_out_path",
    "release",
    "value",
];

fn observed_types(dir: &Path, exchanges: &[Exchange]) -> Result<(), Failed> {
    #[derive(serde::Deserialize)]
    struct Route {
        fields: BTreeMap<String, BTreeMap<String, u64>>,
    }
    let text = fs::read_to_string(dir.join("observed_response_types.json"))?;
    let routes: BTreeMap<String, Route> = serde_json::from_str(&text)?;
    // One route's record is small: a field may be what it is under any route.
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (field, kinds) in routes.values().flat_map(|route| &route.fields) {
        known
            .entry(leaf(field))
            .or_default()
            .extend(kinds.keys().map(String::as_str));
    }
    let mut problems = BTreeSet::new();
    let mut checked = BTreeSet::new();
    for exchange in exchanges {
        let matching = |key: &&String| {
            let mut parts = key.split(' ');
            parts.next() == Some(&exchange.method)
                && parts
                    .next()
                    .is_some_and(|template| is_at(template, &exchange.path))
                && parts.next() == Some(&exchange.status.to_string())
        };
        let Some(key) = routes.keys().find(matching) else {
            continue;
        };
        checked.insert(key.clone());
        let mut seen = BTreeSet::new();
        types("", &exchange.response, &mut seen);
        for (field, kind) in seen {
            let declared = routes[key]
                .fields
                .contains_key(if field.is_empty() { "." } else { &field });
            let kinds = &known.get(leaf(&field)).cloned().unwrap_or_default();
            let excused = kind == "null" && NULLABLE.contains(&leaf(&field));
            if declared && !kinds.contains(kind) && !excused {
                problems.insert(format!("{key}: {field} is {kind}, never seen but as {kinds:?}"));
            }
        }
    }
    if checked.len() < 20 {
        problems.insert(format!("only these routes were compared: {checked:?}"));
    }
    verdict(problems.into_iter().collect())
}

/// The last name of a field's path.
fn leaf(field: &str) -> &str {
    field.rsplit('.').next().unwrap_or(field)
}

/// Whether a path is an instance of a template such as `/api/v4/projects/{id}`.
fn is_at(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template
            .iter()
            .zip(path)
            .all(|(part, segment)| part.starts_with('{') || *part == segment)
}

/// The JSON type of every field, as `.namespace.id` and `.topics[]`.
fn types(at: &str, value: &Value, seen: &mut BTreeSet<(String, &'static str)>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    seen.insert((at.to_owned(), kind));
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| types(&format!("{at}[]"), item, seen)),
        Value::Object(members) => {
            for (name, member) in members {
                types(&format!("{at}.{name}"), member, seen);
            }
        }
        _ => {}
    }
}

/// Entities of the OpenAPI document, by the route whose answers they are.
const ENTITIES: &[(&str, &[&str])] = &[
    ("/api/v4/projects/{id}", &["APIEntitiesProjectWithAccess"]),
    ("/api/v4/groups/{id}", &["APIEntitiesGroupDetail"]),
    (
        "/api/v4/projects/{id}/members/{user_id}",
        &["APIEntitiesMember", "APIEntitiesUserBasic"],
    ),
    (
        "/api/v4/projects/{id}/protected_branches/{name}",
        &["APIEntitiesProtectedBranch"],
    ),
    (
        "/api/v4/projects/{id}/variables/{key}",
        &["APIEntitiesCiVariable"],
    ),
    ("/api/v4/groups/{id}/variables/{key}", &["APIEntitiesCiVariable"]),
    ("/api/v4/admin/ci/variables/{key}", &["APIEntitiesCiVariable"]),
    ("/api/v4/namespaces/{id}", &["APIEntitiesNamespace"]),
    (
        "/api/v4/projects/{id}/repository/branches/{branch}",
        &["APIEntitiesBranch"],
    ),
    (
        "/api/v4/projects/{id}/repository/commits/{sha}",
        &["APIEntitiesCommitDetail"],
    ),
    (
        "/api/v4/projects/{id}/repository/tags/{tag_name}",
        &["APIEntitiesTag"],
    ),
    (
        "/api/v4/projects/{id}/merge_requests/{merge_request_iid}",
        &["APIEntitiesMergeRequest"],
    ),
    (
        "/api/v4/projects/{id}/merge_requests/{merge_request_iid}/notes/{note_id}",
        &["APIEntitiesNote"],
    ),
    ("/api/v4/application/settings", &["APIEntitiesApplicationSetting"]),
    (
        "/api/v4/groups/{id}/members/{user_id}",
        &["APIEntitiesMember", "APIEntitiesUserBasic"],
    ),
    (
        "/api/v4/personal_access_tokens/self",
        &["APIEntitiesPersonalAccessTokenWithLastUsedIps"],
    ),
    (
        "/api/v4/projects/{id}/access_tokens/{token_id}",
        &["APIEntitiesResourceAccessToken"],
    ),
    (
        "/api/v4/groups/{id}/access_tokens/{token_id}/rotate",
        &["APIEntitiesResourceAccessTokenWithToken"],
    ),
    ("/api/v4/projects/{id}/share", &["APIEntitiesProjectGroupLink"]),
    ("/api/v4/groups/{id}/share", &["APIEntitiesGroupDetail"]),
    ("/api/v4/license", &["APIEntitiesGitlabLicenseWithActiveUsers"]),
];

fn property_names(dir: &Path, exchanges: &[Exchange]) -> Result<(), Failed> {
    let text = fs::read_to_string(dir.join("openapi/gitlab-18.9-openapi_v3.yaml"))?;
    let mut problems = BTreeSet::new();
    for (template, entities) in ENTITIES {
        let mut known = BTreeSet::new();
        for entity in *entities {
            let properties = properties(&text, entity);
            if properties.is_empty() {
                problems.insert(format!("{entity} is not in the document"));
            }
            known.extend(properties);
        }
        let answers = exchanges
            .iter()
            .filter(|exchange| exchange.status / 100 == 2 && is_at(template, &exchange.path));
        let objects = answers
            .filter(|exchange| exchange.status != 202)
            .filter_map(|exchange| exchange.response.as_object());
        for name in objects
            .flat_map(|object| object.keys())
            .filter(|name| !known.contains(name.as_str()))
        {
            problems.insert(format!("{template}: {name} is not a property of {entities:?}"));
        }
    }
    verdict(problems.into_iter().collect())
}

/// Names of a component's properties, by the document's indentation.
fn properties<'a>(text: &'a str, component: &str) -> BTreeSet<&'a str> {
    let heading = format!("    {component}:");
    let block = text.lines().skip_while(|line| *line != heading).skip(1);
    let block = block.take_while(|line| line.starts_with("     "));
    block
        .filter(|line| line.starts_with("        ") && !line.starts_with("         "))
        .filter_map(|line| line.trim().strip_suffix(':').map(|name| name.trim_matches('"')))
        .collect()
}

fn verdict(problems: Vec<String>) -> Result<(), Failed> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n").into())
    }
}
