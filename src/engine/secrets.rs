//! Secret fields: from the references that are declared to fingerprints for the plan, and to values for what is written.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::state::FingerprintKey;
use crate::config::{Config, SecretRef};
use crate::core::{Address, Fields, Present, Problem, Step, Wanted};
use crate::kinds;
use crate::live::secrets::{Error, Secrets};

/// The values of the secret fields of one resource.
pub type Values = BTreeMap<String, SecretString>;

/// Notes of every secret field that is wanted the fingerprint of what it refers to. Without `secrets` none is resolved,
/// and none compared.
pub async fn fingerprint(
    wanted: &mut BTreeMap<Address, Wanted>,
    secrets: Option<&Secrets>,
    key: &FingerprintKey,
) -> Vec<Problem> {
    for (address, wanted) in wanted.iter_mut() {
        let fields = references(address, &wanted.value).into_keys();
        wanted.secrets = fields.map(|field| (field, None)).collect();
    }
    let Some(secrets) = secrets else {
        return Vec::new();
    };
    let with_secrets = wanted.iter_mut().filter(|(_, wanted)| !wanted.secrets.is_empty());
    let resolved = with_secrets.map(async |(address, wanted)| {
        let mut problems = Vec::new();
        for (field, print) in &mut wanted.secrets {
            match value(secrets, address, &wanted.value, field).await {
                Ok(secret) => *print = Some(key.of(address, field, &Value::from(secret.expose_secret()))),
                Err(message) => problems.push(problem(address, field, message)),
            }
        }
        problems
    });
    join_all(resolved).await.concat()
}

/// What can be told of a config's secrets without a GitLab: those that resolve here are judged. Gives what is wrong, and
/// what could not be judged.
pub async fn judge(config: &Config, secrets: &Secrets) -> (Vec<Problem>, BTreeSet<String>) {
    let mut problems = Vec::new();
    let mut unknown = BTreeSet::new();
    for (address, declared) in &config.declarations {
        for (field, reference) in references(address, &declared.value) {
            match secrets.value(&reference).await {
                Ok(secret) => {
                    let judged = judged(address, &declared.value, &field, secret);
                    problems.extend(judged.err().map(|message| problem(address, &field, message)));
                }
                Err(error @ Error::OwnToken(_)) => problems.push(problem(address, &field, error.to_string())),
                Err(_) => {
                    unknown.insert(format!("{address} ({field})"));
                }
            }
        }
    }
    (problems, unknown)
}

/// The values that a step sets.
///
/// # Errors
/// When one is not to be had, or GitLab would not take it.
pub async fn values(secrets: &Secrets, step: &Step) -> Result<Values, String> {
    let mut values = Values::new();
    for change in step.changes.iter().filter(|change| change.secret) {
        let value = value(secrets, &step.address, &step.value, &change.field).await?;
        values.insert(change.field.clone(), value);
    }
    Ok(values)
}

/// The fingerprints of `values`.
pub fn prints(key: &FingerprintKey, address: &Address, values: &Values) -> BTreeMap<String, String> {
    let print = |(field, value): (&String, &SecretString)| {
        (
            field.clone(),
            key.of(address, field, &Value::from(value.expose_secret())),
        )
    };
    values.iter().map(print).collect()
}

/// The fingerprints of the secrets that are there as asked, where that can be seen.
pub fn prints_as_asked(
    key: &FingerprintKey,
    address: &Address,
    wanted: &Wanted,
    found: &Present,
) -> BTreeMap<String, String> {
    let mut prints = prints(key, address, &found.secrets);
    prints.retain(|field, print| wanted.secrets.get(field) == Some(&Some(print.clone())));
    prints
}

async fn value(
    secrets: &Secrets,
    address: &Address,
    fields: &Fields,
    field: &str,
) -> Result<SecretString, String> {
    let reference = references(address, fields).remove(field);
    let reference = reference.ok_or_else(|| format!("`{field}` refers to nothing"))?;
    let secret = secrets
        .value(&reference)
        .await
        .map_err(|error| error.to_string())?;
    judged(address, fields, field, secret)
}

fn judged(
    address: &Address,
    fields: &Fields,
    field: &str,
    secret: SecretString,
) -> Result<SecretString, String> {
    let kind = kinds::by_name(&address.kind);
    let judge = kind.map_or(Ok(()), |kind| {
        (kind.check_secret)(fields, field, secret.expose_secret())
    });
    judge.map(|()| secret)
}

/// The references among the fields of a resource.
fn references(address: &Address, fields: &Fields) -> BTreeMap<String, SecretRef> {
    let secret = kinds::by_name(&address.kind).map_or(&[][..], |kind| kind.secrets);
    let reference = |field: &&str| serde_json::from_value(fields.get(*field)?.clone()).ok();
    secret
        .iter()
        .filter_map(|field| Some((field.to_string(), reference(field)?)))
        .collect()
}

fn problem(address: &Address, field: &str, message: String) -> Problem {
    Problem {
        address: address.clone(),
        field: Some(field.to_owned()),
        message,
    }
}
