//! Who holds a lock, as its next visitor is told.

use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::live::gitlab::StateLock;

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// User and host, as far as is known.
    pub who: String,
    /// The command, if the program is this one.
    pub operation: Option<String>,
    /// Its process id.
    pub pid: Option<u32>,
    /// The CI job that it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

impl Holder {
    /// This process, doing `operation`.
    pub fn this(operation: &str) -> Self {
        let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let host = std::fs::read_to_string("/etc/hostname").ok();
        let user = of("USER").or_else(|| of("LOGNAME"));
        Holder {
            who: format!(
                "{}@{}",
                user.as_deref().unwrap_or("somebody"),
                host.as_deref().map_or("this host", str::trim)
            ),
            operation: Some(operation.to_owned()),
            pid: Some(std::process::id()),
            job: of("CI_JOB_URL"),
            since: Timestamp::now(),
        }
    }

    /// A lock's ID that tells all of this: GitLab keeps nothing else of whoever holds a lock but the user and the time.
    pub(super) fn lock_id(&self) -> String {
        let mut nonce = [0; 8];
        // Two processes of one host, number and moment: not worth failing for.
        let _ = SystemRandom::new().fill(&mut nonce);
        let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let operation = self.operation.as_deref().unwrap_or_default();
        let pid = self.pid.unwrap_or_default();
        let who = self.who.replace(':', " ");
        let job = self.job.as_deref().unwrap_or_default();
        let id = format!("autogit:{nonce}:{operation}:{pid}:{who}:{job}");
        match id.chars().count() > LONGEST_ID {
            true => format!("autogit:{nonce}:{operation}:{pid}::"),
            false => id,
        }
    }
}

/// What GitLab takes for the ID of a lock, in characters.
const LONGEST_ID: usize = 255;

impl From<StateLock> for Holder {
    fn from(lock: StateLock) -> Self {
        let StateLock { id, who, created } = lock;
        let parts: Vec<&str> = id.splitn(6, ':').collect();
        let ["autogit", _, operation, pid, host, job] = parts[..] else {
            return Holder {
                who,
                operation: None,
                pid: None,
                job: None,
                since: created,
            };
        };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Holder {
            who: some(host).map_or(who.clone(), |host| format!("{who} ({host})")),
            operation: some(operation),
            pid: pid.parse().ok(),
            job: some(job),
            since: created,
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Holder {
            who,
            operation,
            pid,
            job,
            since,
        } = self;
        match operation {
            Some(operation) => write!(f, "`autogit {operation}` of {who}")?,
            None => write!(f, "{who}")?,
        }
        if let Some(pid) = pid {
            write!(f, ", process {pid}")?;
        }
        write!(f, ", since {since}")?;
        match job {
            Some(job) => write!(f, ", in {job}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_id_tells_who_holds_it() {
        let me = Holder {
            who: "alice@build:7".into(),
            job: Some("https://git.example.org/a/b/-/jobs/1".into()),
            ..Holder::this("apply")
        };
        let told = |id| {
            Holder::from(StateLock {
                id,
                who: "bot".into(),
                created: me.since,
            })
        };
        let read = told(me.lock_id());
        let pid = std::process::id();
        assert_eq!(
            read.to_string(),
            format!(
                "`autogit apply` of bot (alice@build 7), process {pid}, since {}, in https://git.example.org/a/b/-/jobs/1",
                me.since
            )
        );
        assert_ne!(me.lock_id(), me.lock_id());
        let long = Holder {
            job: Some("x".repeat(300)),
            ..me.clone()
        };
        assert!(long.lock_id().len() <= LONGEST_ID);
        assert_eq!(told(long.lock_id()).pid, Some(pid));
        assert_eq!(
            told("0b9d2f5c-uuid".into()).to_string(),
            format!("bot, since {}", me.since)
        );
    }
}
