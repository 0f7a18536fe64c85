//! The other half of a backup: `/etc/gitlab`, without whose secrets the data cannot be read, and what AutoGit keeps beside the config.
//! A file of its own, encrypted to public keys where some are declared.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use tokio::process::Command;

use super::stream::{self, Source};

/// `/etc/gitlab` in the archive, as Docker calls it.
const GITLAB: &str = "gitlab";
/// AutoGit's own directory in the archive.
const AUTOGIT: &str = "autogit";
/// What of AutoGit's own directory is in it. Its token is not: a restored GitLab is given another.
const KEPT: [&str; 4] = ["etc", "ca", "applied.json", "host.json"];
/// What of it comes back: what users trust. The rest follows from the config.
const RESTORED: [&str; 2] = ["autogit/ca/", "autogit/etc/tls/"];

/// The archive: what Docker has of `/etc/gitlab`, and what AutoGit has in `own`.
pub(super) fn pack(gitlab: Source, own: &Path) -> Source {
    let own = own.to_owned();
    stream::turned(gitlab, move |gitlab, out| {
        let mut archive = tar::Builder::new(out);
        archive.follow_symlinks(false);
        copy(gitlab, &mut archive, |path| path.starts_with(GITLAB))?;
        for name in KEPT {
            let (path, to) = (own.join(name), Path::new(AUTOGIT).join(name));
            match std::fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
                Ok(found) if found.is_dir() => archive.append_dir_all(&to, &path)?,
                Ok(_) => archive.append_path_with_name(&path, &to)?,
            }
        }
        archive.finish()
    })
}

/// The archive of `/etc/gitlab` alone, as it goes back into `/etc`.
pub(super) fn gitlab_of(config: Source) -> Source {
    stream::turned(config, |config, out| {
        let mut archive = tar::Builder::new(out);
        copy(config, &mut archive, |path| path.starts_with(GITLAB))?;
        archive.finish()
    })
}

/// The file with the secrets alone, as it goes into `/etc` where a backup is tried.
pub(super) fn secrets_of(config: Source) -> Source {
    stream::turned(config, |config, out| {
        let mut archive = tar::Builder::new(out);
        copy(config, &mut archive, |path| {
            path == Path::new("gitlab/gitlab-secrets.json")
        })?;
        archive.finish()
    })
}

/// What users trust goes back to AutoGit's own directory: the certificate authority, and certificates by it.
pub(super) async fn trust_of(config: Source, own: &Path) -> io::Result<()> {
    let own = own.to_owned();
    let unpacked = stream::turned(config, move |config, _| {
        let mut archive = tar::Archive::new(config);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let wanted = RESTORED.iter().any(|kept| path.starts_with(kept));
            let inner = path.strip_prefix(AUTOGIT).map(PathBuf::from).unwrap_or_default();
            let plain = inner
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            if !wanted || !plain || !entry.header().entry_type().is_file() {
                continue;
            }
            let to = own.join(inner);
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            if let Some(folder) = to.parent() {
                crate::live::files::make_folder(folder)?;
            }
            crate::live::files::replace(&to, &content)?;
        }
        Ok(())
    });
    stream::drain(unpacked).await
}

/// Copies the entries of an archive whose path is wanted, with owner and mode.
fn copy(
    from: &mut dyn Read,
    to: &mut tar::Builder<&mut dyn Write>,
    wanted: fn(&Path) -> bool,
) -> io::Result<()> {
    let mut from = tar::Archive::new(from);
    let mut found = false;
    for entry in from.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !wanted(&path) {
            continue;
        }
        found = true;
        let mut header = entry.header().clone();
        match entry.link_name()?.map(std::borrow::Cow::into_owned) {
            Some(target) => to.append_link(&mut header, &path, &target)?,
            None => to.append_data(&mut header, &path, &mut entry)?,
        }
    }
    match found {
        true => Ok(()),
        false => Err(io::Error::other("there is nothing of /etc/gitlab in it")),
    }
}

/// The same for the holders of these public keys alone.
pub(super) fn seal(config: Source, keys: &[String]) -> Source {
    let mut age = Command::new("age");
    age.arg("--encrypt");
    for key in keys {
        age.args(["--recipient", key]);
    }
    stream::through(age, config)
}

/// What was sealed, by the holder of an identity of age.
pub(super) fn unseal(sealed: Source, identity: &Path) -> Source {
    let mut age = Command::new("age");
    age.arg("--decrypt").arg("--identity").arg(identity);
    stream::through(age, sealed).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gitlab() -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        for (name, content) in [("gitlab/gitlab-secrets.json", "{}"), ("gitlab/gitlab.rb", "#")] {
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            header.set_uid(998);
            archive
                .append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
        archive.into_inner().unwrap()
    }

    async fn names(archive: Source) -> Vec<String> {
        let bytes = stream::collect(archive, 1 << 20).await.unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            entry.path().unwrap().display().to_string()
        });
        entries.collect()
    }

    #[tokio::test]
    async fn everything_but_the_token_is_packed_and_only_trust_comes_back() {
        let own = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("etc/gitlab.rb", "x"),
            ("etc/tls/instance.crt", "old"),
            ("ca/ca.key", "old"),
            ("token", "glpat-canary"),
            ("token.pending", "glpat-canary"),
        ] {
            let path = own.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let packed = stream::collect(pack(stream::of(gitlab()), own.path()), 1 << 20)
            .await
            .unwrap();
        let all = names(stream::of(packed.clone())).await;
        assert!(all.contains(&"gitlab/gitlab-secrets.json".to_owned()), "{all:?}");
        assert!(all.contains(&"autogit/ca/ca.key".to_owned()), "{all:?}");
        assert!(!all.iter().any(|name| name.contains("token")), "{all:?}");
        assert_eq!(
            names(gitlab_of(stream::of(packed.clone()))).await,
            ["gitlab/gitlab-secrets.json", "gitlab/gitlab.rb"]
        );
        assert_eq!(
            names(secrets_of(stream::of(packed.clone()))).await,
            ["gitlab/gitlab-secrets.json"]
        );
        std::fs::write(own.path().join("etc/gitlab.rb"), "new").unwrap();
        std::fs::write(own.path().join("ca/ca.key"), "new").unwrap();
        trust_of(stream::of(packed), own.path()).await.unwrap();
        let read = |name: &str| std::fs::read_to_string(own.path().join(name)).unwrap();
        assert_eq!(
            (read("etc/gitlab.rb"), read("ca/ca.key")),
            ("new".into(), "old".into())
        );
    }

    #[tokio::test]
    async fn what_holds_no_secrets_is_no_config() {
        let empty = tar::Builder::new(Vec::new()).into_inner().unwrap();
        assert!(stream::drain(gitlab_of(stream::of(empty))).await.is_err());
    }
}
