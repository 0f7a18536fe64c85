//! The three ports of everything that can be reached: what users see in URLs, what listens in the container, what the host publishes.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use crate::config::deploy::{Deploy, Publish, Service};

/// Where the instance is reached. Everything that names a host or port follows from this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The URL that users know.
    pub url: Url,
    /// Whether nginx in the container speaks HTTPS.
    pub https: bool,
    /// The port of nginx in the container.
    pub listen: u16,
    /// Whether nginx listens on port 80 of the container, too, to lead to HTTPS.
    pub redirects: bool,
    /// The host that clone URLs over SSH show; `None`: that of the URL.
    pub ssh_host: Option<String>,
    /// The port that clone URLs over SSH show.
    pub ssh_port: u16,
    /// The registry, where there is one.
    pub registry: Option<RegistryEndpoint>,
    /// What the host publishes: from the container's port (`443/tcp`) to address and port (`0.0.0.0:443`).
    pub published: BTreeMap<String, String>,
}

/// Where the registry is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryEndpoint {
    /// The URL that users know.
    pub url: Url,
    /// The port of nginx in the container, which may be GitLab's own.
    pub listen: u16,
}

impl Endpoints {
    /// What follows from what is declared.
    pub fn new(spec: &Deploy, url: &Url) -> Self {
        let listeners = spec.listeners(url);
        let find = |service| listeners.iter().find(|listener| listener.service == service);
        let port = |service| find(service).map(|listener| listener.port);
        let listen = port(Service::Web).unwrap_or_default();
        let ssh = spec.ssh.clone().unwrap_or_default();
        let published = listeners.iter().map(|listener| {
            let port = format!("{}/tcp", listener.port);
            (port, address(&listener.host))
        });
        Endpoints {
            url: url.clone(),
            https: spec.speaks_https(url),
            listen,
            redirects: find(Service::Redirect).is_some(),
            ssh_host: ssh.host,
            ssh_port: ssh
                .port
                .or(find(Service::Ssh).map(|listener| listener.host.port()))
                .unwrap_or_default(),
            registry: spec.registry_url().map(|url| RegistryEndpoint {
                url,
                listen: port(Service::Registry).unwrap_or(listen),
            }),
            published: published.collect(),
        }
    }

    /// The URL as GitLab is told it: without a slash at its end.
    pub fn external_url(&self) -> String {
        external(&self.url)
    }

    /// What tells, asked within the container, whether all parts of GitLab are up: 200 when they are. The certificate is for another
    /// name than this.
    ///
    /// Source: <https://docs.gitlab.com/administration/monitoring/health_check/>.
    pub fn readiness(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let path = self.url.path().trim_end_matches('/');
        format!("{scheme}://127.0.0.1:{}{path}/-/readiness?all=1", self.listen)
    }

    /// The hosts that a certificate has to be for: names, and addresses without brackets.
    pub fn hosts(&self) -> BTreeSet<String> {
        let urls = std::iter::once(&self.url).chain(self.registry.iter().map(|registry| &registry.url));
        let hosts = urls.filter_map(Url::host_str);
        hosts
            .map(|host| host.trim_matches(['[', ']']).to_owned())
            .collect()
    }
}

/// A URL without a slash at its end.
pub(super) fn external(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// The address and port that a port of the host is bound to.
fn address(publish: &Publish) -> String {
    match (publish.socket(), publish) {
        (Some(socket), _) => socket.to_string(),
        // Refused when the config is checked.
        (None, Publish::Address(address)) => address.clone(),
        (None, Publish::Port(port)) => port.to_string(),
    }
}
