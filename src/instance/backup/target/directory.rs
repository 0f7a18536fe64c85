//! Backups in a directory: one folder each, 0700, which has another name until it is whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use tokio::io::AsyncWriteExt;

use super::super::manifest::{Id, MANIFEST};
use super::super::stream::{self, Source};
use crate::live::files;

/// What stands before the name of a folder that is not whole.
const PARTIAL: &str = ".partial-";

/// A directory.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(path: &Path) -> Self {
        Directory(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }

    pub fn prepare(&self) -> io::Result<()> {
        files::make_folder(&self.0).map_err(|error| self.about("make", &self.0, error))
    }

    pub fn space(&self) -> Option<u64> {
        let seen = rustix::fs::statvfs(&self.0).ok()?;
        Some(seen.f_bavail.saturating_mul(seen.f_frsize))
    }

    pub async fn put(&self, id: &Id, name: &str, source: Source) -> io::Result<()> {
        let folder = self.partial(id);
        files::make_folder(&folder).map_err(|error| self.about("make", &folder, error))?;
        let path = folder.join(name);
        let write = async {
            let mut file = fs::OpenOptions::new();
            let file = file.write(true).create_new(true).mode(0o600).open(&path)?;
            let file = source
                .try_fold(tokio::fs::File::from_std(file), async |mut file, chunk| {
                    file.write_all(&chunk).await?;
                    Ok(file)
                })
                .await?;
            let mut file = file;
            file.flush().await?;
            file.sync_all().await
        };
        write.await.map_err(|error| self.about("write", &path, error))
    }

    pub fn finish(&self, id: &Id) -> io::Result<()> {
        let (from, to) = (self.partial(id), self.whole(id));
        let finish = || {
            // The names in it, and then its own.
            files::sync_folder(&from.join(MANIFEST))?;
            fs::rename(&from, &to)?;
            files::sync_folder(&to)
        };
        finish().map_err(|error| self.about("rename to", &to, error))
    }

    /// The names of the files, by backup.
    pub fn files(&self) -> io::Result<BTreeMap<Id, Vec<String>>> {
        let mut all = BTreeMap::new();
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
            entries => entries.map_err(|error| self.about("read", &self.0, error))?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if let Some(Ok(id)) = name.strip_prefix(PARTIAL).map(str::parse) {
                // Not even with a manifest is it whole.
                all.entry(id).or_insert_with(Vec::new);
            } else if let Ok(id) = name.parse::<Id>() {
                let names = fs::read_dir(self.whole(&id))?
                    .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                    .collect::<io::Result<_>>()?;
                all.insert(id, names);
            }
        }
        Ok(all)
    }

    pub async fn get(&self, id: &Id, name: &str) -> io::Result<Source> {
        let path = self.whole(id).join(name);
        let file = tokio::fs::File::open(&path).await;
        Ok(stream::of_file(
            file.map_err(|error| self.about("open", &path, error))?,
        ))
    }

    pub fn remove(&self, ids: &[Id]) -> io::Result<()> {
        for id in ids {
            let (whole, partial) = (self.whole(id), self.partial(id));
            // From here on it does not look like one, however far this comes.
            match fs::rename(&whole, &partial) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.about("remove", &whole, error));
                }
                _ => {}
            }
            match fs::remove_dir_all(&partial) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.about("remove", &partial, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn whole(&self, id: &Id) -> PathBuf {
        self.0.join(id.to_string())
    }

    fn partial(&self, id: &Id) -> PathBuf {
        self.0.join(format!("{PARTIAL}{id}"))
    }

    fn about(&self, doing: &str, path: &Path, error: io::Error) -> io::Error {
        io::Error::new(
            error.kind(),
            format!("failed to {doing} {}: {error}", path.display()),
        )
    }
}
