//! Where backups are kept: a directory, object storage, a repository of restic. Each holds files under a backup's id, and its
//! manifest last: whatever has none is no backup, and is cleared away.

mod directory;
mod restic;
mod s3;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::manifest::{File, Id, MANIFEST, Manifest};
use super::stream::{self, Meter, Source};
use crate::config::deploy;
use crate::instance::Error;
use crate::live::secrets::Secrets;

use directory::Directory;
use restic::Restic;
use s3::S3;

/// The most that a manifest can have.
const MANIFEST_SIZE: usize = 4 << 20;

/// Where backups are kept.
pub(super) enum Target {
    Directory(Directory),
    S3(S3),
    Restic(Restic),
}

/// What there is in a target.
#[derive(Debug, Default)]
pub struct Listing {
    /// The backups, oldest first.
    pub backups: Vec<Manifest>,
    /// Those whose manifest cannot be read, and why.
    pub unreadable: BTreeMap<Id, String>,
}

impl Target {
    /// The target that is declared. `state` is a directory of ours alone, for what a program has to be told by file.
    pub async fn open(spec: &deploy::Target, secrets: &Secrets, state: &Path) -> Result<Self, Error> {
        let secret = async |reference| {
            let value = secrets.value(reference).await;
            value.map_err(|error| {
                Error::failed(
                    error.to_string(),
                    "correct the reference in `gitlab.deploy.backup.to`",
                )
            })
        };
        Ok(match spec {
            deploy::Target::Directory(path) => Target::Directory(Directory::new(&secrets.base.join(path))),
            deploy::Target::S3 {
                endpoint,
                region,
                bucket,
                prefix,
                access_key,
                secret_key,
            } => Target::S3(S3::new(
                endpoint,
                region.as_deref(),
                bucket,
                prefix.as_deref(),
                (access_key, secret(secret_key).await?),
            )?),
            deploy::Target::Restic { repository, password } => {
                let password = secret(password).await?;
                Target::Restic(Restic::new(repository, &secrets.base, &password, state)?)
            }
        })
    }

    /// Makes what can be made of it, so that a backup can be written.
    pub async fn prepare(&self) -> io::Result<()> {
        match self {
            Target::Directory(directory) => directory.prepare(),
            Target::S3(_) => Ok(()),
            Target::Restic(restic) => restic.prepare().await,
        }
    }

    /// Bytes that can be written; `None`: nobody knows.
    pub fn space(&self) -> Option<u64> {
        match self {
            Target::Directory(directory) => directory.space(),
            Target::S3(_) | Target::Restic(_) => None,
        }
    }

    /// Writes a file of a backup that is not finished. `size`: about how much it is, for what has to be cut into parts.
    pub async fn put(&self, id: &Id, name: &str, source: Source, size: u64) -> io::Result<File> {
        let (source, meter) = Meter::on(source);
        match self {
            Target::Directory(directory) => directory.put(id, name, source).await?,
            Target::S3(s3) => s3.put(id, name, source, size).await?,
            Target::Restic(restic) => restic.put(id, name, source).await?,
        }
        Ok(File::new(name, meter.measure()))
    }

    /// Writes the manifest: from now on it is a backup.
    pub async fn finish(&self, manifest: &Manifest) -> io::Result<()> {
        let text = manifest.text();
        let size = text.len() as u64;
        self.put(&manifest.id, MANIFEST, stream::of(text), size).await?;
        match self {
            Target::Directory(directory) => directory.finish(&manifest.id),
            Target::S3(_) | Target::Restic(_) => Ok(()),
        }
    }

    /// The names of all files, by backup.
    pub async fn files(&self) -> io::Result<BTreeMap<Id, Vec<String>>> {
        match self {
            Target::Directory(directory) => directory.files(),
            Target::S3(s3) => s3.files().await,
            Target::Restic(restic) => restic.files().await,
        }
    }

    /// What was begun and never finished.
    pub async fn unfinished(&self) -> io::Result<Vec<Id>> {
        let files = self.files().await?.into_iter();
        let unfinished = files.filter(|(_, names)| !names.iter().any(|name| name == MANIFEST));
        Ok(unfinished.map(|(id, _)| id).collect())
    }

    /// What there is.
    pub async fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for (id, names) in self.files().await? {
            if !names.iter().any(|name| name == MANIFEST) {
                continue;
            }
            let text = stream::collect(self.get(&id, MANIFEST).await?, MANIFEST_SIZE).await?;
            match Manifest::parse(&text) {
                Ok(manifest) if manifest.id == id => listing.backups.push(manifest),
                Ok(manifest) => {
                    let why = format!("its manifest is that of {}", manifest.id);
                    listing.unreadable.insert(id, why);
                }
                Err(why) => {
                    listing.unreadable.insert(id, why);
                }
            }
        }
        listing
            .backups
            .sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        Ok(listing)
    }

    /// A file of a backup.
    pub async fn get(&self, id: &Id, name: &str) -> io::Result<Source> {
        match self {
            Target::Directory(directory) => directory.get(id, name).await,
            Target::S3(s3) => s3.get(id, name).await,
            Target::Restic(restic) => restic.get(id, name).await,
        }
    }

    /// Removes backups, finished or not, so that a half removed one does not look like one.
    pub async fn remove(&self, ids: &[Id]) -> io::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        match self {
            Target::Directory(directory) => directory.remove(ids),
            Target::S3(s3) => s3.remove(ids).await,
            Target::Restic(restic) => restic.remove(ids).await,
        }
    }
}
