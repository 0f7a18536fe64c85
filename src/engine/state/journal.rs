//! The journal: what a run is about to write, and what it has done, so that a killed run can be repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::history::{Remembering, write_line};
use super::{Ledger, PastStep, Remote, StateError};
use crate::core::{Address, Entry};
use crate::live::gitlab::{self, Outcome};

/// One line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    /// The run started from the ledger with this serial. A journal of another one is of no more use.
    Begin { serial: u64 },
    /// A write is about to be sent.
    Intent {
        number: u64,
        address: Address,
        write: String,
        /// GitLab's clock at the time.
        server_time: Option<jiff::Timestamp>,
    },
    /// Its outcome is known.
    Done { number: u64, refused: bool },
    /// A rule stands in for another while that is replaced.
    Guard { guard: Address, of: Address },
    /// A step succeeded: what the ledger is to hold.
    Applied { address: Address, entry: Entry },
    /// A resource is gone, or no longer managed.
    Removed { address: Address },
}

/// A resource that may have been written, of which nothing else is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// GitLab's clock when it was first intended.
    pub since: Option<jiff::Timestamp>,
    /// The resource that this one was to stand in for.
    pub guards: Option<Address>,
}

/// The ledger as it grows by records, the same way live and in replay.
struct Book {
    ledger: Ledger,
    /// Writes whose outcome is not known, and whether they remove.
    open: BTreeMap<u64, (Address, bool)>,
    /// What was written, or may have been by an earlier run.
    touched: BTreeSet<Address>,
    guards: BTreeMap<Address, Address>,
}

impl Book {
    fn new(ledger: Ledger) -> Self {
        let touched = ledger.in_doubt.keys().cloned().collect();
        Book {
            ledger,
            open: BTreeMap::new(),
            touched,
            guards: BTreeMap::new(),
        }
    }

    fn note(&mut self, record: Record) {
        match record {
            Record::Begin { .. } => {}
            Record::Intent {
                number,
                address,
                write,
                server_time,
            } => {
                let guards = self.guards.get(&address).cloned();
                self.open
                    .insert(number, (address.clone(), write.starts_with("DELETE ")));
                self.ledger.in_doubt.entry(address).or_insert(Intent {
                    since: server_time,
                    guards,
                });
            }
            Record::Done { number, refused } => {
                let Some((address, removes)) = self.open.remove(&number) else {
                    return;
                };
                // Whether something was made is still to be told by `Applied`, which may never come.
                let may_be_there = match refused {
                    true => {
                        self.touched.contains(&address)
                            || self.open.values().any(|(other, _)| *other == address)
                    }
                    false => !(removes && self.guards.contains_key(&address)),
                };
                if !may_be_there {
                    self.ledger.in_doubt.remove(&address);
                }
                if !refused {
                    self.touched.insert(address);
                }
            }
            Record::Guard { guard, of } => {
                self.guards.insert(guard, of);
            }
            Record::Applied { address, entry } => {
                self.ledger.in_doubt.remove(&address);
                self.ledger.resources.insert(address, entry);
            }
            Record::Removed { address } => {
                self.ledger.in_doubt.remove(&address);
                self.ledger.resources.remove(&address);
            }
        }
    }
}

/// The journal of a run. Clones are the same journal.
#[derive(Clone)]
pub struct Journal(Arc<Mutex<Open>>);

struct Open {
    place: Place,
    next: u64,
    book: Book,
    server_time: Option<jiff::Timestamp>,
    /// The lock was lost: nothing more may be written.
    is_lost: bool,
}

/// Where records go.
enum Place {
    /// Each to a line of a file; what was done to a line of another.
    File { journal: File, history: Remembering },
    /// Nowhere one by one. What the run was to write was saved before it began, and is left out here as it is done.
    Remote {
        remote: Remote,
        about: BTreeMap<Address, Intent>,
    },
}

impl Journal {
    /// Starts the journal of a run from `ledger`, which is saved already, in place of any before it.
    pub(super) fn begin(path: &Path, ledger: Ledger, history: Remembering) -> io::Result<Self> {
        let journal = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        let serial = ledger.serial;
        let mut open = Open::new(Place::File { journal, history }, ledger);
        open.write(Record::Begin { serial })?;
        Ok(Journal(Arc::new(Mutex::new(open))))
    }

    /// The journal of a run from `ledger`, which is saved already, with what it is `about` to write in doubt.
    pub(super) fn remote(remote: Remote, ledger: Ledger, about: BTreeMap<Address, Intent>) -> Self {
        let open = Open::new(Place::Remote { remote, about }, ledger);
        Journal(Arc::new(Mutex::new(open)))
    }

    /// The ledger once everything recorded so far is counted.
    pub fn ledger(&self) -> Ledger {
        self.locked().book.ledger.clone()
    }

    /// What the ledger holds of one resource.
    pub fn entry(&self, address: &Address) -> Option<Entry> {
        self.locked().book.ledger.resources.get(address).cloned()
    }

    /// Sets the clock by which later intents are dated.
    pub fn set_server_time(&self, time: Option<jiff::Timestamp>) {
        self.locked().server_time = time;
    }

    /// Remembers a step that is about to be carried out.
    pub fn past(&self, step: PastStep) -> io::Result<()> {
        match &mut self.locked().place {
            Place::File { history, .. } => history.write(&step),
            Place::Remote { remote, .. } => {
                remote.past(step);
                Ok(())
            }
        }
    }

    /// Records that a step succeeded, and what of it the ledger keeps.
    pub fn applied(&self, address: &Address, entry: Entry) -> io::Result<()> {
        self.locked().write(Record::Applied {
            address: address.clone(),
            entry,
        })
    }

    /// Records that a resource is gone or no longer managed.
    pub fn removed(&self, address: &Address) -> io::Result<()> {
        self.locked().write(Record::Removed {
            address: address.clone(),
        })
    }

    /// Whether the lock was lost, so that nothing more may be written.
    pub fn is_lost(&self) -> bool {
        self.locked().is_lost
    }

    fn heed(&self, saved: Result<(), StateError>) -> io::Result<()> {
        if let Err(StateError::Lost { .. }) = &saved {
            self.locked().is_lost = true;
        }
        saved.map_err(io::Error::other)
    }

    fn locked(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn new(place: Place, ledger: Ledger) -> Self {
        Open {
            place,
            next: 1,
            book: Book::new(ledger),
            server_time: None,
            is_lost: false,
        }
    }

    fn write(&mut self, record: Record) -> io::Result<()> {
        match &mut self.place {
            Place::File { journal, .. } => write_line(journal, &record)?,
            Place::Remote { about, .. } => {
                if let Record::Applied { address, .. } | Record::Removed { address } = &record {
                    about.remove(address);
                }
            }
        }
        self.book.note(record);
        Ok(())
    }

    /// The ledger as it is known so far, everything in doubt that is still to be written.
    fn so_far(&self) -> Ledger {
        let mut ledger = self.book.ledger.clone();
        if let Place::Remote { about, .. } = &self.place {
            for (address, intent) in about {
                ledger.in_doubt.entry(address.clone()).or_insert(intent.clone());
            }
        }
        ledger
    }

    /// What makes durable whatever was recorded so far, where it has to be before a write.
    fn durable(&self) -> io::Result<Durable> {
        Ok(match &self.place {
            Place::File { journal, .. } => Durable::File(journal.try_clone()?),
            Place::Remote { remote, .. } => Durable::Remote(remote.clone()),
        })
    }
}

/// What outlives the journal's mutex, which must not be held while the disk or GitLab is waited for.
enum Durable {
    File(File),
    Remote(Remote),
}

impl gitlab::Journal for Journal {
    fn intent<'a>(&'a self, address: &'a Address, write: &'a str) -> BoxFuture<'a, io::Result<u64>> {
        async move {
            let (number, durable) = {
                let mut open = self.locked();
                let (number, server_time) = (open.next, open.server_time);
                open.next += 1;
                open.write(Record::Intent {
                    number,
                    address: address.clone(),
                    write: write.to_owned(),
                    server_time,
                })?;
                (number, open.durable()?)
            };
            match durable {
                // Only an intent has to survive a power cut: what is done can be seen live.
                Durable::File(file) => {
                    let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
                    synced.unwrap_or_else(|panic| Err(io::Error::other(panic)))?;
                }
                Durable::Remote(remote) => {
                    let confirmed = remote.confirm(|| self.locked().so_far()).await;
                    self.heed(confirmed)?;
                }
            }
            Ok(number)
        }
        .boxed()
    }

    fn done(&self, number: u64, outcome: Outcome) -> io::Result<()> {
        self.locked().write(Record::Done {
            number,
            refused: outcome == Outcome::Refused,
        })
    }

    fn guard<'a>(&'a self, guard: &'a Address, of: &'a Address) -> BoxFuture<'a, io::Result<()>> {
        async move {
            let durable = {
                let mut open = self.locked();
                open.write(Record::Guard {
                    guard: guard.clone(),
                    of: of.clone(),
                })?;
                open.durable()?
            };
            match durable {
                // Its intent makes it durable.
                Durable::File(_) => Ok(()),
                // No plan announced it.
                Durable::Remote(remote) => {
                    let mut ledger = self.locked().so_far();
                    ledger.in_doubt.insert(
                        guard.clone(),
                        Intent {
                            since: self.locked().server_time,
                            guards: Some(of.clone()),
                        },
                    );
                    self.heed(remote.save_so_far(ledger).await)
                }
            }
        }
        .boxed()
    }
}

/// Replays the journal at `path` onto the ledger that it starts from.
///
/// # Errors
/// When it cannot be read, or a line other than the last is not a record: the last line of a killed run may be cut
/// short, and what it announced was not sent.
pub(super) fn replay(path: &Path, ledger: Ledger) -> io::Result<Ledger> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ledger),
        Err(error) => return Err(error),
    };
    let serial = ledger.serial;
    let mut book = Book::new(ledger);
    let mut torn = None;
    for line in BufReader::new(file).split(b'\n') {
        if let Some(error) = torn.take() {
            return Err(io::Error::other(error));
        }
        match serde_json::from_slice(&line?) {
            // The ledger was saved after this journal: it holds all of it.
            Ok(Record::Begin { serial: of }) if of != serial => return Ok(book.ledger),
            Ok(record) => book.note(record),
            Err(error) => torn = Some(error),
        }
    }
    Ok(book.ledger)
}

#[cfg(test)]
mod tests {
    use super::super::Holder;
    use super::super::history::{PastRun, Runs};
    use super::*;
    use crate::core::Ownership;
    use gitlab::Journal as _;

    fn at(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn entry(id: &str) -> Entry {
        Entry {
            id: id.into(),
            origin: Ownership::Created,
            fingerprints: BTreeMap::new(),
            guards: None,
        }
    }

    fn begun() -> (tempfile::TempDir, std::path::PathBuf, Journal, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let ledger = Ledger {
            serial: 4,
            ..Ledger::new("x")
        };
        let run = PastRun {
            number: 4,
            by: Holder::this("apply"),
            steps: Vec::new(),
        };
        let history = Remembering::new(Runs::new(folder.path().join("runs")), run);
        let journal = Journal::begin(&path, ledger.clone(), history).unwrap();
        (folder, path, journal, ledger)
    }

    #[tokio::test]
    async fn replay_gives_what_the_run_knew() {
        let (_folder, path, journal, ledger) = begun();
        let (made, refused, lost) = (at("repo.a/made"), at("repo.a/refused"), at("repo.a/lost"));
        for (address, outcome) in [
            (&made, Some(Outcome::Done)),
            (&refused, Some(Outcome::Refused)),
            (&lost, None),
        ] {
            let number = journal.intent(address, "POST /projects").await.unwrap();
            if let Some(outcome) = outcome {
                journal.done(number, outcome).unwrap();
            }
        }
        journal.applied(&made, entry("7")).unwrap();
        let known = journal.ledger();
        assert_eq!(known.resources.keys().collect::<Vec<_>>(), [&made]);
        assert_eq!(known.in_doubt.keys().collect::<Vec<_>>(), [&lost]);
        assert_eq!(replay(&path, ledger).unwrap(), known);
    }

    #[tokio::test]
    async fn a_guard_that_was_removed_again_leaves_no_doubt() {
        let (_folder, _path, journal, _) = begun();
        let (guard, of) = (at("protected_branch.a/b:main*"), at("protected_branch.a/b:main"));
        journal.guard(&guard, &of).await.unwrap();
        let made = journal
            .intent(&guard, "POST /projects/1/protected_branches")
            .await
            .unwrap();
        journal.done(made, Outcome::Done).unwrap();
        assert_eq!(journal.ledger().in_doubt[&guard].guards, Some(of));
        let removed = journal
            .intent(&guard, "DELETE /projects/1/protected_branches/main%2A")
            .await
            .unwrap();
        journal.done(removed, Outcome::Done).unwrap();
        assert!(journal.ledger().in_doubt.is_empty());
    }

    #[test]
    fn a_cut_last_line_is_forgiven_and_no_other() {
        let (_folder, path, journal, ledger) = begun();
        journal.applied(&at("repo.a/b"), entry("7")).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"applied\":{{\"addr")).unwrap();
        assert_eq!(replay(&path, ledger.clone()).unwrap().resources.len(), 1);
        std::fs::write(&path, format!("{{\"applied\":{{\"addr\n{whole}")).unwrap();
        assert!(replay(&path, ledger).is_err());
    }

    #[test]
    fn a_journal_of_another_ledger_is_ignored() {
        let (_folder, path, journal, ledger) = begun();
        journal.applied(&at("repo.a/b"), entry("7")).unwrap();
        let later = Ledger { serial: 5, ..ledger };
        assert_eq!(replay(&path, later.clone()).unwrap(), later);
    }
}
