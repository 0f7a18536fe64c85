//! When backups are made by themselves: a timer of systemd, or a line of cron where there is no systemd. A resource of its own beside
//! the instance, so that a plan shows it, its drift is seen, and it goes when it is no longer declared.

mod manager;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::stream::hex;
use crate::config::deploy::Cron;
use crate::core::planner::{self, Inputs};
use crate::core::{
    Action, Address, Change, Entry, Fields, Impact, Key, Live, Ownership, Plan, Present, Problem, Rules,
    Step, Wanted,
};
use crate::instance::{Error, Instance, Known};

use manager::Manager;
use text::Schedule;

/// The kind's name in addresses.
pub const KIND: &str = "backup_schedule";

/// What the planner needs to know of a schedule.
const RULES: Rules = Rules {
    impact,
    ..Rules::plain(KIND)
};

fn impact(change: &Change) -> Impact {
    match (&*change.field, &change.after) {
        // Nobody is backed up any more.
        ("", None) => Impact::Weakens,
        _ => Impact::Neutral,
    }
}

/// What is there of the schedule, beside what is to be.
pub struct Timetable {
    address: Address,
    manager: Manager,
    wanted: Option<Schedule>,
    live: Live,
}

impl Timetable {
    /// Looks at what is there of the schedule of an instance. `None`: none is declared, and there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn survey(instance: &Instance) -> Result<Option<Self>, Error> {
        let Some(config) = &instance.config_file else {
            return Ok(None);
        };
        let declared = instance
            .spec
            .backup
            .as_ref()
            .and_then(|backup| backup.schedule.as_ref());
        let wanted = match declared.map(|schedule| (schedule, schedule.parse::<Cron>())) {
            // `validate` refuses what is none.
            None | Some((_, Err(_))) => None,
            Some((schedule, Ok(cron))) => Some(Schedule {
                schedule: schedule.clone(),
                cron,
                instance: instance.name().to_owned(),
                program: program()?,
                config: absolute(config),
                docker: docker_host(instance),
            }),
        };
        Self::look(instance.name(), config, wanted).await
    }

    /// Looks for the schedule of an instance that the config does not deploy any more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn left(name: &str, config: &Path) -> Result<Option<Self>, Error> {
        Self::look(name, config, None).await
    }

    async fn look(name: &str, config: &Path, wanted: Option<Schedule>) -> Result<Option<Self>, Error> {
        let config = absolute(config);
        let digest = ring::digest::digest(&ring::digest::SHA256, config.as_os_str().as_encoded_bytes());
        let unit = format!("autogit-backup-{name}-{}", hex(&digest.as_ref()[..3]));
        let manager = Manager::of_this_host(unit);
        let live = match (manager.observe(wanted.as_ref()).await, &wanted) {
            // Who wants no schedule may be allowed none.
            (Err(_), None) => Live::Absent,
            (live, _) => live?,
        };
        let idle = wanted.is_none() && matches!(live, Live::Absent);
        Ok((!idle).then(|| Timetable {
            address: Address::new(KIND, Key::top(name)),
            manager,
            wanted,
            live,
        }))
    }

    /// What is to be done to it.
    pub fn plan(&self, known: &Known<'_>) -> Plan {
        let mut wanted = BTreeMap::new();
        if let Some(schedule) = &self.wanted {
            let value = self.manager.fields(schedule);
            wanted.insert(
                self.address.clone(),
                Wanted {
                    value,
                    ..Wanted::default()
                },
            );
        }
        let mut ledger: BTreeMap<Address, Entry> = BTreeMap::new();
        if let Some(entry) = known.ledger.get(&self.address) {
            ledger.insert(self.address.clone(), entry.clone());
        }
        if let Live::Present(found) = &self.live {
            // It bears a name that nobody else gives: ours, even after a run that was killed before it could say so.
            ledger.entry(self.address.clone()).or_insert_with(|| Entry {
                id: found.id.clone(),
                origin: Ownership::Created,
                fingerprints: BTreeMap::new(),
                guards: None,
            });
        }
        let plan = planner::plan(&Inputs {
            wanted: &wanted,
            live: &BTreeMap::from([(self.address.clone(), self.live.clone())]),
            ledger: &ledger,
            rules: &[RULES],
            prunes_owned: true,
            complete: &BTreeSet::new(),
            spared: &BTreeSet::new(),
            partial: false,
            fingerprint: known.fingerprint,
        });
        let mut plan = plan.expect("one resource alone needs no other");
        for step in &mut plan.steps {
            step.notes
                .extend(self.manager.note(step.action).map(str::to_owned));
        }
        if let (Some(_), Manager::None) = (&self.wanted, &self.manager) {
            let message = "there is neither systemd nor cron on this host: install cron, or remove `schedule` and run \
                           `autogit backup create` yourself";
            plan.steps
                .iter_mut()
                .for_each(|step| step.blocked = Some(message.into()));
            plan.problems.push(Problem {
                address: self.address.clone(),
                field: Some("backup.schedule".into()),
                message: message.into(),
            });
        }
        plan
    }

    /// Does what is planned. Gives what it is then; `None`: it is no more.
    ///
    /// # Errors
    /// When a file cannot be written, or a program refuses.
    pub async fn apply(&self, step: &Step) -> Result<Option<(String, Fields)>, Error> {
        match (step.action, &self.wanted) {
            (Action::Create | Action::Adopt | Action::Update, Some(schedule)) => {
                self.manager.write(schedule).await?;
                Ok(Some((self.manager.id(), self.manager.fields(schedule))))
            }
            (Action::Delete, _) => {
                self.manager.remove().await?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

/// The fields of a schedule, wanted or live.
fn fields(by: &str, schedule: &str, runs: &str, enabled: bool, as_written: bool) -> Fields {
    let fields = json!({
        "by": by,
        "schedule": schedule,
        "runs": runs,
        "enabled": enabled,
        "as_written": as_written,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => unreachable!("it is written as an object"),
    }
}

fn present(id: String, value: Fields) -> Live {
    Live::Present(Present {
        id,
        value,
        ..Present::default()
    })
}

fn absolute(config: &Path) -> PathBuf {
    std::path::absolute(config).unwrap_or_else(|_| config.to_owned())
}

/// This very program.
fn program() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(|error| {
        Error::failed(
            format!("failed to tell where AutoGit is: {error}"),
            "run it by its path",
        )
    })
}

/// The Docker Engine, where it is known from the environment alone, which a schedule has not.
fn docker_host(instance: &Instance) -> Option<String> {
    let host = instance.looker().host();
    let is_told = instance.spec.docker.host.is_some() || host == crate::live::docker::DEFAULT_HOST;
    (!is_told).then(|| host.to_owned())
}
