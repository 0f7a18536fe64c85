//! The directory store: `.autogit/<instance>/` beside the config.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::history::{Remembering, Runs};
use super::{Beginning, Document, FingerprintKey, Holder, Journal, Ledger, PastRun, StateError, journal};
use crate::live::files;

/// State in a directory that only its owner can read.
///
/// `ledger.json` is replaced as a whole, `journal.jsonl` leads from it to what was done since, `key` makes the
/// fingerprints, and `lock` is held (`flock`) by the process that works on them.
pub struct Directory {
    root: PathBuf,
    instance: String,
    /// The lock's file, while it is held.
    held: Mutex<Option<Held>>,
}

/// The lock, while it is held.
struct Held {
    file: File,
    /// The run that goes on under it.
    run: Option<u64>,
}

impl Directory {
    /// The store of `instance` (its URL, or `sandbox`) in `base`, made if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(base: &Path, instance: &str) -> Result<Self, StateError> {
        let instance = instance.trim_end_matches('/');
        let root = place(base, instance);
        files::make_folder(&root).map_err(|error| failed("make", &root, error))?;
        let ignore = base.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(|error| StateError::Io {
                doing: "write",
                path: ignore,
                error,
            })?;
        }
        Ok(Directory {
            root,
            instance: instance.to_owned(),
            held: Mutex::default(),
        })
    }

    /// The store of `instance` in `base`, if it is there; nothing is made.
    pub fn find(base: &Path, instance: &str) -> Option<Self> {
        let instance = instance.trim_end_matches('/');
        let root = place(base, instance);
        root.is_dir().then(|| Directory {
            root,
            instance: instance.to_owned(),
            held: Mutex::default(),
        })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Takes the lock. A holder has written its name; who has not only looks, and is waited for.
    fn take(&self, file: &mut File) -> Result<(), StateError> {
        for _ in 0..10 {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => {
                    return Err(StateError::Io {
                        doing: "lock",
                        path: self.file("lock"),
                        error,
                    });
                }
                Err(TryLockError::WouldBlock) => match holder(file) {
                    Some(holder) => return Err(locked(Some(holder))),
                    None => std::thread::sleep(GLANCE),
                },
            }
        }
        Err(locked(None))
    }

    fn lock_file(&self) -> Result<File, StateError> {
        let path = self.file("lock");
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path);
        open.map_err(|error| StateError::Io {
            doing: "open",
            path,
            error,
        })
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    pub(super) fn load(&self) -> Result<Ledger, StateError> {
        let ledger = self.recorded()?;
        ledger
            .check(&self.instance)
            .map_err(|why| StateError::Unreadable {
                place: self.file(LEDGER).display().to_string(),
                why,
            })?;
        Ok(ledger)
    }

    /// The ledger, whatever it is of, with what its journal adds.
    fn recorded(&self) -> Result<Ledger, StateError> {
        let ledger = read_json::<Ledger>(&self.file(LEDGER))?.unwrap_or_else(|| Ledger::new(&self.instance));
        let path = self.file(JOURNAL);
        journal::replay(&path, ledger).map_err(|error| StateError::Io {
            doing: "read",
            path,
            error,
        })
    }

    pub(super) fn pull(&self) -> Result<Document, StateError> {
        Ok(Document::of(self.recorded()?, &self.key()?))
    }

    pub(super) fn push(&self, document: Document) -> Result<(), StateError> {
        let key = document.key().ok_or_else(|| StateError::Unreadable {
            place: "the state to push".into(),
            why: "its `fingerprint_key` is not one".into(),
        })?;
        let serial = self.recorded()?.serial.max(document.ledger.serial);
        replace(&self.file(KEY), &key)?;
        self.save(Ledger {
            serial,
            ..document.ledger
        })
    }

    pub(super) fn save(&self, ledger: Ledger) -> Result<(), StateError> {
        let serial = ledger.serial + 1;
        write_json(&self.file(LEDGER), &Ledger { serial, ..ledger })?;
        // From here on its serial makes the journal void; removing it only tidies up.
        let path = self.file(JOURNAL);
        files::remove(&path).map_err(|error| failed("remove", &path, error))
    }

    pub(super) fn begin(&self, ledger: Ledger, beginning: &Beginning) -> Result<Journal, StateError> {
        self.save(ledger.clone())?;
        let path = self.file(JOURNAL);
        let ledger = Ledger {
            serial: ledger.serial + 1,
            ..ledger
        };
        let number = match &mut *self.held() {
            Some(held) => *held.run.get_or_insert(ledger.serial),
            None => ledger.serial,
        };
        let run = PastRun {
            number,
            by: Holder::this(beginning.operation),
            steps: Vec::new(),
        };
        let history = Remembering::new(self.remembered(), run);
        let journal = Journal::begin(&path, ledger, history)
            .and_then(|journal| files::sync_folder(&path).map(|()| journal));
        journal.map_err(|error| StateError::Io {
            doing: "begin",
            path,
            error,
        })
    }

    fn remembered(&self) -> Runs {
        Runs::new(self.file("runs"))
    }

    pub(super) fn runs(&self, most: usize) -> Result<Vec<PastRun>, StateError> {
        let runs = self.remembered();
        let numbers = runs.numbers();
        let read = numbers.and_then(|numbers| {
            let newest = numbers.into_iter().rev().take(most);
            newest.map(|number| runs.read(number)).collect()
        });
        read.map_err(|error| StateError::Io {
            doing: "read",
            path: runs.folder().to_owned(),
            error,
        })
    }

    pub(super) fn fingerprint_key(&self) -> Result<FingerprintKey, StateError> {
        Ok(FingerprintKey::new(&self.key()?))
    }

    /// The bytes of the key, which is made if it is not there.
    fn key(&self) -> Result<[u8; FingerprintKey::LENGTH], StateError> {
        let path = self.file(KEY);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = FingerprintKey::random().map_err(|error| StateError::Io {
                    doing: "make",
                    path: path.clone(),
                    error,
                })?;
                // Two first runs at a time must end up with one key.
                files::write_new(&path, &bytes).map_err(|error| failed("write", &path, error))?;
                fs::read(&path).map_err(|error| StateError::Io {
                    doing: "read",
                    path: path.clone(),
                    error,
                })?
            }
            Err(error) => {
                return Err(StateError::Io {
                    doing: "read",
                    path,
                    error,
                });
            }
        };
        let wrong = "it is not a fingerprint key: remove it, and the next apply records every value anew";
        bytes.try_into().map_err(|_| StateError::Unreadable {
            place: path.display().to_string(),
            why: wrong.into(),
        })
    }

    pub(super) fn lock(&self, operation: &str) -> Result<(), StateError> {
        let mut file = self.lock_file()?;
        self.take(&mut file)?;
        let text = serde_json::to_vec(&Holder::this(operation)).expect("a holder is plain text and numbers");
        let write = clear(&mut file).and_then(|()| file.write_all(&text));
        write.map_err(|error| StateError::Io {
            doing: "write",
            path: self.file("lock"),
            error,
        })?;
        *self.held() = Some(Held { file, run: None });
        Ok(())
    }

    pub(super) fn release(&self) {
        if let Some(Held { mut file, .. }) = self.held().take() {
            // The kernel gives the lock back in any case; a name left behind only reads oddly.
            let _ = clear(&mut file);
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn unlock(&self) -> Result<Option<Holder>, StateError> {
        let mut file = self.lock_file()?;
        self.take(&mut file)?;
        let held_by = holder(&mut file);
        clear(&mut file).map_err(|error| StateError::Io {
            doing: "clear",
            path: self.file("lock"),
            error,
        })?;
        Ok(held_by)
    }

    pub(super) fn holder(&self) -> Result<Option<Holder>, StateError> {
        let mut file = self.lock_file()?;
        match self.take(&mut file) {
            Ok(()) => Ok(None),
            Err(StateError::Locked { holder, .. }) => Ok(holder),
            Err(error) => Err(error),
        }
    }
}

/// The folder of an instance's state in `base`.
fn place(base: &Path, instance: &str) -> PathBuf {
    let host = instance.split("://").last().unwrap_or(instance);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let name = host.replace(|c| !plain(c), "_");
    base.join(name.trim_matches('_'))
}

/// The ledger's file.
const LEDGER: &str = "ledger.json";

/// The file with the key of the fingerprints.
const KEY: &str = "key";

/// The journal's file.
const JOURNAL: &str = "journal.jsonl";

/// Waits out whoever only looks at the lock: ten times this long.
const GLANCE: Duration = Duration::from_millis(20);

fn locked(holder: Option<Holder>) -> StateError {
    StateError::Locked {
        holder,
        by_force: false,
    }
}

fn holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn clear(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let text = files::read(path).map_err(|error| failed("read", path, error))?;
    let Some(text) = text else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let why = format!("{error}: put it back from a backup, or remove it, which loses no resource");
        StateError::Unreadable {
            place: path.display().to_string(),
            why,
        }
    })
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    let mut text = serde_json::to_vec_pretty(value).expect("state is plain text and numbers");
    text.push(b'\n');
    replace(path, &text)
}

/// Replaces a file as a whole.
pub(in crate::engine) fn replace(path: &Path, text: &[u8]) -> Result<(), StateError> {
    files::replace(path, text).map_err(|error| failed("write", path, error))
}

fn failed(doing: &'static str, path: &Path, error: io::Error) -> StateError {
    StateError::Io {
        doing,
        path: path.to_owned(),
        error,
    }
}
