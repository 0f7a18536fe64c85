//! Signing in with accounts that are kept elsewhere: LDAP and OmniAuth.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::model::SecretRef;

/// Who may sign in with accounts that are kept elsewhere.
///
/// Sources: <https://docs.gitlab.com/administration/auth/ldap/>, <https://docs.gitlab.com/integration/omniauth/>.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SignIn {
    /// Directories, by name; the Community Edition takes one, called `main`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ldap: BTreeMap<String, Ldap>,
    /// Providers, by the name that stands in their callback URL: `<gitlab.url>/users/auth/<name>/callback`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, Provider>,
    /// The providers that make an account for whoever signs in first. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_single_sign_on: Option<Vec<String>>,
    /// Whether an administrator has to let in whoever a provider made an account for. GitLab's default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_auto_created_users: Option<bool>,
    /// The providers whose users are taken for GitLab's user of the same mail address. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_link_user: Option<Vec<String>>,
    /// The provider that the sign-in page goes to by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_sign_in_with_provider: Option<String>,
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
    pub port: Option<u16>,
    /// The attribute that holds the user name. Default: `sAMAccountName` with `active_directory`, `uid` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Where users are looked for.
    #[schemars(extend("examples" = ["ou=people,dc=example,dc=org"]))]
    pub base: String,
    /// How the connection is encrypted. Default: `start_tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<LdapEncryption>,
    /// Who looks for users.
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
    /// An LDAP filter of who may sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["(memberOf=cn=developers,ou=groups,dc=example,dc=org)"]))]
    pub user_filter: Option<String>,
    /// Where groups are looked for, to follow their members. Needs GitLab Premium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee"))]
    pub group_base: Option<String>,
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
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Provider {
    /// OpenID Connect: Keycloak, Authelia, Okta, Dex and others.
    OpenidConnect {
        /// What the sign-in page calls it. Default: its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// The issuer's URL, below which `.well-known/openid-configuration` is.
        #[schemars(extend("examples" = ["https://id.example.org/realms/main"]))]
        issuer: String,
        /// The client that stands for GitLab there.
        #[schemars(extend("examples" = ["gitlab"]))]
        client_id: String,
        /// Reference to the client's secret.
        #[schemars(extend("examples" = [{"env": "OIDC_SECRET"}]))]
        client_secret: SecretRef,
        /// What GitLab asks to be told. Default: openid, profile, email.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<Vec<String>>,
        /// The claim that holds the user's identity. Default: `sub`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid_field: Option<String>,
        /// Whether the exchange is protected by PKCE. Default: true.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pkce: Option<bool>,
        /// The groups, one of which whoever signs in has to be in. Needs GitLab Premium.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("x-edition" = "ee"))]
        required_groups: Option<Vec<String>>,
    },
    /// SAML 2.0.
    Saml {
        /// What the sign-in page calls it. Default: its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// Where users are sent to sign in.
        #[schemars(extend("examples" = ["https://id.example.org/saml"]))]
        idp_sso_target_url: String,
        /// The SHA-256 fingerprint of the provider's certificate.
        idp_cert_fingerprint: String,
        /// What GitLab calls itself. Default: `gitlab.url`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
        /// The form of the user's identity. Default: `urn:oasis:names:tc:SAML:2.0:nameid-format:persistent`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name_identifier_format: Option<String>,
    },
    /// GitHub, or GitHub Enterprise.
    Github {
        /// The OAuth app's id.
        app_id: String,
        /// Reference to its secret.
        app_secret: SecretRef,
        /// The URL of GitHub Enterprise; left out for github.com.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// Google.
    Google {
        /// The OAuth client's id.
        app_id: String,
        /// Reference to its secret.
        app_secret: SecretRef,
    },
}
