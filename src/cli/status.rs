//! `autogit status`: which instance this is about, whether it answers, how it is, and what is managed on it.

use std::collections::BTreeMap;

use anstream::{print, println};
use futures_util::join;
use serde_json::{Value, json};

use super::connect::{Claimed, Instance, load};
use super::plan::header;
use super::validate::Format;
use super::{Exit, Global, Problem};
use crate::config::{Config, Deployment};
use crate::engine::Session;
use crate::engine::state::{Holder, Ledger};
use crate::instance::{self, backup::schedule, health::Health};
use crate::render::count;

mod deployed;

/// Show the instance, how it is, the acting user, and what is managed
///
/// Of a GitLab that AutoGit runs, the container, the components, certificate, token, disk and backups are shown too,
/// also while it is down.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit status
  autogit status --sandbox --format json

Exit codes: 0 it is well; 1 it does not answer, or something of it is down.")]
pub struct Args {
    #[command(flatten)]
    instance: Instance,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// More of what is in doubt is not listed for people: `--format json` has it whole.
const LISTED: usize = 10;

/// All that is shown.
struct Status<'a> {
    config: &'a Config,
    /// The session, or why GitLab could not be asked.
    session: Result<&'a Session, &'a Problem>,
    /// How the instance is, where AutoGit runs it.
    health: Option<&'a Result<Health, Problem>>,
    ledger: Ledger,
    /// Finding out takes a right that the rest does not.
    holder: Result<Option<Holder>, Problem>,
    store: String,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let (_, config) = load(global)?;
        let claimed = self.instance.claim(global, (&config).into(), None).await?;
        let (opened, health) = join!(claimed.open(&self.instance), health(&claimed, &config));
        // What AutoGit does not run it can only ask.
        let opened = match (opened, &health) {
            (Err(problem), None) => return Err(problem),
            (opened, _) => opened,
        };
        let holder = claimed.store.holder().await.map_err(Problem::from);
        let status = Status {
            config: &config,
            session: opened.as_ref().map(|(session, _)| session),
            health: health.as_ref(),
            ledger: claimed.store.load().await?,
            holder,
            store: claimed.store.describe(),
        };
        match self.format {
            Format::Text => status.print(),
            Format::Json => println!("{:#}", status.json()),
        }
        let is_well = status.is_well();
        status.holder?;
        Ok(if is_well { Exit::Done } else { Exit::Failed })
    }
}

/// How the instance is, where AutoGit runs it.
async fn health(claimed: &Claimed<'_>, config: &Config) -> Option<Result<Health, Problem>> {
    let found = async {
        let Some(instance) = claimed.access.deployed(config).await? else {
            return Ok(None);
        };
        Ok(Some(instance.health().await?))
    };
    found.await.transpose()
}

impl Status<'_> {
    fn is_well(&self) -> bool {
        let health = self
            .health
            .map(|health| health.as_ref().is_ok_and(Health::is_well));
        self.session.is_ok() && health != Some(false)
    }

    /// How many of each kind are declared, and how many are managed.
    fn kinds(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for address in self.config.declarations.keys() {
            kinds.entry(&address.kind).or_default().0 += 1;
        }
        if let Some(Deployment { spec, .. }) = &self.config.gitlab.deploy {
            kinds.entry(instance::KIND).or_default().0 += 1;
            if spec
                .backup
                .as_ref()
                .is_some_and(|backup| backup.schedule.is_some())
            {
                kinds.entry(schedule::KIND).or_default().0 += 1;
            }
        }
        for address in self.ledger.resources.keys() {
            kinds.entry(&address.kind).or_default().1 += 1;
        }
        kinds
    }

    fn json(&self) -> Value {
        let kinds: BTreeMap<_, _> = self
            .kinds()
            .iter()
            .map(|(kind, (declared, managed))| {
                (
                    (*kind).to_owned(),
                    json!({"declared": declared, "managed": managed}),
                )
            })
            .collect();
        let (gitlab, user, url) = match self.session {
            Ok(session) => {
                let about = &session.about;
                let edition = if about.enterprise { "ee" } else { "ce" };
                (
                    json!({"version": about.version, "edition": edition}),
                    json!({"name": about.user, "administrator": about.admin}),
                    Some(&session.url),
                )
            }
            Err(problem) => (
                json!({"unreachable": problem.message()}),
                Value::Null,
                self.config.gitlab.url.as_ref(),
            ),
        };
        let mut status = json!({
            "format": "autogit-status",
            "version": 1,
            "url": url,
            "gitlab": gitlab,
            "user": user,
            "store": self.store,
            "locked_by": self.holder.as_ref().unwrap_or(&None),
            "interrupted": self.ledger.in_doubt.keys().collect::<Vec<_>>(),
            "kinds": kinds,
        });
        if let Some(health) = self.health {
            status["instance"] = match health {
                Ok(health) => deployed::json(health),
                Err(problem) => json!({"unreachable": problem.message()}),
            };
        }
        status
    }

    fn print(&self) {
        match self.session {
            Ok(session) => println!("{}", header(session)),
            Err(problem) => {
                problem.print();
                println!("State in {}", self.store);
            }
        }
        match self.health {
            Some(Ok(health)) => print!("{}", deployed::text(health)),
            Some(Err(problem)) => problem.print(),
            None => {}
        }
        for (kind, (declared, managed)) in self.kinds() {
            println!("  {kind}: {declared} declared, {managed} managed");
        }
        match &self.holder {
            Ok(Some(holder)) => println!("Locked by {holder}"),
            Ok(None) => println!("Not locked"),
            Err(_) => println!("Whether it is locked is not known"),
        }
        let leftovers = &self.ledger.in_doubt;
        if !leftovers.is_empty() {
            println!(
                "An interrupted run left {} in doubt; the next apply finds out:",
                count(leftovers.len() as u64, "resource")
            );
            let shown = leftovers.keys().take(LISTED);
            shown.for_each(|address| println!("  {address}"));
            if leftovers.len() > LISTED {
                println!("  … and {} more", leftovers.len() - LISTED);
            }
        }
    }
}
