//! Making a backup.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::manifest::{CONFIG, DATA, ENCRYPTED_CONFIG, FORMAT, Id, Manifest};
use super::record::{Record, Turn};
use super::{Backups, config, interrupted};
use crate::config::deploy::Encryption;
use crate::instance::{Error, Heard};

/// How large `/etc/gitlab` is about; only what is cut into parts needs to know.
const CONFIG_SIZE: u64 = 1 << 20;

/// What was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The backup.
    pub manifest: Manifest,
    /// The older ones that were removed, as no rule asks for them.
    pub removed: BTreeSet<Id>,
}

impl Backups<'_> {
    /// Makes a backup, and removes older ones that no rule asks for. `stop`: ends it early, and then nothing is left of it.
    ///
    /// # Errors
    /// When it could not be made whole: nothing is left that looks like one, and what failed is recorded.
    pub async fn create(&self, heard: &dyn Heard, stop: impl Future<Output = ()>) -> Result<Created, Error> {
        let _turn = Turn::take(&self.instance.place)?;
        let manifest = self.create_and_record(heard, stop).await?;
        let mut removed = BTreeSet::new();
        if self.spec.keep.is_some() {
            heard.phase("removing older backups");
            let pruned = async { self.remove(&self.pruning().await?).await }.await;
            removed = pruned.map_err(|error| {
                let message = format!("made the backup {}, but {error}", manifest.id);
                Error::failed(
                    message,
                    error
                        .remedy()
                        .unwrap_or_else(|| "run `autogit backup prune`".into()),
                )
            })?;
        }
        Ok(Created { manifest, removed })
    }

    /// Makes one and records what came of it. Whoever calls it has the turn.
    pub(super) async fn create_and_record(
        &self,
        heard: &dyn Heard,
        stop: impl Future<Output = ()>,
    ) -> Result<Manifest, Error> {
        let begun = Timestamp::now();
        let id = Id::new(begun, &self.owner);
        let made = tokio::select! {
            made = self.make(&id, begun, heard) => made,
            () = stop => Err(interrupted("back up")),
        };
        if made.is_err()
            && let Err(error) = self.target.remove(std::slice::from_ref(&id)).await
        {
            // Without a manifest it is no backup, and the next one clears it away.
            tracing::warn!(%error, "failed to remove what is not whole");
        }
        if let Err(error) = self.inside().tidy().await {
            tracing::warn!(%error, "failed to remove the archive in the container");
        }
        Record::change(&self.instance.place, |record| record.note(begun, made.as_ref()))?;
        made
    }

    async fn make(&self, id: &Id, begun: Timestamp, heard: &dyn Heard) -> Result<Manifest, Error> {
        heard.phase("looking at the instance");
        let image_digest = self.running_image().await?;
        let inside = self.inside();
        inside.tidy().await?;
        self.clear().await?;
        self.check_space().await?;
        let gitlab = inside.release().await?;
        let before = inside.counts().await?;
        inside.create(id, &self.spec.skip, heard).await?;
        heard.phase("copying the data out");
        let (data, size) = inside.fetch(id).await?;
        self.check_target_space(size)?;
        let data = self.target.put(id, DATA, data, size).await;
        let data = data.map_err(|error| self.about("write the data", error))?;
        heard.phase("copying the configuration and its secrets");
        let etc = Box::pin(self.hands.looker().download(self.instance.name(), "/etc/gitlab"));
        let archive = config::pack(etc, self.instance.place.root());
        let (name, archive, encrypted_to) = match &self.spec.encrypt {
            Some(Encryption::Age(keys)) => (ENCRYPTED_CONFIG, config::seal(archive, keys), keys.clone()),
            None => (CONFIG, archive, Vec::new()),
        };
        let config = self.target.put(id, name, archive, CONFIG_SIZE).await;
        let config = config.map_err(|error| self.about("write the configuration", error))?;
        let after = inside.counts().await?;
        let manifest = Manifest {
            format: FORMAT,
            id: id.clone(),
            created_at: begun,
            url: self.instance.url.to_string(),
            gitlab,
            image: self.instance.spec.docker.image.clone(),
            image_digest,
            autogit: env!("CARGO_PKG_VERSION").to_owned(),
            files: vec![data, config],
            skipped: self.spec.skip.clone(),
            encrypted_to,
            counts: [before, after],
        };
        let finished = self.target.finish(&manifest).await;
        finished.map_err(|error| self.about("write the manifest", error))?;
        Ok(manifest)
    }

    /// What identifies the image of the container, which has to run.
    async fn running_image(&self) -> Result<String, Error> {
        let name = self.instance.name();
        let found = self.instance.looker().container(name).await?;
        let running =
            found.filter(|found| found.state.as_ref().and_then(|state| state.running) == Some(true));
        let running = running.ok_or_else(|| {
            Error::failed(
                format!("failed to back up: the container {name} does not run"),
                "start it: `autogit apply`",
            )
        })?;
        Ok(running.image.unwrap_or_default())
    }

    /// Makes the target usable, and clears away what earlier backups of this instance left that were killed.
    async fn clear(&self) -> Result<(), Error> {
        let clear = async {
            self.target.prepare().await?;
            let unfinished = self.target.unfinished().await?;
            let ours: Vec<Id> = unfinished
                .into_iter()
                .filter(|id| id.is_of(&self.owner))
                .collect();
            self.target.remove(&ours).await
        };
        clear.await.map_err(|error| self.about("prepare a backup", error))
    }

    /// Refuses where there is certainly too little space: GitLab writes the parts, and then the archive of them.
    async fn check_space(&self) -> Result<(), Error> {
        let (data, free) = self.inside().space().await?;
        let made = Record::read(&self.instance.place)?.made;
        let needed = match &made {
            Some(made) => made.size / 1024 * 2,
            None => data,
        };
        if free < needed {
            return Err(Error::failed(
                format!(
                    "failed to back up: {} is free for {} in the container, and about {} is needed",
                    mebibytes(free * 1024),
                    self.backups,
                    mebibytes(needed * 1024)
                ),
                "free some, or leave out what can be had elsewhere with `backup.skip`",
            ));
        }
        self.check_target_space(made.map_or(0, |made| made.size))
    }

    fn check_target_space(&self, needed: u64) -> Result<(), Error> {
        match self.target.space() {
            Some(free) if free < needed => Err(Error::failed(
                format!(
                    "failed to back up: {} is free in {}, and about {} is needed",
                    mebibytes(free),
                    self.describe(),
                    mebibytes(needed)
                ),
                "free some, keep fewer backups with `backup.keep`, or name another place",
            )),
            _ => Ok(()),
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
