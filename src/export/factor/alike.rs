//! Likeness: the fields that some repos have in common, the most rewarding first.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::{Fields, Path};

use super::share::weight;

/// How many repos, and how many lines of each, are worth a name of their own.
const WORTH: usize = 3;

/// Among how many different sets of fields likeness is looked for.
const SETS: usize = 150;

/// Fields, by number.
type Set = BTreeSet<usize>;

/// Sets of fields that several of `repos` have in common, and which do, the most rewarding first.
pub fn candidates<'a>(repos: &BTreeMap<&'a Path, Fields>) -> Vec<(Fields, Vec<&'a Path>)> {
    let mut numbers: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let mut fields = Vec::new();
    let mut sets: BTreeMap<Set, Vec<&Path>> = BTreeMap::new();
    for (path, own) in repos {
        let set = own.iter().map(|(name, value)| {
            *numbers.entry((name, value.to_string())).or_insert_with(|| {
                fields.push((name, value));
                fields.len() - 1
            })
        });
        sets.entry(set.collect()).or_default().push(path);
    }
    let lines = |set: &Set| -> usize { set.iter().map(|number| weight(fields[*number].1)).sum() };
    let mut largest: Vec<&Set> = sets.keys().filter(|set| lines(set) >= WORTH).collect();
    largest.sort_by_key(|set| (usize::MAX - sets[*set].len(), *set));
    largest.truncate(SETS);
    let common: BTreeSet<Set> = largest
        .iter()
        .flat_map(|one| {
            largest
                .iter()
                .map(move |other| one.intersection(other).copied().collect())
        })
        .filter(|set| lines(set) >= WORTH)
        .collect();
    let mut candidates: Vec<(usize, Set, Vec<&Path>)> = Vec::new();
    for set in common {
        let having = sets.iter().filter(|(whole, _)| whole.is_superset(&set));
        let mut paths: Vec<&Path> = having.flat_map(|(_, paths)| paths).copied().collect();
        if paths.len() >= WORTH {
            paths.sort();
            candidates.push((lines(&set) * (paths.len() - 1), set, paths));
        }
    }
    candidates.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    let named = candidates.into_iter().map(|(_, set, paths)| {
        let shared = set.iter().map(|number| fields[*number]);
        (
            shared
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            paths,
        )
    });
    named.collect()
}
