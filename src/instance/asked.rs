//! What is asked of a container that is there. Of what AutoGit made, everything is as declared and there is nothing beside; what
//! somebody else made is left as it is where the config says nothing of it, for as long as nothing needs a new container.

use serde_json::{Map, Value};

use super::blueprint::Blueprint;
use super::place::MOUNT;
use super::rules::{Way, way};
use super::sight::Found;
use crate::config::deploy::Deploy;
use crate::core::diff::diff;
use crate::core::{Fields, Live, Present};

/// Directories that hold what cannot be made again, and what the config calls them.
const DATA: [(&str, &str); 2] = [("/etc/gitlab", "config"), ("/var/opt/gitlab", "data")];
/// Directories whose place the config can tell.
const PLACES: [(&str, &str); 3] = [DATA[0], ("/var/log/gitlab", "logs"), DATA[1]];
/// Fields that are maps of which every entry is somebody's choice.
const MAPS: [&str; 6] = ["ports", "mounts", "environment", "ulimits", "labels", "settings"];

/// The setting that GitLab looks at only before it has data.
const ROOT_PASSWORD: &str = "gitlab_rails['initial_root_password']";

/// What is asked of what is there, and what stands in its way, by the field of the config that it is about.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// The fields; `null` where nothing is to be what is there.
    pub value: Fields,
    /// What would lose data.
    pub problems: Vec<(String, String)>,
}

/// What is asked of what is there.
pub(super) fn asked(spec: &Deploy, blueprint: &Blueprint, live: &Live) -> Asked {
    let declared = blueprint.fields();
    let (Live::Present(present), Some(found)) = (live, Found::of(live)) else {
        return Asked {
            value: declared,
            problems: Vec::new(),
        };
    };
    let mut problems: Vec<_> = left_behind(spec, blueprint, present).into_iter().collect();
    let mut declared = declared;
    stay(&mut declared, present);
    let mut whole = declared.clone();
    exactly(&mut whole, &present.value, &MAPS);
    if found.is_ours {
        return Asked {
            value: whole,
            problems,
        };
    }
    let mut lenient = leniently(spec, declared);
    if found.sees_files {
        exactly(&mut lenient, &present.value, &["settings"]);
    } else {
        lenient.retain(|field, _| !field.starts_with("secrets/") && field != "certificate");
    }
    let needs = diff(&lenient, &present.value);
    // Settings and secrets reach it only through files that it does not see.
    let needs_new = needs.iter().map(way).any(|way| match found.sees_files {
        true => way == Way::Recreate,
        false => way >= Way::Reconfigure,
    });
    if !needs_new {
        return Asked {
            value: lenient,
            problems,
        };
    }
    problems.extend(within(present));
    Asked {
        value: whole,
        problems,
    }
}

/// Leaves the data where it is: a place that differs is told as a problem, and is not changed.
fn stay(asked: &mut Fields, present: &Present) {
    let live = present.value.get("mounts");
    let Some(Value::Object(mounts)) = asked.get_mut("mounts") else {
        return;
    };
    for (path, _) in DATA {
        match live.and_then(|live| live.get(path)) {
            Some(place) => mounts.insert(path.to_owned(), place.clone()),
            None => mounts.remove(path),
        };
    }
}

/// What the config says itself, of a container that it does not say everything about.
fn leniently(spec: &Deploy, mut asked: Fields) -> Fields {
    let docker = &spec.docker;
    let ports = docker.ports.clone().unwrap_or_default();
    let unsaid = [
        ("network", docker.network.is_none()),
        ("shm_size", docker.shm_size.is_none()),
        ("restart", docker.restart.is_none()),
        ("hostname", true),
        ("environment", true),
        ("healthcheck", true),
        // They are no reason for a new container.
        ("labels", true),
    ];
    asked.retain(|field, value| !value.is_null() && !unsaid.contains(&(field, true)));
    let said = [
        ("22/tcp", ports.ssh.is_some()),
        ("80/tcp", ports.http.is_some()),
        ("443/tcp", ports.https.is_some()),
    ];
    let unsaid = |port: &str| said.contains(&(port, false));
    retain(&mut asked, "ports", |port| !unsaid(port));
    let logs = docker
        .volumes
        .as_ref()
        .is_some_and(|volumes| volumes.logs.is_some());
    retain(&mut asked, "mounts", |path| {
        path != MOUNT && (logs || path != "/var/log/gitlab")
    });
    retain(&mut asked, "settings", |key| key != ROOT_PASSWORD);
    asked
}

fn retain(fields: &mut Fields, map: &str, mut keep: impl FnMut(&str) -> bool) {
    if let Some(Value::Object(entries)) = fields.get_mut(map) {
        entries.retain(|key, _| keep(key));
    }
}

/// Asks that there is nothing in these maps, and no secret, beside what is asked for.
fn exactly(asked: &mut Fields, live: &Fields, maps: &[&str]) {
    for map in maps {
        if let (Some(Value::Object(asked)), Some(Value::Object(live))) = (asked.get_mut(*map), live.get(*map))
        {
            nothing_beside(asked, live);
        }
    }
    let gone = live.keys().filter(|field| field.starts_with("secrets/"));
    for field in gone {
        asked.entry(field.clone()).or_insert(Value::Null);
    }
}

fn nothing_beside(asked: &mut Map<String, Value>, live: &Map<String, Value>) {
    for (key, live) in live {
        match (asked.get_mut(key), live) {
            (None, _) => {
                asked.insert(key.clone(), Value::Null);
            }
            (Some(Value::Object(asked)), Value::Object(live)) => nothing_beside(asked, live),
            _ => {}
        }
    }
}

/// Why a container made from the config would start without the data of the one that is there.
fn left_behind(spec: &Deploy, blueprint: &Blueprint, present: &Present) -> Option<(String, String)> {
    let live = |path: &str| present.value.get("mounts")?.get(path)?.as_str();
    let differs = |(path, _): &&(&str, &str)| live(path) != blueprint.mounts.get(*path).map(String::as_str);
    let (path, name) = DATA.iter().find(differs)?;
    let written = spec.docker.volumes.as_ref();
    let is_written = written.is_some_and(|volumes| match *name {
        "config" => volumes.config.is_some(),
        _ => volumes.data.is_some(),
    });
    let field = match is_written {
        true => format!("docker.volumes.{name}"),
        false => "docker.volumes".to_owned(),
    };
    let places = PLACES
        .iter()
        .filter_map(|(path, name)| Some(format!("{name}: {}", live(path)?)));
    let places = places.collect::<Vec<_>>().join(", ");
    let asked = blueprint
        .mounts
        .get(*path)
        .map(String::as_str)
        .unwrap_or_default();
    let container = &blueprint.name;
    Some((
        field,
        match live(path) {
            Some(place) => format!(
                "{path} of the container is on {place}, and would stay behind there: write `volumes: {{{places}}}` under \
             `docker`. To move it, stop the container, copy {place} to {asked}, and remove the container before you apply"
            ),
            None => format!(
                "{path} is within the container itself, and would be lost with it: stop the container, copy the directory \
             (`docker cp -a {container}:{path}/. DIRECTORY`), write the copy as `volumes: {{{name}: DIRECTORY}}` under \
             `docker`, and remove the container before you apply"
            ),
        },
    ))
}

/// What is mounted within the data, which no config can ask for.
fn within(present: &Present) -> Option<(String, String)> {
    let mounts = present.value.get("mounts")?.as_object()?;
    let inner = |path: &&String| {
        DATA.iter()
            .any(|(data, _)| path.strip_prefix(data).is_some_and(|rest| rest.starts_with('/')))
    };
    let path = mounts.keys().find(inner)?;
    let place = mounts[path].as_str().unwrap_or_default();
    Some((
        "docker.volumes".to_owned(),
        format!(
            "{path} of the container is on {place}, which a new container would not have: stop the container, copy what \
             {place} holds into the directory that it is mounted over, and make the container without that mount"
        ),
    ))
}
