//! Backups of a deployed instance: made, tried, restored, removed, and what is left when that fails or is killed.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::docker::{self, Deployed, Wanted, docker};
use crate::process::Run;
use crate::support::{eventually, files};

pub fn trials() -> Vec<Trial> {
    let anywhere = docker::on_an_engine(crate::trials![
        a_backup_is_restored_on_another_host,
        what_is_damaged_is_found_and_what_is_of_another_version_refused,
    ]);
    let faults = docker::on_the_standin(crate::trials![
        what_fails_or_is_killed_leaves_nothing_and_the_next_works,
        what_is_old_goes_once_a_newer_one_is_made,
    ]);
    let encrypted = docker::on_an_engine(crate::trials![secrets_are_for_the_holder_of_the_identity_alone]);
    let restic = docker::on_an_engine(crate::trials![restic_keeps_backups]);
    let s3 = docker::on_the_standin(crate::trials![object_storage_keeps_backups]);
    let cron = docker::on_an_engine(crate::trials![
        a_schedule_is_a_line_of_cron_where_there_is_no_systemd
    ]);
    let systemd = Path::new("/run/systemd/system").is_dir();
    [
        anywhere,
        faults,
        unless(!is_installed("age"), encrypted),
        unless(!is_installed("restic"), restic),
        unless(!is_installed("moto_server"), s3),
        unless(systemd, cron),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn unless(ignored: bool, trials: Vec<Trial>) -> Vec<Trial> {
    match ignored {
        true => trials
            .into_iter()
            .map(|trial| trial.with_ignored_flag(true))
            .collect(),
        false => trials,
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

const CONTENTS: &str =
    "groups: {team: {}}\nrepos: {team/app: {description: The app, initialize_with_readme: true}}\n";

/// An instance with something in it, backed up like this.
fn up(backup: &str) -> Deployed {
    let deployed = Deployed::without_config();
    declare(&deployed, backup);
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed
}

fn declare(deployed: &Deployed, backup: &str) {
    deployed.config(Wanted {
        deploy: &format!("backup: {{{backup}}}"),
        rest: CONTENTS,
        ..deployed.wanted()
    });
}

fn create(deployed: &Deployed) -> String {
    let created = deployed.run(&["backup", "create", "--format", "json"]).exits(0);
    created.json()["backup"]["id"].as_str().unwrap().to_owned()
}

fn ids(deployed: &Deployed) -> Vec<String> {
    let listed = deployed
        .run(&["backup", "list", "--format", "json"])
        .exits(0)
        .json();
    let all = listed["backups"].as_array().unwrap().iter();
    all.map(|backup| backup["id"].as_str().unwrap().to_owned())
        .collect()
}

fn record(deployed: &Deployed) -> Value {
    serde_json::from_slice(&std::fs::read(deployed.place("last-backup.json")).unwrap()).unwrap()
}

/// Runs git, and gives what it printed.
fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn remote(deployed: &Deployed) -> String {
    format!(
        "http://root:{}@127.0.0.1:{}/team/app.git",
        deployed.token(),
        deployed.port
    )
}

/// Pushes a commit, and gives its id.
fn commit(deployed: &Deployed, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["clone", "-q", &remote(deployed), "app"]);
    let app = dir.path().join("app");
    std::fs::write(app.join("notes"), text).unwrap();
    git(&app, &["add", "notes"]);
    git(&app, &["commit", "-qm", text]);
    git(&app, &["push", "-q", "origin", "HEAD"]);
    git(&app, &["rev-parse", "HEAD"])
}

fn head(deployed: &Deployed) -> String {
    let refs = git(deployed.dir.path(), &["ls-remote", &remote(deployed), "HEAD"]);
    refs.split_whitespace().next().unwrap().to_owned()
}

/// What tells whether the live container was touched.
fn standing(deployed: &Deployed) -> (String, String) {
    (deployed.inspect(".Id"), deployed.inspect(".State.StartedAt"))
}

/// Nothing is left in the container or beside it.
#[track_caller]
fn expect_tidy(deployed: &Deployed) {
    assert_eq!(deployed.exec(&["ls", "/var/opt/gitlab/backups"]), "");
    let trial = format!("name={}-verify", deployed.name);
    assert_eq!(docker(&["ps", "-aq", "--filter", &trial]), "");
}

fn a_backup_is_restored_on_another_host() {
    let kept = tempfile::tempdir().unwrap();
    let to = format!("to: {{directory: '{}'}}", kept.path().display());
    let old = up(&to);
    let pushed = commit(&old, "before");
    let id = create(&old);
    expect_tidy(&old);
    let folder = kept.path().join(&id);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let names: BTreeSet<PathBuf> = files(&folder).into_iter().collect();
    let expected = ["config.tar", "data.tar", "manifest.json"].map(|name| folder.join(name));
    assert_eq!(names, expected.into());
    assert!(names.iter().all(|file| mode(file) == 0o600), "{names:?}");
    old.run(&["backup", "create"])
        .exits(0)
        .says("whoever can read one can read them");

    let before = standing(&old);
    let verified = old.run(&["backup", "verify", &id]).exits(0);
    assert!(
        verified.stdout.contains("is whole") && verified.stdout.contains("1 project"),
        "{}",
        verified.all()
    );
    assert_eq!(standing(&old), before, "the instance itself was touched");
    assert_eq!(record(&old)["verified"]["id"], json!(id));
    expect_tidy(&old);
    let secrets = old.exec(&["cat", "/etc/gitlab/gitlab-secrets.json"]);
    drop(old);

    let new = up(&to);
    assert_ne!(new.exec(&["cat", "/etc/gitlab/gitlab-secrets.json"]), secrets);
    new.run(&["backup", "restore", &id])
        .exits(1)
        .says("there is no terminal");
    let restored = new
        .run(&["backup", "restore", &id, "--yes", "--format", "json"])
        .exits(0)
        .json();
    assert_eq!(restored["problems"], json!([]));
    assert!(ids(&new).contains(&restored["saved"].as_str().unwrap().to_owned()));
    assert_eq!(new.exec(&["cat", "/etc/gitlab/gitlab-secrets.json"]), secrets);
    assert_eq!(
        head(&new),
        pushed,
        "reached with a token that the restored data knows"
    );
    expect_tidy(&new);
    new.expect_converged();
}

fn what_is_damaged_is_found_and_what_is_of_another_version_refused() {
    let deployed = up("to: {directory: backups}");
    let good = create(&deployed);
    let folder = deployed.dir.path().join("backups");
    let change = |id: &str, change: &dyn Fn(&mut Value)| {
        let path = folder.join(id).join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        std::fs::write(&path, manifest.to_string()).unwrap();
    };
    for (field, value) in [("version", "18.8.5"), ("edition", "ee")] {
        change(&good, &|manifest| {
            manifest["gitlab"] = json!({"version": "18.8.4", "edition": "ce"});
            manifest["gitlab"][field] = json!(value);
        });
        deployed
            .run(&["backup", "restore", &good, "--yes"])
            .exits(1)
            .says("GitLab restores only its own version and edition")
            .says("run `autogit apply`, restore");
    }
    change(&good, &|manifest| manifest["format"] = json!(99));
    deployed
        .run(&["backup", "restore", &good, "--yes"])
        .exits(1)
        .says("newer AutoGit");

    let damaged = create(&deployed);
    let data = folder.join(&damaged).join("data.tar");
    let mut bytes = std::fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    let before = standing(&deployed);
    deployed
        .run(&["backup", "verify", &damaged])
        .exits(1)
        .says("its checksum differs");
    deployed
        .run(&["backup", "list"])
        .exits(0)
        .shows("damaged: data.tar");
    deployed
        .run(&["backup", "restore", &damaged, "--yes", "--no-safety-backup"])
        .exits(1)
        .says("its checksum differs");
    std::fs::remove_file(&data).unwrap();
    deployed
        .run(&["backup", "verify", &damaged])
        .exits(1)
        .says("data.tar is missing");
    assert_eq!(standing(&deployed), before);
    deployed.expect_converged();
}

/// Puts something in front of the container's `gitlab-backup`.
fn intercept(deployed: &Deployed, script: &str) {
    let program = "/opt/gitlab/bin/gitlab-backup";
    let script = format!(
        "set -e; test -e {program}.real || mv {program} {program}.real; \
         printf '%s\\n' '#!/bin/sh' '{script}' 'exec {program}.real \"$@\"' > {program}; chmod +x {program}"
    );
    deployed.exec(&["sh", "-c", &script]);
}

fn what_fails_or_is_killed_leaves_nothing_and_the_next_works() {
    let deployed = up("to: {directory: backups}");
    let good = create(&deployed);
    let left = |ids: &[&str]| {
        let folder = deployed.dir.path().join("backups");
        let names = std::fs::read_dir(folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: Vec<String> = names.filter(|name| !name.starts_with(".partial-")).collect();
        assert_eq!(names, ids);
    };

    intercept(&deployed, "echo No space left on device >&2; exit 1");
    deployed
        .run(&["backup", "create", "--unattended"])
        .exits(1)
        .says("No space left on device");
    left(&[&good]);
    assert_eq!(record(&deployed)["made"]["id"], json!(good));
    assert!(
        record(&deployed)["error"]
            .as_str()
            .unwrap()
            .contains("No space left")
    );

    intercept(&deployed, "sleep 30");
    let killed = deployed.start(&["backup", "create"]);
    killed.wait_to_say("backing up");
    deployed
        .run(&["backup", "create"])
        .exits(1)
        .says("another `autogit backup`");
    killed.signal("KILL");
    drop(killed.wait());
    left(&[&good]);
    let ended = deployed.start(&["backup", "create"]);
    ended.wait_to_say("backing up");
    ended.signal("TERM");
    ended.wait().exits(130).says("interrupted");
    assert_eq!(
        deployed.exec(&["sh", "-c", "pgrep -f '[B]ACKUP=' || true"]),
        "",
        "it goes on in the container"
    );
    left(&[&good]);

    intercept(&deployed, ":");
    let next = create(&deployed);
    assert_eq!(ids(&deployed), [good, next]);
    assert_eq!(record(&deployed)["error"], Value::Null);
    expect_tidy(&deployed);
    let partial = files(&deployed.dir.path().join("backups"));
    let partial: Vec<_> = partial
        .iter()
        .filter(|file| file.to_string_lossy().contains(".partial-"))
        .collect();
    assert!(partial.is_empty(), "{partial:?}");
}

fn what_is_old_goes_once_a_newer_one_is_made() {
    let deployed = up("to: {directory: backups}, keep: {last: 2}");
    let first = create(&deployed);
    let second = create(&deployed);
    let third = create(&deployed);
    assert_eq!(ids(&deployed), [second.clone(), third.clone()], "{first} stayed");
    declare(&deployed, "to: {directory: backups}, keep: {last: 1}");
    deployed
        .run(&["backup", "prune"])
        .exits(1)
        .shows(&format!("- {second}"))
        .says("there is no terminal");
    assert_eq!(ids(&deployed).len(), 2);
    deployed.run(&["backup", "prune", "--yes"]).exits(0);
    assert_eq!(ids(&deployed), [third]);
    deployed
        .run(&["backup", "prune", "--yes"])
        .exits(0)
        .shows("0 backups to remove, 1 to keep");
}

fn secrets_are_for_the_holder_of_the_identity_alone() {
    let keys = tempfile::tempdir().unwrap();
    let identity = |name: &str| {
        let path = keys.path().join(name);
        let made = Command::new("age-keygen").arg("-o").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        let key = said
            .split_whitespace()
            .find(|word| word.starts_with("age1"))
            .unwrap()
            .to_owned();
        (path.display().to_string(), key)
    };
    let ((mine, key), (other, _)) = (identity("mine"), identity("other"));
    let deployed = up(&format!("to: {{directory: backups}}, encrypt: {{age: [{key}]}}"));
    let pushed = commit(&deployed, "before");
    let id = create(&deployed);
    commit(&deployed, "after");
    // The secrets of GitLab, and AutoGit's own token, are nowhere to be read.
    let secrets: Value =
        serde_json::from_str(&deployed.exec(&["cat", "/etc/gitlab/gitlab-secrets.json"])).unwrap();
    let canaries = [
        secrets["gitlab_rails"]["db_key_base"]
            .as_str()
            .unwrap()
            .to_owned(),
        deployed.token(),
    ];
    let expect_none = |what: &str, bytes: &[u8]| {
        for canary in &canaries {
            let found = bytes
                .windows(canary.len())
                .any(|window| window == canary.as_bytes());
            assert!(!found, "a secret is in {what}");
        }
    };
    for file in files(&deployed.dir.path().join("backups")) {
        expect_none(&file.display().to_string(), &std::fs::read(&file).unwrap());
    }
    let refused = deployed
        .run(&["backup", "restore", &id, "--yes"])
        .exits(1)
        .says("--identity FILE");
    expect_none("what it says", refused.all().as_bytes());
    deployed
        .run(&["backup", "restore", &id, "--yes", "--identity", &other])
        .exits(1)
        .says("failed to read the configuration");
    deployed.run(&["backup", "verify"]).exits(0).says("not looked at");
    let verified = deployed
        .run(&["-vvv", "backup", "verify", "--identity", &mine])
        .exits(0)
        .shows("is whole");
    expect_none("the log", verified.all().as_bytes());
    let restored = deployed
        .run(&[
            "-vvv",
            "backup",
            "restore",
            &id,
            "--yes",
            "--no-safety-backup",
            "--identity",
            &mine,
        ])
        .exits(0);
    expect_none("the log", restored.all().as_bytes());
    assert_eq!(head(&deployed), pushed);
    deployed.expect_converged();
}

/// Two backups, of which one stays, is found whole, and restored.
fn goes_around(deployed: &Deployed) {
    let first = create(deployed);
    let pushed = commit(deployed, "before");
    let second = create(deployed);
    assert_ne!(first, second);
    assert_eq!(ids(deployed), std::slice::from_ref(&second));
    commit(deployed, "after");
    deployed.run(&["backup", "verify"]).exits(0).shows("is whole");
    deployed
        .run(&["backup", "restore", &second, "--yes", "--no-safety-backup"])
        .exits(0)
        .shows("Restored");
    assert_eq!(head(deployed), pushed);
}

fn restic_keeps_backups() {
    let deployed = Deployed::without_config();
    deployed.write("password", "canary-of-restic\n");
    declare(
        &deployed,
        "to: {restic: {repository: repository, password: {file: password}}}, keep: {last: 1}",
    );
    deployed.run(&["apply", "--yes"]).exits(0);
    goes_around(&deployed);
    deployed.write("password", "another");
    let wrong = deployed
        .run(&["backup", "create"])
        .exits(1)
        .says("wrong password");
    assert!(!wrong.all().contains("canary"), "{}", wrong.all());
    assert!(
        record(&deployed)["error"]
            .as_str()
            .unwrap()
            .contains("wrong password")
    );
}

/// The S3 of moto, a server written elsewhere: <https://docs.getmoto.org/>.
struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Moto { child, port };
        eventually("object storage answers", || {
            let put = moto.curl(&["-X", "PUT", &moto.url("/backups")]);
            (put == "200").then_some(())
        });
        moto
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The HTTP status.
    fn curl(&self, args: &[&str]) -> String {
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn object_storage_keeps_backups() {
    let moto = Moto::start();
    let deployed = Deployed::without_config();
    deployed.write("key", "canary-of-s3");
    let to = |bucket: &str| {
        format!(
            "to: {{s3: {{endpoint: '{}', bucket: {bucket}, prefix: forge/, access_key: me, secret_key: {{file: key}}}}}}, keep: {{last: 1}}",
            moto.url("")
        )
    };
    declare(&deployed, &to("backups"));
    deployed.run(&["apply", "--yes"]).exits(0);
    // Large enough for several parts.
    let big = "head -c 40000000 /dev/urandom > /var/opt/gitlab/standin/sandbox/repositories/big && \
               chown git:git /var/opt/gitlab/standin/sandbox/repositories/big";
    deployed.exec(&["sh", "-c", big]);
    goes_around(&deployed);
    declare(&deployed, &to("missing"));
    let wrong = deployed.run(&["backup", "create"]).exits(1).says("NoSuchBucket");
    assert!(
        !wrong.all().contains("canary") && !wrong.all().contains("Signature"),
        "{}",
        wrong.all()
    );
}

/// A crontab of its own: this is a stand-in, as the tests are not to write into that of who runs them.
fn crontab(deployed: &mut Deployed) -> PathBuf {
    let folder = deployed.dir.path().join("bin");
    let table = deployed.dir.path().join("crontab");
    std::fs::create_dir(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\ncase $1 in\n-l) cat '{0}' 2>/dev/null || {{ echo no crontab for me >&2; exit 1; }} ;;\n-) cat > '{0}.new' && mv '{0}.new' '{0}' ;;\nesac\n",
        table.display()
    );
    let program = folder.join("crontab");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    deployed
        .environment
        .insert("PATH".into(), format!("{}:{path}", folder.display()));
    table
}

fn a_schedule_is_a_line_of_cron_where_there_is_no_systemd() {
    let mut deployed = Deployed::without_config();
    let table = crontab(&mut deployed);
    let others = "# mine\n0 1 * * * other\n";
    std::fs::write(&table, others).unwrap();
    let read = || std::fs::read_to_string(&table).unwrap();
    let backup = "to: {directory: backups}";
    declare(&deployed, &format!("{backup}, schedule: '61 3 * * *'"));
    deployed
        .run(&["validate"])
        .exits(1)
        .says("`61` is no minute")
        .says("autogit.yaml:4");
    declare(&deployed, &format!("{backup}, schedule: '15 3 * * *'"));
    deployed
        .run(&["plan"])
        .exits(0)
        .shows(&format!("backup_schedule.{}", deployed.name));
    assert_eq!(read(), others, "a plan wrote");
    deployed.run(&["apply", "--yes"]).exits(0);
    let with = read();
    assert!(with.starts_with(others), "{with}");
    let line = with.lines().find(|line| line.starts_with("15 3 * * * ")).unwrap();
    assert!(
        line.contains("backup create --unattended") && !line.contains(&deployed.token()),
        "{line}"
    );
    let config = deployed.dir.path().join("autogit.yaml").canonicalize().unwrap();
    assert!(line.contains(&config.display().to_string()), "{line}");
    deployed.expect_converged();

    // What cron would run makes a backup.
    let command = line.split_once("* * * ").unwrap().1;
    let ran = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .current_dir("/")
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(ids(&deployed).len(), 1);

    std::fs::write(&table, with.replace("15 3", "15 4")).unwrap();
    let drift = deployed.run(&["plan", "--detailed-exitcode"]).exits(2);
    assert!(
        drift.stdout.contains("15 4 * * *") && drift.stdout.contains("15 3 * * *"),
        "{}",
        drift.all()
    );
    deployed.run(&["apply", "--yes"]).exits(0);
    assert_eq!(read(), with);

    declare(&deployed, backup);
    let refused: Run = deployed.run(&["apply", "--yes"]);
    refused.exits(3).says("--allow weaken");
    deployed.run(&["apply", "--yes", "--allow", "weaken"]).exits(0);
    assert_eq!(read(), others);
    deployed.expect_converged();
}
