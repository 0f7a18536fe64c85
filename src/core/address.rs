//! Addresses: what every resource is called in configs, plans, ledgers and messages.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A GitLab path such as `platform/api`: shown as written, compared without case, as GitLab does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(String);

impl Path {
    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path one level up; `None` for a top-level one.
    pub fn parent(&self) -> Option<Path> {
        self.0.rsplit_once('/').map(|(parent, _)| parent.into())
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The first segment: the top-level group, or the user's namespace.
    pub fn root(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// This path with one more segment.
    pub fn join(&self, name: &str) -> Path {
        Path(format!("{}/{name}", self.0))
    }

    /// What two spellings of the same path have in common: the form to compare, sort and index by.
    pub fn folded(&self) -> String {
        self.folded_chars().collect()
    }

    fn folded_chars(&self) -> impl Iterator<Item = char> {
        self.0.chars().flat_map(char::to_lowercase)
    }
}

impl From<&str> for Path {
    fn from(path: &str) -> Self {
        Path(path.to_owned())
    }
}

impl From<String> for Path {
    fn from(path: String) -> Self {
        Path(path)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Path {}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        // Maps are keyed by paths, so this is called often: most paths are ASCII, and none needs memory of its own.
        match self.0.is_ascii() && other.0.is_ascii() {
            true => {
                let lower = |byte: u8| byte.to_ascii_lowercase();
                self.0.bytes().map(lower).cmp(other.0.bytes().map(lower))
            }
            false => self.folded_chars().cmp(other.folded_chars()),
        }
    }
}

impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded_chars().for_each(|char| char.hash(state));
    }
}

/// What tells resources of one kind apart: a path, and a name within it for what lives in a group or repo.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `platform/api`, or the plain name of what has no path (a runner pool).
    pub path: Path,
    /// `main` in `protected_branch.platform/api:main`.
    pub name: Option<String>,
}

impl Key {
    /// The key of something that has a path of its own.
    pub fn top(path: impl Into<Path>) -> Self {
        Key {
            path: path.into(),
            name: None,
        }
    }

    /// The key of something named within a group or repo.
    pub fn within(path: impl Into<Path>, name: impl Into<String>) -> Self {
        Key {
            path: path.into(),
            name: Some(name.into()),
        }
    }

    /// The name within the path; empty for what has a path of its own.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}:{name}", self.path),
            None => write!(f, "{}", self.path),
        }
    }
}

/// The full name of a resource: `repo.platform/api`, `protected_branch.platform/api:main`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Address {
    /// The kind's name.
    pub kind: String,
    /// Which one of that kind.
    pub key: Key,
}

impl Address {
    /// The address of `key` among resources of `kind`.
    pub fn new(kind: &str, key: Key) -> Self {
        Address {
            kind: kind.to_owned(),
            key,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.key)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// Why a text is not an address.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not an address: write KIND.PATH or KIND.PATH:NAME, such as `repo.platform/api` or `protected_branch.platform/api:main`"
)]
pub struct NotAnAddress(String);

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAnAddress(text.to_owned());
        let (kind, key) = text.split_once('.').ok_or_else(wrong)?;
        let (path, name) = match key.split_once(':') {
            Some((path, name)) => (path, Some(name)),
            None => (key, None),
        };
        if kind.is_empty() || path.is_empty() || name == Some("") {
            return Err(wrong());
        }
        Ok(Address::new(
            kind,
            Key {
                path: path.into(),
                name: name.map(str::to_owned),
            },
        ))
    }
}

impl TryFrom<String> for Address {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_written() {
        for text in [
            "repo.platform/api",
            "protected_branch.platform/api:release/*",
            "variable.a/b:KEY:prod",
            "runner_pool.linux",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["repo", "repo.", ".x", "repo.a:"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn paths_compare_without_case_and_show_as_written() {
        assert_eq!(Path::from("Platform/API"), Path::from("platform/api"));
        assert_eq!(Path::from("Platform/API").to_string(), "Platform/API");
        assert_ne!(Path::from("platform/api"), Path::from("platform/api2"));
        assert!(Path::from("a/B") < Path::from("A/c") && Path::from("a/é") > Path::from("A/Z"));
    }

    #[test]
    fn equal_paths_have_one_place_in_a_hash_map() {
        for (one, other) in [("Platform/API", "platform/api"), ("ΑΣ", "ασ"), ("É/x", "é/X")] {
            let (one, other) = (Path::from(one), Path::from(other));
            assert_eq!(one, other);
            assert_eq!(std::collections::HashSet::from([one, other]).len(), 1);
        }
    }
}
