//! The container: image, ports, volumes, limits.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Size;

/// The container that GitLab runs in, of the image that GitLab publishes (Omnibus).
///
/// Source: <https://docs.gitlab.com/install/docker/>.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Docker {
    /// The image with its tag or digest; `latest` is refused.
    #[schemars(extend("examples" = ["gitlab/gitlab-ce:18.8.4-ce.0"]))]
    pub image: String,
    /// The container's name. A container of this name that is there already is taken over. Default: `gitlab`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"), extend("examples" = ["gitlab"]))]
    pub name: Option<String>,
    /// The Docker Engine: `unix://` and a socket, or `tcp://` and an address. Default: `DOCKER_HOST`, or `unix:///var/run/docker.sock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(unix|tcp)://.+$"), extend("examples" = ["unix:///var/run/docker.sock"]))]
    pub host: Option<String>,
    /// How large an instance it is to be: how many processes, how much memory each part may take. Default: `homelab`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The ports of this host that lead to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Ports>,
    /// Where its data is kept. Nothing of it is ever deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Volumes>,
    /// The Docker network that it is in, made if it is not there. Default: the container's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["gitlab"]))]
    pub network: Option<String>,
    /// What it may use of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Its shared memory. Default: 256MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<Size>,
    /// Limits of its processes, by name: `nofile`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = [{"nofile": {"soft": 65536, "hard": 65536}}]))]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// What Docker does when it ends. Default: `unless-stopped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// More labels of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = [{"traefik.enable": "true"}]))]
    pub labels: BTreeMap<String, String>,
}

/// How large an instance is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// For 4 GiB of memory: one process, little in parallel, no monitoring.
    Minimal,
    /// For 8 GiB of memory.
    #[default]
    Homelab,
    /// For 16 GiB of memory or more.
    Team,
}

impl Profile {
    /// Its name in the config.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Minimal => "minimal",
            Profile::Homelab => "homelab",
            Profile::Team => "team",
        }
    }

    /// The memory that it is for.
    ///
    /// Source: <https://docs.gitlab.com/install/requirements/>, <https://docs.gitlab.com/omnibus/settings/memory_constrained_envs/>.
    pub fn memory(self) -> Size {
        match self {
            Profile::Minimal => Size(4 << 30),
            Profile::Homelab => Size(8 << 30),
            Profile::Team => Size(16 << 30),
        }
    }

    /// The memory that it does not run with less than.
    pub fn least_memory(self) -> Size {
        match self {
            Profile::Minimal => Size(2 << 30),
            Profile::Homelab => Size(6 << 30),
            Profile::Team => Size(12 << 30),
        }
    }

    /// The memory of a machine that is sold with what the profile is for, which tells a little less: the kernel keeps some.
    pub fn told_memory(self) -> Size {
        Size(self.memory().0 / 10 * 9)
    }
}

/// The host's ports. Each is a number, or an address and a number: `127.0.0.1:3000`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ports {
    /// HTTP. Default: the port of `gitlab.url` when GitLab speaks HTTP, 3000 behind a reverse proxy, none when GitLab speaks HTTPS;
    /// whoever comes by HTTP is sent to HTTPS then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Publish>,
    /// HTTPS. Default: the port of `gitlab.url` when GitLab speaks HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<Publish>,
    /// Git over SSH. Default: 2222.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Publish>,
    /// The container registry, where it has a port of its own. Default: the port of its URL, unless that is the port of
    /// `gitlab.url`: a registry with a host name of its own shares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<Publish>,
}

/// A port of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Publish {
    /// On all addresses.
    Port(#[schemars(range(min = 1))] u16),
    /// On one address.
    Address(
        #[schemars(regex(pattern = "^(\\[[0-9a-fA-F:]+\\]|[0-9.]+):[0-9]{1,5}$"), extend("examples" = ["127.0.0.1:3000"]))]
         String,
    ),
}

impl Publish {
    /// The address and port that are bound; `None` when they are none.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Publish::Port(0) => None,
            Publish::Port(port) => Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port))),
            Publish::Address(address) => address
                .parse()
                .ok()
                .filter(|socket: &SocketAddr| socket.port() != 0),
        }
    }

    /// The port alone.
    pub fn port(&self) -> u16 {
        self.socket().map_or(0, |socket| socket.port())
    }
}

/// Where data is kept: names of volumes, or absolute paths of directories on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Volumes {
    /// `/etc/gitlab`: keys and secrets without which the data cannot be read. Default: `<name>-config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["/srv/gitlab/config"]))]
    pub config: Option<String>,
    /// `/var/log/gitlab`. Default: `<name>-logs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["/srv/gitlab/logs"]))]
    pub logs: Option<String>,
    /// `/var/opt/gitlab`: repositories, database, uploads. Default: `<name>-data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["/srv/gitlab/data"]))]
    pub data: Option<String>,
}

/// What the container may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Processors. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1))]
    pub cpus: Option<f64>,
    /// Processes and threads. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000))]
    pub pids: Option<i64>,
}

/// The limit of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// What it starts with.
    pub soft: i64,
    /// What it can raise it to.
    pub hard: i64,
}

/// What Docker does when the container ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Nothing.
    No,
    /// Starts it again, whatever happened.
    Always,
    /// Starts it again, unless somebody stopped it.
    #[default]
    UnlessStopped,
    /// Starts it again if it failed.
    OnFailure,
}
