//! How the instance is reached: ports, HTTPS, the proxy in front of it, the registry's URL.

use std::net::SocketAddr;

use url::{Host, Url};

use super::super::super::shape::FieldProblem;
use super::super::{Deploy, Listener, Service, Tls};
use super::{mail, network, problem};

/// Ends of host names that no public authority gives a certificate for.
///
/// Sources: RFC 2606, RFC 6762, RFC 8375, and the names that ICANN keeps for private use.
const PRIVATE: [&str; 9] = [
    "local",
    "localhost",
    "lan",
    "home",
    "internal",
    "arpa",
    "test",
    "example",
    "invalid",
];

pub(super) fn check(deploy: &Deploy, url: &Url) -> Vec<FieldProblem> {
    let mut problems: Vec<_> = https(deploy, url).into_iter().collect();
    problems.extend(unused_ports(deploy, url));
    let registry = registry(deploy, url);
    // What its port is stands open while its URL is wrong.
    let listeners = deploy.listeners(url).into_iter();
    let listeners = listeners.filter(|listener| registry.is_none() || listener.service != Service::Registry);
    problems.extend(shared_ports(
        deploy.speaks_https(url),
        &listeners.collect::<Vec<_>>(),
    ));
    problems.extend(lets_encrypt(deploy, url));
    problems.extend(registry);
    if let Some(proxy) = &deploy.reverse_proxy {
        let networks = proxy.trusted.iter();
        problems.extend(networks.filter_map(|text| network("reverse_proxy.trusted", text)));
    }
    if let Some(host) = deploy.ssh.as_ref().and_then(|ssh| ssh.host.as_deref())
        && Host::parse(host).is_err()
    {
        problems.push(problem(
            "ssh.host",
            format!("`{host}` is no host name; write one like `ssh.example.org`"),
        ));
    }
    problems
}

/// Whether it is clear who speaks HTTPS.
fn https(deploy: &Deploy, url: &Url) -> Option<FieldProblem> {
    let (field, message) = match (url.scheme(), &deploy.tls, &deploy.reverse_proxy) {
        ("https", None, None) => (
            "",
            "`gitlab.url` begins with https://, and nothing says who speaks HTTPS; add `tls: {self_signed: {}}` (or \
             `certificate`, `lets_encrypt`), or `reverse_proxy: {}` if a proxy of yours does",
        ),
        (_, Some(_), Some(_)) => (
            "tls",
            "`reverse_proxy` says that a proxy ends HTTPS, so GitLab has no use for a certificate; remove one of the two",
        ),
        ("http", Some(_), None) => (
            "tls",
            "`gitlab.url` begins with http://, so there is no use for a certificate; write https:// there, or remove `tls`",
        ),
        _ => return None,
    };
    Some(problem(field, message))
}

/// Ports of the host that would lead nowhere.
fn unused_ports(deploy: &Deploy, url: &Url) -> Vec<FieldProblem> {
    let ports = deploy.docker.ports.clone().unwrap_or_default();
    let mut problems = Vec::new();
    if ports.https.is_some() && !deploy.speaks_https(url) {
        let why = match deploy.reverse_proxy {
            Some(_) => {
                "behind a reverse proxy GitLab speaks HTTP alone; write `docker.ports.http`, and lead the proxy there"
            }
            None => {
                "GitLab speaks HTTP, as `gitlab.url` says; write `docker.ports.http`, or https:// in the URL"
            }
        };
        problems.push(problem("docker.ports.https", why));
    }
    if ports.registry.is_some() && deploy.registry.is_none() {
        let why = "there is no registry; add `registry: {url: …}`, or remove the port";
        problems.push(problem("docker.ports.registry", why));
    }
    problems
}

/// Two services on one port of the host, and addresses that are none.
fn shared_ports(https: bool, listeners: &[Listener]) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let mut taken: Vec<(SocketAddr, &Listener)> = Vec::new();
    for listener in listeners {
        let field = listener.service.field(https);
        let Some(socket) = listener.host.socket() else {
            let message = "this is no address with a port from 1 to 65535; write it like `127.0.0.1:3000`";
            problems.push(problem(field, message));
            continue;
        };
        if let Some((_, other)) = taken.iter().find(|(other, _)| meet(socket, *other)) {
            let other = other.service.field(https);
            let message = format!(
                "port {} of the host leads to two services: `{field}` and `{other}`; give one of them another port",
                socket.port()
            );
            problems.push(problem(field, message));
        }
        taken.push((socket, listener));
    }
    problems
}

/// Whether the same connection could be meant by both.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (is_any || one.ip() == other.ip())
}

fn lets_encrypt(deploy: &Deploy, url: &Url) -> Vec<FieldProblem> {
    let Some(Tls::LetsEncrypt { contacts }) = &deploy.tls else {
        return Vec::new();
    };
    let field = "tls.lets_encrypt";
    let contacts = contacts.iter();
    let mut problems: Vec<_> = contacts
        .filter_map(|contact| mail("tls.lets_encrypt.contacts", contact))
        .collect();
    let has_http = deploy
        .docker
        .ports
        .as_ref()
        .is_some_and(|ports| ports.http.is_some());
    if url.scheme() == "https" && !has_http {
        let message =
            "Let's Encrypt asks on port 80, which does not lead to GitLab; add `http: 80` to `docker.ports`";
        problems.push(problem(field, message));
    }
    let urls = [Some(url.clone()), deploy.registry_url()];
    problems.extend(urls.iter().flatten().filter(|url| !is_public(url)).map(|url| {
        let host = url.host_str().unwrap_or_default();
        let message = format!(
            "Let's Encrypt gives no certificate for `{host}`; use a public host name, or `self_signed`"
        );
        problem(field, message)
    }));
    problems
}

/// Whether the host is a name that a public authority can look up.
fn is_public(url: &Url) -> bool {
    let Some(Host::Domain(name)) = url.host() else {
        return false;
    };
    let last = name.trim_end_matches('.').rsplit_once('.');
    last.is_some_and(|(_, last)| !PRIVATE.contains(&last))
}

fn registry(deploy: &Deploy, url: &Url) -> Option<FieldProblem> {
    const FIELD: &str = "registry.url";
    let written = &deploy.registry.as_ref()?.url;
    let Some(registry) = deploy.registry_url().filter(Url::has_host) else {
        let message = format!("`{written}` is not a URL; write one like `https://registry.example.org`");
        return Some(problem(FIELD, message));
    };
    let complaint = if registry.scheme() != url.scheme() {
        format!(
            "the registry's URL does not begin as `gitlab.url` does; write {}://",
            url.scheme()
        )
    } else if !registry.username().is_empty() || registry.password().is_some() {
        "the registry's URL holds a user or password; remove them".to_owned()
    } else if registry.path() != "/" || registry.query().is_some() || registry.fragment().is_some() {
        "the registry's URL ends with its host and port: Omnibus takes nothing behind them; remove it"
            .to_owned()
    } else if registry.origin() == url.origin() {
        "the registry has the very URL of GitLab; give it a host name of its own, or another port".to_owned()
    } else if deploy.reverse_proxy.is_some()
        && deploy.has_registry_port(url)
        && deploy
            .docker
            .ports
            .as_ref()
            .is_none_or(|ports| ports.registry.is_none())
    {
        "the proxy needs a port that leads to the registry; add `registry: 127.0.0.1:5050` to `docker.ports`"
            .to_owned()
    } else {
        return None;
    };
    Some(problem(FIELD, complaint))
}
