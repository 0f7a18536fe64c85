//! Settings of a project, with GitLab's defaults.

use super::{
    At,
    Initial::{Bool, Int, Json, Null, Text},
    Kind::{self, Boolean, Integer, OneOf, Texts},
    Setting, Shown,
};

const LEVELS: Kind = OneOf(&["disabled", "private", "enabled"]);
const LEVELS_OR_PUBLIC: Kind = OneOf(&["disabled", "private", "enabled", "public"]);
const POLICY: Kind = Kind::Object(&[
    ("cadence", Kind::Text),
    ("keep_n", Integer),
    ("older_than", Kind::Text),
    ("name_regex", Kind::Text),
    ("name_regex_keep", Kind::Text),
    ("enabled", Boolean),
]);

const fn feature(name: &'static str) -> Setting {
    Setting::new(name, LEVELS, Text("enabled"))
}

const fn ci(name: &'static str, kind: Kind, initial: super::Initial) -> Setting {
    Setting::new(name, kind, initial).shown(Shown::Admin)
}

/// What both editions declare, beside name, path, description, visibility, topics and default branch.
pub const PROJECT: &[Setting] = &[
    feature("issues_access_level"),
    feature("repository_access_level"),
    feature("merge_requests_access_level"),
    feature("forking_access_level"),
    feature("wiki_access_level"),
    feature("builds_access_level"),
    feature("snippets_access_level"),
    feature("analytics_access_level"),
    feature("container_registry_access_level"),
    feature("releases_access_level"),
    feature("environments_access_level"),
    feature("feature_flags_access_level"),
    feature("infrastructure_access_level"),
    feature("monitor_access_level"),
    feature("model_experiments_access_level"),
    feature("model_registry_access_level"),
    Setting::new("security_and_compliance_access_level", LEVELS, Text("private")),
    Setting::new("package_registry_access_level", LEVELS_OR_PUBLIC, Text("enabled")),
    // Its default follows the visibility the project was created with.
    Setting::new("pages_access_level", LEVELS_OR_PUBLIC, Text("private")),
    ci("build_git_strategy", OneOf(&["fetch", "clone"]), Text("fetch")),
    ci("build_timeout", Integer, Int(3600)),
    ci(
        "auto_cancel_pending_pipelines",
        OneOf(&["disabled", "enabled"]),
        Text("enabled"),
    ),
    ci("group_runners_enabled", Boolean, Bool(true)),
    ci(
        "resource_group_default_process_mode",
        OneOf(&["unordered", "oldest_first", "newest_first", "newest_ready_first"]),
        Text("unordered"),
    ),
    ci("auto_devops_enabled", Boolean, Bool(true)),
    ci(
        "auto_devops_deploy_strategy",
        OneOf(&["continuous", "manual", "timed_incremental"]),
        Text("continuous"),
    ),
    ci("ci_default_git_depth", Integer, Int(20)).at(At::Update),
    ci("keep_latest_artifact", Boolean, Bool(true)).at(At::Update),
    ci("ci_forward_deployment_enabled", Boolean, Bool(true)).at(At::Update),
    ci("ci_forward_deployment_rollback_allowed", Boolean, Bool(true)).at(At::Update),
    ci(
        "ci_allow_fork_pipelines_to_run_in_parent_project",
        Boolean,
        Bool(true),
    )
    .at(At::Update),
    ci("ci_separated_caches", Boolean, Bool(true)).at(At::Update),
    ci(
        "ci_pipeline_variables_minimum_override_role",
        OneOf(&["no_one_allowed", "developer", "maintainer", "owner"]),
        Text("no_one_allowed"),
    )
    .at(At::Update),
    ci("ci_push_repository_for_job_token_allowed", Boolean, Bool(false)).at(At::Update),
    ci(
        "ci_id_token_sub_claim_components",
        Texts,
        Json(r#"["project_path", "ref_type", "ref"]"#),
    )
    .at(At::Update),
    ci("ci_delete_pipelines_in_seconds", Integer, Null).at(At::Update),
    Setting::new("max_artifacts_size", Integer, Null).at(At::Update),
    Setting::new("ci_config_path", Kind::Text, Null),
    Setting::new("container_expiration_policy_attributes", POLICY, Null).shown(Shown::Elsewhere),
    Setting::new("service_desk_enabled", Boolean, Bool(false)).shown(Shown::Elsewhere),
    Setting::new("emails_enabled", Boolean, Bool(true)),
    Setting::new("show_default_award_emojis", Boolean, Bool(true)).shown(Shown::Elsewhere),
    Setting::new("show_diff_preview_in_email", Boolean, Bool(true)),
    Setting::new("warn_about_potentially_unwanted_characters", Boolean, Bool(true)),
    Setting::new("enforce_auth_checks_on_uploads", Boolean, Bool(true)),
    Setting::new("shared_runners_enabled", Boolean, Bool(true)),
    Setting::new("resolve_outdated_diff_discussions", Boolean, Bool(false)),
    Setting::new("remove_source_branch_after_merge", Boolean, Bool(true)),
    Setting::new("lfs_enabled", Boolean, Bool(true)),
    Setting::new("public_jobs", Boolean, Bool(true)),
    Setting::new("request_access_enabled", Boolean, Bool(true)),
    Setting::new("only_allow_merge_if_pipeline_succeeds", Boolean, Bool(false)),
    Setting::new("allow_merge_on_skipped_pipeline", Boolean, Null),
    Setting::new(
        "only_allow_merge_if_all_discussions_are_resolved",
        Boolean,
        Bool(false),
    ),
    Setting::new("printing_merge_request_link_enabled", Boolean, Bool(true)),
    Setting::new(
        "merge_method",
        OneOf(&["ff", "rebase_merge", "merge"]),
        Text("merge"),
    ),
    Setting::new("suggestion_commit_message", Kind::Text, Null),
    Setting::new("merge_commit_template", Kind::Text, Null),
    Setting::new("squash_commit_template", Kind::Text, Null),
    Setting::new("issue_branch_template", Kind::Text, Null),
    Setting::new("autoclose_referenced_issues", Boolean, Bool(true)),
    Setting::new("repository_storage", Kind::Text, Text("default")).shown(Shown::Elsewhere),
    Setting::new(
        "squash_option",
        OneOf(&["never", "always", "default_on", "default_off"]),
        Text("default_off"),
    ),
    Setting::new("mr_default_target_self", Boolean, Bool(false)).shown(Shown::Elsewhere),
    Setting::new("merge_request_title_regex", Kind::Text, Null),
    Setting::new("merge_request_title_regex_description", Kind::Text, Null),
    Setting::new(
        "repository_object_format",
        OneOf(&["sha1", "sha256"]),
        Text("sha1"),
    )
    .at(At::Create),
];

/// What EE declares beside [`PROJECT`].
pub const PROJECT_EE: &[Setting] = &[
    Setting::new("approvals_before_merge", Integer, Int(0)),
    Setting::new("mirror", Boolean, Bool(false)),
    Setting::new(
        "external_authorization_classification_label",
        Kind::Text,
        Text(""),
    ),
    Setting::new("requirements_access_level", LEVELS, Text("enabled")),
    Setting::new("issues_template", Kind::Text, Null),
    Setting::new("merge_requests_template", Kind::Text, Null),
    Setting::new("merge_pipelines_enabled", Boolean, Bool(false)),
    Setting::new("merge_trains_enabled", Boolean, Bool(false)),
    Setting::new("merge_trains_skip_train_allowed", Boolean, Bool(false)),
    Setting::new(
        "only_allow_merge_if_all_status_checks_passed",
        Boolean,
        Bool(false),
    ),
    Setting::new("allow_pipeline_trigger_approve_deployment", Boolean, Bool(false)).at(At::Update),
    Setting::new("prevent_merge_without_jira_issue", Boolean, Bool(false)),
    ci(
        "ci_restrict_pipeline_cancellation_role",
        OneOf(&["developer", "maintainer", "no_one"]),
        Text("developer"),
    )
    .at(At::Update),
];
