//! An embedded server that answers as GitLab does where AutoGit and other clients touch it.
//!
//! It serves REST, GraphQL and git over HTTP from one directory, and injects faults on request. README.md
//! describes what it covers and its control interface.

mod app;
mod auth;
mod control;
mod entities;
mod error;
mod faults;
#[cfg(test)]
mod fixture;
mod git;
mod graphql;
mod job_token;
mod membership;
mod meter;
mod naming;
mod paging;
mod params;
mod policy;
mod protection;
mod readme;
mod record;
mod rest;
mod sandbox;
mod secret;
mod server;
mod settings;
mod store;

pub use app::{Edition, Options};
pub use sandbox::Sandbox;
