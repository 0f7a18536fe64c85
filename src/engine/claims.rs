//! Claims: the ledger held against what was seen. Things are known by their id, whatever their path, and what an
//! interrupted run made is ours.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Intent, Ledger};
use crate::core::{Address, Entry, Live, Ownership, Present};

/// Brings the ledger up to what was seen. What is still in doubt stays so until it has been seen.
pub fn settle(ledger: &mut Ledger, live: &mut BTreeMap<Address, Live>, wanted: &BTreeSet<&Address>) {
    follow(ledger, live, wanted);
    recover(ledger, live);
    tell_apart(live, wanted);
}

/// What is wanted under one address and managed under another, no longer wanted one, is the same thing.
fn follow(ledger: &mut Ledger, live: &mut BTreeMap<Address, Live>, wanted: &BTreeSet<&Address>) {
    let mut by_id = BTreeMap::new();
    for &address in wanted {
        if let Some(Live::Present(found)) = live.get(address) {
            by_id.insert((address.kind.clone(), found.id.clone()), address.clone());
        }
    }
    let elsewhere = ledger
        .resources
        .iter()
        .filter(|(address, _)| !wanted.contains(address));
    let renamed: Vec<(Address, Address)> = elsewhere
        .filter_map(|(address, entry)| {
            Some((
                address.clone(),
                by_id.get(&(address.kind.clone(), entry.id.clone()))?.clone(),
            ))
        })
        .collect();
    for (before, now) in renamed {
        live.remove(&before);
        if let Some(entry) = ledger.resources.remove(&before) {
            let known = ledger
                .resources
                .get(&now)
                .is_some_and(|known| known.id == entry.id);
            if !known {
                ledger.resources.insert(now, entry);
            }
        }
    }
}

/// Counts as ours what an interrupted run made: its journal intended it, and GitLab says it was created since.
fn recover(ledger: &mut Ledger, live: &BTreeMap<Address, Live>) {
    let Ledger {
        resources, in_doubt, ..
    } = ledger;
    in_doubt.retain(|address, intent| match live.get(address) {
        None | Some(Live::Unreadable(_)) => true,
        Some(Live::Absent) => false,
        Some(Live::Present(found)) => {
            let known = resources.get(address).is_some_and(|entry| entry.id == found.id);
            if !known && is_ours(found, intent) {
                let entry = Entry {
                    id: found.id.clone(),
                    origin: Ownership::Created,
                    fingerprints: BTreeMap::new(),
                    guards: intent.guards.clone(),
                };
                resources.insert(address.clone(), entry);
            }
            false
        }
    });
}

fn is_ours(found: &Present, intent: &Intent) -> bool {
    match (found.created_at, intent.since) {
        (Some(created), Some(since)) => created.as_second() >= since.as_second(),
        // A guard lets nobody in: nobody else makes a rule of that name to that end.
        _ => intent.guards.is_some(),
    }
}

/// Two wanted addresses for one thing cannot both be had.
fn tell_apart(live: &mut BTreeMap<Address, Live>, wanted: &BTreeSet<&Address>) {
    let mut seen: BTreeMap<(&str, String), &Address> = BTreeMap::new();
    let mut twice = Vec::new();
    for &address in wanted {
        let Some(Live::Present(found)) = live.get(address) else {
            continue;
        };
        if let Some(first) = seen.insert((&address.kind, found.id.clone()), address) {
            twice.push((address, first));
        }
    }
    for (address, first) in twice {
        live.insert(
            address.clone(),
            Live::Unreadable(format!("it is the same as {first}: keep one of the two")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn present(id: &str, created: Option<&str>) -> Live {
        let created_at = created.map(|time| time.parse().unwrap());
        Live::Present(Present {
            id: id.into(),
            created_at,
            ..Present::default()
        })
    }

    fn created(id: &str) -> Entry {
        Entry {
            id: id.into(),
            origin: Ownership::Created,
            fingerprints: BTreeMap::new(),
            guards: None,
        }
    }

    #[test]
    fn a_thing_is_followed_by_its_id() {
        let (before, now) = (
            at("protected_branch.a/b:main"),
            at("protected_branch.a/b:@default"),
        );
        let mut ledger = Ledger::new("x");
        ledger.resources.insert(before.clone(), created("7"));
        let mut live = BTreeMap::from([
            (before.clone(), present("7", None)),
            (now.clone(), present("7", None)),
        ]);
        settle(&mut ledger, &mut live, &BTreeSet::from([&now]));
        assert_eq!(ledger.resources, BTreeMap::from([(now.clone(), created("7"))]));
        assert_eq!(live.keys().collect::<Vec<_>>(), [&now]);
    }

    #[test]
    fn one_thing_cannot_be_wanted_twice() {
        let (one, two) = (
            at("protected_branch.a/b:@default"),
            at("protected_branch.a/b:main"),
        );
        let mut live = BTreeMap::from([
            (one.clone(), present("7", None)),
            (two.clone(), present("7", None)),
        ]);
        settle(&mut Ledger::new("x"), &mut live, &BTreeSet::from([&one, &two]));
        assert!(matches!(live[&one], Live::Present(_)));
        assert!(matches!(live[&two], Live::Unreadable(_)));
    }

    #[test]
    fn only_what_was_made_since_it_was_intended_is_ours() {
        let intent = Intent {
            since: Some("2026-01-01T10:00:00Z".parse().unwrap()),
            guards: None,
        };
        let settled = |live: Option<Live>, known: Option<Entry>| {
            let address = at("repo.a/b");
            let mut ledger = Ledger::new("x");
            ledger.in_doubt.insert(address.clone(), intent.clone());
            ledger
                .resources
                .extend(known.map(|entry| (address.clone(), entry)));
            let mut live = live.map(|live| (address.clone(), live)).into_iter().collect();
            settle(&mut ledger, &mut live, &BTreeSet::new());
            (
                ledger.resources.remove(&address).map(|entry| entry.id),
                ledger.in_doubt.len(),
            )
        };
        let (early, late) = (Some("2026-01-01T09:59:59Z"), Some("2026-01-01T10:00:00.4Z"));
        assert_eq!(settled(Some(present("7", late)), None), (Some("7".into()), 0));
        assert_eq!(settled(Some(present("7", early)), None), (None, 0));
        assert_eq!(settled(Some(present("7", None)), None), (None, 0));
        assert_eq!(
            settled(Some(present("8", late)), Some(created("7"))),
            (Some("8".into()), 0)
        );
        assert_eq!(settled(Some(Live::Absent), None), (None, 0));
        // What was not seen, or could not be read, stays in doubt.
        assert_eq!(settled(None, None), (None, 1));
        assert_eq!(settled(Some(Live::Unreadable("no".into())), None), (None, 1));
    }
}
