//! The image that the tests deploy: the stand-in, built when its sources changed, or the one that the environment names.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::engine::docker;
use crate::support;

/// The release that tests deploy unless they say another.
pub const RELEASE: &str = "18.8.4-ce.0";

/// All that the stand-in is built for: stops of GitLab's upgrade path, a patch between them, and an Enterprise Edition.
const RELEASES: [&str; 6] = [
    RELEASE,
    "18.8.5-ce.0",
    "18.11.1-ce.0",
    "18.5.3-ce.0",
    "18.2.4-ce.0",
    "18.8.4-ee.0",
];

/// What the names of the stand-ins that tests build begin with; what tells their sources apart follows.
const NAME: &str = "autogit-standin/";

/// The image that the environment names in place of the stand-in.
pub(super) fn given() -> Option<String> {
    std::env::var("AUTOGIT_GITLAB_IMAGE").ok()
}

/// The image to deploy: the one that the environment names, or the stand-in of [`RELEASE`].
pub fn image() -> String {
    given().unwrap_or_else(|| of(RELEASE))
}

/// The stand-in of a release; built the first time that this is asked.
pub fn of(release: &str) -> String {
    static BUILT: OnceLock<String> = OnceLock::new();
    assert!(RELEASES.contains(&release), "there is no stand-in of {release}");
    format!("{}:{release}", BUILT.get_or_init(built))
}

/// The name of the stand-in of these sources, without its tags, which are there now.
fn built() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Of the sources, not of the program: that changes with every build of AutoGit.
    let name = format!("{NAME}{}", digest(root));
    if RELEASES
        .iter()
        .all(|release| is_there(&format!("{name}:{release}")))
    {
        return name;
    }
    let output = Command::new(root.join("tests/standin/build.sh"))
        .args([&name, env!("CARGO_BIN_EXE_autogit")])
        .args(RELEASES)
        .output()
        .expect("the script runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "failed to build the stand-in: {said}");
    remove_former(&name);
    name
}

fn is_there(image: &str) -> bool {
    let inspected = Command::new("docker").args(["image", "inspect", image]).output();
    inspected.is_ok_and(|output| output.status.success())
}

/// What tells the stand-in of these sources from others: eight digits.
fn digest(root: &Path) -> String {
    let mut files: Vec<PathBuf> = ["tests/standin", "crates/gitlab-sandbox/src"]
        .iter()
        .flat_map(|folder| support::files(&root.join(folder)))
        .collect();
    files.push(root.join("src/cli/sandbox.rs"));
    files.sort();
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for file in files {
        context.update(
            file.strip_prefix(root)
                .expect("it is below")
                .as_os_str()
                .as_encoded_bytes(),
        );
        context.update(&std::fs::read(&file).unwrap());
    }
    let digest = context.finish();
    digest.as_ref()[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Removes stand-ins that tests of this checkout built of former sources, but for those in use.
fn remove_former(name: &str) {
    let checkout = format!("label=autogit.checkout={}", env!("CARGO_MANIFEST_DIR"));
    let format = "{{.Repository}}:{{.Tag}}";
    let all = docker(&["image", "ls", "--filter", &checkout, "--format", format]);
    let former = all
        .lines()
        .filter(|image| image.starts_with(NAME) && !image.starts_with(name));
    for image in former {
        // One in use stays.
        let _ = Command::new("docker").args(["image", "rm", image]).output();
    }
}
