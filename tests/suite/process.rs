//! The program as a process: started, signalled, heard, waited for.

use std::io::Read;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::support::eventually;

/// The program while it runs. What it prints is read as it comes.
pub struct Running {
    child: Child,
    stdout: Heard,
    stderr: Heard,
}

/// What was printed so far, and the thread that listens.
struct Heard {
    text: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

impl Heard {
    fn new(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = text.clone();
        let listener = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                shared.lock().unwrap().extend(&buffer[..read]);
            }
        });
        Heard { text, listener }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn whole(self) -> String {
        let Heard { text, listener } = self;
        listener.join().unwrap();
        let text = text.lock().unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Running {
    /// Listens to a child whose outputs are pipes.
    pub fn new(mut child: Child) -> Self {
        let stdout = Heard::new(child.stdout.take().expect("its output is a pipe"));
        let stderr = Heard::new(child.stderr.take().expect("its errors are a pipe"));
        Running {
            child,
            stdout,
            stderr,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `INT`, `KILL`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success(), "{name} was not sent");
    }

    /// Waits until it shows this on standard output.
    pub fn wait_to_show(&self, words: &str) {
        eventually(words, || self.stdout.text().contains(words).then_some(()));
    }

    /// Waits until it says this on standard error.
    pub fn wait_to_say(&self, words: &str) {
        eventually(words, || self.stderr.text().contains(words).then_some(()));
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Run {
        let status = self.child.wait().unwrap();
        Run {
            code: status.code(),
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
        }
    }
}

/// What the program left behind.
pub struct Run {
    /// Its exit code; `None` when it was killed.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.all());
        self
    }

    /// Asserts that standard error says this.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(
            self.stderr.contains(words),
            "does not say `{words}`:\n{}",
            self.all()
        );
        self
    }

    /// Asserts that standard output shows this.
    #[track_caller]
    pub fn shows(self, words: &str) -> Self {
        assert!(
            self.stdout.contains(words),
            "does not show `{words}`:\n{}",
            self.all()
        );
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", self.all()))
    }

    /// Asserts that neither output has this.
    #[track_caller]
    pub fn hides(self, words: &str) -> Self {
        let all = self.all();
        assert!(!all.contains(words), "shows `{words}`:\n{all}");
        self
    }

    /// Asserts that a line of the plan is about this field, and says this.
    #[track_caller]
    pub fn changes(self, field: &str, words: &str) -> Self {
        let about = |line: &&str| line.split_whitespace().next() == Some(field);
        let line = self.stdout.lines().find(about);
        assert!(
            line.is_some_and(|line| line.contains(words)),
            "does not change `{field}` `{words}`:\n{}",
            self.all()
        );
        self
    }

    /// Both outputs, for messages.
    pub fn all(&self) -> String {
        format!(
            "exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}
