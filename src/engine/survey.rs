//! The survey: everything a plan is made from.

use std::collections::{BTreeMap, BTreeSet};

use super::observe::{About, Reach};
use super::state::{FingerprintKey, Ledger};
use super::{Desired, Error, claims, desired, reported, secrets};
use crate::config::{Config, Policy, Prune};
use crate::core::planner::{self, Inputs, narrow};
use crate::core::{Address, Entry, Fields, Key, Live, Path, Plan, Problem, Reported, Wanted};
use crate::instance;
use crate::kinds::{self, Listing};
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
    pub fn new(globs: &[String]) -> Result<Self, String> {
        let pattern = |glob: &String| {
            glob::Pattern::new(glob).map_err(|error| format!("`{glob}` is not a glob: {}", error.msg))
        };
        globs.iter().map(pattern).collect::<Result<_, _>>().map(Targets)
    }

    /// The declared addresses that are meant; `None`: all. The instance itself is one of them.
    pub(super) fn choose(
        &self,
        config: &Config,
        reported: Option<&Config>,
    ) -> Result<Option<BTreeSet<Address>>, Error> {
        let deployment = config.gitlab.deploy.as_ref();
        let instance = deployment.map(|deployment| instance::address(&deployment.spec));
        let mut chosen = BTreeSet::new();
        for pattern in &self.0 {
            let matches = |address: &&Address| pattern.matches(&address.to_string());
            let configs = [Some(config), reported].into_iter().flatten();
            let declared = configs
                .flat_map(|config| config.declarations.keys())
                .chain(&instance);
            let mut matching = declared.filter(matches).cloned().peekable();
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
    collections: Collections,
    /// What would be asked for if no rule was in report mode.
    would: Option<Asked>,
}

/// What a config asks for.
struct Asked {
    wanted: BTreeMap<Address, Wanted>,
    problems: Vec<Problem>,
    collections: Collections,
}

/// The collections of which something else is asked than what `prune` says.
#[derive(Default)]
struct Collections {
    /// Complete as declared.
    complete: BTreeSet<(String, Path)>,
    /// Nothing of them goes for not being declared.
    spared: BTreeSet<(String, Path)>,
}

impl Asked {
    async fn of(
        config: &Config,
        about: &About,
        chosen: Option<&BTreeSet<Address>>,
        values: Option<&Secrets>,
        key: &FingerprintKey,
    ) -> Self {
        let (mut wanted, mut problems) = wanted(config, about);
        if let Some(chosen) = chosen {
            wanted = narrow(&wanted, chosen.iter().cloned(), &kinds::rules());
        }
        problems.extend(secrets::fingerprint(&mut wanted, values, key).await);
        Asked {
            wanted,
            problems,
            collections: Collections::of(config),
        }
    }
}

impl Survey {
    /// Reads what is desired and what `ledger` is about.
    ///
    /// # Errors
    /// When a target matches nothing, GitLab does not answer, or what it listed for the rules turns out not to be whole.
    pub async fn make(
        cx: &Reader,
        about: About,
        desired: &Desired,
        ledger: Ledger,
        targets: &Targets,
        values: Option<&Secrets>,
        key: &FingerprintKey,
    ) -> Result<Self, Error> {
        let config = &desired.config;
        let chosen = targets.choose(config, desired.reported.as_ref())?;
        let asked = Asked::of(config, &about, chosen.as_ref(), values, key).await;
        let would = match &desired.reported {
            Some(reported) => Some(Asked::of(reported, &about, chosen.as_ref(), values, key).await),
            None => None,
        };
        let resources = readdress(&ledger.resources, config);
        let mut survey = Survey {
            about,
            ledger: Ledger { resources, ..ledger },
            wanted: asked.wanted,
            live: BTreeMap::new(),
            moved: BTreeMap::new(),
            problems: asked.problems,
            partial: chosen.is_some(),
            prune: config.prune,
            collections: asked.collections,
            would,
        };
        let mut reach = survey.reach(config);
        reach.listing = desired
            .inventory
            .as_ref()
            .map(|inventory| inventory.listing.clone());
        survey.live = reach.observe(cx, &survey.about).await?;
        survey.moved = reach.moved;
        if let Some(inventory) = &desired.inventory {
            survey.check_listing(&inventory.listing)?;
        }
        let wanted: BTreeSet<&Address> = survey.wanted.keys().collect();
        claims::settle(&mut survey.ledger, &mut survey.live, &wanted);
        Ok(survey)
    }

    /// A list that lacks what is there was cut short: a rule may be for what else it lacks.
    fn check_listing(&self, listing: &Listing) -> Result<(), Error> {
        let there = self.live.iter().filter_map(|(address, live)| match live {
            Live::Present(found) if address.kind == "repo" => found.path.as_ref(),
            _ => None,
        });
        match desired::unlisted(listing, there) {
            Some(path) => Err(Error::Unlisted(path.clone())),
            None => Ok(()),
        }
    }

    /// What has to be observed: what is wanted and what that needs, what is managed, and what may be left over.
    fn reach(&self, config: &Config) -> Reach {
        let mut addresses = BTreeSet::new();
        let mut reach = Reach::default();
        // What is planned comes last: where the two differ, it counts.
        let would = self.would.iter().flat_map(|would| &would.wanted);
        for (address, wanted) in would.chain(&self.wanted) {
            addresses.insert(address.clone());
            reach.note(address, &wanted.value);
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
            reach.complete = self.collections.complete.clone();
            let would = self.would.iter().flat_map(|would| &would.collections.complete);
            reach.complete.extend(would.cloned());
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
        self.plan_of(&self.wanted, &self.collections, &self.problems, key)
    }

    /// What the rules in report mode would change beyond `plan`.
    ///
    /// # Errors
    /// When resources need each other in a circle.
    pub fn reported(
        &self,
        plan: &Plan,
        desired: &Desired,
        key: &FingerprintKey,
    ) -> Result<Vec<Reported>, Error> {
        let (Some(asked), Some(config)) = (&self.would, &desired.reported) else {
            return Ok(Vec::new());
        };
        let would = self.plan_of(&asked.wanted, &asked.collections, &asked.problems, key)?;
        Ok(reported::differences(plan, &would, config, &desired.reporting))
    }

    fn plan_of(
        &self,
        wanted: &BTreeMap<Address, Wanted>,
        collections: &Collections,
        problems: &[Problem],
        key: &FingerprintKey,
    ) -> Result<Plan, Error> {
        let mut plan = planner::plan(&Inputs {
            wanted,
            live: &self.live,
            ledger: &self.ledger.resources,
            rules: &kinds::rules(),
            prunes_owned: self.prune != Prune::None,
            complete: &collections.complete,
            spared: &collections.spared,
            partial: self.partial,
            fingerprint: &|address, field, value| key.of(address, field, value),
        })?;
        plan.problems.extend(problems.iter().cloned());
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
        // The instance itself is not among what lives on it.
        let managed = self.ledger.resources.iter();
        let managed = managed.filter(|(address, _)| kinds::by_name(&address.kind).is_some());
        let gone = managed
            .clone()
            .filter(|(address, entry)| entry.guards.is_none() && !self.wanted.contains_key(address));
        (if self.partial { 0 } else { gone.count() }, managed.count())
    }
}

/// What the config asks for, without what this GitLab cannot do.
pub(super) fn wanted(config: &Config, about: &About) -> (BTreeMap<Address, Wanted>, Vec<Problem>) {
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

impl Collections {
    fn of(config: &Config) -> Self {
        let mut collections = Collections::default();
        if config.prune == Prune::All {
            collections.complete = config.collections.keys().cloned().collect();
        }
        for (collection, policy) in &config.policies {
            match policy {
                Policy::Exact => collections.complete.insert(collection.clone()),
                Policy::AtLeast => {
                    collections.complete.remove(collection);
                    collections.spared.insert(collection.clone())
                }
            };
        }
        collections
    }
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
