//! `autogit validate`: everything that can be said of a config without asking GitLab.

use std::collections::BTreeSet;

use anstream::println;
use serde_json::json;

use super::output::color;
use super::{Exit, Global, Problem, connect, findings};
use crate::config::{self, Config, Severity};
use crate::core::Plan;
use crate::engine::secrets::judge;
use crate::kinds;
use crate::live::secrets::Secrets;
use crate::render::count;

/// Check the config, offline
///
/// Reports every problem of all files at once. What only GitLab can answer is left to `plan`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit validate
  autogit validate --config forge/autogit.yaml --format json")]
pub struct Args {
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Look at no secret; otherwise those that resolve without running a program are judged by GitLab's rules
    #[arg(long)]
    no_secrets: bool,
}

/// Text for people, JSON for programs.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let mut loaded = config::load(&global.config, &kinds::shapes());
        let mut unknown = BTreeSet::new();
        if let Some(config) = loaded.config.as_ref().filter(|_| !self.no_secrets) {
            let secrets = Secrets::new(connect::folder(&global.config), false);
            let of_state = config.state.as_ref().and_then(|state| state.token.as_ref());
            for token in config.gitlab.token.iter().chain(of_state) {
                // Once it is known, it is the value of nothing; where it does not resolve, nothing can be told.
                let _ = secrets.token(token).await;
            }
            let problems;
            (problems, unknown) = judge(config, &secrets).await;
            let plan = Plan {
                problems,
                ..Plan::default()
            };
            loaded.diagnostics.extend(findings::of_plan(&plan, config));
        }
        let errors = loaded
            .diagnostics
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .count();
        let resources = loaded.config.as_ref().map_or(0, Config::resources);
        if self.format == Format::Json {
            println!(
                "{:#}",
                json!({
                    "format": "autogit-validate",
                    "version": 1,
                    "valid": errors == 0,
                    "resources": resources,
                    "diagnostics": loaded.diagnostics,
                    "secrets_not_judged": unknown,
                })
            );
        } else {
            findings::show(&loaded.sources, &loaded.diagnostics, color());
            let warnings = count((loaded.diagnostics.len() - errors) as u64, "warning");
            let file = global.config.display();
            match errors {
                0 => println!(
                    "{file} is valid: {}, {warnings}",
                    count(resources as u64, "resource")
                ),
                _ => println!(
                    "{file} is not valid: {}, {warnings}",
                    count(errors as u64, "error")
                ),
            }
            if !unknown.is_empty() {
                println!(
                    "{} not judged, for want of a value here",
                    count(unknown.len() as u64, "secret")
                );
            }
        }
        Ok(if errors == 0 { Exit::Done } else { Exit::Failed })
    }
}
