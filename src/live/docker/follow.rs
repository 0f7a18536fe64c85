//! What goes on writing: logs, and programs that print until nobody listens any more.

use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;

use super::{Error, Hands, Looker};

/// Which lines of a log are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which {
    /// The last so many.
    pub last: u32,
    /// Those since then.
    pub since: Option<Timestamp>,
    /// Whether those that are still to come are wanted, too.
    pub follow: bool,
}

impl Looker {
    /// Gives `heard` what a container wrote to its standard output and error, line by line.
    ///
    /// # Errors
    /// When the Engine does not answer, or keeps no log.
    pub async fn follow_log(
        &self,
        container: &str,
        which: Which,
        heard: impl FnMut(&str),
    ) -> Result<(), Error> {
        let since = which.since.and_then(|since| since.as_second().try_into().ok());
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(which.follow)
            .since(since.unwrap_or_default())
            .tail(&which.last.to_string());
        let doing = format!("read the log of the container {container}");
        lines(self.logs(container, options.build()), &doing, heard).await
    }
}

impl Hands {
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
        let doing = format!(
            "run {} in the container {container}",
            command.first().unwrap_or(&"")
        );
        let failed = |cause| Error::new(doing.clone(), cause);
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..ExecConfig::default()
        };
        let docker = &self.looker().docker;
        let id = docker.create_exec(container, config).await.map_err(failed)?.id;
        let started = docker.start_exec(&id, None).await.map_err(failed)?;
        if let StartExecResults::Attached { output, input } = started {
            lines(output, &doing, heard).await?;
            drop(input);
        }
        let ended = docker.inspect_exec(&id).await.map_err(failed)?;
        Ok(ended.exit_code.unwrap_or(-1))
    }
}

/// Cuts what comes in pieces into lines. Standard output and error are told apart, so that no line is made of both.
async fn lines(
    output: impl Stream<Item = Result<LogOutput, bollard::errors::Error>>,
    doing: &str,
    mut heard: impl FnMut(&str),
) -> Result<(), Error> {
    let mut output = std::pin::pin!(output);
    let mut pending = [Vec::new(), Vec::new()];
    while let Some(piece) = output.next().await {
        let piece = piece.map_err(|cause| Error::new(doing, cause))?;
        let pending = &mut pending[usize::from(matches!(piece, LogOutput::StdErr { .. }))];
        pending.extend_from_slice(piece.as_ref());
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            heard(String::from_utf8_lossy(&line).trim_end());
        }
    }
    let rest = pending.iter().filter(|rest| !rest.is_empty());
    rest.for_each(|rest| heard(String::from_utf8_lossy(rest).trim_end()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_become_lines_of_one_source_each() {
        let out = |text: &str| LogOutput::StdOut {
            message: text.to_owned().into(),
        };
        let err = |text: &str| LogOutput::StdErr {
            message: text.to_owned().into(),
        };
        let pieces = [out("a"), err("x\ny"), out("b\r\nc\n\nd"), err("z")];
        let mut heard = Vec::new();
        let stream = futures_util::stream::iter(pieces.map(Ok));
        lines(stream, "", |line| heard.push(line.to_owned()))
            .await
            .unwrap();
        assert_eq!(heard, ["x", "ab", "c", "", "d", "yz"]);
    }
}
