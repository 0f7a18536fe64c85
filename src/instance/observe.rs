//! What is there: the container as Docker tells it, and the files that it was given. Everything that needs no other answer is
//! asked for at the same time.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use bollard::models::ImageInspect;
use futures_util::future::{FutureExt, OptionFuture};
use futures_util::try_join;
use secrecy::SecretString;

use super::bootstrap::today;
use super::place::{MOUNT, failed};
use super::sight::{Kept, Sight, included};
use super::{Blueprint, Error, Instance, Place};
use crate::core::Live;
use crate::live::docker::Looker;
use crate::live::files;

/// The settings that the container keeps in its own volume.
const GITLAB_RB: &str = "/etc/gitlab/gitlab.rb";

/// What is there of the instance.
pub(super) async fn observe(instance: &Instance, blueprint: &Blueprint) -> Result<Live, Error> {
    let looker = instance.looker();
    let name = &blueprint.name;
    let replaced = instance.place.being_replaced()?;
    let replaced: OptionFuture<_> = replaced.as_deref().map(|id| looker.container(id)).into();
    let (named, replaced, image, network, gitlab_rb) = try_join!(
        looker.container(name),
        replaced.map(Option::transpose),
        looker.image(&blueprint.image),
        looker.network(&blueprint.network),
        looker.file(name, GITLAB_RB),
    )?;
    let replaced = replaced.flatten();
    let is_named = named.is_some();
    let left = replaced.as_ref().filter(|replaced| {
        let named = named.as_ref().and_then(|named| named.id.as_ref());
        named != replaced.id.as_ref()
    });
    let left = left.and_then(|left| Some(left.name.as_ref()?.trim_start_matches('/').to_owned()));
    let Some(container) = named.or(replaced) else {
        return Ok(Live::Absent);
    };
    let mut sight = Sight {
        replaced: left,
        network,
        gitlab_rb: gitlab_rb.map(text),
        ..Sight::new(container)
    };
    let (made_from, included, gitlab_rb) = try_join!(
        made_from(looker, &sight.image_id, image.as_ref()),
        settings_file(instance, &sight),
        // It was asked for by a name that nothing bears.
        file(looker, (!is_named).then_some(&*sight.container), GITLAB_RB),
    )?;
    sight.kept = keep(instance, &sight.container)?;
    sight.gitlab_rb = sight.gitlab_rb.or(gitlab_rb);
    sight.made_from = made_from;
    sight.included = included;
    sight.image = image;
    Ok(Live::Present(sight.present(blueprint)))
}

/// Whether the data of an instance is there already.
pub(super) async fn has_data(instance: &Instance, blueprint: &Blueprint) -> Result<bool, Error> {
    let data = &blueprint.mounts["/var/opt/gitlab"];
    match data.starts_with('/') {
        true => Ok(std::fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some())),
        false => Ok(instance.looker().volume(data).await?.is_some()),
    }
}

async fn file(looker: &Looker, container: Option<&str>, path: &str) -> Result<Option<String>, Error> {
    let read: OptionFuture<_> = container.map(|container| looker.file(container, path)).into();
    Ok(read.await.transpose()?.flatten().map(text))
}

/// The image that a container was made from, which mostly is the one that is declared.
async fn made_from(
    looker: &Looker,
    id: &str,
    declared: Option<&ImageInspect>,
) -> Result<Option<ImageInspect>, Error> {
    match declared.filter(|image| image.id.as_deref() == Some(id)) {
        Some(image) => Ok(Some(image.clone())),
        None => Ok(looker.image(id).await?),
    }
}

/// What `GITLAB_OMNIBUS_CONFIG` reads: the file that AutoGit wrote, or one that is only in the container.
async fn settings_file(instance: &Instance, sight: &Sight) -> Result<Option<String>, Error> {
    let place = &instance.place;
    let Some(path) = sight.omnibus_config().and_then(included) else {
        return Ok(None);
    };
    let mounted = sight.mounts.iter().any(|mount| {
        let source = mount.source.as_deref().unwrap_or_default();
        mount.destination.as_deref() == Some(MOUNT) && place.mounted() == *source
    });
    match path.strip_prefix(MOUNT).filter(|_| mounted) {
        Some(_) => read(&place.gitlab_rb()),
        None => file(instance.looker(), Some(&sight.container), path).await,
    }
}

/// What AutoGit keeps beside the config.
fn keep(instance: &Instance, container: &str) -> Result<Kept, Error> {
    let place = &instance.place;
    let lacks = match instance.token_is_ours() {
        true => place.token_lacks(today())?,
        false => None,
    };
    Ok(Kept {
        id: place.own_id()?,
        secrets: secrets(place)?,
        is_applied: place.is_applied(container)?,
        token_lacks: lacks,
    })
}

/// The secrets that GitLab reads, by the name of their file.
fn secrets(place: &Place) -> Result<BTreeMap<String, SecretString>, Error> {
    let folder = place.mounted().join("secrets");
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(|error| failed("read", &folder, error))?,
    };
    let mut secrets = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| failed("read", &folder, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        if let (Some(name), Some(secret)) = (name, read(&path)?) {
            secrets.insert(name, secret.into());
        }
    }
    Ok(secrets)
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    let content = files::read(path).map_err(|error| failed("read", path, error))?;
    Ok(content.map(text))
}

fn text(content: Vec<u8>) -> String {
    String::from_utf8_lossy(&content).into_owned()
}
