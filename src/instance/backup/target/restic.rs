//! Backups in a repository of restic: a snapshot for each file, with tags that say of what.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::super::manifest::{Id, MANIFEST};
use super::super::stream::{self, Source};
use crate::instance::Error;
use crate::live::files;

/// The tag of everything that is ours.
const TAG: &str = "autogit";
/// Whatever answer is larger is none.
const ANSWER: usize = 64 << 20;
/// How restic ends where there is no repository; up to 0.16 it says so in words alone.
const NO_REPOSITORY: i32 = 10;

/// A repository.
pub struct Restic {
    repository: String,
    /// Its folder is where a relative repository starts from.
    base: PathBuf,
    /// Holds the password, 0600, for as long as we run: neither arguments nor environment are for secrets.
    password: NamedTempFile,
}

#[derive(Deserialize)]
struct Snapshot {
    id: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
}

impl Snapshot {
    /// Which backup it belongs to, and its file's name.
    fn file(&self) -> Option<(Id, &str)> {
        let id = self.tags.iter().find_map(|tag| tag.parse().ok())?;
        let name = Path::new(self.paths.first()?).file_name()?.to_str()?;
        Some((id, name))
    }
}

impl Restic {
    pub fn new(repository: &str, base: &Path, password: &SecretString, state: &Path) -> Result<Self, Error> {
        let write = || {
            files::make_folder(state)?;
            let mut file = NamedTempFile::new_in(state)?;
            file.write_all(password.expose_secret().as_bytes())?;
            file.flush()?;
            Ok(file)
        };
        let password = write().map_err(|error| Error::Io {
            doing: "write a file into",
            path: state.to_owned(),
            error,
        })?;
        Ok(Restic {
            repository: repository.to_owned(),
            base: std::path::absolute(base).unwrap_or_else(|_| base.to_owned()),
            password,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("restic");
        command
            .args(arguments)
            .current_dir(&self.base)
            .env("RESTIC_REPOSITORY", &self.repository)
            .env("RESTIC_PASSWORD_FILE", self.password.path())
            .env_remove("RESTIC_REPOSITORY_FILE")
            .env_remove("RESTIC_PASSWORD")
            .env_remove("RESTIC_PASSWORD_COMMAND");
        command
    }

    async fn run(&self, arguments: &[&str]) -> io::Result<Vec<u8>> {
        let output = stream::through(self.command(arguments), stream::of(Vec::new()));
        stream::collect(output, ANSWER).await
    }

    /// Makes the repository, where there certainly is none.
    pub async fn prepare(&self) -> io::Result<()> {
        let asked = self
            .command(&["cat", "config"])
            .stdin(Stdio::null())
            .output()
            .await;
        let asked = asked.map_err(|error| stream::not_started("restic", error))?;
        if asked.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&asked.stderr);
        let none = asked.status.code() == Some(NO_REPOSITORY) || said.contains("Is there a repository at");
        match none {
            true => self.run(&["init"]).await.map(drop),
            false => Err(io::Error::other(format!(
                "failed to open the repository of restic {}: {}",
                self.repository,
                said.trim()
            ))),
        }
    }

    pub async fn put(&self, id: &Id, name: &str, source: Source) -> io::Result<()> {
        let id = id.to_string();
        let arguments = [
            "backup",
            "--quiet",
            "--stdin",
            "--stdin-filename",
            name,
            "--tag",
            TAG,
            "--tag",
            &id,
        ];
        let said = stream::through(self.command(&arguments), source);
        stream::collect(said, ANSWER).await.map(drop)
    }

    async fn snapshots(&self) -> io::Result<Vec<Snapshot>> {
        let text = self
            .run(&["snapshots", "--json", "--no-lock", "--tag", TAG])
            .await?;
        let failed = |error| io::Error::other(format!("failed to read the snapshots of restic: {error}"));
        Ok(serde_json::from_slice::<Option<_>>(&text)
            .map_err(failed)?
            .unwrap_or_default())
    }

    /// The names of the files, by backup.
    pub async fn files(&self) -> io::Result<BTreeMap<Id, Vec<String>>> {
        let mut all: BTreeMap<Id, Vec<String>> = BTreeMap::new();
        for snapshot in self.snapshots().await? {
            if let Some((id, name)) = snapshot.file() {
                all.entry(id).or_default().push(name.to_owned());
            }
        }
        Ok(all)
    }

    pub async fn get(&self, id: &Id, name: &str) -> io::Result<Source> {
        let snapshots = self.snapshots().await?;
        let found = snapshots.iter().find(|snapshot| {
            snapshot
                .file()
                .is_some_and(|(of, file)| of == *id && file == name)
        });
        let found =
            found.ok_or_else(|| io::Error::other(format!("there is no snapshot of {name} of {id}")))?;
        let command = self.command(&["dump", "--no-lock", &found.id, &format!("/{name}")]);
        Ok(stream::through(command, stream::of(Vec::new())))
    }

    /// Removes snapshots, and what only they needed.
    pub async fn remove(&self, ids: &[Id]) -> io::Result<()> {
        let snapshots = self.snapshots().await?;
        let ours = |snapshot: &&Snapshot| snapshot.file().is_some_and(|(id, _)| ids.contains(&id));
        let ours = snapshots.iter().filter(ours);
        // Once their manifests are gone they do not look like backups, however far this comes.
        let (manifests, rest): (Vec<&Snapshot>, Vec<&Snapshot>) =
            ours.partition(|snapshot| snapshot.file().is_some_and(|(_, name)| name == MANIFEST));
        for (gone, more) in [(manifests, None), (rest, Some("--prune"))] {
            let mut arguments = vec!["forget", "--quiet"];
            arguments.extend(more);
            arguments.extend(gone.iter().map(|snapshot| &*snapshot.id));
            if !gone.is_empty() {
                self.run(&arguments).await?;
            }
        }
        Ok(())
    }
}
