//! `autogit backup`: backups of the GitLab that AutoGit runs: made, listed, tried, restored, removed.

use std::path::PathBuf;

use anstream::{eprintln, println};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::connect::{Access, Claimed, Instance, load};
use super::output::confirm;
use super::stage::Phases;
use super::validate::Format;
use super::{Exit, Global, Problem, interrupt};
use crate::config::Config;
use crate::engine::Interrupt;
use crate::instance::backup::{Backups, Created, Id, Manifest, Pruning, Record, Restore, Restored, Verdict};
use crate::instance::{self, Heard};
use crate::render::count;

/// Back up the GitLab that AutoGit runs, and restore it
///
/// A backup is GitLab's data, its `/etc/gitlab` with the secrets that the data is encrypted with, and a manifest. Where they are
/// kept, how many, and when they are made by themselves is declared as `gitlab.deploy.backup`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit backup create
  autogit backup list
  autogit backup verify                         the newest, restored on trial; nothing that runs is touched
  autogit backup restore 20260314T031500Z-3fa9c1 --identity age.key
  autogit backup prune")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// Let secrets of the form `{exec: […]}` run their program
    #[arg(long, global = true)]
    allow_exec: bool,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Make a backup, and then remove older ones that `keep` does not ask for
    ///
    /// When it fails, nothing is left that looks like a backup, and `status` and `doctor` say so until one is made.
    #[command(after_help = "\
Examples:
  autogit backup create
  autogit backup create --format json")]
    Create {
        /// Say nothing unless it fails: for schedules
        #[arg(long)]
        unattended: bool,
    },
    /// List the backups that there are
    #[command(after_help = "\
Examples:
  autogit backup list
  autogit backup list --format json")]
    List,
    /// Try a backup: check its checksums, restore it into a container of its own, and ask the GitLab that comes up
    ///
    /// The container has no network and is removed afterwards. The instance that runs is not touched.
    #[command(after_help = "\
Examples:
  autogit backup verify
  autogit backup verify 20260314T031500Z-3fa9c1 --identity age.key")]
    Verify {
        /// The backup; the newest unless one is named
        #[arg(value_name = "ID")]
        id: Option<Id>,
        /// The identity of age that an encrypted configuration needs
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
    /// Put a backup in the place of what the instance has now
    ///
    /// The instance has to run, in the version and edition that the backup is of: on a new host, run `autogit apply` first.
    /// What is there is backed up before. Users are cut off while it goes on.
    #[command(after_help = "\
Examples:
  autogit backup restore 20260314T031500Z-3fa9c1
  autogit backup restore 20260314T031500Z-3fa9c1 --identity age.key --yes --no-safety-backup")]
    Restore {
        /// The backup
        #[arg(value_name = "ID")]
        id: Id,
        /// The identity of age that an encrypted configuration needs
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Do not back up what is there now
        #[arg(long)]
        no_safety_backup: bool,
    },
    /// Remove the backups that `keep` does not ask for
    #[command(after_help = "\
Examples:
  autogit backup prune
  autogit backup prune --yes")]
    Prune {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let (_, config) = load(global)?;
        if let Command::Restore { .. } = &self.command {
            return self.restore(global, &config).await;
        }
        let access = Access::new(global, (&config).into(), false, self.allow_exec);
        let instance = access.deployed(&config).await?.ok_or_else(not_deployed)?;
        let backups = Backups::open(&instance).await?;
        match &self.command {
            Command::Create { unattended } => {
                let heard = Progress::new(!unattended);
                let interrupt = interrupt::listen(Vec::new())?;
                let stop = until(interrupt.subscribe(), Interrupt::Finish);
                let created = backups.create(&heard, stop).await;
                heard.end();
                match ended(created, &interrupt)? {
                    // Whatever cron hears it mails.
                    Ok(_) if *unattended && self.format == Format::Text => {}
                    Ok(created) => self.print_created(&backups, &created),
                    Err(exit) => return Ok(exit),
                }
                Ok(Exit::Done)
            }
            Command::List => self.list(&backups, &instance).await,
            Command::Verify { id, identity } => {
                let heard = Progress::new(true);
                let interrupt = interrupt::listen(Vec::new())?;
                let stop = until(interrupt.subscribe(), Interrupt::Finish);
                let verdict = backups
                    .verify(id.as_ref(), identity.as_deref(), &heard, stop)
                    .await;
                heard.end();
                match ended(verdict, &interrupt)? {
                    Ok(verdict) => self.print_verdict(&verdict),
                    Err(exit) => Ok(exit),
                }
            }
            Command::Prune { yes } => self.prune(&backups, *yes).await,
            Command::Restore { .. } => unreachable!("it is done above"),
        }
    }

    fn print_created(&self, backups: &Backups<'_>, created: &Created) {
        let Created { manifest, removed } = created;
        if self.format == Format::Json {
            return print_json("created", json!({"backup": manifest, "removed": removed}));
        }
        println!(
            "Backed up to {}: {}, {}.",
            backups.describe(),
            manifest.id,
            size(manifest.size())
        );
        if !removed.is_empty() {
            println!(
                "Removed {} that `keep` does not ask for.",
                count(removed.len() as u64, "older backup")
            );
        }
    }

    async fn list(&self, backups: &Backups<'_>, instance: &instance::Instance) -> Result<Exit, Problem> {
        let listing = backups.list().await?;
        let damaged = Record::read(&instance.place)?.damaged;
        if self.format == Format::Json {
            let about = |manifest: &Manifest| {
                let mut shown = json!(manifest);
                shown["size"] = json!(manifest.size());
                shown["of_this_instance"] = json!(backups.is_ours(manifest));
                shown["damaged"] = json!(damaged.get(&manifest.id));
                shown
            };
            let all: Vec<Value> = listing.backups.iter().map(about).collect();
            print_json("list", json!({"backups": all, "unreadable": listing.unreadable}));
            return Ok(Exit::Done);
        }
        for manifest in &listing.backups {
            let Manifest {
                id, gitlab, counts, ..
            } = manifest;
            let mut remarks = vec![
                gitlab.to_string(),
                size(manifest.size()),
                count(counts[1].projects, "project"),
            ];
            if !backups.is_ours(manifest) {
                remarks.push(format!("of {}", manifest.url));
            }
            if manifest.encrypted_to.is_empty() {
                remarks.push("secrets not encrypted by AutoGit".into());
            }
            if !manifest.skipped.is_empty() {
                remarks.push(format!("without {}", manifest.skipped.join(", ")));
            }
            remarks.extend(damaged.get(id).map(|why| format!("damaged: {why}")));
            println!("{id}  {}", remarks.join(", "));
        }
        for (id, why) in &listing.unreadable {
            println!("{id}  cannot be used: {why}");
        }
        if listing.backups.is_empty() {
            println!("There is no backup in {}.", backups.describe());
        }
        Ok(Exit::Done)
    }

    fn print_verdict(&self, verdict: &Verdict) -> Result<Exit, Problem> {
        let Verdict {
            manifest,
            problems,
            unseen,
            found,
        } = verdict;
        if self.format == Format::Json {
            print_json(
                "verified",
                json!({"id": manifest.id, "problems": problems, "unseen": unseen, "found": found}),
            );
        } else {
            for remark in unseen {
                eprintln!("not looked at: {remark}");
            }
            if let (true, Some(found)) = (problems.is_empty(), found) {
                println!(
                    "{} is whole: {} came up from it, with {} and {}.",
                    manifest.id,
                    manifest.gitlab,
                    count(found.projects, "project"),
                    count(found.users, "user")
                );
            }
        }
        match problems.is_empty() {
            true => Ok(Exit::Done),
            false => Err(Problem::new(format!(
                "failed to verify {}: {}",
                manifest.id,
                problems.join("; ")
            ))
            .help("do not count on it: make another with `autogit backup create`, and verify that")),
        }
    }

    async fn prune(&self, backups: &Backups<'_>, yes: bool) -> Result<Exit, Problem> {
        let pruning = backups.pruning().await?;
        let Pruning { goes, stays } = &pruning;
        if self.format == Format::Text {
            goes.iter().for_each(|id| println!("  - {id}"));
            println!(
                "{} to remove, {} to keep.",
                count(goes.len() as u64, "backup"),
                stays.len()
            );
        }
        let agreed = goes.is_empty() || yes || confirm("Remove these backups?", "say --yes")?;
        if !agreed {
            eprintln!("Nothing was changed.");
            return Ok(Exit::Declined);
        }
        let removed = match goes.is_empty() {
            true => goes.clone(),
            false => backups.prune(&pruning).await?,
        };
        if self.format == Format::Json {
            print_json("pruned", json!({"removed": removed, "kept": stays}));
        }
        Ok(Exit::Done)
    }

    async fn restore(&self, global: &Global, config: &Config) -> Result<Exit, Problem> {
        let instance = Instance {
            sandbox: false,
            allow_exec: self.allow_exec,
            parallelism: 1,
        };
        let claimed = instance
            .claim(global, config.into(), Some("backup restore"))
            .await?;
        let outcome = self.restore_claimed(&claimed, config).await;
        claimed.close(outcome).await
    }

    async fn restore_claimed(&self, claimed: &Claimed<'_>, config: &Config) -> Result<Exit, Problem> {
        let Command::Restore {
            id,
            identity,
            yes,
            no_safety_backup,
        } = &self.command
        else {
            unreachable!("it is a restore");
        };
        let instance = claimed.access.deployed(config).await?.ok_or_else(not_deployed)?;
        let backups = Backups::open(&instance).await?;
        let manifest = backups.find(Some(id)).await?;
        backups.can_restore(&manifest, identity.as_deref()).await?;
        eprintln!(
            "{id} is of {} at {}, with {}. It takes the place of all that {} has now.",
            manifest.gitlab,
            manifest.url,
            count(manifest.counts[1].projects, "project"),
            instance.url
        );
        if !yes && !confirm("Restore it?", "say --yes")? {
            eprintln!("Nothing was changed.");
            return Ok(Exit::Declined);
        }
        let restore = Restore {
            identity: identity.as_deref(),
            saves: !no_safety_backup,
        };
        let heard = Progress::new(true);
        let stop = until(claimed.interrupt.subscribe(), Interrupt::Stop);
        let restored = backups.restore(&manifest, restore, &heard, stop).await;
        heard.end();
        let Restored { saved, problems } = restored?;
        if self.format == Format::Json {
            print_json(
                "restored",
                json!({"id": id, "saved": saved, "problems": problems}),
            );
        } else {
            println!("Restored {id}.");
            if let Some(saved) = saved {
                println!("What was there before is the backup {saved}.");
            }
        }
        match problems.is_empty() {
            true => Ok(Exit::Done),
            false => Err(
                Problem::new(format!("restored {id}, but {}", problems.join("; ")))
                    .help("see \"When something is wrong afterwards\" in docs/backup.md"),
            ),
        }
    }
}

fn not_deployed() -> Problem {
    Problem::new("failed to back up: the config does not deploy a GitLab")
        .help("backups are of a GitLab that AutoGit runs: `gitlab.deploy`")
}

fn print_json(what: &str, mut value: Value) {
    value["format"] = json!(format!("autogit-backup-{what}"));
    value["version"] = json!(1);
    println!("{value:#}");
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

/// What came of something that the user may have ended: `Err(Exit)` then, and it is told.
fn ended<T>(
    outcome: Result<T, instance::Error>,
    interrupt: &watch::Sender<Interrupt>,
) -> Result<Result<T, Exit>, Problem> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(error) if *interrupt.borrow() == Interrupt::None => Err(error.into()),
        Err(error) => {
            Problem::from(error).print();
            Ok(Err(Exit::Interrupted))
        }
    }
}

/// Resolves once the user wants the command to end.
async fn until(mut receiver: watch::Receiver<Interrupt>, how: Interrupt) {
    let enough = |asked: &Interrupt| *asked == how || *asked == Interrupt::Stop;
    if receiver.wait_for(enough).await.is_err() {
        // Nobody is left to ask: wait for the work alone.
        std::future::pending().await
    }
}

/// What goes on, for those who watch.
struct Progress(Option<Phases>);

impl Progress {
    fn new(shown: bool) -> Self {
        Progress(shown.then(Phases::new))
    }

    fn end(self) {
        if let Some(phases) = self.0 {
            phases.end();
        }
    }
}

impl Heard for Progress {
    fn phase(&self, what: &str) {
        match &self.0 {
            Some(phases) => phases.phase(what),
            None => tracing::info!(what),
        }
    }

    fn line(&self, line: &str) {
        tracing::debug!(line, "from the instance");
    }
}
