//! A config that deploys an instance, in a directory of its own, with a container of its own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use super::engine::{self, PREFIX, docker};
use super::image::image;
use crate::process::{Run, Running};
use crate::support::Http;

/// An instance that a test deploys. What it leaves on the Docker Engine goes with it.
pub struct Deployed {
    /// The config's directory.
    pub dir: TempDir,
    /// The container's name, which those of its network and volumes begin with.
    pub name: String,
    /// The host's port for HTTP or HTTPS.
    pub port: u16,
    /// The host's port for SSH.
    pub ssh: u16,
    /// What the program finds in its environment, beside `PATH`.
    pub environment: BTreeMap<String, String>,
    /// The image that it was made for.
    image: String,
}

/// What stands in the config.
#[derive(Clone)]
pub struct Wanted<'a> {
    /// The URL of the instance.
    pub url: String,
    /// The image.
    pub image: String,
    /// Members of `docker`, beside image, name and ports: `shm_size: 128MiB, restart: always`. Flow style.
    pub docker: &'a str,
    /// The `ports`. Flow style.
    pub ports: String,
    /// Members of `deploy`, beside `docker`: `tls: {self_signed: {}}`. Flow style.
    pub deploy: &'a str,
    /// Members of `gitlab`, beside `url` and `deploy`, each on a line.
    pub gitlab: &'a str,
    /// The rest of the config.
    pub rest: &'a str,
}

impl Deployed {
    /// A config for an instance that speaks HTTP. Nothing is there yet.
    pub fn new() -> Self {
        let deployed = Self::without_config();
        deployed.config(deployed.wanted());
        deployed
    }

    /// As [`Deployed::new`], without a config.
    pub fn without_config() -> Self {
        // The first to need it builds it.
        let image = image();
        let port = free_port();
        Deployed {
            dir: TempDir::new().unwrap(),
            name: format!("{PREFIX}{}-{port}", std::process::id()),
            port,
            ssh: free_port(),
            environment: BTreeMap::new(),
            image,
        }
    }

    /// As [`Deployed::new`], with this in the config, and brought up.
    pub fn up(rest: &str) -> Self {
        let deployed = Self::without_config();
        deployed.config(Wanted {
            rest,
            ..deployed.wanted()
        });
        deployed.run(&["apply", "--yes"]).exits(0);
        deployed
    }

    /// What [`Deployed::new`] writes: an empty instance on the ports of this one, of the smallest size.
    pub fn wanted<'a>(&self) -> Wanted<'a> {
        Wanted {
            url: format!("http://127.0.0.1:{}", self.port),
            image: self.image.clone(),
            docker: "profile: minimal",
            ports: format!("http: '127.0.0.1:{}', ssh: '127.0.0.1:{}'", self.port, self.ssh),
            deploy: "",
            gitlab: "",
            rest: "",
        }
    }

    /// Writes the config.
    pub fn config(&self, wanted: Wanted<'_>) {
        let Wanted {
            url,
            image,
            docker,
            ports,
            deploy,
            gitlab,
            rest,
        } = wanted;
        let name = &self.name;
        let text = format!(
            "autogit: 1\n\
             gitlab:\n  url: {url}\n  deploy: {{docker: {{image: '{image}', name: {name}, ports: {{{ports}}}, {docker}}}, {deploy}}}\n"
        );
        let gitlab: String = gitlab.lines().map(|line| format!("  {line}\n")).collect();
        self.write("autogit.yaml", &(text + &gitlab + rest));
    }

    /// Writes a file beside the config.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// A file or folder of those that AutoGit keeps for this instance, such as `token` or `etc/gitlab.rb`.
    pub fn place(&self, name: &str) -> PathBuf {
        self.dir
            .path()
            .join(".autogit/deploy")
            .join(&self.name)
            .join(name)
    }

    /// The program, ready to run beside the config.
    pub fn autogit(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autogit"));
        let docker_host = std::env::var_os("DOCKER_HOST");
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(docker_host.map(|host| ("DOCKER_HOST", host)))
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the program.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::new(self.autogit(args).spawn().unwrap())
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        self.start(args).wait()
    }

    /// Runs a command in the container, and gives what it printed.
    #[track_caller]
    pub fn exec(&self, command: &[&str]) -> String {
        docker(&[&["exec", &self.name], command].concat())
    }

    /// What the stand-in's last `reconfigure` settled.
    pub fn settings(&self) -> serde_json::Value {
        let text = self.exec(&["cat", "/var/opt/gitlab/standin/settings.json"]);
        serde_json::from_str(&text).unwrap()
    }

    /// A field of the container, as `docker inspect` has it: `.State.StartedAt`.
    #[track_caller]
    pub fn inspect(&self, field: &str) -> String {
        docker(&["inspect", "--format", &format!("{{{{{field}}}}}"), &self.name])
    }

    /// Whether there is a container.
    pub fn is_there(&self) -> bool {
        !docker(&["ps", "-aq", "--filter", &format!("name=^/?{}$", self.name)]).is_empty()
    }

    /// AutoGit's own token, once there is one.
    pub fn token(&self) -> String {
        let token = std::fs::read_to_string(self.place("token")).unwrap();
        token.trim_end().to_owned()
    }

    /// Speaks to the instance over HTTP with AutoGit's own token.
    pub fn admin(&self) -> Http {
        Http::new(&self.wanted().url, &self.token())
    }

    /// Asserts that everything is as declared.
    #[track_caller]
    pub fn expect_converged(&self) {
        let plan = self.run(&["plan", "--detailed-exitcode"]).exits(0);
        assert!(plan.stdout.contains("No changes"), "{}", plan.all());
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = Command::new("docker")
                .args(["logs", "--tail", "30", &self.name])
                .output();
            let logs = logs
                .map(|output| [output.stdout, output.stderr].concat())
                .unwrap_or_default();
            eprintln!("--- the container's log\n{}", String::from_utf8_lossy(&logs));
        }
        engine::remove(&self.name);
        // What a container wrote into a directory of the host is root's, as the tests are.
        let _ = std::fs::remove_dir_all(Path::new(self.dir.path()));
    }
}

/// A port that nothing uses, below those that the system gives to outgoing connections, and never the same twice.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 100) as u16 * 100;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
