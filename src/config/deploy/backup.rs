//! How the instance is backed up.

mod cron;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::super::model::SecretRef;
use super::super::shape::FieldProblem;

pub use cron::Cron;

/// What `gitlab-backup` can leave out.
///
/// Source: `lib/backup/options.rb` of GitLab.
const PARTS: [&str; 12] = [
    "db",
    "uploads",
    "builds",
    "artifacts",
    "lfs",
    "terraform_state",
    "registry",
    "pages",
    "repositories",
    "packages",
    "ci_secure_files",
    "external_diffs",
];

/// How the instance is backed up. A backup is GitLab's data, its `/etc/gitlab`, and a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// When: minute, hour, day of the month, month and day of the week, as cron has them, in the host's time zone. By hand alone
    /// unless this is set.
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

impl Backup {
    /// Whether whoever can read a backup can read the secrets in it.
    pub fn exposes(&self) -> bool {
        self.encrypt.is_none() && !matches!(self.to, Target::Restic { .. })
    }
}

/// How many backups are kept: one that any of these asks for stays, and so does the newest, whatever they say. Days, weeks and
/// months are those of UTC, and only those with a backup count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of so many days.
    pub daily: u32,
    /// The newest of each of so many weeks, which begin on Mondays.
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
        /// The bucket, which has to be there.
        #[schemars(extend("examples" = ["gitlab-backups"]))]
        bucket: String,
        /// What stands before every name in the bucket, up to a `/`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["git.example.org"]))]
        prefix: Option<String>,
        /// The name of the key.
        #[schemars(extend("examples" = ["backup"]))]
        access_key: String,
        /// Reference to the key.
        #[schemars(extend("examples" = [{"file": "s3-secret-key"}]))]
        secret_key: SecretRef,
    },
    /// A repository of restic, which has to be installed. It encrypts by itself, and is made if it is not there.
    Restic {
        /// The repository, as restic takes it.
        #[schemars(extend("examples" = ["sftp:backup@nas.lan:/gitlab"]))]
        repository: String,
        /// Reference to its password.
        #[schemars(extend("examples" = [{"file": "restic-password"}]))]
        password: SecretRef,
    },
}

impl Target {
    /// The secret that it takes, and the field that refers to it.
    fn secret(&self) -> Option<(&'static str, &SecretRef)> {
        match self {
            Target::Directory(_) => None,
            Target::S3 { secret_key, .. } => Some(("backup.to.s3.secret_key", secret_key)),
            Target::Restic { password, .. } => Some(("backup.to.restic.password", password)),
        }
    }
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

/// Everything that is wrong with how the instance is backed up. Fields are named from `deploy` on.
pub(in crate::config) fn check(backup: &Backup) -> Vec<FieldProblem> {
    let mut found = Vec::new();
    let mut wrong = |field: &str, message: String| {
        found.push(FieldProblem {
            field: field.into(),
            message,
        });
    };
    if let Some(schedule) = &backup.schedule {
        if let Err(why) = schedule.parse::<Cron>() {
            wrong("backup.schedule", why.to_string());
        }
        if let Some((field, reference @ (SecretRef::Env(_) | SecretRef::Exec(_)))) = backup.to.secret() {
            let what = match reference {
                SecretRef::Env(_) => "has no environment of yours",
                _ => "runs no programs for secrets",
            };
            wrong(
                field,
                format!(
                    "a backup on a schedule {what}: keep this secret in a file, and write `{{file: PATH}}`"
                ),
            );
        }
    }
    if backup.keep == Some(Keep::default()) {
        wrong(
            "backup.keep",
            "this keeps nothing but the newest backup: write how many, like `{daily: 7, weekly: 4}`".into(),
        );
    }
    if let Some(part) = backup.skip.iter().find(|part| !PARTS.contains(&part.as_str())) {
        let known = PARTS.join(", ");
        wrong(
            "backup.skip",
            format!("`{part}` is no part of a backup of GitLab's; there are {known}"),
        );
    }
    if let Some(Encryption::Age(keys)) = &backup.encrypt
        && let Some(complaint) = keys.iter().find_map(|key| not_a_public_key(key))
    {
        wrong("backup.encrypt.age", complaint.into());
    }
    if let Target::S3 { endpoint, .. } = &backup.to
        && let Some(complaint) = not_an_endpoint(endpoint)
    {
        wrong("backup.to.s3.endpoint", complaint.into());
    }
    found
}

/// What is wrong with a public key of age, which is never shown: it may be the other one.
fn not_a_public_key(key: &str) -> Option<&'static str> {
    if key.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return Some(
            "this is a secret key: take it out of the config, make a new one, and write its public key here",
        );
    }
    let is_bech32 = |text: &str| {
        text.bytes()
            .all(|byte| b"023456789acdefghjklmnpqrstuvwxyz".contains(&byte))
    };
    let is_key = key
        .strip_prefix("age1")
        .is_some_and(|rest| rest.len() == 58 && is_bech32(rest));
    (!is_key).then_some(
        "this is no public key of age, which begins with `age1` and has 62 characters; `age-keygen -y FILE` prints it",
    )
}

/// What is wrong with the URL of object storage.
fn not_an_endpoint(endpoint: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(endpoint) else {
        return Some("this is no URL; write it with its scheme: `https://s3.example.org`");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Some("the URL of object storage begins with `https://` or `http://`");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("the URL holds a user or password: they belong in `access_key` and `secret_key`");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn complaints(backup: serde_json::Value) -> Vec<(String, String)> {
        let found = check(&serde_json::from_value(backup).unwrap());
        let found = found.into_iter();
        found
            .map(|problem| (problem.field.to_string(), problem.message))
            .collect()
    }

    #[test]
    fn what_can_be_known_beforehand_is_found_with_its_field() {
        let fine = serde_json::json!({
            "schedule": "15 3 * * *", "keep": {"last": 1}, "to": {"directory": "/srv"}, "skip": ["registry"],
            "encrypt": {"age": [KEY]},
        });
        assert_eq!(complaints(fine), []);
        let s3 = |endpoint: &str, secret: serde_json::Value| {
            serde_json::json!({
                "schedule": "0 * * * *",
                "to": {"s3": {"endpoint": endpoint, "bucket": "b", "access_key": "k", "secret_key": secret}},
            })
        };
        let file = serde_json::json!({"file": "key"});
        assert_eq!(complaints(s3("https://s3.lan", file.clone())), []);
        for (backup, field, says) in [
            (
                serde_json::json!({"to": {"directory": "/srv"}, "schedule": "61 3 * * *"}),
                "backup.schedule",
                "minute",
            ),
            (
                serde_json::json!({"to": {"directory": "/srv"}, "keep": {}}),
                "backup.keep",
                "nothing but",
            ),
            (
                serde_json::json!({"to": {"directory": "/srv"}, "skip": ["lfs", "wiki"]}),
                "backup.skip",
                "`wiki`",
            ),
            (
                serde_json::json!({"to": {"directory": "/srv"}, "encrypt": {"age": ["AGE-SECRET-KEY-1CANARY"]}}),
                "backup.encrypt.age",
                "secret key",
            ),
            (
                serde_json::json!({"to": {"directory": "/srv"}, "encrypt": {"age": ["ssh-ed25519 AAAA"]}}),
                "backup.encrypt.age",
                "no public key",
            ),
            (s3("s3.lan", file.clone()), "backup.to.s3.endpoint", "no URL"),
            (
                s3("https://u:canary@s3.lan", file),
                "backup.to.s3.endpoint",
                "holds a user",
            ),
            (
                s3("https://s3.lan", serde_json::json!({"env": "KEY"})),
                "backup.to.s3.secret_key",
                "in a file",
            ),
        ] {
            let found = complaints(backup);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].0, field);
            assert!(found[0].1.contains(says), "{found:?}");
            assert!(!found[0].1.to_lowercase().contains("canary"), "{found:?}");
        }
    }
}
