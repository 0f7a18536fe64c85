//! How GitLab is reached: its URL, nginx and its certificate, the proxy in front, SSH, the administrator's first password.

use super::super::endpoints::external;
use super::super::place::MOUNT;
use super::super::tls;
use super::{Endpoints, Ruby, Told};
use crate::config::deploy::{Deploy, Tls};

/// Where Puma listens beside its socket. It is Omnibus' default, set as nginx must never be given it.
const PUMA: i64 = 8080;

pub(super) fn tell(spec: &Deploy, endpoints: &Endpoints, told: &mut Told) {
    told.set("external_url", endpoints.external_url());
    told.set("nginx['listen_port']", i64::from(endpoints.listen));
    told.set("nginx['listen_https']", endpoints.https);
    told.set("puma['listen']", "127.0.0.1");
    told.set("puma['port']", PUMA);
    if endpoints.https {
        told.set("nginx['redirect_http_to_https']", endpoints.redirects);
        told.set("nginx['redirect_http_to_https_port']", 80);
    }
    certificate(spec, told);
    proxy(spec, told);
    registry(endpoints, told);
    if let Some(host) = &endpoints.ssh_host {
        told.set("gitlab_rails['gitlab_ssh_host']", host.as_str());
    }
    told.set(
        "gitlab_rails['gitlab_shell_ssh_port']",
        i64::from(endpoints.ssh_port),
    );
    administrator(spec, told);
}

/// Omnibus would ask Let's Encrypt by itself wherever it finds no certificate.
fn certificate(spec: &Deploy, told: &mut Told) {
    told.set("letsencrypt['enable']", spec.asks_lets_encrypt());
    let (chain, key) = match &spec.tls {
        None => return,
        Some(Tls::LetsEncrypt { contacts }) => {
            let contacts: Ruby = contacts.iter().map(String::as_str).collect();
            told.set("letsencrypt['contact_emails']", contacts);
            return;
        }
        Some(Tls::SelfSigned {}) => (
            format!("{MOUNT}/tls/instance.crt"),
            format!("{MOUNT}/tls/instance.key"),
        ),
        Some(Tls::Certificate { chain, key }) => {
            let chain = crate::config::SecretRef::File(chain.clone());
            told.secret(tls::CHAIN, &chain);
            told.secret(tls::KEY, key);
            (
                format!("{MOUNT}/secrets/{}", tls::CHAIN),
                format!("{MOUNT}/secrets/{}", tls::KEY),
            )
        }
    };
    let nginx = if spec.registry.is_some() {
        &["nginx", "registry_nginx"][..]
    } else {
        &["nginx"]
    };
    for nginx in nginx {
        told.set(&format!("{nginx}['ssl_certificate']"), chain.as_str());
        told.set(&format!("{nginx}['ssl_certificate_key']"), key.as_str());
    }
}

/// Omnibus tells GitLab by its URL that users come by HTTPS; who they are is believed of the proxy alone.
fn proxy(spec: &Deploy, told: &mut Told) {
    let trusted = spec.reverse_proxy.iter().flat_map(|proxy| &proxy.trusted);
    let trusted: Vec<_> = trusted.map(String::as_str).collect();
    if trusted.is_empty() {
        return;
    }
    let list: Ruby = trusted.into_iter().collect();
    told.set("nginx['real_ip_header']", "X-Forwarded-For");
    told.set("nginx['real_ip_recursive']", "on");
    told.set("nginx['real_ip_trusted_addresses']", list.clone());
    told.set("gitlab_rails['trusted_proxies']", list);
}

/// Omnibus would switch it on by itself where Let's Encrypt is asked.
fn registry(endpoints: &Endpoints, told: &mut Told) {
    told.set("registry['enable']", endpoints.registry.is_some());
    let Some(registry) = &endpoints.registry else {
        return;
    };
    told.set("registry_external_url", external(&registry.url));
    told.set("registry_nginx['listen_port']", i64::from(registry.listen));
    told.set("registry_nginx['listen_https']", endpoints.https);
    // On a port of its own it has nobody who comes by HTTP; on GitLab's, port 80 is told apart by host name as well.
    let redirects = endpoints.redirects && registry.listen == endpoints.listen;
    told.set("registry_nginx['redirect_http_to_https']", redirects);
}

fn administrator(spec: &Deploy, told: &mut Told) {
    let Some(admin) = &spec.admin else { return };
    if let Some(password) = &admin.password {
        let password = told.secret("root_password", password);
        told.set("gitlab_rails['initial_root_password']", password);
    }
    if let Some(email) = &admin.email {
        told.set("gitlab_rails['env']['GITLAB_ROOT_EMAIL']", email.as_str());
    }
}
