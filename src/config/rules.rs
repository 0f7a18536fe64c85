//! Rules: which repos each is for, and what all of them say of one.

use std::collections::BTreeSet;

use glob::{MatchOptions, Pattern};

use super::decode::preset_names;
use super::diagnostic::{Diagnostic, Report};
use super::inventory::{Listed, moves};
use super::layout::Layout;
use super::merge::Opinion;
use super::model::{Mode, Via};
use super::schema::RULE_FIELDS;
use super::tree::{Data, Entry, Node};
use crate::core::Path;

/// `*` stands for one part of a path or of one, `**` for any number of them; GitLab's paths have no case.
const GLOBS: MatchOptions = MatchOptions {
    case_sensitive: false,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A rule in which nothing is wrong.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    /// The rule as it is written.
    pub entry: &'a Entry,
    pub mode: Mode,
    condition: Condition,
    presets: Vec<&'a Entry>,
    /// What it says of a repo itself.
    own: Entry,
    locked: Option<&'a Entry>,
}

/// Which repos a rule is for: all that is written has to hold.
#[derive(Debug, Default)]
struct Condition {
    /// At least one matches; empty: any path.
    path: Vec<Pattern>,
    /// None matches.
    not: Vec<Pattern>,
    /// The repo has all of them. In lower case, as GitLab knows them without.
    topics: Vec<String>,
    archived: Option<bool>,
    /// The repo has one of them; empty: any.
    visibility: Vec<String>,
    /// Whether the file lists the repo.
    listed: Option<bool>,
}

impl<'a> Rule<'a> {
    /// Reads a rule whose fields have been checked; what is wrong with its condition is reported.
    pub fn read(entry: &'a Entry, layout: &Layout<'a>, report: &mut Report) -> Option<Self> {
        let condition = Condition::read(entry, report)?;
        let of = |field: &str| entry.value.entry(field).filter(|field| !field.value.is_null());
        let own = entry.value.entries().iter();
        let own = own.filter(|field| !RULE_FIELDS.contains(&&*field.key)).cloned();
        let mode = of("mode").and_then(|mode| serde_json::from_value(mode.value.to_json()).ok());
        let presets = preset_names(&entry.value).iter();
        Some(Rule {
            entry,
            mode: mode.unwrap_or_default(),
            condition,
            presets: presets
                .filter_map(|name| layout.presets.get(name.as_text()?).copied())
                .collect(),
            own: Entry {
                value: Node {
                    span: entry.value.span,
                    data: Data::Map(own.collect::<Vec<_>>().into()),
                },
                ..entry.clone()
            },
            locked: of("locked"),
        })
    }

    pub fn name(&self) -> &'a str {
        &self.entry.key
    }

    /// Its presets in the order it names them, then its own fields.
    fn opinions<'o>(&'o self) -> impl Iterator<Item = Opinion<'o>> {
        let rule = self.name();
        let presets = self.presets.iter().map(move |preset| Opinion {
            entry: preset,
            via: Some(Via::RulePreset {
                rule,
                preset: &*preset.key,
            }),
        });
        presets.chain([Opinion {
            entry: &self.own,
            via: Some(Via::Rule(rule)),
        }])
    }
}

impl Condition {
    fn read(rule: &Entry, report: &mut Report) -> Option<Self> {
        let written = rule.value.entry("match").map(|written| &written.value);
        let Some(written) = written.filter(|written| !written.is_null()) else {
            let error = Diagnostic::error(format!("rule `{}` does not say which repos it is for", rule.key));
            let error = error.help("write `match: {path: \"group/**\"}`");
            report.add(rule.key_span, "", error);
            return None;
        };
        let of = |field: &str| written.entry(field).map(|entry| &entry.value);
        let texts = |field: &str| {
            let items = of(field).map_or(&[][..], one_or_many);
            items.iter().filter_map(Node::as_text).map(str::to_lowercase)
        };
        let flag = |field: &str| match of(field)?.data {
            Data::Bool(flag) => Some(flag),
            _ => None,
        };
        if !matches!(written.data, Data::Map(_)) {
            // That has been reported.
            return None;
        }
        if written.entries().iter().all(|entry| entry.value.is_null()) {
            let error = Diagnostic::error(format!("rule `{}` has no condition", rule.key));
            let error = error.help("write `match: {path: \"**\"}` if it is for every repo");
            report.add(written.span, "", error);
            return None;
        }
        let path = globs(of("path"), report);
        let not = globs(of("not"), report);
        Some(Condition {
            path: path?,
            not: not?,
            topics: texts("topics").collect(),
            archived: flag("archived"),
            visibility: texts("visibility").collect(),
            listed: flag("listed"),
        })
    }

    /// Whether it holds for a repo of which `said` is declared so far. What is declared counts, and live where it is not.
    fn holds(&self, path: &Path, said: &Said, live: Option<&Listed>) -> bool {
        let matches = |glob: &Pattern| glob.matches_with(path.as_str(), GLOBS);
        let is_there = self.path.is_empty() || self.path.iter().any(matches);
        if !is_there || self.not.iter().any(matches) {
            return false;
        }
        let is_listed = self.listed.is_none_or(|listed| listed == said.own.is_some());
        is_listed
            && (self.topics.is_empty() || self.has_topics(said, live))
            && self.archived.is_none_or(|archived| {
                let declared = said.declared("archived").map(|node| node.data.clone());
                match declared {
                    Some(declared) => matches!(declared, Data::Bool(is) if is == archived),
                    None => live.is_some_and(|live| live.archived == archived),
                }
            })
            && (self.visibility.is_empty() || {
                let declared = said.declared("visibility").and_then(Node::as_text);
                let is = declared.or(live.map(|live| &*live.visibility));
                is.is_some_and(|is| self.visibility.iter().any(|one| one == is))
            })
    }

    fn has_topics(&self, said: &Said, live: Option<&Listed>) -> bool {
        let has: BTreeSet<String> = match (said.declared("topics"), live) {
            (Some(declared), _) => {
                let topics = declared.items().iter().filter_map(Node::as_text);
                topics.map(str::to_lowercase).collect()
            }
            (None, Some(live)) => live.topics.iter().map(|topic| topic.to_lowercase()).collect(),
            (None, None) => return false,
        };
        self.topics.iter().all(|topic| has.contains(topic))
    }
}

/// Everything that is said of one resource.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// What its presets and rules say, weakest first.
    weaker: Vec<Opinion<'a>>,
    /// What the file says of it, where it is listed.
    own: Option<Opinion<'a>>,
    /// What rules have locked.
    locks: Vec<Opinion<'a>>,
    /// The rules that are for it.
    pub rules: Vec<&'a Rule<'a>>,
}

impl<'a> Said<'a> {
    /// What the file says of a resource that it lists: its presets, and its own fields.
    pub fn of(entry: &'a Entry, layout: &Layout<'a>) -> Self {
        let presets = preset_names(&entry.value).iter();
        let presets = presets.filter_map(|name| layout.presets.get(name.as_text()?));
        Said {
            weaker: presets
                .map(|preset| Opinion {
                    entry: preset,
                    via: Some(Via::Preset(&*preset.key)),
                })
                .collect(),
            own: Some(Opinion { entry, via: None }),
            ..Said::default()
        }
    }

    /// Adds what the rules say of a repo. In [`Mode::Enforce`] those that only report say nothing.
    pub fn apply(&mut self, rules: &'a [Rule<'a>], mode: Mode, path: &Path, live: Option<&Listed>) {
        for rule in rules.iter().filter(|rule| rule.mode <= mode) {
            if rule.condition.holds(path, self, live) {
                self.weaker.extend(rule.opinions());
                self.locks.extend(rule.locked.map(|entry| Opinion {
                    entry,
                    via: Some(Via::Lock(rule.name())),
                }));
                self.rules.push(rule);
            }
        }
    }

    /// What counts unless it is locked, weakest first.
    pub fn unlocked(&self) -> Vec<Opinion<'a>> {
        self.weaker.iter().chain(&self.own).copied().collect()
    }

    /// What rules have locked.
    pub fn locks(&self) -> &[Opinion<'a>] {
        &self.locks
    }

    /// All of it, weakest first.
    pub fn opinions(&self) -> Vec<Opinion<'a>> {
        self.weaker
            .iter()
            .chain(&self.own)
            .chain(&self.locks)
            .copied()
            .collect()
    }

    /// The value of a field that is not merged.
    fn declared(&self, field: &str) -> Option<&'a Node> {
        let all = self.weaker.iter().chain(&self.own).chain(&self.locks);
        let strongest = all.rev().find_map(|opinion| opinion.entry.value.entry(field));
        strongest
            .map(|entry| &entry.value)
            .filter(|value| !value.is_null())
    }
}

/// Whether a rule has a condition on what only GitLab may know.
pub(super) fn goes_by_live(rule: &Entry) -> bool {
    let condition = rule.value.entry("match");
    let mut conditions = condition
        .map_or(&[][..], |condition| condition.value.entries())
        .iter();
    conditions.any(|condition| matches!(&*condition.key, "topics" | "archived" | "visibility"))
}

/// Where the repos of some rules are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Anywhere.
    Everything,
    /// In these top-level groups.
    Groups(BTreeSet<Path>),
}

/// Where the repos that the rules are for may be, also before they move; `None`: there are no rules.
pub(super) fn roots(layout: &Layout) -> Option<Roots> {
    let root = |glob: &Node| {
        let root = glob.as_text()?.split('/').next()?;
        (!root.contains(['*', '?', '['])).then(|| Path::from(root))
    };
    let mut roots = Some(BTreeSet::new());
    for rule in &layout.rules {
        let path = rule
            .value
            .entry("match")
            .and_then(|written| written.value.entry("path"));
        let globs = path.map_or(&[][..], |path| one_or_many(&path.value));
        let found: Option<Vec<Path>> = globs.iter().map(root).collect();
        roots = match (roots, found.filter(|found| !found.is_empty())) {
            (Some(roots), Some(found)) => Some(roots.into_iter().chain(found).collect()),
            _ => None,
        };
    }
    if let Some(roots) = &mut roots {
        let moves = moves(layout).into_iter();
        let coming = moves.filter(|(_, to)| roots.contains(&to.root().into()));
        let before: Vec<Path> = coming.map(|(from, _)| from.root().into()).collect();
        roots.extend(before);
    }
    (!layout.rules.is_empty()).then(|| roots.map_or(Roots::Everything, Roots::Groups))
}

/// The globs of a field; `None`: one is none, and that is reported.
fn globs(node: Option<&Node>, report: &mut Report) -> Option<Vec<Pattern>> {
    let mut globs = Some(Vec::new());
    for node in node.map_or(&[][..], one_or_many) {
        match Pattern::new(node.as_text()?) {
            Ok(glob) => globs.iter_mut().for_each(|globs| globs.push(glob.clone())),
            Err(error) => {
                let error = Diagnostic::error(format!("not a glob: {}", error.msg.to_lowercase()));
                let error = error
                    .help("`*` stands for any text within one part of a path, `**` for any number of parts");
                report.add(node.span, "", error);
                globs = None;
            }
        }
    }
    globs
}

/// The items of a list, or a single value alone; nothing for null.
pub(super) fn one_or_many(node: &Node) -> &[Node] {
    match &node.data {
        Data::Seq(items) => items,
        Data::Null => &[],
        _ => std::slice::from_ref(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_of_whole_paths_without_case() {
        for (glob, matching, other) in [
            (
                "platform/**",
                &["platform/a", "Platform/a/b"][..],
                &["platform", "platforms/a", "x/platform/a"][..],
            ),
            ("platform/*", &["platform/a"], &["platform/a/b"]),
            ("**/docs", &["a/docs", "a/b/docs"], &["a/docs2", "a/docs/b"]),
            ("*/Api", &["a/api"], &["a/b/api"]),
            ("a/?-[0-9]", &["a/x-1"], &["a/xy-1", "a/x-y"]),
            ("**", &["a/b", "a/b/c"], &[]),
            ("a/**/z", &["a/z", "a/b/c/z"], &["a/b"]),
            ("a/.*", &["a/.github"], &[]),
        ] {
            let glob = Pattern::new(glob).unwrap();
            for path in matching {
                assert!(glob.matches_with(path, GLOBS), "{glob} {path}");
            }
            for path in other {
                assert!(!glob.matches_with(path, GLOBS), "{glob} {path}");
            }
        }
    }
}
