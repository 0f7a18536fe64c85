//! Restoring a backup into the instance: the configuration first, then the data.

use std::path::Path;

use super::inside::Inside;
use super::manifest::{DATA, Id, Manifest};
use super::record::Turn;
use super::{Backups, config, interrupted, io_error, stream};
use crate::instance::content::Content;
use crate::instance::hide::Hide;
use crate::instance::place::Told;
use crate::instance::{Error, Heard};

/// How a backup is restored.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// The file with the identity of age that an encrypted configuration needs.
    pub identity: Option<&'a Path>,
    /// Whether what is there now is backed up before.
    pub saves: bool,
}

/// What came of restoring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The backup of what was there before.
    pub saved: Option<Id>,
    /// What is wrong with what is there now.
    pub problems: Vec<String>,
}

impl Backups<'_> {
    /// Whether a backup can be restored into what runs now.
    ///
    /// # Errors
    /// When it is of another GitLab, or cannot be read with the identity that there is. Nothing was changed.
    pub async fn can_restore(&self, manifest: &Manifest, identity: Option<&Path>) -> Result<(), Error> {
        let runs = self.inside().release().await.map_err(|error| {
            Error::failed(
                error.to_string(),
                "bring GitLab up first: `autogit apply`; then restore into it",
            )
        })?;
        if runs != manifest.gitlab {
            return Err(Error::failed(
                format!(
                    "failed to restore {}: it is of {}, and {runs} runs; GitLab restores only its own version and edition",
                    manifest.id, manifest.gitlab
                ),
                format!(
                    "write `image: {}` under `gitlab.deploy.docker`, run `autogit apply`, restore, and upgrade after that; \
                     an instance with newer data does not go back, so deploy that image under another name with volumes of its own",
                    manifest.image
                ),
            ));
        }
        let config = self.config_of(manifest, identity).await?.ok_or_else(|| {
            Error::failed(
                format!(
                    "failed to restore {}: its configuration is encrypted",
                    manifest.id
                ),
                "name the file with the identity of age: --identity FILE",
            )
        })?;
        stream::drain(config::gitlab_of(config)).await.map_err(|error| {
            Error::failed(
                format!("failed to read the configuration in {}: {error}", manifest.id),
                "see that the identity is one of those that it was encrypted to, or use another backup",
            )
        })
    }

    /// Restores a backup into the instance. `stop`: ends it early, half restored.
    ///
    /// # Errors
    /// When it could not be restored; the message says what is there then.
    pub async fn restore(
        &self,
        manifest: &Manifest,
        restore: Restore<'_>,
        heard: &dyn Heard,
        stop: impl Future<Output = ()>,
    ) -> Result<Restored, Error> {
        let _turn = Turn::take(&self.instance.place)?;
        self.can_restore(manifest, restore.identity).await?;
        let saved = match restore.saves {
            true => Some(self.save(heard).await?),
            false => None,
        };
        let inside = self.inside();
        inside.tidy().await?;
        let work = async {
            heard.phase("copying the data in");
            let (data, size) = self.read(manifest, DATA).await?;
            inside.place(&manifest.id, size, data).await?;
            let replaced = self.replace(&inside, manifest, restore, heard).await;
            replaced.map_err(|error| half_way(&error, saved.as_ref()))
        };
        let problems = tokio::select! {
            problems = work => problems,
            () = stop => Err(half_way(&interrupted("restore"), saved.as_ref())),
        };
        if let Err(error) = inside.tidy().await {
            tracing::warn!(%error, "failed to remove the archive in the container");
        }
        Ok(Restored {
            problems: problems?,
            saved,
        })
    }

    /// Backs up what is there now.
    async fn save(&self, heard: &dyn Heard) -> Result<Id, Error> {
        heard.phase("backing up what is there now");
        let saved = self.create_and_record(heard, std::future::pending()).await;
        let saved = saved.map_err(|error| {
            Error::failed(
                format!("failed to restore: what is there now could not be backed up before: {error}"),
                "if it is worth nothing, say so with --no-safety-backup; nothing was changed",
            )
        })?;
        Ok(saved.id)
    }

    /// Puts the backup in the place of what is there.
    async fn replace(
        &self,
        inside: &Inside<'_>,
        manifest: &Manifest,
        restore: Restore<'_>,
        heard: &dyn Heard,
    ) -> Result<Vec<String>, Error> {
        heard.phase("copying the configuration and its secrets in");
        let config = async || {
            let config = self.config_of(manifest, restore.identity).await?;
            config.ok_or_else(|| {
                Error::failed(
                    "failed to read the configuration: it is encrypted",
                    "name --identity",
                )
            })
        };
        let etc = config::gitlab_of(config().await?);
        self.hands.upload(inside.container, "/etc", etc).await?;
        let own = self.instance.place.root();
        let trust = config::trust_of(config().await?, own).await;
        trust.map_err(io_error("write what users trust into", own))?;
        heard.phase("reconfiguring GitLab");
        inside
            .must("reconfigure GitLab", &["gitlab-ctl", "reconfigure"], heard)
            .await?;
        inside.restore(&manifest.id, heard).await?;
        let hide = Hide::of(&self.instance.place)?;
        self.instance.until_ready(inside.container, &hide, heard).await?;
        self.note_told().await?;
        self.instance.renew_token(heard).await?;
        self.judge(inside, manifest, heard).await
    }

    /// What was restored is what GitLab was last told.
    async fn note_told(&self) -> Result<(), Error> {
        let place = &self.instance.place;
        let found = self.instance.looker().container(self.instance.name()).await?;
        place.note_told(&Told {
            container: found.and_then(|found| found.id).unwrap_or_default(),
            content: Content::read(&place.mounted())?.digest(),
            took: true,
        })
    }

    /// What GitLab itself says of what was restored.
    async fn judge(
        &self,
        inside: &Inside<'_>,
        manifest: &Manifest,
        heard: &dyn Heard,
    ) -> Result<Vec<String>, Error> {
        let mut problems = Vec::new();
        heard.phase("having GitLab check itself");
        let checked = inside
            .run(&["gitlab-rake", "gitlab:check", "SANITIZE=true"], None, heard)
            .await?;
        if !checked.success() {
            problems.push(format!("gitlab:check failed: {}", checked.tail()));
        }
        problems.extend(inside.undecryptable(heard).await?);
        problems.extend(manifest.contradicts(inside.counts().await?));
        Ok(problems)
    }
}

/// What to say when something failed after the first change.
fn half_way(error: &Error, saved: Option<&Id>) -> Error {
    let back = match saved {
        Some(id) => {
            format!(", or go back to what was there with `autogit backup restore {id} --no-safety-backup`")
        }
        None => String::new(),
    };
    Error::failed(
        format!("{error}; GitLab may be half restored"),
        format!("run it again with --no-safety-backup{back}"),
    )
}
