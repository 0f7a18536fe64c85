//! A forge under test: a sandbox in this process, a config in a directory of its own, and the real program run on both.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use gitlab_sandbox::{Options, Sandbox};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub use crate::process::{Run, Running};

/// Where the sandboxes of this run record what is said to them.
pub static EXCHANGES: OnceLock<PathBuf> = OnceLock::new();

/// Serves all sandboxes.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.expect("nobody installed another one");
    Runtime::new().expect("a runtime starts")
});

/// How often and how long to wait for what has to happen sooner or later.
const PATIENCE: (usize, Duration) = (2_000, Duration::from_millis(10));

/// Waits until `ready` has an answer.
#[track_caller]
pub fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.0 {
        if let Some(answer) = ready() {
            return answer;
        }
        std::thread::sleep(PATIENCE.1);
    }
    panic!("never happened: {what}");
}

/// The state of a forge that keeps it in GitLab.
pub const STATE: &str = "projects/ops%2Fforge/terraform/state/main";

/// A sandbox, a config and what is kept beside it.
pub struct Forge {
    /// The config's directory.
    pub dir: TempDir,
    /// Speaks for the administrator.
    pub admin: Http,
    token: String,
    /// What else stands above every config.
    head: OnceLock<String>,
    _sandbox: Sandbox,
    _data: TempDir,
}

impl Forge {
    /// An empty Community Edition.
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// An empty GitLab with other options.
    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let data = TempDir::new().unwrap();
        let mut options = Options::new(data.path());
        options.protection_delay = Duration::from_millis(20);
        options.record = EXCHANGES.get().map(|folder| {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            folder.join(format!("{number}.jsonl"))
        });
        change(&mut options);
        let sandbox = RUNTIME.block_on(Sandbox::start(options)).unwrap();
        Forge {
            dir: TempDir::new().unwrap(),
            token: sandbox.token().to_owned(),
            head: OnceLock::new(),
            admin: Http::new(sandbox.url(), sandbox.token()),
            _sandbox: sandbox,
            _data: data,
        }
    }

    /// A forge on which `config` was applied.
    pub fn applied(config: &str) -> Self {
        let forge = Self::new();
        forge.config(config);
        forge.run(&["apply", "--yes"]).exits(0);
        forge
    }

    /// Keeps the state of this forge in GitLab itself, in the state `main` of the project `ops/forge`; `more` says more
    /// about it.
    pub fn keep_state_in_gitlab(&self, more: &str) {
        let group = self.admin.post("groups", json!({"name": "ops", "path": "ops"}));
        let project = json!({"path": "forge", "namespace_id": group["id"]});
        self.admin.post("projects", project);
        let state = format!("state: {{gitlab: {{project: ops/forge, name: main{more}}}}}\n");
        self.head.set(state).expect("it is kept in one place");
    }

    /// The state that GitLab keeps, if there is one yet.
    pub fn document(&self) -> Value {
        let reply = self.admin.send(Method::GET, STATE, None);
        match reply.status {
            200 => reply.body,
            _ => Value::Null,
        }
    }

    /// Where the sandbox listens.
    pub fn url(&self) -> &str {
        &self.admin.url
    }

    /// The administrator's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Writes the config: `text` under the lines that say how to reach this forge.
    pub fn config(&self, text: &str) {
        let head = format!(
            "autogit: 1\ngitlab: {{url: {}, token: {{env: AUTOGIT_TOKEN}}}}\n",
            self.admin.url
        );
        let state = self.head.get().map_or("", String::as_str);
        std::fs::write(self.dir.path().join("autogit.yaml"), head + state + text).unwrap();
    }

    /// The program, ready to run beside the config, with nothing else in its environment.
    pub fn autogit(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autogit"));
        command.args(args);
        self.at_home(&mut command);
        command
    }

    fn at_home(&self, command: &mut Command) {
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AUTOGIT_TOKEN", &self.token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        Running::new(self.autogit(args).spawn().unwrap()).wait()
    }

    /// Runs the program with another token.
    pub fn run_as(&self, token: &str, args: &[&str]) -> Run {
        let mut command = self.autogit(args);
        command.env("AUTOGIT_TOKEN", token);
        Running::new(command.spawn().unwrap()).wait()
    }

    /// Starts the program.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::new(self.autogit(args).spawn().unwrap())
    }

    /// Starts the program once `prepare` was told its process id.
    pub fn start_when(&self, args: &[&str], prepare: impl FnOnce(u32)) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", "read go && exec \"$0\" \"$@\" </dev/null"]);
        command.arg(env!("CARGO_BIN_EXE_autogit")).args(args);
        self.at_home(&mut command);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        prepare(child.id());
        let mut stdin = child.stdin.take().expect("its input is a pipe");
        stdin.write_all(b"go\n").unwrap();
        Running::new(child)
    }

    /// Arms a fault.
    pub fn arm(&self, rule: Value) -> u64 {
        let armed = self.admin.send(Method::POST, "/-/sandbox/faults", Some(rule));
        armed.expect(201)["id"].as_u64().unwrap()
    }

    /// Disarms all faults.
    pub fn disarm(&self) {
        self.admin
            .send(Method::DELETE, "/-/sandbox/faults", None)
            .expect(204);
    }

    /// Waits until a fault fired.
    pub fn wait_for(&self, fault: u64) {
        eventually("the fault fires", || {
            let rules = self.admin.get("/-/sandbox/faults");
            let fired = |rule: &&Value| rule["id"] == fault && rule["fired"].as_u64() > Some(0);
            rules.as_array().unwrap().iter().find(fired).map(|_| ())
        });
    }

    /// How many writes the sandbox has seen, of all that were sent to it.
    pub fn writes(&self) -> u64 {
        self.admin.get("/-/sandbox/counters")["writes"].as_u64().unwrap()
    }

    /// A new user, and a token of theirs.
    pub fn user(&self, name: &str, scopes: &[&str]) -> (u64, String) {
        let user = json!({
            "username": name, "name": name, "email": format!("{name}@example.com"), "force_random_password": true,
        });
        let id = self.admin.post("users", user)["id"].as_u64().unwrap();
        let token = json!({"name": "test", "scopes": scopes});
        let token = self
            .admin
            .post(&format!("users/{id}/personal_access_tokens"), token);
        (id, token["token"].as_str().unwrap().to_owned())
    }

    /// Makes a user a member of a group.
    pub fn member(&self, group: &str, user: u64, level: u64) {
        let member = json!({"user_id": user, "access_level": level});
        self.admin
            .post(&format!("groups/{}/members", group.replace('/', "%2F")), member);
    }

    /// The file that holds the ledger and the like.
    pub fn state(&self) -> PathBuf {
        let folders = std::fs::read_dir(self.dir.path().join(".autogit")).unwrap();
        let mut folders = folders.map(|entry| entry.unwrap().path());
        folders.find(|path| path.is_dir()).expect("there is a state")
    }

    /// What AutoGit manages: each address, and whether it was created or adopted.
    pub fn ledger(&self) -> Vec<(String, String)> {
        let list = self.run(&["ledger", "list", "--format", "json"]).exits(0).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let resources = list["resources"].as_array().unwrap().iter();
        resources
            .map(|entry| (text(&entry["address"]), text(&entry["origin"])))
            .collect()
    }

    /// Asserts that live is as declared, and that finding out wrote nothing.
    #[track_caller]
    pub fn expect_converged(&self) {
        let writes = self.writes();
        let plan = self.run(&["plan", "--detailed-exitcode"]).exits(0);
        assert!(plan.stdout.contains("No changes"), "{}", plan.all());
        assert_eq!(self.writes(), writes, "a plan wrote");
    }
}

/// Speaks HTTP for one user.
pub struct Http {
    client: reqwest::Client,
    url: String,
    token: String,
}

/// An answer, read to its end.
pub struct Reply {
    status: u16,
    body: Value,
}

impl Reply {
    /// The body of an answer that has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

impl Http {
    /// Speaks to the GitLab at `url` for whom the token is of.
    pub fn new(url: &str, token: &str) -> Self {
        // What a client is made of has to be there first.
        LazyLock::force(&RUNTIME);
        // A redirect is not existence.
        let client = reqwest::Client::builder().no_proxy();
        let client = client.redirect(reqwest::redirect::Policy::none());
        Http {
            client: client.build().unwrap(),
            url: url.to_owned(),
            token: token.to_owned(),
        }
    }

    /// Reads.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).expect(200)
    }

    /// Creates.
    #[track_caller]
    pub fn post(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, Some(body)).expect(201)
    }

    /// Changes.
    #[track_caller]
    pub fn put(&self, path: &str, body: Value) -> Value {
        self.send(Method::PUT, path, Some(body)).expect(200)
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        self.send(Method::GET, path, None).status == 200
    }

    /// Sends one request; `path` is below `/api/v4/` unless it starts with a slash.
    pub fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let url = match path.starts_with('/') {
            true => format!("{}{path}", self.url),
            false => format!("{}/api/v4/{path}", self.url),
        };
        let mut request = self
            .client
            .request(method, url)
            .header("PRIVATE-TOKEN", &self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        RUNTIME.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Reply { status, body }
        })
    }
}

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// How many cases of one test go on at a time.
const THREADS: usize = 6;

/// Runs `attempt` on every case, several at a time.
pub fn in_parallel<T: Sync>(cases: &[T], attempt: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    attempt(case);
                }
            });
        }
    });
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Names tests after their file and function.
#[macro_export]
macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        vec![$(libtest_mimic::Trial::test(
            concat!(module_path!(), "::", stringify!($name)).trim_start_matches("suite::").to_owned(),
            || {
                $name();
                Ok(())
            },
        )),*]
    };
}
