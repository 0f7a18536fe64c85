//! Changing an instance that is there, so that what was there before comes back when the change fails.

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status};

use super::apply::{Work, docker_id};
use super::content::Content;
use super::place::Told;
use super::rules::Way;
use super::{Error, container};
use crate::config::deploy::Restart;

/// The Ruby that reads `gitlab.rb`, in the container.
const RUBY: &str = "/opt/gitlab/embedded/bin/ruby";

/// The program that applies it.
const CTL: &str = "/opt/gitlab/bin/gitlab-ctl";

impl Work<'_> {
    /// Changes what can be changed while the container stays.
    pub(super) async fn change(&self, current: &ContainerInspectResponse, ways: &[Way]) -> Result<(), Error> {
        let id = docker_id(current);
        if ways.contains(&Way::Update) {
            self.hands.update(&id, container::update(self.blueprint)).await?;
        }
        if ways.contains(&Way::Start) || (ways.contains(&Way::Reconfigure) && !is_running(current)) {
            self.write_files()?;
            return self.start(&id).await;
        }
        if ways.contains(&Way::Reconfigure) {
            let is_checked = self.check_syntax(&id).await?;
            self.write_files()?;
            if !is_checked {
                self.hands.stop(&id, container::STOP_WITHIN).await?;
                return self.start(&id).await;
            }
            let told = self.instance.place.told()?;
            let told = told.filter(|told| told.container == id);
            return match told {
                // It started with just this, and nobody has waited for it yet.
                Some(told) if !told.took && told.content == self.content.digest() => self.ready(&id).await,
                Some(told) if !told.took => self.overtake(&id).await,
                _ => self.reconfigure(&id).await,
            };
        }
        Ok(())
    }

    /// Tells GitLab other settings than it is starting with.
    async fn overtake(&self, id: &str) -> Result<(), Error> {
        let started = self.instance.until_ready(id, &self.hide()?, self.heard).await;
        match started {
            Ok(()) => self.reconfigure(id).await,
            // What it started with may be what keeps it from being ready.
            Err(_) => {
                self.hands.stop(id, container::STOP_WITHIN).await?;
                self.start(id).await
            }
        }
    }

    /// Has Ruby look at the settings before anything is touched. False where nothing can be run in the container, as it ends again and
    /// again.
    async fn check_syntax(&self, id: &str) -> Result<bool, Error> {
        let checked = self
            .hands
            .exec(id, &[RUBY, "-c"], Some(self.content.settings()), |_| ());
        let output = match checked.await {
            Err(error) if error.is_conflict() => return Ok(false),
            output => output?,
        };
        match output.status {
            0 => Ok(true),
            1 => Err(Error::failed(
                format!(
                    "failed to reconfigure {}: Ruby cannot read the settings, and nothing was changed:{}",
                    self.name(),
                    self.hide()?.tail(&output.tail())
                ),
                "correct `gitlab.deploy.omnibus`",
            )),
            // It was ended along with the container.
            _ => Ok(false),
        }
    }

    /// Has GitLab take what is written, and takes it back where that fails.
    async fn reconfigure(&self, id: &str) -> Result<(), Error> {
        let outcome = match self.run_reconfigure(id).await {
            Ok(()) => self.ready(id).await,
            Err(error) => Err(error),
        };
        let Err(error) = outcome else { return Ok(()) };
        Err(self.with_outcome(error, self.restore_files(id).await))
    }

    async fn run_reconfigure(&self, id: &str) -> Result<(), Error> {
        self.heard.phase("reconfiguring GitLab");
        let hide = self.hide()?;
        let heard = |line: &str| self.heard.line(&hide.from(line));
        let output = self.hands.exec(id, &[CTL, "reconfigure"], None, heard).await?;
        if !output.success() {
            return Err(Error::failed(
                format!(
                    "failed to reconfigure {}: gitlab-ctl ended with exit status {}:{}",
                    self.name(),
                    output.status,
                    hide.tail(&output.all())
                ),
                "correct the settings that it names, and apply again",
            ));
        }
        if self.blueprint.endpoints.https {
            // A certificate that was renewed under its old name is no other setting to GitLab.
            self.hands.exec(id, &[CTL, "hup", "nginx"], None, |_| ()).await?;
        }
        Ok(())
    }

    /// Goes back to the settings that GitLab took last, and says what became of that.
    async fn restore_files(&self, id: &str) -> Result<&'static str, Error> {
        let place = &self.instance.place;
        let previous = Content::read(&place.previous())?;
        if previous.is_empty() {
            return Ok("there are no previous settings to go back to");
        }
        self.heard.phase("going back to the previous settings");
        previous.write(&place.mounted())?;
        self.run_reconfigure(id).await?;
        self.instance.until_ready(id, &self.hide()?, self.heard).await?;
        place.note_told(&Told {
            container: id.to_owned(),
            content: previous.digest(),
            took: true,
        })?;
        Ok("the previous settings are back in force")
    }

    /// An error, and what came of taking back what led to it.
    fn with_outcome(&self, error: Error, outcome: Result<&'static str, Error>) -> Error {
        let remedy = error.remedy();
        let message = match outcome {
            Ok(outcome) => format!("{error}\n{outcome}"),
            Err(again) => format!("{error}\ngoing back failed, too: {again}"),
        };
        Error::Failed { message, remedy }
    }

    /// Puts another container in the place of `old`, which stays aside until the new one is ready.
    pub(super) async fn replace(&self, old: &ContainerInspectResponse) -> Result<(), Error> {
        let id = docker_id(old);
        self.surroundings().await?;
        if is_running(old) {
            self.check_syntax(&id).await?;
        }
        self.write_files()?;
        let mut ran = false;
        match self.exchange(&id, &mut ran).await {
            Ok(()) => self.let_go(&id).await,
            Err(error) if ran && self.is_upgrade(old) => Err(self.stays_aside(error)),
            Err(error) => Err(self.with_outcome(error, self.bring_back(old).await)),
        }
    }

    /// Stops the old container and puts it aside, then makes and starts the new one.
    async fn exchange(&self, old: &str, ran: &mut bool) -> Result<(), Error> {
        let place = &self.instance.place;
        place.note_replaced(Some(old))?;
        self.put_aside(old).await?;
        let id = self.make_container().await?;
        *ran = true;
        self.start(&id).await
    }

    /// Stops a container and gives it another name, unless that is done. Docker is not to start it again beside the one that takes its
    /// place: two on the same data would spoil them.
    async fn put_aside(&self, old: &str) -> Result<(), Error> {
        let looker = self.hands.looker();
        let found = looker.container(old).await?.unwrap_or_default();
        if is_running(&found) {
            self.heard
                .phase(&format!("stopping the container {}", self.name()));
            self.hands.stop(old, container::STOP_WITHIN).await?;
        }
        // One that was started with `--rm` is gone now.
        let Some(found) = looker.container(old).await? else {
            return Ok(());
        };
        self.hands
            .update(old, container::update_restart(Restart::No))
            .await?;
        let aside = format!("{}-previous", self.name());
        if named(&found) != aside {
            self.hands.rename(old, &aside).await?;
        }
        Ok(())
    }

    /// Gives a container that was put aside its name and its policy again, and starts it.
    async fn take_up(&self, id: &str) -> Result<(), Error> {
        let found = self.hands.looker().container(id).await?.unwrap_or_default();
        if named(&found) != self.name() {
            self.hands.rename(id, self.name()).await?;
        }
        let policy = container::update_restart(self.blueprint.restart);
        self.hands.update(id, policy).await?;
        match is_running(&found) {
            true => Ok(()),
            false => Ok(self.hands.start(id).await?),
        }
    }

    /// Removes a container whose place another has taken. Its volumes stay.
    async fn let_go(&self, old: &str) -> Result<(), Error> {
        match self.hands.remove(old).await {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
        self.instance.place.note_replaced(None)
    }

    /// Puts the old container back in its place, with the settings that it took last, and says what became of that.
    async fn bring_back(&self, old: &ContainerInspectResponse) -> Result<&'static str, Error> {
        let place = &self.instance.place;
        let id = docker_id(old);
        self.heard.phase("bringing the previous container back");
        if let Some(new) = self.hands.looker().container(self.name()).await?
            && docker_id(&new) != id
        {
            self.take_away(&docker_id(&new)).await?;
        }
        let previous = Content::read(&place.previous())?;
        if !previous.is_empty() {
            previous.write(&place.mounted())?;
        }
        self.take_up(&id).await?;
        self.instance.until_ready(&id, &self.hide()?, self.heard).await?;
        if !previous.is_empty() {
            place.note_told(&Told {
                container: id,
                content: previous.digest(),
                took: true,
            })?;
        }
        place.note_replaced(None)?;
        Ok("the previous container is back in its place")
    }

    /// Removes a container that did not get ready.
    async fn take_away(&self, id: &str) -> Result<(), Error> {
        let found = self.hands.looker().container(id).await?.unwrap_or_default();
        if found.state.and_then(|state| state.status) != Some(Status::CREATED) {
            self.hands.stop(id, container::STOP_WITHIN).await?;
        }
        Ok(self.hands.remove(id).await?)
    }

    /// Whether the new container is of another image than the old one, so that its data may be of another version now.
    fn is_upgrade(&self, old: &ContainerInspectResponse) -> bool {
        let image = old.config.as_ref().and_then(|config| config.image.as_deref());
        image != Some(&self.blueprint.image)
    }

    fn stays_aside(&self, error: Error) -> Error {
        let aside = format!("{}-previous", self.name());
        Error::failed(
            format!(
                "{error}\nthe data may be of the new version already, so the previous container was not brought back: it is kept \
                 as {aside}"
            ),
            "see what keeps the new version from starting, and apply again: it goes on with the new one; going back to the old \
             version takes the backup that was made before",
        )
    }

    /// Goes on where an interrupted replacement stopped with both containers there.
    pub(super) async fn finish(
        &self,
        current: &ContainerInspectResponse,
        aside: &ContainerInspectResponse,
        ways: &[Way],
    ) -> Result<(), Error> {
        let id = docker_id(current);
        // It is ours, as the other's place was being taken; it is not as declared any more.
        if ways.contains(&Way::Recreate) {
            self.take_away(&id).await?;
            return self.replace(aside).await;
        }
        let mut ways = ways.to_vec();
        if !self.instance.place.is_applied(&id)? {
            // Nobody has seen yet that it gets ready.
            ways.push(Way::Reconfigure);
        }
        match self.change(current, &ways).await {
            Ok(()) => self.let_go(&docker_id(aside)).await,
            Err(error) if self.is_upgrade(aside) => Err(self.stays_aside(error)),
            Err(error) => Err(self.with_outcome(error, self.bring_back(aside).await)),
        }
    }

    /// Goes back to the container that an interrupted run put aside: it is as declared, or nearly.
    pub(super) async fn put_back(&self, aside: &ContainerInspectResponse) -> Result<(), Error> {
        let id = docker_id(aside);
        self.write_files()?;
        self.note(&id, false)?;
        self.take_up(&id).await?;
        self.instance.place.note_replaced(None)?;
        self.ready(&id).await
    }
}

/// Whether a container runs, or Docker is about to start it again.
fn is_running(found: &ContainerInspectResponse) -> bool {
    let status = found.state.as_ref().and_then(|state| state.status);
    matches!(
        status,
        Some(Status::RUNNING | Status::RESTARTING | Status::PAUSED)
    )
}

/// The name of a container, which Docker writes with a slash.
fn named(found: &ContainerInspectResponse) -> &str {
    found.name.as_deref().unwrap_or_default().trim_start_matches('/')
}
