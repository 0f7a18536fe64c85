//! What every handler shares: the store, the options, and where things live on disk.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::{
    error::{ApiError, ApiResult},
    faults::Faults,
    git,
    meter::{Counters, RateLimit},
    record::{Exchange, Recorder},
    store::{Log, Store},
};

/// Which of GitLab's two builds the server behaves as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edition {
    /// Community Edition.
    #[default]
    Ce,
    /// Enterprise Edition with a licence.
    Ee,
}

/// How a sandbox is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the state, the repositories and the admin token are kept. Made when missing.
    pub dir: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Default: CE.
    pub edition: Edition,
    /// Added to every API request. Default: none.
    pub latency: Duration,
    /// How long after the first commit the default branch becomes protected, and after its deletion a Terraform
    /// state is gone: GitLab does both in the background. Default: 200 ms.
    pub protection_delay: Duration,
    /// API requests a user may make in a minute. Default: one million.
    pub requests_per_minute: u64,
    /// The release that it says it is: `18.9.0`, which is also the default.
    pub version: String,
    /// What links in answers start with, for clients that come through a proxy. Default: the address it listens on.
    pub url: Option<String>,
    /// Appends each API exchange to this file, as one line of JSON. Default: none.
    pub record: Option<PathBuf>,
}

impl Options {
    /// The defaults, listening on a free port of the loopback interface.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            edition: Edition::Ce,
            latency: Duration::ZERO,
            protection_delay: Duration::from_millis(200),
            requests_per_minute: 1_000_000,
            version: "18.9.0".to_owned(),
            url: None,
            record: None,
        }
    }
}

/// The running server, shared by all handlers.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    options: Options,
    url: String,
    store: RwLock<Store>,
    log: Mutex<Log>,
    faults: Faults,
    counters: Mutex<Counters>,
    rate_limit: RateLimit,
    recorder: Option<Recorder>,
}

impl App {
    /// Opens the state in `options.dir`. `url` is what links in answers start with.
    pub fn open(options: Options, url: String) -> io::Result<Self> {
        let dir = options.dir.canonicalize()?;
        let options = Options { dir, ..options };
        let recorder = options.record.as_deref().map(Recorder::open).transpose()?;
        let (store, log) = Log::open(&options.dir)?;
        git::http::install_hook(&options.dir)?;
        Ok(Self(Arc::new(Inner {
            options,
            url,
            store: RwLock::new(store),
            log: Mutex::new(log),
            faults: Faults::default(),
            counters: Mutex::default(),
            rate_limit: RateLimit::default(),
            recorder,
        })))
    }

    pub fn options(&self) -> &Options {
        &self.0.options
    }

    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    pub fn counters(&self) -> MutexGuard<'_, Counters> {
        self.0.counters.lock().expect("nothing panics while it counts")
    }

    pub fn rate_limit(&self) -> &RateLimit {
        &self.0.rate_limit
    }

    /// Records an exchange, when the sandbox was started so.
    pub fn record(&self, exchange: &Exchange<'_>) {
        if let Some(recorder) = &self.0.recorder
            && let Err(error) = recorder.write(exchange)
        {
            eprintln!("failed to record an exchange: {error}");
        }
    }

    pub fn is_ee(&self) -> bool {
        self.0.options.edition == Edition::Ee
    }

    /// What links start with: `http://host:port`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.0.store.read().expect("no handler panics while it writes")
    }

    /// Runs one transaction: what it changed is in the log when this returns.
    ///
    /// Check before changing: an error does not undo changes.
    pub fn write<T>(&self, transaction: impl FnOnce(&mut Store) -> ApiResult<T>) -> ApiResult<T> {
        let mut store = self.0.store.write().expect("no handler panics while it writes");
        let result = transaction(&mut store);
        let mut log = self.0.log.lock().expect("no writer panics");
        log.append(&mut store)
            .map_err(|error| ApiError::internal(&format!("failed to write the log: {error}")))?;
        result
    }

    /// Where a project's bare repository is; it may not exist yet.
    pub fn repository_path(&self, project_id: u64) -> PathBuf {
        self.0
            .options
            .dir
            .join("repositories")
            .join(format!("{project_id}.git"))
    }

    /// Makes the project's bare repository, with HEAD on `branch`, unless it exists.
    pub async fn ensure_repository(&self, project_id: u64, branch: &str) -> ApiResult<PathBuf> {
        let path = self.repository_path(project_id);
        if !path.join("HEAD").exists() {
            let init = [
                "init",
                "--quiet",
                "--bare",
                "--template=",
                "--initial-branch",
                branch,
            ];
            let target = path.to_string_lossy().into_owned();
            self.git(&self.0.options.dir, &[&init[..], &[&target]].concat())
                .await?;
        }
        Ok(path)
    }

    /// Removes the project's repository.
    pub async fn remove_repository(&self, project_id: u64) -> ApiResult<()> {
        match tokio::fs::remove_dir_all(self.repository_path(project_id)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ApiError::internal(&format!(
                "failed to remove a repository: {error}"
            ))),
            _ => Ok(()),
        }
    }

    /// Runs git in a directory and returns what it printed.
    pub async fn git(&self, dir: &Path, args: &[&str]) -> ApiResult<Vec<u8>> {
        let output = Command::new("git")
            .args(args)
            .current_dir(dir)
            .output()
            .await
            .map_err(|error| ApiError::internal(&format!("failed to run git: {error}")))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ApiError::internal(&format!(
            "git {} failed: {why}",
            args.join(" ")
        )))
    }
}
