//! What holds schedules on this host: systemd for root, systemd for a user, or cron.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::text::{self, Schedule};
use super::{fields, present};
use crate::core::{Action, Fields, Live};
use crate::instance::Error;
use crate::live::files;

/// What holds schedules, and the name of ours in it.
pub(super) enum Manager {
    Systemd {
        unit: String,
        /// Where unit files are.
        folder: PathBuf,
        /// Of the host, not of a user.
        system: bool,
    },
    Cron {
        unit: String,
    },
    None,
}

impl Manager {
    /// What there is on this host.
    pub fn of_this_host(unit: String) -> Self {
        // Source: sd_booted(3).
        let systemd = Path::new("/run/systemd/system").is_dir();
        let system = rustix::process::geteuid().is_root();
        let home = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
        match (systemd, system, home) {
            (true, true, _) => Manager::Systemd {
                unit,
                folder: "/etc/systemd/system".into(),
                system,
            },
            (true, false, Some(home)) => Manager::Systemd {
                unit,
                folder: home.join("systemd/user"),
                system,
            },
            _ if is_installed("crontab") => Manager::Cron { unit },
            _ => Manager::None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Manager::Systemd { system: true, .. } => "systemd",
            Manager::Systemd { system: false, .. } => "systemd of this user",
            Manager::Cron { .. } => "cron",
            Manager::None => "nothing",
        }
    }

    /// What identifies the schedule.
    pub fn id(&self) -> String {
        match self {
            Manager::Systemd { unit, .. } => format!("{unit}.timer"),
            Manager::Cron { unit } => unit.clone(),
            Manager::None => String::new(),
        }
    }

    /// What a schedule is to be here.
    pub fn fields(&self, schedule: &Schedule) -> Fields {
        fields(self.name(), &schedule.schedule, &schedule.runs(), true, true)
    }

    /// What there is to know before a step.
    pub fn note(&self, action: Action) -> Option<&'static str> {
        match (self, action) {
            (Manager::Systemd { system: false, .. }, Action::Create) => Some(
                "it runs only while this user is signed in, unless `loginctl enable-linger` was run once",
            ),
            _ => None,
        }
    }

    /// What is there. Where it is as `wanted`, it is told in the same words.
    pub async fn observe(&self, wanted: Option<&Schedule>) -> Result<Live, Error> {
        match self {
            Manager::None => Ok(Live::Absent),
            Manager::Cron { unit } => {
                let found = text::block(&crontab().await?, unit);
                let asked = wanted.map(Schedule::line);
                Ok(match found {
                    None => Live::Absent,
                    Some(line) => present(self.id(), self.cron_fields(&line, asked.as_deref(), wanted)),
                })
            }
            Manager::Systemd {
                unit, folder, system, ..
            } => {
                let read = |kind: &str| read(&folder.join(format!("{unit}.{kind}")));
                let (service, timer) = (read("service")?, read("timer")?);
                if service.is_none() && timer.is_none() {
                    return Ok(Live::Absent);
                }
                let (service, timer) = (service.unwrap_or_default(), timer.unwrap_or_default());
                let enabled = self.holds("is-enabled").await? && self.holds("is-active").await?;
                let times = text::values(&timer, "OnCalendar");
                let runs = text::values(&service, "ExecStart");
                let same = wanted.map(|wanted| {
                    (
                        wanted.cron.on_calendar() == times,
                        [wanted.exec_start()] == *runs,
                        wanted.service(*system) == service && wanted.timer() == timer,
                    )
                });
                let (same_times, same_runs, same_all) = same.unwrap_or_default();
                let told = |same: bool, own: fn(&Schedule) -> String, found: &[&str]| match (same, wanted) {
                    (true, Some(wanted)) => own(wanted),
                    _ => found.join("; "),
                };
                let schedule = told(same_times, |wanted| wanted.schedule.clone(), &times);
                let runs = told(same_runs, Schedule::runs, &runs);
                // What differs and is told already is not told twice.
                let as_written = same_all || !same_times || !same_runs;
                Ok(present(
                    self.id(),
                    fields(self.name(), &schedule, &runs, enabled, as_written),
                ))
            }
        }
    }

    fn cron_fields(&self, line: &str, asked: Option<&str>, wanted: Option<&Schedule>) -> Fields {
        if let (Some(wanted), true) = (wanted, asked == Some(line)) {
            return self.fields(wanted);
        }
        let parts: Vec<&str> = line.splitn(6, ' ').collect();
        match parts[..] {
            [ref times @ .., command] if times.len() == 5 => {
                let own = wanted.map(|wanted| wanted.line());
                let same = own.as_deref().and_then(|own| own.splitn(6, ' ').last()) == Some(command);
                let runs = match (same, wanted) {
                    (true, Some(wanted)) => wanted.runs(),
                    _ => command.to_owned(),
                };
                fields(self.name(), &times.join(" "), &runs, true, true)
            }
            _ => fields(self.name(), line, "", false, false),
        }
    }

    /// Makes it so.
    pub async fn write(&self, schedule: &Schedule) -> Result<(), Error> {
        match self {
            Manager::None => Ok(()),
            Manager::Cron { unit } => {
                let text = text::with_block(&crontab().await?, unit, Some(&schedule.line()));
                set_crontab(&text).await
            }
            Manager::Systemd {
                unit, folder, system, ..
            } => {
                std::fs::create_dir_all(folder).map_err(failed("make", folder))?;
                for (kind, text) in [
                    ("service", schedule.service(*system)),
                    ("timer", schedule.timer()),
                ] {
                    let path = folder.join(format!("{unit}.{kind}"));
                    let written = files::replace(&path, text.as_bytes())
                        // Nothing in it is secret, and systemd warns of units that nobody can read.
                        .and_then(|()| {
                            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))
                        });
                    written.map_err(failed("write", &path))?;
                }
                self.systemctl(&["daemon-reload"]).await?;
                self.systemctl(&["enable", &self.id()]).await?;
                // A timer that runs already is told of its new times only so.
                self.systemctl(&["restart", &self.id()]).await
            }
        }
    }

    /// Takes it away.
    pub async fn remove(&self) -> Result<(), Error> {
        match self {
            Manager::None => Ok(()),
            Manager::Cron { unit } => {
                let text = text::with_block(&crontab().await?, unit, None);
                set_crontab(&text).await
            }
            Manager::Systemd { unit, folder, .. } => {
                let timer = folder.join(format!("{unit}.timer"));
                if timer.exists() {
                    self.systemctl(&["disable", "--now", &self.id()]).await?;
                }
                for kind in ["timer", "service"] {
                    let path = folder.join(format!("{unit}.{kind}"));
                    files::remove(&path).map_err(failed("remove", &path))?;
                }
                self.systemctl(&["daemon-reload"]).await
            }
        }
    }

    fn systemctl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("systemctl");
        if let Manager::Systemd { system: false, .. } = self {
            command.arg("--user");
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    async fn systemctl(&self, arguments: &[&str]) -> Result<(), Error> {
        let output = self.systemctl_command(arguments).output().await;
        let output = output.map_err(not_run("systemctl"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Error::failed(
                format!(
                    "failed to run `systemctl {}`: {}",
                    arguments.join(" "),
                    String::from_utf8_lossy(&output.stderr).trim()
                ),
                "see `systemctl status` and `journalctl`, and apply again",
            )),
        }
    }

    /// Whether systemd says that it is so.
    async fn holds(&self, question: &str) -> Result<bool, Error> {
        let asked = self
            .systemctl_command(&[question, "--quiet", &self.id()])
            .output()
            .await;
        Ok(asked.map_err(not_run("systemctl"))?.status.success())
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    let content = files::read(path).map_err(failed("read", path))?;
    Ok(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
}

/// The crontab of this user.
async fn crontab() -> Result<String, Error> {
    let output = Command::new("crontab")
        .arg("-l")
        .stdin(Stdio::null())
        .output()
        .await;
    let output = output.map_err(not_run("crontab"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false if said.contains("no crontab for") => Ok(String::new()),
        false => Err(refused(&said)),
    }
}

async fn set_crontab(text: &str) -> Result<(), Error> {
    let run = async {
        let mut child = Command::new("crontab")
            .arg("-")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(text.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = run.await.map_err(not_run("crontab"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(refused(&String::from_utf8_lossy(&output.stderr))),
    }
}

fn refused(said: &str) -> Error {
    Error::failed(
        format!("failed to use the crontab of this user: {}", said.trim()),
        "see that this user may have one (/etc/cron.allow), and apply again",
    )
}

fn not_run(program: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        Error::failed(
            format!("failed to run {program}: {error}"),
            "install it, and apply again",
        )
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Io { doing, path, error }
}
