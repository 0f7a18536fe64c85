//! The directory beside the config that holds what the container is given, and AutoGit's own token: `.autogit/deploy/<name>/`, 0700.

use std::io;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Error;
use super::content::Content;
use crate::live::files;

/// Where the container finds [`Place::mounted`].
pub const MOUNT: &str = "/etc/autogit";

/// Where things are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
}

impl Place {
    /// The place of the container `name` in AutoGit's directory beside the config. Nothing is made. The path is absolute, as Docker
    /// mounts from it.
    pub fn new(state: &Path, name: &str) -> Self {
        let root = state.join("deploy").join(name);
        Place {
            root: std::path::absolute(&root).unwrap_or(root),
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the container sees, read-only, as [`MOUNT`].
    pub fn mounted(&self) -> PathBuf {
        self.root.join("etc")
    }

    /// The rendered settings.
    pub fn gitlab_rb(&self) -> PathBuf {
        self.mounted().join("gitlab.rb")
    }

    /// The value of a secret that the settings read.
    pub fn secret(&self, name: &str) -> PathBuf {
        self.mounted().join("secrets").join(name)
    }

    /// The certificate and key that nginx uses, where AutoGit provides them.
    pub fn certificate(&self) -> (PathBuf, PathBuf) {
        let folder = self.mounted().join("tls");
        (folder.join("instance.crt"), folder.join("instance.key"))
    }

    /// The certificate authority that AutoGit made: its certificate and its key, which the container never sees.
    pub fn authority(&self) -> (PathBuf, PathBuf) {
        let folder = self.root.join("ca");
        (folder.join("ca.pem"), folder.join("ca.key"))
    }

    /// AutoGit's own token, 0600.
    pub fn token(&self) -> PathBuf {
        self.root.join("token")
    }

    /// A token that GitLab may not have been told yet, 0600.
    pub(super) fn pending_token(&self) -> PathBuf {
        self.root.join("token.pending")
    }

    /// What is known of the token.
    fn token_facts(&self) -> PathBuf {
        self.root.join("token.json")
    }

    /// Which settings the container was last told to apply, and did.
    pub fn applied(&self) -> PathBuf {
        self.root.join("applied.json")
    }

    /// What [`Place::mounted`] held when GitLab last took it.
    pub(super) fn previous(&self) -> PathBuf {
        self.root.join("previous")
    }

    /// The container that another one is taking the place of.
    fn replaced(&self) -> PathBuf {
        self.root.join("replaced.json")
    }

    /// The id that the container's label bears: made before the container is, so that a killed run knows its own.
    pub fn id(&self) -> PathBuf {
        self.root.join("id")
    }

    /// What is needed to find the container once the config no longer declares it.
    pub fn host(&self) -> PathBuf {
        self.root.join("host.json")
    }
}

/// Days before its end that the token is renewed.
const RENEWED: i32 = 30;

/// What is known of AutoGit's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TokenFacts {
    /// The day on which it stops to be one.
    pub expires_at: Date,
}

/// What a container was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The container, as Docker identifies it.
    pub container: String,
    /// The digest of what it was told.
    pub content: String,
    /// Whether GitLab took it, and was ready afterwards.
    pub took: bool,
}

/// A container that another one takes the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replaced {
    /// As Docker identifies it.
    pub container: String,
}

/// How a container is found that no config declares any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The Docker Engine.
    pub docker: String,
    /// The container's name.
    pub container: String,
    /// The URL that users know it by.
    pub url: Url,
}

impl Place {
    /// Makes the directory.
    pub(super) fn make(&self) -> Result<(), Error> {
        files::make_folder(&self.root).map_err(|error| failed("make", &self.root, error))
    }

    /// The token that is kept; `None` before there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_token(&self) -> Result<Option<SecretString>, Error> {
        Ok(read_text(&self.token())?.map(SecretString::from))
    }

    /// The day on which the token that is kept expires; `None` where that is not known.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn token_expires_at(&self) -> Result<Option<Date>, Error> {
        Ok(read_json::<TokenFacts>(&self.token_facts())?.map(|facts| facts.expires_at))
    }

    /// Why a token has to be made; `None`: the one that is kept is good beyond the next 30 days.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn token_lacks(&self, today: Date) -> Result<Option<String>, Error> {
        if self.read_pending_token()?.is_some() {
            return Ok(Some("making it was interrupted".into()));
        }
        if self.read_token()?.is_none() {
            return Ok(Some("there is none yet".into()));
        }
        Ok(match self.token_expires_at()? {
            None => Some("it is not known when it expires".into()),
            Some(day) if day <= today => Some(format!("it expired on {day}")),
            Some(day) if (day - today).get_days() < RENEWED => Some(format!("it expires on {day}")),
            Some(_) => None,
        })
    }

    /// The token that GitLab may not have been told yet.
    pub(super) fn read_pending_token(&self) -> Result<Option<SecretString>, Error> {
        Ok(read_text(&self.pending_token())?.map(SecretString::from))
    }

    /// Keeps what is known of the token.
    pub(super) fn keep_token_facts(&self, facts: &TokenFacts) -> Result<(), Error> {
        write_json(&self.token_facts(), facts)
    }

    /// The id that our container's label bears; `None` before there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn own_id(&self) -> Result<Option<String>, Error> {
        read_text(&self.id())
    }

    /// The id that our container's label bears, made if there is none yet.
    pub(super) fn make_id(&self) -> Result<String, Error> {
        if let Some(id) = self.own_id()? {
            return Ok(id);
        }
        let id = random(32, b"0123456789abcdef")?;
        files::replace(&self.id(), id.as_bytes()).map_err(|error| failed("write", &self.id(), error))?;
        Ok(id)
    }

    /// Whether GitLab in this container, by Docker's id, took all that stands in [`Place::mounted`].
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn is_applied(&self, container: &str) -> Result<bool, Error> {
        let Some(told) = self.told()? else {
            return Ok(false);
        };
        let content = Content::read(&self.mounted())?.digest();
        Ok(told.took && told.container == container && told.content == content)
    }

    /// What a container was last told.
    pub(super) fn told(&self) -> Result<Option<Told>, Error> {
        read_json(&self.applied())
    }

    /// Notes what a container was told.
    pub(super) fn note_told(&self, told: &Told) -> Result<(), Error> {
        write_json(&self.applied(), told)
    }

    /// The container that another one is taking the place of: so named only while that goes on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn being_replaced(&self) -> Result<Option<String>, Error> {
        Ok(read_json::<Replaced>(&self.replaced())?.map(|replaced| replaced.container))
    }

    /// Notes that another container takes the place of `container`; `None`: that is over.
    pub(super) fn note_replaced(&self, container: Option<&str>) -> Result<(), Error> {
        let path = self.replaced();
        match container {
            Some(container) => write_json(
                &path,
                &Replaced {
                    container: container.to_owned(),
                },
            ),
            None => files::remove(&path).map_err(|error| failed("remove", &path, error)),
        }
    }

    /// Notes how the container is found.
    pub(super) fn note_host(&self, host: &Host) -> Result<(), Error> {
        write_json(&self.host(), host)
    }

    /// How the container is found.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_host(&self) -> Result<Option<Host>, Error> {
        read_json(&self.host())
    }
}

/// So many characters of an alphabet, by chance. A power of two of them, so that each is as likely.
pub(super) fn random(length: usize, alphabet: &[u8]) -> Result<String, Error> {
    debug_assert!(alphabet.len().is_power_of_two());
    let mut bytes = vec![0; length];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::failed("failed to ask the system for random bytes", "try again"))?;
    let characters = bytes
        .into_iter()
        .map(|byte| char::from(alphabet[usize::from(byte) % alphabet.len()]));
    Ok(characters.collect())
}

pub(super) fn failed(doing: &'static str, path: &Path, error: io::Error) -> Error {
    Error::Io {
        doing,
        path: path.to_owned(),
        error,
    }
}

fn read_text(path: &Path) -> Result<Option<String>, Error> {
    let content = files::read(path).map_err(|error| failed("read", path, error))?;
    let text = content.map(|content| String::from_utf8(content).map_err(io::Error::other));
    let text = text.transpose().map_err(|error| failed("read", path, error))?;
    Ok(text.map(|text| text.trim_end().to_owned()))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let content = files::read(path).map_err(|error| failed("read", path, error))?;
    let value = content.map(|content| serde_json::from_slice(&content));
    value
        .transpose()
        .map_err(|error| failed("read", path, error.into()))
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| failed("write", path, error.into()))?;
    files::replace(path, &text).map_err(|error| failed("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_is_made_when_there_is_none_and_thirty_days_before_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "gitlab");
        place.make().unwrap();
        let lacks = |today| place.token_lacks(day(today)).unwrap();
        assert_eq!(lacks("2026-01-01").as_deref(), Some("there is none yet"));
        files::replace(&place.token(), b"glpat-x").unwrap();
        assert!(lacks("2026-01-01").unwrap().contains("not known"));
        let facts = TokenFacts {
            expires_at: day("2026-03-31"),
        };
        place.keep_token_facts(&facts).unwrap();
        assert_eq!(lacks("2026-03-01"), None);
        assert_eq!(lacks("2026-03-02").as_deref(), Some("it expires on 2026-03-31"));
        assert_eq!(lacks("2026-03-31").as_deref(), Some("it expired on 2026-03-31"));
        files::replace(&place.pending_token(), b"glpat-y").unwrap();
        assert!(lacks("2026-01-01").unwrap().contains("interrupted"));
    }

    #[test]
    fn an_id_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "gitlab");
        place.make().unwrap();
        let id = place.make_id().unwrap();
        assert_eq!(id.len(), 32);
        assert_eq!(place.make_id().unwrap(), id);
        assert_eq!(place.own_id().unwrap(), Some(id));
    }

    #[test]
    fn what_a_container_took_holds_only_for_it_and_for_that() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "gitlab");
        place.make().unwrap();
        assert!(!place.is_applied("c1").unwrap());
        let content = Content::from([("gitlab.rb".into(), b"a 1\n".to_vec())]);
        content.write(&place.mounted()).unwrap();
        let mut told = Told {
            container: "c1".into(),
            content: content.digest(),
            took: false,
        };
        place.note_told(&told).unwrap();
        assert!(!place.is_applied("c1").unwrap(), "not ready yet");
        told.took = true;
        place.note_told(&told).unwrap();
        assert!(place.is_applied("c1").unwrap() && !place.is_applied("c2").unwrap());
        files::replace(&place.gitlab_rb(), b"a 2\n").unwrap();
        assert!(!place.is_applied("c1").unwrap(), "changed since");
    }
}
