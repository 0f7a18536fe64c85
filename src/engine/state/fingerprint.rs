//! Fingerprints: keyed hashes by which a value is recognised without being kept.

use std::io;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;

use crate::core::Address;

/// The secret that makes a store's fingerprints useless elsewhere.
#[derive(Clone)]
pub struct FingerprintKey(hmac::Key);

impl FingerprintKey {
    /// How many random bytes make a key.
    pub const LENGTH: usize = 32;

    /// A key from its bytes.
    pub fn new(bytes: &[u8; Self::LENGTH]) -> Self {
        FingerprintKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The bytes of a new key.
    ///
    /// # Errors
    /// When this machine has no randomness.
    pub(super) fn random() -> io::Result<[u8; Self::LENGTH]> {
        let mut bytes = [0; Self::LENGTH];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| io::Error::other("no randomness"))?;
        Ok(bytes)
    }

    /// Tells this key from others, and nothing else of it.
    pub fn name(&self) -> String {
        hex(&hmac::sign(&self.0, b"name"))
    }

    /// The fingerprint of one field's value: HMAC-SHA256, the first 16 bytes in hexadecimal.
    ///
    /// The address is part of it, so that equal values in two places do not show as equal.
    pub fn of(&self, address: &Address, field: &str, value: &Value) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [&address.to_string().to_lowercase(), field, &value.to_string()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        hex(&context.sign())
    }
}

fn hex(tag: &hmac::Tag) -> String {
    let bytes = tag.as_ref()[..16].iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fingerprint_depends_on_key_place_and_value_and_nothing_else() {
        let (key, other) = (FingerprintKey::new(&[1; 32]), FingerprintKey::new(&[2; 32]));
        let at = |address: &str| address.parse::<Address>().unwrap();
        let print = key.of(&at("repo.a/b"), "description", &json!("x"));
        assert_eq!(print, key.of(&at("repo.A/b"), "description", &json!("x")));
        assert_eq!(print.len(), 32);
        for different in [
            other.of(&at("repo.a/b"), "description", &json!("x")),
            key.of(&at("repo.a/c"), "description", &json!("x")),
            key.of(&at("repo.a/b"), "name", &json!("x")),
            key.of(&at("repo.a/b"), "description", &json!("y")),
        ] {
            assert_ne!(print, different);
        }
    }
}
