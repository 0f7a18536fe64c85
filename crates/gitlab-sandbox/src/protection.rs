//! Protected branches: what they let whom do, and how the default branch gets its own.

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use crate::{
    app::App,
    policy::Ability,
    store::{AccessLevel, Grantee, Project, ProtectedBranch, Sequence, Store, User},
};

impl ProtectedBranch {
    /// Whether the name, a wildcard perhaps, covers the branch.
    pub fn matches(&self, branch: &str) -> bool {
        if !self.name.contains('*') {
            return self.name == branch;
        }
        let parts: Vec<String> = self.name.split('*').map(regex::escape).collect();
        Regex::new(&format!("^{}$", parts.join(".*"))).is_ok_and(|pattern| pattern.is_match(branch))
    }
}

impl Store {
    /// The rules that cover a branch.
    pub fn protections<'a>(
        &'a self,
        project_id: u64,
        branch: &'a str,
    ) -> impl Iterator<Item = &'a ProtectedBranch> {
        self.protected_branches
            .children(project_id)
            .filter(move |rule| rule.matches(branch))
    }

    /// Whether the user may push to the branch. Rules that cover it together allow what any of them allows.
    pub fn can_push(&self, user: Option<&User>, project: &Project, branch: &str) -> bool {
        if !self.can(user, Ability::PushCode, project) {
            return false;
        }
        let Some(user) = user else { return false };
        if project.default_branch.is_none() {
            return self.can_push_first(user, project);
        }
        let mut rules = self.protections(project.id, branch).peekable();
        rules.peek().is_none() || rules.any(|rule| self.grants(&rule.push_access_levels, user, project))
    }

    /// An empty repository is guarded by how its default branch will be protected.
    fn can_push_first(&self, user: &User, project: &Project) -> bool {
        let defaults = self.default_protection(project.namespace_id);
        self.can(Some(user), Ability::AdminProject, project)
            || !is_protecting(&defaults)
            || defaults["developer_can_initial_push"] == true
            || levels_of(&defaults, "allowed_to_push").contains(&30)
    }

    /// Whether any of the access levels lets the user in. An administrator's own role counts, as everybody's.
    pub fn grants(&self, levels: &[AccessLevel], user: &User, project: &Project) -> bool {
        let role = self.project_role(Some(user), project);
        levels.iter().any(|level| match level.who {
            Grantee::Role(0) => false,
            Grantee::Role(60) => user.admin,
            Grantee::Role(needed) => role >= needed,
            Grantee::User(id) => id == user.id,
            Grantee::Group(id) => self.group_role(Some(user), id) >= 30,
            Grantee::DeployKey(_) => false,
        })
    }

    /// Adds a rule that names roles only; returns its id.
    pub fn protect(
        &mut self,
        project_id: u64,
        name: &str,
        push: u8,
        merge: u8,
        allow_force_push: bool,
    ) -> u64 {
        let id = self.protected_branches.next_id();
        let now = Timestamp::now();
        let push = self.role_level(push);
        let merge = self.role_level(merge);
        self.protected_branches.insert(ProtectedBranch {
            id,
            project_id,
            name: name.to_owned(),
            allow_force_push,
            code_owner_approval_required: false,
            push_access_levels: vec![push],
            merge_access_levels: vec![merge],
            unprotect_access_levels: Vec::new(),
            created_at: now,
            updated_at: now,
        });
        id
    }

    fn role_level(&mut self, role: u8) -> AccessLevel {
        self.access_level(Grantee::Role(role))
    }

    /// A new access level; it becomes part of a rule.
    pub fn access_level(&mut self, who: Grantee) -> AccessLevel {
        AccessLevel {
            id: self.next(Sequence::AccessLevels),
            who,
        }
    }

    /// Protects the default branch as the namespace or the instance asks, unless a rule covers it.
    fn protect_default_branch(&mut self, project_id: u64) {
        let found = self.projects.update(project_id, |project| {
            project.awaits_protection = false;
            (project.namespace_id, project.default_branch.clone())
        });
        let Some((namespace_id, Some(branch))) = found else {
            return;
        };
        let defaults = self.default_protection(namespace_id);
        if !is_protecting(&defaults) || self.protections(project_id, &branch).next().is_some() {
            return;
        }
        let push = role_of(&levels_of(&defaults, "allowed_to_push"));
        let merge = role_of(&levels_of(&defaults, "allowed_to_merge"));
        self.protect(
            project_id,
            &branch,
            push,
            merge,
            defaults["allow_force_push"] == true,
        );
    }
}

/// Whether these defaults protect at all: force pushes by developers do not.
fn is_protecting(defaults: &Value) -> bool {
    let all_developers = |key: &str| levels_of(defaults, key).iter().all(|level| *level == 30);
    defaults["allow_force_push"] != true
        || !all_developers("allowed_to_push")
        || !all_developers("allowed_to_merge")
}

fn levels_of(defaults: &Value, key: &str) -> Vec<u64> {
    let items = defaults[key].as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| item["access_level"].as_u64())
        .collect()
}

/// The one role that GitLab takes of several: the first of these that is among them.
fn role_of(levels: &[u64]) -> u8 {
    match levels {
        levels if levels.contains(&0) => 0,
        levels if levels.contains(&30) => 30,
        levels if levels.contains(&40) => 40,
        _ => 60,
    }
}

impl App {
    /// Records that the repository has its first branch, and protects it a moment later, as GitLab does.
    pub fn after_first_push(&self, project_id: u64, branch: &str) {
        let recorded = self.write(|store| {
            store.projects.update(project_id, |project| {
                project.default_branch = Some(branch.to_owned());
                project.awaits_protection = true;
            });
            Ok(())
        });
        match recorded {
            Ok(()) => self.protect_later(project_id),
            Err(error) => eprintln!("failed to record the first push to project {project_id}: {error}"),
        }
    }

    /// Takes up the protections that a former process did not come to.
    pub fn resume_protections(&self) {
        let waiting: Vec<u64> = {
            let store = self.read();
            let projects = store.projects.iter().filter(|project| project.awaits_protection);
            projects.map(|project| project.id).collect()
        };
        for project_id in waiting {
            self.protect_later(project_id);
        }
    }

    fn protect_later(&self, project_id: u64) {
        let app = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(app.options().protection_delay).await;
            let protected = app.write(|store| {
                store.protect_default_branch(project_id);
                Ok(())
            });
            if let Err(error) = protected {
                eprintln!("failed to protect the default branch of project {project_id}: {error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_is_special() {
        let rule = |name: &str| ProtectedBranch {
            id: 1,
            project_id: 1,
            name: name.to_owned(),
            allow_force_push: false,
            code_owner_approval_required: false,
            push_access_levels: Vec::new(),
            merge_access_levels: Vec::new(),
            unprotect_access_levels: Vec::new(),
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
        };
        assert!(rule("release/*").matches("release/1.0/rc"));
        assert!(rule("*-stable").matches("1-0-stable"));
        assert!(!rule("release/*").matches("my/release/1"));
        assert!(!rule("v1.0").matches("v1x0"));
        assert!(!rule("v1.*").matches("v1x0"));
    }
}
