//! Programs run inside a container.

use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::errors::Error as Cause;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::{Stream, TryStreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::lines::lines;
use super::{Error, Hands};

/// What came of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: i64,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it succeeded.
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// All that it wrote, standard error last.
    pub fn all(&self) -> String {
        [&self.stdout, &self.stderr]
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .join("\n")
    }

    /// The end of what it wrote, standard error first: what a message about a failure quotes.
    pub fn tail(&self) -> String {
        let text = match self.stderr.is_empty() {
            true => &self.stdout,
            false => &self.stderr,
        };
        let text = String::from_utf8_lossy(text);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// A program that was begun in a container.
struct Begun {
    /// What was begun, for messages.
    doing: String,
    /// What it writes.
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, Cause>> + Send>>,
    /// Its standard input, which ends when this is dropped.
    input: Pin<Box<dyn AsyncWrite + Send>>,
    id: String,
}

impl Hands {
    /// Runs a program in a container, with `stdin` as its input, and waits for its end. `heard` is given each line of its output as it
    /// comes.
    ///
    /// # Errors
    /// When it could not be run. A program that fails is an [`Output`].
    pub async fn exec(
        &self,
        container: &str,
        command: &[&str],
        stdin: Option<&[u8]>,
        heard: impl FnMut(&str),
    ) -> Result<Output, Error> {
        let Begun {
            doing,
            output: pieces,
            mut input,
            id,
        } = self.begin(container, command, stdin.is_some()).await?;
        if let Some(stdin) = stdin {
            let written = async {
                input.write_all(stdin).await?;
                input.shutdown().await
            };
            written.await.map_err(|error| Error::new(&*doing, error.into()))?;
        }
        let mut output = Output::default();
        let pieces = pieces.inspect_ok(|piece| match piece {
            LogOutput::StdErr { message } => output.stderr.extend_from_slice(message),
            other => output.stdout.extend_from_slice(other.as_ref()),
        });
        lines(pieces, &doing, heard).await?;
        output.status = self.ended(&id, &doing).await?;
        Ok(output)
    }

    /// Runs a program in a container, and gives `heard` each line that it prints. Its standard input ends when this future is dropped:
    /// what waits for that can end itself then.
    ///
    /// # Errors
    /// When it could not be run. Gives its exit status otherwise.
    pub async fn follow(
        &self,
        container: &str,
        command: &[&str],
        heard: impl FnMut(&str),
    ) -> Result<i64, Error> {
        let Begun {
            doing,
            output,
            input,
            id,
        } = self.begin(container, command, true).await?;
        lines(output, &doing, heard).await?;
        drop(input);
        self.ended(&id, &doing).await
    }

    /// Begins a program in a container.
    async fn begin(&self, container: &str, command: &[&str], reads: bool) -> Result<Begun, Error> {
        let program = command.first().unwrap_or(&"");
        let doing = format!("run {program} in the container {container}");
        let failed = |cause| Error::new(&*doing, cause);
        let config = ExecConfig {
            attach_stdin: Some(reads),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..ExecConfig::default()
        };
        let docker = &self.looker().docker;
        let id = docker.create_exec(container, config).await.map_err(failed)?.id;
        match docker.start_exec(&id, None).await.map_err(failed)? {
            StartExecResults::Attached { output, input } => Ok(Begun {
                doing,
                output,
                input,
                id,
            }),
            StartExecResults::Detached => unreachable!("it was asked for attached"),
        }
    }

    /// The exit status of a program whose output has ended.
    async fn ended(&self, id: &str, doing: &str) -> Result<i64, Error> {
        let ended = self.looker().docker.inspect_exec(id).await;
        let ended = ended.map_err(|cause| Error::new(doing, cause))?;
        Ok(ended.exit_code.unwrap_or(-1))
    }
}
