//! What is asked of a container with GitLab in it, and done there: the live one, or one that is there to try a backup.

use std::io;

use serde::Deserialize;

use super::manifest::{Counts, Id, Release};
use super::stream::{self, Source};
use crate::instance::{Error, Heard};
use crate::live::docker::{Hands, Output};

/// What stands before our ids in the names of GitLab's archives.
const OURS: &str = "autogit_";
/// What GitLab's archives end with.
const SUFFIX: &str = "_gitlab_backup.tar";
/// Asks GitLab how much it has.
const COUNT: &str = "require 'json'; puts({ projects: Project.count, users: User.count }.to_json)\n";

/// A container with GitLab in it.
pub(super) struct Inside<'a> {
    pub hands: &'a Hands,
    /// Its name.
    pub container: &'a str,
    /// Where GitLab keeps its archives.
    pub backups: &'a str,
}

impl Inside<'_> {
    /// Which GitLab it is, running or not.
    pub async fn release(&self) -> Result<Release, Error> {
        let path = "/opt/gitlab/version-manifest.txt";
        let text = self.hands.looker().file(self.container, path).await?;
        let text = text.and_then(|text| String::from_utf8(text).ok());
        text.as_deref().and_then(Release::parse).ok_or_else(|| {
            Error::failed(
                format!(
                    "failed to tell which GitLab is in the container {}: {path} does not say",
                    self.container
                ),
                "use an image that GitLab publishes",
            )
        })
    }

    /// How much there is in it.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let output = self
            .run(&["gitlab-rails", "runner", "-"], Some(COUNT), &Silence)
            .await?;
        let output = self.succeeded("count the projects and users", output)?;
        #[derive(Deserialize)]
        struct Told {
            projects: u64,
            users: u64,
        }
        // GitLab may warn of something before.
        let text = String::from_utf8_lossy(&output.stdout);
        let told = text
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str::<Told>(line).ok());
        let told = told.ok_or_else(|| {
            let message = format!(
                "failed to count the projects and users: GitLab says {}",
                output.tail()
            );
            Error::failed(message, "see whether `autogit doctor` finds something")
        })?;
        Ok(Counts {
            projects: told.projects,
            users: told.users,
        })
    }

    /// Runs a program in it.
    pub async fn run(
        &self,
        command: &[&str],
        stdin: Option<&str>,
        heard: &dyn Heard,
    ) -> Result<Output, Error> {
        let lines = |line: &str| line.lines().for_each(|line| heard.line(line));
        let stdin = stdin.map(str::as_bytes);
        Ok(self.hands.exec(self.container, command, stdin, lines).await?)
    }

    /// The output of a program that succeeded.
    pub fn succeeded(&self, doing: &str, output: Output) -> Result<Output, Error> {
        match output.success() {
            true => Ok(output),
            false => Err(Error::failed(
                format!(
                    "failed to {doing} (exit status {}): {}",
                    output.status,
                    output.tail()
                ),
                format!(
                    "see what is wrong with `docker exec {} gitlab-ctl status` and `autogit logs`",
                    self.container
                ),
            )),
        }
    }

    /// Runs a program of GitLab's that has to succeed.
    pub async fn must(&self, doing: &str, command: &[&str], heard: &dyn Heard) -> Result<Output, Error> {
        let output = self.run(command, None, heard).await?;
        self.succeeded(doing, output)
    }

    /// Removes what runs that were killed left: their archives, and a program that nobody waits for any more.
    pub async fn tidy(&self) -> Result<(), Error> {
        // The brackets keep the shell that runs this from being what is looked for.
        let script = format!(
            "pkill -f 'create .*BACKUP=[{}]{}'; rm -f '{}/{OURS}'*'{SUFFIX}'",
            &OURS[..1],
            &OURS[1..],
            self.backups
        );
        let output = self.run(&["sh", "-c", &script], None, &Silence).await?;
        self.succeeded("remove what an earlier backup left in the container", output)?;
        Ok(())
    }

    /// Kilobytes of data that there are about, and that can be written beside it.
    pub async fn space(&self) -> Result<(u64, u64), Error> {
        let script = format!(
            "set -e; mkdir -p '{0}'; du -sk /var/opt/gitlab | cut -f1; du -sk '{0}' | cut -f1; df -Pk '{0}' | tail -n 1",
            self.backups
        );
        let output = self.run(&["sh", "-c", &script], None, &Silence).await?;
        let output = self.succeeded("see how much space there is in the container", output)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<u64> = text
            .lines()
            .take(2)
            .filter_map(|line| line.trim().parse().ok())
            .collect();
        let free = text
            .lines()
            .nth(2)
            .and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
        match (&numbers[..], free) {
            ([all, backups], Some(free)) => Ok((all.saturating_sub(*backups), free)),
            _ => Err(Error::failed(
                format!("failed to see how much space there is in the container: it says {text}"),
                "report this, with the image that you use",
            )),
        }
    }

    /// Has GitLab write its archive of a backup.
    pub async fn create(&self, id: &Id, skip: &[String], heard: &dyn Heard) -> Result<(), Error> {
        let backup = format!("BACKUP={OURS}{id}");
        let skip = format!("SKIP={}", skip.join(","));
        let mut command = vec!["gitlab-backup", "create", "CRON=1", "STRATEGY=copy", &backup];
        if skip != "SKIP=" {
            command.push(&skip);
        }
        heard.phase("backing up GitLab's data");
        self.must("back up GitLab's data", &command, heard).await?;
        Ok(())
    }

    /// Has GitLab restore from an archive that is there, while nothing else uses its database, and starts it again.
    pub async fn restore(&self, id: &Id, heard: &dyn Heard) -> Result<(), Error> {
        for service in ["puma", "sidekiq"] {
            let stop = ["gitlab-ctl", "stop", service];
            self.must(&format!("stop {service}"), &stop, heard).await?;
        }
        let backup = format!("BACKUP={OURS}{id}");
        let command = ["env", "GITLAB_ASSUME_YES=1", "gitlab-backup", "restore", &backup];
        heard.phase("restoring GitLab's data");
        self.must("restore GitLab's data", &command, heard).await?;
        // What is slow to stop makes it fail; whether GitLab is well is seen by whoever waits for it.
        self.run(&["gitlab-ctl", "restart"], None, heard).await?;
        Ok(())
    }

    /// What of the data cannot be decrypted with the secrets that are there.
    pub async fn undecryptable(&self, heard: &dyn Heard) -> Result<Option<String>, Error> {
        heard.phase("checking that the secrets fit the data");
        let doing = "see whether the secrets fit the data";
        let output = self
            .must(doing, &["gitlab-rake", "gitlab:doctor:secrets"], heard)
            .await?;
        // It succeeds whatever it finds, and has colours.
        let text = String::from_utf8_lossy(&output.stdout);
        let total = text.lines().rev().find_map(|line| {
            let (_, rest) = line.split_once("Total: ")?;
            rest.split_once(" row")?.0.trim().parse::<u64>().ok()
        });
        Ok(match total {
            Some(0) => None,
            Some(1) => Some(
                "1 row of the database cannot be decrypted: the secrets are not those of the data".into(),
            ),
            Some(rows) => Some(format!(
                "{rows} rows of the database cannot be decrypted: the secrets are not those of the data"
            )),
            None => Some(format!(
                "GitLab does not say whether the secrets fit the data: {}",
                output.tail()
            )),
        })
    }

    /// The path of GitLab's archive of a backup.
    fn archive(&self, id: &Id) -> String {
        format!("{}/{OURS}{id}{SUFFIX}", self.backups)
    }

    /// GitLab's archive of a backup, and how large it is.
    pub async fn fetch(&self, id: &Id) -> Result<(Source, u64), Error> {
        let path = self.archive(id);
        let output = self.run(&["stat", "-c", "%s", &path], None, &Silence).await?;
        let output = self.succeeded("find the archive that GitLab wrote", output)?;
        let size = String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .map_err(|_| {
                Error::failed(
                    format!(
                        "failed to tell how large {path} is: the container says {}",
                        output.tail()
                    ),
                    "report this, with the image that you use",
                )
            })?;
        let archive = Box::pin(self.hands.looker().download(self.container, &path));
        Ok((stream::only_file(archive), size))
    }

    /// Puts GitLab's archive of a backup where GitLab finds it, and can read it.
    pub async fn place(&self, id: &Id, size: u64, content: Source) -> Result<(), Error> {
        let path = self.archive(id);
        let name = format!("{OURS}{id}{SUFFIX}");
        let make = ["mkdir", "-p", self.backups];
        let made = self.run(&make, None, &Silence).await?;
        self.succeeded("make the directory of backups in the container", made)?;
        let archive = stream::archive_of(&name, size, content).map_err(|error| pack(&name, error))?;
        self.hands.upload(self.container, self.backups, archive).await?;
        let owned = self.run(&["chown", "git:git", &path], None, &Silence).await?;
        self.succeeded("give the archive to GitLab's user", owned)?;
        Ok(())
    }
}

/// Why something could not be packed.
fn pack(name: &str, error: io::Error) -> Error {
    Error::failed(format!("failed to pack {name}: {error}"), "report this")
}

/// For programs whose output is read, not heard.
pub(super) struct Silence;

impl Heard for Silence {
    fn phase(&self, _: &str) {}

    fn line(&self, _: &str) {}
}
