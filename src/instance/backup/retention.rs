//! Which backups stay.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::manifest::Id;
use crate::config::deploy::Keep;

/// What there is to know of a backup to tell whether it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The backup.
    pub id: Id,
    /// When it was begun.
    pub at: Timestamp,
    /// Whether it was found to be damaged. No rule asks for such a one.
    pub damaged: bool,
}

/// The backups that go: those that no rule asks for. The newest that is whole always stays, and where none is whole all do.
pub fn goes(backups: &[Candidate], keep: &Keep) -> BTreeSet<Id> {
    let mut whole: Vec<&Candidate> = backups.iter().filter(|backup| !backup.damaged).collect();
    whole.sort_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
    let Some(newest) = whole.first() else {
        return BTreeSet::new();
    };
    let mut stays = BTreeSet::from([newest.id.clone()]);
    stays.extend(
        whole
            .iter()
            .take(keep.last as usize)
            .map(|backup| backup.id.clone()),
    );
    stays.extend(newest_of_each(&whole, keep.daily, |date| date.to_string()));
    stays.extend(newest_of_each(&whole, keep.weekly, |date| {
        let week = date.iso_week_date();
        format!("{}-{}", week.year(), week.week())
    }));
    stays.extend(newest_of_each(&whole, keep.monthly, |date| {
        format!("{}-{}", date.year(), date.month())
    }));
    let all = backups.iter().map(|backup| &backup.id);
    all.filter(|id| !stays.contains(id)).cloned().collect()
}

/// The newest of each of the newest `count` spans that have one. `whole` has the newest first.
fn newest_of_each(whole: &[&Candidate], count: u32, span: impl Fn(jiff::civil::Date) -> String) -> Vec<Id> {
    let mut seen = BTreeSet::new();
    let mut newest = Vec::new();
    for backup in whole {
        let date = TimeZone::UTC.to_datetime(backup.at).date();
        if seen.len() < count as usize && seen.insert(span(date)) {
            newest.push(backup.id.clone());
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backup(at: &str) -> Candidate {
        let at: Timestamp = at.parse().unwrap();
        Candidate {
            id: Id::new(at, "x"),
            at,
            damaged: false,
        }
    }

    fn left(backups: &[Candidate], keep: &Keep) -> Vec<String> {
        let goes = goes(backups, keep);
        let left = backups.iter().filter(|backup| !goes.contains(&backup.id));
        let mut left: Vec<String> = left.map(|backup| backup.at.to_string()).collect();
        left.sort();
        left
    }

    #[test]
    fn one_that_any_rule_asks_for_stays() {
        let backups: Vec<_> = [
            "2026-01-31T03:00:00Z",
            "2026-02-01T03:00:00Z", // a Sunday
            "2026-02-02T03:00:00Z", // a Monday
            "2026-02-03T03:00:00Z",
            "2026-02-03T15:00:00Z",
        ]
        .map(backup)
        .to_vec();
        let keep = |last, daily, weekly, monthly| {
            let keep = Keep {
                last,
                daily,
                weekly,
                monthly,
            };
            left(&backups, &keep)
                .into_iter()
                .map(|at| at[5..13].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(keep(0, 0, 0, 0), ["02-03T15"]);
        assert_eq!(keep(2, 0, 0, 0), ["02-03T03", "02-03T15"]);
        assert_eq!(keep(0, 2, 0, 0), ["02-02T03", "02-03T15"]);
        assert_eq!(keep(0, 0, 2, 0), ["02-01T03", "02-03T15"]);
        assert_eq!(keep(0, 0, 0, 5), ["01-31T03", "02-03T15"]);
        assert_eq!(keep(1, 0, 0, 2), ["01-31T03", "02-03T15"]);
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (0i64..400 * 24, proptest::bool::weighted(0.2)).prop_map(|(hours, damaged)| {
            let at = Timestamp::from_second(1_770_000_000 + hours * 3600).unwrap();
            Candidate {
                id: Id::new(at, "x"),
                at,
                damaged,
            }
        });
        proptest::collection::vec(one, 0..40).prop_map(|mut all| {
            all.sort_by_key(|backup| backup.at);
            all.dedup_by_key(|backup| backup.at);
            all
        })
    }

    fn rules() -> impl Strategy<Value = Keep> {
        (0u32..4, 0u32..8, 0u32..8, 0u32..8).prop_map(|(last, daily, weekly, monthly)| Keep {
            last,
            daily,
            weekly,
            monthly,
        })
    }

    proptest! {
        #[test]
        fn the_newest_whole_one_stays_whatever_is_asked(backups in candidates(), keep in rules()) {
            let goes = goes(&backups, &keep);
            match backups.iter().filter(|backup| !backup.damaged).max_by_key(|backup| backup.at) {
                Some(newest) => prop_assert!(!goes.contains(&newest.id)),
                None => prop_assert!(goes.is_empty()),
            }
        }

        #[test]
        fn more_is_never_kept_by_asking_for_less(backups in candidates(), keep in rules(), more in rules()) {
            let larger = Keep {
                last: keep.last + more.last,
                daily: keep.daily + more.daily,
                weekly: keep.weekly + more.weekly,
                monthly: keep.monthly + more.monthly,
            };
            prop_assert!(goes(&backups, &larger).is_subset(&goes(&backups, &keep)));
        }

        #[test]
        fn pruning_twice_removes_no_more(backups in candidates(), keep in rules()) {
            let gone = goes(&backups, &keep);
            let rest: Vec<_> = backups.iter().filter(|backup| !gone.contains(&backup.id)).cloned().collect();
            prop_assert_eq!(goes(&rest, &keep), BTreeSet::new());
        }

        #[test]
        fn the_newest_so_many_stay(backups in candidates(), keep in rules()) {
            let goes = goes(&backups, &keep);
            let whole = backups.iter().rev().filter(|backup| !backup.damaged);
            for backup in whole.take(keep.last as usize) {
                prop_assert!(!goes.contains(&backup.id));
            }
        }
    }
}
