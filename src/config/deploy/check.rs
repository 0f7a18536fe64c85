//! What the parts of the `deploy` section have to do with each other, beyond what the schema says of each.

use url::Url;

use super::super::shape::FieldProblem;
use super::Deploy;

/// Everything that is wrong with `deploy` as the GitLab at `url`. Fields are named from `deploy` on.
pub(in crate::config) fn check(deploy: &Deploy, _url: &Url) -> Vec<FieldProblem> {
    image(&deploy.docker.image).err().into_iter().collect()
}

/// Why an image cannot be deployed by this name.
fn image(image: &str) -> Result<(), FieldProblem> {
    let tag = match image.rsplit_once('@') {
        Some((_, digest)) => digest,
        None => image
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .rsplit_once(':')
            .map_or("", |(_, tag)| tag),
    };
    let complaint = match tag {
        "" => "the image has no tag: every pull could bring another version",
        "latest" | "nightly" | "rc" => "the image's tag moves: every pull could bring another version",
        _ => return Ok(()),
    };
    Err(FieldProblem {
        field: "docker.image".into(),
        message: format!("{complaint}; write one like `gitlab/gitlab-ce:18.8.4-ce.0`, or a digest"),
    })
}
