//! Saving: all files of an export or none, and never in place of one that is there.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::page::{File, GROUPS};

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub enum Unsaved {
    /// Something is there already.
    #[error("failed to write {}: it is there already", .0.display())]
    Taken(PathBuf),
    /// A file that the config would include, and that is none of it.
    #[error("failed to export into {}: the config would include {}", .0.display(), .1.display())]
    Foreign(PathBuf, PathBuf),
    /// The file system says no.
    #[error("failed to write {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
}

/// Writes the files into `folder`, which is made where it is missing.
///
/// # Errors
/// When one of them is there already or cannot be written: nothing is left behind then.
pub fn save(files: &[File], folder: &Path) -> Result<(), Unsaved> {
    if let Some(file) = files.iter().find(|file| exists(&folder.join(&file.name))) {
        return Err(Unsaved::Taken(folder.join(&file.name)));
    }
    if files.len() > 1
        && let Some(foreign) = foreign(&folder.join(GROUPS))
    {
        return Err(Unsaved::Foreign(folder.to_owned(), foreign));
    }
    let mut made = Vec::new();
    let written = write(files, folder, &mut made);
    if written.is_err() {
        for path in made.iter().rev() {
            // What cannot be taken back is empty or ours: the error says where to look.
            let _ = if path.is_dir() {
                fs::remove_dir(path)
            } else {
                fs::remove_file(path)
            };
        }
    }
    written
}

fn write(files: &[File], folder: &Path, made: &mut Vec<PathBuf>) -> Result<(), Unsaved> {
    for file in files {
        let path = folder.join(&file.name);
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::AlreadyExists => Unsaved::Taken(path.clone()),
            _ => Unsaved::Io(path.clone(), error),
        };
        let missing = path
            .ancestors()
            .skip(1)
            .take_while(|holder| !holder.as_os_str().is_empty() && !exists(holder));
        let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        for holder in missing.into_iter().rev() {
            fs::create_dir(&holder).map_err(failed)?;
            made.push(holder);
        }
        let mut open = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed)?;
        made.push(path.clone());
        open.write_all(file.text.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

/// Whether anything is there, a link that leads nowhere included.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A config file that stands where the included ones will.
fn foreign(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> File {
        File {
            name: name.to_owned(),
            text: format!("{name}\n"),
        }
    }

    #[test]
    fn all_files_are_written_or_none() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("new/forge");
        save(&[file("autogit.yaml"), file("groups/a.yaml")], &folder).unwrap();
        assert_eq!(
            fs::read_to_string(folder.join("groups/a.yaml")).unwrap(),
            "groups/a.yaml\n"
        );
        let again = save(&[file("other.yaml"), file("groups/a.yaml")], &folder).unwrap_err();
        assert!(
            again.to_string().ends_with("groups/a.yaml: it is there already"),
            "{again}"
        );
        assert!(!folder.join("other.yaml").exists());
        let foreign = save(&[file("other.yaml"), file("groups/b.yaml")], &folder).unwrap_err();
        assert!(foreign.to_string().contains("would include"), "{foreign}");
    }

    #[test]
    fn what_fails_half_way_leaves_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("forge");
        let failed = save(&[file("autogit.yaml"), file("autogit.yaml/a.yaml")], &folder);
        assert!(failed.is_err());
        assert!(!folder.exists());
    }
}
