//! Real git against the server: who may fetch, who may push, and what protected branches refuse.

use std::{path::Path, process::Output};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    app::Edition,
    fixture::{Forge, PROJECT},
    git::refs,
    store::{Grantee, Visibility},
};

const DEVELOPERS: Grantee = Grantee::Role(30);
const MAINTAINERS: Grantee = Grantee::Role(40);
const NO_ONE: Grantee = Grantee::Role(0);

/// A working tree with a clone of `acme/app`.
struct Clone {
    dir: TempDir,
    url: String,
}

async fn git(dir: &Path, args: &[&str]) -> Output {
    Command::new("git")
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .current_dir(dir)
        .env_remove("GIT_DIR")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", dir)
        .output()
        .await
        .expect("git runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn url(forge: &Forge, user: &str) -> String {
    forge
        .url
        .replace("http://", &format!("http://oauth2:{}@", Forge::token(user)))
        + "/acme/app.git"
}

impl Clone {
    /// A repository of its own, with one commit on `main`.
    async fn start(forge: &Forge) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let clone = Self {
            dir,
            url: url(forge, "maintainer"),
        };
        clone.ok(&["init", "--quiet"]).await;
        clone.commit("first").await;
        clone
    }

    async fn ok(&self, args: &[&str]) {
        let output = git(self.dir.path(), args).await;
        assert!(output.status.success(), "git {args:?}: {}", stderr(&output));
    }

    async fn commit(&self, message: &str) {
        self.ok(&["commit", "--quiet", "--allow-empty", "-m", message])
            .await;
    }

    /// Pushes as that user; `Err` holds what git printed.
    async fn push(&self, forge: &Forge, user: &str, args: &[&str]) -> Result<(), String> {
        let url = url(forge, user);
        let output = git(self.dir.path(), &[&["push", &url], args].concat()).await;
        if output.status.success() {
            Ok(())
        } else {
            Err(stderr(&output))
        }
    }
}

fn assert_refused(result: Result<(), String>, message: &str) {
    let error = result.expect_err("the push is refused");
    assert!(error.contains(message), "{error}");
}

async fn serving() -> Forge {
    let mut forge = Forge::new(Edition::Ce).await;
    forge.serve();
    forge
}

fn default_branch(forge: &Forge) -> Option<String> {
    forge
        .app
        .read()
        .projects
        .get(PROJECT)
        .expect("the project")
        .default_branch
        .clone()
}

#[tokio::test]
async fn a_first_push_sets_the_default_branch_and_a_clone_follows_it() {
    let forge = serving().await;
    let clone = Clone::start(&forge).await;
    clone
        .push(&forge, "maintainer", &["main:trunk"])
        .await
        .expect("pushed");
    assert_eq!(default_branch(&forge).as_deref(), Some("trunk"));
    assert_eq!(
        refs::head(&forge.app.repository_path(PROJECT)).as_deref(),
        Some("trunk")
    );

    let other = tempfile::tempdir().expect("a temporary directory");
    // Without `.git`: the server sends git to the address with it.
    let url = clone.url.trim_end_matches(".git");
    let output = git(other.path(), &["clone", "--quiet", url, "copy"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let branch = git(&other.path().join("copy"), &["symbolic-ref", "--short", "HEAD"]).await;
    assert_eq!(String::from_utf8_lossy(&branch.stdout).trim(), "trunk");
}

#[tokio::test]
async fn a_developer_may_not_make_the_first_push() {
    let forge = serving().await;
    let clone = Clone::start(&forge).await;
    let refused = clone.push(&forge, "developer", &["main"]).await;
    assert_refused(
        refused,
        "A default branch (e.g. main) does not yet exist for acme/app",
    );
    assert_eq!(default_branch(&forge), None);
}

#[tokio::test]
async fn roles_decide_who_fetches_and_who_pushes() {
    let forge = serving().await;
    let clone = Clone::start(&forge).await;
    clone.push(&forge, "maintainer", &["main"]).await.expect("pushed");

    let fetch = async |url: &str| git(clone.dir.path(), &["ls-remote", url]).await;
    for (user, allowed) in [("reporter", true), ("guest", false), ("stranger", false)] {
        let output = fetch(&url(&forge, user)).await;
        assert_eq!(output.status.success(), allowed, "{user}: {}", stderr(&output));
    }
    let anonymous = format!("{}/acme/app.git", forge.url);
    assert!(stderr(&fetch(&anonymous).await).contains("could not read Username"));
    let wrong = forge.url.replace("http://", "http://x:wrong@") + "/acme/app.git";
    assert!(stderr(&fetch(&wrong).await).contains("Authentication failed"));

    clone
        .push(&forge, "developer", &["main:topic"])
        .await
        .expect("pushed");
    let refused = clone.push(&forge, "reporter", &["main:topic2"]).await;
    assert_refused(refused, "403");

    forge
        .app
        .write(|store| {
            store
                .projects
                .update(PROJECT, |project| project.visibility = Visibility::Public);
            Ok(())
        })
        .expect("a log");
    assert!(
        fetch(&anonymous).await.status.success(),
        "anybody fetches from a public project"
    );
}

#[tokio::test]
async fn protected_branches_refuse_in_gitlabs_words() {
    let forge = serving().await;
    let clone = Clone::start(&forge).await;
    clone
        .push(&forge, "maintainer", &["main", "main:frozen", "main:release/1"])
        .await
        .expect("pushed");
    forge.protect("main", &[MAINTAINERS], &[DEVELOPERS], false);
    forge.protect("frozen", &[NO_ONE], &[MAINTAINERS], false);
    forge.protect("release/*", &[DEVELOPERS], &[MAINTAINERS], true);
    clone.commit("second").await;

    const PUSH: &str = "GitLab: You are not allowed to push code to protected branches on this project.";
    assert_refused(clone.push(&forge, "developer", &["main"]).await, PUSH);
    assert_refused(clone.push(&forge, "maintainer", &["main:frozen"]).await, PUSH);
    clone
        .push(&forge, "maintainer", &["main"])
        .await
        .expect("maintainers push to main");
    clone
        .push(&forge, "developer", &["main:release/1", "main:release/2/x"])
        .await
        .expect("developers push to releases");

    clone
        .ok(&["commit", "--quiet", "--amend", "--allow-empty", "-m", "rewritten"])
        .await;
    const FORCE: &str =
        "GitLab: You are not allowed to force push code to a protected branch on this project.";
    assert_refused(
        clone.push(&forge, "maintainer", &["--force", "main"]).await,
        FORCE,
    );
    clone
        .push(&forge, "developer", &["--force", "main:release/1"])
        .await
        .expect("forced where that is allowed");
    clone
        .push(&forge, "developer", &["main:topic"])
        .await
        .expect("pushed");

    forge.protect("hotfix*", &[NO_ONE], &[NO_ONE], false);
    let created = clone.push(&forge, "maintainer", &["main:hotfix-1"]).await;
    assert_refused(
        created,
        "GitLab: You are not allowed to create protected branches on this project.",
    );
    let deleted = clone.push(&forge, "maintainer", &["--delete", "frozen"]).await;
    assert_refused(
        deleted,
        "GitLab: You can only delete protected branches using the web interface.",
    );
    let deleted = clone.push(&forge, "maintainer", &["--delete", "main"]).await;
    assert_refused(
        deleted,
        "GitLab: The default branch of a project cannot be deleted.",
    );
    let before = refs::branch_names(&forge.app.repository_path(PROJECT));
    assert_eq!(
        before.iter().map(String::as_str).collect::<Vec<_>>(),
        ["frozen", "main", "release/1", "release/2/x", "topic"]
    );
}

#[tokio::test]
async fn rules_that_cover_one_branch_allow_what_any_of_them_allows() {
    let forge = serving().await;
    let clone = Clone::start(&forge).await;
    clone.push(&forge, "maintainer", &["main"]).await.expect("pushed");
    forge.protect("main", &[NO_ONE], &[NO_ONE], false);
    clone.commit("second").await;
    clone
        .push(&forge, "developer", &["main"])
        .await
        .expect_err("no one pushes to main");
    forge.protect("m*", &[DEVELOPERS], &[NO_ONE], false);
    clone
        .push(&forge, "developer", &["main"])
        .await
        .expect("the wildcard lets developers in");
}

#[tokio::test]
async fn an_archived_project_takes_no_push() {
    let forge = serving().await;
    let clone = Clone::start(&forge).await;
    clone.push(&forge, "maintainer", &["main"]).await.expect("pushed");
    forge
        .app
        .write(|store| {
            store.projects.update(PROJECT, |project| project.archived = true);
            Ok(())
        })
        .expect("a log");
    clone.commit("second").await;
    assert_refused(clone.push(&forge, "maintainer", &["main"]).await, "403");
    assert!(
        git(clone.dir.path(), &["ls-remote", &clone.url])
            .await
            .status
            .success()
    );
}

#[tokio::test]
async fn large_packs_and_large_negotiations_pass() {
    let forge = serving().await;
    let clone = Clone::start(&forge).await;
    // Random bytes do not compress: the pack is chunked, and larger than any buffer on its way.
    let mut bytes = vec![0; 8 << 20];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).expect("random bytes");
    std::fs::write(clone.dir.path().join("large"), &bytes).expect("written");
    clone.ok(&["add", "large"]).await;
    clone.commit("large").await;
    for number in 0..40 {
        clone.ok(&["branch", &format!("b{number}")]).await;
        clone.commit(&format!("{number}")).await;
    }
    clone
        .push(&forge, "maintainer", &["--all"])
        .await
        .expect("pushed");
    let other = tempfile::tempdir().expect("a temporary directory");
    // Version 0 sends all that it has and wants at once, which git then compresses.
    let output = git(
        other.path(),
        &["-c", "protocol.version=0", "clone", "--quiet", &clone.url, "copy"],
    )
    .await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        std::fs::read(other.path().join("copy/large")).expect("cloned"),
        bytes
    );
}
