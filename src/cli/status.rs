//! `autogit status`: which instance this is about, whether it answers, and what is managed on it.

use std::collections::BTreeMap;

use anstream::println;
use serde_json::json;

use super::connect::{Instance, load};
use super::plan::header;
use super::validate::Format;
use super::{Exit, Global, Problem};
use crate::render::count;

/// Show the instance, the acting user, and what is managed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit status
  autogit status --sandbox --format json")]
pub struct Args {
    #[command(flatten)]
    instance: Instance,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// More of what is in doubt is not listed for people: `--format json` has it whole.
const LISTED: usize = 10;

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let (_, config) = load(global)?;
        let connected = self.instance.connect(global, (&config).into(), None).await?;
        let session = &connected.session;
        let ledger = session.store.load().await?;
        let leftovers = &ledger.in_doubt;
        // Finding out takes a right that the rest does not.
        let holder = session.store.holder().await.map_err(Problem::from);
        let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for address in config.declarations.keys() {
            kinds.entry(&address.kind).or_default().0 += 1;
        }
        for address in ledger.resources.keys() {
            kinds.entry(&address.kind).or_default().1 += 1;
        }
        let about = &session.about;
        let edition = if about.enterprise { "ee" } else { "ce" };
        if self.format == Format::Json {
            let kinds: BTreeMap<_, _> = kinds
                .iter()
                .map(|(kind, (declared, managed))| (kind, json!({"declared": declared, "managed": managed})))
                .collect();
            println!(
                "{:#}",
                json!({
                    "format": "autogit-status",
                    "version": 1,
                    "url": session.url,
                    "gitlab": {"version": about.version, "edition": edition},
                    "user": {"name": about.user, "administrator": about.admin},
                    "store": session.store.describe(),
                    "locked_by": holder.as_ref().unwrap_or(&None),
                    "interrupted": leftovers.keys().collect::<Vec<_>>(),
                    "kinds": kinds,
                })
            );
            return holder.map(|_| Exit::Done);
        }
        println!("{}", header(session));
        for (kind, (declared, managed)) in kinds {
            println!("  {kind}: {declared} declared, {managed} managed");
        }
        match &holder {
            Ok(Some(holder)) => println!("Locked by {holder}"),
            Ok(None) => println!("Not locked"),
            Err(_) => println!("Whether it is locked is not known"),
        }
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
        holder.map(|_| Exit::Done)
    }
}
