//! `autogit ledger`: what AutoGit manages, and how to make it forget.

use anstream::println;
use serde_json::json;

use super::validate::Format;
use super::{Exit, Global, Problem, connect};
use crate::core::{Address, Ownership};
use crate::engine::state::Store;
use crate::render::count;

/// Show what AutoGit manages, or make it forget
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit ledger list
  autogit ledger forget repo.platform/old    it is then found and adopted anew, or left alone")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    state: connect::State,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List what is managed, and whether AutoGit created or adopted it
    List {
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Stop managing resources, without changing them
    Forget {
        /// Addresses, as `ledger list` shows them
        #[arg(required = true, value_name = "ADDRESS")]
        addresses: Vec<Address>,
    },
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let store = self.state.store(global).await?;
        match self.command {
            Command::List { format } => list(&store, format).await,
            Command::Forget { addresses } => {
                let _interrupt = connect::hold(&store, "ledger forget").await?;
                let forgotten = forget(&store, &addresses).await;
                connect::release(&store, forgotten).await
            }
        }
    }
}

async fn list(store: &Store, format: Format) -> Result<Exit, Problem> {
    let ledger = store.load().await?;
    if format == Format::Json {
        let resources: Vec<_> = ledger
            .resources
            .iter()
            .map(|(address, entry)| json!({"address": address, "id": entry.id, "origin": entry.origin}))
            .collect();
        println!(
            "{:#}",
            json!({"format": "autogit-ledger", "version": 1, "instance": ledger.instance, "resources": resources})
        );
        return Ok(Exit::Done);
    }
    for (address, entry) in &ledger.resources {
        let origin = match entry.origin {
            Ownership::Created => "created",
            Ownership::Adopted => "adopted",
        };
        println!("{origin}  {address}  (id {})", entry.id);
    }
    println!(
        "{} managed on {}",
        count(ledger.resources.len() as u64, "resource"),
        ledger.instance
    );
    Ok(Exit::Done)
}

async fn forget(store: &Store, addresses: &[Address]) -> Result<Exit, Problem> {
    let mut ledger = store.load().await?;
    if let Some(unknown) = addresses
        .iter()
        .find(|address| !ledger.resources.contains_key(address))
    {
        return Err(
            Problem::new(format!("failed to forget {unknown}: it is not managed"))
                .help("`autogit ledger list` shows what is"),
        );
    }
    ledger.resources.retain(|address, _| !addresses.contains(address));
    ledger.in_doubt.retain(|address, _| !addresses.contains(address));
    store.save(ledger).await?;
    println!(
        "Forgot {}: left as it is.",
        count(addresses.len() as u64, "resource")
    );
    Ok(Exit::Done)
}
