//! From arguments and config to a session with an instance.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::output::color;
use super::{Global, Problem, findings};
use crate::config::{self, Config, Loaded, SecretRef, Severity};
use crate::engine::Session;
use crate::engine::state::{Directory, Lock, Store};
use crate::kinds;
use crate::live::gitlab::Settings;
use crate::live::sandbox::Sandbox;
use crate::live::secrets::{Secrets, check_url};

/// Which instance a command talks to, and how.
#[derive(clap::Args)]
pub struct Instance {
    /// Use the embedded sandbox, with its own data and state, instead of the config's GitLab
    #[arg(long)]
    pub sandbox: bool,
    /// Let secrets of the form `{exec: […]}` run their program
    #[arg(long)]
    pub allow_exec: bool,
    /// How many requests and steps go on at a time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub parallelism: u16,
}

/// A session, the sandbox that may stand behind it, and the lock, given back last.
pub struct Connected {
    /// The session.
    pub session: Session,
    _sandbox: Option<Sandbox>,
    _lock: Option<Lock>,
}

/// How to reach an instance, as a config or a saved plan says it.
pub struct Endpoint<'a> {
    /// Its URL.
    pub url: Option<&'a url::Url>,
    /// Reference to the token.
    pub token: Option<&'a SecretRef>,
    /// A certificate authority of its own.
    pub ca_file: Option<&'a Path>,
}

impl<'a> From<&'a Config> for Endpoint<'a> {
    fn from(config: &'a Config) -> Self {
        let gitlab = &config.gitlab;
        Endpoint {
            url: gitlab.url.as_ref(),
            token: gitlab.token.as_ref(),
            ca_file: gitlab.ca_file.as_deref(),
        }
    }
}

impl Instance {
    /// Connects to the sandbox, or to the instance at `endpoint`. A command that writes gives its name as `locks`:
    /// it has the store to itself before anything else is done.
    pub async fn connect(
        &self,
        global: &Global,
        endpoint: Endpoint<'_>,
        locks: Option<&str>,
    ) -> Result<Connected, Problem> {
        if self.sandbox {
            return self.connect_to_sandbox(global, locks).await;
        }
        let missing = |key: &str, example: &str| {
            Problem::new(format!(
                "failed to reach GitLab: {} has no `gitlab.{key}`",
                global.config.display()
            ))
            .help(format!(
                "add `{key}: {example}` under `gitlab:`, or try the file with --sandbox"
            ))
        };
        let url = endpoint
            .url
            .ok_or_else(|| missing("url", "https://git.example.org"))?;
        let token = endpoint
            .token
            .ok_or_else(|| missing("token", "{env: AUTOGIT_TOKEN}"))?;
        check_url(url, std::env::var("AUTOGIT_URL").ok().as_deref())?;
        let store = store(global, url.as_str())?;
        let lock = locks.map(|operation| store.lock(operation)).transpose()?;
        let folder = folder(&global.config);
        let secrets = Secrets::new(folder, self.allow_exec);
        let token = secrets.token(token).await?;
        let mut settings = Settings::new(url.clone(), token);
        settings.ca_file = endpoint.ca_file.map(|file| folder.join(file));
        Ok(Connected {
            session: self.open(settings, store, secrets).await?,
            _sandbox: None,
            _lock: lock,
        })
    }

    async fn connect_to_sandbox(&self, global: &Global, locks: Option<&str>) -> Result<Connected, Problem> {
        let store = store(global, SANDBOX)?;
        let lock = locks.map(|operation| store.lock(operation)).transpose()?;
        let data = sandbox_data(&store);
        let sandbox = Sandbox::start(&data).map_err(|error| {
            Problem::new(format!(
                "failed to start the sandbox in {}: {error}",
                data.display()
            ))
        })?;
        let settings = Settings::new(sandbox.url.clone(), sandbox.token.clone());
        let secrets = Secrets::new(folder(&global.config), self.allow_exec);
        secrets.keep(sandbox.token.clone());
        Ok(Connected {
            session: self.open(settings, store, secrets).await?,
            _sandbox: Some(sandbox),
            _lock: lock,
        })
    }

    async fn open(
        &self,
        mut settings: Settings,
        store: Directory,
        secrets: Secrets,
    ) -> Result<Session, Problem> {
        settings.parallelism = usize::from(self.parallelism);
        Ok(Session::open(settings, Box::new(store), Arc::new(secrets)).await?)
    }
}

/// The folder that a config's relative paths start from.
pub fn folder(config: &Path) -> &Path {
    match config.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// What stands for the embedded sandbox where another instance's URL would.
pub const SANDBOX: &str = "sandbox";

/// Where the embedded sandbox keeps its data, beside its state.
pub fn sandbox_data(store: &Directory) -> PathBuf {
    store.root().join("server")
}

/// The state of an instance, beside the config.
pub fn store(global: &Global, instance: &str) -> Result<Directory, Problem> {
    Ok(Directory::open(
        &global.config.with_file_name(".autogit"),
        instance,
    )?)
}

/// The state that a command without a connection is about.
pub fn offline_store(global: &Global, sandbox: bool) -> Result<Directory, Problem> {
    if sandbox {
        return store(global, SANDBOX);
    }
    let (_, config) = load(global)?;
    let url = config.gitlab.url.ok_or_else(|| {
        Problem::new(format!(
            "failed to find the state: {} has no `gitlab.url`, by which it is kept",
            global.config.display()
        ))
        .help("name the instance there, or say --sandbox")
    })?;
    store(global, url.as_str())
}

/// Loads the config, and shows whatever is wrong with it.
pub fn load(global: &Global) -> Result<(Loaded, Config), Problem> {
    let mut loaded = config::load(&global.config, &kinds::shapes());
    findings::show(&loaded.sources, &loaded.diagnostics, color());
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error)
        .count();
    match loaded.config.take() {
        Some(config) => Ok((loaded, config)),
        None => {
            let errors = if errors == 1 {
                "one error".into()
            } else {
                format!("{errors} errors")
            };
            Err(Problem::new(format!(
                "failed to load {}: {errors}",
                global.config.display()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_without_a_folder_is_in_the_current_one() {
        assert_eq!(folder(Path::new("autogit.yaml")), Path::new("."));
        assert_eq!(folder(Path::new("forge/autogit.yaml")), Path::new("forge"));
        assert_eq!(folder(Path::new("/autogit.yaml")), Path::new("/"));
    }
}
