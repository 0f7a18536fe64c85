//! The Docker Engine: a [`Looker`] that has no way to change anything, and [`Hands`] that do.

mod archive;
mod error;
mod exec;
mod hands;
mod lines;
mod log;
mod looker;
mod transfer;

pub use error::Error;
pub use exec::Output;
pub use hands::Hands;
pub use log::Which;
pub use looker::{Engine, Looker};

/// How the Engine is addressed unless somebody says otherwise.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How the Engine is addressed: `unix:///var/run/docker.sock`. What a config says comes first, then `DOCKER_HOST`.
pub fn host(configured: Option<&str>) -> String {
    let environment = || std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let host = configured.map(str::to_owned).or_else(environment);
    host.unwrap_or_else(|| DEFAULT_HOST.to_owned())
}
