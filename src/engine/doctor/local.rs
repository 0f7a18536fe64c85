//! What can be judged beside the config, without a connection: where the token may go, secrets, state.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use super::Check;
use crate::config::{Config, SecretRef};
use crate::engine::secrets::judge;
use crate::engine::state::{Directory, Store};
use crate::live::secrets::{Secrets, check_url};

/// Whether the token may go to `url`. `named`: what `AUTOGIT_URL` holds.
pub fn guard(url: &Url, named: Option<&str>) -> Check {
    const NAME: &str = "guard";
    match (check_url(url, named), named) {
        (Err(error), _) => Check::failed(NAME, error.to_string()),
        (Ok(()), Some(_)) => Check::ok(NAME, "AUTOGIT_URL names the same instance"),
        (Ok(()), None) => Check::ok(NAME, "AUTOGIT_URL is not set: the token goes where the URL says"),
    }
}

/// Whether the reference to the token resolves; programs are not run. Gives the token where it does.
pub async fn token(reference: &SecretRef, secrets: &Secrets) -> (Check, Option<SecretString>) {
    const NAME: &str = "token_reference";
    if let SecretRef::Exec(_) = reference {
        let check = Check::not_known(NAME, "the token comes from a program, which is not run here");
        return (
            check.help("to have it examined, export it: `autogit doctor --url URL --token-env NAME`"),
            None,
        );
    }
    let token = match secrets.token(reference).await {
        Ok(token) => token,
        Err(error) => return (Check::failed(NAME, error.to_string()), None),
    };
    let check = match reference {
        SecretRef::File(file) if is_open(&secrets.base.join(file)) => {
            let file = secrets.base.join(file);
            Check::warning(
                NAME,
                format!("{} is open to other users of this machine", file.display()),
            )
            .help(format!("chmod 600 {}", file.display()))
        }
        SecretRef::File(file) => Check::ok(NAME, format!("{} is there", file.display())),
        SecretRef::Env(name) => Check::ok(NAME, format!("{name} is set")),
        SecretRef::Exec(_) => unreachable!("answered above"),
    };
    (check, Some(token))
}

/// Whether the references to the config's other secrets resolve, and to what GitLab would take.
pub async fn secrets(config: &Config, secrets: &Secrets) -> Check {
    const NAME: &str = "secrets";
    let (problems, unresolved) = judge(config, secrets).await;
    if !problems.is_empty() {
        let found: Vec<_> = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.address, problem.message))
            .collect();
        return Check::failed(NAME, found.join("; "));
    }
    match unresolved.len() {
        0 => Check::ok(NAME, "all that are declared resolve here"),
        _ => {
            let unresolved: Vec<_> = unresolved.into_iter().collect();
            Check::warning(NAME, format!("not to be had here: {}", unresolved.join(", ")))
                .help("where apply runs they must be set; `plan --no-secrets` does without, and programs were not run")
        }
    }
}

/// The state of `instance` in the folder `base`.
pub async fn directory(base: &Path, instance: &str) -> Vec<Check> {
    let Some(directory) = Directory::find(base, instance) else {
        return vec![Check::ok(
            "state",
            "none yet: nothing is managed, so nothing is pruned",
        )];
    };
    let root = directory.root().to_owned();
    let mut checks = store(&Store::Directory(Arc::new(directory))).await;
    checks.push(private(&root));
    checks.push(ignored(base));
    checks
}

/// The state in a store.
pub async fn store(store: &Store) -> Vec<Check> {
    const NAME: &str = "state";
    let mut checks = Vec::new();
    match store.load().await {
        Ok(ledger) => {
            let managed = ledger.resources.len();
            checks.push(Check::ok(
                NAME,
                format!("{managed} managed, in {}", store.describe()),
            ));
            checks.push(interrupted(ledger.in_doubt.len()));
        }
        Err(error) => checks.push(Check::failed(NAME, error.to_string())),
    }
    checks.push(lock(store).await);
    checks
}

fn interrupted(in_doubt: usize) -> Check {
    const NAME: &str = "journal";
    match in_doubt {
        0 => Check::ok(NAME, "no run was interrupted"),
        _ => Check::warning(NAME, format!("{in_doubt} in doubt, left by an interrupted run"))
            .help("apply again: it finds out what was done, and goes on"),
    }
}

async fn lock(store: &Store) -> Check {
    const NAME: &str = "lock";
    match store.holder().await {
        Ok(None) => Check::ok(NAME, "nobody holds it"),
        Ok(Some(holder)) => Check::warning(NAME, format!("held by {holder}"))
            .help("wait until it is done; `autogit unlock` clears what a dead process left, with --force where the state is in GitLab"),
        Err(error) => Check::failed(NAME, error.to_string()),
    }
}

/// Whether only its owner can read the state.
fn private(root: &Path) -> Check {
    const NAME: &str = "permissions";
    let files = fs::read_dir(root).into_iter().flatten().flatten();
    // The sandbox's data in it is its own affair.
    let files = files.map(|file| file.path()).filter(|path| path.is_file());
    let open: Vec<_> = [root.to_owned()]
        .into_iter()
        .chain(files)
        .filter(|path| is_open(path))
        .map(|path| path.display().to_string())
        .collect();
    match open.is_empty() {
        true => Check::ok(NAME, "only its owner can read the state"),
        false => Check::warning(
            NAME,
            format!("open to other users of this machine: {}", open.join(", ")),
        )
        .help(format!("chmod -R go= {}", root.display())),
    }
}

/// Whether git leaves the state alone.
fn ignored(base: &Path) -> Check {
    const NAME: &str = "git";
    let file = base.join(".gitignore");
    let is_ignored = fs::read_to_string(&file).is_ok_and(|text| text.lines().any(|line| line.trim() == "*"));
    match is_ignored {
        true => Check::ok(NAME, "the state is ignored"),
        false => Check::warning(
            NAME,
            format!(
                "the state could be committed: {} does not ignore it",
                file.display()
            ),
        )
        .help(format!("write `*` into {}", file.display())),
    }
}

/// Whether others than its owner can do anything with it.
fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}
