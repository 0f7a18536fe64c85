//! The directory beside the config that holds what the container is given, and AutoGit's own token: `.autogit/deploy/<name>/`, 0700.

use std::path::{Path, PathBuf};

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

    /// Which settings the container was last told to apply, and did.
    pub fn applied(&self) -> PathBuf {
        self.root.join("applied.json")
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
