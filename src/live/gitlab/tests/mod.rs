//! The client against a scripted server.

mod errors;
mod graphql;
mod limits;
mod paging;
mod retry;
pub(crate) mod server;
pub(crate) mod tls;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::Value;

use super::{Client, Journal, Outcome, Reader, Retries, Settings, Writer};
use crate::core::{Address, Key};

/// Stands for the token; must never be seen outside its header.
const CANARY: &str = "glpat-canary";

/// Settings that repeat without delay.
fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(url.parse().unwrap(), CANARY.into());
    settings.retries = Retries {
        base: Duration::from_millis(1),
        ..Retries::default()
    };
    settings
}

fn client(url: &str) -> Client {
    Client::connect(settings(url)).unwrap()
}

/// A journal that can be read.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Journal for Notes {
    fn intent<'a>(&'a self, address: &'a Address, write: &'a str) -> BoxFuture<'a, io::Result<u64>> {
        let mut lines = self.0.lock().unwrap();
        lines.push(format!("{address} {write}"));
        ready(Ok(lines.len() as u64)).boxed()
    }

    fn done(&self, id: u64, outcome: Outcome) -> io::Result<()> {
        self.0.lock().unwrap().push(format!("{id} {outcome:?}"));
        Ok(())
    }

    fn guard<'a>(&'a self, guard: &'a Address, of: &'a Address) -> BoxFuture<'a, io::Result<()>> {
        self.0.lock().unwrap().push(format!("{guard} guards {of}"));
        ready(Ok(())).boxed()
    }
}

fn writer(client: &Client) -> (Writer, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    (
        Writer::new(client, notes.clone(), Address::new("repo", Key::top("a/b"))),
        notes,
    )
}

/// Kinds run on many threads: fails to compile where a future could not move between them.
#[test]
fn futures_can_move_between_threads() {
    fn movable(_: impl Send) {}
    fn all(reader: &Reader, writer: &Writer) {
        movable(reader.list::<Value>("", &[]));
        movable(reader.query_pages::<Value>("", Value::Null, ""));
        movable(reader.memo("", reader.find::<Value>("", &[])));
        movable(writer.post::<Value>("", Value::Null));
        movable(writer.delete("", &[]));
        movable(writer.mutate::<Value>("", Value::Null));
    }
    let _ = all;
}
