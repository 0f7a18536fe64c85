//! What is known of the host: gathered in one place, side by side.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bollard::models::ContainerSummary;

use super::super::{Blueprint, Error};
use crate::live::docker::{Engine, Looker};
use crate::live::host::{self, Filesystem, Listening};

/// What is known of the host and its Docker Engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Facts {
    /// What the Engine says of itself.
    pub engine: Engine,
    /// Whether AutoGit runs as root.
    pub is_root: bool,
    /// The ports that containers hold, and whose they are.
    pub held: Vec<(SocketAddr, String)>,
    /// What came of listening on each address that is to be published; none, where that tells nothing.
    pub tried: BTreeMap<SocketAddr, Listening>,
    /// The first port of the host that takes no right to listen on.
    pub unprivileged_from: Option<u16>,
    /// The image, where it is there: its architecture.
    pub image: Option<String>,
    /// The filesystems that data is on.
    pub filesystems: BTreeMap<PathBuf, Filesystem>,
    /// The directories of the host that are mounted.
    pub directories: BTreeMap<PathBuf, Directory>,
    /// Bytes of swap.
    pub swap: Option<u64>,
}

/// A directory of the host that is to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Directory {
    /// Whether something is there.
    pub is_there: bool,
    /// Whether that is a directory, or what is above it is.
    pub is_directory: bool,
    /// Whether AutoGit may write in it, or in what is above it.
    pub is_writable: bool,
}

impl Facts {
    /// Asks the Engine and, where that runs here, the host.
    pub async fn gather(looker: &Looker, engine: &Engine, blueprint: &Blueprint) -> Result<Self, Error> {
        let (containers, image) =
            futures_util::try_join!(looker.containers(&[]), looker.image(&blueprint.image))?;
        let own = [blueprint.name.clone(), format!("{}-previous", blueprint.name)];
        let (own, others): (Vec<_>, Vec<_>) = containers
            .into_iter()
            .partition(|container| own.iter().any(|own| name(container) == own));
        let own: Vec<SocketAddr> = own.iter().flat_map(published).collect();
        let held = others.iter().flat_map(|container| {
            let name = name(container).to_owned();
            published(container).map(move |address| (address, name.clone()))
        });
        let facts = Facts {
            held: held.collect(),
            image: image.map(|image| image.architecture.unwrap_or_default()),
            engine: engine.clone(),
            ..Facts::default()
        };
        if !engine.local {
            return Ok(facts);
        }
        let blueprint = blueprint.clone();
        let looked = tokio::task::spawn_blocking(move || facts.with_host(&blueprint, &own)).await;
        looked.map_err(|error| Error::failed(format!("failed to look at the host: {error}"), "try again"))
    }

    /// What the host itself tells. What our own container holds is not tried.
    fn with_host(mut self, blueprint: &Blueprint, own: &[SocketAddr]) -> Self {
        self.is_root = host::is_root();
        self.unprivileged_from = host::unprivileged_ports();
        self.swap = host::swap();
        let wanted = addresses(blueprint).map(|(address, _)| address);
        let free_for_us = wanted.filter(|wanted| !own.iter().any(|own| overlap(*own, *wanted)));
        self.tried = free_for_us
            .map(|address| (address, host::listen(address)))
            .collect();
        let root = PathBuf::from(&self.engine.root_dir);
        let directories: Vec<_> = directories(blueprint).collect();
        for path in directories.iter().map(|(_, path)| *path).chain([root.as_path()]) {
            if let Ok(filesystem) = host::filesystem(path) {
                self.filesystems.insert(path.to_owned(), filesystem);
            }
        }
        for (_, path) in directories {
            self.directories.insert(path.to_owned(), directory(path));
        }
        self
    }
}

fn directory(path: &Path) -> Directory {
    let there = host::existing(path);
    Directory {
        is_there: path.exists(),
        is_directory: there.is_dir(),
        is_writable: host::is_writable(&there),
    }
}

/// The addresses of the host that are to be published, each with the port of the container that it leads to.
pub(super) fn addresses(blueprint: &Blueprint) -> impl Iterator<Item = (SocketAddr, &str)> {
    let published = &blueprint.endpoints.published;
    published
        .iter()
        .filter_map(|(inside, outside)| Some((outside.parse().ok()?, inside.as_str())))
}

/// The volumes of GitLab: the field that names one, where the container has it, and its name or path.
pub(super) const VOLUMES: [(&str, &str); 3] = [
    ("docker.volumes.config", "/etc/gitlab"),
    ("docker.volumes.logs", "/var/log/gitlab"),
    ("docker.volumes.data", "/var/opt/gitlab"),
];

/// The volumes that are directories of the host, each with the field that names it.
pub(super) fn directories(blueprint: &Blueprint) -> impl Iterator<Item = (&'static str, &Path)> {
    VOLUMES.into_iter().filter_map(|(field, inside)| {
        let source = blueprint
            .mounts
            .get(inside)
            .filter(|source| source.starts_with('/'))?;
        Some((field, Path::new(source)))
    })
}

/// Whether only one of two can listen on its address.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // Listening on all addresses of IPv6 listens on those of IPv4 too.
    let covers = |a: SocketAddr, b: SocketAddr| a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    a.port() == b.port() && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
}

fn name(container: &ContainerSummary) -> &str {
    let names = container.names.as_deref().unwrap_or_default();
    let first = names.first().map(|name| name.trim_start_matches('/'));
    first.unwrap_or_default()
}

/// The addresses of the host that a container holds. Only one that runs holds any.
fn published(container: &ContainerSummary) -> impl Iterator<Item = SocketAddr> + use<> {
    let ports = container.ports.clone().unwrap_or_default();
    ports.into_iter().filter_map(|port| {
        let is_tcp = port.typ.is_none_or(|sort| sort.to_string() == "tcp");
        let address = port.ip.unwrap_or_else(|| "0.0.0.0".to_owned()).parse().ok()?;
        is_tcp.then_some(SocketAddr::new(address, port.public_port?))
    })
}
