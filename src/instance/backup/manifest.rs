//! The manifest: what a backup is of, and what belongs to it. Written last: without one, there is no backup.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::stream::{Measure, hex};

/// The version of the format, which a reader has to know.
pub const FORMAT: u32 = 1;

/// The name of GitLab's data in a backup.
pub(super) const DATA: &str = "data.tar";
/// The name of `/etc/gitlab` in a backup.
pub(super) const CONFIG: &str = "config.tar";
/// The name of `/etc/gitlab` in a backup, encrypted.
pub(super) const ENCRYPTED_CONFIG: &str = "config.tar.age";
/// The name of the manifest itself.
pub(super) const MANIFEST: &str = "manifest.json";

/// What names a backup: when it was begun, and six digits that differ between instances: `20260314T031500Z-3fa9c1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

impl Id {
    /// The id of what `owner` begins now.
    pub(super) fn new(at: Timestamp, owner: &str) -> Self {
        Id(format!("{}-{}", at.strftime("%Y%m%dT%H%M%SZ"), mark(owner)))
    }

    /// Whether `owner` began it.
    pub(super) fn is_of(&self, owner: &str) -> bool {
        self.0.ends_with(&format!("-{}", mark(owner)))
    }
}

/// What tells one instance's ids from another's.
fn mark(owner: &str) -> String {
    hex(&ring::digest::digest(&ring::digest::SHA256, owner.as_bytes()).as_ref()[..3])
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Id {
    type Err = String;

    /// It becomes a part of paths and commands, so nothing else is one.
    fn from_str(text: &str) -> Result<Self, String> {
        let shape = b"00000000T000000Z-xxxxxx";
        let fits = |(byte, like): (u8, &u8)| match like {
            b'0' => byte.is_ascii_digit(),
            b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            other => byte == *other,
        };
        match text.len() == shape.len() && text.bytes().zip(shape).all(fits) {
            true => Ok(Id(text.to_owned())),
            false => Err(format!(
                "`{text}` is no id of a backup, which looks like `20260314T031500Z-3fa9c1`; `autogit backup list` shows them"
            )),
        }
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.0
    }
}

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The backup.
    pub id: Id,
    /// When it was begun.
    pub created_at: Timestamp,
    /// The instance, as users know it.
    pub url: String,
    /// Which GitLab.
    pub gitlab: Release,
    /// The image that it ran in, as the config named it.
    pub image: String,
    /// What identifies that image.
    pub image_digest: String,
    /// The version of AutoGit that made the backup.
    pub autogit: String,
    /// What belongs to it.
    pub files: Vec<File>,
    /// What was left out of the data.
    #[serde(default)]
    pub skipped: Vec<String>,
    /// The public keys that the config is encrypted to; empty: it is not encrypted.
    #[serde(default)]
    pub encrypted_to: Vec<String>,
    /// How much there was in it when it was begun, and when it was done.
    pub counts: [Counts; 2],
}

/// Which GitLab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// `18.8.4`.
    pub version: String,
    /// `ce` or `ee`.
    pub edition: String,
}

impl Release {
    /// From the first line of `/opt/gitlab/version-manifest.txt`: `gitlab-ce 18.8.4`, `gitlab-ee 18.8.4-ee`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, version) = text.lines().next()?.split_once(' ')?;
        let edition = name.strip_prefix("gitlab-")?;
        Some(Release {
            version: version.trim().trim_end_matches("-ee").to_owned(),
            edition: edition.to_owned(),
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitLab {} {}", self.edition.to_uppercase(), self.version)
    }
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl File {
    pub(super) fn new(name: &str, measure: Measure) -> Self {
        File {
            name: name.to_owned(),
            size: measure.size,
            sha256: measure.sha256,
        }
    }

    /// Why what was read is not this file.
    pub(super) fn differs(&self, read: &Measure) -> Option<String> {
        let File { name, size, sha256 } = self;
        if read.size != *size {
            return Some(format!("{name} has {} bytes instead of {size}", read.size));
        }
        (read.sha256 != *sha256).then(|| format!("{name} is not what was written: its checksum differs"))
    }
}

/// How much there is in a GitLab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Repos.
    pub projects: u64,
    /// Accounts.
    pub users: u64,
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// When it is of a newer format, or none.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let wrong = |error: serde_json::Error| format!("its manifest cannot be read: {error}");
        let Format { format } = serde_json::from_slice(text).map_err(wrong)?;
        if format > FORMAT {
            return Err(format!(
                "it was made by a newer AutoGit (format {format}, this one knows {FORMAT}): use that one"
            ));
        }
        serde_json::from_slice(text).map_err(wrong)
    }

    /// What is written.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("a manifest is plain text and numbers");
        text.push(b'\n');
        text
    }

    /// A file of it by name.
    pub(super) fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The file that holds `/etc/gitlab`.
    pub(super) fn config(&self) -> Option<&File> {
        self.file(CONFIG).or_else(|| self.file(ENCRYPTED_CONFIG))
    }

    /// Bytes of all its files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Why a GitLab with so much in it is not what was backed up. What came or went during the backup may be in it or not.
    pub(super) fn contradicts(&self, found: Counts) -> Option<String> {
        let judge = |what: &str, found: u64, of: fn(&Counts) -> u64| {
            let [one, other] = [of(&self.counts[0]), of(&self.counts[1])];
            let (least, most) = (one.min(other), one.max(other));
            let expected = match least == most {
                true => least.to_string(),
                false => format!("{least} to {most}"),
            };
            (!(least..=most).contains(&found)).then(|| format!("it has {found} {what} instead of {expected}"))
        };
        judge("projects", found.projects, |counts| counts.projects)
            .or_else(|| judge("users", found.users, |counts| counts.users))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A manifest of a backup of `owner` begun at `at`.
    pub fn of(at: &str, owner: &str) -> Manifest {
        let at: Timestamp = at.parse().unwrap();
        Manifest {
            format: FORMAT,
            id: Id::new(at, owner),
            created_at: at,
            url: "http://git.lan/".into(),
            gitlab: Release {
                version: "18.8.4".into(),
                edition: "ce".into(),
            },
            image: "gitlab/gitlab-ce:18.8.4-ce.0".into(),
            image_digest: "sha256:0".into(),
            autogit: "0.1.0".into(),
            files: Vec::new(),
            skipped: Vec::new(),
            encrypted_to: Vec::new(),
            counts: [
                Counts {
                    projects: 3,
                    users: 2,
                },
                Counts {
                    projects: 5,
                    users: 2,
                },
            ],
        }
    }

    #[test]
    fn an_id_is_nothing_that_leads_elsewhere() {
        let id = Id::new("2026-03-14T03:15:00Z".parse().unwrap(), "one");
        assert!(id.is_of("one") && !id.is_of("two"));
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        for wrong in [
            "",
            "..",
            "20260314T031500Z",
            "20260314T031500Z-3fa9c/",
            "20260314T031500Z-3FA9C1",
            "x",
        ] {
            assert!(wrong.parse::<Id>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_manifest_reads_back_and_a_newer_one_is_told_as_such() {
        let manifest = of("2026-03-14T03:15:00Z", "one");
        assert_eq!(Manifest::parse(&manifest.text()).unwrap(), manifest);
        let newer = br#"{"format": 2, "shape": "another"}"#;
        assert!(Manifest::parse(newer).unwrap_err().contains("newer AutoGit"));
        assert!(Manifest::parse(b"{").is_err());
    }

    #[test]
    fn what_came_during_the_backup_may_be_in_it_or_not() {
        let manifest = of("2026-03-14T03:15:00Z", "one");
        let with = |projects, users| manifest.contradicts(Counts { projects, users });
        assert_eq!((with(3, 2), with(5, 2)), (None, None));
        assert_eq!(with(2, 2).unwrap(), "it has 2 projects instead of 3 to 5");
        assert_eq!(with(4, 0).unwrap(), "it has 0 users instead of 2");
    }

    #[test]
    fn a_release_is_what_the_image_says() {
        let text = "gitlab-ee 18.8.4-ee\n\nComponent  Installed Version\n";
        let release = Release::parse(text).unwrap();
        assert_eq!(release.to_string(), "GitLab EE 18.8.4");
        assert_eq!(Release::parse("busybox"), None);
    }
}
