//! Full paths: who has which, and what follows when a group or project moves.

use super::{Group, Namespace, Project, RedirectRoute, Source, Store};

impl Store {
    /// Whether a group, a user or a project has this full path, whatever its case.
    pub fn is_taken(&self, full_path: &str) -> bool {
        let key = full_path.to_lowercase();
        self.groups.find(&key).is_some()
            || self.projects.find(&key).is_some()
            || self.users.find(&key).is_some()
    }

    /// Full path of what owns a project.
    pub fn namespace_path(&self, namespace_id: u64) -> String {
        match self.namespace(namespace_id) {
            Some(Namespace::Group(group)) => group.full_path.clone(),
            Some(Namespace::User(user)) => user.username.clone(),
            None => String::new(),
        }
    }

    /// Adds a project under its namespace; its `full_path` is filled in here.
    pub fn add_project(&mut self, mut project: Project) {
        project.full_path = format!("{}/{}", self.namespace_path(project.namespace_id), project.path);
        self.drop_redirects(&project.full_path);
        self.projects.insert(project);
    }

    /// Adds a group under its parent; its `full_path` is filled in here.
    pub fn add_group(&mut self, mut group: Group) {
        group.full_path = self.group_path(group.parent_id, &group.path);
        self.drop_redirects(&group.full_path);
        self.groups.insert(group);
    }

    /// Gives a project another namespace or path; the former path redirects.
    pub fn move_project(&mut self, id: u64, namespace_id: u64, path: &str) {
        let full_path = format!("{}/{path}", self.namespace_path(namespace_id));
        let former = self.projects.update(id, |project| {
            project.namespace_id = namespace_id;
            path.clone_into(&mut project.path);
            std::mem::replace(&mut project.full_path, full_path.clone())
        });
        if let Some(former) = former {
            self.redirect_from(&former, &full_path, Source::Project(id));
        }
    }

    /// Gives a group another parent or path, with everything below it; former paths redirect.
    pub fn move_group(&mut self, id: u64, parent_id: Option<u64>, path: &str) {
        let full_path = self.group_path(parent_id, path);
        let former = self.groups.update(id, |group| {
            group.parent_id = parent_id;
            path.clone_into(&mut group.path);
            std::mem::replace(&mut group.full_path, full_path.clone())
        });
        let Some(former) = former else { return };
        self.redirect_from(&former, &full_path, Source::Group(id));
        let projects: Vec<_> = self
            .projects
            .children(id)
            .map(|row| (row.id, row.path.clone()))
            .collect();
        for (project_id, path) in projects {
            self.move_project(project_id, id, &path);
        }
        let groups: Vec<_> = self
            .groups
            .children(Some(id))
            .map(|row| (row.id, row.path.clone()))
            .collect();
        for (group_id, path) in groups {
            self.move_group(group_id, Some(id), &path);
        }
    }

    /// Removes a project and what belongs to it.
    pub fn remove_project(&mut self, id: u64) {
        self.members.remove_children(Source::Project(id));
        self.group_links.remove_children(Source::Project(id));
        self.protected_branches.remove_children(id);
        self.deploy_keys.remove_children(id);
        self.variables.remove_children(Some(Source::Project(id)));
        let merge_requests: Vec<u64> = self.merge_requests.children(id).map(|row| row.id).collect();
        for merge_request in merge_requests {
            self.notes.remove_children(merge_request);
            self.merge_requests.remove(merge_request);
        }
        let states: Vec<u64> = self.terraform_states.children(id).map(|row| row.id).collect();
        for state in states {
            self.remove_terraform_state(state);
        }
        self.jobs.remove_children(id);
        let forks: Vec<u64> = self.forks(id).map(|row| row.id).collect();
        for fork in forks {
            self.projects.update(fork, |project| project.forked_from = None);
        }
        self.redirects.remove_children(Source::Project(id));
        self.projects.remove(id);
    }

    /// Removes a Terraform state and its versions.
    pub fn remove_terraform_state(&mut self, id: u64) {
        self.terraform_state_versions.remove_children(id);
        self.terraform_states.remove(id);
    }

    /// Removes a group with its subgroups and projects, and returns the ids of those projects.
    pub fn remove_group(&mut self, id: u64) -> Vec<u64> {
        let mut removed: Vec<u64> = self.projects.children(id).map(|row| row.id).collect();
        for project in &removed {
            self.remove_project(*project);
        }
        let children: Vec<_> = self.groups.children(Some(id)).map(|row| row.id).collect();
        for child in children {
            removed.extend(self.remove_group(child));
        }
        self.members.remove_children(Source::Group(id));
        self.group_links.remove_children(Source::Group(id));
        let invitations = self.group_links.iter().filter(|link| link.group_id == id);
        for link in invitations.map(|link| link.id).collect::<Vec<_>>() {
            self.group_links.remove(link);
        }
        self.variables.remove_children(Some(Source::Group(id)));
        self.redirects.remove_children(Source::Group(id));
        self.groups.remove(id);
        removed
    }

    fn group_path(&self, parent_id: Option<u64>, path: &str) -> String {
        match parent_id.and_then(|id| self.groups.get(id)) {
            Some(parent) => format!("{}/{path}", parent.full_path),
            None => path.to_owned(),
        }
    }

    fn redirect_from(&mut self, former: &str, now: &str, target: Source) {
        self.drop_redirects(now);
        if former.eq_ignore_ascii_case(now) {
            return;
        }
        self.drop_redirects(former);
        let id = self.redirects.next_id();
        self.redirects.insert(RedirectRoute {
            id,
            path: former.to_owned(),
            target,
        });
    }

    /// Something lives at this path now, so nothing redirects from it.
    fn drop_redirects(&mut self, path: &str) {
        if let Some(id) = self.redirects.find(&path.to_lowercase()).map(|row| row.id) {
            self.redirects.remove(id);
        }
    }
}
