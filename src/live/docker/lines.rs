//! What a container or a program in one writes, cut into lines.

use bollard::container::LogOutput;
use futures_util::{Stream, StreamExt};

use super::Error;

/// Cuts what comes in pieces into lines. Standard output and error are told apart, so that no line is made of both.
pub(super) async fn lines(
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
