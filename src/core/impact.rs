//! Impact: what a change does to people.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a change does to people, from the harmless to the irreversible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    /// Nobody gains or loses anything they would notice as access.
    #[default]
    Neutral,
    /// Somebody may do less than before.
    Tightens,
    /// A protection becomes weaker: somebody may write or merge who could not.
    Weakens,
    /// Somebody may read who could not.
    Exposes,
    /// Somebody loses the access they work with, maybe the acting token itself.
    LocksOut,
    /// Something is lost that cannot be made again from the config.
    Destroys,
}

impl Impact {
    /// Every impact, mildest first.
    pub const ALL: [Impact; 6] = [
        Impact::Neutral,
        Impact::Tightens,
        Impact::Weakens,
        Impact::Exposes,
        Impact::LocksOut,
        Impact::Destroys,
    ];

    /// The verb of a sentence about a change: "weakens".
    pub fn verb(self) -> &'static str {
        match self {
            Impact::Neutral => "is neutral",
            Impact::Tightens => "tightens",
            Impact::Weakens => "weakens",
            Impact::Exposes => "exposes",
            Impact::LocksOut => "locks out",
            Impact::Destroys => "destroys",
        }
    }

    /// The word that `--allow` takes; `None` for what never has to be asked for.
    pub fn permission(self) -> Option<&'static str> {
        match self {
            Impact::Neutral | Impact::Tightens => None,
            Impact::Weakens => Some("weaken"),
            Impact::Exposes => Some("expose"),
            Impact::LocksOut => Some("lock-out"),
            Impact::Destroys => Some("destroy"),
        }
    }

    /// The impact of going from `before` to `after` on a scale where more means more open.
    pub fn of_opening<T: PartialOrd>(before: &T, after: &T, opening: Impact) -> Impact {
        if after > before {
            opening
        } else if after < before {
            Impact::Tightens
        } else {
            Impact::Neutral
        }
    }
}

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())
    }
}

/// The impacts that a run may have beyond neutral and tightening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(BTreeSet<Impact>);

impl Allowed {
    /// Whether a change of this impact may run without being asked for.
    pub fn permits(&self, impact: Impact) -> bool {
        impact.permission().is_none() || self.0.contains(&impact)
    }
}

impl FromIterator<Impact> for Allowed {
    fn from_iter<I: IntoIterator<Item = Impact>>(impacts: I) -> Self {
        Allowed(impacts.into_iter().collect())
    }
}

/// A word that `--allow` does not know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an impact that can be allowed: use weaken, expose, lock-out or destroy")]
pub struct UnknownPermission(String);

impl FromStr for Impact {
    type Err = UnknownPermission;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Impact::ALL
            .into_iter()
            .find(|impact| impact.permission() == Some(word))
            .ok_or_else(|| UnknownPermission(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_opens_or_destroys_has_to_be_allowed() {
        let nothing = Allowed::default();
        let permitted: Vec<_> = Impact::ALL
            .into_iter()
            .filter(|impact| nothing.permits(*impact))
            .collect();
        assert_eq!(permitted, [Impact::Neutral, Impact::Tightens]);
        let weaken: Allowed = ["weaken".parse().unwrap()].into_iter().collect();
        assert!(weaken.permits(Impact::Weakens) && !weaken.permits(Impact::Destroys));
        assert!("neutral".parse::<Impact>().is_err());
    }
}
