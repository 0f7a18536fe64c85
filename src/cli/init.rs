//! `autogit init`: a commented config to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use super::{Exit, Global, Problem};
use crate::config;

/// Write a commented starter config
///
/// The file is written to --config (autogit.yaml by default) and never replaces one that is there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit init
  autogit init --config forge/autogit.yaml")]
pub struct Args {}

impl Args {
    pub fn run(self, global: &Global) -> Result<Exit, Problem> {
        let path = &global.config;
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let written = file.and_then(|mut file| file.write_all(config::starter().as_bytes()));
        match written {
            Ok(()) => {
                anstream::println!(
                    "Wrote {}. Look through it, then try it: autogit apply --sandbox",
                    path.display()
                );
                Ok(Exit::Done)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Problem::new(format!(
                "failed to write {}: it is there already",
                path.display()
            ))
            .help("name another file with --config, or remove that one")),
            Err(error) => Err(Problem::new(format!(
                "failed to write {}: {error}",
                path.display()
            ))),
        }
    }
}
