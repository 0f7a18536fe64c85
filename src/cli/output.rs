//! What a command leaves behind: its exit code, its error, its log.

use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice, eprint, eprintln};
use tracing_subscriber::EnvFilter;

use super::Global;
use crate::engine::state::StateError;
use crate::{engine, export, kinds, live};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Something failed, and was named.
    Failed,
    /// There are changes, and `--detailed-exitcode` asked to tell.
    Changes,
    /// Somebody or some rule said no.
    Declined,
    /// The user interrupted it.
    Interrupted,
}

impl Exit {
    /// What the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Changes => 2,
            Exit::Declined => 3,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command failed, and what to do about it.
#[derive(Debug)]
pub struct Problem {
    message: String,
    remedy: Option<String>,
}

impl Problem {
    /// A problem that says itself what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Problem {
            message: message.into(),
            remedy: None,
        }
    }

    /// Adds what to do.
    pub fn help(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds what to do, where that is known.
    pub fn maybe_help(mut self, remedy: Option<String>) -> Self {
        self.remedy = remedy.or(self.remedy);
        self
    }

    /// What failed, without what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do, where that is known.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Prints it to standard error.
    pub fn print(&self) {
        let Problem { message, remedy } = self;
        eprintln!("\u{1b}[1;31merror\u{1b}[0m: {message}");
        if let Some(remedy) = remedy {
            eprintln!("\u{1b}[1;36mhelp\u{1b}[0m: {remedy}");
        }
    }
}

impl From<live::gitlab::Error> for Problem {
    fn from(error: live::gitlab::Error) -> Self {
        Problem {
            message: error.to_string(),
            remedy: error.remedy(),
        }
    }
}

impl From<kinds::Error> for Problem {
    fn from(error: kinds::Error) -> Self {
        match error {
            kinds::Error::Gitlab(error) => error.into(),
            kinds::Error::Refused(message) => Problem::new(message),
        }
    }
}

impl From<engine::Error> for Problem {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::Gitlab(error) => error.into(),
            engine::Error::Kind(error) => error.into(),
            engine::Error::State(error) => error.into(),
            other => Problem::new(other.to_string()),
        }
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        Problem::new(error.to_string()).maybe_help(error.remedy())
    }
}

impl From<export::Error> for Problem {
    fn from(error: export::Error) -> Self {
        Problem::new(error.to_string()).help(
            "this is a fault of AutoGit: nothing was written; please report it with the address it names",
        )
    }
}

impl From<export::Unsaved> for Problem {
    fn from(error: export::Unsaved) -> Self {
        Problem::new(error.to_string()).help("name another folder with --out; nothing was written")
    }
}

impl From<live::secrets::Error> for Problem {
    fn from(error: live::secrets::Error) -> Self {
        Problem::new(error.to_string())
    }
}

/// Whether standard error takes colours: a terminal that wants them, and no `NO_COLOR`.
pub fn color() -> bool {
    AutoStream::choice(&std::io::stderr()) != ColorChoice::Never
}

/// Whether standard output takes colours.
pub fn stdout_color() -> bool {
    AutoStream::choice(&std::io::stdout()) != ColorChoice::Never
}

/// Whether somebody can be asked.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a question, to which only `yes` is a yes. `otherwise`: what to do where nobody can be asked.
pub fn confirm(question: &str, otherwise: &str) -> Result<bool, Problem> {
    if !can_ask() {
        return Err(Problem::new("failed to ask whether to go on: there is no terminal").help(otherwise));
    }
    eprint!("{question} Only `yes` is taken for an answer: ");
    let mut answer = String::new();
    let asked = std::io::stderr()
        .flush()
        .and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    asked.map_err(|error| Problem::new(format!("failed to read the answer: {error}")))?;
    Ok(answer.trim() == "yes")
}

/// Sends the log where the arguments say: nowhere, to standard error, to a file.
pub fn log_to(global: &Global) -> Result<(), Problem> {
    let level = match (global.verbose, &global.log_file) {
        (0, None) => return Ok(()),
        (1, None) => "info",
        (0..=2, _) => "debug",
        _ => "trace",
    };
    // Ours alone: the libraries below know nothing of what must not be shown.
    let filter = EnvFilter::new(format!("autogit={level}"));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    match &global.log_file {
        None => log.with_writer(std::io::stderr).with_ansi(color()).init(),
        Some(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| {
                    Problem::new(format!("failed to open the log file {}: {error}", path.display()))
                })?;
            log.with_writer(file).with_ansi(false).init();
        }
    }
    Ok(())
}
