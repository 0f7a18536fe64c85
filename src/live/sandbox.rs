//! The embedded sandbox as a process of its own: started for a command, ended with it.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use secrecy::SecretString;

/// A running sandbox. It ends when this is dropped, or when this process does: its standard input closes then.
pub struct Sandbox {
    /// Where it listens.
    pub url: url::Url,
    /// The token of its administrator.
    pub token: SecretString,
    process: Child,
}

impl Sandbox {
    /// Starts this program's `sandbox` command on `dir`.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it listens; what it said is then on standard error.
    pub fn start(dir: &Path) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([
                "sandbox",
                "--listen",
                "127.0.0.1:0",
                "--until-stdin-closes",
                "--dir",
            ])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A group of its own: an interrupt at the terminal is for the command, which still needs its server.
            .process_group(0)
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("its output is a pipe")).read_line(&mut line)?;
        let Some(url) = line.split_whitespace().last().and_then(|url| url.parse().ok()) else {
            let status = process.wait()?;
            return Err(io::Error::other(format!(
                "the sandbox ended before it listened ({status})"
            )));
        };
        let token = std::fs::read_to_string(dir.join("token"))?
            .trim()
            .to_owned()
            .into();
        Ok(Sandbox { url, token, process })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It ends by itself then; waiting leaves no zombie and lets its last write reach the disk.
        let _ = self.process.wait();
    }
}
