//! The container's own `/etc/gitlab/gitlab.rb`: lines of it that set something else than the config asks for are commented out.

use jiff::Timestamp;

use super::effective::Overriding;
use super::omnibus;
use super::{Error, Heard};
use crate::live::docker::Hands;

/// Its directory in the container.
const FOLDER: &str = "/etc/gitlab";
/// Its name.
const NAME: &str = "gitlab.rb";

/// Comments lines out, and keeps a copy of the file beside it. Works on a container that has ended, too.
pub(super) async fn comment_out(
    hands: &Hands,
    container: &str,
    lines: &[Overriding],
    heard: &dyn Heard,
) -> Result<(), Error> {
    let read = hands
        .looker()
        .file(container, &format!("{FOLDER}/{NAME}"))
        .await?;
    let Some(Ok(text)) = read.map(String::from_utf8) else {
        return Ok(());
    };
    let commented = commented(&text, lines);
    if commented == text {
        return Ok(());
    }
    heard.phase(&format!(
        "commenting lines out in {FOLDER}/{NAME} of the container"
    ));
    let copy = format!("{NAME}.{}", Timestamp::now().strftime("%Y%m%d%H%M%S"));
    let archive = archive(&[(&copy, &text), (NAME, &commented)]).map_err(|error| Error::Failed {
        message: format!("failed to write {FOLDER}/{NAME} of the container: {error}"),
        remedy: None,
    })?;
    Ok(hands.put(container, FOLDER, archive).await?)
}

/// The text with these statements commented out, where they still stand there.
fn commented(text: &str, lines: &[Overriding]) -> String {
    let statements = omnibus::parse(text);
    let numbered: Vec<&str> = text.split_inclusive('\n').collect();
    let mut is_out = vec![false; numbered.len()];
    for (at, statement) in statements.iter().enumerate() {
        let is_meant = |line: &Overriding| line.line == statement.number && line.key == statement.key;
        if !lines.iter().any(is_meant) {
            continue;
        }
        let next = statements
            .get(at + 1)
            .map_or(numbered.len(), |next| next.number - 1);
        let first = statement.number - 1;
        // Two statements may share a line.
        let until = next.max(first + 1).min(numbered.len());
        let says = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let length = numbered[first..until]
            .iter()
            .rposition(says)
            .map_or(0, |last| last + 1);
        is_out[first..first + length].fill(true);
    }
    let lines = numbered.iter().zip(is_out);
    lines
        .map(|(line, is_out)| match is_out {
            true => format!("# {line}"),
            false => (*line).to_owned(),
        })
        .collect()
}

/// Files that only root can read, as a tar archive.
fn archive(files: &[(&str, &str)]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(Timestamp::now().as_second().try_into().unwrap_or_default());
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_commented_out_to_its_end() {
        let text = "# x\nexternal_url 'http://a'\n\ngitlab_rails['b'] = {\n  # y\n  'c' => 1\n}\n# z\nnginx['d'] = 2\n";
        let line = |line, key: &str| Overriding {
            line,
            key: key.into(),
        };
        assert_eq!(
            commented(text, &[line(4, "gitlab_rails['b']")]),
            "# x\nexternal_url 'http://a'\n\n# gitlab_rails['b'] = {\n#   # y\n#   'c' => 1\n# }\n# z\nnginx['d'] = 2\n"
        );
        assert_eq!(
            commented(text, &[line(2, "external_url"), line(9, "nginx['d']")]),
            text.replace("external_url", "# external_url")
                .replace("nginx", "# nginx")
        );
        assert_eq!(commented(text, &[line(3, "external_url")]), text, "it moved");
    }
}
