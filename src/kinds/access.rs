//! What GitLab asks of a token and its user before a kind can be read or written.

use std::fmt;

/// A role of GitLab's, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The least that a member is.
    Guest,
    /// Sees the code, and changes it where nothing is protected.
    Developer,
    /// Sets a repo up.
    Maintainer,
    /// Decides who sees it and who is in it.
    Owner,
    /// Of the instance.
    Administrator,
}

impl Role {
    /// GitLab's number for it among a group's or repo's members.
    pub fn level(self) -> u64 {
        match self {
            Role::Guest => 10,
            Role::Developer => 30,
            Role::Maintainer => 40,
            Role::Owner => 50,
            Role::Administrator => 60,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Guest => "member",
            Role::Developer => "Developer",
            Role::Maintainer => "Maintainer",
            Role::Owner => "Owner",
            Role::Administrator => "administrator",
        })
    }
}

/// Where a role is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// The group that the resource is or lives in.
    Group,
    /// The repo that the resource is or lives in.
    Repo,
    /// All of GitLab.
    Instance,
}

impl On {
    /// What it is called, in the singular.
    pub fn name(self) -> &'static str {
        match self {
            On::Group => "group",
            On::Repo => "repo",
            On::Instance => "instance",
        }
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {}", self.name())
    }
}

/// What a kind takes to be read, with the scope `read_api`, or to be written, with the scope `api`.
/// Reads as "Maintainer of the repo; Owner to delete it".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The role without which nothing of it goes.
    pub role: Role,
    /// Where.
    pub on: On,
    /// A higher role that some of it takes, and for what: `to delete it`.
    pub more: Option<(Role, &'static str)>,
}

impl Access {
    /// What takes one role for all of it.
    pub const fn new(role: Role, on: On) -> Self {
        Access { role, on, more: None }
    }

    /// Adds a role that some of it takes.
    pub const fn and(self, role: Role, what_for: &'static str) -> Self {
        Access {
            more: Some((role, what_for)),
            ..self
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.role, self.on)?;
        match self.more {
            Some((role, what_for)) => write!(f, "; {role} {what_for}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_what_somebody_has_to_be() {
        let access = Access::new(Role::Maintainer, On::Repo);
        assert_eq!(access.to_string(), "Maintainer of the repo");
        assert_eq!(
            access.and(Role::Owner, "to delete it").to_string(),
            "Maintainer of the repo; Owner to delete it"
        );
    }
}
