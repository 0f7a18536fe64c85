//! Looking: the Engine itself, containers, images, networks, volumes, files and logs.

use std::collections::HashMap;

use bollard::container::LogOutput;
use bollard::models::{ContainerInspectResponse, ContainerSummary, ImageInspect, NetworkInspect, Volume};
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptions, LogsOptionsBuilder,
    TopOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::{Stream, TryStreamExt};
use jiff::Timestamp;

use super::archive;
use super::error::{Error, optional};

/// Seconds that the Engine may take to answer.
const TIMEOUT: u64 = 120;

/// The way to a Docker Engine that only looks. Clones share the connection.
#[derive(Clone)]
pub struct Looker {
    pub(super) docker: Docker,
    host: String,
}

/// What an Engine says of itself and its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engine {
    /// The version of the Engine: `20.10.24`.
    pub version: String,
    /// The version of its API: `1.41`.
    pub api_version: String,
    /// Its host's architecture, as images call it: `amd64`, `arm64`, `riscv64`.
    pub architecture: String,
    /// Its host's memory, in bytes.
    pub memory: u64,
    /// Its host's processors.
    pub cpus: u64,
    /// Whether it runs without root.
    pub rootless: bool,
    /// Whether it maps root of containers to another user.
    pub userns: bool,
    /// Whether SELinux keeps containers from files that are not labelled for them.
    pub selinux: bool,
    /// Where it keeps images and volumes.
    pub root_dir: String,
    /// Whether it runs on this host.
    pub local: bool,
}

impl Looker {
    /// Connects to the Engine at `host`, in the newest version of the API that both know.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(host: &str) -> Result<Self, Error> {
        let unreachable = |cause: bollard::errors::Error| Error::Unreachable {
            host: host.to_owned(),
            why: cause.to_string(),
        };
        let docker = match host.starts_with("unix://") {
            true => Docker::connect_with_unix(host, TIMEOUT, API_DEFAULT_VERSION),
            false => Docker::connect_with_http(host, TIMEOUT, API_DEFAULT_VERSION),
        };
        let docker = docker.map_err(unreachable)?.negotiate_version().await;
        Ok(Looker {
            docker: docker.map_err(unreachable)?,
            host: host.to_owned(),
        })
    }

    /// How the Engine is addressed.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What the Engine says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn engine(&self) -> Result<Engine, Error> {
        let doing = "ask the Docker Engine what it is";
        let (info, version) = futures_util::try_join!(self.docker.info(), self.docker.version())
            .map_err(|cause| Error::new(doing, cause))?;
        let options = info.security_options.unwrap_or_default();
        let has = |name: &str| {
            options
                .iter()
                .any(|option| option.starts_with(&format!("name={name}")))
        };
        let architecture = match info.architecture.unwrap_or_default().as_str() {
            "x86_64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        };
        Ok(Engine {
            version: version.version.unwrap_or_default(),
            api_version: version.api_version.unwrap_or_default(),
            architecture,
            memory: info.mem_total.unwrap_or_default().try_into().unwrap_or_default(),
            cpus: info.ncpu.unwrap_or_default().try_into().unwrap_or_default(),
            rootless: has("rootless"),
            userns: has("userns"),
            selinux: has("selinux"),
            root_dir: info.docker_root_dir.unwrap_or_default(),
            local: is_local(&self.host),
        })
    }

    /// A container, by name or id.
    ///
    /// # Errors
    /// When the Engine does not answer.
    pub async fn container(&self, name: &str) -> Result<Option<ContainerInspectResponse>, Error> {
        let doing = format!("inspect the container {name}");
        optional(&doing, self.docker.inspect_container(name, None).await)
    }

    /// The containers, running or not, that have all of these labels.
    ///
    /// # Errors
    /// When the Engine does not answer.
    pub async fn containers(&self, labels: &[String]) -> Result<Vec<ContainerSummary>, Error> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters);
        let listed = self.docker.list_containers(Some(options.build())).await;
        listed.map_err(|cause| Error::new("list the containers", cause))
    }

    /// An image that is there.
    ///
    /// # Errors
    /// When the Engine does not answer.
    pub async fn image(&self, name: &str) -> Result<Option<ImageInspect>, Error> {
        let doing = format!("inspect the image {name}");
        optional(&doing, self.docker.inspect_image(name).await)
    }

    /// A network.
    ///
    /// # Errors
    /// When the Engine does not answer.
    pub async fn network(&self, name: &str) -> Result<Option<NetworkInspect>, Error> {
        let doing = format!("inspect the network {name}");
        optional(&doing, self.docker.inspect_network(name, None).await)
    }

    /// A volume.
    ///
    /// # Errors
    /// When the Engine does not answer.
    pub async fn volume(&self, name: &str) -> Result<Option<Volume>, Error> {
        let doing = format!("inspect the volume {name}");
        optional(&doing, self.docker.inspect_volume(name).await)
    }

    /// A file of a container, running or not.
    ///
    /// # Errors
    /// When the Engine does not answer.
    pub async fn file(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let doing = format!("read {path} of the container {container}");
        let archive: Result<Vec<u8>, _> = self
            .archive(container, path)
            .try_fold(Vec::new(), async |mut all, chunk| {
                all.extend_from_slice(&chunk);
                Ok(all)
            })
            .await;
        match optional(&doing, archive)? {
            Some(archive) => archive::only_file(&archive).map_err(|error| Error::Refused {
                doing,
                why: error.to_string(),
                status: None,
            }),
            None => Ok(None),
        }
    }

    /// A file or directory of a container, as a tar archive.
    pub fn archive(
        &self,
        container: &str,
        path: &str,
    ) -> impl Stream<Item = Result<bytes::Bytes, bollard::errors::Error>> + use<> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        self.docker.download_from_container(container, Some(options))
    }

    /// What a container wrote to its standard output and error.
    pub fn logs(
        &self,
        container: &str,
        options: LogsOptions,
    ) -> impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + use<> {
        self.docker.logs(container, Some(options))
    }

    /// Of the last lines that a container wrote, those of a time to `keep`.
    ///
    /// # Errors
    /// When the Engine does not answer, or keeps no log.
    pub async fn log_tail(
        &self,
        container: &str,
        lines: u32,
        keep: impl Fn(Timestamp) -> bool,
    ) -> Result<String, Error> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .timestamps(true);
        let options = options.tail(&lines.to_string()).build();
        let log: Result<Vec<u8>, _> = self
            .logs(container, options)
            .try_fold(Vec::new(), async |mut all, line| {
                all.extend_from_slice(line.as_ref());
                Ok(all)
            })
            .await;
        let log =
            log.map_err(|cause| Error::new(format!("read the log of the container {container}"), cause))?;
        let log = String::from_utf8_lossy(&log);
        let kept = log.lines().filter_map(|line| {
            let (time, text) = line.split_once(' ').unwrap_or((line, ""));
            let time = time.parse().ok();
            time.is_none_or(&keep).then_some(text)
        });
        Ok(kept.collect::<Vec<_>>().join("\n"))
    }

    /// The command lines of what runs in a container.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn processes(&self, container: &str) -> Result<Vec<String>, Error> {
        let doing = || format!("list the processes of the container {container}");
        let top = self.docker.top_processes(container, None::<TopOptions>).await;
        let top = top.map_err(|cause| Error::new(doing(), cause))?;
        let processes = top.processes.unwrap_or_default().into_iter();
        // The command is the last column, whichever others there are.
        Ok(processes.filter_map(|mut columns| columns.pop()).collect())
    }
}

/// Whether the Engine at `host` runs on this host: behind a socket, or a port that only this host reaches.
fn is_local(host: &str) -> bool {
    let reached = url::Url::parse(host).ok();
    let name = reached.as_ref().and_then(url::Url::host_str);
    let is_loopback = |name: &str| {
        let name = name.trim_matches(['[', ']']);
        name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    };
    host.starts_with("unix://") || name.is_some_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_local_where_only_this_host_reaches_it() {
        for host in [
            "unix:///var/run/docker.sock",
            "tcp://127.0.0.1:2375",
            "tcp://localhost:2375",
            "tcp://[::1]:2375",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in ["tcp://10.0.0.5:2375", "tcp://docker.lan:2376"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
