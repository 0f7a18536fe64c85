//! From arguments and config to a session with an instance.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use url::Url;

use super::output::color;
use super::{Global, Problem, findings, interrupt};
use crate::config::deploy::{Deploy, Tls};
use crate::config::{
    self, Config, Deployment, Diagnostic, GitlabState, Loaded, SecretRef, Severity, Sources,
};
use crate::engine::state::{Directory, Remote, Store};
use crate::engine::{About, Desired, Interrupt, Session};
use crate::instance::{self, Place};
use crate::kinds;
use crate::live::gitlab::{Client, Settings, TerraformState};
use crate::live::sandbox::Sandbox;
use crate::live::secrets::{Secrets, check_url};
use crate::render::count;

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

/// A session, and the sandbox that may stand behind it.
pub struct Connected {
    /// The session.
    pub session: Session,
    /// What the user asks while a command that writes goes on.
    pub interrupt: watch::Sender<Interrupt>,
    _sandbox: Option<Sandbox>,
}

impl Connected {
    /// Gives the lock back, whatever came of the command.
    pub async fn close<T>(self, outcome: Result<T, Problem>) -> Result<T, Problem> {
        release(&self.session.store, outcome).await
    }
}

/// A store, and the lock on it where a command writes, before anybody has talked to GitLab.
pub struct Claimed<'a> {
    /// The way to the instance and its state.
    pub access: Access<'a>,
    /// The store.
    pub store: Store,
    /// What the user asks while a command that writes goes on.
    pub interrupt: watch::Sender<Interrupt>,
}

impl Claimed<'_> {
    /// A session with the instance, and the sandbox that may stand behind it.
    pub async fn open(&self, instance: &Instance) -> Result<(Session, Option<Sandbox>), Problem> {
        instance.open(&self.access, &self.store).await
    }

    /// Connects; the lock is given back where that fails.
    pub async fn connect(self, instance: &Instance) -> Result<Connected, Problem> {
        match self.open(instance).await {
            Ok((session, sandbox)) => Ok(Connected {
                session,
                interrupt: self.interrupt,
                _sandbox: sandbox,
            }),
            Err(problem) => release(&self.store, Err(problem)).await,
        }
    }

    /// Gives the lock back, whatever came of the command.
    pub async fn close<T>(self, outcome: Result<T, Problem>) -> Result<T, Problem> {
        release(&self.store, outcome).await
    }
}

/// An instance that a command only reads, without state or lock.
pub struct Visited {
    /// The instance's URL.
    pub url: Url,
    /// The way to it.
    pub client: Client,
    /// Which GitLab it is, and who is asking.
    pub about: About,
    _sandbox: Option<Sandbox>,
}

/// How to reach an instance and its state, as a config or a saved plan says it.
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    /// Its URL.
    pub url: Option<&'a Url>,
    /// Reference to the token.
    pub token: Option<&'a SecretRef>,
    /// A certificate authority of its own.
    pub ca_file: Option<&'a Path>,
    /// Where state is kept, if not beside the config.
    pub state: Option<&'a GitlabState>,
    /// How AutoGit runs the instance, if it does.
    pub deploy: Option<&'a Deploy>,
}

impl<'a> From<&'a Config> for Endpoint<'a> {
    fn from(config: &'a Config) -> Self {
        let gitlab = &config.gitlab;
        Endpoint {
            url: gitlab.url.as_ref(),
            token: gitlab.token.as_ref(),
            ca_file: gitlab.ca_file.as_deref(),
            state: config.state.as_ref(),
            deploy: gitlab.deploy.as_ref().map(|deployment| &deployment.spec),
        }
    }
}

impl Instance {
    /// Connects to the sandbox, or to the instance at `endpoint`. A command that writes gives its name as `locks`:
    /// it has the store to itself before anything else is done, until it is [closed](Connected::close).
    pub async fn connect(
        &self,
        global: &Global,
        endpoint: Endpoint<'_>,
        locks: Option<&str>,
    ) -> Result<Connected, Problem> {
        self.claim(global, endpoint, locks).await?.connect(self).await
    }

    /// Opens the store alone, as [`Instance::connect`] does before it connects.
    pub async fn claim<'a>(
        &self,
        global: &'a Global,
        endpoint: Endpoint<'a>,
        locks: Option<&str>,
    ) -> Result<Claimed<'a>, Problem> {
        let access = Access::new(global, endpoint, self.sandbox, self.allow_exec);
        let store = access.store().await?;
        let interrupt = match locks {
            Some(operation) => hold(&store, operation).await?,
            None => watch::Sender::default(),
        };
        Ok(Claimed {
            access,
            store,
            interrupt,
        })
    }

    /// Connects for reading alone: no state is opened, and nothing is locked.
    pub async fn visit(&self, global: &Global, endpoint: Endpoint<'_>) -> Result<Visited, Problem> {
        let access = Access::new(global, endpoint, self.sandbox, self.allow_exec);
        let beside = self.sandbox.then(|| directory(global, SANDBOX)).transpose()?;
        let (settings, sandbox) = self.reach(&access, beside.as_ref()).await?;
        let url = settings.url.clone();
        let client = Client::connect(settings)?;
        Ok(Visited {
            about: About::read(&client.reader(), url.as_str()).await?,
            url,
            client,
            _sandbox: sandbox,
        })
    }

    async fn open(&self, access: &Access<'_>, store: &Store) -> Result<(Session, Option<Sandbox>), Problem> {
        let beside = match store {
            Store::Directory(directory) if self.sandbox => Some(&**directory),
            _ => None,
        };
        let (settings, sandbox) = self.reach(access, beside).await?;
        let session = Session::open(settings, store.clone(), access.secrets.clone()).await?;
        Ok((session, sandbox))
    }

    /// How to reach the instance: the sandbox, whose data is `beside` its state, or the one that is configured.
    async fn reach(
        &self,
        access: &Access<'_>,
        beside: Option<&Directory>,
    ) -> Result<(Settings, Option<Sandbox>), Problem> {
        let (mut settings, sandbox) = match beside {
            Some(directory) => {
                let data = sandbox_data(directory);
                let sandbox = Sandbox::start(&data).map_err(|error| {
                    Problem::new(format!(
                        "failed to start the sandbox in {}: {error}",
                        data.display()
                    ))
                })?;
                let settings = Settings::new(sandbox.url.clone(), sandbox.token.clone());
                access.secrets.keep(sandbox.token.clone());
                (settings, Some(sandbox))
            }
            None => (access.settings(access.endpoint.token).await?, None),
        };
        settings.parallelism = usize::from(self.parallelism);
        Ok((settings, sandbox))
    }
}

/// How a command gets at an instance and its state.
pub struct Access<'a> {
    global: &'a Global,
    endpoint: Endpoint<'a>,
    sandbox: bool,
    secrets: Arc<Secrets>,
}

impl<'a> Access<'a> {
    /// Access to the sandbox, or to the instance at `endpoint`.
    pub fn new(global: &'a Global, endpoint: Endpoint<'a>, sandbox: bool, allow_exec: bool) -> Self {
        Access {
            global,
            endpoint,
            sandbox,
            secrets: Arc::new(Secrets::new(folder(&global.config), allow_exec)),
        }
    }

    /// The store: the one that is configured, or the sandbox's own.
    pub async fn store(&self) -> Result<Store, Problem> {
        // A GitLab that is still to be deployed cannot hold the state of that.
        let state = self
            .endpoint
            .state
            .filter(|_| !self.sandbox && self.endpoint.deploy.is_none());
        match state {
            Some(state) => self.remote(state).await,
            None => self.directory(),
        }
    }

    /// The store beside the config.
    pub fn directory(&self) -> Result<Store, Problem> {
        let directory = match self.sandbox {
            true => directory(self.global, SANDBOX),
            false => directory(self.global, self.url()?.as_str()),
        };
        Ok(Store::Directory(Arc::new(directory?)))
    }

    /// The store in GitLab.
    pub async fn remote(&self, state: &GitlabState) -> Result<Store, Problem> {
        let token = state.token.as_ref().or(self.endpoint.token);
        let mut settings = self.settings(token).await?;
        // GitLab takes the token of a job in another form, and nothing but its name tells it from others.
        settings.job_token = token == Some(&SecretRef::Env("CI_JOB_TOKEN".into()));
        let client = Client::connect(settings)?;
        let place = format!("{} of the project {}", state.name, state.project);
        let state = TerraformState::new(client, &state.project, &state.name);
        let remote = Remote::new(state, self.url()?.as_str(), &place, Remote::PATIENCE);
        Ok(Store::Remote(remote))
    }

    fn url(&self) -> Result<&Url, Problem> {
        let missing = || self.missing("url", "https://git.example.org");
        self.endpoint.url.ok_or_else(missing)
    }

    /// The instance that AutoGit runs, if the config says so.
    pub async fn deployed(&self, config: &Config) -> Result<Option<instance::Instance>, Problem> {
        let deployment = config.gitlab.deploy.as_ref().filter(|_| !self.sandbox);
        let Some(deployment) = deployment else {
            return Ok(None);
        };
        let state = state_folder(self.global);
        let opened = instance::Instance::open(&deployment.spec, self.url()?, &state, self.secrets.clone());
        let gitlab = &config.gitlab;
        let folder = folder(&self.global.config);
        let ca_file = gitlab.ca_file.as_ref().map(|file| folder.join(file));
        let opened = opened.await?.reached(gitlab.token.clone(), ca_file);
        Ok(Some(opened.declared_in(&self.global.config)))
    }

    async fn settings(&self, token: Option<&SecretRef>) -> Result<Settings, Problem> {
        let url = self.url()?;
        let token = token.ok_or_else(|| self.missing("token", "{env: AUTOGIT_TOKEN}"))?;
        check_url(url, std::env::var("AUTOGIT_URL").ok().as_deref())?;
        let token = self.secrets.token(token).await.map_err(|error| {
            let problem = Problem::new(error.to_string());
            match self.endpoint.deploy {
                Some(_) => problem.help("`autogit apply` makes AutoGit's own token once the instance is up"),
                None => problem,
            }
        })?;
        let mut settings = Settings::new(url.clone(), token);
        let folder = folder(&self.global.config);
        settings.ca_file = self.endpoint.ca_file.map(|file| folder.join(file));
        Ok(settings)
    }

    /// Reads the token anew when it is needed next: it may have been renewed.
    pub fn forget_token(&self) {
        if let Some(reference) = self.endpoint.token {
            self.secrets.forget(reference);
        }
    }

    fn missing(&self, key: &str, example: &str) -> Problem {
        Problem::new(format!(
            "failed to reach GitLab: {} has no `gitlab.{key}`",
            self.global.config.display()
        ))
        .help(format!(
            "add `{key}: {example}` under `gitlab:`, or try the file with --sandbox"
        ))
    }
}

/// Takes the lock of a store. Whoever interrupts from now on gives it back.
pub async fn hold(store: &Store, operation: &str) -> Result<watch::Sender<Interrupt>, Problem> {
    let interrupt = interrupt::listen(vec![store.clone()])?;
    store.lock(operation).await?;
    Ok(interrupt)
}

/// Gives the lock of a store back, whatever came of the command that held it.
pub async fn release<T>(store: &Store, outcome: Result<T, Problem>) -> Result<T, Problem> {
    match (outcome, store.release().await) {
        (outcome, Ok(())) => outcome,
        (Ok(_), Err(error)) => Err(error.into()),
        (Err(problem), Err(error)) => {
            Problem::from(error).print();
            Err(problem)
        }
    }
}

/// The state that a command without a session is about.
#[derive(clap::Args)]
pub struct State {
    /// The state of the sandbox instead of the config's GitLab
    #[arg(long, global = true)]
    pub sandbox: bool,
    /// Let secrets of the form `{exec: […]}` run their program
    #[arg(long, global = true)]
    pub allow_exec: bool,
}

impl State {
    /// The store.
    pub async fn store(&self, global: &Global) -> Result<Store, Problem> {
        let config = match self.sandbox {
            true => Config::default(),
            false => load(global)?.1,
        };
        self.access(global, &config).store().await
    }

    /// How to get at it.
    pub fn access<'a>(&self, global: &'a Global, config: &'a Config) -> Access<'a> {
        Access::new(global, config.into(), self.sandbox, self.allow_exec)
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
pub fn directory(global: &Global, instance: &str) -> Result<Directory, Problem> {
    Ok(Directory::open(&state_folder(global), instance)?)
}

/// Where AutoGit keeps what it has to remember, beside the config.
pub fn state_folder(global: &Global) -> PathBuf {
    global.config.with_file_name(".autogit")
}

/// Loads the config, and shows whatever is wrong with it.
pub fn load(global: &Global) -> Result<(Loaded, Config), Problem> {
    let mut loaded = config::load(&global.config, &kinds::shapes());
    findings::show(&loaded.sources, &loaded.diagnostics, color());
    match loaded.config.take() {
        Some(mut config) => {
            complete(global, &mut config);
            Ok((loaded, config))
        }
        None => Err(unusable(global, &loaded.diagnostics)),
    }
}

/// Fills in how AutoGit reaches a GitLab that it runs itself, where the config leaves that open.
pub fn complete(global: &Global, config: &mut Config) {
    let gitlab = &mut config.gitlab;
    let Some(Deployment { spec, .. }) = &gitlab.deploy else {
        return was_deployed(global, gitlab);
    };
    let place = Place::new(&state_folder(global), instance::name(spec));
    gitlab.token.get_or_insert_with(|| SecretRef::File(place.token()));
    if matches!(spec.tls, Some(Tls::SelfSigned {})) {
        let (authority, _) = place.authority();
        gitlab.ca_file.get_or_insert(authority);
    }
}

/// Reaches a GitLab that is not deployed any more as before, until somebody says how else.
fn was_deployed(global: &Global, gitlab: &mut config::Gitlab) {
    let url = gitlab.url.as_ref().filter(|_| gitlab.token.is_none());
    let Some(place) = url.and_then(|url| instance::left_at(&state_folder(global), url)) else {
        return;
    };
    gitlab.token = Some(SecretRef::File(place.token()));
    let (authority, _) = place.authority();
    if authority.exists() {
        gitlab.ca_file.get_or_insert(authority);
    }
}

/// What a config asks of the repos that exist. Without rules that is the config itself, and nothing is read.
pub async fn desired(
    global: &Global,
    session: &Session,
    loaded: &Loaded,
    config: Config,
) -> Result<(Desired, Sources), Problem> {
    let Some(roots) = loaded.roots() else {
        return Ok((config.into(), loaded.sources.clone()));
    };
    let inventory = session.inventory(&roots).await?;
    let settled = loaded.settle(&inventory.repos);
    findings::show(&settled.sources, &settled.diagnostics, color());
    let mut config = settled
        .config
        .ok_or_else(|| unusable(global, &settled.diagnostics))?;
    complete(global, &mut config);
    let desired = Desired {
        config,
        reported: settled.reported,
        reporting: settled.reporting,
        inventory: Some(inventory),
    };
    Ok((desired, settled.sources))
}

/// An instance's URL, as an argument gives it.
pub fn instance_url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("{error}: write it with its scheme: `https://git.example.org`"))
}

/// Why a config cannot be used.
fn unusable(global: &Global, diagnostics: &[Diagnostic]) -> Problem {
    let errors = diagnostics.iter();
    let errors = errors.filter(|found| found.severity == Severity::Error).count();
    let errors = count(errors as u64, "error");
    Problem::new(format!("failed to load {}: {errors}", global.config.display()))
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
