//! The outside: GitLab, the Docker Engine, the sandbox that stands in for it, files, and the secrets needed to reach them.

pub mod certificate;
pub mod docker;
pub mod files;
pub mod gitlab;
pub mod host;
pub mod sandbox;
pub mod secrets;
