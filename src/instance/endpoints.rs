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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn endpoints(url: &str, ports: Value, rest: Value) -> Endpoints {
        let mut deploy = json!({"docker": {"image": "gitlab/gitlab-ce:18.8.4-ce.0", "ports": ports}});
        for (key, value) in rest.as_object().unwrap() {
            deploy[key] = value.clone();
        }
        Endpoints::new(&serde_json::from_value(deploy).unwrap(), &url.parse().unwrap())
    }

    fn published(endpoints: &Endpoints) -> Vec<(&str, &str)> {
        let published = endpoints.published.iter();
        published.map(|(port, address)| (&**port, &**address)).collect()
    }

    #[test]
    fn the_url_the_container_and_the_host_have_ports_of_their_own() {
        let plain = endpoints("http://git.lan:3000", json!({}), json!({}));
        assert_eq!(
            published(&plain),
            [("22/tcp", "0.0.0.0:2222"), ("80/tcp", "0.0.0.0:3000")]
        );
        assert_eq!((plain.https, plain.listen, plain.ssh_port), (false, 80, 2222));
        assert_eq!(plain.external_url(), "http://git.lan:3000");
        assert_eq!(plain.readiness(), "http://127.0.0.1:80/-/readiness?all=1");

        // A router leads 8080 to 3001, and 22 to 2222.
        let routed = endpoints(
            "http://git.lan:8080",
            json!({"http": "192.0.2.1:3001"}),
            json!({"ssh": {"port": 22}}),
        );
        assert_eq!(
            published(&routed),
            [("22/tcp", "0.0.0.0:2222"), ("80/tcp", "192.0.2.1:3001")]
        );
        assert_eq!((routed.listen, routed.ssh_port), (80, 22));
        assert_eq!(routed.external_url(), "http://git.lan:8080");

        let tls = json!({"tls": {"self_signed": {}}});
        let https = endpoints(
            "https://[2001:db8::1]:8443/git/",
            json!({"http": 8080, "ssh": "[::1]:22"}),
            tls,
        );
        assert_eq!(
            published(&https),
            [
                ("22/tcp", "[::1]:22"),
                ("443/tcp", "0.0.0.0:8443"),
                ("80/tcp", "0.0.0.0:8080"),
            ]
        );
        assert!(https.https && https.redirects);
        assert_eq!(https.external_url(), "https://[2001:db8::1]:8443/git");
        assert_eq!(https.readiness(), "https://127.0.0.1:443/git/-/readiness?all=1");
        assert_eq!(https.hosts(), BTreeSet::from(["2001:db8::1".to_owned()]));
    }

    #[test]
    fn behind_a_proxy_nothing_but_http_is_published() {
        let proxied = endpoints("https://git.example.org", json!({}), json!({"reverse_proxy": {}}));
        assert_eq!(
            published(&proxied),
            [("22/tcp", "0.0.0.0:2222"), ("80/tcp", "0.0.0.0:3000")]
        );
        assert!(!proxied.https && !proxied.redirects);
        assert_eq!(proxied.external_url(), "https://git.example.org");
        assert_eq!(proxied.readiness(), "http://127.0.0.1:80/-/readiness?all=1");
    }

    #[test]
    fn a_registry_shares_the_port_of_a_url_like_its_own() {
        let registry = |url: &str, ports: Value, rest: Value| {
            let mut rest = rest;
            rest["registry"] = json!({"url": url});
            let endpoints = endpoints("https://git.example.org", ports, rest);
            let address = endpoints.published.get("5050/tcp").cloned();
            (endpoints.registry.unwrap().listen, address)
        };
        let tls = || json!({"tls": {"self_signed": {}}});
        let address = |address: &str| Some(address.to_owned());
        for (url, ports, rest, expected) in [
            ("https://registry.example.org", json!({}), tls(), (443, None)),
            (
                "https://git.example.org:5000",
                json!({}),
                tls(),
                (5050, address("0.0.0.0:5000")),
            ),
            (
                "https://registry.example.org:444",
                json!({}),
                tls(),
                (5050, address("0.0.0.0:444")),
            ),
            (
                "https://registry.example.org",
                json!({"registry": 9000}),
                tls(),
                (5050, address("0.0.0.0:9000")),
            ),
            (
                "https://registry.example.org",
                json!({}),
                json!({"reverse_proxy": {}}),
                (80, None),
            ),
        ] {
            assert_eq!(registry(url, ports, rest), expected, "{url}");
        }
    }
}
