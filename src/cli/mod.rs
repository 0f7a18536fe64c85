//! The command line: arguments in, exit code out. Each command is a file, and calls the library.

mod apply;
mod backup;
mod comment;
mod complete;
mod connect;
mod doctor;
mod export;
mod findings;
mod init;
mod interrupt;
mod ledger;
mod logs;
mod output;
mod plan;
mod progress;
mod report;
mod revert;
mod run;
mod sandbox;
mod schema;
mod stage;
mod state;
mod status;
mod unlock;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use output::{Exit, Problem};

/// Run a whole GitLab forge from one file.
///
/// `autogit.yaml` declares groups, repos, branch protections, members and CI/CD variables. `plan` shows the difference
/// to what is live, `apply` closes it. What the file leaves out is left alone.
#[derive(Parser)]
#[command(name = "autogit", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  autogit init                     write a commented autogit.yaml
  autogit apply --sandbox --yes    try it on the embedded sandbox: no GitLab needed
  autogit doctor --url URL         what stands between you and your GitLab; writes nothing there
  autogit export --url URL         print the config that declares it as it is
  autogit plan                     show what would change on it; writes nothing
  autogit apply                    change it, after asking

Exit codes: 0 done or nothing to do; 1 failure; 2 changes (with --detailed-exitcode);
3 declined; 130 interrupted.")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Arguments of every command.
#[derive(clap::Args)]
struct Global {
    /// The config file
    #[arg(long, global = true, value_name = "PATH", default_value = "autogit.yaml")]
    config: PathBuf,
    /// Say more: -v what is done, -vv every request, -vvv bodies with secrets masked
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Write the log to a file, at least at -vv
    #[arg(long, global = true, value_name = "PATH")]
    log_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    Doctor(doctor::Args),
    Export(export::Args),
    Validate(validate::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Revert(revert::Args),
    Comment(comment::Args),
    Status(status::Args),
    Logs(logs::Args),
    Ledger(ledger::Args),
    State(state::Args),
    Unlock(unlock::Args),
    Backup(backup::Args),
    Schema(schema::Args),
    Sandbox(sandbox::Args),
    Completions(complete::Args),
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let outcome = output::log_to(&global).and_then(|()| match command {
        Command::Init(args) => args.run(&global),
        Command::Doctor(args) => block_on(args.run(&global)),
        Command::Export(args) => block_on(args.run(&global)),
        Command::Validate(args) => block_on(args.run(&global)),
        Command::Plan(args) => block_on(args.run(&global)),
        Command::Apply(args) => block_on(args.run(&global)),
        Command::Revert(args) => block_on(args.run(&global)),
        Command::Comment(args) => block_on(args.run(&global)),
        Command::Status(args) => block_on(args.run(&global)),
        Command::Logs(args) => block_on(args.run(&global)),
        Command::Ledger(args) => block_on(args.run(&global)),
        Command::State(args) => block_on(args.run(&global)),
        Command::Unlock(args) => block_on(args.run(&global)),
        Command::Backup(args) => block_on(args.run(&global)),
        Command::Schema(args) => args.run(),
        Command::Sandbox(args) => block_on(args.run(&global)),
        Command::Completions(args) => args.run(),
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(problem) => {
            problem.print();
            Exit::Failed.into()
        }
    }
}

/// The whole command line, for completions and the reference.
pub fn command() -> clap::Command {
    Cli::command()
}

fn block_on(outcome: impl Future<Output = Result<Exit, Problem>>) -> Result<Exit, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime
        .map_err(|error| Problem::new(format!("failed to start: {error}")))?
        .block_on(outcome)
}
