//! What the token may do with each kind, from its scopes and from how many repos and groups its user has the role in.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde::Serialize;

use crate::kinds::{self, Access, On, Role};
use crate::live::gitlab::Reader;

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// All of it, wherever the user is a member.
    Yes,
    /// Not all of it, or not everywhere.
    Partly,
    /// None of it.
    No,
    /// It could not be found out.
    NotKnown,
}

/// Whether a kind may be read, or written, and what is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Right {
    /// Whether.
    pub answer: Answer,
    /// What is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// What the token may do with one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rights {
    /// The kind.
    pub kind: &'static str,
    /// To plan and export it.
    pub read: Right,
    /// To apply it.
    pub write: Right,
}

/// Who asks.
pub(super) struct Acting {
    /// The token's scopes, where they are known.
    pub(super) scopes: Option<Vec<String>>,
    /// Whether it acts as an administrator.
    pub(super) admin: bool,
    /// Whether the user may create groups at the top.
    pub(super) makes_groups: bool,
}

/// In how many places the user has a role, or a higher one; `None` where GitLab does not say.
type Counts = BTreeMap<(On, Role), Option<u64>>;

/// What is said where nothing is known.
pub(super) fn not_known() -> Vec<Rights> {
    let unknown = || Right {
        answer: Answer::NotKnown,
        missing: Vec::new(),
    };
    let rights = |kind: &kinds::Entry| Rights {
        kind: kind.shape.name,
        read: unknown(),
        write: unknown(),
    };
    kinds::TABLE.iter().map(rights).collect()
}

/// Judges every kind.
pub(super) async fn examine(cx: &Reader, acting: &Acting) -> Vec<Rights> {
    let counts = count(cx, acting).await;
    let judge = |kind: &kinds::Entry| {
        let mut write = judge(&kind.write, acting, &counts, &["api"]);
        if kind.shape.name == "group" && !acting.makes_groups && !acting.admin {
            write.lacks(
                Answer::Partly,
                "a user who may create groups, for those at the top",
            );
        }
        Rights {
            kind: kind.shape.name,
            read: judge(&kind.read, acting, &counts, &["read_api", "api"]),
            write,
        }
    };
    kinds::TABLE.iter().map(judge).collect()
}

/// One request for each role that some kind asks for, and one for all that the user is a member of.
async fn count(cx: &Reader, acting: &Acting) -> Counts {
    if acting.admin {
        return Counts::new();
    }
    let asked = kinds::TABLE.iter().flat_map(|kind| [kind.read, kind.write]);
    let wanted: BTreeSet<(On, Role)> = asked
        .flat_map(|Access { role, on, more }| {
            [Some(role), more.map(|(role, _)| role), Some(Role::Guest)].map(|role| Some((on, role?)))
        })
        .flatten()
        .filter(|(on, _)| *on != On::Instance)
        .collect();
    let counts = wanted.into_iter().map(async |(on, role)| {
        let list = if on == On::Group { "/groups" } else { "/projects" };
        let level = role.level().to_string();
        let count = cx.count(list, &[("min_access_level", &level)]).await;
        ((on, role), count.unwrap_or_default())
    });
    join_all(counts).await.into_iter().collect()
}

/// `scopes`: those of which one is needed, the least first.
fn judge(access: &Access, acting: &Acting, counts: &Counts, scopes: &[&str]) -> Right {
    let mut right = Right {
        answer: Answer::Yes,
        missing: Vec::new(),
    };
    match &acting.scopes {
        None => right.answer = Answer::NotKnown,
        Some(held) if held.iter().any(|held| scopes.contains(&held.as_str())) => {}
        Some(_) => right.lacks(Answer::No, format!("the scope `{}`", scopes[0])),
    }
    if acting.admin {
        return right;
    }
    right.role(access.role, access.on, counts, Answer::No, "");
    if let Some((role, what_for)) = access.more {
        right.role(role, access.on, counts, Answer::Partly, what_for);
    }
    right
}

impl Right {
    /// Takes down what is missing, and that the answer is this at best.
    fn lacks(&mut self, answer: Answer, what: impl Into<String>) {
        let what = what.into();
        if !self.missing.contains(&what) {
            self.missing.push(what);
        }
        self.answer = match (self.answer, answer) {
            (Answer::No, _) | (_, Answer::No) => Answer::No,
            (Answer::NotKnown, _) | (_, Answer::NotKnown) => Answer::NotKnown,
            _ => Answer::Partly,
        };
    }

    /// Judges one role. Had nowhere, the answer is `nowhere`.
    fn role(&mut self, role: Role, on: On, counts: &Counts, nowhere: Answer, what_for: &str) {
        let needs = format!("{role} {what_for}").trim_end().to_owned();
        if on == On::Instance {
            return self.lacks(nowhere, format!("{needs} of the instance"));
        }
        let count = |role| counts.get(&(on, role)).copied().flatten();
        let places = |number| match number {
            1 => format!("1 {}", on.name()),
            _ => format!("{number} {}s", on.name()),
        };
        match (count(role), count(Role::Guest)) {
            (_, Some(0)) => self.lacks(nowhere, format!("membership: the user is in no {}", on.name())),
            (Some(here), Some(all)) if here >= all => {}
            (Some(0), Some(all)) => {
                self.lacks(
                    nowhere,
                    format!("{needs}: the user is that in none of {}", places(all)),
                );
            }
            (Some(here), Some(all)) => self.lacks(
                Answer::Partly,
                format!("{needs}: the user is that in {here} of {}", places(all)),
            ),
            _ => self.lacks(
                Answer::NotKnown,
                format!("{needs}: GitLab does not say where the user is that"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: u64, maintained: u64, owned: u64) -> Counts {
        [
            (Role::Guest, all),
            (Role::Maintainer, maintained),
            (Role::Owner, owned),
        ]
        .into_iter()
        .map(|(role, count)| ((On::Repo, role), Some(count)))
        .collect()
    }

    fn acting(scope: &str) -> Acting {
        Acting {
            scopes: Some(vec![scope.into()]),
            admin: false,
            makes_groups: false,
        }
    }

    const WRITE: Access = Access::new(Role::Maintainer, On::Repo).and(Role::Owner, "to delete it");

    #[test]
    fn what_is_missing_is_named_with_how_often() {
        let ask = |counts: &Counts| judge(&WRITE, &acting("api"), counts, &["api"]);
        assert_eq!(ask(&counts(14, 14, 14)).answer, Answer::Yes);
        let partly = ask(&counts(14, 12, 0));
        assert_eq!(partly.answer, Answer::Partly);
        assert_eq!(
            partly.missing,
            [
                "Maintainer: the user is that in 12 of 14 repos",
                "Owner to delete it: the user is that in none of 14 repos"
            ]
        );
        assert_eq!(ask(&counts(14, 0, 0)).answer, Answer::No);
        assert_eq!(ask(&counts(0, 0, 0)).answer, Answer::No);
        assert_eq!(ask(&Counts::new()).answer, Answer::NotKnown);
    }

    #[test]
    fn a_scope_is_missed_whatever_the_role() {
        let right = judge(&WRITE, &acting("read_api"), &counts(1, 1, 1), &["api"]);
        assert_eq!(
            (right.answer, &*right.missing),
            (Answer::No, &["the scope `api`".to_owned()][..])
        );
    }

    #[test]
    fn the_instance_is_its_administrators() {
        let access = Access::new(Role::Administrator, On::Instance);
        assert_eq!(
            judge(&access, &acting("api"), &Counts::new(), &["api"]).answer,
            Answer::No
        );
        let admin = Acting {
            admin: true,
            ..acting("api")
        };
        assert_eq!(
            judge(&access, &admin, &Counts::new(), &["api"]).answer,
            Answer::Yes
        );
    }
}
