//! The branches of a repository, read from its files: what is asked of many projects at once must start no process.

use std::{collections::BTreeSet, fs, io, path::Path};

const HEADS: &str = "refs/heads/";

/// Names of all branches, sorted. A repository that is not there has none.
pub fn branch_names(repository: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let packed = fs::read_to_string(repository.join("packed-refs")).unwrap_or_default();
    for line in packed.lines() {
        let name = line
            .split_once(' ')
            .and_then(|(_, name)| name.strip_prefix(HEADS));
        names.extend(name.map(str::to_owned));
    }
    add_loose(&repository.join(HEADS), "", &mut names);
    names
}

fn add_loose(dir: &Path, prefix: &str, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => add_loose(&entry.path(), &format!("{name}/"), names),
            Ok(_) if !name.ends_with(".lock") => {
                names.insert(name);
            }
            _ => {}
        }
    }
}

/// The branch that HEAD names, which may not exist.
pub fn head(repository: &Path) -> Option<String> {
    let text = fs::read_to_string(repository.join("HEAD")).ok()?;
    let name = text.trim_end().strip_prefix("ref: ")?.strip_prefix(HEADS)?;
    Some(name.to_owned())
}

/// Points HEAD at a branch.
pub fn set_head(repository: &Path, branch: &str) -> io::Result<()> {
    let new = repository.join("HEAD.new");
    fs::write(&new, format!("ref: {HEADS}{branch}\n"))?;
    fs::rename(new, repository.join("HEAD"))
}
