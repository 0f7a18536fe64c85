//! Secrets by reference: resolved as late as possible, named in errors by their reference, never by their value.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;
use tokio::sync::{OnceCell, Semaphore};
use url::Url;

use crate::config::SecretRef;

/// How references are resolved. Each is resolved once, however often it is asked for.
#[derive(Debug)]
pub struct Secrets {
    /// The config's directory, which files and programs are relative to.
    pub base: PathBuf,
    /// Whether `exec` references may run (`--allow-exec`).
    pub allow_exec: bool,
    /// How long a program may take. 30 s in [`Secrets::new`].
    pub timeout: Duration,
    /// The tokens that AutoGit itself works with: [`Secrets::value`] never gives one of them away.
    tokens: Mutex<Vec<SecretString>>,
    known: Mutex<HashMap<String, Arc<OnceCell<SecretString>>>>,
    /// So many references are resolved at a time: each may start a program.
    turns: Semaphore,
}

/// The environment variables whose tokens are never a value, whichever token a config names as AutoGit's own.
const TOKENS: [&str; 3] = ["AUTOGIT_TOKEN", "AUTOGIT_COMMENT_TOKEN", "CI_JOB_TOKEN"];

/// Why a secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment variable is not set.
    #[error(
        "failed to read the secret {{env: {0}}}: the variable is not set; export it, or correct the reference"
    )]
    Unset(String),
    /// The file cannot be read.
    #[error("failed to read the secret {{file: {}}}: {source}", file.display())]
    File {
        /// As written.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `exec` was not allowed.
    #[error("failed to read the secret {0}: programs run only with --allow-exec")]
    ExecNotAllowed(String),
    /// `exec` names no program.
    #[error("failed to read the secret {{exec: []}}: it names no program")]
    NoProgram,
    /// The program could not be started or waited for.
    #[error("failed to run the secret {reference}: {source}")]
    Program {
        /// The program, without its arguments.
        reference: String,
        /// Why.
        source: io::Error,
    },
    /// The program failed. What it printed is not shown: it may be secret.
    #[error(
        "failed to read the secret {reference}: the program ended with {status}; run it by hand to see why"
    )]
    Failed {
        /// The program, without its arguments.
        reference: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The program took too long.
    #[error("failed to read the secret {reference}: the program took longer than {} s", timeout.as_secs())]
    TimedOut {
        /// The program, without its arguments.
        reference: String,
        /// How long it was given.
        timeout: Duration,
    },
    /// It is a token that AutoGit works with.
    #[error(
        "failed to use the secret {0}: it is the token that AutoGit itself works with, which is never a value of anything"
    )]
    OwnToken(String),
    /// There is nothing in it.
    #[error("failed to read the secret {0}: it is empty")]
    Empty(String),
    /// It is not UTF-8.
    #[error("failed to read the secret {0}: it is not text")]
    NotText(String),
    /// `AUTOGIT_URL` names another instance than the config.
    #[error(
        "failed to use the token for {config}: AUTOGIT_URL is {guard}, and the token goes only there; \
         correct `gitlab.url` or AUTOGIT_URL"
    )]
    OtherInstance {
        /// The config's URL.
        config: String,
        /// The variable's.
        guard: String,
    },
}

impl Secrets {
    /// Secrets relative to `base`; programs are given 30 s.
    pub fn new(base: impl Into<PathBuf>, allow_exec: bool) -> Self {
        let tokens = TOKENS.iter().filter_map(|name| std::env::var(name).ok());
        let tokens = tokens.filter(|token| !token.is_empty());
        Secrets {
            base: base.into(),
            allow_exec,
            timeout: Duration::from_secs(30),
            tokens: Mutex::new(tokens.map(SecretString::from).collect()),
            known: Mutex::default(),
            turns: Semaphore::new(8),
        }
    }

    /// The token that `reference` points at, for AutoGit's own use.
    ///
    /// # Errors
    /// As [`Secrets::value`].
    pub async fn token(&self, reference: &SecretRef) -> Result<SecretString, Error> {
        let token = self.resolve(reference).await?;
        self.keep(token.clone());
        Ok(token)
    }

    /// Never gives `token` away as a value.
    pub fn keep(&self, token: SecretString) {
        self.tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(token);
    }

    /// Reads what `reference` points at anew when it is needed next.
    pub fn forget(&self, reference: &SecretRef) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&format!("{reference:?}"));
    }

    /// The secret that `reference` points at, to become a value of something.
    ///
    /// # Errors
    /// When it is not to be had, when it is empty, and when it is a token that AutoGit works with.
    pub async fn value(&self, reference: &SecretRef) -> Result<SecretString, Error> {
        let value = self.resolve(reference).await?;
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        match tokens
            .iter()
            .any(|token| value.expose_secret().contains(token.expose_secret()))
        {
            true => Err(Error::OwnToken(name(reference))),
            false => Ok(value),
        }
    }

    async fn resolve(&self, reference: &SecretRef) -> Result<SecretString, Error> {
        let known = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(format!("{reference:?}")).or_default().clone()
        };
        let read = || async {
            let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
            self.read(reference).await
        };
        known.get_or_try_init(read).await.cloned()
    }

    /// The secret that `reference` points at, without one trailing newline.
    async fn read(&self, reference: &SecretRef) -> Result<SecretString, Error> {
        let bytes = match reference {
            SecretRef::Env(name) => {
                let value = std::env::var_os(name).ok_or_else(|| Error::Unset(name.clone()))?;
                value.into_encoded_bytes()
            }
            SecretRef::File(file) => {
                tokio::fs::read(self.base.join(file))
                    .await
                    .map_err(|source| Error::File {
                        file: file.clone(),
                        source,
                    })?
            }
            SecretRef::Exec(command) => self.run(command).await?,
        };
        let mut text = String::from_utf8(bytes).map_err(|_| Error::NotText(name(reference)))?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        match text.is_empty() {
            true => Err(Error::Empty(name(reference))),
            false => Ok(text.into()),
        }
    }

    /// What `command` prints. It is run as it stands, without a shell, and is killed when it takes too long.
    async fn run(&self, command: &[String]) -> Result<Vec<u8>, Error> {
        let (program, arguments) = command.split_first().ok_or(Error::NoProgram)?;
        let reference = exec(program);
        if !self.allow_exec {
            return Err(Error::ExecNotAllowed(reference));
        }
        let here = std::env::current_dir().map_err(|source| Error::Program {
            reference: reference.clone(),
            source,
        })?;
        // Absolute: a relative program would be looked for from its own working directory.
        let base = here.join(&self.base);
        // A path is relative to the config; a bare name is looked up in PATH.
        let path = match Path::new(program).components().count() {
            1 => PathBuf::from(program),
            _ => base.join(program),
        };
        let run = Command::new(path)
            .args(arguments)
            .current_dir(base)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        match tokio::time::timeout(self.timeout, run).await {
            Err(_) => Err(Error::TimedOut {
                reference,
                timeout: self.timeout,
            }),
            Ok(Err(source)) => Err(Error::Program { reference, source }),
            Ok(Ok(output)) if !output.status.success() => Err(Error::Failed {
                reference,
                status: output.status,
            }),
            Ok(Ok(output)) => Ok(output.stdout),
        }
    }
}

/// A reference as errors name it.
fn name(reference: &SecretRef) -> String {
    match reference {
        SecretRef::Env(name) => format!("{{env: {name}}}"),
        SecretRef::File(file) => format!("{{file: {}}}", file.display()),
        SecretRef::Exec(command) => exec(command.first().map_or("", String::as_str)),
    }
}

/// A program without its arguments, which may be telling.
fn exec(program: &str) -> String {
    format!("{{exec: [{program}, …]}}")
}

/// Refuses to go on when `AUTOGIT_URL` (`guard`) is set and names another instance than the config:
/// the token goes only there.
///
/// # Errors
/// When the two differ in more than case of the host, default port or a slash at the end.
pub fn check_url(config: &Url, guard: Option<&str>) -> Result<(), Error> {
    let same = |guard: &Url| {
        guard.origin() == config.origin()
            && guard.path().trim_end_matches('/') == config.path().trim_end_matches('/')
    };
    match guard {
        Some(guard) if !Url::parse(guard).is_ok_and(|guard| same(&guard)) => Err(Error::OtherInstance {
            config: config.origin().ascii_serialization() + config.path(),
            guard: guard.to_owned(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(dir: &Path, reference: SecretRef) -> Result<String, Error> {
        let secret = Secrets::new(dir, true).resolve(&reference).await?;
        Ok(secret.expose_secret().to_owned())
    }

    fn sh(script: &str) -> SecretRef {
        SecretRef::Exec(vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()])
    }

    #[tokio::test]
    async fn references_are_resolved_without_one_newline() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "canary\n\n").unwrap();
        std::fs::write(dir.path().join("windows"), "canary\r\n").unwrap();
        let file = |name: &str| SecretRef::File(name.into());
        assert_eq!(resolve(dir.path(), file("token")).await.unwrap(), "canary\n");
        assert_eq!(resolve(dir.path(), file("windows")).await.unwrap(), "canary");
        assert_eq!(resolve(dir.path(), sh("cat token")).await.unwrap(), "canary\n");
        // Set by cargo for every test.
        let env = SecretRef::Env("CARGO_PKG_NAME".to_owned());
        assert_eq!(resolve(dir.path(), env).await.unwrap(), "autogit");
    }

    #[tokio::test]
    async fn errors_name_the_reference_and_never_the_value() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty"), "\n").unwrap();
        std::fs::write(dir.path().join("binary"), b"canary\xff").unwrap();
        for (reference, says) in [
            (
                SecretRef::Env("AUTOGIT_NO_SUCH".to_owned()),
                "{env: AUTOGIT_NO_SUCH}: the variable is not set",
            ),
            (SecretRef::File("missing".into()), "{file: missing}: No such file"),
            (SecretRef::File("empty".into()), "{file: empty}: it is empty"),
            (SecretRef::File("binary".into()), "{file: binary}: it is not text"),
            (
                sh("echo canary; echo canary >&2; exit 3"),
                "{exec: [sh, …]}: the program ended with exit status: 3",
            ),
            (
                SecretRef::Exec(vec!["./missing".to_owned()]),
                "{exec: [./missing, …]}: No such file",
            ),
            (SecretRef::Exec(Vec::new()), "it names no program"),
        ] {
            let error = resolve(dir.path(), reference).await.unwrap_err();
            let text = format!("{error}");
            assert!(text.contains(says), "{text}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn programs_run_only_when_allowed_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let mut secrets = Secrets::new(dir.path(), false);
        let error = secrets.resolve(&sh("touch ran; echo x")).await.unwrap_err();
        assert!(matches!(error, Error::ExecNotAllowed(_)));
        assert!(!dir.path().join("ran").exists());
        secrets.allow_exec = true;
        secrets.timeout = Duration::from_millis(20);
        let error = secrets.resolve(&sh("exec sleep 600")).await.unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }));
    }

    #[tokio::test]
    async fn a_program_runs_once_and_our_own_token_is_no_value() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(dir.path(), true);
        let once = sh("echo ran >> ran; echo glpat-canary");
        let (first, again) = tokio::join!(secrets.value(&once), secrets.value(&once));
        assert_eq!(first.unwrap().expose_secret(), again.unwrap().expose_secret());
        assert_eq!(std::fs::read_to_string(dir.path().join("ran")).unwrap(), "ran\n");
        secrets.keep("glpat-canary".into());
        for reference in [once, sh("echo https://x:glpat-canary@example.org")] {
            let error = secrets.value(&reference).await.unwrap_err();
            assert!(matches!(error, Error::OwnToken(_)) && !error.to_string().contains("canary"));
        }
    }

    #[test]
    fn the_token_goes_only_where_autogit_url_says() {
        let check = |config: &str, guard| check_url(&config.parse().unwrap(), guard).is_ok();
        assert!(check("https://git.example.org", None));
        assert!(check(
            "https://git.example.org",
            Some("https://GIT.example.org:443/")
        ));
        assert!(check(
            "https://example.org/gitlab/",
            Some("https://example.org/gitlab")
        ));
        for guard in [
            "https://evil.example.org",
            "http://git.example.org",
            "https://git.example.org/x",
            "",
            "x",
        ] {
            assert!(!check("https://git.example.org", Some(guard)), "{guard}");
        }
    }
}
