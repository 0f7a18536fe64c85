//! What git's plumbing says of one bare repository.

use std::{collections::BTreeMap, ffi::OsStr, path::PathBuf, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::error::{ApiError, ApiResult};

/// One commit as `git log` prints it: fields end with NUL, which no field can hold.
const COMMIT_FORMAT: &str =
    "--format=%H%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B%x00%(trailers:only,unfold)%x00";
const COMMIT_FIELDS: usize = 10;

/// A bare repository.
pub struct Repository {
    pub dir: PathBuf,
}

/// A commit.
#[derive(Clone)]
pub struct Commit {
    pub id: String,
    pub parents: Vec<String>,
    pub author: Signature,
    pub committer: Signature,
    pub message: String,
    /// `key: value` lines at the end of the message, by key.
    pub trailers: BTreeMap<String, Vec<String>>,
}

/// Who did something, and when, in RFC 3339 with milliseconds.
#[derive(Clone)]
pub struct Signature {
    pub name: String,
    pub email: String,
    pub date: String,
}

/// A branch or tag.
pub struct Ref {
    pub name: String,
    /// What it points at: a commit, or an annotated tag's object.
    pub target: String,
    /// The commit behind it.
    pub commit: String,
    /// Of an annotated tag.
    pub message: Option<String>,
    /// When an annotated tag was made.
    pub tagged_at: Option<String>,
}

/// An entry of a tree.
pub struct Entry {
    pub mode: String,
    pub kind: String,
    pub id: String,
    pub path: String,
}

impl Repository {
    /// Runs git with some input; `None` when git fails, which for many questions is the answer.
    pub async fn ask(&self, args: &[impl AsRef<OsStr>], input: &[u8]) -> ApiResult<Option<Vec<u8>>> {
        self.ask_with(args, &[], input).await
    }

    /// As [`Self::ask`], with additions to the environment.
    pub async fn ask_with(
        &self,
        args: &[impl AsRef<OsStr>],
        env: &[(&str, &str)],
        input: &[u8],
    ) -> ApiResult<Option<Vec<u8>>> {
        let failed = |error| ApiError::internal(&format!("failed to run git: {error}"));
        let mut child = Command::new("git")
            .args(args)
            .current_dir(&self.dir)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // Git may know enough before it has read all.
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output.map_err(failed)?;
        Ok(output.status.success().then_some(output.stdout))
    }

    /// As [`Self::ask_with`], where a failure is one of the sandbox.
    pub async fn run(&self, args: &[&str], env: &[(&str, &str)], input: &[u8]) -> ApiResult<String> {
        let output = self.ask_with(args, env, input).await?;
        let output = output.ok_or_else(|| ApiError::internal(&format!("git {} failed", args.join(" "))))?;
        Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
    }

    /// The id of the commit that a branch, tag or id names.
    pub async fn resolve(&self, revision: &str) -> ApiResult<Option<String>> {
        if !self.dir.exists() {
            return Ok(None);
        }
        let wanted = format!("{revision}^{{commit}}");
        let found = self
            .ask(
                &["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted],
                b"",
            )
            .await?;
        Ok(found.map(|id| String::from_utf8_lossy(&id).trim().to_owned()))
    }

    /// The commits with these ids, in that order.
    pub async fn commits(&self, ids: &[&str]) -> ApiResult<Vec<Commit>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // Git shows a commit once, however often it is named.
        let found = self
            .log(&["--no-walk=unsorted", "--stdin"], ids.join("\n").as_bytes())
            .await?;
        let found: BTreeMap<&str, &Commit> =
            found.iter().map(|commit| (commit.id.as_str(), commit)).collect();
        Ok(ids
            .iter()
            .filter_map(|id| found.get(id).copied().cloned())
            .collect())
    }

    /// The commit with this id.
    pub async fn commit(&self, id: &str) -> ApiResult<Commit> {
        let found = self.commits(&[id]).await?.pop();
        found.ok_or_else(|| ApiError::internal(&format!("commit {id} has vanished")))
    }

    /// What `git log` prints with these arguments; nothing where they name no commit.
    pub async fn log(&self, args: &[&str], input: &[u8]) -> ApiResult<Vec<Commit>> {
        let args = [&["log", COMMIT_FORMAT], args].concat();
        let output = self.ask(&args, input).await?.unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        let fields: Vec<&str> = text.split('\0').collect();
        Ok(fields.chunks_exact(COMMIT_FIELDS).map(Commit::parse).collect())
    }

    /// Lines added and removed by a commit.
    pub async fn stats(&self, id: &str) -> ApiResult<(u64, u64)> {
        let args = [
            "diff-tree",
            "--root",
            "--numstat",
            "--no-commit-id",
            "-r",
            "-m",
            "--first-parent",
            id,
        ];
        let output = self.run(&args, &[], b"").await?;
        let number = |field: Option<&str>| field.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        Ok(output.lines().fold((0, 0), |(added, removed), line| {
            let mut fields = line.split('\t');
            (added + number(fields.next()), removed + number(fields.next()))
        }))
    }

    /// All branches (`heads`) or tags, by name.
    pub async fn refs(&self, kind: &str) -> ApiResult<Vec<Ref>> {
        let mut refs = Vec::new();
        if !self.dir.exists() {
            return Ok(refs);
        }
        let format = "--format=%(refname:lstrip=2)%00%(objectname)%00%(*objectname)%00%(objecttype)%00%(contents)%00%(taggerdate:iso-strict)%00";
        let output = self
            .ask(&["for-each-ref", format, &format!("refs/{kind}")], b"")
            .await?
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        let fields: Vec<&str> = text.split('\0').collect();
        for field in fields.chunks_exact(6) {
            let [name, target, peeled, kind, contents, date] = field else {
                continue;
            };
            let annotated = *kind == "tag";
            refs.push(Ref {
                name: name.trim_start_matches('\n').to_owned(),
                target: (*target).to_owned(),
                commit: if annotated { peeled } else { target }.to_string(),
                message: annotated.then(|| contents.trim_end().to_owned()),
                tagged_at: annotated.then(|| with_milliseconds(date)),
            });
        }
        Ok(refs)
    }

    /// The entries below `path` in a commit; empty where there is no such directory.
    pub async fn tree(&self, commit: &str, path: &str, recursive: bool) -> ApiResult<Vec<Entry>> {
        let directory = path.trim_matches('/');
        let mut args = vec!["ls-tree", "-z", "--full-tree"];
        if recursive {
            args.extend(["-r", "-t"]);
        }
        let inside = format!("{directory}/");
        args.extend([commit, "--"]);
        if !directory.is_empty() {
            args.push(&inside);
        }
        self.entries(&args, directory).await
    }

    /// The entry at exactly this path.
    pub async fn entry(&self, commit: &str, path: &str) -> ApiResult<Option<Entry>> {
        let entries = self
            .entries(&["ls-tree", "-z", "--full-tree", commit, "--", path], "")
            .await?;
        Ok(entries.into_iter().find(|entry| entry.path == path))
    }

    async fn entries(&self, args: &[&str], above: &str) -> ApiResult<Vec<Entry>> {
        let env = [("GIT_LITERAL_PATHSPECS", "1")];
        let output = self.ask_with(args, &env, b"").await?.unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        let entries = text.split('\0').filter_map(|line| {
            let (what, path) = line.split_once('\t')?;
            let mut what = what.split(' ').map(str::to_owned);
            Some(Entry {
                mode: what.next()?,
                kind: what.next()?,
                id: what.next()?,
                path: path.to_owned(),
            })
        });
        // Recursion lists the directory itself too.
        Ok(entries.filter(|entry| entry.path != above).collect())
    }

    /// The bytes of a file.
    pub async fn blob(&self, id: &str) -> ApiResult<Vec<u8>> {
        let bytes = self.ask(&["cat-file", "blob", id], b"").await?;
        bytes.ok_or_else(|| ApiError::internal(&format!("blob {id} has vanished")))
    }

    /// The last commit up to `commit` that changed the file.
    pub async fn last_commit(&self, commit: &str, path: &str) -> ApiResult<Option<String>> {
        let env = [("GIT_LITERAL_PATHSPECS", "1")];
        let id = self
            .run(&["rev-list", "-1", commit, "--", path], &env, b"")
            .await?;
        Ok(Some(id).filter(|id| !id.is_empty()))
    }

    /// Whether git takes this as the name of a branch.
    pub async fn is_branch_name(&self, name: &str) -> ApiResult<bool> {
        let full = format!("refs/heads/{name}");
        let taken = !name.starts_with('-') && self.ask(&["check-ref-format", &full], b"").await?.is_some();
        Ok(taken)
    }
}

impl Commit {
    fn parse(fields: &[&str]) -> Self {
        let signature = |first: usize| Signature {
            name: fields[first].to_owned(),
            email: fields[first + 1].to_owned(),
            date: with_milliseconds(fields[first + 2]),
        };
        let mut trailers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in fields[9].lines().filter_map(|line| line.split_once(": ")) {
            trailers.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        Self {
            id: fields[0].trim_start_matches('\n').to_owned(),
            parents: fields[1].split_whitespace().map(str::to_owned).collect(),
            author: signature(2),
            committer: signature(5),
            message: fields[8].to_owned(),
            trailers,
        }
    }

    pub fn title(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// `2026-01-02T03:04:05+01:00` as GitLab writes it, with milliseconds.
fn with_milliseconds(date: &str) -> String {
    match date.split_at_checked(19) {
        Some((time, "Z")) => format!("{time}.000+00:00"),
        Some((time, offset)) => format!("{time}.000{offset}"),
        None => date.to_owned(),
    }
}
