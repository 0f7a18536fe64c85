//! `autogit state`: the whole state at once: out of its store, into it, from one to the other.

use std::io::Read;
use std::path::{Path, PathBuf};

use anstream::println;

use super::connect::{self, State};
use super::{Exit, Global, Problem, interrupt};
use crate::engine::state::{Document, Store};

/// Print the state, replace it, or move it to the other store
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit state pull > backup.json
  autogit state push backup.json
  autogit state move --to gitlab       once the config has `state: {gitlab: …}`
  autogit state move --to directory    before that is removed from the config")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    state: State,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print the state as JSON: a backup
    ///
    /// It holds no secret, but the key that makes its fingerprints: keep it as you keep the state.
    Pull,
    /// Replace the state by what `pull` printed
    Push {
        /// The file; `-` for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Even if it is older than what is there, or belongs to another instance: it belongs to this one then
        #[arg(long)]
        force: bool,
    },
    /// Move the state to the other store, and let nobody use it where it was
    Move {
        /// Where to: what `state` in the config names, or the folder beside the config
        #[arg(long, value_enum)]
        to: Place,
        /// Even if there is another state there
        #[arg(long)]
        force: bool,
    },
}

/// A store.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Place {
    /// The folder `.autogit` beside the config
    Directory,
    /// What `state` in the config names
    Gitlab,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        match &self.command {
            Command::Pull => pull(&self.state.store(global).await?).await,
            Command::Push { file, force } => {
                let document = read(file)?;
                let store = self.state.store(global).await?;
                let _interrupt = connect::hold(&store, "state push").await?;
                let pushed = push(&store, document, *force).await;
                connect::release(&store, pushed).await
            }
            Command::Move { to, force } => self.relocate(global, *to, *force).await,
        }
    }

    async fn relocate(&self, global: &Global, to: Place, force: bool) -> Result<Exit, Problem> {
        let (_, config) = connect::load(global)?;
        let Some(state) = config.state.as_ref().filter(|_| !self.state.sandbox) else {
            return Err(Problem::new("failed to move the state: the config names no other store").help(
                "add `state: {gitlab: {project: PATH, name: NAME}}` to it; the state of the sandbox stays where it is",
            ));
        };
        let access = self.state.access(global, &config);
        let (directory, gitlab) = (access.directory()?, access.remote(state).await?);
        let (from, to) = match to {
            Place::Directory => (gitlab, directory),
            Place::Gitlab => (directory, gitlab),
        };
        let _interrupt = interrupt::listen(vec![from.clone(), to.clone()])?;
        let outcome = async {
            from.lock("state move").await?;
            to.lock("state move").await?;
            relocate(&from, &to, force).await
        };
        let outcome = connect::release(&to, outcome.await).await;
        connect::release(&from, outcome).await
    }
}

async fn pull(store: &Store) -> Result<Exit, Problem> {
    let document = there(store).await?;
    let text = serde_json::to_string_pretty(&document).expect("state is plain text and numbers");
    println!("{text}");
    Ok(Exit::Done)
}

/// The state in a store, which must have one.
async fn there(store: &Store) -> Result<Document, Problem> {
    let none = || {
        Problem::new(format!(
            "failed to find a state in {}: there is none yet",
            store.describe()
        ))
    };
    store.pull().await?.ok_or_else(none)
}

fn read(file: &Path) -> Result<Document, Problem> {
    let failed = |why: String| Problem::new(format!("failed to read {}: {why}", file.display()));
    let text = match file.as_os_str() == "-" {
        true => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map(|_| text)
        }
        false => std::fs::read(file),
    };
    let text = text.map_err(|error| failed(error.to_string()))?;
    Document::parse(&text).map_err(|why| failed(why).help("take what `autogit state pull` printed"))
}

async fn push(store: &Store, mut document: Document, force: bool) -> Result<Exit, Problem> {
    let refused = |why: String| {
        let refused = Problem::new(format!("failed to push the state to {}: {why}", store.describe()));
        refused.help("nothing was written; if it is meant, say so with --force")
    };
    let before = store.pull().await?.map_or(0, |before| before.ledger.serial);
    let serial = document.ledger.serial;
    if serial < before && !force {
        return Err(refused(format!(
            "its serial is {serial}, and {before} is there already"
        )));
    }
    let instance = &document.ledger.instance;
    if instance != store.instance() && !force {
        return Err(refused(format!(
            "it belongs to {instance}, not to {}",
            store.instance()
        )));
    }
    document.ledger.instance = store.instance().to_owned();
    document.ledger.moved_to = None;
    store.push(document).await?;
    println!("Pushed the state to {}.", store.describe());
    Ok(Exit::Done)
}

async fn relocate(from: &Store, to: &Store, force: bool) -> Result<Exit, Problem> {
    let failed = |why: &str| Problem::new(format!("failed to move the state to {}: {why}", to.describe()));
    // Refused where it belongs to another instance, or is not here any more.
    from.load().await?;
    let mut document = there(from).await?;
    let before = to.pull().await?;
    if before.is_some_and(|before| before.ledger.moved_to.is_none()) && !force {
        let refused = failed("there is a state already");
        return Err(refused.help("nothing was written; if that one is of no use, say so with --force"));
    }
    to.push(document.clone()).await?;
    document.ledger.moved_to = Some(to.describe());
    document.ledger.resources.clear();
    document.ledger.in_doubt.clear();
    from.push(document).await?;
    println!("Moved the state from {} to {}.", from.describe(), to.describe());
    Ok(Exit::Done)
}
