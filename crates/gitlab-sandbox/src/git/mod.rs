//! Repositories: what is read from them, what is written to them, and how git reaches them.

mod access;
pub mod change;
pub mod http;
pub mod merge;
pub mod refs;
pub mod repository;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::app::App;

impl App {
    /// Notes the push, and gives the project its default branch when it was the first one.
    pub fn after_push(&self, project_id: u64) {
        let repository = self.repository_path(project_id);
        let noted = self.write(|store| {
            let now = Timestamp::now();
            Ok(store.projects.update(project_id, |project| {
                project.last_activity_at = now;
                project.default_branch.clone()
            }))
        });
        let Ok(Some(None)) = noted else { return };
        let names = refs::branch_names(&repository);
        let candidates = refs::head(&repository)
            .into_iter()
            .chain(["main".to_owned(), "master".to_owned()]);
        let known = candidates.into_iter().find(|name| names.contains(name));
        let Some(branch) = known.or_else(|| names.first().cloned()) else {
            return;
        };
        if let Err(error) = refs::set_head(&repository, &branch) {
            eprintln!("failed to point HEAD of project {project_id} at {branch}: {error}");
        }
        self.after_first_push(project_id, &branch);
    }
}
