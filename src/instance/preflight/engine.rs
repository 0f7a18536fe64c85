//! The Docker Engine and its host: what GitLab cannot run on, and what our files cannot be read through.

use super::facts::VOLUMES;
use super::{Asked, Facts, Findings};

/// The oldest API of the Engine that is used: of Docker 19.03.
const OLDEST_API: (u32, u32) = (1, 40);

pub(super) fn judge(asked: &Asked, facts: &Facts, findings: &mut Findings) {
    judge_engine(facts, findings);
    judge_files(facts, findings);
    judge_image(asked, facts, findings);
    judge_volumes(asked, findings);
    if facts.engine.selinux && asked.is_new {
        findings.note("SELinux is on: directories of the host that are mounted are labelled for this container alone (`:Z`)");
    }
}

fn judge_engine(facts: &Facts, findings: &mut Findings) {
    let engine = &facts.engine;
    if api(&engine.api_version).is_some_and(|version| version < OLDEST_API) {
        findings.refuse(
            "docker.host",
            format!(
                "Docker {} is too old (its API is {}): AutoGit needs 19.03 or later (API {}.{})",
                engine.version, engine.api_version, OLDEST_API.0, OLDEST_API.1
            ),
        );
    }
    if !matches!(&*engine.architecture, "amd64" | "arm64") {
        findings.refuse(
            "docker.image",
            format!(
                "the host is {}, and GitLab publishes its images for amd64 and arm64 alone: deploy on such a host",
                engine.architecture
            ),
        );
    }
}

/// Whether GitLab in the container can read what AutoGit mounts into it.
fn judge_files(facts: &Facts, findings: &mut Findings) {
    let engine = &facts.engine;
    if !engine.local {
        findings.refuse(
            "docker.host",
            "the Docker Engine runs on another host, which cannot mount the files that AutoGit writes here: run \
             AutoGit on that host",
        );
    } else if engine.userns {
        findings.refuse(
            "docker.host",
            "the Docker Engine maps root of containers to another user (`userns-remap`), who cannot read the files \
             that AutoGit keeps from everybody: take `userns-remap` out of /etc/docker/daemon.json, or use rootless \
             Docker",
        );
    } else if engine.rootless && facts.is_root {
        findings.refuse(
            "docker.host",
            "AutoGit runs as root, and root of containers is another user in rootless Docker, who cannot read the \
             files that AutoGit keeps from everybody: run AutoGit as the user that Docker runs as",
        );
    }
}

fn judge_image(asked: &Asked, facts: &Facts, findings: &mut Findings) {
    let (image, host) = (&asked.blueprint.image, &facts.engine.architecture);
    match &facts.image {
        None if asked.is_made => findings.note(format!(
            "the image {image} is not on the host: it is pulled first, more than 1 GB"
        )),
        Some(architecture) if !architecture.is_empty() && architecture != host => findings.refuse(
            "docker.image",
            format!(
                "the image {image} on the host is for {architecture}, and the host is {host}: pull it again \
                 (`docker pull --platform linux/{host} {image}`)"
            ),
        ),
        _ => {}
    }
}

/// Whether each volume can be one: a name that Docker takes, or an absolute path.
fn judge_volumes(asked: &Asked, findings: &mut Findings) {
    for (field, inside) in VOLUMES {
        let Some(source) = asked.blueprint.mounts.get(inside) else {
            continue;
        };
        let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_name = source.starts_with(|first: char| first.is_ascii_alphanumeric())
            && source.len() > 1
            && source.bytes().all(is_in_name);
        if !is_name && !source.starts_with('/') {
            findings.refuse(
                field,
                format!(
                    "`{source}` is neither the name of a volume nor an absolute path: a path begins with `/`, a name \
                     holds letters, digits, `_`, `.` and `-`"
                ),
            );
        }
    }
}

/// Reads `1.41`.
fn api(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
