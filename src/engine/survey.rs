//! The survey: everything a plan is made from.

use std::collections::{BTreeMap, BTreeSet};

use super::observe::{About, Reach};
use super::state::{FingerprintKey, Ledger};
use super::{Error, claims, secrets};
use crate::config::{Config, Policy, Prune};
use crate::core::planner::{self, Inputs, narrow};
use crate::core::{Address, Entry, Fields, Key, Live, Path, Plan, Problem, Wanted};
use crate::kinds;
use crate::live::gitlab::Reader;
use crate::live::secrets::Secrets;

/// Which part of what is declared a run is about.
#[derive(Clone, Debug, Default)]
pub struct Targets(Vec<glob::Pattern>);

impl Targets {
    /// Globs over addresses; none: everything.
    ///
    /// # Errors
    /// When one is not a glob.
    pub fn new(globs: &[String]) -> Result<Self, glob::PatternError> {
        globs
            .iter()
            .map(|glob| glob::Pattern::new(glob))
            .collect::<Result<_, _>>()
            .map(Targets)
    }

    fn choose(&self, wanted: &BTreeMap<Address, Wanted>) -> Result<Option<BTreeSet<Address>>, Error> {
        let mut chosen = BTreeSet::new();
        for pattern in &self.0 {
            let matches = |address: &&Address| pattern.matches(&address.to_string());
            let mut matching = wanted.keys().filter(matches).cloned().peekable();
            if matching.peek().is_none() {
                return Err(Error::NoSuchTarget(pattern.to_string()));
            }
            chosen.extend(matching);
        }
        Ok((!self.0.is_empty()).then_some(chosen))
    }
}

/// Everything a plan is made from.
pub struct Survey {
    /// Which GitLab, and who is asking.
    pub about: About,
    /// What is asked for.
    pub wanted: BTreeMap<Address, Wanted>,
    /// What is there.
    pub live: BTreeMap<Address, Live>,
    /// What AutoGit manages, by the addresses of now.
    pub ledger: Ledger,
    /// The path that something had before it moves.
    pub moved: BTreeMap<Path, Path>,
    /// What cannot be asked of this GitLab.
    problems: Vec<Problem>,
    partial: bool,
    prune: Prune,
    complete: BTreeSet<(String, Path)>,
}

impl Survey {
    /// Reads what `config` and `ledger` are about.
    ///
    /// # Errors
    /// When a target matches nothing, or GitLab does not answer.
    pub async fn make(
        cx: &Reader,
        about: About,
        config: &Config,
        ledger: Ledger,
        targets: &Targets,
        values: Option<&Secrets>,
        key: &FingerprintKey,
    ) -> Result<Self, Error> {
        let (mut wanted, mut problems) = wanted(config, &about);
        let chosen = targets.choose(&wanted)?;
        let partial = chosen.is_some();
        if let Some(chosen) = chosen {
            wanted = narrow(&wanted, chosen, &kinds::rules());
        }
        problems.extend(secrets::fingerprint(&mut wanted, values, key).await);
        let resources = readdress(&ledger.resources, config);
        let mut survey = Survey {
            about,
            ledger: Ledger { resources, ..ledger },
            wanted,
            live: BTreeMap::new(),
            moved: BTreeMap::new(),
            problems,
            partial,
            prune: config.prune,
            complete: complete(config),
        };
        let reach = survey.reach(config);
        survey.live = reach.observe(cx, &survey.about).await?;
        survey.moved = reach.moved;
        let wanted: BTreeSet<&Address> = survey.wanted.keys().collect();
        claims::settle(&mut survey.ledger, &mut survey.live, &wanted);
        Ok(survey)
    }

    /// What has to be observed: what is wanted and what that needs, what is managed, and what may be left over.
    fn reach(&self, config: &Config) -> Reach {
        let mut addresses: BTreeSet<Address> = self.wanted.keys().cloned().collect();
        let mut reach = Reach::default();
        for (address, wanted) in &self.wanted {
            reach.default_branch(address, &wanted.value);
            if wanted.absent {
                reach.absent.insert(address.clone());
            }
            let kind = kinds::by_name(&address.kind);
            addresses.extend(
                kind.into_iter()
                    .flat_map(|kind| (kind.rules.needs)(&address.key, Some(&wanted.value))),
            );
        }
        if !self.partial {
            addresses.extend(
                self.ledger
                    .resources
                    .keys()
                    .chain(self.ledger.in_doubt.keys())
                    .cloned(),
            );
            reach.complete = self.complete.clone();
        }
        let moves = config
            .declarations
            .values()
            .any(|declared| declared.moved_from.is_some());
        for address in addresses {
            let path = &address.key.path;
            if moves && let Some(former) = former(config, path) {
                reach.moved.insert(path.clone(), former);
            }
            let id = self.ledger.resources.get(&address).map(|entry| entry.id.clone());
            reach.addresses.insert(address, id);
        }
        reach
    }

    /// The plan.
    ///
    /// # Errors
    /// When resources need each other in a circle.
    pub fn plan(&self, key: &FingerprintKey) -> Result<Plan, Error> {
        let mut plan = planner::plan(&Inputs {
            wanted: &self.wanted,
            live: &self.live,
            ledger: &self.ledger.resources,
            rules: &kinds::rules(),
            prunes_owned: self.prune != Prune::None,
            complete: &self.complete,
            partial: self.partial,
            fingerprint: &|address, field, value| key.of(address, field, value),
        })?;
        plan.problems.extend(self.problems.iter().cloned());
        plan.problems.sort();
        Ok(plan)
    }

    /// How many secrets were not resolved, and so not compared.
    pub fn unresolved(&self) -> usize {
        let secrets = self.wanted.values().flat_map(|wanted| wanted.secrets.values());
        secrets.filter(|print| print.is_none()).count()
    }

    /// How many managed resources are not declared any more, and how many are managed.
    pub fn shrinkage(&self) -> (usize, usize) {
        let managed = &self.ledger.resources;
        let gone = managed
            .iter()
            .filter(|(address, entry)| entry.guards.is_none() && !self.wanted.contains_key(address));
        (if self.partial { 0 } else { gone.count() }, managed.len())
    }
}

/// What the config asks for, without what this GitLab cannot do.
fn wanted(config: &Config, about: &About) -> (BTreeMap<Address, Wanted>, Vec<Problem>) {
    let mut problems = Vec::new();
    let wanted = config.declarations.iter().map(|(address, declared)| {
        let mut value = declared.value.clone();
        for field in declared.enterprise_fields.iter().filter(|_| !about.enterprise) {
            value.remove(field);
            let message = format!(
                "only the Enterprise Edition knows `{field}`, and this is the Community Edition: remove it"
            );
            problems.push(Problem {
                address: address.clone(),
                field: Some(field.clone()),
                message,
            });
        }
        let (absent, moved_from) = (declared.absent, declared.moved_from.clone());
        (
            address.clone(),
            Wanted {
                value,
                absent,
                moved_from,
                secrets: BTreeMap::new(),
            },
        )
    });
    (wanted.collect(), problems)
}

/// The collections that are complete as declared.
fn complete(config: &Config) -> BTreeSet<(String, Path)> {
    let mut complete: BTreeSet<_> = match config.prune {
        Prune::All => config.collections.keys().cloned().collect(),
        Prune::None | Prune::Owned => BTreeSet::new(),
    };
    for (collection, policy) in &config.policies {
        match policy {
            Policy::Exact => complete.insert(collection.clone()),
            Policy::AtLeast => complete.remove(collection),
        };
    }
    complete
}

/// The path that something had before it, or what it lives in, moved.
fn former(config: &Config, path: &Path) -> Option<Path> {
    let own = ["repo", "group"].into_iter().find_map(|kind| {
        let address = Address::new(kind, Key::top(path.clone()));
        config.declarations.get(&address)?.moved_from.clone()
    });
    own.or_else(|| Some(former(config, &path.parent()?)?.join(path.name())))
}

/// The ledger by the addresses of now: what moves is still the same resource, and so is what lives in it.
fn readdress(ledger: &BTreeMap<Address, Entry>, config: &Config) -> BTreeMap<Address, Entry> {
    let moves = config.declarations.iter();
    let moves: BTreeMap<&Path, &Path> = moves
        .filter_map(|(address, declared)| Some((declared.moved_from.as_ref()?, &address.key.path)))
        .collect();
    let mut readdressed = BTreeMap::new();
    for (address, entry) in ledger {
        let mut now = address.clone();
        // What stands in no repo or group has a key that only looks like a path.
        let has_path =
            |kind: &kinds::Entry| matches!(kind.rules.parent.unwrap_or(kind.rules.name), "group" | "repo");
        if kinds::by_name(&address.kind).is_none_or(has_path)
            && let Some(path) = moved(&moves, &address.key.path)
        {
            now.key.path = path;
        }
        match ledger.get(&now).filter(|_| now != *address) {
            // A run that was killed after the move recorded it under both.
            Some(known) if known.id == entry.id => {}
            Some(_) => {
                readdressed.insert(address.clone(), entry.clone());
            }
            None => {
                readdressed.insert(now, entry.clone());
            }
        }
    }
    readdressed
}

/// The path that something has after it, or what it lives in, moved.
fn moved(moves: &BTreeMap<&Path, &Path>, path: &Path) -> Option<Path> {
    match moves.get(path) {
        Some(&now) => Some(now.clone()),
        None => Some(moved(moves, &path.parent()?)?.join(path.name())),
    }
}

/// The fingerprints of the fields that live has as asked: what GitLab ignored was not applied.
pub fn fingerprints(
    key: &FingerprintKey,
    address: &Address,
    asked: &Fields,
    live: &Fields,
) -> BTreeMap<String, String> {
    let as_asked = asked
        .iter()
        .filter(|(field, value)| live.get(*field) == Some(value));
    as_asked
        .map(|(field, value)| (field.clone(), key.of(address, field, value)))
        .collect()
}
