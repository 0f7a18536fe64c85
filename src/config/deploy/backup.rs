//! How the instance is backed up.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::model::SecretRef;

/// How the instance is backed up. A backup is GitLab's data, its `/etc/gitlab`, and a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// When: minute, hour, day of the month, month and day of the week, as cron has them. By hand alone unless this is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["15 3 * * *"]))]
    pub schedule: Option<String>,
    /// How many are kept; all, unless this is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Where they are kept.
    pub to: Target,
    /// Who can read the secrets in them. Without it they are readable for whoever can read the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<Encryption>,
    /// What is left out of the data: `artifacts`, `lfs`, `registry`, `packages` and so on. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["registry", "artifacts"]]))]
    pub skip: Vec<String>,
}

/// How many backups are kept: one that any of these asks for stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of so many days.
    pub daily: u32,
    /// The newest of each of so many weeks.
    pub weekly: u32,
    /// The newest of each of so many months.
    pub monthly: u32,
}

/// Where backups are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// A directory of this host, relative to the config.
    Directory(#[schemars(extend("examples" = ["/srv/backups/gitlab"]))] PathBuf),
    /// S3-compatible object storage.
    S3 {
        /// Its URL.
        #[schemars(extend("examples" = ["https://s3.example.org"]))]
        endpoint: String,
        /// Its region. Default: `us-east-1`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The bucket.
        bucket: String,
        /// What stands before every name in the bucket.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
        /// The name of the key.
        access_key: String,
        /// Reference to the key.
        secret_key: SecretRef,
    },
    /// A repository of restic, which has to be installed. It encrypts by itself.
    Restic {
        /// The repository, as restic takes it.
        #[schemars(extend("examples" = ["sftp:backup@nas.lan:/gitlab"]))]
        repository: String,
        /// Reference to its password.
        password: SecretRef,
    },
}

/// Who can read the secrets in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Encryption {
    /// The holders of these keys of age, which has to be installed. Only public keys stand here.
    Age(
        #[schemars(length(min = 1), extend("examples" = [["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]]))]
         Vec<String>,
    ),
}
