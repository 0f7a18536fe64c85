//! Trying a backup: its checksums, and then whether a GitLab that is there for this alone comes up from it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bollard::models::{ContainerCreateBody, HostConfig};
use jiff::Timestamp;

use super::manifest::{DATA, ENCRYPTED_CONFIG, Id, Manifest};
use super::record::{Record, Turn, Verified};
use super::stream::{self, Meter, Source};
use super::{BACKUPS, Backups, Counts, Inside, config, interrupted};
use crate::config::deploy::Deploy;
use crate::instance::hide::Hide;
use crate::instance::{Error, Heard, Instance, Place};

/// The label of containers that are there to try a backup of the instance that it names.
const LABEL: &str = "io.autogit.backup-verify";

/// What a GitLab on trial is told: nothing of what surrounds the real one, and as few processes as will do.
const SETTINGS: &str = "external_url 'http://localhost'; nginx['listen_port'] = 80; nginx['listen_https'] = false; \
    puma['worker_processes'] = 0; sidekiq['concurrency'] = 5; prometheus_monitoring['enable'] = false; \
    letsencrypt['enable'] = false; gitlab_rails['smtp_enable'] = false; gitlab_rails['incoming_email_enabled'] = false";

/// What came of trying a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The backup.
    pub manifest: Manifest,
    /// What is wrong with it; empty: it is what it should be.
    pub problems: Vec<String>,
    /// What was not looked at, and why.
    pub unseen: Vec<String>,
    /// How much was in the GitLab that came up from it.
    pub found: Option<Counts>,
}

impl Backups<'_> {
    /// Tries a backup: the newest of this instance, unless one is named. The instance itself is not touched. Without the `identity`
    /// of age that an encrypted configuration needs, that is only checked for damage.
    ///
    /// # Errors
    /// When it could not be tried. What is wrong with it is no error.
    pub async fn verify(
        &self,
        id: Option<&Id>,
        identity: Option<&Path>,
        heard: &dyn Heard,
        stop: impl Future<Output = ()>,
    ) -> Result<Verdict, Error> {
        let _turn = Turn::take(&self.instance.place)?;
        self.discard_leftovers().await?;
        let manifest = self.find(id).await?;
        let container = format!("{}-verify-{}", self.instance.name(), manifest.id);
        let work = async {
            let damage = self.damage(&manifest, heard).await?;
            if !damage.is_empty() {
                return Ok(Verdict {
                    manifest: manifest.clone(),
                    problems: damage,
                    unseen: vec!["it was not restored on trial, as it is damaged".into()],
                    found: None,
                });
            }
            self.attempt(&manifest, identity, &container, heard).await
        };
        let verdict = tokio::select! {
            verdict = work => verdict,
            () = stop => Err(interrupted("verify the backup")),
        };
        let discarded = self.hands.discard(&container).await;
        let verdict = verdict?;
        discarded?;
        self.remember(&verdict)?;
        Ok(verdict)
    }

    fn remember(&self, verdict: &Verdict) -> Result<(), Error> {
        let id = &verdict.manifest.id;
        Record::change(&self.instance.place, |record| match verdict.problems.first() {
            None => {
                record.damaged.remove(id);
                record.verified = Some(Verified {
                    id: id.clone(),
                    at: Timestamp::now(),
                });
            }
            // Only what does not depend on the host that it was tried on.
            Some(damage) if verdict.found.is_none() => {
                record.damaged.insert(id.clone(), damage.clone());
            }
            Some(_) => {}
        })
    }

    /// Removes what a run that was killed left. It is ours alone to run, so nobody needs it.
    async fn discard_leftovers(&self) -> Result<(), Error> {
        let label = format!("{LABEL}={}", self.owner);
        for left in self.instance.looker().containers(&[label]).await? {
            self.hands.discard(&left.id.unwrap_or_default()).await?;
        }
        Ok(())
    }

    /// What is damaged or missing.
    async fn damage(&self, manifest: &Manifest, heard: &dyn Heard) -> Result<Vec<String>, Error> {
        let about = |error| self.about("read the backup", error);
        let names = self
            .target
            .files()
            .await
            .map_err(about)?
            .remove(&manifest.id)
            .unwrap_or_default();
        let mut damage = Vec::new();
        for file in &manifest.files {
            heard.phase(&format!("reading {}", file.name));
            if !names.contains(&file.name) {
                damage.push(format!("{} is missing", file.name));
                continue;
            }
            let source = self.target.get(&manifest.id, &file.name).await.map_err(about)?;
            let (source, meter) = Meter::on(source);
            stream::drain(source).await.map_err(about)?;
            damage.extend(file.differs(&meter.measure()));
        }
        Ok(damage)
    }

    /// A file of a backup that ends with an error when it is not what was written.
    pub(super) async fn read(&self, manifest: &Manifest, name: &str) -> Result<(Source, u64), Error> {
        let file = manifest.file(name).cloned().ok_or_else(|| {
            Error::failed(
                format!("failed to read the backup {}: it has no {name}", manifest.id),
                "use another: `autogit backup list` shows them",
            )
        })?;
        let source = self.target.get(&manifest.id, name).await;
        let source = source.map_err(|error| self.about("read the backup", error))?;
        let (source, meter) = Meter::on(source);
        let size = file.size;
        let checked = futures_util::StreamExt::chain(
            source,
            futures_util::stream::once(async move {
                match file.differs(&meter.measure()) {
                    Some(why) => Err(std::io::Error::other(why)),
                    None => Ok(bytes::Bytes::new()),
                }
            }),
        );
        Ok((Box::pin(checked), size))
    }

    /// The configuration in a backup, readable; `None` where it is encrypted and there is no identity.
    pub(super) async fn config_of(
        &self,
        manifest: &Manifest,
        identity: Option<&Path>,
    ) -> Result<Option<Source>, Error> {
        let name = manifest.config().map_or("config", |file| &*file.name);
        let (source, _) = self.read(manifest, name).await?;
        Ok(match (name == ENCRYPTED_CONFIG, identity) {
            (true, Some(identity)) => Some(config::unseal(source, identity)),
            (true, None) => None,
            (false, _) => Some(source),
        })
    }

    /// Restores it into a container of its own, which can reach nothing, and asks the GitLab that comes up.
    async fn attempt(
        &self,
        manifest: &Manifest,
        identity: Option<&Path>,
        container: &str,
        heard: &dyn Heard,
    ) -> Result<Verdict, Error> {
        let mut verdict = Verdict {
            manifest: manifest.clone(),
            problems: Vec::new(),
            unseen: Vec::new(),
            found: None,
        };
        self.make_trial(manifest, container, heard).await?;
        let inside = Inside {
            hands: &self.hands,
            container,
            backups: BACKUPS,
        };
        let release = inside.release().await?;
        if release != manifest.gitlab {
            return Err(Error::failed(
                format!(
                    "failed to try the backup: it is of {}, and the image {} holds {release}",
                    manifest.gitlab, manifest.image
                ),
                "pull the image that it was made of",
            ));
        }
        let readable = self.config_of(manifest, identity).await?;
        let has_secrets = readable.is_some();
        if let Some(config) = readable {
            self.hands
                .upload(container, "/etc", config::secrets_of(config))
                .await?;
        } else {
            verdict.unseen.push("whether its secrets fit the data: they are encrypted, name an identity of age with --identity".into());
        }
        self.hands.start(container).await?;
        self.wait_for(container, heard).await?;
        heard.phase("copying the data in");
        let (data, size) = self.read(manifest, DATA).await?;
        inside.place(&manifest.id, size, data).await?;
        inside.restore(&manifest.id, heard).await?;
        self.wait_for(container, heard).await?;
        let found = inside.counts().await?;
        verdict.problems.extend(manifest.contradicts(found));
        verdict.found = Some(found);
        if has_secrets {
            verdict.problems.extend(inside.undecryptable(heard).await?);
        }
        Ok(verdict)
    }

    async fn make_trial(&self, manifest: &Manifest, container: &str, heard: &dyn Heard) -> Result<(), Error> {
        let image = self.trial_image(manifest, heard).await?;
        let body = ContainerCreateBody {
            image: Some(image),
            hostname: Some("localhost".into()),
            env: Some(vec![format!("GITLAB_OMNIBUS_CONFIG={SETTINGS}")]),
            labels: Some(HashMap::from([(LABEL.to_owned(), self.owner.clone())])),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                shm_size: Some(256 << 20),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        self.hands.discard(container).await?;
        self.hands.create(container, body).await?;
        Ok(())
    }

    /// The very image that the backup was made of, or what its name stands for now.
    async fn trial_image(&self, manifest: &Manifest, heard: &dyn Heard) -> Result<String, Error> {
        let looker = self.instance.looker();
        if looker.image(&manifest.image_digest).await?.is_some() {
            return Ok(manifest.image_digest.clone());
        }
        if looker.image(&manifest.image).await?.is_none() {
            heard.phase(&format!("pulling {}", manifest.image));
            self.hands.pull(&manifest.image, |line| heard.line(line)).await?;
        }
        Ok(manifest.image.clone())
    }

    /// Waits until the GitLab on trial is ready.
    async fn wait_for(&self, container: &str, heard: &dyn Heard) -> Result<(), Error> {
        let spec =
            serde_json::json!({"docker": {"image": self.instance.spec.docker.image, "name": container}});
        let spec: Deploy =
            serde_json::from_value(spec).map_err(|error| Error::failed(error.to_string(), "report this"))?;
        let trial = Instance {
            spec: Deploy {
                ready_within: self.instance.spec.ready_within,
                ..spec
            },
            url: "http://localhost/"
                .parse()
                .map_err(|_| Error::failed("failed to name localhost", "report this"))?,
            place: Place::new(self.instance.place.root(), "verify"),
            secrets: Arc::clone(&self.instance.secrets),
            ..self.instance.clone()
        };
        trial
            .until_ready(container, &Hide::of(&trial.place)?, heard)
            .await
    }
}
