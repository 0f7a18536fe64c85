//! Keeps secrets out of what is shown of a container's output.

use std::cmp::Reverse;

use super::content::Content;
use super::{Error, Place};
use secrecy::ExposeSecret;

/// What stands where a secret was.
const MASK: &str = "(secret)";

/// Knows the secrets that a container was given, so as not to show them.
pub(super) struct Hide(Vec<String>);

impl Hide {
    /// Hides what the container of `place` is or was given, and AutoGit's token.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn of(place: &Place) -> Result<Self, Error> {
        let mut secrets = Content::read(&place.mounted())?.secret_lines();
        secrets.extend(Content::read(&place.previous())?.secret_lines());
        let tokens = [place.read_token()?, place.read_pending_token()?];
        secrets.extend(
            tokens
                .iter()
                .flatten()
                .map(|token| token.expose_secret().to_owned()),
        );
        Ok(Hide::new(secrets))
    }

    fn new(mut secrets: Vec<String>) -> Self {
        // The longest first: one may be part of another.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        secrets.dedup();
        Hide(secrets)
    }

    /// A text without them.
    pub(super) fn from(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), MASK)
        })
    }

    /// The last lines of a text without them, indented as part of a message.
    pub(super) fn tail(&self, text: &str) -> String {
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        let last = &lines[lines.len().saturating_sub(LAST)..];
        last.iter()
            .map(|line| format!("\n  {}", self.from(line)))
            .collect()
    }
}

/// How many lines a message quotes.
const LAST: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_output_is_quoted_without_secrets() {
        let hide = Hide::new(vec!["hunter2".into(), "hunter2-and-more".into()]);
        let text: String = (0..20)
            .map(|line| format!("{line} hunter2-and-more hunter2\n\n"))
            .collect();
        let tail = hide.tail(&text);
        assert_eq!(tail.lines().filter(|line| !line.is_empty()).count(), LAST);
        assert!(tail.ends_with("\n  19 (secret) (secret)"), "{tail}");
    }
}
