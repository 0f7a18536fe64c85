//! Signing in with accounts that are kept elsewhere: LDAP and OmniAuth.

mod check;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::model::SecretRef;

pub(super) use check::{check, remarks};

/// Who may sign in with accounts that are kept elsewhere.
///
/// Sources: <https://docs.gitlab.com/administration/auth/ldap/>, <https://docs.gitlab.com/integration/omniauth/>.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SignIn {
    /// Directories, by name; the Community Edition takes one. The first in the alphabet is the one that the sign-in page shows first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = [{"main": {"host": "ldap.example.org", "base": "ou=people,dc=example,dc=org"}}]))]
    pub ldap: BTreeMap<String, Ldap>,
    /// Providers, by the name that stands in their callback URL: `<gitlab.url>/users/auth/<name>/callback`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = [{"keycloak": {"openid_connect": {"issuer": "https://id.example.org/realms/main", "client_id": "gitlab", "client_secret": {"env": "OIDC_SECRET"}}}}]))]
    pub providers: BTreeMap<String, Provider>,
    /// The providers that make an account for whoever signs in first. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["keycloak"]]))]
    pub allow_single_sign_on: Option<Vec<String>>,
    /// Whether an administrator has to let in whoever a provider made an account for. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_auto_created_users: Option<bool>,
    /// The providers whose users are taken for GitLab's user of the same mail address. Whoever can choose their address at such a provider can be anybody. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["keycloak"]]))]
    pub auto_link_user: Option<Vec<String>>,
    /// Whether a provider's user is taken for the directory's user of the same name. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_link_ldap_user: Option<bool>,
    /// The provider that the sign-in page goes to by itself. `<gitlab.url>/users/sign_in?auto_sign_in=false` still shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["keycloak"]))]
    pub auto_sign_in_with_provider: Option<String>,
    /// The providers whose users are external: they see only what they are members of. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["github"]]))]
    pub external_providers: Option<Vec<String>>,
    /// The providers whose users GitLab does not ask for a second factor, since they were asked there. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["keycloak"]]))]
    pub allow_bypass_two_factor: Option<Vec<String>>,
    /// The providers that set their users' profiles anew at each sign-in. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["keycloak"]]))]
    pub sync_profile_from_provider: Option<Vec<String>>,
}

/// A directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ldap {
    /// What the sign-in page calls it. Default: `LDAP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The server.
    #[schemars(extend("examples" = ["ldap.example.org"]))]
    pub host: String,
    /// Its port. Default: 636 with `encryption: simple_tls`, 389 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The attribute that holds the user name. Default: `sAMAccountName` with `active_directory`, `uid` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Where users are looked for.
    #[schemars(length(min = 1), extend("examples" = ["ou=people,dc=example,dc=org"]))]
    pub base: String,
    /// How the connection is encrypted. Default: `start_tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<LdapEncryption>,
    /// Who looks for users. Without it nobody signs in to look, which few directories allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["cn=gitlab,dc=example,dc=org"]))]
    pub bind_dn: Option<String>,
    /// Reference to the password of `bind_dn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"env": "LDAP_PASSWORD"}]))]
    pub password: Option<SecretRef>,
    /// Whether the server's certificate is checked. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_certificates: Option<bool>,
    /// Whether it is Microsoft's Active Directory. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_directory: Option<bool>,
    /// An LDAP filter of who may sign in, in parentheses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["(memberOf=cn=developers,ou=groups,dc=example,dc=org)"]))]
    pub user_filter: Option<String>,
    /// Whether user names are written small in GitLab, however the directory writes them. GitLab's default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowercase_usernames: Option<bool>,
    /// Whether an administrator has to let in whoever signs in first. GitLab's default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_auto_created_users: Option<bool>,
    /// Where groups are looked for, to follow their members. Needs GitLab Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee", "examples" = ["ou=groups,dc=example,dc=org"]))]
    pub group_base: Option<String>,
    /// The group whose members are administrators, by its common name. Needs GitLab Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee", "examples" = ["gitlab-admins"]))]
    pub admin_group: Option<String>,
}

/// How the connection to a directory is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LdapEncryption {
    /// From the first byte on.
    SimpleTls,
    /// Once connected.
    #[default]
    StartTls,
    /// Not at all.
    Plain,
}

/// A provider of accounts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// OpenID Connect: Keycloak, Authelia, Okta, Dex and others.
    OpenidConnect(OpenidConnect),
    /// SAML 2.0.
    Saml(Saml),
    /// GitHub, or GitHub Enterprise. Its name has to be `github`.
    Github(Github),
    /// Google. Its name has to be `google_oauth2`.
    GoogleOauth2(Google),
}

/// A provider that speaks OpenID Connect.
///
/// Source: <https://docs.gitlab.com/administration/auth/oidc/>.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenidConnect {
    /// What the sign-in page calls it. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Company account"]))]
    pub label: Option<String>,
    /// The issuer's URL, below which `.well-known/openid-configuration` is, just as the provider writes it.
    #[schemars(extend("examples" = ["https://id.example.org/realms/main"]))]
    pub issuer: String,
    /// The client that stands for GitLab there.
    #[schemars(extend("examples" = ["gitlab"]))]
    pub client_id: String,
    /// Reference to the client's secret.
    #[schemars(extend("examples" = [{"env": "OIDC_SECRET"}]))]
    pub client_secret: SecretRef,
    /// How GitLab shows the secret to the provider. GitLab's default: `basic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth_method: Option<ClientAuth>,
    /// What GitLab asks to be told. Default: openid, profile, email.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// The claim that holds the user's identity. It must never be given to somebody else. Default: `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["preferred_username"]))]
    pub uid_field: Option<String>,
    /// Whether the exchange is protected by PKCE. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkce: Option<bool>,
    /// The claim that holds the user's groups. Needs GitLab Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee", "examples" = ["groups"]))]
    pub groups_attribute: Option<String>,
    /// The groups, one of which whoever signs in has to be in. Needs `groups_attribute`, and GitLab Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee", "examples" = [["developers"]]))]
    pub required_groups: Option<Vec<String>>,
    /// The groups whose members are administrators. Needs `groups_attribute`, and GitLab Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee", "examples" = [["gitlab-admins"]]))]
    pub admin_groups: Option<Vec<String>>,
}

/// How a client proves to be itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// In a header (`client_secret_basic`).
    Basic,
    /// In the body (`client_secret_post`).
    Query,
}

/// A provider that speaks SAML 2.0.
///
/// Source: <https://docs.gitlab.com/integration/saml/>.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Saml {
    /// What the sign-in page calls it. Default: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Company account"]))]
    pub label: Option<String>,
    /// Where users are sent to sign in.
    #[schemars(extend("examples" = ["https://id.example.org/saml"]))]
    pub idp_sso_target_url: String,
    /// A PEM file with the provider's certificate, relative to the config. This, or its fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["saml.pem"]))]
    pub idp_cert: Option<PathBuf>,
    /// The SHA-256 fingerprint of the provider's certificate: 32 pairs of hexadecimal digits with colons between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$"))]
    pub idp_cert_fingerprint: Option<String>,
    /// What GitLab calls itself. Default: `gitlab.url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The form of the user's identity. Default: `urn:oasis:names:tc:SAML:2.0:nameid-format:persistent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_identifier_format: Option<String>,
    /// The attribute that holds the user's groups. Needs GitLab Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee", "examples" = ["Groups"]))]
    pub groups_attribute: Option<String>,
    /// The groups, one of which whoever signs in has to be in. Needs `groups_attribute`, and GitLab Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee", "examples" = [["developers"]]))]
    pub required_groups: Option<Vec<String>>,
    /// The groups whose members are administrators. Needs `groups_attribute`, and GitLab Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee", "examples" = [["gitlab-admins"]]))]
    pub admin_groups: Option<Vec<String>>,
}

/// GitHub.
///
/// Source: <https://docs.gitlab.com/integration/github/>.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// What the sign-in page calls it. Default: `GitHub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The OAuth app's id.
    #[schemars(extend("examples" = ["Iv1.0123456789abcdef"]))]
    pub app_id: String,
    /// Reference to its secret.
    #[schemars(extend("examples" = [{"env": "GITHUB_APP_SECRET"}]))]
    pub app_secret: SecretRef,
    /// The URL of GitHub Enterprise; left out for github.com.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["https://github.example.org"]))]
    pub url: Option<String>,
}

/// Google.
///
/// Source: <https://docs.gitlab.com/integration/google/>.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Google {
    /// What the sign-in page calls it. Default: `Google`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The OAuth client's id.
    #[schemars(extend("examples" = ["0123456789.apps.googleusercontent.com"]))]
    pub app_id: String,
    /// Reference to its secret.
    #[schemars(extend("examples" = [{"env": "GOOGLE_APP_SECRET"}]))]
    pub app_secret: SecretRef,
    /// The domains of Google Workspace whose accounts are taken. Default: any account of Google's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["example.org"]]))]
    pub hd: Option<Vec<String>>,
}

#[cfg(test)]
mod tests;
