//! The instance's own settings as they are written: sign-up, sign-in, sessions, two-factor authentication, passwords and
//! what else an administrator sets for everybody.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::FieldProblem;
use crate::kinds::repo::Visibility;

/// Settings of the whole instance. They are changed by administrators alone.
///
/// Source: <https://docs.gitlab.com/api/settings/>.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("examples" = [{"signup_enabled": false, "require_two_factor_authentication": true, "two_factor_grace_period": 72}]))]
pub struct Settings {
    /// Whether anybody who can reach the instance can make an account. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signup_enabled: Option<bool>,
    /// Whether an administrator has to let in whoever signed up. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_admin_approval_after_user_signup: Option<bool>,
    /// Whether who signs up has to confirm their mail address. Needs mail that is sent. GitLab's default: `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_confirmation_setting: Option<EmailConfirmation>,
    /// The only domains of mail addresses that may sign up; empty: all. `*` stands for any text. GitLab's default: empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["example.org", "*.example.org"]]))]
    pub domain_allowlist: Option<BTreeSet<String>>,
    /// Whether `domain_denylist` counts. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_denylist_enabled: Option<bool>,
    /// Domains of mail addresses that may not sign up. `*` stands for any text. GitLab's default: empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["example.com"]]))]
    pub domain_denylist: Option<BTreeSet<String>>,
    /// Whether `email_restrictions` counts. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_restrictions_enabled: Option<bool>,
    /// A regular expression (RE2) of the mail addresses that may not sign up. GitLab's default: empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["\\+"]))]
    pub email_restrictions: Option<String>,
    /// What is shown after signing up, in Markdown. GitLab's default: empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_sign_up_text: Option<String>,
    /// Whether the form for signing up has a trap for programs. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invisible_captcha_enabled: Option<bool>,
    /// Whether everybody has to accept `terms` before going on. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce_terms: Option<bool>,
    /// The terms of service, in Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
    /// Whether users can sign in with GitLab's own password. Without another way to sign in, nobody can. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_authentication_enabled_for_web: Option<bool>,
    /// Whether Git over HTTP takes GitLab's own password, beside tokens. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_authentication_enabled_for_git: Option<bool>,
    /// Whether users who have signed in through a provider can no longer do so with GitLab's own password. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_password_authentication_for_users_with_sso_identities: Option<bool>,
    /// The providers of `deploy.sign_in`, or of gitlab.rb, that are switched off. GitLab's default: empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["github"]]))]
    pub disabled_oauth_sign_in_sources: Option<BTreeSet<String>>,
    /// After how many wrong passwords an account is locked. GitLab's default: none is set, which stands for 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_login_attempts: Option<u32>,
    /// For how many minutes an account stays locked. GitLab's default: none is set, which stands for 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub failed_login_attempts_unlock_period_in_minutes: Option<u32>,
    /// Whether who is locked, or signs in from a new address, has to enter a code sent by mail. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_email_verification_on_account_locked: Option<bool>,
    /// Whether users are told by mail of a sign-in from an address that is new. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_on_unknown_sign_in: Option<bool>,
    /// Whether administrators have to sign in once more before they work as such. Tokens need the scope `admin_mode` then. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_mode: Option<bool>,
    /// Whether users can register applications that let others sign in with their GitLab account. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_oauth_applications: Option<bool>,
    /// Whether administrators cannot give untrusted applications access to the API. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_admin_oauth_scopes: Option<bool>,
    /// Where who is not signed in is sent to; empty: the sign-in page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["https://example.org"]))]
    pub home_page_url: Option<String>,
    /// Where who signs out is sent to; empty: the sign-in page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["https://id.example.org/logout"]))]
    pub after_sign_out_path: Option<String>,
    /// Minutes until an idle session ends. Counts from GitLab's next restart. GitLab's default: 10080, a week.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub session_expire_delay: Option<u32>,
    /// Whether a session ends so long after it began, even if it is in use. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expire_from_init: Option<bool>,
    /// Whether users can stay signed in for two weeks. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remember_me_enabled: Option<bool>,
    /// Whether everybody has to set up two-factor authentication. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_two_factor_authentication: Option<bool>,
    /// Hours within which they have to. 0: at their next sign-in. GitLab's default: 48.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_factor_grace_period: Option<u32>,
    /// Whether administrators have to set up two-factor authentication. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_admin_two_factor_authentication: Option<bool>,
    /// Minutes for which one second factor is enough for Git over SSH. GitLab's default: 15.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_080), extend("x-edition" = "ee"))]
    pub git_two_factor_session_expiry: Option<u32>,
    /// How many characters a password has at least; counts when it is set. GitLab's default: 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 128))]
    pub minimum_password_length: Option<u32>,
    /// Whether a password needs a digit. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee"))]
    pub password_number_required: Option<bool>,
    /// Whether a password needs a small letter. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee"))]
    pub password_lowercase_required: Option<bool>,
    /// Whether a password needs a capital letter. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee"))]
    pub password_uppercase_required: Option<bool>,
    /// Whether a password needs a symbol. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee"))]
    pub password_symbol_required: Option<bool>,
    /// Whether access tokens need an expiry date. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_personal_access_token_expiry: Option<bool>,
    /// Days for which an access token holds at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 400), extend("x-edition" = "ee"))]
    pub max_personal_access_token_lifetime: Option<u32>,
    /// Days for which an SSH key holds at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 400), extend("x-edition" = "ee"))]
    pub max_ssh_key_lifetime: Option<u32>,
    /// Days after which access tokens of groups and repos that are no longer valid are removed. GitLab's default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub inactive_resource_access_tokens_delete_after_days: Option<u32>,
    /// Whether runners can still be registered with registration tokens, which GitLab has deprecated. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_runner_registration_token: Option<bool>,
    /// Bits of an RSA key at least; 0: any; -1: none are taken. GitLab's default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rsa_key_restriction: Option<RsaSize>,
    /// Bits of a DSA key at least; 0: any; -1: none are taken. GitLab's default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dsa_key_restriction: Option<DsaSize>,
    /// Bits of an ECDSA key at least; 0: any; -1: none are taken. GitLab's default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecdsa_key_restriction: Option<EcdsaSize>,
    /// Bits of an Ed25519 key at least; 0: any; -1: none are taken. GitLab's default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ed25519_key_restriction: Option<Ed25519Size>,
    /// Whether new users are external: they see only what they are members of. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_default_external: Option<bool>,
    /// A regular expression of the mail addresses whose users are not external all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_default_internal_regex: Option<String>,
    /// Whether profiles of new users are private. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_defaults_to_private_profile: Option<bool>,
    /// Whether new users can create groups at the top. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_create_group: Option<bool>,
    /// How many personal repos a new user can have. GitLab's default: 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_projects_limit: Option<u32>,
    /// Whether users can delete their own account. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_account_deletion: Option<bool>,
    /// Whether accounts that nobody uses are deactivated, until they sign in again. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deactivate_dormant_users: Option<bool>,
    /// Days after which that is so. GitLab's default: 90.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 90))]
    pub deactivate_dormant_users_period: Option<u32>,
    /// Whether pictures of users come from Gravatar, which is told a digest of their addresses. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gravatar_enabled: Option<bool>,
    /// Who can see a new repo, unless its creator says. GitLab's default: `private`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_project_visibility: Option<Visibility>,
    /// Who can see a new group, unless its creator says. GitLab's default: `private`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_group_visibility: Option<Visibility>,
    /// Who can see a new snippet, unless its creator says. GitLab's default: `private`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_snippet_visibility: Option<Visibility>,
    /// Visibilities that only administrators can give. GitLab's default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["public"]]))]
    pub restricted_visibility_levels: Option<BTreeSet<Visibility>>,
    /// Name of the first branch of new repos; empty: `main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["main"]))]
    pub default_branch_name: Option<String>,
    /// Who can create repos in a group, unless the group says: 0: nobody, 1: maintainers, 2: developers, 3: administrators, 4: owners. GitLab's default: 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_project_creation: Option<ProjectCreation>,
    /// Days that a group or repo is kept after somebody deleted it. GitLab's default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 90))]
    pub deletion_adjourned_period: Option<u32>,
    /// By which protocol Git reaches the instance. GitLab's default: `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled_git_access_protocol: Option<Protocol>,
    /// Whether owners of repos can export them as a file. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_export_enabled: Option<bool>,
    /// From where repos can be imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["git", "github", "gitlab_project"]]))]
    pub import_sources: Option<BTreeSet<ImportSource>>,
    /// Whether groups can be moved here from another GitLab. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulk_import_enabled: Option<bool>,
    /// Mebibytes that one push may have. GitLab's default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub receive_max_input_size: Option<u32>,
    /// Mebibytes that an attachment may have. GitLab's default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_attachment_size: Option<u32>,
    /// Mebibytes that an imported file may have; 0: no limit. GitLab's default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_import_size: Option<u32>,
    /// Whether Auto DevOps runs in repos without a CI/CD file, unless they say. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_devops_enabled: Option<bool>,
    /// Whether instance runners build new repos. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_runners_enabled: Option<bool>,
    /// Where new repos have their CI/CD file; empty: `.gitlab-ci.yml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub default_ci_config_path: Option<String>,
    /// How long artifacts are kept, unless the job says. GitLab's default: `30 days`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["30 days"]))]
    pub default_artifacts_expire_in: Option<String>,
    /// Whether the latest artifacts of each branch are kept beyond their expiry. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_latest_artifact: Option<bool>,
    /// Mebibytes that a job's artifacts may have. GitLab's default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_artifacts_size: Option<u32>,
    /// Whether new CI/CD variables are protected, unless their creator says. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_ci_variables: Option<bool>,
    /// Whether webhooks and integrations may reach the network that GitLab itself is in. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_local_requests_from_web_hooks_and_services: Option<bool>,
    /// Whether system hooks may. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_local_requests_from_system_hooks: Option<bool>,
    /// Whether GitLab asks gitlab.com for newer versions, which is told this instance's. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_check_enabled: Option<bool>,
    /// Whether GitLab tells gitlab.com each week how much it is used. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_ping_enabled: Option<bool>,
    /// What the help page says beside GitLab's own, in Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help_page_text: Option<String>,
    /// Where the help page sends who needs help; empty: GitLab's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["https://help.example.org"]))]
    pub help_page_support_url: Option<String>,
    /// The first day of a week: 0: Sunday, 1: Monday, 6: Saturday. GitLab's default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_day_of_week: Option<FirstDay>,
}

/// Whether who signs up has to confirm their mail address.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmailConfirmation {
    /// No.
    Off,
    /// Within three days; they can sign in meanwhile.
    Soft,
    /// Before they can sign in.
    Hard,
}

/// By which protocol Git reaches the instance.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// SSH and HTTP.
    All,
    /// SSH alone.
    Ssh,
    /// HTTP alone.
    Http,
}

/// From where repos can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportSource {
    Bitbucket,
    BitbucketServer,
    Fogbugz,
    Git,
    Gitea,
    Github,
    GitlabProject,
    Manifest,
}

/// How long an RSA key has to be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = [-1, 0, 1024, 2048, 3072, 4096]))]
pub struct RsaSize(i32);

/// How long a DSA key has to be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = [-1, 0, 1024, 2048, 3072]))]
pub struct DsaSize(i32);

/// How long an ECDSA key has to be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = [-1, 0, 256, 384, 521]))]
pub struct EcdsaSize(i32);

/// How long an Ed25519 key has to be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = [-1, 0, 256]))]
pub struct Ed25519Size(i32);

/// Who can create repos in a group, by GitLab's number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = [0, 1, 2, 3, 4]))]
pub struct ProjectCreation(u8);

/// The first day of a week, by GitLab's number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = [0, 1, 6]))]
pub struct FirstDay(u8);

impl Settings {
    /// What is wrong with fields that are each well-formed.
    pub fn problems(&self) -> Vec<FieldProblem> {
        let restricted = self.restricted_visibility_levels.as_ref();
        let defaults = [
            ("default_project_visibility", self.default_project_visibility),
            ("default_group_visibility", self.default_group_visibility),
        ];
        let mut problems: Vec<_> = defaults
            .into_iter()
            .filter(|(_, default)| {
                default.is_some_and(|default| restricted.is_some_and(|levels| levels.contains(&default)))
            })
            .map(|(field, _)| FieldProblem {
                field: field.into(),
                message: "`restricted_visibility_levels` forbids it: write another, or take it off that list"
                    .into(),
            })
            .collect();
        let is_empty = self.domain_denylist.as_ref().is_some_and(BTreeSet::is_empty);
        if self.domain_denylist_enabled == Some(true) && is_empty {
            problems.push(FieldProblem {
                field: "domain_denylist".into(),
                message:
                    "GitLab takes no empty list while `domain_denylist_enabled` is true: write `false` there"
                        .into(),
            });
        }
        problems
    }
}
