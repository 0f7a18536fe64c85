//! The file that `autogit init` writes.

/// A commented config to begin with; it validates.
pub fn starter() -> &'static str {
    include_str!("starter.yaml")
}
