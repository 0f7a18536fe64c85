//! Changing the version: along GitLab's upgrade stops, with background migrations done and a backup made before.

mod migrations;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::hide::Hide;
use super::preflight::live_image;
use super::stops::{self, Release, Stop, Version};
use super::{Blueprint, Error, Heard, Instance, Site, backup};
use crate::config::Edition;
use crate::config::deploy::Upgrade;
use crate::core::{Live, Problem, Step};
use crate::live::docker::{Engine, Hands, Output};

/// Where the data itself says which version it was last used by. GitLab judges by it, too.
const DATA_VERSION: &str = "gitlab-rails/VERSION";
const DATA: &str = "/var/opt/gitlab";

/// How long background migrations may take unless the config says otherwise.
const MIGRATIONS_WITHIN: Duration = Duration::from_secs(2 * 60 * 60);

/// The version that the data is of, and the one that is declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Of the data; `None` where there is none, or it does not say.
    pub from: Option<Release>,
    /// Of the image; `None` where its name does not say.
    pub to: Option<Release>,
    /// Whether the image is another one than runs, or none runs.
    pub is_other_image: bool,
}

impl Versions {
    /// Reads what the names of the images do not tell from the data.
    pub(super) async fn read(
        instance: &Instance,
        engine: &Engine,
        blueprint: &Blueprint,
        live: &Live,
    ) -> Result<Self, Error> {
        let to = Release::of_image(&blueprint.image);
        let running = live_image(live);
        if running == Some(&blueprint.image) {
            return Ok(Versions {
                from: to,
                to,
                is_other_image: false,
            });
        }
        let told = match live {
            Live::Present(_) => {
                let file = format!("{DATA}/{DATA_VERSION}");
                instance.looker().file(&blueprint.name, &file).await?
            }
            _ if engine.local => left_behind(instance, blueprint).await?,
            _ => None,
        };
        let by_name = running.and_then(Release::of_image);
        Ok(Versions {
            from: told.and_then(|told| Release::of_data(&told)).or(by_name),
            to,
            is_other_image: true,
        })
    }

    /// The change of version that is declared, if it is one.
    fn change(self) -> Option<(Version, Version)> {
        let (from, to) = (self.from?.version, self.to?.version);
        (self.is_other_image && from != to).then_some((from, to))
    }
}

/// What data says that no container is on any more. Only root can read volumes.
async fn left_behind(instance: &Instance, blueprint: &Blueprint) -> Result<Option<Vec<u8>>, Error> {
    let Some(source) = blueprint.mounts.get(DATA) else {
        return Ok(None);
    };
    let folder = match source.starts_with('/') {
        true => Some(PathBuf::from(source)),
        false => {
            let volume = instance.looker().volume(source).await?;
            volume.map(|volume| PathBuf::from(volume.mountpoint))
        }
    };
    Ok(folder.and_then(|folder| std::fs::read(folder.join(Path::new(DATA_VERSION))).ok()))
}

/// What stands in the way of the version that is declared, and what there is to know about the way there.
pub(super) fn judge(instance: &Instance, site: &Site) -> (Vec<Problem>, Vec<String>) {
    let (refusal, notes) = match weigh(site.versions) {
        Ok(()) => (None, steps(site.versions, instance.spec.upgrade.as_ref())),
        Err(message) => (Some(message), Vec::new()),
    };
    let refusal = refusal.map(|message| ("docker.image", message));
    let declares_backup = instance.spec.backup.is_some();
    let lacking = lacks_backup(site.versions, declares_backup, instance.spec.upgrade.as_ref());
    let lacking = lacking.map(|message| ("upgrade.backup", message));
    let problems = refusal.into_iter().chain(lacking);
    let problems = problems.map(|(field, message)| Problem {
        address: instance.address(),
        field: Some(field.into()),
        message,
    });
    (problems.collect(), notes)
}

/// Why no backup could be made before a change of version, where one is to be made.
fn lacks_backup(versions: Versions, is_declared: bool, spec: Option<&Upgrade>) -> Option<String> {
    let is_lacking = versions.change().is_some() && makes_backup(spec) && !is_declared;
    is_lacking.then(|| {
        "a backup is made before an upgrade, and the config does not say where to: add `backup: {to: {directory: PATH}}` \
         under `deploy`, or decline with `upgrade: {backup: false}`"
            .to_owned()
    })
}

/// Why data of one version cannot be used by the other.
fn weigh(versions: Versions) -> Result<(), String> {
    let Some(from) = versions.from.filter(|_| versions.is_other_image) else {
        return Ok(());
    };
    let Some(to) = versions.to else {
        return Err(format!(
            "the image's name does not tell which version of GitLab it is, and what is there is {}: write the tag \
             before the digest, as in `gitlab/gitlab-ce:18.8.4-ce.0@sha256:…`",
            from.version
        ));
    };
    if (from.edition, to.edition) == (Some(Edition::Ee), Some(Edition::Ce)) {
        return Err(
            "an instance of the Enterprise Edition cannot run as Community Edition before it is prepared by hand: \
             follow https://docs.gitlab.com/update/convert_to_ee/revert/, or declare an image of `gitlab-ee`"
                .into(),
        );
    }
    let (from, to) = (from.version, to.version);
    if to < from {
        return Err(format!(
            "GitLab cannot go back from {from} to {to}, as its database cannot: restore a backup that was made with \
             {to} (`autogit backup restore`), or declare {from} or later"
        ));
    }
    match stops::path(from, to).as_slice() {
        [first, _, ..] => Err(format!(
            "GitLab cannot be upgraded from {from} to {to} at once: deploy the last patch of {first} first ({})",
            way(from, to)
        )),
        _ => Ok(()),
    }
}

/// The whole way, as people write it: `18.2.4 → 18.5.x → 18.8.4`.
fn way(from: Version, to: Version) -> String {
    let path = stops::path(from, to);
    let between = path[..path.len() - 1].iter().map(|stop| format!("{stop}.x"));
    let whole: Vec<_> = [from.to_string()]
        .into_iter()
        .chain(between)
        .chain([to.to_string()])
        .collect();
    whole.join(" → ")
}

/// The steps of a change of version, and what else there is to know of it.
fn steps(versions: Versions, spec: Option<&Upgrade>) -> Vec<String> {
    let mut notes = Vec::new();
    let edition = |release: Option<Release>| release.and_then(|release| release.edition);
    let becomes_enterprise =
        (edition(versions.from), edition(versions.to)) == (Some(Edition::Ce), Some(Edition::Ee));
    if becomes_enterprise && versions.is_other_image {
        notes.push("the Community Edition becomes the Enterprise Edition: the way back is long".to_owned());
    }
    let Some((from, to)) = versions.change() else {
        return notes;
    };
    if becomes_enterprise {
        notes.push(format!(
            "GitLab recommends to change the edition at {from} first, and the version after that"
        ));
    }
    notes.push(format!("upgrade {from} → {to}, in this order:"));
    let mut steps = Vec::new();
    if is_more_than_a_patch(from, to) {
        steps.push(format!("the settings are checked against {to}"));
        let within = crate::config::deploy::Duration(migrations_within(spec));
        steps.push(format!(
            "background migrations of {from} are awaited, up to {within}"
        ));
    }
    steps.push(match makes_backup(spec) {
        true => "a backup is made".to_owned(),
        false => "no backup is made (`upgrade: {backup: false}`)".to_owned(),
    });
    steps.push(
        "the container is made anew, and database migrations run as it starts: users are cut off until it is ready, \
         5 to 20 minutes as a rule"
            .to_owned(),
    );
    if is_more_than_a_patch(from, to) {
        steps.push("background migrations go on while it is in use; the next upgrade awaits them".to_owned());
    }
    let numbered = steps.into_iter().enumerate();
    notes.extend(numbered.map(|(number, step)| format!("  {}. {step}", number + 1)));
    if is_more_than_a_patch(from, to) {
        notes.push(format!(
            "what else changes: https://docs.gitlab.com/update/versions/gitlab_{}_changes/",
            to.major
        ));
    }
    let conditional = Stop { major: 17, minor: 1 };
    if from.minor() < conditional && conditional < to.minor() {
        notes.push(
            "an instance with many pipelines has to stop at 17.1 too: \
             https://docs.gitlab.com/update/versions/gitlab_17_changes/#long-running-pipeline-messages-data-change"
                .to_owned(),
        );
    }
    notes
}

fn is_more_than_a_patch(from: Version, to: Version) -> bool {
    from.minor() != to.minor()
}

fn makes_backup(spec: Option<&Upgrade>) -> bool {
    spec.and_then(|spec| spec.backup).unwrap_or(true)
}

fn migrations_within(spec: Option<&Upgrade>) -> Duration {
    let within = spec.and_then(|spec| spec.migrations_within);
    within.map_or(MIGRATIONS_WITHIN, |within| within.0)
}

/// What has to be done while the old version still runs. Nothing is changed, but for the backup that is made.
pub(super) async fn prepare(
    instance: &Instance,
    site: &Site,
    _step: &Step,
    heard: &dyn Heard,
) -> Result<(), Error> {
    let Some((from, to)) = site.versions.change() else {
        return Ok(());
    };
    let spec = instance.spec.upgrade.as_ref();
    let is_minor = is_more_than_a_patch(from, to);
    if !is_minor && !makes_backup(spec) {
        return Ok(());
    }
    // The old container was stopped only after all this was done.
    if instance.place.being_replaced()?.is_some() {
        return Ok(());
    }
    must_run(instance, from).await?;
    if is_minor {
        heard.phase(&format!("checking the settings against {to}"));
        check_settings(instance, to).await?;
        migrations::wait(instance, migrations_within(spec), heard).await?;
    }
    if makes_backup(spec) {
        heard.phase(&format!("backing up {from}"));
        backup::create(instance, heard).await?;
    }
    Ok(())
}

/// Tells what is left to do in the background once the new version is ready.
pub(super) async fn conclude(instance: &Instance, site: &Site, heard: &dyn Heard) {
    if site
        .versions
        .change()
        .is_some_and(|(from, to)| is_more_than_a_patch(from, to))
    {
        migrations::report(instance, heard).await;
    }
}

/// Only a GitLab that runs can be asked, and backed up.
async fn must_run(instance: &Instance, version: Version) -> Result<(), Error> {
    let found = instance.looker().container(instance.name()).await?;
    let running = found
        .and_then(|found| found.state)
        .and_then(|state| state.running);
    match running {
        Some(true) => Ok(()),
        _ => Err(Error::failed(
            format!(
                "failed to prepare the upgrade: the container {} does not run, so {version} can neither end its \
                 background migrations nor be backed up",
                instance.name()
            ),
            format!("apply with the image of {version} first, which brings it up; then change the image"),
        )),
    }
}

/// Asks GitLab whether its settings hold anything that the next version no longer takes.
async fn check_settings(instance: &Instance, to: Version) -> Result<(), Error> {
    let hands = Hands::new(instance.looker().clone());
    let version = to.to_string();
    let command = ["gitlab-ctl", "check-config", "--version", &version];
    let output = hands.exec(instance.name(), &command, None, |_| ()).await?;
    if output.success() {
        return Ok(());
    }
    Err(Error::failed(
        format!(
            "failed to prepare the upgrade: the settings have what GitLab {to} no longer takes:\n{}",
            Hide::of(&instance.place)?.from(&said(&output))
        ),
        "remove it from `gitlab.deploy.omnibus` and apply that with the image as it was; then change the image",
    ))
}

/// The end of all that a program wrote: these write what is wrong to standard output, and warnings to standard error.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    match lines.is_empty() {
        true => output.tail(),
        false => lines[lines.len().saturating_sub(20)..].join("\n"),
    }
}

#[cfg(test)]
mod tests;
