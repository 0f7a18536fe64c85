//! A commit made from a list of changes to files, as GitLab's API makes them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use super::repository::Repository;
use crate::error::ApiResult;

/// One change to a file.
pub struct Action {
    pub kind: Kind,
    pub path: String,
    /// Where a moved file was.
    pub previous_path: Option<String>,
    /// `None`: for a move, what the file held; for a creation, nothing.
    pub content: Option<Vec<u8>>,
    /// `None`: as it was.
    pub executable: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Create,
    Update,
    Move,
    Delete,
    Chmod,
}

/// A commit to make.
pub struct Change<'a> {
    pub branch: &'a str,
    /// The commit to build on; `None` in an empty repository.
    pub parent: Option<String>,
    /// Whether the branch may stand elsewhere than at `parent`.
    pub force: bool,
    pub actions: &'a [Action],
    pub message: &'a str,
    pub author: (&'a str, &'a str),
    pub committer: (&'a str, &'a str),
}

/// Mode and id of a file.
type File = (String, String);

impl Change<'_> {
    /// Makes the commit and moves the branch to it; `Ok(Err)` holds why GitLab refuses.
    pub async fn commit(&self, repository: &Repository) -> ApiResult<Result<String, String>> {
        let mut files = BTreeMap::new();
        if let Some(parent) = &self.parent {
            for entry in repository.tree(parent, "", true).await? {
                if entry.kind != "tree" {
                    files.insert(entry.path, (entry.mode, entry.id));
                }
            }
        }
        for action in self.actions {
            if let Err(refused) = action.apply(repository, &mut files).await? {
                return Ok(Err(refused));
            }
        }
        let tree = write_tree(repository, &files).await?;
        let mut args = vec!["commit-tree", &tree, "-F", "-"];
        if let Some(parent) = &self.parent {
            args.extend(["-p", parent]);
        }
        let env = [
            ("GIT_AUTHOR_NAME", self.author.0),
            ("GIT_AUTHOR_EMAIL", self.author.1),
            ("GIT_COMMITTER_NAME", self.committer.0),
            ("GIT_COMMITTER_EMAIL", self.committer.1),
            ("TZ", "UTC"),
        ];
        let commit = repository.run(&args, &env, self.message.as_bytes()).await?;
        let reference = format!("refs/heads/{}", self.branch);
        let present = repository.resolve(&reference).await?;
        let expected = match (&present, &self.parent) {
            _ if self.force => present.as_deref(),
            (Some(_), Some(parent)) => Some(parent.as_str()),
            _ => None,
        };
        // An empty old value asks that the branch is not there.
        let update = ["update-ref", &reference, &commit, expected.unwrap_or_default()];
        match repository.ask(&update, b"").await? {
            Some(_) => Ok(Ok(commit)),
            None => Ok(Err(
                "Could not update branch. Please refresh and try again.".to_owned()
            )),
        }
    }
}

impl Action {
    async fn apply(
        &self,
        repository: &Repository,
        files: &mut BTreeMap<String, File>,
    ) -> ApiResult<Result<(), String>> {
        let refused = |why: &str| Ok(Err(why.to_owned()));
        if self.path.split('/').any(|part| part == "..") {
            return refused("Path cannot include directory traversal");
        }
        if self
            .path
            .split('/')
            .any(|part| part.is_empty() || part == "." || part.eq_ignore_ascii_case(".git"))
        {
            return refused("invalid path");
        }
        let new = matches!(self.kind, Kind::Create | Kind::Move);
        if new && files.contains_key(&self.path) {
            return refused("A file with this name already exists");
        }
        if new
            && files
                .keys()
                .any(|path| path.starts_with(&format!("{}/", self.path)))
        {
            return refused("A directory with this name already exists");
        }
        let source = self
            .previous_path
            .as_ref()
            .filter(|_| self.kind == Kind::Move)
            .unwrap_or(&self.path);
        let present = if self.kind == Kind::Create {
            None
        } else {
            files.remove(source)
        };
        if self.kind != Kind::Create && present.is_none() {
            return refused("A file with this name doesn't exist");
        }
        if self.kind == Kind::Delete {
            return Ok(Ok(()));
        }
        let (mode, id) = present.unzip();
        let mode = match self.executable {
            Some(true) => "100755".to_owned(),
            Some(false) => "100644".to_owned(),
            None => mode.unwrap_or_else(|| "100644".to_owned()),
        };
        let id = match (&self.content, id) {
            (Some(content), _) if self.kind != Kind::Chmod => store(repository, content).await?,
            (_, Some(id)) => id,
            (_, None) => store(repository, b"").await?,
        };
        files.insert(self.path.clone(), (mode, id));
        Ok(Ok(()))
    }
}

async fn store(repository: &Repository, content: &[u8]) -> ApiResult<String> {
    repository
        .run(&["hash-object", "-w", "--stdin"], &[], content)
        .await
}

async fn write_tree(repository: &Repository, files: &BTreeMap<String, File>) -> ApiResult<String> {
    static NEXT: AtomicU64 = AtomicU64::new(0);

    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let index = repository
        .dir
        .join(format!("index.{}.{number}", std::process::id()));
    let env = [("GIT_INDEX_FILE", &*index.to_string_lossy())];
    let mut lines = String::new();
    for (path, (mode, id)) in files {
        lines.push_str(&format!("{mode} {id}\t{path}\0"));
    }
    let filled = repository
        .run(&["update-index", "-z", "--index-info"], &env, lines.as_bytes())
        .await;
    let tree = match filled {
        Ok(_) => repository.run(&["write-tree"], &env, b"").await,
        Err(error) => Err(error),
    };
    // There is no index where there is no file.
    let _ = tokio::fs::remove_file(&index).await;
    tree
}
