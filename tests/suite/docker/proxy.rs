//! A way to the Docker Engine that kills who uses it, before or after any one of its writes.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

/// What is lost of the write at which the program is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The Engine never hears of it.
    Request,
    /// The Engine does it, and nobody hears.
    Reply,
}

/// The program that is killed, and when.
#[derive(Clone, Copy)]
struct Trap {
    at: u64,
    lost: Lost,
    program: u32,
}

#[derive(Default)]
struct Shared {
    trap: Mutex<Option<Trap>>,
    writes: AtomicU64,
    /// The command that was made last, if it writes: running it is a write, too.
    command: AtomicBool,
}

/// The proxy. It ends with the test process.
pub struct Proxy {
    shared: Arc<Shared>,
    dir: TempDir,
}

impl Proxy {
    /// Before the Engine that the tests use.
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let shared = Arc::new(Shared::default());
        let served = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = served.clone();
                std::thread::spawn(move || serve(client, &shared));
            }
        });
        Proxy { shared, dir }
    }

    /// How a program is told of it: `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join(SOCKET).display())
    }

    /// Kills the program at its write number `at`, from 1 on.
    pub fn kill(&self, program: u32, at: u64, lost: Lost) {
        self.shared.writes.store(0, Ordering::SeqCst);
        *self.shared.trap.lock().unwrap() = Some(Trap { at, lost, program });
    }
}

const SOCKET: &str = "docker.sock";

/// The Engine that the tests use.
fn engine() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    Path::new(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock")).to_owned()
}

/// What one request is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Read,
    Write,
    /// Runs a command: the connection becomes its input and output.
    Run,
}

impl Shared {
    /// Which sort a request is. Asking GitLab how it is, is no write; telling it something is.
    fn sort(&self, head: &str, body: &[u8]) -> Sort {
        let line = head.lines().next().unwrap_or_default();
        let body = String::from_utf8_lossy(body);
        if line.starts_with("GET") || line.starts_with("HEAD") {
            return Sort::Read;
        }
        if line.contains("/exec/") && line.contains("/start") {
            return match self.command.swap(false, Ordering::SeqCst) {
                true => Sort::Run,
                false => Sort::Read,
            };
        }
        if line.contains("/exec") {
            let tells = ["gitlab-rails", "gitlab-ctl"]
                .iter()
                .any(|program| body.contains(program));
            self.command.store(tells, Ordering::SeqCst);
            return if tells { Sort::Write } else { Sort::Read };
        }
        Sort::Write
    }

    /// Whether this is the write at which somebody is killed, and what is lost.
    fn trapped(&self) -> Option<Trap> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        self.trap.lock().unwrap().filter(|trap| trap.at == number)
    }
}

impl Trap {
    fn spring(self) {
        let killed = Command::new("kill")
            .args(["-KILL", &self.program.to_string()])
            .status();
        assert!(killed.is_ok_and(|status| status.success()));
    }
}

/// Passes requests on, one after the other.
fn serve(mut client: UnixStream, shared: &Arc<Shared>) {
    let Ok(mut engine) = UnixStream::connect(engine()) else {
        return;
    };
    // After how many more pieces of what the Engine says the program is killed, instead of being told.
    let doomed: Arc<Mutex<Option<(u32, Trap)>>> = Arc::default();
    let replies = {
        let (engine, client) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
        let doomed = doomed.clone();
        std::thread::spawn(move || reply(engine, client, &doomed))
    };
    while let Some((head, body)) = request(&mut client) {
        let sort = shared.sort(&head, &body);
        let trap = if sort == Sort::Read {
            None
        } else {
            shared.trapped()
        };
        match trap {
            Some(trap) if trap.lost == Lost::Request => {
                trap.spring();
                break;
            }
            // The first that is said of a command is that it runs.
            Some(trap) => *doomed.lock().unwrap() = Some((u32::from(sort == Sort::Run), trap)),
            None => {}
        }
        if engine
            .write_all(head.as_bytes())
            .and_then(|()| engine.write_all(&body))
            .is_err()
        {
            break;
        }
        if head.to_ascii_lowercase().contains("upgrade:") {
            let _ = std::io::copy(&mut client, &mut engine);
            let _ = engine.shutdown(std::net::Shutdown::Write);
            let _ = replies.join();
            return;
        }
    }
    let _ = engine.shutdown(std::net::Shutdown::Both);
}

/// Passes on what the Engine says.
fn reply(mut engine: UnixStream, mut client: UnixStream, doomed: &Mutex<Option<(u32, Trap)>>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = engine.read(&mut buffer) {
        let mut doomed = doomed.lock().unwrap();
        match &mut *doomed {
            Some((0, trap)) => return trap.spring(),
            Some((left, _)) => *left -= 1,
            None => {}
        }
        if client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
}

/// The next request: its head, and its body where its length is told.
fn request(client: &mut UnixStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body).ok()?;
    Some((head, body))
}
