//! What the container is given: `gitlab.rb`, secrets and certificates, as files of [`Place::mounted`](super::Place::mounted).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use secrecy::ExposeSecret;

use super::place::failed;
use super::{Blueprint, Error, Instance, Place, omnibus, tls};
use crate::live::files;

/// Files by their path within the directory. It holds secrets, so nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content(BTreeMap<PathBuf, Vec<u8>>);

/// The file that refers to all others, and so is the last to change.
const SETTINGS: &str = "gitlab.rb";

impl<const N: usize> From<[(PathBuf, Vec<u8>); N]> for Content {
    fn from(files: [(PathBuf, Vec<u8>); N]) -> Self {
        Content(files.into())
    }
}

impl Content {
    /// What follows from what is declared.
    ///
    /// # Errors
    /// When a secret is not to be had.
    pub(super) async fn of(instance: &Instance, blueprint: &Blueprint) -> Result<Self, Error> {
        let mut files = BTreeMap::from([(
            PathBuf::from(SETTINGS),
            omnibus::render(&blueprint.settings).into_bytes(),
        )]);
        for (name, reference) in &blueprint.secrets {
            let value = instance.secrets.value(reference).await;
            let value = value.map_err(|error| Error::Failed {
                message: error.to_string(),
                remedy: None,
            })?;
            let path = Path::new("secrets").join(name);
            files.insert(path, value.expose_secret().as_bytes().to_vec());
        }
        if let Some(hosts) = &blueprint.certified {
            certificate(&instance.place, hosts, &mut files)?;
        }
        Ok(Content(files))
    }

    /// What a directory holds; nothing where it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(directory: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let mut open = vec![PathBuf::new()];
        while let Some(inner) = open.pop() {
            let path = directory.join(&inner);
            let entries = match std::fs::read_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.map_err(|error| failed("read", &path, error))?,
            };
            for entry in entries {
                let entry = entry.map_err(|error| failed("read", &path, error))?;
                let kind = entry
                    .file_type()
                    .map_err(|error| failed("read", &entry.path(), error))?;
                let name = inner.join(entry.file_name());
                if kind.is_dir() {
                    open.push(name);
                } else if let Some(text) =
                    files::read(&entry.path()).map_err(|error| failed("read", &entry.path(), error))?
                {
                    files.insert(name, text);
                }
            }
        }
        Ok(Content(files))
    }

    /// Makes a directory hold just this. Each file is replaced as a whole, `gitlab.rb` after what it refers to, and what is left
    /// over goes last: whoever reads meanwhile finds what it reads about.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Error> {
        let there = Content::read(directory)?;
        files::make_folder(directory).map_err(|error| failed("make", directory, error))?;
        let (last, first): (Vec<_>, Vec<_>) = self.0.iter().partition(|(name, _)| **name == *SETTINGS);
        for (name, text) in first.into_iter().chain(last) {
            if there.0.get(name) == Some(text) {
                continue;
            }
            write(&directory.join(name), text)?;
        }
        for name in there.0.keys().filter(|name| !self.0.contains_key(*name)) {
            let path = directory.join(name);
            files::remove(&path).map_err(|error| failed("remove", &path, error))?;
        }
        Ok(())
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rendered settings.
    pub(super) fn settings(&self) -> &[u8] {
        self.0.get(Path::new(SETTINGS)).map_or(&[], Vec::as_slice)
    }

    /// What identifies it.
    pub(super) fn digest(&self) -> String {
        let mut context = Context::new(&SHA256);
        for (name, text) in &self.0 {
            let name = name.as_os_str().as_encoded_bytes();
            for part in [name, text] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
        }
        let digest = context.finish();
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The lines of its secrets, none of which is to be shown: all but the settings, which only refer to them.
    pub(super) fn secret_lines(&self) -> Vec<String> {
        let secret = self.0.iter().filter(|(name, _)| **name != *SETTINGS);
        let texts = secret.filter_map(|(_, text)| std::str::from_utf8(text).ok());
        let lines = texts.flat_map(str::lines).map(str::trim);
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

/// Adds the certificate that AutoGit makes, and writes the authority behind it, which the container never sees.
fn certificate(
    place: &Place,
    hosts: &BTreeSet<String>,
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Result<(), Error> {
    let mounted = place.mounted();
    let (certificate, key) = place.certificate();
    for path in [certificate, key] {
        let kept = files::read(&path).map_err(|error| failed("read", &path, error))?;
        if let (Some(kept), Ok(inner)) = (kept, path.strip_prefix(&mounted)) {
            files.insert(inner.to_owned(), kept);
        }
    }
    for (path, text) in tls::files(place, hosts, Timestamp::now())? {
        let text = text.expose_secret().as_bytes();
        match path.strip_prefix(&mounted) {
            Ok(inner) => {
                files.insert(inner.to_owned(), text.to_vec());
            }
            Err(_) => write(&path, text)?,
        }
    }
    Ok(())
}

/// Writes one file, and makes its directory.
fn write(path: &Path, text: &[u8]) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        files::make_folder(folder).map_err(|error| failed("make", folder, error))?;
    }
    files::replace(path, text).map_err(|error| failed("write", path, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn content(files: &[(&str, &str)]) -> Content {
        let files = files
            .iter()
            .map(|(name, text)| (name.into(), text.as_bytes().to_vec()));
        Content(files.collect())
    }

    #[test]
    fn a_directory_is_made_to_hold_just_this() {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("etc");
        assert!(Content::read(&etc).unwrap().is_empty());
        let first = content(&[("gitlab.rb", "a 1\n"), ("secrets/root", "s"), ("tls/key", "k")]);
        first.write(&etc).unwrap();
        assert!(Content::read(&etc).unwrap() == first);
        let next = content(&[("gitlab.rb", "a 2\n"), ("secrets/mail", "m")]);
        next.write(&etc).unwrap();
        assert!(Content::read(&etc).unwrap() == next);
        let mode = |path: &str| std::fs::metadata(etc.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(""), mode("secrets"), mode("secrets/mail")),
            (0o700, 0o700, 0o600)
        );
    }

    #[test]
    fn the_digest_tells_names_and_texts_apart() {
        let digests = [
            content(&[]),
            content(&[("a", "bc")]),
            content(&[("ab", "c")]),
            content(&[("a", "b"), ("c", "")]),
        ];
        let digests: std::collections::BTreeSet<_> = digests.iter().map(Content::digest).collect();
        assert_eq!(digests.len(), 4);
    }

    #[test]
    fn the_lines_of_secrets_are_known() {
        let content = content(&[
            ("gitlab.rb", "a 1\n"),
            ("tls/key", "one\n\ntwo\n"),
            ("secrets/x", "three"),
        ]);
        assert_eq!(content.secret_lines(), ["three", "one", "two"]);
    }
}
