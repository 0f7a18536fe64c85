//! Factoring: what most repos share becomes rules, what some share presets, and each keeps what is its own.
//!
//! Nothing here knows GitLab: values in, values out, and what they come to for each repo stays the same.

mod alike;
mod share;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::core::{Fields, Path};

use share::{merged, residue, share};

/// Fields that are a repo's own by nature, even where several say the same.
const OWN: [&str; 2] = ["name", "description"];

/// How many of the most rewarding exceptions are tried before it is settled that none saves a line.
const TRIES: usize = 20;

/// What repos share, told once, and what is left to say of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Factored {
    /// Presets, by name.
    pub presets: Vec<(String, Value)>,
    /// Rules, by name, in file order.
    pub rules: Vec<(String, Value)>,
    /// What each repo still says itself.
    pub repos: BTreeMap<Path, Fields>,
}

/// What is factored.
pub struct Repos<'a> {
    /// Each repo's fields, with what stands in it.
    pub all: BTreeMap<Path, Fields>,
    /// Rules are for what is in these groups, and for nothing else.
    pub groups: BTreeSet<Path>,
    /// Fields that a repo which nobody listed may have no use for: a branch that it lacks, a secret without a value.
    pub only_listed: BTreeSet<&'a str>,
}

/// How many lines a part of the file takes: its name, and what stands there.
pub type Measure<'a> = &'a dyn Fn(&str, &Fields) -> usize;

/// Factors `repos`. The result is never longer than what it is made of; where it would be, it is empty.
pub fn factor(repos: &Repos, measure: Measure) -> Factored {
    let mut work = Work {
        repos,
        measure,
        names: BTreeSet::new(),
        inherited: BTreeMap::new(),
        taken: BTreeMap::new(),
        factored: Factored::default(),
    };
    let groups = &repos.groups;
    let is_top = |group: &&Path| !group.parent().is_some_and(|parent| inside(&parent, groups));
    work.rules("baseline", &groups.iter().filter(is_top).cloned().collect());
    for group in groups {
        work.rules(group.as_str(), &BTreeSet::from([group.clone()]));
    }
    work.exceptions();
    work.finish()
}

/// Whether `path` is one of `groups` or in one of them.
fn inside(path: &Path, groups: &BTreeSet<Path>) -> bool {
    std::iter::successors(Some(path.clone()), Path::parent).any(|path| groups.contains(&path))
}

struct Work<'a> {
    repos: &'a Repos<'a>,
    measure: Measure<'a>,
    names: BTreeSet<String>,
    /// What rules and presets say of each repo so far.
    inherited: BTreeMap<Path, Fields>,
    /// The presets that each repo takes.
    taken: BTreeMap<Path, Vec<String>>,
    factored: Factored,
}

impl Work<'_> {
    /// Adds rules for the repos in `groups` that say what most of them share, if that saves lines: one for any repo,
    /// and one for those that the file lists.
    fn rules(&mut self, name: &str, groups: &BTreeSet<Path>) {
        let all = self.repos.all.iter();
        let within = |path: &Path, groups: &BTreeSet<Path>| {
            path.parent().is_some_and(|parent| inside(&parent, groups))
        };
        let (paths, values): (Vec<&Path>, Vec<&Fields>) =
            all.filter(|(path, _)| within(path, groups)).unzip();
        let Some(&first) = paths.first().filter(|_| paths.len() > 1) else {
            return;
        };
        // Rules go from the outer groups to the inner ones, so that all repos of a group have inherited the same.
        let inherited = self.inherited.get(first).cloned().unwrap_or_default();
        let names = values
            .iter()
            .flat_map(|value| value.keys())
            .chain(inherited.keys());
        let names: BTreeSet<&String> = names.filter(|name| !OWN.contains(&name.as_str())).collect();
        let shared = names.into_iter().filter_map(|name| {
            let each: Vec<_> = values.iter().map(|value| value.get(name)).collect();
            Some((name.clone(), share(&each, inherited.get(name))?))
        });
        let (listed, any): (Fields, Fields) =
            shared.partition(|(name, _)| self.repos.only_listed.contains(name.as_str()));
        let holds_some = |group: &&Path| {
            let group = BTreeSet::from([(*group).clone()]);
            paths.iter().any(|path| within(path, &group))
        };
        let globs: Vec<String> = groups
            .iter()
            .filter(holds_some)
            .map(|group| format!("{group}/**"))
            .collect();
        self.add_rule(name, json!({"path": one_or_many(globs.clone())}), any, &paths);
        let condition = json!({"path": one_or_many(globs), "listed": true});
        self.add_rule(&format!("{name}-listed"), condition, listed, &paths);
    }

    /// Adds a rule for some repos, if it saves lines.
    fn add_rule(&mut self, name: &str, condition: Value, shared: Fields, paths: &[&Path]) -> bool {
        if shared.is_empty() {
            return false;
        }
        let name = unique(name, &self.names);
        let mut rule = shared.clone();
        rule.insert("match".to_owned(), condition);
        let cost = (self.measure)(&name, &rule);
        self.add(&name, cost, &shared, paths, None) && {
            self.factored.rules.push((name, Value::Object(rule)));
            true
        }
    }

    /// Adds a preset that some repos take, for fields that no rule speaks of, if it saves lines.
    fn add_preset(&mut self, name: &str, shared: Fields, paths: &[&Path]) -> bool {
        let name = unique(name, &self.names);
        let cost = (self.measure)(&name, &shared);
        self.add(&name, cost, &shared, paths, Some(&name)) && {
            self.factored.presets.push((name, Value::Object(shared)));
            true
        }
    }

    /// Says `shared` of some repos once for all, by something that takes `cost` lines, if that saves any.
    fn add(
        &mut self,
        name: &str,
        cost: usize,
        shared: &Fields,
        paths: &[&Path],
        preset: Option<&String>,
    ) -> bool {
        let none = Fields::new();
        let (mut before, mut after, mut inherited) = (0, cost, Vec::new());
        for path in paths {
            let now = self.inherited.get(*path).unwrap_or(&none);
            let taken = self.taken.get(*path).map_or(&[][..], Vec::as_slice);
            let then = merged(now, shared);
            before += self.lines(path, now, taken);
            after += match preset {
                Some(preset) => self.lines(path, &then, &[taken, std::slice::from_ref(preset)].concat()),
                None => self.lines(path, &then, taken),
            };
            inherited.push(then);
        }
        if after >= before {
            return false;
        }
        for (path, inherited) in paths.iter().zip(inherited) {
            self.inherited.insert((*path).clone(), inherited);
            if let Some(preset) = preset {
                self.taken
                    .entry((*path).clone())
                    .or_default()
                    .push(preset.clone());
            }
        }
        self.names.insert(name.to_owned());
        true
    }

    /// Tells once what some repos have in common beside the rules: by a preset where no rule says otherwise, as a
    /// repo's presets are weaker than rules, and by a rule for just these repos where one does.
    fn exceptions(&mut self) {
        for number in 1.. {
            let mut left: BTreeMap<&Path, Fields> = BTreeMap::new();
            for path in self.repos.all.keys() {
                let mut own = self.own(path);
                own.retain(|field, _| !OWN.contains(&field.as_str()) && field != "preset");
                left.insert(path, own);
            }
            let mut candidates = alike::candidates(&left).into_iter().take(TRIES);
            if !candidates.any(|(shared, paths)| self.exception(&format!("shared-{number}"), shared, &paths))
            {
                break;
            }
        }
    }

    fn exception(&mut self, name: &str, shared: Fields, paths: &[&Path]) -> bool {
        let spoken = |path: &&Path| {
            let inherited = self.inherited.get(*path);
            inherited.is_some_and(|inherited| shared.keys().any(|field| inherited.contains_key(field)))
        };
        if !paths.iter().any(spoken) {
            return self.add_preset(name, shared, paths);
        }
        let paths_in_full = paths.iter().map(ToString::to_string).collect();
        self.add_rule(name, json!({"path": one_or_many(paths_in_full)}), shared, paths)
    }

    /// What is left to say of a repo, as it stands.
    fn own(&self, path: &Path) -> Fields {
        let none = Fields::new();
        let inherited = self.inherited.get(path).unwrap_or(&none);
        self.left(
            path,
            inherited,
            self.taken.get(path).map_or(&[][..], Vec::as_slice),
        )
    }

    /// What is left to say of a repo.
    fn left(&self, path: &Path, inherited: &Fields, taken: &[String]) -> Fields {
        let mut left = residue(&self.repos.all[path], inherited);
        if !taken.is_empty() {
            left.insert("preset".to_owned(), one_or_many(taken.to_vec()));
        }
        left
    }

    fn lines(&self, path: &Path, inherited: &Fields, taken: &[String]) -> usize {
        (self.measure)(path.as_str(), &self.left(path, inherited, taken))
    }

    /// The result, or nothing at all if that is not shorter.
    fn finish(mut self) -> Factored {
        let all = self.repos.all.keys();
        self.factored.repos = all.map(|path| (path.clone(), self.own(path))).collect();
        let lines = |repos: &BTreeMap<Path, Fields>| -> usize {
            let each = repos.iter().map(|(path, own)| (self.measure)(path.as_str(), own));
            each.sum()
        };
        let shared = self.factored.presets.iter().chain(&self.factored.rules);
        let shared = shared.filter_map(|(name, part)| Some((self.measure)(name, part.as_object()?)));
        // Two more for the names of the sections.
        let after = lines(&self.factored.repos) + shared.sum::<usize>() + 2;
        match after < lines(&self.repos.all) {
            true => self.factored,
            false => Factored::default(),
        }
    }
}

/// A list, or what is alone in it.
fn one_or_many(mut texts: Vec<String>) -> Value {
    match texts.len() {
        1 => Value::String(texts.remove(0)),
        _ => json!(texts),
    }
}

/// A name that is not taken.
fn unique(name: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
