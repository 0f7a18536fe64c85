//! History: what runs did, with what was there before, so that a run can be taken back. Never a secret.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Holder;
use crate::core::{Action, Address, Change, Fields, Live, Plan, Present, Step};
use crate::kinds;

/// A run, as far as it can be taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastRun {
    /// The ledger's serial when it began.
    pub number: u64,
    /// Who did it, with which command.
    pub by: Holder,
    /// What it did, or may have done when it failed or was killed. Taking back what was not done changes nothing.
    #[serde(default)]
    pub steps: Vec<PastStep>,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastStep {
    /// The resource.
    pub address: Address,
    /// What was done.
    pub action: Action,
    /// The fields that it changed, with what they were before; of secret ones only the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What was there, where it is not any more.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub value: Fields,
}

impl PastStep {
    /// What `step` does to what is there.
    pub fn of(step: &Step, live: Option<&Present>) -> Self {
        let mut past = PastStep {
            address: step.address.clone(),
            action: step.action,
            changes: Vec::new(),
            value: Fields::new(),
        };
        match (step.action, live) {
            (Action::Delete, Some(live)) => {
                past.value = live.value.clone();
                let secrets = kinds::by_name(&step.address.kind).map_or(&[][..], |kind| kind.secrets);
                past.value.retain(|field, _| !secrets.contains(&field.as_str()));
            }
            // Before something was made it had no fields.
            (Action::Create | Action::Release | Action::Delete, _) => {}
            (Action::Update | Action::Adopt, _) => past.changes = step.changes.clone(),
        }
        past
    }
}

impl PastRun {
    /// What a run by `by` is about to do.
    pub(super) fn intended(by: Holder, plan: &Plan, live: &BTreeMap<Address, Live>) -> Self {
        let steps = plan.steps.iter().filter(|step| step.blocked.is_none());
        let past = |step: &Step| match live.get(&step.address) {
            Some(Live::Present(found)) => PastStep::of(step, Some(found)),
            _ => PastStep::of(step, None),
        };
        PastRun {
            number: 0,
            by,
            steps: steps.map(past).collect(),
        }
    }
}

/// How many runs a folder keeps.
const KEPT: usize = 50;

/// The runs that a folder remembers, each in a file of its own: a line for the run, and one for each step.
pub(super) struct Runs(PathBuf);

impl Runs {
    /// The runs in `folder`, which need not be there yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Runs(folder)
    }

    /// Where the steps of a run are written: a run that is there already goes on. The oldest runs are forgotten.
    pub(super) fn open(&self, run: &PastRun) -> io::Result<File> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        let numbers = self.numbers()?;
        for old in numbers.iter().rev().skip(KEPT - 1) {
            fs::remove_file(self.file(*old))?;
        }
        let is_new = !numbers.contains(&run.number);
        let path = self.file(run.number);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        if is_new {
            write_line(&mut file, run)?;
        }
        Ok(file)
    }

    /// The numbers of the runs, oldest first.
    pub(super) fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            numbers.extend(
                name.to_str()
                    .and_then(|name| name.strip_suffix(".jsonl")?.parse::<u64>().ok()),
            );
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A run. The last line of a killed one may be cut short: the step that it announced was not begun.
    pub(super) fn read(&self, number: u64) -> io::Result<PastRun> {
        let text = fs::read_to_string(self.file(number))?;
        let mut lines = text.lines();
        let mut run: PastRun = serde_json::from_str(lines.next().unwrap_or_default())?;
        run.steps
            .extend(lines.map_while(|line| serde_json::from_str::<PastStep>(line).ok()));
        Ok(run)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number}.jsonl"))
    }

    /// Where they are.
    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
}

/// The steps of a run on their way to its file, which is made for the first of them: a run that began nothing is none.
pub(super) struct Remembering {
    runs: Runs,
    run: PastRun,
    file: Option<File>,
}

impl Remembering {
    /// Nothing is written yet.
    pub(super) fn new(runs: Runs, run: PastRun) -> Self {
        Remembering {
            runs,
            run,
            file: None,
        }
    }

    /// Writes a step that is about to be carried out.
    pub(super) fn write(&mut self, step: &PastStep) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.runs.open(&self.run)?),
        };
        write_line(file, step)
    }
}

/// Writes one line.
pub(super) fn write_line<T: Serialize>(file: &mut File, line: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    file.write_all(&line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::Reason;

    fn run(number: u64) -> PastRun {
        PastRun {
            number,
            by: Holder::this("apply"),
            steps: Vec::new(),
        }
    }

    #[test]
    fn the_newest_runs_are_kept_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path().join("runs"));
        assert_eq!(runs.numbers().unwrap(), [0; 0]);
        for number in 1..=KEPT as u64 + 3 {
            runs.open(&run(number)).unwrap();
        }
        let last = KEPT as u64 + 3;
        assert_eq!(runs.numbers().unwrap(), (4..=last).collect::<Vec<_>>());
        let mut step = Step::new(
            &"repo.a/b".parse().unwrap(),
            Action::Update,
            Reason::ConfigChanged,
        );
        step.changes = vec![Change::new("topics", Some(json!(["x"])), Some(json!([])))];
        let step = PastStep::of(&step, None);
        // Opened again, it goes on.
        for _ in 0..2 {
            write_line(&mut runs.open(&run(last)).unwrap(), &step).unwrap();
        }
        let path = runs.folder().join(format!("{last}.jsonl"));
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole + "{\"address\":\"re").unwrap();
        assert_eq!(runs.read(last).unwrap().steps, [step.clone(), step]);
    }
}
