//! The blueprint: everything that follows from what is declared, before anything is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use url::{Host, Url};

use super::container;
use super::endpoints::Endpoints;
use super::omnibus::{Settings, Told};
use super::place::{MOUNT, Place};
use super::tls;
use crate::config::SecretRef;
use crate::config::deploy::{Deploy, Restart, Size, Tls, Ulimit, Volumes};
use crate::core::Fields;

/// The container's shared memory, unless the config says another.
const SHM: Size = Size(256 << 20);

/// How long the name of a host may be. Source: `HOST_NAME_MAX` of Linux.
const HOSTNAME: usize = 64;

/// What the container is to be, and what GitLab in it is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Blueprint {
    /// The container's name.
    pub name: String,
    /// The image, as written.
    pub image: String,
    /// Where it is reached.
    pub endpoints: Endpoints,
    /// The settings of `gitlab.rb`.
    pub settings: Settings,
    /// The secrets that the settings read, by the name of their file.
    pub secrets: BTreeMap<String, SecretRef>,
    /// The hosts that AutoGit makes a certificate for; `None`: it makes none.
    pub certified: Option<BTreeSet<String>>,
    /// What is mounted, by the path in the container: the name of a volume, or an absolute path of the host.
    pub mounts: BTreeMap<String, String>,
    /// The network that it is in.
    pub network: String,
    /// Its host name.
    pub hostname: String,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Bytes of memory; `None`: no limit.
    pub memory: Option<u64>,
    /// Billionths of a processor; `None`: no limit.
    pub nano_cpus: Option<i64>,
    /// Processes and threads; `None`: no limit.
    pub pids: Option<i64>,
    /// Bytes of shared memory.
    pub shm_size: u64,
    /// Limits of its processes.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// What Docker does when it ends.
    pub restart: Restart,
    /// The labels that the config gives it.
    pub labels: BTreeMap<String, String>,
}

impl Blueprint {
    /// What follows from what is declared for the instance at `url`, whose files are in `place`.
    pub fn new(spec: &Deploy, url: &Url, place: &Place) -> Self {
        let name = super::name(spec).to_owned();
        let docker = &spec.docker;
        let endpoints = Endpoints::new(spec, url);
        let limits = docker.limits.clone().unwrap_or_default();
        let Told { settings, secrets } = Told::new(spec, &endpoints);
        Blueprint {
            image: docker.image.clone(),
            mounts: mounts(&name, &docker.volumes.clone().unwrap_or_default(), place),
            network: docker.network.clone().unwrap_or_else(|| name.clone()),
            hostname: hostname(url, &name),
            certified: matches!(spec.tls, Some(Tls::SelfSigned {})).then(|| endpoints.hosts()),
            environment: BTreeMap::from([(
                "GITLAB_OMNIBUS_CONFIG".to_owned(),
                format!("from_file('{MOUNT}/gitlab.rb')"),
            )]),
            memory: limits.memory.map(|Size(bytes)| bytes),
            nano_cpus: limits.cpus.map(|cpus| (cpus * 1e9) as i64),
            pids: limits.pids,
            shm_size: docker.shm_size.unwrap_or(SHM).0,
            ulimits: docker.ulimits.clone(),
            restart: docker.restart.unwrap_or_default(),
            labels: docker.labels.clone(),
            name,
            endpoints,
            settings,
            secrets,
        }
    }

    /// The fields that are compared with what is live. Secrets are among them as references.
    pub fn fields(&self) -> Fields {
        let settings = self
            .settings
            .iter()
            .map(|(key, value)| (key.clone(), value.to_json()));
        let fields = json!({
            "running": true,
            "image": self.image,
            "ports": self.endpoints.published,
            "mounts": self.mounts,
            "network": self.network,
            "hostname": self.hostname,
            "environment": self.environment,
            "memory": self.memory.map(Size),
            "cpus": cpus(self.nano_cpus),
            "pids": self.pids,
            "shm_size": Size(self.shm_size),
            "ulimits": self.ulimits,
            "restart": self.restart,
            "healthcheck": container::judged_by(&container::healthcheck(&self.endpoints, Duration::ZERO)),
            "labels": self.labels,
            "settings": settings.collect::<Fields>(),
            "reconfigured": true,
            "previous": null,
            "token": "valid",
        });
        let Value::Object(mut fields) = fields else {
            unreachable!("it is written as an object");
        };
        if let Some(hosts) = &self.certified {
            fields.insert(tls::FIELD.to_owned(), tls::wanted(hosts));
        }
        for (name, reference) in &self.secrets {
            fields.insert(secret_field(name), json!(reference));
        }
        fields
    }
}

/// Processors, as a number with no more digits than it takes.
pub(super) fn cpus(billionths: Option<i64>) -> Value {
    match billionths {
        Some(billionths) if billionths % 1_000_000_000 == 0 => (billionths / 1_000_000_000).into(),
        Some(billionths) => (billionths as f64 / 1e9).into(),
        None => Value::Null,
    }
}

/// The name of the field that a secret's file is compared as.
pub fn secret_field(name: &str) -> String {
    format!("secrets/{name}")
}

/// The URL's host where Linux takes it for the name of a host; the container's own name otherwise.
fn hostname(url: &Url, name: &str) -> String {
    match url.host() {
        Some(Host::Domain(host)) if host.len() <= HOSTNAME => host.to_owned(),
        _ => name.to_owned(),
    }
}

fn mounts(name: &str, volumes: &Volumes, place: &Place) -> BTreeMap<String, String> {
    let or = |given: &Option<String>, what: &str| given.clone().unwrap_or_else(|| format!("{name}-{what}"));
    BTreeMap::from([
        ("/etc/gitlab".to_owned(), or(&volumes.config, "config")),
        ("/var/log/gitlab".to_owned(), or(&volumes.logs, "logs")),
        ("/var/opt/gitlab".to_owned(), or(&volumes.data, "data")),
        (MOUNT.to_owned(), place.mounted().display().to_string()),
    ])
}
