//! How the instance is: what can be found out of it, side by side, and whatever of it is down.

mod read;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use futures_util::join;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::backup::Record;
use super::stops::Release;
use super::{Endpoints, Error, Instance, container, omnibus};
use crate::live::docker::{Engine, Hands};
use crate::live::{certificate, host};

/// How long the server at the URL may take to show its certificate.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What was found out, or why it could not be.
pub type Told<T> = Result<T, String>;

/// How the instance is.
#[derive(Clone, Debug)]
pub struct Health {
    /// The Docker Engine.
    pub engine: Engine,
    /// The container; `None`: there is none.
    pub container: Option<Container>,
    /// The version that its data was last used by.
    pub version: Told<Release>,
    /// What GitLab's own supervisor says of each of its components.
    pub components: Told<Vec<Component>>,
    /// What GitLab says of the parts that it needs.
    pub readiness: Told<Readiness>,
    /// When the certificate ends that its URL shows; `None`: it shows none, as it speaks HTTP.
    pub certificate: Option<Told<Timestamp>>,
    /// The day on which AutoGit's own token ends; `None`: AutoGit keeps none.
    pub token: Option<Date>,
    /// The filesystems that its volumes are on.
    pub disks: Vec<Disk>,
    /// How its backups went.
    pub backups: Told<Record>,
}

/// The container, as Docker tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Container {
    /// `running`, `restarting`, `exited`, `created`, `paused`, `dead`.
    pub state: String,
    /// What its health check says: `healthy`, `unhealthy`, `starting`; `None`: it has none.
    pub health: Option<String>,
    /// The image that it was made of, as it was named.
    pub image: String,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// How often Docker started it again by itself.
    pub restarts: i64,
    /// How it ended, where it did.
    pub exit_code: Option<i64>,
    /// Whether it ended for want of memory.
    pub out_of_memory: bool,
}

/// One of GitLab's components.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// `puma`.
    pub name: String,
    /// Whether it runs.
    pub is_up: bool,
    /// For how many seconds it has been so.
    pub seconds: u64,
}

/// What GitLab says of itself when it is asked whether it is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether all is well.
    pub is_ready: bool,
    /// What is wrong with each part, by its name (`db_check`); `None`: nothing.
    pub parts: BTreeMap<String, Option<String>>,
}

/// A filesystem that volumes are on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Where the container has those volumes.
    pub holds: Vec<String>,
    /// Where the first of them is on the host.
    pub path: PathBuf,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
}

/// What only the files in the container tell.
#[derive(Clone, Debug)]
pub struct Files {
    /// Whether the keys are there that the database is encrypted with.
    pub has_secrets: Told<bool>,
    /// The sorts of the SSH host keys that are there: `ed25519`.
    pub host_keys: Told<Vec<&'static str>>,
    /// What the container's own `gitlab.rb` sets, by line: it overrides what AutoGit sets.
    pub overrides: Told<Vec<(usize, String)>>,
}

impl Health {
    /// Whether users can work with it, as far as was found out.
    pub fn is_well(&self) -> bool {
        let container = self.container.as_ref();
        let has_ended =
            |certificate: &Told<Timestamp>| matches!(certificate, Ok(end) if *end <= Timestamp::now());
        container
            .is_some_and(|container| container.runs() && container.health.as_deref() != Some("unhealthy"))
            && matches!(&self.readiness, Ok(readiness) if readiness.is_ready)
            && matches!(&self.components, Ok(all) if all.iter().all(|component| component.is_up))
            && !self.certificate.as_ref().is_some_and(has_ended)
    }
}

impl Container {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.state == "running"
    }
}

impl Instance {
    /// Finds out how it is. What cannot be found out is told with its reason, and keeps nothing else from being found out.
    ///
    /// # Errors
    /// When Docker does not answer.
    pub async fn health(&self) -> Result<Health, Error> {
        let certificate = tokio::task::spawn_blocking({
            let url = self.url.clone();
            move || shown_certificate(&url)
        });
        let (engine, found) =
            futures_util::try_join!(self.looker().engine(), self.looker().container(self.name()))?;
        let container = found.as_ref().map(Container::of);
        let runs = container.as_ref().is_some_and(Container::runs);
        let (version, components, readiness) = match runs {
            true => join!(self.told_version(), self.told_components(), self.told_readiness()),
            false => {
                let why = match &container {
                    Some(container) => format!("the container does not run: {}", container.state),
                    None => "there is no container".to_owned(),
                };
                let version = match &container {
                    Some(_) => self.told_version().await,
                    None => Err(why.clone()),
                };
                (version, Err(why.clone()), Err(why))
            }
        };
        let certificate = certificate.await.map_err(|error| error.to_string());
        Ok(Health {
            disks: match (&found, engine.local) {
                (Some(found), true) => disks(found),
                _ => Vec::new(),
            },
            engine,
            container,
            version,
            components,
            readiness,
            certificate: certificate.unwrap_or_else(|error| Some(Err(error))),
            token: self.place.token_expires_at()?,
            backups: Record::read(&self.place).map_err(|error| error.to_string()),
        })
    }

    /// Looks into the container for what an administrator would look for there.
    pub async fn files(&self) -> Files {
        let (secrets, overrides, keys) = join!(
            self.read("/etc/gitlab/gitlab-secrets.json"),
            self.read("/etc/gitlab/gitlab.rb"),
            self.told_host_keys(),
        );
        let overrides = overrides.map(|text| {
            let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
            let lines = omnibus::parse(&text).into_iter();
            lines.map(|line| (line.number, line.key)).collect()
        });
        Files {
            has_secrets: secrets.map(|content| content.is_some_and(|content| !content.is_empty())),
            host_keys: keys,
            overrides,
        }
    }

    /// Runs one of GitLab's own checks in the container, which takes a minute or so: `gitlab:check`. Gives what it printed.
    ///
    /// # Errors
    /// When it could not be run, or failed itself.
    pub async fn own_check(&self, task: &str, arguments: &[&str]) -> Result<String, Error> {
        let command: Vec<&str> = ["gitlab-rake", task]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let hands = Hands::new(self.looker().clone());
        let output = hands.exec(self.name(), &command, None, |_| ()).await?;
        match output.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(Error::failed(
                format!("failed to run `gitlab-rake {task}`: {}", output.tail()),
                "see that GitLab is up (`autogit status`), and try again",
            )),
        }
    }

    async fn read(&self, path: &str) -> Told<Option<Vec<u8>>> {
        let read = self.looker().file(self.name(), path).await;
        read.map_err(|error| error.to_string())
    }

    async fn told_version(&self) -> Told<Release> {
        let file = self.read("/var/opt/gitlab/gitlab-rails/VERSION").await?;
        let told = file.and_then(|told| Release::of_data(&told));
        told.ok_or_else(|| "GitLab has not been set up yet".to_owned())
    }

    async fn told_components(&self) -> Told<Vec<Component>> {
        let output = self.run(&["gitlab-ctl", "status"]).await?;
        match read::components(&output) {
            components if components.is_empty() => Err("GitLab's supervisor does not run yet".to_owned()),
            components => Ok(components),
        }
    }

    async fn told_readiness(&self) -> Told<Readiness> {
        let command = container::readiness(&Endpoints::new(&self.spec, &self.url));
        let command = command.each_ref().map(String::as_str);
        read::readiness(&self.run(&command).await?)
    }

    async fn told_host_keys(&self) -> Told<Vec<&'static str>> {
        let mut found = Vec::new();
        for sort in ["ecdsa", "ed25519", "rsa"] {
            let path = format!("/etc/gitlab/ssh_host_{sort}_key.pub");
            found.extend(self.read(&path).await?.map(|_| sort));
        }
        Ok(found)
    }

    /// What a program in the container prints, whatever it ends with.
    async fn run(&self, command: &[&str]) -> Told<String> {
        let hands = Hands::new(self.looker().clone());
        let output = hands.exec(self.name(), command, None, |_| ()).await;
        let output = output.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Container {
    fn of(found: &ContainerInspectResponse) -> Self {
        let state = found.state.clone().unwrap_or_default();
        let status = state.status.map(|status| status.to_string());
        let health = state
            .health
            .and_then(|health| health.status)
            .map(|status| status.to_string());
        let runs = state.running == Some(true);
        Container {
            state: status.unwrap_or_default(),
            health: health.filter(|health| !matches!(&**health, "" | "none")),
            image: found
                .config
                .as_ref()
                .and_then(|config| config.image.clone())
                .unwrap_or_default(),
            started_at: state.started_at.and_then(|time| time.parse().ok()),
            restarts: found.restart_count.unwrap_or_default(),
            exit_code: state.exit_code.filter(|_| !runs),
            out_of_memory: state.oom_killed == Some(true),
        }
    }
}

/// When the certificate ends that the server at a URL shows; `None` where it shows none.
fn shown_certificate(url: &url::Url) -> Option<Told<Timestamp>> {
    if url.scheme() != "https" {
        return None;
    }
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    Some(certificate::ends(host, port, HANDSHAKE).map_err(|error| error.to_string()))
}

/// The filesystems that the volumes of a container are on, each once.
fn disks(found: &ContainerInspectResponse) -> Vec<Disk> {
    let mut disks: Vec<Disk> = Vec::new();
    for mount in found.mounts.iter().flatten() {
        let (Some(source), Some(inside)) = (&mount.source, &mount.destination) else {
            continue;
        };
        if !VOLUMES.contains(&&**inside) {
            continue;
        }
        let path = PathBuf::from(source);
        let Ok(filesystem) = host::filesystem(&path) else {
            continue;
        };
        let same = |disk: &&mut Disk| (disk.free, disk.size) == (filesystem.free, filesystem.size);
        match disks.iter_mut().find(same) {
            Some(disk) => disk.holds.push(inside.clone()),
            None => disks.push(Disk {
                holds: vec![inside.clone()],
                path,
                free: filesystem.free,
                size: filesystem.size,
            }),
        }
    }
    disks.iter_mut().for_each(|disk| disk.holds.sort());
    disks
}

const VOLUMES: [&str; 3] = ["/etc/gitlab", "/var/log/gitlab", "/var/opt/gitlab"];
