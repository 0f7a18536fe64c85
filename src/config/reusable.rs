//! Presets and rules: checked once, however many repos they are for.

use std::collections::BTreeSet;

use super::check::{Extent, check};
use super::decode::{children, preset_names};
use super::diagnostic::{Diagnostic, Report};
use super::grammar::Grammar;
use super::layout::{Layout, PRESET_SECTION};
use super::merge::is_absent;
use super::rules::Rule;
use super::schema::{PRESET, RULE};
use super::shape::Shape;
use super::suggest;
use super::tree::{Entry, Node};

/// What presets and rules are checked by.
pub(super) struct Checks<'a> {
    pub shapes: &'a [Shape],
    pub layout: &'a Layout<'a>,
    pub grammar: &'a Grammar,
    /// Whether all files are there: otherwise what seems to be missing may be in one that is not.
    pub is_complete: bool,
}

/// The presets and rules in which nothing is wrong.
pub(super) struct Reusable<'a> {
    presets: BTreeSet<&'a str>,
    /// In the order of the files.
    pub rules: Vec<Rule<'a>>,
}

impl<'a> Checks<'a> {
    /// Checks all presets and rules.
    pub fn reusable(&self, report: &mut Report) -> Reusable<'a> {
        let presets = self.layout.presets.iter();
        let presets = presets.filter(|(_, preset)| self.holds(PRESET, &preset.value, report));
        let mut reusable = Reusable {
            presets: presets.map(|(name, _)| *name).collect(),
            rules: Vec::new(),
        };
        for entry in &self.layout.rules {
            let locked = entry.value.entry("locked").map(|locked| &locked.value);
            let holds = self.holds(RULE, &entry.value, report)
                & locked.is_none_or(|locked| self.nested_absent_alone(locked, report))
                & self.presets_hold(&entry.value, &reusable, report);
            if let Some(rule) = Rule::read(entry, self.layout, report).filter(|_| holds) {
                reusable.rules.push(rule);
            }
        }
        if self.is_complete {
            self.unused_presets(report);
        }
        reusable
    }

    fn holds(&self, term: &str, node: &Node, report: &mut Report) -> bool {
        check(self.grammar, self.grammar.id(term), node, Extent::Part, report).holds
            & self.nested_absent_alone(node, report)
    }

    fn nested_absent_alone(&self, node: &Node, report: &mut Report) -> bool {
        let repo = self
            .shapes
            .iter()
            .find(|shape| shape.section() == Some(PRESET_SECTION));
        repo.is_none_or(|repo| nested_absent_alone(self.shapes, repo, node, report))
    }

    /// Whether every preset that a repo or rule names is declared and as it should be.
    pub fn presets_hold(&self, node: &Node, reusable: &Reusable, report: &mut Report) -> bool {
        let mut hold = true;
        for name in preset_names(node) {
            let text = name.as_text().unwrap_or_default();
            hold &= match self.layout.presets.contains_key(text) {
                true => reusable.presets.contains(text),
                false => self.undeclared_preset(name, report),
            };
        }
        hold
    }

    fn undeclared_preset(&self, name: &Node, report: &mut Report) -> bool {
        // What is not text has been reported as such.
        let Some(text) = name.as_text().filter(|_| self.is_complete) else {
            return false;
        };
        let declared: Vec<&str> = self.layout.presets.keys().copied().collect();
        let label =
            suggest::nearest(text, declared.iter().copied()).map(|name| format!("did you mean `{name}`?"));
        let help = match declared.as_slice() {
            [] => "no presets are declared".to_owned(),
            declared => format!("declared: {}", suggest::list(text, declared)),
        };
        let error = Diagnostic::error(format!("preset `{text}` is not declared")).help(help);
        report.add(name.span, label.unwrap_or_default(), error);
        false
    }

    fn unused_presets(&self, report: &mut Report) {
        let repos = self.layout.resources.values().map(|resource| resource.entry);
        let takers = repos.chain(self.layout.rules.iter().copied());
        let used: BTreeSet<&str> = takers
            .flat_map(|taker| preset_names(&taker.value))
            .filter_map(Node::as_text)
            .collect();
        for (_, preset) in self
            .layout
            .presets
            .iter()
            .filter(|(name, _)| !used.contains(*name))
        {
            let warning = Diagnostic::warning(format!("preset `{}` is not used", preset.key));
            let warning = warning.help("name it in the `preset` of a repo or rule, or remove it");
            report.add(preset.key_span, "", warning);
        }
    }
}

/// `absent: true` allows nothing beside it but where the resource was before.
pub(super) fn absent_alone(node: &Node, report: &mut Report) -> bool {
    let is_beside = |entry: &&Entry| !matches!(&*entry.key, "absent" | "moved_from");
    let beside = node.entries().iter().filter(is_beside);
    let mut beside = beside.take_while(|_| is_absent(node)).peekable();
    let is_alone = beside.peek().is_none();
    for entry in beside {
        let error = Diagnostic::error(format!("`{}` beside `absent: true`", entry.key));
        report.add(
            entry.key_span,
            "",
            error.help("what must not exist has no fields: remove them, or remove `absent`"),
        );
    }
    is_alone
}

/// The same for what is nested in a resource.
pub(super) fn nested_absent_alone(shapes: &[Shape], shape: &Shape, node: &Node, report: &mut Report) -> bool {
    let mut is_alone = true;
    for (_, field) in children(shapes, shape) {
        for entry in node.entry(field).map_or(&[][..], |entry| entry.value.entries()) {
            is_alone &= absent_alone(&entry.value, report);
        }
    }
    is_alone
}
