//! The parameters of a project: older names translated, values checked as the models do.

use serde_json::{Map, Value, json};

use super::Call;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    naming::Problems,
    params::Params,
    settings::{self, At, PROJECT, PROJECT_EE, VISIBILITIES},
    store::{Project, Store, Visibility},
};

/// What a request asks a project to be.
#[derive(Default)]
pub struct Wanted {
    pub name: Option<String>,
    pub path: Option<String>,
    /// `Some(None)` clears it.
    pub description: Option<Option<String>>,
    pub visibility: Option<Visibility>,
    pub topics: Option<Vec<String>>,
    pub default_branch: Option<String>,
    pub settings: Map<String, Value>,
}

/// Older booleans and the access levels that replaced them.
const FEATURES: &[(&str, &str)] = &[
    ("issues_enabled", "issues_access_level"),
    ("merge_requests_enabled", "merge_requests_access_level"),
    ("wiki_enabled", "wiki_access_level"),
    ("jobs_enabled", "builds_access_level"),
    ("snippets_enabled", "snippets_access_level"),
    ("container_registry_enabled", "container_registry_access_level"),
    ("packages_enabled", "package_registry_access_level"),
];

/// Parameters that GitLab accepts but that the sandbox has no use for.
const UNUSED: &[&str] = &["avatar"];

impl Wanted {
    /// Parses the parameters of a creation or an update.
    pub fn parse(app: &App, params: &Params, at: At) -> ApiResult<Self> {
        let params = translate(params)?;
        let mut settings = settings::parse(PROJECT, &params, at)?;
        if app.is_ee() {
            settings.extend(settings::parse(PROJECT_EE, &params, at)?);
        }
        // A column that cannot be null keeps its value.
        settings
            .retain(|name, value| !value.is_null() || settings::value(PROJECT, &Map::new(), name).is_null());
        let visibility = params.one_of("visibility", VISIBILITIES)?;
        Ok(Self {
            name: params.string("name")?,
            path: params.string("path")?,
            description: if params.has("description") {
                Some(params.string("description")?)
            } else {
                None
            },
            visibility: visibility.as_deref().and_then(Visibility::parse),
            topics: params
                .strings("topics")?
                .or(params.strings("tag_list")?)
                .map(sorted),
            default_branch: params
                .string("default_branch")?
                .filter(|branch| !branch.is_empty()),
            settings,
        })
    }

    /// Whether the request carries anything that an update declares.
    pub fn is_update(app: &App, params: &Params) -> bool {
        let others = [
            "name",
            "path",
            "description",
            "visibility",
            "topics",
            "tag_list",
            "default_branch",
        ];
        let legacy = [
            "emails_disabled",
            "public_builds",
            "restrict_user_defined_variables",
        ];
        let features = FEATURES.iter().map(|(old, _)| *old);
        let table = PROJECT.iter().chain(if app.is_ee() { PROJECT_EE } else { &[] });
        let declared = table
            .filter(|setting| setting.at != At::Create)
            .map(|setting| setting.name);
        let mut names = declared
            .chain(others)
            .chain(legacy)
            .chain(features)
            .chain(UNUSED.iter().copied());
        names.any(|name| params.has(name))
    }

    /// What the models refuse, whatever the project's name and place are. `now` is the project with the settings
    /// applied.
    pub fn check(&self, store: &Store, namespace_id: u64, now: &Map<String, Value>, problems: &mut Problems) {
        let number = |name: &str| self.settings.get(name).and_then(Value::as_i64);
        let text = |name: &str| self.settings.get(name).and_then(Value::as_str);
        if self
            .description
            .as_ref()
            .and_then(Option::as_ref)
            .is_some_and(|text| text.chars().count() > 2000)
        {
            problems.add("description", "is too long (maximum is 2000 characters)");
        }
        if number("build_timeout").is_some_and(|seconds| !(600..2_592_000).contains(&seconds)) {
            problems.add("build_timeout", "needs to be between 10 minutes and 1 month");
        }
        match number("ci_default_git_depth") {
            Some(depth) if depth < 0 => {
                problems.add(
                    "ci_cd_settings.default_git_depth",
                    "must be greater than or equal to 0",
                );
            }
            Some(depth) if depth > 1000 => {
                problems.add(
                    "ci_cd_settings.default_git_depth",
                    "must be less than or equal to 1000",
                );
            }
            _ => {}
        }
        if number("max_artifacts_size").is_some_and(|size| size <= 0) {
            problems.add("max_artifacts_size", "must be greater than 0");
        }
        if text("ci_config_path").is_some_and(|path| path.starts_with('/') || path.contains("..")) {
            problems.add(
                "ci_config_path",
                "cannot include leading slash or directory traversal.",
            );
        }
        for name in ["merge_commit_template", "squash_commit_template"] {
            if text(name).is_some_and(|text| text.chars().count() > 500) {
                problems.add(
                    &format!("project_setting.{name}"),
                    "is too long (maximum is 500 characters)",
                );
            }
        }
        check_features(now, problems);
        check_title_regex(now, problems);
        let group = store.groups.get(namespace_id);
        let runners = group.and_then(|group| group.settings.get("shared_runners_setting"));
        let forbidden = runners.and_then(Value::as_str) == Some("disabled_and_unoverridable");
        if forbidden && self.settings.get("shared_runners_enabled") == Some(&json!(true)) {
            problems.add(
                "shared_runners_enabled",
                "cannot be enabled because parent group does not allow it",
            );
        }
    }
}

/// Builds and merge requests cannot be more open than the repository they live in.
fn check_features(now: &Map<String, Value>, problems: &mut Problems) {
    let level = |feature: &str| match settings::value(PROJECT, now, feature).as_str() {
        Some("disabled") => 0,
        Some("private") => 10,
        _ => 20,
    };
    for feature in ["merge_requests_access_level", "builds_access_level"] {
        if level(feature) > level("repository_access_level") {
            problems.add(
                &format!("project_feature.{feature}"),
                "cannot have higher visibility level than repository access level",
            );
        }
    }
}

fn check_title_regex(now: &Map<String, Value>, problems: &mut Problems) {
    let present = |name: &str| {
        now.get(name)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    if present("merge_request_title_regex") != present("merge_request_title_regex_description") {
        problems.add(
            "project_setting.merge_request_title_regex",
            "and regex description must be either both set, or neither.",
        );
        problems.add(
            "project_setting.merge_request_title_regex_description",
            "and regex must be either both set, or neither.",
        );
    }
}

/// Gives older parameters their newer names; the newer wins where both are given.
fn translate(params: &Params) -> ApiResult<Params> {
    let mut params = params.clone();
    for (old, new) in FEATURES {
        if let Some(enabled) = params.boolean(old)?
            && !params.has(new)
        {
            params.set(new, if enabled { "enabled" } else { "disabled" });
        }
    }
    if let Some(disabled) = params.boolean("emails_disabled")? {
        params.set("emails_enabled", !disabled);
    }
    if let Some(public) = params.boolean("public_builds")?
        && !params.has("public_jobs")
    {
        params.set("public_jobs", public);
    }
    if params.boolean("restrict_user_defined_variables")? == Some(false)
        && !params.has("ci_pipeline_variables_minimum_override_role")
    {
        params.set("ci_pipeline_variables_minimum_override_role", "developer");
    }
    Ok(params)
}

fn sorted(mut topics: Vec<String>) -> Vec<String> {
    topics.sort();
    topics.dedup_by(|a, b| a.to_lowercase() == b.to_lowercase());
    topics
}

/// Refuses a visibility that the group or the instance does not allow.
pub fn check_visibility(
    call: &Call,
    store: &Store,
    project: &Project,
    wanted: Visibility,
    problems: &mut Problems,
) {
    let level = wanted.as_str();
    if let Some(group) = store.group_of(project)
        && wanted > group.visibility
    {
        let namespace = group.visibility.as_str();
        problems.add(
            "visibility_level",
            format!("{level} is not allowed in a {namespace} namespace."),
        );
    }
    if is_restricted(call, store, wanted) {
        problems.add(
            "visibility_level",
            format!("{level} has been restricted by your GitLab administrator"),
        );
    }
}

/// Whether the instance keeps a visibility to administrators.
pub fn is_restricted(call: &Call, store: &Store, wanted: Visibility) -> bool {
    let restricted = store.instance_setting("restricted_visibility_levels");
    let listed = restricted
        .as_array()
        .is_some_and(|levels| levels.contains(&json!(wanted.as_str())));
    listed && !call.user(store).is_some_and(|user| user.admin)
}

/// What GitLab answers to parameters that would start an import.
pub fn refuse_imports(call: &Call) -> ApiResult<()> {
    match ["import_url", "template_name", "template_project_id"]
        .iter()
        .find(|key| call.params.get(key).is_some())
    {
        Some(key) => Err(ApiError::not_implemented(
            call.method.as_str(),
            &format!("{} with {key}", call.path),
        )),
        None => Ok(()),
    }
}
