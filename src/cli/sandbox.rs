//! `autogit sandbox`: the embedded stand-in for GitLab, for as long as one wants it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gitlab_sandbox::{Edition, Options, Sandbox};
use tokio::io::AsyncReadExt;

use super::{Exit, Global, Problem, connect};

/// Run the embedded GitLab-compatible sandbox
///
/// A stand-in for trying configs and clients: REST, GraphQL and git over HTTP as GitLab CE answers them,
/// with data in a directory. The administrator's token is in the file `token` there. Not for real work.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit sandbox --listen 127.0.0.1:8080 --dir /tmp/forge
  curl -H \"PRIVATE-TOKEN: $(cat /tmp/forge/token)\" http://127.0.0.1:8080/api/v4/user")]
pub struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where data is kept; by default where --sandbox keeps it: in .autogit/sandbox/server beside the config
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Which GitLab to be
    #[arg(long, value_enum, default_value_t)]
    edition: Which,
    /// Milliseconds added to every API request
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// The release that it says it is: 18.8.4
    #[arg(long, value_name = "VERSION", hide = true)]
    release: Option<String>,
    /// What links in answers start with, for clients that come through a proxy
    #[arg(long, value_name = "URL", hide = true)]
    url: Option<String>,
    /// Append every API exchange to this file, one JSON object a line, secrets left out
    #[arg(long, value_name = "PATH")]
    record: Option<PathBuf>,
    /// End when standard input does
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Which {
    /// Community Edition
    #[default]
    Ce,
    /// Enterprise Edition, where the two differ
    Ee,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let dir = match self.dir {
            Some(dir) => dir,
            None => connect::sandbox_data(&connect::directory(global, connect::SANDBOX)?),
        };
        let mut options = Options::new(&dir);
        options.listen = self.listen;
        options.edition = match self.edition {
            Which::Ce => Edition::Ce,
            Which::Ee => Edition::Ee,
        };
        options.latency = Duration::from_millis(self.latency);
        options.record = self.record;
        options.url = self.url;
        if let Some(release) = self.release {
            options.version = release;
        }
        let failed = |error: io::Error| {
            let (listen, dir) = (self.listen, dir.display());
            match error.kind() {
                io::ErrorKind::ResourceBusy => Problem::new(format!(
                    "failed to serve the sandbox from {dir}: another autogit command uses it"
                ))
                .help("wait until that command is done"),
                _ => Problem::new(format!(
                    "failed to serve the sandbox at {listen} from {dir}: {error}"
                )),
            }
        };
        let mut sandbox = Sandbox::start(options).await.map_err(failed)?;
        anstream::println!("the sandbox listens on {}", sandbox.url());
        tokio::select! {
            served = sandbox.wait() => served.map_err(failed)?,
            _ = tokio::signal::ctrl_c(), if !self.until_stdin_closes => sandbox.shutdown().await.map_err(failed)?,
            _ = stdin_closes(), if self.until_stdin_closes => sandbox.shutdown().await.map_err(failed)?,
        }
        Ok(Exit::Done)
    }
}

async fn stdin_closes() {
    let mut sink = [0; 64];
    while matches!(tokio::io::stdin().read(&mut sink).await, Ok(read) if read > 0) {}
}
