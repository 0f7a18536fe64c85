//! The fields of the kind `repo`, as the user writes them: GitLab's project settings, by GitLab's names.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::FieldProblem;

/// A repo (GitLab: project). Its path is its key, with the group or user it is in: `platform/api`.
///
/// Source: <https://docs.gitlab.com/api/projects/>.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-key" = "platform/api", "examples" = [{"description": "The public API", "visibility": "internal", "topics": ["rust", "service"]}]))]
pub struct Repo {
    /// Display name. GitLab's default: the last part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    name: Option<String>,
    /// What the repo is for; shown on its page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    description: Option<String>,
    /// Who can see the repo: never more people than see its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility: Option<Visibility>,
    /// Topics by which the repo is found, in any order. GitLab knows them without case, so they are kept in lower case.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "topics")]
    topics: Option<BTreeSet<String>>,
    /// The branch that people get when they clone. It has to exist, unless the repo is made with a README.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    default_branch: Option<String>,
    /// Whether the repo is made with a README, so that it has a default branch. Matters only when the repo is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    initialize_with_readme: Option<bool>,
    /// Whether the repo is read-only and out of sight.
    #[serde(skip_serializing_if = "Option::is_none")]
    archived: Option<bool>,
    /// How merge requests are merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_method: Option<MergeMethod>,
    /// Whether commits are squashed when merging.
    #[serde(skip_serializing_if = "Option::is_none")]
    squash_option: Option<Squash>,
    /// Whether a merge request needs a successful pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    only_allow_merge_if_pipeline_succeeds: Option<bool>,
    /// Whether a skipped pipeline counts as successful.
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_merge_on_skipped_pipeline: Option<bool>,
    /// Whether a merge request needs all its threads resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    only_allow_merge_if_all_discussions_are_resolved: Option<bool>,
    /// Whether the source branch of new merge requests is removed on merge unless asked otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    remove_source_branch_after_merge: Option<bool>,
    /// Whether threads on changed lines are resolved by a push.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolve_outdated_diff_discussions: Option<bool>,
    /// Whether a push prints the link to create a merge request.
    #[serde(skip_serializing_if = "Option::is_none")]
    printing_merge_request_link_enabled: Option<bool>,
    /// Whether merging closes the issues that are mentioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    autoclose_referenced_issues: Option<bool>,
    /// Template of merge commit messages; empty: GitLab's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    merge_commit_template: Option<String>,
    /// Template of squash commit messages; empty: GitLab's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    squash_commit_template: Option<String>,
    /// Message of commits that apply suggestions; empty: GitLab's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    suggestion_commit_message: Option<String>,
    /// Template of branch names made from issues; empty: GitLab's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    issue_branch_template: Option<String>,
    /// Whether people may ask to become members.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_access_enabled: Option<bool>,
    /// Who can use issues.
    #[serde(skip_serializing_if = "Option::is_none")]
    issues_access_level: Option<Access>,
    /// Who can see the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    repository_access_level: Option<Access>,
    /// Who can use merge requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_requests_access_level: Option<Access>,
    /// Who can fork.
    #[serde(skip_serializing_if = "Option::is_none")]
    forking_access_level: Option<Access>,
    /// Who can use the wiki.
    #[serde(skip_serializing_if = "Option::is_none")]
    wiki_access_level: Option<Access>,
    /// Who can use CI/CD.
    #[serde(skip_serializing_if = "Option::is_none")]
    builds_access_level: Option<Access>,
    /// Who can use snippets.
    #[serde(skip_serializing_if = "Option::is_none")]
    snippets_access_level: Option<Access>,
    /// Who can see Pages sites.
    #[serde(skip_serializing_if = "Option::is_none")]
    pages_access_level: Option<WideAccess>,
    /// Who can see analytics.
    #[serde(skip_serializing_if = "Option::is_none")]
    analytics_access_level: Option<Access>,
    /// Who can use the container registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    container_registry_access_level: Option<Access>,
    /// Who can use the package registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    package_registry_access_level: Option<WideAccess>,
    /// Who can see security and compliance.
    #[serde(skip_serializing_if = "Option::is_none")]
    security_and_compliance_access_level: Option<Access>,
    /// Who can see releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    releases_access_level: Option<Access>,
    /// Who can see environments.
    #[serde(skip_serializing_if = "Option::is_none")]
    environments_access_level: Option<Access>,
    /// Who can use feature flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    feature_flags_access_level: Option<Access>,
    /// Who can use infrastructure pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    infrastructure_access_level: Option<Access>,
    /// Who can use monitoring pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    monitor_access_level: Option<Access>,
    /// Who can use model experiments.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_experiments_access_level: Option<Access>,
    /// Who can use the model registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_registry_access_level: Option<Access>,
    /// Whether issues can be opened by email. Needs an instance that receives mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_desk_enabled: Option<bool>,
    /// Whether email notifications are sent. Takes an owner to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    emails_enabled: Option<bool>,
    /// Whether emails about a diff show a part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    show_diff_preview_in_email: Option<bool>,
    /// Whether uploads can be seen only by who can see the repo.
    #[serde(skip_serializing_if = "Option::is_none")]
    enforce_auth_checks_on_uploads: Option<bool>,
    /// Whether hidden Unicode characters are pointed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    warn_about_potentially_unwanted_characters: Option<bool>,
    /// Whether Git LFS may be used. Off where the instance has it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs_enabled: Option<bool>,
    /// Whether instance runners build the repo.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_runners_enabled: Option<bool>,
    /// Whether the group's runners build the repo.
    #[serde(skip_serializing_if = "Option::is_none")]
    group_runners_enabled: Option<bool>,
    /// Where the CI/CD file is; empty: `.gitlab-ci.yml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    ci_config_path: Option<String>,
    /// Whether who can see the repo can see job logs and artifacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_jobs: Option<bool>,
    /// How jobs get the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    build_git_strategy: Option<GitStrategy>,
    /// Seconds after which a job is stopped. GitLab's default: 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 600, max = 2_629_745))]
    build_timeout: Option<u32>,
    /// Whether a newer pipeline cancels older ones of the same branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_cancel_pending_pipelines: Option<Switch>,
    /// Whether Auto DevOps runs where there is no CI/CD file.
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_devops_enabled: Option<bool>,
    /// How Auto DevOps deploys.
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_devops_deploy_strategy: Option<DeployStrategy>,
    /// How many revisions jobs fetch; 0: all. GitLab's default: 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    ci_default_git_depth: Option<u32>,
    /// Whether deployment jobs older than the latest are skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    ci_forward_deployment_enabled: Option<bool>,
    /// Whether an older deployment job may be run again to roll back.
    #[serde(skip_serializing_if = "Option::is_none")]
    ci_forward_deployment_rollback_allowed: Option<bool>,
    /// Whether merge requests from forks may run pipelines here.
    #[serde(skip_serializing_if = "Option::is_none")]
    ci_allow_fork_pipelines_to_run_in_parent_project: Option<bool>,
    /// Whether protected and other branches have caches of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    ci_separated_caches: Option<bool>,
    /// The role from which pipelines can be started with variables of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    ci_pipeline_variables_minimum_override_role: Option<OverrideRole>,
    /// Whether jobs may push to the repo with their job token.
    #[serde(skip_serializing_if = "Option::is_none")]
    ci_push_repository_for_job_token_allowed: Option<bool>,
    /// Seconds after which pipelines are deleted for good; at least a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 86_400))]
    ci_delete_pipelines_in_seconds: Option<u64>,
    /// Whether the latest artifacts of each branch are kept beyond their expiry. Off where the instance has it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_latest_artifact: Option<bool>,
    /// In which order jobs of a resource group run.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group_default_process_mode: Option<ProcessMode>,
    /// Which container images are deleted for good, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    container_expiration_policy: Option<ContainerExpirationPolicy>,
}

impl Repo {
    /// What is wrong with fields that are each well-formed for the schema.
    pub(super) fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: &str| {
            problems.push(FieldProblem {
                field: field.into(),
                message: message.into(),
            });
        };
        // GitLab splits topics at commas, even in a list.
        let is_topic =
            |topic: &String| !topic.is_empty() && topic.len() <= 255 && !topic.contains([',', '\n']);
        if !self.topics.iter().flatten().all(is_topic) {
            wrong(
                "topics",
                "a topic is 1 to 255 characters on one line, without a comma",
            );
        }
        let path = self.ci_config_path.as_deref().unwrap_or_default();
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            wrong(
                "ci_config_path",
                "the path starts at the repo's root: write it without a leading `/` and without `..`",
            );
        }
        if self.name.as_deref().is_some_and(|name| name.trim() != name) {
            wrong(
                "name",
                "GitLab takes a name without space around it: remove the space",
            );
        }
        problems
    }
}

/// Topics as GitLab tells them apart: without case and without space around them.
fn topics<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeSet<String>>, D::Error> {
    let topics = Option::<Vec<String>>::deserialize(deserializer)?;
    Ok(topics.map(|topics| topics.iter().map(|topic| topic.trim().to_lowercase()).collect()))
}

/// Who can see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Members only.
    Private,
    /// Everyone who is signed in.
    Internal,
    /// Everyone.
    Public,
}

/// Who can use a feature of a repo.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Access {
    /// Nobody.
    Disabled,
    /// Members.
    Private,
    /// Everyone who can see the repo.
    Enabled,
}

/// Who can use a feature of a repo that can be more open than the repo.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WideAccess {
    /// Nobody.
    Disabled,
    /// Members.
    Private,
    /// Everyone who can see the repo.
    Enabled,
    /// Everyone.
    Public,
}

/// How merge requests are merged.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MergeMethod {
    /// A merge commit, always.
    Merge,
    /// A merge commit, of a branch that is up to date.
    RebaseMerge,
    /// No merge commit: fast-forward only.
    Ff,
}

/// Whether commits are squashed when merging.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Squash {
    /// They cannot be.
    Never,
    /// They always are.
    Always,
    /// Unless asked otherwise.
    DefaultOn,
    /// Only when asked.
    DefaultOff,
}

/// How jobs get the code.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum GitStrategy {
    /// Into the working copy of an earlier job where there is one.
    Fetch,
    /// Anew for each job.
    Clone,
}

/// On or off, in GitLab's words.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// How Auto DevOps deploys.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DeployStrategy {
    /// At once.
    Continuous,
    /// When somebody starts it.
    Manual,
    /// A part at a time.
    TimedIncremental,
}

/// From which role up something is allowed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OverrideRole {
    NoOneAllowed,
    Developer,
    Maintainer,
    Owner,
}

/// In which order jobs of a resource group run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ProcessMode {
    Unordered,
    OldestFirst,
    NewestFirst,
    NewestReadyFirst,
}

/// Which container images are deleted, and when.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ContainerExpirationPolicy {
    /// Whether images are deleted at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    cadence: Option<Cadence>,
    /// How many images of a name are kept in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_n: Option<KeepCount>,
    /// The age from which images are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    older_than: Option<Age>,
    /// Regular expression of the tags to delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_regex: Option<String>,
    /// Regular expression of the tags to keep in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_regex_keep: Option<String>,
}

/// How often images are deleted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
enum Cadence {
    #[serde(rename = "1d")]
    Daily,
    #[serde(rename = "7d")]
    Weekly,
    #[serde(rename = "14d")]
    Fortnightly,
    #[serde(rename = "1month")]
    Monthly,
    #[serde(rename = "3month")]
    Quarterly,
}

/// How many images of a name are kept: GitLab knows 1, 5, 10, 25, 50 and 100.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = [1, 5, 10, 25, 50, 100]))]
struct KeepCount(u32);

/// The age from which images are deleted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
enum Age {
    #[serde(rename = "7d")]
    Days7,
    #[serde(rename = "14d")]
    Days14,
    #[serde(rename = "30d")]
    Days30,
    #[serde(rename = "60d")]
    Days60,
    #[serde(rename = "90d")]
    Days90,
}
