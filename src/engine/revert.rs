//! Reverting: what a run changed is wanted as it was before, and planned like anything else that is wanted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::state::{PastRun, PastStep};
use super::{Error, Planned, Session, Survey, Targets};
use crate::config::{Config, Declaration, Position, Prune};
use crate::core::{
    Action, Address, Change, Fields, Key, Live, Ownership, Path, Plan, Problem, Reason, Step, diff,
};
use crate::kinds;

/// The way back from a run.
pub struct WayBack {
    /// What is wanted: that everything is as it was, and nothing else.
    config: Config,
    /// What the run took over, which is no longer managed then.
    adopted: BTreeSet<Address>,
    /// What the run deleted, and is made again.
    made_again: BTreeSet<Address>,
    /// What the run left of each field that goes back.
    left: Vec<(Address, Change)>,
    /// What cannot come back, and why.
    pub lost: Vec<String>,
}

impl WayBack {
    /// The way back from `run`.
    pub fn from(run: &PastRun) -> Self {
        let mut back = WayBack {
            config: Config {
                prune: Prune::None,
                ..Config::default()
            },
            adopted: BTreeSet::new(),
            made_again: BTreeSet::new(),
            left: Vec::new(),
            lost: Vec::new(),
        };
        let moves = moves(run);
        for step in &run.steps {
            back.step(step, &moves);
        }
        back.leave_out_what_goes_with_its_parent();
        back
    }

    /// Whether there is nothing that could come back.
    pub fn is_empty(&self) -> bool {
        self.config.declarations.is_empty()
    }

    /// How many of its resources the config asks to be as the run left them.
    pub fn still_asked_for(&self, config: &Config) -> usize {
        let wanted = self.config.declarations.iter();
        wanted
            .filter(|(address, wanted)| self.is_asked_otherwise(address, wanted, config))
            .count()
    }

    fn is_asked_otherwise(&self, address: &Address, wanted: &Declaration, config: &Config) -> bool {
        let declared = |address: &Address| config.declarations.get(address);
        if let Some(path) = &wanted.moved_from
            && declared(&Address::new(&address.kind, Key::top(path.clone()))).is_some()
        {
            return true;
        }
        match declared(address) {
            Some(declared) if wanted.absent || declared.absent => wanted.absent != declared.absent,
            Some(declared) => {
                let differing = diff::diff(&declared.value, &wanted.value);
                differing.iter().any(|change| change.before.is_some())
            }
            // What is made again is AutoGit's own, and not declared.
            None => self.made_again.contains(address) && config.prune != Prune::None,
        }
    }

    fn step(&mut self, step: &PastStep, moves: &BTreeMap<Path, Path>) {
        let mut address = step.address.clone();
        let moved = moved(moves, &address.key.path);
        if let Some(path) = &moved {
            address.key.path = path.clone();
        }
        match step.action {
            Action::Create => self.want(&address).absent = true,
            Action::Delete => self.make_again(&address, step),
            Action::Update | Action::Adopt => {
                if step.action == Action::Adopt {
                    self.adopted.insert(address.clone());
                    self.want(&address);
                }
                self.take_back(&address, step);
            }
            Action::Release => self.lost.push(format!(
                "{address} is not managed again: if it should be, declare it, and apply"
            )),
        }
    }

    fn want(&mut self, address: &Address) -> &mut Declaration {
        let declarations = &mut self.config.declarations;
        declarations
            .entry(address.clone())
            .or_insert_with(|| Declaration {
                value: Fields::new(),
                absent: false,
                moved_from: None,
                position: Position {
                    file: "".into(),
                    line: 1,
                    column: 1,
                },
                origins: BTreeMap::new(),
                enterprise_fields: Vec::new(),
                via: None,
            })
    }

    fn make_again(&mut self, address: &Address, step: &PastStep) {
        let Some(kind) = kinds::by_name(&address.kind) else {
            return;
        };
        if !kind.secrets.is_empty() {
            return self.lost.push(format!(
                "{address} is not made again: its value is secret, and was not recorded"
            ));
        }
        if kind.rules.parent.is_none() {
            self.lost.push(format!(
                "{address} is made again without its content and under another id: while GitLab still has what was deleted, \
                 restore it there instead"
            ));
        }
        let mut value = step.value.clone();
        // What is made anew has no branch yet that could be the default one, and is not archived.
        let as_made = |field: &str, value: &Value| {
            field == "default_branch" || (field == "archived" && value.as_bool() == Some(false))
        };
        value.retain(|field, value| !kind.leaves_out(field) && !as_made(field, value));
        self.want(address).value = declarable(kind, &address.key, value);
        self.made_again.insert(address.clone());
    }

    fn take_back(&mut self, address: &Address, step: &PastStep) {
        for change in &step.changes {
            // What the same run made goes as a whole.
            if self
                .config
                .declarations
                .get(address)
                .is_some_and(|wanted| wanted.absent)
            {
                return;
            }
            match &change.before {
                _ if change.secret => self.lost.push(format!(
                    "`{}` of {address} stays as it is: it is secret, and was not recorded",
                    change.field
                )),
                Some(_) if change.field == "path" => {
                    let from = step.address.key.path.clone();
                    self.want(address).moved_from = Some(from);
                }
                Some(before) => {
                    put(&mut self.want(address).value, &change.field, before);
                    self.left.push((address.clone(), change.clone()));
                }
                None => self.lost.push(format!(
                    "`{}` of {address} stays as it is: it had no value that could be set",
                    change.field
                )),
            }
        }
    }

    /// Whatever lives in something that goes needs no step of its own.
    fn leave_out_what_goes_with_its_parent(&mut self) {
        let declarations = &mut self.config.declarations;
        let going: BTreeSet<Address> = declarations
            .iter()
            .filter(|(_, wanted)| wanted.absent)
            .map(|(address, _)| address.clone())
            .collect();
        declarations.retain(|address, _| {
            let parent = kinds::by_name(&address.kind).and_then(|kind| kind.rules.parent);
            let parent = parent.map(|kind| Address::new(kind, Key::top(address.key.path.clone())));
            !parent.is_some_and(|parent| going.contains(&parent))
        });
    }

    /// The fields that were changed again since the run.
    pub fn changed_since(&self, survey: &Survey) -> Vec<String> {
        let again = self.left.iter().filter_map(|(address, change)| {
            let Some(Live::Present(found)) = survey.live.get(address) else {
                return None;
            };
            let now = diff::at(&found.value, &change.field);
            (now != change.after.as_ref() && now != change.before.as_ref())
                .then(|| format!("`{}` of {address}", change.field))
        });
        again.collect()
    }
}

impl Session {
    /// Surveys what a run changed, and plans the way back.
    ///
    /// # Errors
    /// As for [`Session::plan`].
    pub async fn plan_back(&self, back: &WayBack) -> Result<(Survey, Plan), Error> {
        let everything = Targets::new(&["*".to_owned()]).expect("it is a glob");
        let desired = back.config.clone().into();
        let Planned { survey, mut plan, .. } = self.plan(&desired, &everything, false).await?;
        leave_out(&mut plan, Step::takes_over_only);
        let managed = &survey.ledger.resources;
        let is_ours = |step: &Step| {
            managed.get(&step.address).is_some_and(|entry| {
                entry.origin == Ownership::Created && Some(&entry.id) == step.id.as_ref()
            })
        };
        let foreign = |step: &Step| step.action == Action::Delete && !is_ours(step);
        let problems = plan
            .steps
            .iter()
            .filter(|step| foreign(step))
            .map(|step| Problem {
                address: step.address.clone(),
                field: None,
                message:
                    "it is not known to be what the run made, and stays: remove it by hand if it is to go"
                        .into(),
            });
        plan.problems.extend(problems.collect::<Vec<_>>());
        leave_out(&mut plan, foreign);
        let found = plan.steps.iter().filter(|step| step.action == Action::Adopt);
        let found = found.map(|step| &step.address);
        let let_go: BTreeSet<&Address> = found
            .chain(managed.keys().filter(|address| back.adopted.contains(address)))
            .chain(managed.keys().filter(|address| goes_with_another(address, &plan)))
            .collect();
        let releases: Vec<Step> = let_go
            .into_iter()
            .map(|address| {
                let before = |step: &Step| step.address == *address || is_around(step, address);
                let steps = plan.steps.iter().enumerate();
                Step {
                    after: steps
                        .filter(|(_, step)| before(step))
                        .map(|(number, _)| number)
                        .collect(),
                    ..Step::new(address, Action::Release, Reason::TakenBack)
                }
            })
            .collect();
        plan.steps.extend(releases);
        for step in &mut plan.steps {
            step.reason = Reason::TakenBack;
        }
        // It is all there is to it, though not all that is declared.
        plan.partial = false;
        Ok((survey, plan))
    }
}

/// Whether something has no step of its own, and lives in what is deleted.
fn goes_with_another(address: &Address, plan: &Plan) -> bool {
    let mut steps = plan.steps.iter();
    let has_step = plan.steps.iter().any(|step| step.address == *address);
    !has_step && steps.any(|step| is_around(step, address))
}

/// Whether a step deletes what something lives in.
fn is_around(step: &Step, address: &Address) -> bool {
    let outer = &step.address.key.path;
    let stands_alone = kinds::by_name(&step.address.kind).is_some_and(|kind| kind.rules.parent.is_none());
    let mut paths = std::iter::successors(Some(address.key.path.clone()), Path::parent);
    step.action == Action::Delete
        && stands_alone
        && step.address != *address
        && paths.any(|path| path == *outer)
}

/// Takes steps out of a plan that nothing else waits for in earnest.
fn leave_out(plan: &mut Plan, which: impl Fn(&Step) -> bool) {
    let mut numbers = BTreeMap::new();
    let steps = std::mem::take(&mut plan.steps);
    for (number, mut step) in steps.into_iter().enumerate() {
        if which(&step) {
            continue;
        }
        numbers.insert(number, plan.steps.len());
        step.after = step
            .after
            .iter()
            .filter_map(|after| numbers.get(after).copied())
            .collect();
        plan.steps.push(step);
    }
}

/// From where the run brought things, to where they were.
fn moves(run: &PastRun) -> BTreeMap<Path, Path> {
    let of = |step: &PastStep| {
        let change = step.changes.iter().find(|change| change.field == "path")?;
        Some((step.address.key.path.clone(), change.before_str().into()))
    };
    run.steps.iter().filter_map(of).collect()
}

/// Where what is at `path` was before the run, if that is elsewhere.
fn moved(moves: &BTreeMap<Path, Path>, path: &Path) -> Option<Path> {
    match moves.get(path) {
        Some(before) => Some(before.clone()),
        None => Some(moved(moves, &path.parent()?)?.join(path.name())),
    }
}

/// Of what was there, what can be declared of it.
fn declarable(kind: &kinds::Entry, key: &Key, mut value: Fields) -> Fields {
    loop {
        let problems = match (kind.shape.decode)(key, value.clone()) {
            Ok(value) => return value,
            Err(problems) => problems,
        };
        // Each time round there is less of it.
        for problem in problems {
            if !remove(&mut value, &problem.field) && value.remove(top(&problem.field)).is_none() {
                return Fields::new();
            }
        }
    }
}

fn top(field: &str) -> &str {
    field.split_once('.').map_or(field, |(top, _)| top)
}

/// Removes the value at a dotted field, if there is one.
fn remove(fields: &mut Fields, field: &str) -> bool {
    match field.split_once('.') {
        None => fields.remove(field).is_some(),
        Some((first, rest)) => match fields.get_mut(first) {
            Some(Value::Object(inner)) => remove(inner, rest),
            _ => false,
        },
    }
}

/// Sets the value at a dotted field, unless one is set: what was there first is what comes back.
fn put(fields: &mut Fields, field: &str, value: &Value) {
    match field.split_once('.') {
        None => {
            fields.entry(field).or_insert_with(|| value.clone());
        }
        Some((first, rest)) => {
            let inner = fields.entry(first).or_insert_with(|| Fields::new().into());
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::state::Holder;

    fn back(steps: Vec<PastStep>) -> WayBack {
        WayBack::from(&PastRun {
            number: 1,
            by: Holder::this("apply"),
            steps,
        })
    }

    fn step(address: &str, action: Action, changes: Vec<Change>) -> PastStep {
        PastStep {
            address: address.parse().unwrap(),
            action,
            changes,
            value: Fields::new(),
        }
    }

    fn wanted(back: &WayBack, address: &str) -> Value {
        let declared = &back.config.declarations[&address.parse::<Address>().unwrap()];
        declared.value.clone().into()
    }

    #[test]
    fn what_was_there_first_comes_back_field_by_field() {
        let change = |field: &str, before, after| Change::new(field, Some(before), Some(after));
        let back = back(vec![
            step(
                "repo.a/b",
                Action::Update,
                vec![
                    change("x.y", json!(1), json!(2)),
                    change("z", json!("a"), json!("b")),
                ],
            ),
            step(
                "repo.a/b",
                Action::Update,
                vec![
                    change("x.y", json!(2), json!(3)),
                    change("x.v", json!(4), json!(5)),
                ],
            ),
        ]);
        assert_eq!(
            wanted(&back, "repo.a/b"),
            json!({"x": {"y": 1, "v": 4}, "z": "a"})
        );
        assert!(back.lost.is_empty());
    }

    #[test]
    fn what_the_run_made_goes_whatever_else_it_did_to_it() {
        let change = Change::new("archived", Some(json!(false)), Some(json!(true)));
        let back = back(vec![
            step("repo.a/b", Action::Create, vec![]),
            step("protected_branch.a/b:main", Action::Create, vec![]),
            step("repo.a/b", Action::Update, vec![change]),
        ]);
        assert_eq!(back.config.declarations.len(), 1);
        let repo = back.config.declarations.values().next().unwrap();
        assert!(repo.absent && repo.value.is_empty());
    }

    #[test]
    fn what_lives_in_what_moved_is_named_by_where_it_was() {
        let moved = Change::new("path", Some(json!("old")), Some(json!("new")));
        let level = Change::new("allow_force_push", Some(json!(true)), Some(json!(false)));
        let back = back(vec![
            step("group.new", Action::Update, vec![moved]),
            step("protected_branch.new/api:main", Action::Update, vec![level]),
        ]);
        let addresses: Vec<String> = back.config.declarations.keys().map(Address::to_string).collect();
        assert_eq!(addresses, ["group.old", "protected_branch.old/api:main"]);
        let group = back.config.declarations.values().next().unwrap();
        assert_eq!(group.moved_from, Some("new".into()));
    }

    #[test]
    fn what_cannot_come_back_is_said() {
        let back = back(vec![
            step(
                "repo.a/b",
                Action::Update,
                vec![
                    Change::secret("import_url"),
                    Change::new("x", None, Some(json!(1))),
                ],
            ),
            step("repo.a/c", Action::Release, vec![]),
            step("repo.a/d", Action::Delete, vec![]),
        ]);
        assert_eq!(back.lost.len(), 4, "{:?}", back.lost);
        assert!(back.lost[0].contains("`import_url` of repo.a/b stays as it is: it is secret"));
        let again: Vec<_> = back.config.declarations.keys().collect();
        assert_eq!(again, [&"repo.a/d".parse::<Address>().unwrap()]);
    }
}
