//! What the parts of the `deploy` section have to do with each other, beyond what the schema says of each.

mod container;
mod reach;
mod services;

use url::Url;

use super::super::shape::FieldProblem;
use super::{Deploy, backup, omnibus, sign_in};

/// Everything that is wrong with `deploy` as the GitLab at `url`. Fields are named from `deploy` on.
pub(in crate::config) fn check(deploy: &Deploy, url: &Url) -> Vec<FieldProblem> {
    let mut problems = container::check(deploy);
    problems.extend(reach::check(deploy, url));
    problems.extend(services::check(deploy));
    problems.extend(omnibus::check(deploy));
    if let Some(sign_in) = &deploy.sign_in {
        problems.extend(sign_in::check(sign_in, deploy.edition()));
    }
    problems.extend(deploy.backup.iter().flat_map(backup::check));
    problems
}

/// What is allowed in `deploy`, and hardly meant.
pub(in crate::config) fn remarks(deploy: &Deploy) -> Vec<FieldProblem> {
    let mut remarks = deploy.sign_in.as_ref().map(sign_in::remarks).unwrap_or_default();
    if deploy.backup.as_ref().is_some_and(super::Backup::exposes) {
        let remark = "backups hold GitLab's secrets, and whoever can read one can read them: add `encrypt: {age: [PUBLIC KEY]}`";
        remarks.push(problem("backup", remark));
    }
    remarks
}

/// A complaint, and what to do about it, about a field.
fn problem(field: impl Into<String>, message: impl Into<String>) -> FieldProblem {
    FieldProblem {
        field: field.into(),
        message: message.into(),
    }
}

/// Complains unless `text` is an IP address or a network: `10.0.0.0/8`.
fn network(field: &str, text: &str) -> Option<FieldProblem> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let most = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => 0,
    };
    let fits = bits.is_none_or(|bits| bits.parse().is_ok_and(|bits: u8| bits <= most));
    let complaint = || {
        problem(
            field,
            format!("`{text}` is no address and no network; write one like `10.0.0.0/8`"),
        )
    };
    (most == 0 || !fits).then(complaint)
}

/// Complains unless `text` looks like a mail address.
fn mail(field: &str, text: &str) -> Option<FieldProblem> {
    let (name, host) = text.split_once('@').unwrap_or_default();
    let is_plain = |char: char| !char.is_whitespace() && !char.is_control() && char != '@';
    let fits = !name.is_empty() && !host.is_empty() && name.chars().chain(host.chars()).all(is_plain);
    let complaint = || {
        problem(
            field,
            format!("`{text}` is no mail address; write one like `gitlab@example.org`"),
        )
    };
    (!fits).then(complaint)
}

#[cfg(test)]
mod tests;
