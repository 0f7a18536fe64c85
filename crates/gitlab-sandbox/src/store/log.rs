//! The store on disk: a log with one line for each transaction, compacted when it is opened.
//!
//! A line is written with one call before the reply is sent, so a killed process loses nothing that it
//! acknowledged. Nothing is synced: a power cut may lose the last seconds, which a sandbox can afford.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde_json::Value;

use super::Store;

/// Format of the log, written as its first line.
const HEADER: &str = r#"{"gitlab-sandbox":1}"#;

/// Appends transactions to the log.
pub struct Log {
    file: File,
}

impl Log {
    /// Reads the log in `dir` into a store, and starts a new, compacted one in its place.
    pub fn open(dir: &Path) -> io::Result<(Store, Self)> {
        let path = dir.join("store.jsonl");
        let mut store = Store::default();
        match File::open(&path) {
            Ok(file) => read(BufReader::new(file), &mut store)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        store.touch_all();
        let compacted = dir.join("store.jsonl.new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&compacted)?;
        writeln!(file, "{HEADER}")?;
        let mut log = Self { file };
        log.append(&mut store)?;
        log.file.sync_all()?;
        fs::rename(&compacted, &path)?;
        Ok((store, log))
    }

    /// Writes what changed in `store` since the last call.
    pub fn append(&mut self, store: &mut Store) -> io::Result<()> {
        let changes = store.drain();
        if changes.is_empty() {
            return Ok(());
        }
        let mut line = serde_json::to_vec(&changes)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

fn read(mut lines: impl BufRead, store: &mut Store) -> io::Result<()> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    if line.trim_end() != HEADER {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "store.jsonl was not written by this version of the sandbox; use another directory",
        ));
    }
    loop {
        line.clear();
        lines.read_line(&mut line)?;
        // A line without an end was cut short by a kill, before its reply was sent.
        if !line.ends_with('\n') {
            return Ok(());
        }
        let changes: Vec<(String, u64, Value)> = serde_json::from_str(&line)?;
        for (table, id, row) in changes {
            store.apply(&table, id, row)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::{Sequence, User, UserState};

    fn add_user(store: &mut Store, username: &str) -> u64 {
        let id = store.users.next_id();
        let namespace_id = store.next(Sequence::Namespaces);
        store.users.insert(User {
            id,
            username: username.to_owned(),
            name: username.to_owned(),
            email: String::new(),
            state: UserState::Active,
            admin: false,
            namespace_id,
            can_create_group: true,
            projects_limit: 1,
            external: false,
            private_profile: false,
            bot_of: None,
            created_at: Timestamp::now(),
        });
        id
    }

    #[test]
    fn a_line_that_was_cut_short_is_dropped_and_ids_are_not_given_twice() {
        let dir = tempfile::TempDir::new().unwrap();
        let (mut store, mut log) = Log::open(dir.path()).unwrap();
        add_user(&mut store, "Ann");
        log.append(&mut store).unwrap();
        let gone = add_user(&mut store, "Bob");
        log.append(&mut store).unwrap();
        store.users.remove(gone);
        log.append(&mut store).unwrap();
        log.file.write_all(br#"[["users",9,{"id":9"#).unwrap();

        let (mut store, mut log) = Log::open(dir.path()).unwrap();
        assert_eq!(store.user_by_username("ann").map(|user| user.id), Some(1));
        assert!(store.users.get(9).is_none());
        assert!(add_user(&mut store, "Cat") > gone);
        log.append(&mut store).unwrap();
        let (store, _) = Log::open(dir.path()).unwrap();
        assert_eq!(store.users.iter().count(), 2);
    }

    #[test]
    fn a_log_of_another_format_is_refused() {
        let dir = tempfile::TempDir::new().unwrap();
        fs::write(dir.path().join("store.jsonl"), "{}\n").unwrap();
        assert!(Log::open(dir.path()).is_err());
    }
}
