//! Waiting until GitLab is ready, phase by phase, and until its URL leads to it.

use std::fmt;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status};
use jiff::Timestamp;
use serde::de::IgnoredAny;
use tokio::time::{Instant, sleep};

use super::hide::Hide;
use super::{Error, Heard, Instance, container};
use crate::config::deploy;
use crate::live::docker::Hands;
use crate::live::gitlab::{self, Client, Kind, Retries, Settings};
use crate::live::secrets::check_url;

/// How long it may take unless the config says otherwise.
const READY_WITHIN: Duration = Duration::from_secs(20 * 60);

/// How long the URL may take to lead to a GitLab that is ready: proxies look only now and then which containers are well.
const URL_WITHIN: Duration = Duration::from_secs(2 * 60);

/// How often it is looked: soon at first, for an instance that is about to be ready.
const LOOKS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// How much of the log is looked at.
const LOG_LINES: u32 = 200;

/// What GitLab is at while it comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Container,
    Reconfigure,
    Database,
    WebServer,
    Api,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Container => "container",
            Phase::Reconfigure => "reconfigure",
            Phase::Database => "database migrations",
            Phase::WebServer => "web server",
            Phase::Api => "API",
        })
    }
}

/// What can be seen of a container that comes up.
#[derive(Clone, Debug, Default)]
struct Seen {
    status: Option<Status>,
    exit_code: i64,
    out_of_memory: bool,
    /// How often Docker has started it again by itself.
    restarts: i64,
    /// Whether a reconfigure is going on in it.
    reconfigures: bool,
    /// The HTTP status with which the readiness check was answered.
    answer: Option<u16>,
    /// The end of what it said since it started.
    log: String,
}

/// What that comes to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Ready,
    Waiting(Phase),
    /// It will not get ready by itself, and why.
    Failed(String),
}

/// What is seen of a container that had been restarted so often when the waiting began.
fn judge(seen: &Seen, restarts_before: i64) -> Verdict {
    let failed = |why: String| match seen.out_of_memory {
        true => Verdict::Failed(format!("{why}, for want of memory")),
        false => Verdict::Failed(why),
    };
    match seen.status {
        None => return Verdict::Failed("the container is gone".into()),
        Some(Status::EXITED | Status::DEAD | Status::REMOVING) => {
            return failed(format!("the container ended with exit status {}", seen.exit_code));
        }
        Some(Status::PAUSED) => return Verdict::Failed("the container is paused".into()),
        Some(Status::RESTARTING) => return failed("the container ends and is started again".into()),
        Some(Status::RUNNING) if seen.restarts > restarts_before => {
            return failed("the container ended and was started again".into());
        }
        Some(Status::RUNNING) => {}
        Some(_) => return Verdict::Waiting(Phase::Container),
    }
    Verdict::Waiting(match seen.answer {
        _ if seen.reconfigures && migrates(&seen.log) => Phase::Database,
        _ if seen.reconfigures => Phase::Reconfigure,
        Some(200) => return Verdict::Ready,
        // Readiness itself speaks: some part that GitLab needs is not there yet.
        Some(503) => Phase::Api,
        Some(_) => Phase::WebServer,
        None if seen.log.contains("Reconfigured!") => Phase::WebServer,
        None => Phase::Container,
    })
}

/// Whether what a reconfigure began last, a recipe or a resource of one, is about the database.
fn migrates(log: &str) -> bool {
    let begun =
        |line: &&str| line.starts_with("Recipe: ") || (line.contains("* ") && line.contains(" action "));
    let last = log.lines().rev().find(begun);
    last.is_some_and(|line| {
        line.contains("migrat") || line.contains("database") || line.contains("postgresql")
    })
}

impl Instance {
    /// Waits until GitLab answers at its URL, which it may do already: then one request is all.
    ///
    /// # Errors
    /// When it is not ready in time: the message names the phase that it is in.
    pub async fn wait(&self, heard: &dyn Heard) -> Result<(), Error> {
        if self.ask().await.is_ok() {
            return Ok(());
        }
        let began = Instant::now();
        let hide = Hide::of(&self.place)?;
        self.until_ready(self.name(), &hide, heard).await?;
        self.until_reachable(began, heard).await
    }

    /// How long it may take to be ready.
    pub(super) fn ready_within(&self) -> Duration {
        self.spec
            .ready_within
            .map_or(READY_WITHIN, |deploy::Duration(within)| within)
    }

    /// Waits until GitLab in the container says that it is ready, and no reconfigure goes on that would end that.
    pub(super) async fn until_ready(&self, id: &str, hide: &Hide, heard: &dyn Heard) -> Result<(), Error> {
        let began = Instant::now();
        let within = self.ready_within();
        let mut restarts = None;
        let mut phase = None;
        let mut look = LOOKS.0;
        loop {
            let seen = self.look(id).await?;
            let restarts = *restarts.get_or_insert(seen.restarts);
            let now = match judge(&seen, restarts) {
                Verdict::Ready => return Ok(()),
                Verdict::Failed(why) => {
                    let log = self.last_words(id, &seen).await?;
                    return Err(self.ended(&why, &seen, &hide.tail(&log)));
                }
                Verdict::Waiting(now) => now,
            };
            let (was, since) = *phase.get_or_insert_with(|| {
                heard.phase(&format!("waiting for the {now}"));
                (now, Instant::now())
            });
            if now != was {
                heard.phase(&format!("waiting for the {now}"));
                phase = Some((now, Instant::now()));
            } else if began.elapsed() >= within {
                return Err(self.late(now, since.elapsed(), &seen, hide));
            }
            sleep(look.min(within.saturating_sub(began.elapsed()))).await;
            look = (look * 2).min(LOOKS.1);
        }
    }

    /// What can be seen of the container now.
    async fn look(&self, name: &str) -> Result<Seen, Error> {
        let Some(found) = self.looker().container(name).await? else {
            return Ok(Seen::default());
        };
        let started = started_at(&found);
        let state = found.state.unwrap_or_default();
        let mut seen = Seen {
            status: state.status,
            exit_code: state.exit_code.unwrap_or_default(),
            out_of_memory: state.oom_killed == Some(true),
            restarts: found.restart_count.unwrap_or_default(),
            ..Seen::default()
        };
        if seen.status == Some(Status::RUNNING) {
            seen.answer = self.readiness(name).await;
            let processes = self.looker().processes(name).await.unwrap_or_default();
            seen.reconfigures = processes.iter().any(|process| is_reconfigure(process));
        }
        if seen.answer != Some(200) || seen.reconfigures {
            let since = |time: Timestamp| started.is_none_or(|started| time >= started);
            let log = self.looker().log_tail(name, LOG_LINES, since).await;
            seen.log = log.unwrap_or_default();
        }
        Ok(seen)
    }

    /// What a container said before it ended, if Docker has started it again since.
    async fn last_words(&self, name: &str, seen: &Seen) -> Result<String, Error> {
        let found = self.looker().container(name).await?;
        let again = found.filter(|_| seen.status == Some(Status::RUNNING));
        let again = again.and_then(|found| started_at(&found));
        let before = |time: Timestamp| again.is_none_or(|again| time < again);
        let log = self.looker().log_tail(name, LOG_LINES, before).await;
        Ok(log.unwrap_or_default())
    }

    /// The HTTP status with which GitLab in the container answers whether it is ready; `None`: it does not answer.
    async fn readiness(&self, name: &str) -> Option<u16> {
        let hands = Hands::new(self.looker().clone());
        let command = container::readiness(&super::Endpoints::new(&self.spec, &self.url));
        let command = command.each_ref().map(String::as_str);
        let output = hands.exec(name, &command, None, |_| ()).await.ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let status = text.lines().last()?.trim().parse().ok()?;
        (status != 0).then_some(status)
    }

    fn ended(&self, why: &str, seen: &Seen, tail: &str) -> Error {
        let name = self.name();
        let remedy = match seen.out_of_memory {
            true => "give it more with `gitlab.deploy.docker.limits.memory`, or choose a smaller `profile`"
                .to_owned(),
            false => {
                format!("`docker logs {name}` shows all that it said; apply again once the cause is gone")
            }
        };
        Error::failed(format!("failed to bring up {name}: {why}{}", said(tail)), remedy)
    }

    fn late(&self, phase: Phase, since: Duration, seen: &Seen, hide: &Hide) -> Error {
        let name = self.name();
        let within = deploy::Duration(self.ready_within());
        Error::failed(
            format!(
                "failed to bring up {name}: it is not ready after {within}, and in the phase `{phase}` for {} s{}",
                since.as_secs(),
                said(&hide.tail(&seen.log)),
            ),
            format!(
                "apply again to go on waiting, or give it more time with `gitlab.deploy.ready_within`; \
                 `docker logs {name}` shows all that it said"
            ),
        )
    }

    /// Waits until the URL that users know leads to GitLab, which is ready.
    pub(super) async fn until_reachable(&self, began: Instant, heard: &dyn Heard) -> Result<(), Error> {
        let left = self.ready_within().saturating_sub(began.elapsed());
        let until = Instant::now() + left.min(URL_WITHIN);
        let mut told = false;
        loop {
            let error = match self.ask().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let refused = error.kind() == Kind::Unauthorized && error.is_in_words();
            if refused || Instant::now() >= until {
                return Err(self.astray(&error, refused));
            }
            if !std::mem::replace(&mut told, true) {
                heard.phase(&format!("waiting for {} to lead to GitLab", self.url));
            }
            sleep(LOOKS.1).await;
        }
    }

    fn astray(&self, error: &gitlab::Error, refused: bool) -> Error {
        let name = self.name();
        let url = &self.url;
        if refused {
            return Error::failed(
                format!(
                    "failed to use GitLab at {url}: it does not take AutoGit's token, which was revoked or is of another GitLab"
                ),
                format!(
                    "see that {url} leads to the container {name}; if it does, remove {} and apply again: a new one is made",
                    self.place.token().display()
                ),
            );
        }
        let remedy = error
            .remedy()
            .map_or_else(String::new, |remedy| format!("; {remedy}"));
        Error::failed(
            format!(
                "failed to reach GitLab at {url} from here, though it is ready in the container {name}: {}",
                error.detail()
            ),
            format!(
                "see that the name leads to this host (DNS), and that a proxy before it and a firewall let it through to the \
                 published port{remedy}"
            ),
        )
    }

    /// Asks GitLab at its URL, as AutoGit will.
    async fn ask(&self) -> Result<(), gitlab::Error> {
        let token = match self.token_is_ours() {
            true => self.place.read_token().ok().flatten(),
            false => None,
        };
        let guard = std::env::var("AUTOGIT_URL").ok();
        let token = token.filter(|_| check_url(&self.url, guard.as_deref()).is_ok());
        let nobody = token.is_none();
        let client = Client::connect(Settings {
            ca_file: self.ca_file.clone().filter(|file| file.exists()),
            timeout: Duration::from_secs(10),
            retries: Retries {
                attempts: 1,
                ..Retries::default()
            },
            token,
            ..Settings::new(self.url.clone(), "".into())
        })?;
        match client.reader().get::<IgnoredAny>("/version", &[]).await {
            // GitLab tells its version only to who is signed in.
            Err(error) if nobody && error.kind() == Kind::Unauthorized && error.is_in_words() => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}

/// When the container was last started.
fn started_at(found: &ContainerInspectResponse) -> Option<Timestamp> {
    found.state.as_ref()?.started_at.as_ref()?.parse().ok()
}

/// Whether a process, by its command line, is of a reconfigure.
fn is_reconfigure(process: &str) -> bool {
    [
        "gitlab-ctl reconfigure",
        "omnibus-ctl reconfigure",
        "cinc-client",
        "chef-client",
    ]
    .iter()
    .any(|mark| process.contains(mark))
}

/// What a container said last, as the end of a message.
fn said(tail: &str) -> String {
    match tail {
        "" => String::new(),
        tail => format!("; it said last:{tail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Seen {
        Seen {
            status: Some(Status::RUNNING),
            ..Seen::default()
        }
    }

    #[test]
    fn each_phase_is_told_by_what_can_be_seen() {
        let waits = |seen: Seen| match judge(&seen, 0) {
            Verdict::Waiting(phase) => phase,
            other => panic!("{other:?}"),
        };
        let created = Seen {
            status: Some(Status::CREATED),
            ..Seen::default()
        };
        assert_eq!(waits(created), Phase::Container);
        assert_eq!(waits(running()), Phase::Container);
        let mut seen = running();
        seen.reconfigures = true;
        assert_eq!(waits(seen.clone()), Phase::Reconfigure);
        seen.log = "  * rails_migration[gitlab-rails] action run\n     - execute".into();
        assert_eq!(waits(seen.clone()), Phase::Database);
        seen.log += "\n  * runit_service[puma] action restart";
        assert_eq!(waits(seen.clone()), Phase::Reconfigure);
        seen.log += "\nRecipe: gitlab::database_migrations";
        assert_eq!(waits(seen.clone()), Phase::Database);
        seen.log += "\nRecipe: gitlab::puma";
        assert_eq!(waits(seen.clone()), Phase::Reconfigure);
        seen.answer = Some(200);
        assert_eq!(
            waits(seen.clone()),
            Phase::Reconfigure,
            "it will restart once more"
        );
        seen.reconfigures = false;
        assert_eq!(judge(&seen, 0), Verdict::Ready);
        seen.answer = Some(502);
        assert_eq!(waits(seen.clone()), Phase::WebServer);
        seen.answer = Some(503);
        assert_eq!(waits(seen.clone()), Phase::Api);
        seen.answer = None;
        seen.log = "gitlab Reconfigured!".into();
        assert_eq!(waits(seen), Phase::WebServer);
    }

    #[test]
    fn what_ends_or_restarts_fails_at_once() {
        let fails = |seen: &Seen, before| match judge(seen, before) {
            Verdict::Failed(why) => why,
            other => panic!("{other:?}"),
        };
        let mut seen = Seen {
            status: Some(Status::EXITED),
            exit_code: 137,
            ..Seen::default()
        };
        assert!(fails(&seen, 0).contains("137"));
        seen.out_of_memory = true;
        assert!(fails(&seen, 0).contains("memory"));
        seen.status = Some(Status::RESTARTING);
        assert!(fails(&seen, 0).contains("again"));
        seen = running();
        seen.restarts = 3;
        assert!(fails(&seen, 2).contains("again"));
        assert_eq!(
            judge(&seen, 3),
            Verdict::Waiting(Phase::Container),
            "restarted long ago"
        );
        assert!(fails(&Seen::default(), 0).contains("gone"));
    }
}
