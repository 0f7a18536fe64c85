//! The container: its image, its volumes, what it may use.

use super::super::super::shape::FieldProblem;
use super::super::Deploy;
use super::problem;

/// Tags that move from one version to the next.
const MOVING: [&str; 3] = ["latest", "nightly", "rc"];

/// The prefix of the labels by which AutoGit knows what it made.
const OURS: &str = "io.autogit.";

pub(super) fn check(deploy: &Deploy) -> Vec<FieldProblem> {
    let docker = &deploy.docker;
    let labels = docker
        .labels
        .keys()
        .filter(|label| label.starts_with(OURS))
        .map(|label| {
            let field = format!("docker.labels.{label}");
            problem(
                field,
                format!("labels that begin with `{OURS}` are AutoGit's own; remove it"),
            )
        });
    let limits = docker
        .ulimits
        .iter()
        .filter(|(_, limit)| limit.hard >= 0 && limit.soft > limit.hard);
    let limits = limits.map(|(name, limit)| {
        let field = format!("docker.ulimits.{name}.soft");
        problem(
            field,
            format!(
                "it starts above what it can be raised to; write at most {}",
                limit.hard
            ),
        )
    });
    let mut problems: Vec<_> = image(&docker.image)
        .into_iter()
        .chain(labels)
        .chain(limits)
        .collect();
    problems.extend(volumes(deploy));
    problems
}

/// Why an image cannot be deployed by this name.
fn image(image: &str) -> Option<FieldProblem> {
    let (name, digest) = match image.rsplit_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let tag = name
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .rsplit_once(':')
        .map(|(_, tag)| tag);
    let is_digest = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let complaint = match (digest, tag) {
        (Some(digest), _) if is_digest(digest) => return None,
        (Some(_), _) => "the image's digest is not one",
        (None, None | Some("")) => "the image has no tag: every pull could bring another version",
        (None, Some(tag)) if MOVING.contains(&tag) => {
            "the image's tag moves: every pull could bring another version"
        }
        (None, Some(_)) => return None,
    };
    let message = format!("{complaint}; write one like `gitlab/gitlab-ce:18.8.4-ce.0`, or a digest");
    Some(problem("docker.image", message))
}

/// What is wrong with where data is kept: three places that have nothing in common.
fn volumes(deploy: &Deploy) -> Vec<FieldProblem> {
    let volumes = deploy.docker.volumes.clone().unwrap_or_default();
    let given: Vec<_> = [
        ("config", volumes.config),
        ("logs", volumes.logs),
        ("data", volumes.data),
    ]
    .into_iter()
    .filter_map(|(field, place)| Some((field, place?)))
    .collect();
    let mut problems = Vec::new();
    for (at, (field, place)) in given.iter().enumerate() {
        let field = format!("docker.volumes.{field}");
        let others = given[..at].iter().map(|(_, other)| other);
        if !is_volume(place) && !is_directory(place) {
            let message = format!(
                "`{place}` is no name of a volume, nor the absolute path of a directory; write one like `/srv/gitlab/data`"
            );
            problems.push(problem(field, message));
        } else if let Some(other) = others
            .clone()
            .find(|other| within(place, other) || within(other, place))
        {
            let message =
                format!("`{place}` and `{other}` are one place, or one is in the other; keep them apart");
            problems.push(problem(field, message));
        }
    }
    problems
}

fn is_volume(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.len() > 1 && name.as_bytes()[0].is_ascii_alphanumeric() && name.bytes().all(is_plain)
}

/// An absolute path other than the root, without `..`. A colon would end it in what Docker is told.
fn is_directory(path: &str) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
    path.starts_with('/') && parts.peek().is_some() && !path.contains(':') && parts.all(|part| part != "..")
}

/// Whether a place is in another, or is the other.
fn within(place: &str, outer: &str) -> bool {
    let (place, outer) = (place.trim_end_matches('/'), outer.trim_end_matches('/'));
    let rest = place.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
