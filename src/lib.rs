//! AutoGit: one file declares a GitLab forge; plan shows the difference to what is live, apply closes it.

pub mod cli;
pub mod config;
pub mod core;
pub mod engine;
pub mod export;
pub mod instance;
pub mod kinds;
pub mod live;
pub mod render;
