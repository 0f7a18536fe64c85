//! From files to a config: each step takes what the last one made, and all of them report to one place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::decode::Decoder;
use super::diagnostic::{Diagnostic, Report, Sources};
use super::grammar::{Grammar, secret_keys};
use super::include::{Document, Loader};
use super::inventory::{Inventory, Listed};
use super::layout::Layout;
use super::model::{Config, Mode, Position};
use super::paths::check_paths;
use super::reusable::{Checks, Reusable};
use super::rules::{Roots, roots};
use super::schema::schema;
use super::settings::{check_includes, gitlab, prune, state};
use super::shape::Shape;
use super::shorthand::write_out;
use crate::core;

/// What came of loading a config.
#[derive(Debug)]
pub struct Loaded {
    /// The config, its rules judged by what the files declare alone; `None` when there is any error.
    pub config: Option<Config>,
    /// The files' text, to show diagnostics with.
    pub sources: Sources,
    /// Everything found, errors and warnings, in the order of the files and their lines.
    pub diagnostics: Vec<Diagnostic>,
    pub(super) documents: Vec<Document>,
    pub(super) shapes: Vec<Shape>,
    pub(super) grammar: Grammar,
}

/// What came of judging the rules of a config by what exists.
#[derive(Debug)]
pub struct Settled {
    /// The config, with the repos that only rules speak of; `None` when there is any error.
    pub config: Option<Config>,
    /// The same as if no rule was in report mode; `None` when none is, or when there is any error.
    pub reported: Option<Config>,
    /// The rules in report mode, in the order of the files.
    pub reporting: Vec<Reporting>,
    /// The files' text, to show diagnostics with.
    pub sources: Sources,
    /// What was not found by loading alone.
    pub diagnostics: Vec<Diagnostic>,
}

/// A rule in report mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporting {
    /// Its name.
    pub rule: String,
    /// Where it is written.
    pub position: Position,
    /// The repos it is for.
    pub repos: BTreeSet<core::Path>,
}

/// Loads the config at `path`, with what it includes.
pub fn load(path: &Path, shapes: &[Shape]) -> Loaded {
    run(shapes, |loader| loader.load_root(path))
}

/// Loads a config from memory, as if it were a file called `name`. It cannot include others: nothing is read from disk.
pub fn load_bytes(name: &Path, bytes: &[u8], shapes: &[Shape]) -> Loaded {
    run(shapes, |loader| loader.load_bytes(name, bytes))
}

fn run(shapes: &[Shape], read: impl FnOnce(&mut Loader)) -> Loaded {
    let schema = schema(shapes);
    let grammar = Grammar::compile(&schema);
    let secret_keys = secret_keys(&schema);
    let mut report = Report::default();
    let mut loader = Loader::new(&secret_keys, &mut report);
    read(&mut loader);
    let (mut documents, is_complete) = (loader.documents, loader.is_complete);
    write_out(&mut documents, shapes);
    let layout = Layout::new(&documents, shapes, &mut report);
    let checks = Checks {
        shapes,
        layout: &layout,
        grammar: &grammar,
        is_complete,
    };
    let (config, ..) = decode(&checks, None, &mut report);
    let (sources, diagnostics) = report.finish();
    Loaded {
        config,
        sources,
        diagnostics,
        documents,
        shapes: shapes.to_vec(),
        grammar,
    }
}

impl Loaded {
    /// Where everything is that the rules may be for; `None`: there are no rules, and what exists makes no difference.
    pub fn roots(&self) -> Option<Roots> {
        roots(&self.layout(&mut Report::new(self.sources.clone())))
    }

    /// Judges the rules by what exists, too: by all the repos that [`Loaded::roots`] asks for. What is declared counts,
    /// and what exists where nothing is.
    pub fn settle(&self, listed: &[Listed]) -> Settled {
        let mut report = Report::new(self.sources.clone());
        let layout = self.layout(&mut report);
        let checks = self.checks(&layout);
        let inventory = Inventory::new(listed, &layout);
        let (config, reported, reporting) = decode(&checks, Some(&inventory), &mut report);
        let (sources, mut diagnostics) = report.finish();
        diagnostics.retain(|found| !self.diagnostics.contains(found));
        Settled {
            config,
            reported,
            reporting,
            sources,
            diagnostics,
        }
    }

    pub(super) fn layout(&self, report: &mut Report) -> Layout<'_> {
        Layout::new(&self.documents, &self.shapes, report)
    }

    /// What the parts of `layout` are checked by, all files being there.
    pub(super) fn checks<'a>(&'a self, layout: &'a Layout<'a>) -> Checks<'a> {
        Checks {
            shapes: &self.shapes,
            layout,
            grammar: &self.grammar,
            is_complete: true,
        }
    }
}

/// Everything after the files have been read: the config, and what it would be if no rule was in report mode.
fn decode(
    checks: &Checks,
    inventory: Option<&Inventory>,
    report: &mut Report,
) -> (Option<Config>, Option<Config>, Vec<Reporting>) {
    let (layout, grammar) = (checks.layout, checks.grammar);
    check_paths(layout, report);
    check_includes(layout, grammar, report);
    let mut once = Config::default();
    if let Some(section) = layout.gitlab {
        once.gitlab = gitlab(section, checks.shapes, grammar, report);
    }
    if let Some(entry) = layout.prune {
        once.prune = prune(entry, grammar, report);
    }
    if let Some(section) = layout.state {
        once.state = state(section, grammar, report);
    }
    let reusable = checks.reusable(report);
    let reports = |rule: &&super::rules::Rule| rule.mode == Mode::Report;
    let pass = |mode: Mode, report: &mut Report| {
        let mut decoder = Decoder {
            checks,
            reusable: &reusable,
            inventory,
            mode,
            report,
            config: once.clone(),
            matched: BTreeMap::new(),
            values: 0,
        };
        decoder.run();
        (decoder.config, decoder.matched)
    };
    let (config, mut matched) = pass(Mode::Enforce, report);
    let reported = reusable.rules.iter().any(|rule| reports(&rule)).then(|| {
        let (reported, more) = pass(Mode::Report, report);
        let rules = reusable.rules.iter().filter(reports);
        matched.extend(rules.filter_map(|rule| Some((rule.name(), more.get(rule.name())?.clone()))));
        reported
    });
    if inventory.is_some() && report.errors() == 0 {
        unmatched(&reusable, &matched, report);
    }
    let reporting = reusable.rules.iter().filter(reports).map(|rule| Reporting {
        rule: rule.name().to_owned(),
        position: report.sources.position(rule.entry.key_span),
        repos: matched.get(rule.name()).cloned().unwrap_or_default(),
    });
    let reporting = reporting.collect();
    match report.errors() {
        0 => (Some(config), reported, reporting),
        _ => (None, None, reporting),
    }
}

/// Reports the rules that are for no repo: they were meant for one.
fn unmatched(reusable: &Reusable, matched: &BTreeMap<&str, BTreeSet<core::Path>>, report: &mut Report) {
    for rule in reusable
        .rules
        .iter()
        .filter(|rule| !matched.contains_key(rule.name()))
    {
        let error = Diagnostic::error(format!("rule `{}` matches no repo", rule.name()));
        let error =
            error.help("correct its `match`, or remove the rule until there is a repo that it is for");
        report.add(rule.entry.key_span, "", error);
    }
}
