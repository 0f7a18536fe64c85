//! Merging: what one branch has that another lacks, and the commit that brings it there.

use super::repository::Repository;
use crate::error::ApiResult;

impl Repository {
    /// The commit where two lines of history part.
    pub async fn merge_base(&self, one: &str, other: &str) -> ApiResult<Option<String>> {
        let found = self.ask(&["merge-base", one, other], b"").await?;
        Ok(found.map(|text| String::from_utf8_lossy(&text).trim().to_owned()))
    }

    /// How many files differ between two commits.
    pub async fn changed_files(&self, from: &str, to: &str) -> ApiResult<usize> {
        let names = self.ask(&["diff", "--name-only", "-z", from, to], b"").await?;
        Ok(names
            .unwrap_or_default()
            .iter()
            .filter(|byte| **byte == 0)
            .count())
    }

    /// The tree that a merge of `source` into `target` has; `None` where they conflict.
    pub async fn merged_tree(&self, target: &str, source: &str) -> ApiResult<Option<String>> {
        let args = ["merge-tree", "--write-tree", "--no-messages", target, source];
        let tree = self.ask(&args, b"").await?;
        Ok(tree.map(|text| String::from_utf8_lossy(&text).trim().to_owned()))
    }

    /// Makes a commit of a tree, by one person, without moving a branch.
    pub async fn commit_tree(
        &self,
        tree: &str,
        parents: &[&str],
        message: &str,
        (name, email): (&str, &str),
    ) -> ApiResult<String> {
        let mut args = vec!["commit-tree", tree, "-F", "-"];
        args.extend(parents.iter().flat_map(|parent| ["-p", *parent]));
        let env = [
            ("GIT_AUTHOR_NAME", name),
            ("GIT_AUTHOR_EMAIL", email),
            ("GIT_COMMITTER_NAME", name),
            ("GIT_COMMITTER_EMAIL", email),
        ];
        let id = self.run(&args, &env, message.as_bytes()).await?;
        Ok(id.trim().to_owned())
    }

    /// Moves a branch that is at `from`; false when it is not there any more.
    pub async fn move_branch(&self, branch: &str, to: &str, from: &str) -> ApiResult<bool> {
        let reference = format!("refs/heads/{branch}");
        let moved = self.ask(&["update-ref", &reference, to, from], b"").await?;
        Ok(moved.is_some())
    }
}
