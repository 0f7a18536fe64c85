//! What GitLab has around it: mail, object storage, monitoring, the administrator.

use std::collections::BTreeSet;

use url::Url;

use super::super::super::shape::FieldProblem;
use super::super::super::suggest;
use super::super::{Deploy, OBJECTS, ObjectStorage, Smtp};
use super::{mail, network, problem};

pub(super) fn check(deploy: &Deploy) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    problems.extend(deploy.smtp.iter().flat_map(smtp));
    problems.extend(deploy.object_storage.iter().flat_map(object_storage));
    let networks = deploy
        .monitoring
        .iter()
        .flat_map(|monitoring| &monitoring.allow_from);
    problems.extend(networks.filter_map(|text| network("monitoring.allow_from", text)));
    let email = deploy.admin.as_ref().and_then(|admin| admin.email.as_deref());
    problems.extend(email.and_then(|email| mail("admin.email", email)));
    problems
}

fn smtp(smtp: &Smtp) -> Vec<FieldProblem> {
    let mut problems: Vec<_> = mail("smtp.from", &smtp.from).into_iter().collect();
    problems.extend(smtp.reply_to.as_deref().and_then(|to| mail("smtp.reply_to", to)));
    match (&smtp.user_name, &smtp.password) {
        (Some(_), None) => problems.push(problem(
            "smtp.user_name",
            "nobody can sign in without a password; add `password: {env: SMTP_PASSWORD}`, or remove `user_name`",
        )),
        (None, Some(_)) => problems.push(problem(
            "smtp.password",
            "there is a password and nobody who signs in with it; add `user_name`, or remove `password`",
        )),
        _ => {}
    }
    if smtp.address.is_empty() || smtp.address.contains([':', '/', ' ']) {
        let message = "this is no host name; write the server alone, and its port as `port`";
        problems.push(problem("smtp.address", message));
    }
    problems
}

fn object_storage(storage: &ObjectStorage) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    if let Some(endpoint) = &storage.endpoint {
        let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty();
        if !Url::parse(endpoint).as_ref().is_ok_and(is_web) {
            let message = "this is no URL of a web server; write one like `https://s3.example.org`";
            problems.push(problem("object_storage.endpoint", message));
        }
    }
    if storage.buckets.is_empty() {
        let message = "no sort of object has a bucket; add one, like `artifacts: gitlab-artifacts`";
        problems.push(problem("object_storage.buckets", message));
    }
    let mut taken = BTreeSet::new();
    for (sort, bucket) in &storage.buckets {
        let complaint = if !OBJECTS.contains(&&**sort) {
            let near = suggest::list(sort, &OBJECTS);
            format!("GitLab keeps no `{sort}` in object storage; what it does: {near}")
        } else if !is_bucket(bucket) {
            format!("`{bucket}` is no bucket; write its name, and `/` and a prefix if it is shared")
        } else if !taken.insert(bucket) {
            format!(
                "`{bucket}` is the bucket of two sorts of object; write another, or a prefix: `{bucket}/{sort}`"
            )
        } else {
            continue;
        };
        problems.push(problem(format!("object_storage.buckets.{sort}"), complaint));
    }
    problems
}

/// The name of a bucket, and a prefix in it. GitLab takes no empty part, nor one that begins with a dot alone.
fn is_bucket(bucket: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let fits = |part: &str| part.bytes().all(is_plain) && part.bytes().any(|byte| byte != b'.');
    bucket.split('/').all(fits)
}
