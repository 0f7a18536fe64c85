//! The blueprint: everything that follows from what is declared, before anything is looked at.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use url::Url;

use super::endpoints::Endpoints;
use super::omnibus::{Ruby, Settings};
use super::place::{MOUNT, Place};
use crate::config::SecretRef;
use crate::config::deploy::{Deploy, Restart, Size, Ulimit, Volumes};
use crate::core::Fields;

/// The container's shared memory, unless the config says another.
const SHM: Size = Size(256 << 20);

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
        let mut settings = Settings::from([
            (
                "external_url".to_owned(),
                url.as_str().trim_end_matches('/').into(),
            ),
            (
                "nginx['listen_port']".to_owned(),
                i64::from(endpoints.listen).into(),
            ),
            ("nginx['listen_https']".to_owned(), endpoints.https.into()),
            (
                "gitlab_rails['gitlab_shell_ssh_port']".to_owned(),
                i64::from(endpoints.ssh_port).into(),
            ),
        ]);
        let mut secrets = BTreeMap::new();
        if let Some(password) = spec.admin.as_ref().and_then(|admin| admin.password.clone()) {
            secrets.insert("root_password".to_owned(), password);
            let key = "gitlab_rails['initial_root_password']".to_owned();
            settings.insert(key, Ruby::Secret("root_password".to_owned()));
        }
        Blueprint {
            image: docker.image.clone(),
            mounts: mounts(&name, &docker.volumes.clone().unwrap_or_default(), place),
            network: docker.network.clone().unwrap_or_else(|| name.clone()),
            hostname: url.host_str().unwrap_or_default().to_owned(),
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
            "memory": self.memory,
            "nano_cpus": self.nano_cpus,
            "pids": self.pids,
            "shm_size": self.shm_size,
            "ulimits": self.ulimits,
            "restart": self.restart,
            "labels": self.labels,
            "settings": settings.collect::<Fields>(),
        });
        let Value::Object(mut fields) = fields else {
            unreachable!("it is written as an object");
        };
        for (name, reference) in &self.secrets {
            fields.insert(secret_field(name), json!(reference));
        }
        fields
    }
}

/// The name of the field that a secret's file is compared as.
pub fn secret_field(name: &str) -> String {
    format!("secrets/{name}")
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
