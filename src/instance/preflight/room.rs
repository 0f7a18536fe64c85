//! Memory and disk: whether there is enough, and whether it can be written on.

use std::path::Path;

use super::facts::directories;
use super::{Asked, Facts, Findings};
use crate::config::deploy::{Profile, Size};

const GIB: u64 = 1 << 30;

/// Bytes of disk below which nothing is begun: the image takes 4 GB, GitLab's own data and logs as much soon.
const LEAST_DISK: u64 = 10 * GIB;
/// Bytes of disk below which somebody should know.
const LITTLE_DISK: u64 = 25 * GIB;

pub(super) fn judge(asked: &Asked, facts: &Facts, findings: &mut Findings) {
    judge_memory(asked, facts, findings);
    judge_disk(asked, facts, findings);
    judge_directories(asked, facts, findings);
}

fn judge_memory(asked: &Asked, facts: &Facts, findings: &mut Findings) {
    let Size(enough) = asked.profile.memory();
    let Size(least) = asked.profile.least_memory();
    let needs = format!(
        "the profile `{}` takes {}",
        asked.profile.name(),
        gibibytes(enough)
    );
    let host = facts.engine.memory;
    let remedy = match asked.profile {
        Profile::Minimal => "give it more",
        _ => "take a smaller `profile`, or give it more",
    };
    if let Some(limit) = asked.blueprint.memory {
        if limit < least {
            let message = format!("{} of memory are too little: {needs}; {remedy}", gibibytes(limit));
            findings.refuse("docker.limits.memory", message);
        } else if limit > host && asked.is_new {
            findings.note(format!(
                "the limit of memory is more than the host has ({}): it limits nothing",
                gibibytes(host)
            ));
        }
    }
    // One that runs already shows that it can.
    if host < least && asked.is_new {
        let message = format!(
            "the host has {} of memory, and {needs}: {remedy}",
            gibibytes(host)
        );
        findings.refuse("docker.profile", message);
    } else if asked.is_new && host < asked.profile.told_memory().0 {
        let swap = match facts.swap {
            Some(0) => ", and no swap: add at least 2 GiB of it",
            _ => "",
        };
        findings.note(format!(
            "the host has little memory, {}: {needs}{swap}",
            gibibytes(host)
        ));
    }
}

fn judge_disk(asked: &Asked, facts: &Facts, findings: &mut Findings) {
    if !asked.is_made {
        return;
    }
    let data = directories(asked.blueprint).find(|(field, _)| *field == "docker.volumes.data");
    let root = Path::new(&facts.engine.root_dir);
    let (field, path, remedy) = match data {
        Some((field, path)) => (field, path, "or name a directory on a larger disk"),
        None => (
            "docker.volumes",
            root,
            "or name a directory on a larger disk for `volumes: {data: …}`",
        ),
    };
    let Some(filesystem) = facts.filesystems.get(path) else {
        return;
    };
    let free = gibibytes(filesystem.free);
    if filesystem.free < LEAST_DISK && asked.is_new {
        findings.refuse(
            field,
            format!(
                "{free} are free in {}, and GitLab needs {} to begin with: make room, {remedy}",
                path.display(),
                gibibytes(LEAST_DISK)
            ),
        );
    } else if filesystem.free < LITTLE_DISK {
        findings.note(format!(
            "{free} are free in {}: less than {} are soon full of repositories, artifacts and backups",
            path.display(),
            gibibytes(LITTLE_DISK)
        ));
    }
}

fn judge_directories(asked: &Asked, facts: &Facts, findings: &mut Findings) {
    for (field, path) in directories(asked.blueprint) {
        let Some(directory) = facts.directories.get(path) else {
            continue;
        };
        let filesystem = facts.filesystems.get(path);
        let is_read_only = filesystem.is_some_and(|filesystem| filesystem.read_only);
        let path = path.display();
        // Root's Engine makes what is not there, and root of its containers writes, whoever owns the directory.
        let must_write = facts.engine.rootless;
        if !directory.is_directory {
            findings.refuse(
                field,
                format!("{path} is not a directory: name one, or a path that is not there yet"),
            );
        } else if is_read_only {
            findings.refuse(
                field,
                format!("{path} is on a filesystem that is mounted read-only: mount it so that it can be written on"),
            );
        } else if must_write && !directory.is_writable {
            let what = match directory.is_there {
                true => format!("{path} cannot be written in: `sudo chown $(id -u) {path}`"),
                false => {
                    format!("{path} is not there, and cannot be made: `sudo install -d -o $(id -u) {path}`")
                }
            };
            findings.refuse(field, what);
        }
    }
}

/// Bytes as people say them, to a tenth.
fn gibibytes(bytes: u64) -> String {
    let tenths = bytes * 10 / GIB;
    match tenths % 10 {
        0 => format!("{} GiB", tenths / 10),
        rest => format!("{}.{rest} GiB", tenths / 10),
    }
}
