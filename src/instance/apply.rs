//! Bringing the instance about: files, network, volumes, container, and what GitLab in it is told.
//!
//! Every step looks first whether it is done already, so that a run that was killed anywhere is finished by the next one. Nothing here
//! removes data: neither volumes nor directories.

use std::collections::BTreeMap;

use bollard::models::ContainerInspectResponse;
use secrecy::SecretString;
use tokio::time::Instant;

use super::content::Content;
use super::hide::Hide;
use super::place::{Host, Told};
use super::rules::{self, Way};
use super::{Blueprint, Error, Found, Instance, LABEL, Site, container, own_file, upgrade};
use crate::core::{Fields, Step};
use crate::live::docker::Hands;

/// Hears what goes on, phase by phase.
pub trait Heard: Send + Sync {
    /// Something began that may take a while: `waiting for database migrations`.
    fn phase(&self, what: &str);
    /// A line that somebody who waits may want to see.
    fn line(&self, line: &str);
}

/// What is there once it is done.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// What identifies it.
    pub id: String,
    /// Its fields as they were brought about.
    pub value: Fields,
    /// The secrets that it was given, by field.
    pub secrets: BTreeMap<String, SecretString>,
}

/// The containers that are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The one of the declared name.
    pub current: Option<ContainerInspectResponse>,
    /// The one whose place another is taking, put aside under another name.
    pub aside: Option<ContainerInspectResponse>,
}

impl Instance {
    /// The containers that are there. While a replacement is interrupted, one may be aside.
    pub(super) async fn standing(&self) -> Result<Standing, Error> {
        let current = self.looker().container(self.name()).await?;
        let aside = match self.place.being_replaced()? {
            Some(id) => self.looker().container(&id).await?,
            None => None,
        };
        let aside = aside.filter(|aside| current.as_ref().is_none_or(|current| current.id != aside.id));
        Ok(Standing { current, aside })
    }

    /// What identifies a container: the id in its label where that is ours, Docker's otherwise.
    pub(super) fn identity(&self, found: &ContainerInspectResponse) -> Result<String, Error> {
        let label = found
            .config
            .as_ref()
            .and_then(|config| config.labels.as_ref()?.get(LABEL));
        let own = self.place.own_id()?.filter(|own| label == Some(own));
        Ok(own.unwrap_or_else(|| docker_id(found)))
    }

    /// Carries out the one step of a plan of the instance, and waits until GitLab is ready and AutoGit has a token.
    ///
    /// # Errors
    /// When something failed; what was there before is there again where that is possible, and the message says so.
    pub async fn apply(&self, site: &Site, step: &Step, heard: &dyn Heard) -> Result<Applied, Error> {
        let began = Instant::now();
        let changes = step.changes.iter();
        let work = Work::begin(self, site, heard).await?;
        if changes
            .clone()
            .any(|change| change.field == "image" && change.before.is_some())
        {
            upgrade::prepare(self, site, step, heard).await?;
        }
        let ways: Vec<Way> = changes.map(rules::way).collect();
        let way = ways.iter().copied().max().unwrap_or(Way::Aside);
        let standing = self.standing().await?;
        if let (Some(found), Some(container)) = (
            Found::of(&site.live),
            standing.current.as_ref().or(standing.aside.as_ref()),
        ) {
            own_file::comment_out(&work.hands, &docker_id(container), &found.overriding, heard).await?;
        }
        match (standing.current, standing.aside) {
            (None, None) => work.create().await?,
            (None, Some(aside)) if way == Way::Recreate => work.replace(&aside).await?,
            (None, Some(aside)) => work.put_back(&aside).await?,
            (Some(current), Some(aside)) => work.finish(&current, &aside, &ways).await?,
            (Some(current), None) if way == Way::Recreate => work.replace(&current).await?,
            (Some(current), None) => work.change(&current, &ways).await?,
        }
        self.ensure_token(self.name(), heard).await?;
        self.until_reachable(began, heard).await?;
        upgrade::conclude(self, site, heard).await;
        work.applied(step).await
    }
}

/// One step while it is carried out.
pub(super) struct Work<'a> {
    pub instance: &'a Instance,
    pub blueprint: &'a Blueprint,
    pub site: &'a Site,
    pub hands: Hands,
    pub heard: &'a dyn Heard,
    /// What our label says.
    pub id: String,
    /// What the container is to be given.
    pub content: Content,
}

impl<'a> Work<'a> {
    async fn begin(instance: &'a Instance, site: &'a Site, heard: &'a dyn Heard) -> Result<Self, Error> {
        let place = &instance.place;
        place.make()?;
        place.note_host(&Host {
            docker: instance.looker().host().to_owned(),
            container: instance.name().to_owned(),
            url: instance.url.clone(),
        })?;
        Ok(Work {
            instance,
            blueprint: &site.blueprint,
            site,
            hands: Hands::new(instance.looker().clone()),
            heard,
            id: place.make_id()?,
            content: Content::of(instance, &site.blueprint).await?,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.blueprint.name
    }

    pub(super) fn hide(&self) -> Result<Hide, Error> {
        Hide::of(&self.instance.place)
    }

    /// Makes everything from nothing.
    async fn create(&self) -> Result<(), Error> {
        self.write_files()?;
        self.surroundings().await?;
        let id = self.make_container().await?;
        self.start(&id).await
    }

    /// Writes what the container is given. What it took before is kept.
    pub(super) fn write_files(&self) -> Result<(), Error> {
        let place = &self.instance.place;
        let there = Content::read(&place.mounted())?;
        let took = place
            .told()?
            .is_some_and(|told| told.took && told.content == there.digest());
        if took {
            there.write(&place.previous())?;
        }
        self.content.write(&place.mounted())
    }

    /// What a container needs before it can be made: its network, its volumes and its image.
    pub(super) async fn surroundings(&self) -> Result<(), Error> {
        let looker = self.hands.looker();
        let network = &self.blueprint.network;
        if looker.network(network).await?.is_none() {
            self.hands
                .create_network(network, container::labels(&self.id))
                .await?;
        }
        let volumes = self.blueprint.mounts.values();
        for volume in volumes.filter(|source| !source.starts_with('/')) {
            if looker.volume(volume).await?.is_none() {
                self.hands
                    .create_volume(volume, container::labels(&self.id))
                    .await?;
            }
        }
        let image = &self.blueprint.image;
        if looker.image(image).await?.is_none() {
            self.heard.phase(&format!("pulling the image {image}"));
            self.hands.pull(image, |line| self.heard.line(line)).await?;
        }
        Ok(())
    }

    /// Makes the container, and gives its id.
    pub(super) async fn make_container(&self) -> Result<String, Error> {
        let within = self.instance.ready_within();
        let body = container::body(self.blueprint, &self.site.engine, &self.id, within);
        Ok(self.hands.create(self.name(), body).await?)
    }

    /// Starts a container that reads what is written when it starts, and waits until GitLab is ready.
    pub(super) async fn start(&self, id: &str) -> Result<(), Error> {
        self.note(id, false)?;
        self.heard
            .phase(&format!("starting the container {}", self.name()));
        self.hands.start(id).await?;
        self.ready(id).await
    }

    /// Waits until GitLab in a container that was told everything is ready.
    pub(super) async fn ready(&self, id: &str) -> Result<(), Error> {
        self.instance.until_ready(id, &self.hide()?, self.heard).await?;
        self.note(id, true)
    }

    /// Notes that a container was told what is to be, and whether it took it.
    pub(super) fn note(&self, id: &str, took: bool) -> Result<(), Error> {
        self.instance.place.note_told(&Told {
            container: id.to_owned(),
            content: self.content.digest(),
            took,
        })
    }

    /// What is there now.
    async fn applied(&self, step: &Step) -> Result<Applied, Error> {
        let found = self.hands.looker().container(self.name()).await?;
        let found = found.unwrap_or_default();
        let mut secrets = BTreeMap::new();
        for (name, reference) in &self.blueprint.secrets {
            // It was resolved before, and is remembered.
            if let Ok(value) = self.instance.secrets.value(reference).await {
                secrets.insert(super::blueprint::secret_field(name), value);
            }
        }
        Ok(Applied {
            id: self.instance.identity(&found)?,
            value: step.value.clone(),
            secrets,
        })
    }
}

/// A container as Docker identifies it.
pub(super) fn docker_id(found: &ContainerInspectResponse) -> String {
    found.id.clone().unwrap_or_default()
}
