//! `autogit logs`: what the instance that AutoGit runs says.

use std::io::Write;

use jiff::{SignedDuration, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::connect::{Access, load};
use super::{Exit, Global, Problem};
use crate::config::deploy::Duration;
use crate::live::docker::Which;

/// Show what the GitLab that AutoGit runs writes to its logs; secrets are masked
///
/// Without a component it is the container's own log, which is there even when the container does not run. A component
/// is a directory of /var/log/gitlab: puma, sidekiq, nginx, gitaly, postgresql, gitlab-rails, …
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit logs                          the last 100 lines of the container
  autogit logs --since 10m --follow     the last 10 minutes, and what follows
  autogit logs puma -n 500              the last 500 lines of each of Puma's logs")]
pub struct Args {
    /// The component to show
    #[arg(value_name = "COMPONENT", value_parser = component)]
    component: Option<String>,
    /// Go on as more is written, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only what was written in this time: 30s, 10m, 2h, 1d; of the container's log only
    #[arg(long, value_name = "TIME", value_parser = since, conflicts_with = "component")]
    since: Option<Duration>,
    /// How many lines, of each file
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    lines: u32,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let (_, config) = load(global)?;
        let access = Access::new(global, (&config).into(), false, false);
        let Some(instance) = access.deployed(&config).await? else {
            return Err(Problem::new("failed to show logs: the config deploys no GitLab")
                .help("add `deploy:` under `gitlab:`; the logs of a GitLab that others run are with them"));
        };
        let since = self
            .since
            .and_then(|Duration(span)| SignedDuration::try_from(span).ok());
        let which = Which {
            last: self.lines,
            since: since.and_then(|since| Timestamp::now().checked_sub(since).ok()),
            follow: self.follow,
        };
        let mut out = std::io::stdout().lock();
        // Whoever reads along may have seen enough: `| head`.
        let gone = Notify::new();
        let print = |line: &str| {
            if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                gone.notify_one();
            }
        };
        let failed = |error| Problem::new(format!("failed to listen for interrupts: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            shown = instance.logs(self.component.as_deref(), which, print) => shown?,
            () = gone.notified() => {}
            _ = interrupt.recv() => return Ok(Exit::Interrupted),
            _ = terminate.recv() => return Ok(Exit::Interrupted),
        }
        Ok(Exit::Done)
    }
}

/// The name of a component: it becomes part of a path.
fn component(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("write a name like `puma` or `gitlab-rails`".to_owned()),
    }
}

fn since(text: &str) -> Result<Duration, String> {
    Duration::parse(text).ok_or_else(|| "write it like `30s`, `10m`, `2h` or `1d`".to_owned())
}
