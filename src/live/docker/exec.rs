//! Programs run inside a container.

use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

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
        mut heard: impl FnMut(&str),
    ) -> Result<Output, Error> {
        let doing = format!(
            "run {} in the container {container}",
            command.first().unwrap_or(&"")
        );
        let failed = |cause| Error::new(doing.clone(), cause);
        let config = ExecConfig {
            attach_stdin: Some(stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..ExecConfig::default()
        };
        let docker = &self.looker().docker;
        let id = docker.create_exec(container, config).await.map_err(failed)?.id;
        let mut output = Output::default();
        if let StartExecResults::Attached {
            output: mut pieces,
            mut input,
        } = docker.start_exec(&id, None).await.map_err(failed)?
        {
            if let Some(stdin) = stdin {
                let written = async {
                    input.write_all(stdin).await?;
                    input.shutdown().await
                };
                written.await.map_err(|error| failed(error.into()))?;
            }
            let mut open = Vec::new();
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(failed)?;
                open.extend_from_slice(piece.as_ref());
                while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = open.drain(..=end).collect();
                    heard(String::from_utf8_lossy(&line).trim_end());
                }
                match piece {
                    LogOutput::StdErr { message } => output.stderr.extend_from_slice(&message),
                    other => output.stdout.extend_from_slice(other.as_ref()),
                }
            }
            if !open.is_empty() {
                heard(String::from_utf8_lossy(&open).trim_end());
            }
        }
        let ended = docker.inspect_exec(&id).await.map_err(failed)?;
        output.status = ended.exit_code.unwrap_or(-1);
        Ok(output)
    }
}
