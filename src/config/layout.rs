//! What stands where: the sections of all files, their resources and presets, before anything is merged.

use std::collections::BTreeMap;

use crate::core::{Address, Key};

use super::check::{planned, unknown_key};
use super::diagnostic::{Diagnostic, Report};
use super::include::Document;
use super::shape::Shape;
use super::tree::{Data, Entry, Node};

/// The section of the presets.
pub(super) const PRESETS: &str = "presets";

/// The section of the rules.
pub(super) const RULES: &str = "rules";

/// The section whose resources take presets, and that rules are for.
pub(super) const PRESET_SECTION: &str = "repos";

/// The version of the language.
const VERSION: u64 = 1;

/// Names of the language that this version does not know yet.
const PLANNED: &[&str] = &["hosts", "architectures", "gpu_policies", "runner_pools"];

/// Every part of the config, found and told apart.
#[derive(Default)]
pub(super) struct Layout<'a> {
    /// The `include` of each file that has one.
    pub includes: Vec<&'a Entry>,
    pub gitlab: Option<&'a Entry>,
    pub prune: Option<&'a Entry>,
    pub state: Option<&'a Entry>,
    pub presets: BTreeMap<&'a str, &'a Entry>,
    /// In the order of the files.
    pub rules: Vec<&'a Entry>,
    pub resources: BTreeMap<Address, Resource<'a>>,
}

/// A resource of a section.
pub(super) struct Resource<'a> {
    pub shape: &'a Shape,
    pub entry: &'a Entry,
}

impl<'a> Layout<'a> {
    /// Sorts the files' contents into sections.
    pub fn new(documents: &'a [Document], shapes: &'a [Shape], report: &mut Report) -> Self {
        let mut layout = Layout::default();
        for document in documents {
            check_version(document, report);
            for entry in document.root.entries() {
                layout.section(entry, shapes, report);
            }
        }
        layout
    }

    fn section(&mut self, entry: &'a Entry, shapes: &'a [Shape], report: &mut Report) {
        let shape = shapes.iter().find(|shape| shape.section() == Some(&entry.key));
        match (&*entry.key, shape) {
            ("autogit", _) => {}
            ("include", _) => self.includes.push(entry),
            ("gitlab", _) => {
                once(&mut self.gitlab, entry, report);
                self.of_instance(entry, shapes, report);
            }
            ("prune", _) => once(&mut self.prune, entry, report),
            ("state", _) => once(&mut self.state, entry, report),
            (PRESETS, _) if take_presets(shapes) => {
                for preset in map_entries(entry, report) {
                    self.preset(preset, report);
                }
            }
            (RULES, _) if take_presets(shapes) => {
                for rule in map_entries(entry, report) {
                    self.rule(rule, report);
                }
            }
            (_, Some(shape)) => {
                for resource in map_entries(entry, report) {
                    self.resource(shape, resource, report);
                }
            }
            (key, None) if key.starts_with("x-") => {}
            (key, None) if PLANNED.contains(&key) => report.add(entry.key_span, "", planned(key)),
            (key, None) => {
                let (label, error) = unknown_key(key, &top_level_keys(shapes));
                report.add(entry.key_span, label, error);
            }
        }
    }

    fn preset(&mut self, entry: &'a Entry, report: &mut Report) {
        if let Some(first) = self.presets.insert(&entry.key, entry) {
            twice(
                format!("preset `{}` is declared twice", entry.key),
                first,
                entry,
                report,
            );
        }
    }

    fn rule(&mut self, entry: &'a Entry, report: &mut Report) {
        match self.rules.iter().find(|rule| rule.key == entry.key) {
            Some(first) => twice(
                format!("rule `{}` is declared twice", entry.key),
                first,
                entry,
                report,
            ),
            None => self.rules.push(entry),
        }
    }

    /// What the instance has one of, in the section `gitlab`.
    fn of_instance(&mut self, gitlab: &'a Entry, shapes: &'a [Shape], report: &mut Report) {
        for shape in shapes {
            let Some((field, key)) = shape.of_instance() else {
                continue;
            };
            if let Some(entry) = gitlab.value.entry(field) {
                self.add(Address::new(shape.name, Key::top(key)), shape, entry, report);
            }
        }
    }

    fn resource(&mut self, shape: &'a Shape, entry: &'a Entry, report: &mut Report) {
        let address = Address::new(shape.name, Key::top(&*entry.key));
        self.add(address, shape, entry, report);
    }

    fn add(&mut self, address: Address, shape: &'a Shape, entry: &'a Entry, report: &mut Report) {
        let title = format!("`{address}` is declared twice");
        if let Some(first) = self.resources.insert(address, Resource { shape, entry }) {
            twice(title, first.entry, entry, report);
        }
    }
}

/// The keys that may stand at the top of a file.
pub(super) fn top_level_keys(shapes: &[Shape]) -> Vec<&'static str> {
    let sections = shapes.iter().filter_map(Shape::section);
    let reusable = [PRESETS, RULES].into_iter().filter(|_| take_presets(shapes));
    ["autogit", "include", "gitlab", "prune", "state"]
        .into_iter()
        .chain(reusable)
        .chain(sections)
        .collect()
}

/// Whether there is anything to apply presets and rules to.
fn take_presets(shapes: &[Shape]) -> bool {
    shapes.iter().any(|shape| shape.section() == Some(PRESET_SECTION))
}

fn check_version(document: &Document, report: &mut Report) {
    let is_root = document.file == 0;
    let Some(entry) = document.root.entry("autogit") else {
        if is_root {
            let span = document
                .root
                .entries()
                .first()
                .map_or(document.root.span, |entry| entry.key_span);
            let error = Diagnostic::error("`autogit` is missing: the version of the language")
                .help("begin the file with `autogit: 1`");
            report.add(span, "", error);
        }
        return;
    };
    let is_known = matches!(&entry.value.data, Data::Number(number) if number.as_u64() == Some(VERSION));
    if !is_known {
        let error = Diagnostic::error("not a version of the language that this autogit reads")
            .help("write `autogit: 1`");
        report.add(entry.value.span, "", error);
    }
}

fn once<'a>(slot: &mut Option<&'a Entry>, entry: &'a Entry, report: &mut Report) {
    if entry.value.is_null() {
        return empty(entry, report);
    }
    if let Some(first) = slot.replace(entry) {
        twice(
            format!("`{}` stands in two files", entry.key),
            first,
            entry,
            report,
        );
    }
}

fn twice(title: String, first: &Entry, again: &Entry, report: &mut Report) {
    let mut error = Diagnostic::error(title);
    error
        .secondary
        .push(report.sources.label(first.key_span, "first written here"));
    report.add(again.key_span, "written again here", error);
}

/// The entries of a section; anything but a map is reported.
fn map_entries<'a>(section: &'a Entry, report: &mut Report) -> &'a [Entry] {
    match &section.value {
        Node {
            data: Data::Map(entries),
            ..
        } => entries,
        value if value.is_null() => {
            empty(section, report);
            &[]
        }
        value => {
            let error =
                Diagnostic::error("expected a map").help(format!("write `{}: {{NAME: {{…}}}}`", section.key));
            report.add(value.span, "", error);
            &[]
        }
    }
}

fn empty(section: &Entry, report: &mut Report) {
    let warning = Diagnostic::warning(format!("`{}` is empty", section.key));
    report.add(
        section.key_span,
        "",
        warning.help("remove it until there is something to put there"),
    );
}
