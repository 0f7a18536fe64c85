//! What was seen of the instance, in the form in which it is compared with what is asked for.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, EndpointSettings, HostConfig, ImageInspect, MountPoint,
    NetworkInspect, PortBinding,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::blueprint::{self, Blueprint, secret_field};
use super::container::{LABEL, judged_by};
use super::effective::{Overriding, Sources, VEIL};
use super::omnibus;
use super::place::MOUNT;
use crate::config::deploy::{Size, names_secret};
use crate::core::{Fields, Live, Present};

/// The variable of the image whose content Omnibus reads first.
const OMNIBUS_CONFIG: &str = "GITLAB_OMNIBUS_CONFIG";
/// What stands for settings that are written into the environment, which may hold secrets.
const INLINE: &str = "(settings)";
/// What no secret is: stands for a file that is gone.
const GONE: &str = "\0";

/// What Docker and the files that AutoGit keeps tell.
#[derive(Default)]
pub(super) struct Sight {
    /// The container, as Docker identifies it.
    pub container: String,
    /// Whether it runs.
    pub is_running: bool,
    /// What it was made of.
    pub config: ContainerConfig,
    /// How it was made.
    pub host: HostConfig,
    /// What is mounted.
    pub mounts: Vec<MountPoint>,
    /// The networks that it is in.
    pub networks: HashMap<String, EndpointSettings>,
    /// The id of its image.
    pub image_id: String,
    /// What is left of a container that another one was taking the place of: its name.
    pub replaced: Option<String>,
    /// The image that is declared, if Docker has it.
    pub image: Option<ImageInspect>,
    /// The image that the container was made from, if Docker still has it.
    pub made_from: Option<ImageInspect>,
    /// The network that is declared, if it is there.
    pub network: Option<NetworkInspect>,
    /// What `GITLAB_OMNIBUS_CONFIG` reads, if it reads a file.
    pub included: Option<String>,
    /// `/etc/gitlab/gitlab.rb` of the container.
    pub gitlab_rb: Option<String>,
    /// What AutoGit keeps.
    pub kept: Kept,
}

/// What AutoGit keeps beside the config.
#[derive(Default)]
pub(super) struct Kept {
    /// The id that the label of a container bears that AutoGit made.
    pub id: Option<String>,
    /// The secrets that GitLab reads, by the name of their file.
    pub secrets: BTreeMap<String, SecretString>,
    /// Whether the container took all that it was given.
    pub is_applied: bool,
    /// Why AutoGit needs another token.
    pub token_lacks: Option<String>,
}

/// What is known of the container beyond the fields that are compared: for what is done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// As Docker identifies it.
    pub container: String,
    /// Whether AutoGit made it. What it did not make it does not make anew for the sake of looks.
    pub is_ours: bool,
    /// Whether it sees the files that AutoGit gives it: settings reach it without a new container.
    pub sees_files: bool,
    /// Lines of its `/etc/gitlab/gitlab.rb` that set something else than the config asks for.
    pub overriding: Vec<Overriding>,
}

impl Found {
    /// What is known of the container that is there.
    pub fn of(live: &Live) -> Option<Self> {
        match live {
            Live::Present(present) => serde_json::from_value(present.raw.clone()).ok(),
            Live::Absent | Live::Unreadable(_) => None,
        }
    }
}

impl Sight {
    /// What an inspection tells.
    pub fn new(inspected: ContainerInspectResponse) -> Self {
        let state = inspected.state.unwrap_or_default();
        let networks = inspected.network_settings.and_then(|settings| settings.networks);
        Sight {
            container: inspected.id.unwrap_or_default(),
            is_running: state.running == Some(true) && state.paused != Some(true),
            config: inspected.config.unwrap_or_default(),
            host: inspected.host_config.unwrap_or_default(),
            mounts: inspected.mounts.unwrap_or_default(),
            networks: networks.unwrap_or_default(),
            image_id: inspected.image.unwrap_or_default(),
            ..Sight::default()
        }
    }

    /// The container, in the form of [`Blueprint::fields`].
    pub fn present(&self, blueprint: &Blueprint) -> Present {
        let label = self.config.labels.as_ref().and_then(|labels| labels.get(LABEL));
        let own = label.filter(|label| self.kept.id.as_ref() == Some(label));
        let mounts = self.mounts();
        let asked = settings_of(blueprint);
        let sources = self.sources();
        let found = Found {
            container: self.container.clone(),
            is_ours: own.is_some(),
            sees_files: mounts.get(MOUNT) == blueprint.mounts.get(MOUNT)
                && self.omnibus_config() == blueprint.environment.get(OMNIBUS_CONFIG).map(String::as_str),
            overriding: sources.overriding(&asked),
        };
        let mut settings = sources.settings(&asked);
        if !found.is_ours {
            let defaults = sources.defaults().into_iter();
            for (key, default) in defaults.filter(|(key, _)| asked.contains_key(key)) {
                settings.entry(key).or_insert(default);
            }
        }
        let token = self.kept.token_lacks.as_deref().unwrap_or("valid");
        let mut value = self.of_docker(blueprint, mounts);
        value.extend([
            ("settings".to_owned(), settings.into()),
            (
                "reconfigured".to_owned(),
                (self.kept.is_applied || !found.sees_files).into(),
            ),
            ("previous".to_owned(), json!(self.replaced)),
            ("token".to_owned(), token.into()),
        ]);
        // Compared only where they are not asked for any more.
        let secrets = self.kept.secrets.keys();
        value.extend(secrets.map(|name| (secret_field(name), VEIL.into())));
        Present {
            id: own.unwrap_or(&self.container).clone(),
            value,
            secrets: self.secrets(blueprint),
            raw: json!(found),
            ..Present::default()
        }
    }

    /// The secrets as GitLab reads them. One whose file is gone is not as it was.
    fn secrets(&self, blueprint: &Blueprint) -> BTreeMap<String, SecretString> {
        let read = |name: &String| {
            let secret = self.kept.secrets.get(name).cloned();
            (secret_field(name), secret.unwrap_or_else(|| GONE.into()))
        };
        blueprint.secrets.keys().map(read).collect()
    }

    /// What Docker alone tells.
    fn of_docker(&self, blueprint: &Blueprint, mounts: BTreeMap<String, String>) -> Fields {
        let host = &self.host;
        let limit = |limit: Option<i64>| limit.filter(|limit| *limit > 0);
        let size = |bytes: Option<i64>| limit(bytes).and_then(|bytes| bytes.try_into().ok()).map(Size);
        let policy = host.restart_policy.as_ref().and_then(|policy| policy.name);
        let policy = policy
            .map(|name| name.to_string())
            .filter(|name| !name.is_empty());
        Fields::from_iter([
            ("running".to_owned(), self.is_running.into()),
            ("image".to_owned(), self.image(&blueprint.image).into()),
            ("ports".to_owned(), json!(self.ports())),
            ("mounts".to_owned(), json!(mounts)),
            ("network".to_owned(), self.network(&blueprint.network).into()),
            ("hostname".to_owned(), json!(self.config.hostname)),
            ("environment".to_owned(), json!(self.environment(blueprint))),
            ("memory".to_owned(), json!(size(host.memory))),
            ("cpus".to_owned(), blueprint::cpus(limit(host.nano_cpus))),
            ("pids".to_owned(), json!(limit(host.pids_limit))),
            ("shm_size".to_owned(), json!(size(host.shm_size))),
            ("ulimits".to_owned(), self.ulimits()),
            ("restart".to_owned(), policy.unwrap_or_else(|| "no".into()).into()),
            (
                "healthcheck".to_owned(),
                json!(self.config.healthcheck.as_ref().and_then(judged_by)),
            ),
            ("labels".to_owned(), json!(self.labels(blueprint))),
        ])
    }

    /// The image as it is declared, if that is what the container runs; else what it runs.
    fn image(&self, declared: &str) -> String {
        let name = self.config.image.clone().unwrap_or_default();
        if let Some(image) = &self.image {
            return match image.id.as_ref() == Some(&self.image_id) {
                true => declared.to_owned(),
                false if name != declared => name,
                // The tag was moved to another image.
                false => format!("{name} as {}", short(&self.image_id)),
            };
        }
        let digests = self
            .made_from
            .as_ref()
            .and_then(|image| image.repo_digests.as_ref());
        let is_pinned =
            digests.is_some_and(|digests| digests.iter().any(|digest| is_same_image(digest, declared)));
        if is_pinned { declared.to_owned() } else { name }
    }

    /// What the host publishes: from the port of the container to address and port.
    fn ports(&self) -> BTreeMap<String, String> {
        let bindings = self.host.port_bindings.iter().flatten();
        let published = bindings.filter_map(|(inside, bindings)| {
            let bindings = bindings.as_ref().filter(|bindings| !bindings.is_empty())?;
            let bindings: Vec<_> = bindings.iter().map(address).collect();
            Some((inside.clone(), bindings.join(", ")))
        });
        published.collect()
    }

    /// What is mounted, by the path in the container: the name of a volume, or a path of the host.
    pub fn mounts(&self) -> BTreeMap<String, String> {
        let mount = |mount: &MountPoint| {
            let name = mount.name.clone().filter(|name| !name.is_empty());
            let source = name
                .or_else(|| mount.source.clone())
                .filter(|source| !source.is_empty());
            let kind = || mount.typ.as_ref().map(ToString::to_string).unwrap_or_default();
            Some((mount.destination.clone()?, source.unwrap_or_else(kind)))
        };
        self.mounts.iter().filter_map(mount).collect()
    }

    /// The network that is declared, if the container is in it; else another one that it is in.
    fn network(&self, declared: &str) -> Option<String> {
        let id = self
            .network
            .as_ref()
            .map(|network| network.id.clone().unwrap_or_default());
        let is_there = |endpoint: &EndpointSettings| {
            // One that was never started is in the network by name alone.
            let joined = endpoint.network_id.clone().filter(|joined| !joined.is_empty());
            id.as_ref()
                .is_some_and(|id| joined.is_none_or(|joined| joined == *id))
        };
        match self.networks.get(declared) {
            Some(endpoint) => is_there(endpoint).then(|| declared.to_owned()),
            None => self.networks.keys().min().cloned(),
        }
    }

    /// What the environment has beyond the image's own. What may be secret is not among it.
    fn environment(&self, blueprint: &Blueprint) -> BTreeMap<String, String> {
        let own = self.config.env.iter().flatten();
        let image = self.made_from.as_ref().and_then(|image| image.config.as_ref());
        let image: Vec<&String> = image
            .and_then(|config| config.env.as_ref())
            .into_iter()
            .flatten()
            .collect();
        let variable = |line: &String| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let value = match blueprint.environment.get(name) {
                Some(declared) if declared == value => value,
                _ if name == OMNIBUS_CONFIG && included(value).is_none() => INLINE,
                _ if names_secret(&name.to_lowercase()) => VEIL,
                _ => value,
            };
            (name.to_owned(), value.to_owned())
        };
        let own = own.filter(|line| !image.contains(line)).map(variable);
        // Without the image it cannot be told which of them are its own.
        let is_told = |name: &String| self.made_from.is_some() || blueprint.environment.contains_key(name);
        own.filter(|(name, _)| is_told(name)).collect()
    }

    fn ulimits(&self) -> Value {
        let ulimits = self.host.ulimits.iter().flatten().filter_map(|limit| {
            let limits = json!({"soft": limit.soft, "hard": limit.hard});
            Some((limit.name.clone()?, limits))
        });
        Value::Object(ulimits.collect())
    }

    /// The labels beyond the image's and AutoGit's own.
    fn labels(&self, blueprint: &Blueprint) -> BTreeMap<String, String> {
        let image = self.made_from.as_ref().and_then(|image| image.config.as_ref());
        let image = image.and_then(|config| config.labels.as_ref());
        let of_image = |name: &str, value: &str| {
            image
                .and_then(|labels| labels.get(name))
                .is_some_and(|label| label == value)
        };
        let labels = self.config.labels.iter().flatten();
        let is_told = |name: &String| self.made_from.is_some() || blueprint.labels.contains_key(name);
        let labels = labels.filter(|(name, value)| *name != LABEL && is_told(name) && !of_image(name, value));
        labels
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// What Omnibus reads.
    fn sources(&self) -> Sources {
        let environment = self.omnibus_config();
        let first = match (&self.included, environment) {
            (Some(file), _) => omnibus::parse(file),
            (None, Some(text)) if included(text).is_none() => omnibus::parse(text),
            (None, _) => Vec::new(),
        };
        let then = self.gitlab_rb.as_deref().unwrap_or_default();
        Sources {
            first,
            then: omnibus::parse(then),
        }
    }

    /// What Omnibus is told by the environment.
    pub fn omnibus_config(&self) -> Option<&str> {
        let mut variables = self.config.env.iter().flatten();
        variables.find_map(|line| line.strip_prefix(OMNIBUS_CONFIG)?.strip_prefix('='))
    }
}

/// The file that `GITLAB_OMNIBUS_CONFIG` reads, if that is all it does.
pub(super) fn included(text: &str) -> Option<&str> {
    let file = text.trim().strip_prefix("from_file")?.trim();
    let file = file
        .strip_prefix('(')
        .map_or(Some(file), |file| file.strip_suffix(')'))?
        .trim();
    let quote = file.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let file = file.strip_prefix(quote)?.strip_suffix(quote)?;
    (!file.contains(['\'', '"', '#', '\\', '\n'])).then_some(file)
}

/// The settings that are asked for.
fn settings_of(blueprint: &Blueprint) -> Fields {
    let settings = blueprint.settings.iter();
    settings
        .map(|(key, value)| (key.clone(), value.to_json()))
        .collect()
}

/// An address and port of the host, as a config has it.
fn address(binding: &PortBinding) -> String {
    let port = binding.host_port.clone().unwrap_or_default();
    match binding.host_ip.as_deref().unwrap_or_default() {
        "" => format!("0.0.0.0:{port}"),
        ip if ip.contains(':') => format!("[{ip}]:{port}"),
        ip => format!("{ip}:{port}"),
    }
}

/// Whether a repository and digest are what an image is declared as, which may name a tag and leave out Docker Hub.
fn is_same_image(digest: &str, declared: &str) -> bool {
    let split = |name: &str| {
        let (repository, digest) = name.split_once('@')?;
        let repository = repository.trim_start_matches("docker.io/");
        let tag = repository
            .rfind(':')
            .filter(|colon| !repository[*colon..].contains('/'));
        Some((
            repository[..tag.unwrap_or(repository.len())].to_owned(),
            digest.to_owned(),
        ))
    };
    split(digest).is_some_and(|digest| Some(digest) == split(declared))
}

/// The beginning of an id, as Docker shows it.
fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}
