//! CI/CD variables of projects, groups and the instance.

use std::sync::LazyLock;

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use regex::Regex;
use serde_json::Value;

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    naming::Problems,
    paging::{ok, paginate},
    params::invalid,
    policy::Ability,
    store::{Source, Store, Variable},
};

/// What a value must look like to be masked; one that is not expanded may hold any other character too.
static MASKABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[a-zA-Z0-9_+=/@:.~-]{8,}$").expect("valid"));
static KEY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[a-zA-Z0-9_]+$").expect("valid"));
static SCOPE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[a-zA-Z0-9_/${}. *-]+$").expect("valid"));

pub fn routes() -> Router<App> {
    let mut router = Router::new();
    for base in ["/projects/{id}", "/groups/{id}", "/admin/ci"] {
        router = router
            .route(&format!("{base}/variables"), get(list).post(create))
            .route(
                &format!("{base}/variables/{{key}}"),
                get(show).put(update).delete(remove),
            );
    }
    router
}

/// Whose variables the path names (`None`: the instance's), when the caller may read and change them.
fn authorized(call: &Call, store: &Store) -> ApiResult<Option<Source>> {
    if call.path.starts_with("/api/v4/admin/") {
        call.authenticate_admin(store)?;
        return Ok(None);
    }
    let user = Some(call.authenticate(store)?);
    if call.path.starts_with("/api/v4/groups/") {
        let group = call.group(store)?;
        call.authorize(store.can(user, Ability::AdminCicdVariables, group))?;
        Ok(Some(Source::Group(group.id)))
    } else {
        let project = call.project(store)?;
        call.authorize(store.can(user, Ability::AdminCicdVariables, project))?;
        Ok(Some(Source::Project(project.id)))
    }
}

/// The variable that the path names, among those in `filter[environment_scope]`; 409 where it names several.
fn find<'a>(call: &Call, store: &'a Store, source: Option<Source>) -> ApiResult<Option<&'a Variable>> {
    let scope = scope_filter(call)?;
    let in_scope = |variable: &&Variable| {
        source.is_none()
            || scope
                .as_ref()
                .is_none_or(|scope| variable.environment_scope == *scope)
    };
    let mut found = named(call, store, source)?.filter(in_scope);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(ApiError::message(
            StatusCode::CONFLICT,
            "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'",
        )),
        (first, _) => Ok(first),
    }
}

/// All variables with the key that the path names.
fn named<'a>(
    call: &Call,
    store: &'a Store,
    source: Option<Source>,
) -> ApiResult<impl Iterator<Item = &'a Variable>> {
    let key = call.params.string("key")?.unwrap_or_default();
    let variables = store.variables.children(source);
    Ok(variables.filter(move |variable| variable.key == key))
}

/// An empty scope filters nothing.
fn scope_filter(call: &Call) -> ApiResult<Option<String>> {
    match call.params.get("filter") {
        None => Ok(None),
        Some(Value::Object(filter)) => match filter.get("environment_scope") {
            Some(Value::String(scope)) => Ok(Some(scope.clone()).filter(|scope| !scope.trim().is_empty())),
            Some(Value::Null) | None => Ok(None),
            Some(_) => Err(invalid("filter[environment_scope]")),
        },
        Some(_) => Err(invalid("filter")),
    }
}

fn not_found(source: Option<Source>) -> ApiError {
    ApiError::not_found(match source {
        Some(Source::Project(_)) => "Variable",
        Some(Source::Group(_)) => "GroupVariable",
        None => "InstanceVariable",
    })
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let source = authorized(&call, &store)?;
    let view = call.view(&store);
    paginate(&call, store.variables.children(source).collect(), |variable| {
        view.variable(variable)
    })
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    let source = authorized(&call, &store)?;
    let variable = find(&call, &store, source)?.ok_or_else(|| not_found(source))?;
    ok(StatusCode::OK, call.view(&store).variable(variable))
}

async fn create(call: Call) -> ApiResult {
    call.app.write(|store| {
        let source = authorized(&call, store)?;
        call.params.require(&["key", "value"])?;
        let mut variable = Variable {
            id: 0,
            source,
            key: call.params.string("key")?.unwrap_or_default().trim().to_owned(),
            value: None,
            file: false,
            protected: false,
            masked: false,
            hidden: false,
            raw: false,
            environment_scope: "*".to_owned(),
            description: None,
        };
        assign(&call, &mut variable)?;
        if source.is_some() && call.params.flag("masked_and_hidden", false)? {
            (variable.masked, variable.hidden) = (true, true);
        }
        let mut problems = check(store, &variable);
        check_limit(store, source, &mut problems);
        problems.check()?;
        variable.id = store.variables.next_id();
        let shown = call.view(store).variable(&variable);
        store.variables.insert(variable);
        ok(StatusCode::CREATED, shown)
    })
}

async fn update(call: Call) -> ApiResult {
    call.app.write(|store| {
        let source = authorized(&call, store)?;
        let before = to_update(&call, store, source)?.ok_or_else(|| not_found(source))?;
        let mut variable = before.clone();
        assign(&call, &mut variable)?;
        let mut problems = check(store, &variable);
        if variable.hidden && variable.masked != before.masked {
            let problem = "The visibility setting cannot be changed for masked and hidden variables.";
            problems.add("base", problem);
        }
        problems.check()?;
        let shown = call.view(store).variable(&variable);
        store.variables.insert(variable);
        ok(StatusCode::OK, shown)
    })
}

/// The variable to change. For a group GitLab looks at the filter only where there is one, and takes the first
/// variable of that key where it finds none.
fn to_update<'a>(call: &Call, store: &'a Store, source: Option<Source>) -> ApiResult<Option<&'a Variable>> {
    if !matches!(source, Some(Source::Group(_))) {
        return find(call, store, source);
    }
    let filtered = match call.params.has("filter") {
        true => find(call, store, source)?,
        false => None,
    };
    Ok(match filtered {
        Some(variable) => Some(variable),
        None => named(call, store, source)?.next(),
    })
}

async fn remove(call: Call) -> ApiResult<Response> {
    call.app.write(|store| {
        let source = authorized(&call, store)?;
        let id = find(&call, store, source)?.ok_or_else(|| not_found(source))?.id;
        store.variables.remove(id);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

/// Takes over what the request says of the variable, but its key, which never changes.
fn assign(call: &Call, variable: &mut Variable) -> ApiResult<()> {
    let params = &call.params;
    if params.has("value") {
        variable.value = params.string("value")?;
    }
    if params.has("description") {
        variable.description = params.string("description")?;
    }
    if variable.source.is_some() && params.has("environment_scope") {
        let scope = params.string("environment_scope")?.unwrap_or_default();
        variable.environment_scope = scope.trim().to_owned();
    }
    if let Some(kind) = params.one_of("variable_type", &["env_var", "file"])? {
        variable.file = kind == "file";
    }
    variable.protected = params.flag("protected", variable.protected)?;
    variable.masked = params.flag("masked", variable.masked)?;
    variable.raw = params.flag("raw", variable.raw)?;
    Ok(())
}

/// What the model refuses of a variable as it would be stored.
fn check(store: &Store, variable: &Variable) -> Problems {
    let mut problems = Problems::default();
    check_value(variable, &mut problems);
    let length = |text: &str| text.chars().count();
    let key = &variable.key;
    if key.is_empty() {
        problems.add("key", "can't be blank");
    }
    if length(key) > 255 {
        problems.add("key", "is too long (maximum is 255 characters)");
    }
    if !KEY.is_match(key) {
        problems.add("key", "can contain only letters, digits and '_'.");
    }
    if variable
        .description
        .as_deref()
        .is_some_and(|text| length(text) > 255)
    {
        problems.add("description", "is too long (maximum is 255 characters)");
    }
    let scope = &variable.environment_scope;
    if scope.is_empty() {
        problems.add("environment_scope", "can't be blank");
    }
    if !SCOPE.is_match(scope) {
        let problem = "can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', '*' and spaces";
        problems.add("environment_scope", problem);
    }
    let same = store
        .variables
        .find(&(variable.source, key.clone(), scope.clone()));
    if same.is_some_and(|same| same.id != variable.id) {
        problems.add("key", format!("({key}) has already been taken"));
    }
    problems
}

fn check_value(variable: &Variable, problems: &mut Problems) {
    let value = variable.value.as_deref().unwrap_or_default();
    let length = value.chars().count();
    let maskable = match variable.raw {
        true => length >= 8 && !value.contains(|char: char| char.is_ascii_whitespace() || char == '\x0b'),
        false => MASKABLE.is_match(value),
    };
    if variable.masked && !maskable {
        problems.add("value", "is invalid");
    }
    if variable.source.is_none() {
        let most = if variable.file { 50_000 } else { 10_000 };
        if length > most {
            let problem = format!("The value of the provided variable exceeds the {most} character limit");
            problems.add("value", problem);
        }
    }
}

fn check_limit(store: &Store, source: Option<Source>, problems: &mut Problems) {
    let limit = Variable::limit(source);
    if store.variables.children(source).count() < limit {
        return;
    }
    let name = match source {
        Some(Source::Project(_)) => "project ci variables",
        Some(Source::Group(_)) => "group ci variables",
        None => "ci instance level variables",
    };
    problems.add("base", format!("Maximum number of {name} ({limit}) exceeded"));
}
