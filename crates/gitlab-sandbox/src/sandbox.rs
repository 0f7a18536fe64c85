//! Starting and stopping the server.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use jiff::Timestamp;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    app::{App, Options},
    rest, secret,
    store::{PersonalAccessToken, Sequence, Store, User, UserState},
};

/// A running sandbox. Dropping it stops the server; its state stays in its directory.
pub struct Sandbox {
    url: String,
    token: String,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<io::Result<()>>,
    /// Holds the directory's lock.
    _lock: File,
}

impl Sandbox {
    /// Opens the directory, listens, and serves in the background.
    ///
    /// Fails when the directory cannot be used, when another sandbox uses it, or when the address is taken.
    pub async fn start(options: Options) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&options.dir)
            .map_err(|error| context(error, &format!("failed to make {}", options.dir.display())))?;
        let lock = lock(&options.dir)?;
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|error| context(error, &format!("failed to listen on {}", options.listen)))?;
        let url = format!("http://{}", listener.local_addr()?);
        let token_file = options.dir.join("token");
        let dir = options.dir.display().to_string();
        let shown = options.url.clone().unwrap_or_else(|| url.clone());
        let app = App::open(options, shown)
            .map_err(|error| context(error, &format!("failed to open the sandbox in {dir}")))?;
        let token = admin_token(&app, &token_file)?;
        app.resume_protections();
        app.resume_terraform_deletions();
        app.resume_imports();
        let (stop, stopped) = oneshot::channel();
        let service = rest::router(app);
        let server = tokio::spawn(async move {
            axum::serve(listener, service)
                .with_graceful_shutdown(async move {
                    // An error means that the sandbox was dropped, which stops it too.
                    let _ = stopped.await;
                })
                .await
        });
        Ok(Self {
            url,
            token,
            stop: Some(stop),
            server,
            _lock: lock,
        })
    }

    /// `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The personal access token of `root`, an administrator, with all scopes.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Stops taking requests and waits for those in progress.
    pub async fn shutdown(mut self) -> io::Result<()> {
        self.stop.take();
        self.wait().await
    }

    /// Serves until the server fails or is shut down.
    pub async fn wait(&mut self) -> io::Result<()> {
        (&mut self.server).await.map_err(io::Error::other)?
    }
}

/// The error with what was tried before it.
fn context(error: io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn lock(dir: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("lock"))?;
    file.try_lock().map_err(|error| {
        let why = format!("{} is in use by another sandbox ({error})", dir.display());
        io::Error::new(io::ErrorKind::ResourceBusy, why)
    })?;
    Ok(file)
}

/// The token of `root`, made with the user at the first start.
fn admin_token(app: &App, path: &Path) -> io::Result<String> {
    if let Ok(token) = fs::read_to_string(path)
        && app.read().tokens.find(&secret::digest(token.trim())).is_some()
    {
        return Ok(token.trim().to_owned());
    }
    let token = secret::token("glpat-");
    // Written first: a kill in between leaves a token that is simply made again.
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{token}")?;
    app.write(|store| {
        let user_id = root(store);
        let id = store.tokens.next_id();
        store.tokens.insert(PersonalAccessToken {
            id,
            user_id,
            name: "sandbox".to_owned(),
            description: None,
            scopes: ["api", "read_repository", "write_repository", "sudo", "admin_mode"]
                .map(str::to_owned)
                .to_vec(),
            digest: secret::digest(&token),
            revoked: false,
            previous: None,
            expires_at: None,
            last_used_at: None,
            created_at: Timestamp::now(),
        });
        Ok(())
    })
    .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(token)
}

fn root(store: &mut Store) -> u64 {
    if let Some(user) = store.user_by_username("root") {
        return user.id;
    }
    let id = store.users.next_id();
    let namespace_id = store.next(Sequence::Namespaces);
    store.users.insert(User {
        id,
        username: "root".to_owned(),
        name: "Administrator".to_owned(),
        email: "admin@example.com".to_owned(),
        state: UserState::Active,
        admin: true,
        namespace_id,
        can_create_group: true,
        projects_limit: 100_000,
        external: false,
        private_profile: false,
        bot_of: None,
        created_at: Timestamp::now(),
    });
    id
}
