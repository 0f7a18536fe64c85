//! Random tokens and their digests.

use std::fmt::Write;

use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};

/// A random token of 20 characters after `prefix`, as GitLab makes them.
pub fn token(prefix: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 20];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system gives random bytes");
    let mut token = prefix.to_owned();
    token.extend(bytes.map(|byte| char::from(ALPHABET[usize::from(byte % 64)])));
    token
}

/// Random letters and digits, to make a name unique.
pub fn suffix() -> String {
    let mut text = token("");
    text.retain(|char| char.is_ascii_alphanumeric());
    text.truncate(5);
    text
}

/// What is stored instead of a token.
pub fn digest(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in digest.as_ref() {
        write!(hex, "{byte:02x}").expect("a string takes any text");
    }
    hex
}
