//! A whole state in one piece: what GitLab keeps, what is pulled and pushed, and what moves from store to store.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FingerprintKey, Ledger, PastRun};

/// A ledger, whose serial is the document's own, and the key of its fingerprints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The ledger.
    #[serde(flatten)]
    pub ledger: Ledger,
    /// In hexadecimal.
    pub(super) fingerprint_key: String,
    /// The last run, where the store remembers runs this way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_run: Option<PastRun>,
}

impl Document {
    /// What stands for the state of `instance` where there is none yet.
    ///
    /// # Errors
    /// When this machine has no randomness for a key.
    pub(super) fn new(instance: &str) -> io::Result<Self> {
        Ok(Document::of(Ledger::new(instance), &FingerprintKey::random()?))
    }

    /// A ledger with the bytes of its key.
    pub(super) fn of(ledger: Ledger, key: &[u8; FingerprintKey::LENGTH]) -> Self {
        Document {
            ledger,
            fingerprint_key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
            last_run: None,
        }
    }

    /// The bytes of the key, if that is what they are.
    pub(super) fn key(&self) -> Option<[u8; FingerprintKey::LENGTH]> {
        let text = &self.fingerprint_key;
        let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digits).collect();
        bytes?.try_into().ok()
    }

    /// Reads one.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let not_one = |error| format!("it is not a state of AutoGit ({error})");
        let found: Value = serde_json::from_slice(text).map_err(not_one)?;
        if let Some(why) = Document::too_new(&found) {
            return Err(why);
        }
        let document: Document = serde_json::from_value(found).map_err(not_one)?;
        match document.key() {
            Some(_) => Ok(document),
            None => Err("its `fingerprint_key` is not one".into()),
        }
    }

    /// Why a state that a newer program wrote is not read, however little else of it is known here.
    pub(super) fn too_new(found: &Value) -> Option<String> {
        let (format, known) = (found.get("version")?.as_u64()?, u64::from(Ledger::VERSION));
        let is_ours = found.get("instance").is_some();
        (is_ours && format > known)
            .then(|| format!("it has format {format}, and this program knows up to {known}: use a newer one"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_back_as_it_was_and_nothing_else_does() {
        let document = Document::new("https://git.example.org").unwrap();
        let text = serde_json::to_string(&document).unwrap();
        let read = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(read, document);
        assert!(read.key().is_some());
        let newer = text.replacen("\"version\":1", "\"version\":2", 1);
        let shorter = text.replace(&document.fingerprint_key, "00ff");
        for wrong in [
            newer.as_str(),
            shorter.as_str(),
            r#"{"version": 4, "serial": 1}"#,
            "{",
        ] {
            assert!(Document::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
