//! Which service answers where: the port in the container, and the port of the host that leads to it, defaults included.

use url::Url;

use super::{Deploy, Publish, Tls};

/// The port of the host for HTTP behind a reverse proxy, unless the config says another.
const PROXIED: u16 = 3000;
/// The port of the host for SSH, unless the config says another.
const SSH: u16 = 2222;
/// The port in the container of a registry that does not share nginx's. Nothing of Omnibus' own listens there.
const REGISTRY: u16 = 5050;

/// What can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// GitLab itself, by HTTP or HTTPS; a registry that shares its port, too.
    Web,
    /// Plain HTTP beside HTTPS: it leads there, and answers Let's Encrypt.
    Redirect,
    /// Git over SSH.
    Ssh,
    /// The registry on a port of its own.
    Registry,
}

impl Service {
    /// The field of the config that says which port of the host leads to it, from `deploy` on.
    pub fn field(self, speaks_https: bool) -> &'static str {
        match self {
            Service::Web if speaks_https => "docker.ports.https",
            Service::Web | Service::Redirect => "docker.ports.http",
            Service::Ssh => "docker.ports.ssh",
            Service::Registry => "docker.ports.registry",
        }
    }
}

/// A service that the host lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What answers.
    pub service: Service,
    /// Its port in the container.
    pub port: u16,
    /// The port of the host that leads there.
    pub host: Publish,
}

impl Deploy {
    /// Whether GitLab itself speaks HTTPS to whoever comes.
    pub fn speaks_https(&self, url: &Url) -> bool {
        url.scheme() == "https" && self.reverse_proxy.is_none()
    }

    /// The registry's URL, if there is a registry and this is one.
    pub fn registry_url(&self) -> Option<Url> {
        Url::parse(&self.registry.as_ref()?.url).ok()
    }

    /// Whether the registry has a port of its own, rather than nginx telling it from GitLab by its host name.
    pub fn has_registry_port(&self, url: &Url) -> bool {
        self.registry_url().is_some_and(|registry| {
            let public = |url: &Url| (url.scheme().to_owned(), url.port_or_known_default());
            let is_given = self
                .docker
                .ports
                .as_ref()
                .is_some_and(|ports| ports.registry.is_some());
            is_given || public(&registry) != public(url) || registry.host() == url.host()
        })
    }

    /// All that the host lets in to the GitLab at `url`.
    pub fn listeners(&self, url: &Url) -> Vec<Listener> {
        let ports = self.docker.ports.clone().unwrap_or_default();
        let of_url = |url: &Url| Publish::Port(url.port_or_known_default().unwrap_or_default());
        let https = self.speaks_https(url);
        let web = match (https, &self.reverse_proxy) {
            (true, _) => ports.https.unwrap_or_else(|| of_url(url)),
            (false, Some(_)) => ports.http.clone().unwrap_or(Publish::Port(PROXIED)),
            (false, None) => ports.http.clone().unwrap_or_else(|| of_url(url)),
        };
        let listener = |service, port, host| Listener { service, port, host };
        let mut listeners = vec![
            listener(Service::Web, if https { 443 } else { 80 }, web),
            listener(Service::Ssh, 22, ports.ssh.unwrap_or(Publish::Port(SSH))),
        ];
        listeners.extend(
            ports
                .http
                .filter(|_| https)
                .map(|http| listener(Service::Redirect, 80, http)),
        );
        if let (true, Some(registry)) = (self.has_registry_port(url), self.registry_url()) {
            let host = ports.registry.unwrap_or_else(|| of_url(&registry));
            listeners.push(listener(Service::Registry, REGISTRY, host));
        }
        listeners
    }

    /// Whether Omnibus asks Let's Encrypt for the certificate.
    pub fn asks_lets_encrypt(&self) -> bool {
        matches!(self.tls, Some(Tls::LetsEncrypt { .. }))
    }
}
