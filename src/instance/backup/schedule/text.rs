//! What a schedule is for systemd and for cron, as text.

use std::path::{Path, PathBuf};

use crate::config::deploy::Cron;

/// What every file begins with.
pub(super) const WRITTEN: &str = "Written by AutoGit: change autogit.yaml instead.";

/// Where programs are: cron knows only two of these.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A backup that is made by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// As it is written.
    pub schedule: String,
    /// What it says.
    pub cron: Cron,
    /// The name of the container.
    pub instance: String,
    /// AutoGit, by its absolute path.
    pub program: PathBuf,
    /// The config, by its absolute path.
    pub config: PathBuf,
    /// The Docker Engine, where the config does not name it.
    pub docker: Option<String>,
}

impl Schedule {
    /// What is run, for people.
    pub fn runs(&self) -> String {
        self.command(|path| path.display().to_string())
    }

    fn command(&self, quoted: impl Fn(&Path) -> String) -> String {
        let (program, config) = (quoted(&self.program), quoted(&self.config));
        format!("{program} backup create --unattended --config {config}")
    }

    /// The service that makes a backup. `system`: of the host, not of a user.
    pub fn service(&self, system: bool) -> String {
        let after = match system {
            true => "After=docker.service network-online.target\nWants=network-online.target\n",
            false => "",
        };
        let docker = self.docker.as_ref().map(|host| {
            let host = escaped(host);
            format!("Environment=\"DOCKER_HOST={host}\"\n")
        });
        format!(
            "# {WRITTEN}\n[Unit]\nDescription=Backup of the GitLab {} by AutoGit\n{after}\n\
             [Service]\nType=oneshot\n{}ExecStart={}\nNice=10\nIOSchedulingClass=idle\n",
            self.instance,
            docker.unwrap_or_default(),
            self.exec_start(),
        )
    }

    /// What `ExecStart=` says.
    pub fn exec_start(&self) -> String {
        self.command(|path| format!("\"{}\"", escaped(&path.display().to_string()).replace('$', "$$")))
    }

    /// The timer that starts the service.
    pub fn timer(&self) -> String {
        let times: String = self
            .cron
            .on_calendar()
            .iter()
            .map(|time| format!("OnCalendar={time}\n"))
            .collect();
        format!(
            "# {WRITTEN}\n[Unit]\nDescription=Backups of the GitLab {} by AutoGit\n\n\
             [Timer]\n{times}Persistent=true\n\n[Install]\nWantedBy=timers.target\n",
            self.instance
        )
    }

    /// The line of cron.
    pub fn line(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let docker = self
            .docker
            .as_ref()
            .map(|host| format!(" DOCKER_HOST={}", quoted(host)));
        let command = self.command(|path| quoted(&path.display().to_string()));
        let command = format!("{PATH}{} {command}", docker.unwrap_or_default());
        // For cron a percent sign ends the command.
        format!("{} {}", self.schedule, command.replace('%', r"\%"))
    }
}

/// Text within quotes of a unit file.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('%', "%%")
}

/// The values of a key in a unit file.
pub(super) fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

fn marks(unit: &str) -> (String, String) {
    (format!("# {unit}: {WRITTEN}"), format!("# {unit}: end"))
}

/// The lines of a crontab that are ours; `None`: there are none.
pub(super) fn block(crontab: &str, unit: &str) -> Option<String> {
    let (first, last) = marks(unit);
    let mut lines = crontab.lines().skip_while(|line| *line != first);
    lines.next()?;
    let ours: Vec<&str> = lines.take_while(|line| *line != last).collect();
    Some(ours.join("\n"))
}

/// A crontab with this line as ours, or with none. All others stay as they are.
pub(super) fn with_block(crontab: &str, unit: &str, line: Option<&str>) -> String {
    let (first, last) = marks(unit);
    let mut inside = false;
    let mut lines: Vec<&str> = Vec::new();
    for line in crontab.lines() {
        inside |= line == first;
        if !inside {
            lines.push(line);
        }
        inside &= line != last;
    }
    // A block without its end is not ours to guess the end of: everything after it stays.
    if inside {
        lines = crontab.lines().filter(|line| *line != first).collect();
    }
    if let Some(line) = line {
        lines.extend([&*first, line, &*last]);
    }
    match lines.is_empty() {
        true => String::new(),
        false => lines.join("\n") + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule {
            schedule: "15 3 * * 1-5".into(),
            cron: "15 3 * * 1-5".parse().unwrap(),
            instance: "gitlab".into(),
            program: "/usr/local/bin/autogit".into(),
            config: "/srv/my forge/100%/autogit.yaml".into(),
            docker: None,
        }
    }

    #[test]
    fn the_units_hold_the_schedule_and_absolute_paths() {
        let schedule = schedule();
        assert_eq!(
            values(&schedule.service(true), "ExecStart"),
            [
                r#""/usr/local/bin/autogit" backup create --unattended --config "/srv/my forge/100%%/autogit.yaml""#
            ]
        );
        assert_eq!(
            values(&schedule.timer(), "OnCalendar"),
            ["Mon,Tue,Wed,Thu,Fri *-*-* 03:15:00"]
        );
        assert!(
            !schedule.service(false).contains("docker.service"),
            "users have none"
        );
        let elsewhere = Schedule {
            docker: Some("tcp://10.0.0.1:2375".into()),
            ..schedule
        };
        assert!(
            elsewhere
                .service(true)
                .contains("Environment=\"DOCKER_HOST=tcp://10.0.0.1:2375\"\n")
        );
        assert!(elsewhere.line().contains(" DOCKER_HOST='tcp://10.0.0.1:2375' "));
    }

    /// With the program that judges them where they run: its exit status says nothing of unknown keys, its output does.
    #[test]
    fn systemd_takes_the_units() {
        let dir = tempfile::tempdir().unwrap();
        let schedule = Schedule {
            program: "/bin/true".into(),
            ..schedule()
        };
        let unit = |name: &str| dir.path().join(format!("autogit-backup-gitlab-0.{name}"));
        std::fs::write(unit("service"), schedule.service(true)).unwrap();
        std::fs::write(unit("timer"), schedule.timer()).unwrap();
        let verify = std::process::Command::new("systemd-analyze")
            .arg("verify")
            .args([unit("service"), unit("timer")])
            .output();
        let Ok(output) = verify else {
            eprintln!("ignored: systemd-analyze is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("autogit")).collect();
        assert_eq!((output.status.success(), ours), (true, vec![]), "{said}");
    }

    #[test]
    fn other_lines_of_cron_stay_as_they_are() {
        let others = "# mine\n0 1 * * * other\n\n";
        let line = schedule().line();
        assert!(line.contains(r"'/srv/my forge/100\%/autogit.yaml'"), "{line}");
        let with = with_block(others, "unit", Some(&line));
        assert!(with.starts_with(others));
        assert_eq!(block(&with, "unit").unwrap(), line);
        assert_eq!(block(&with, "another"), None);
        let changed = with_block(&with, "unit", Some("x"));
        assert_eq!(block(&changed, "unit").unwrap(), "x");
        assert_eq!(with_block(&changed, "unit", None), others);
        assert_eq!(with_block("", "unit", None), "");
        let after = format!("{with}0 2 * * * later\n");
        assert_eq!(
            with_block(&after, "unit", None),
            format!("{others}0 2 * * * later\n")
        );
        let endless = with.lines().take(4).collect::<Vec<_>>().join("\n") + "\n0 2 * * * later\n";
        assert_eq!(
            with_block(&endless, "unit", None),
            format!("{others}0 2 * * * later\n")
        );
    }
}
