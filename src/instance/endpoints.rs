//! The three ports of everything that can be reached: what users see in URLs, what listens in the container, what the host publishes.

use std::collections::BTreeMap;

use url::Url;

use crate::config::deploy::{Deploy, Publish};

/// Where the instance is reached. Everything that names a host or port follows from this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The URL that users know.
    pub url: Url,
    /// Whether nginx in the container speaks HTTPS.
    pub https: bool,
    /// The port of nginx in the container.
    pub listen: u16,
    /// The port that clone URLs over SSH show.
    pub ssh_port: u16,
    /// What the host publishes: from the container's port (`443/tcp`) to address and port (`0.0.0.0:443`).
    pub published: BTreeMap<String, String>,
}

/// The port of the host for HTTP, unless the config says another.
const HTTP: u16 = 3000;
/// The port of the host for SSH, unless the config says another.
const SSH: u16 = 2222;

impl Endpoints {
    /// What follows from what is declared.
    pub fn new(spec: &Deploy, url: &Url) -> Self {
        let https = url.scheme() == "https" && spec.reverse_proxy.is_none();
        let listen = if https { 443 } else { 80 };
        let ports = spec.docker.ports.clone().unwrap_or_default();
        let main = match https {
            true => ports
                .https
                .unwrap_or(Publish::Port(url.port_or_known_default().unwrap_or(443))),
            false => ports.http.clone().unwrap_or(Publish::Port(HTTP)),
        };
        let ssh = ports.ssh.unwrap_or(Publish::Port(SSH));
        let mut published = BTreeMap::from([
            (format!("{listen}/tcp"), address(&main)),
            ("22/tcp".to_owned(), address(&ssh)),
        ]);
        if let (true, Some(http)) = (https, ports.http) {
            published.insert("80/tcp".to_owned(), address(&http));
        }
        Endpoints {
            url: url.clone(),
            https,
            listen,
            ssh_port: port(&ssh),
            published,
        }
    }
}

/// The address and port that a port of the host is bound to.
fn address(publish: &Publish) -> String {
    match publish {
        Publish::Port(port) => format!("0.0.0.0:{port}"),
        Publish::Address(address) => address.clone(),
    }
}

/// The port alone.
fn port(publish: &Publish) -> u16 {
    match publish {
        Publish::Port(port) => *port,
        Publish::Address(address) => {
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            port.unwrap_or_default()
        }
    }
}
