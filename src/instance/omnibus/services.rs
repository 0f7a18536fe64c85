//! What GitLab has around it: mail and object storage.

use std::collections::BTreeMap;

use super::{Endpoints, Ruby, Told};
use crate::config::deploy::{Deploy, OBJECTS, ObjectStorage, Smtp, SmtpTls};

pub(super) fn tell(spec: &Deploy, endpoints: &Endpoints, told: &mut Told) {
    told.set("gitlab_rails['gitlab_email_enabled']", spec.smtp.is_some());
    told.set("gitlab_rails['smtp_enable']", spec.smtp.is_some());
    if let Some(smtp) = &spec.smtp {
        mail(smtp, endpoints, told);
    }
    told.set(
        "gitlab_rails['object_store']['enabled']",
        spec.object_storage.is_some(),
    );
    if let Some(storage) = &spec.object_storage {
        objects(storage, told);
    }
}

/// Source: <https://docs.gitlab.com/omnibus/settings/smtp/>.
fn mail(smtp: &Smtp, endpoints: &Endpoints, told: &mut Told) {
    let tls = smtp.tls.unwrap_or_default();
    let port = smtp.port.unwrap_or(match tls {
        SmtpTls::Implicit => 465,
        SmtpTls::Starttls | SmtpTls::None => 587,
    });
    let domain = smtp
        .domain
        .as_deref()
        .or(endpoints.url.host_str())
        .unwrap_or_default();
    told.set("gitlab_rails['smtp_address']", smtp.address.as_str());
    told.set("gitlab_rails['smtp_port']", i64::from(port));
    told.set("gitlab_rails['smtp_domain']", domain);
    told.set("gitlab_rails['smtp_tls']", tls == SmtpTls::Implicit);
    told.set(
        "gitlab_rails['smtp_enable_starttls_auto']",
        tls == SmtpTls::Starttls,
    );
    if let Some(user_name) = &smtp.user_name {
        told.set("gitlab_rails['smtp_user_name']", user_name.as_str());
        told.set("gitlab_rails['smtp_authentication']", "login");
    }
    if let Some(password) = &smtp.password {
        let password = told.secret("smtp_password", password);
        told.set("gitlab_rails['smtp_password']", password);
    }
    let reply_to = smtp.reply_to.as_deref().unwrap_or(&smtp.from);
    told.set("gitlab_rails['gitlab_email_from']", smtp.from.as_str());
    told.set("gitlab_rails['gitlab_email_reply_to']", reply_to);
    if let Some(name) = &smtp.display_name {
        told.set("gitlab_rails['gitlab_email_display_name']", name.as_str());
    }
}

/// The consolidated form. GitLab does not start when a sort of object that is on has no bucket: it is switched off, and stays in the
/// data volume.
///
/// Source: <https://docs.gitlab.com/administration/object_storage/>.
fn objects(storage: &ObjectStorage, told: &mut Told) {
    let mut connection = BTreeMap::from([
        ("provider", Ruby::from("AWS")),
        ("region", storage.region.as_str().into()),
        ("aws_access_key_id", storage.access_key.as_str().into()),
    ]);
    let secret = told.secret("object_storage_secret_key", &storage.secret_key);
    connection.insert("aws_secret_access_key", secret);
    if let Some(endpoint) = &storage.endpoint {
        connection.insert("endpoint", endpoint.as_str().into());
    }
    let path_style = storage.path_style.unwrap_or(storage.endpoint.is_some());
    connection.insert("path_style", path_style.into());
    let connection = connection.into_iter().map(|(key, value)| (key.to_owned(), value));
    told.set(
        "gitlab_rails['object_store']['connection']",
        Ruby::Map(connection.collect()),
    );
    for sort in OBJECTS {
        let key = format!("gitlab_rails['object_store']['objects']['{sort}']");
        match storage.buckets.get(sort) {
            Some(bucket) => told.set(&format!("{key}['bucket']"), bucket.as_str()),
            None => told.set(&format!("{key}['enabled']"), false),
        }
    }
    if storage.buckets.contains_key("external_diffs") {
        told.set("gitlab_rails['external_diffs_enabled']", true);
    }
}
