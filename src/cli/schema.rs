//! `autogit schema`: the JSON Schemas of what this program reads and prints.

use anstream::println;

use super::{Exit, Problem};
use crate::{config, kinds, render};

/// Print a JSON Schema
///
/// With the config's schema an editor completes and explains autogit.yaml:
/// put `# yaml-language-server: $schema=./schema/autogit.schema.json` in its first line.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit schema > schema/autogit.schema.json
  autogit schema plan")]
pub struct Args {
    /// Of what
    #[arg(value_enum, default_value_t)]
    of: Of,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Of {
    /// autogit.yaml
    #[default]
    Config,
    /// What `plan --format json` prints
    Plan,
}

impl Args {
    pub fn run(self) -> Result<Exit, Problem> {
        let schema = match self.of {
            Of::Config => config::schema(&kinds::shapes()),
            Of::Plan => render::plan_schema(),
        };
        println!("{schema:#}");
        Ok(Exit::Done)
    }
}
