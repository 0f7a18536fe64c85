//! What GitLab has around it: proxy, registry, mail, object storage, monitoring.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::model::SecretRef;

/// A proxy in front of GitLab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReverseProxy {
    /// The addresses that the proxy comes from: only they are believed about where a request came from. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["172.16.0.0/12"]]))]
    pub trusted: Vec<String>,
}

/// SSH as users reach it: through a router or a load balancer, say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ssh {
    /// The host. Default: that of `gitlab.url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["ssh.example.org"]))]
    pub host: Option<String>,
    /// The port. Default: the host's port `docker.ports.ssh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("examples" = [22]))]
    pub port: Option<u16>,
}

/// The container registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Its public URL: a host name of its own, or the instance's with another port. It begins as `gitlab.url` does.
    #[schemars(extend("examples" = ["https://registry.example.org"]))]
    pub url: String,
}

/// How mail is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// The server.
    #[schemars(extend("examples" = ["smtp.example.org"]))]
    pub address: String,
    /// Its port. Default: 465 with `tls: implicit`, 587 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Who signs in to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["gitlab@example.org"]))]
    pub user_name: Option<String>,
    /// Reference to the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"env": "SMTP_PASSWORD"}]))]
    pub password: Option<SecretRef>,
    /// What GitLab calls itself towards the server. Default: the URL's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// How the connection is encrypted. Default: `starttls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SmtpTls>,
    /// The sender's address.
    #[schemars(extend("examples" = ["gitlab@example.org"]))]
    pub from: String,
    /// The sender's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Where answers go. Default: `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

/// How mail is encrypted on its way to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// From the first byte on.
    Implicit,
    /// Once connected, if the server offers it.
    #[default]
    Starttls,
    /// Not at all.
    None,
}

/// S3-compatible object storage.
///
/// Source: <https://docs.gitlab.com/administration/object_storage/>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectStorage {
    /// Its URL; left out for AWS itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["https://s3.example.org"]))]
    pub endpoint: Option<String>,
    /// Its region.
    #[schemars(extend("examples" = ["eu-central-1"]))]
    pub region: String,
    /// The name of the key.
    #[schemars(extend("examples" = ["gitlab"]))]
    pub access_key: String,
    /// Reference to the key.
    #[schemars(extend("examples" = [{"env": "S3_SECRET_KEY"}]))]
    pub secret_key: SecretRef,
    /// Whether the bucket stands in the path rather than in the host's name. Default: true with an `endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// The bucket of each sort of object: `artifacts`, `external_diffs`, `lfs`, `uploads`, `packages`, `dependency_proxy`,
    /// `terraform_state`, `ci_secure_files`, `pages`, and `agent_plan_content` from 19.2 on. What has none stays in the data volume.
    /// A bucket has to be there already; `bucket/prefix` shares one.
    #[schemars(extend("examples" = [{"artifacts": "gitlab-artifacts", "lfs": "gitlab-lfs"}]))]
    pub buckets: BTreeMap<String, String>,
}

/// The sorts of object that GitLab keeps in object storage.
///
/// Sources: `config/object_store_settings.rb` of GitLab 18.9, `gitlab_rails['object_store']['objects']` of Omnibus 19.2.
pub(crate) const OBJECTS: [&str; 10] = [
    "agent_plan_content",
    "artifacts",
    "ci_secure_files",
    "dependency_proxy",
    "external_diffs",
    "lfs",
    "packages",
    "pages",
    "terraform_state",
    "uploads",
];

/// What GitLab measures of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Monitoring {
    /// Whether the built-in Prometheus and its exporters run. Default: not with `profile: minimal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<bool>,
    /// The addresses that may ask for health and metrics, beside localhost. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["10.0.0.0/8"]]))]
    pub allow_from: Vec<String>,
}
