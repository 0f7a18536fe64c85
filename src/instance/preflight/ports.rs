//! Ports of the host: held by somebody else, or not to be had.

use std::net::SocketAddr;

use super::facts::{addresses, overlap};
use super::{Asked, Facts, Findings};
use crate::live::host::Listening;

/// The first port that takes no right to listen on, where the system does not say another.
const UNPRIVILEGED: u16 = 1024;

pub(super) fn judge(asked: &Asked, facts: &Facts, findings: &mut Findings) {
    for (address, inside) in addresses(asked.blueprint) {
        let field = field(inside);
        if let Some(message) = refusal(address, field, facts) {
            findings.refuse(field, message);
        }
    }
}

/// Why this address of the host cannot be published.
fn refusal(address: SocketAddr, field: &str, facts: &Facts) -> Option<String> {
    let (port, key) = (address.port(), field.rsplit('.').next().unwrap_or_default());
    let held = facts.held.iter().find(|(held, _)| overlap(*held, address));
    if let Some((_, container)) = held {
        return Some(format!(
            "port {port} of the host is held by the container {container}: stop that, or choose another port \
             (`ports: {{{key}: …}}`)"
        ));
    }
    let from = facts.unprivileged_from.unwrap_or(UNPRIVILEGED);
    // What our own container holds already is not tried.
    let tried = facts.tried.get(&address);
    let is_open = tried.is_none() && facts.engine.local;
    if facts.engine.rootless && port < from && !is_open {
        return Some(format!(
            "port {port} takes a right that rootless Docker has not: choose a port from {from} on \
             (`ports: {{{key}: …}}`), or run `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}` on the host"
        ));
    }
    match tried? {
        Listening::Taken => Some(format!(
            "port {port} of the host is held by another program: end that (`ss -ltnp 'sport = :{port}'` as root shows \
             which it is), or choose another port (`ports: {{{key}: …}}`)"
        )),
        Listening::NoSuchAddress => Some(format!(
            "{} is no address of this host: choose one of those that `ip address` shows, or give the port alone",
            address.ip()
        )),
        Listening::Free | Listening::Forbidden | Listening::Unknown => None,
    }
}

/// The field that says which port of the host leads to this one of the container.
fn field(inside: &str) -> &'static str {
    match inside {
        "22/tcp" => "docker.ports.ssh",
        "80/tcp" => "docker.ports.http",
        "443/tcp" => "docker.ports.https",
        _ => "docker.ports.registry",
    }
}
