//! The layout to a config: presets applied, every value checked, every resource decoded by its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Map;

use crate::core::{Address, Key, Path};

use super::check::{Checked, Extent, check};
use super::diagnostic::{Diagnostic, Report};
use super::explain::origin;
use super::inventory::{Inventory, Listed};
use super::layout::{PRESET_SECTION, Resource};
use super::locks;
use super::merge::{FieldTerm, Opinion, effective, fields, is_absent};
use super::model::{Config, Declaration, Edition, Mode, Origin, Policy, Via};
use super::reusable::{Checks, Reusable, absent_alone, nested_absent_alone};
use super::rules::{Said, one_or_many};
use super::schema::policy_field;
use super::shape::Shape;
use super::tree::{Data, Entry, Node, Span, to_object};

/// Fields that config itself gives a meaning to.
const OWN_FIELDS: [&str; 3] = ["absent", "preset", "moved_from"];

/// How many values a config may hold once presets are applied: a large one that is used often would fill the memory.
const MAX_VALUES: usize = 10_000_000;

/// Builds a config out of its parts; the report says what is wrong with them.
pub(super) struct Decoder<'a, 'r> {
    pub checks: &'a Checks<'a>,
    pub reusable: &'a Reusable<'a>,
    /// The repos that exist; `None`: nobody has asked.
    pub inventory: Option<&'a Inventory<'a>>,
    /// Which rules count.
    pub mode: Mode,
    pub report: &'r mut Report,
    pub config: Config,
    /// The repos that each rule is for.
    pub matched: BTreeMap<&'a str, BTreeSet<Path>>,
    /// How many values the declarations hold so far.
    pub values: usize,
}

/// A resource on its way to its declaration.
struct Pending<'a, 'o> {
    shape: &'a Shape,
    key: Key,
    key_span: Span,
    via: Option<Via<&'a str>>,
    moved_from: Option<Path>,
    /// Weakest first, none of them null or `absent`.
    opinions: &'o [Opinion<'a>],
}

impl<'a> Decoder<'a, '_> {
    /// Decodes everything.
    pub fn run(&mut self) {
        let layout = self.checks.layout;
        for (address, resource) in &layout.resources {
            self.resource(address, resource);
        }
        let repo = self.checks.shapes.iter();
        let repo = repo.clone().find(|shape| shape.section() == Some(PRESET_SECTION));
        if let (Some(repo), Some(inventory)) = (repo, self.inventory) {
            for (path, live) in inventory.unlisted(layout) {
                self.unlisted(repo, path, live);
            }
        }
    }

    fn check(&mut self, term: &str, node: &Node, extent: Extent) -> Checked {
        let grammar = self.checks.grammar;
        check(grammar, grammar.id(term), node, extent, self.report)
    }

    fn resource(&mut self, address: &Address, resource: &Resource<'a>) {
        let Resource { shape, entry } = resource;
        let mut holds = self.key_holds(shape, &address.key, entry.key_span);
        if entry.value.is_null() {
            let warning = Diagnostic::warning(format!("`{}` has no value", entry.key));
            let warning = warning.help("write `{}` for a resource of which nothing is managed");
            self.report.add(entry.key_span, "", warning);
        } else {
            holds &= self.check(shape.name, &entry.value, Extent::Part).holds;
        }
        holds &= absent_alone(&entry.value, self.report)
            & nested_absent_alone(self.checks.shapes, shape, &entry.value, self.report)
            & self.checks.presets_hold(&entry.value, self.reusable, self.report);
        let moved_from = entry
            .value
            .entry("moved_from")
            .and_then(|from| from.value.as_text())
            .map(Path::from);
        if !holds {
            return;
        }
        let (key, key_span) = (address.key.clone(), entry.key_span);
        if is_absent(&entry.value) {
            return self.absent(shape, key, key_span, moved_from);
        }
        let mut said = Said::of(entry, self.checks.layout);
        if shape.section() == Some(PRESET_SECTION) {
            let live = self.inventory.map(|inventory| inventory.get(&key.path));
            self.apply_rules(&mut said, shape, &key.path, live.as_deref());
        }
        self.declare(Pending {
            shape,
            key,
            key_span,
            via: None,
            moved_from,
            opinions: &said.opinions(),
        });
    }

    /// Declares a repo that the file does not list, if a rule is for it.
    fn unlisted(&mut self, shape: &'a Shape, path: &Path, live: &Listed) {
        let mut said = Said::default();
        self.apply_rules(&mut said, shape, path, Some(live));
        let Some(rule) = said.rules.first() else {
            return;
        };
        let (key, key_span) = (Key::top(path.clone()), rule.entry.key_span);
        if !self.key_holds(shape, &key, key_span) {
            return;
        }
        self.declare(Pending {
            shape,
            key,
            key_span,
            via: Some(Via::Rule(rule.name())),
            moved_from: None,
            opinions: &said.opinions(),
        });
    }

    fn apply_rules(&mut self, said: &mut Said<'a>, shape: &Shape, path: &Path, live: Option<&Listed>) {
        said.apply(&self.reusable.rules, self.mode, path, live);
        for rule in &said.rules {
            self.matched.entry(rule.name()).or_default().insert(path.clone());
        }
        let term = FieldTerm::new(self.checks.grammar, self.checks.grammar.id(shape.name));
        let agree = locks::agree(term, said.locks(), path, self.report);
        if agree && self.mode == Mode::Enforce {
            locks::remark(term, &said.unlocked(), said.locks(), self.report);
        }
    }

    fn key_holds(&mut self, shape: &Shape, key: &Key, span: Span) -> bool {
        let checked = (shape.check_key)(key);
        if let Err(message) = &checked {
            self.report.add(span, "", Diagnostic::error(message));
        }
        checked.is_ok()
    }

    fn absent(&mut self, shape: &Shape, key: Key, key_span: Span, moved_from: Option<Path>) {
        let declaration = Declaration {
            value: Map::new(),
            absent: true,
            moved_from,
            position: self.report.sources.position(key_span),
            via: None,
            origins: BTreeMap::new(),
            enterprise_fields: Vec::new(),
        };
        self.config
            .declarations
            .insert(Address::new(shape.name, key), declaration);
    }

    /// Merges a resource's fields, and declares what is nested in it.
    fn merge(&mut self, pending: &Pending<'a, '_>) -> (Node, BTreeMap<String, Origin>) {
        let shape = pending.shape;
        let term = FieldTerm::new(self.checks.grammar, self.checks.grammar.id(shape.name));
        let mut entries = Vec::new();
        let mut origins = BTreeMap::new();
        let mut policies = Vec::new();
        for (field, opinions) in fields(pending.opinions) {
            if OWN_FIELDS.contains(&field) {
                continue;
            }
            let nested = children(self.checks.shapes, shape).find(|(_, name)| *name == field);
            let governed = children(self.checks.shapes, shape)
                .find(|(child, name)| child.policy && policy_field(name) == field);
            if let Some((child, _)) = nested {
                self.collection(child, &pending.key.path, &opinions);
            } else if let Some((child, collection)) = governed {
                let policy = term.field(field).resolve(&opinions);
                policies.extend(policy.map(|policy| (child, collection, policy)));
            } else if let (Some(entry), Some(strongest)) =
                (term.field(field).resolve(&opinions), opinions.last())
            {
                origins.insert(field.to_owned(), origin(strongest, &self.report.sources));
                entries.push(entry);
            }
        }
        for (child, collection, policy) in policies {
            self.policy(child, &pending.key.path, collection, &policy);
        }
        let node = Node {
            span: pending.key_span,
            data: Data::Map(Arc::new(entries)),
        };
        (node, origins)
    }

    fn declare(&mut self, pending: Pending<'a, '_>) {
        let (node, origins) = self.merge(&pending);
        let Pending {
            shape,
            key,
            key_span,
            via,
            moved_from,
            ..
        } = pending;
        let checked = self.check(shape.name, &node, Extent::Whole);
        if self.config.gitlab.edition == Some(Edition::Ce) {
            for (field, span) in &checked.enterprise {
                self.enterprise_only(field, *span);
            }
        }
        if !checked.holds || !self.affords(checked.values, key_span) {
            return;
        }
        match (shape.decode)(&key, to_object(node.entries())) {
            Ok(value) => {
                let declaration = Declaration {
                    value,
                    absent: false,
                    moved_from,
                    position: self.report.sources.position(key_span),
                    via: via.map(Via::from),
                    origins,
                    enterprise_fields: checked.enterprise.into_iter().map(|(field, _)| field).collect(),
                };
                self.config
                    .declarations
                    .insert(Address::new(shape.name, key), declaration);
            }
            Err(problems) => {
                for problem in problems {
                    let span = node.deepest(&problem.field).span;
                    self.report.add(span, "", Diagnostic::error(problem.message));
                }
            }
        }
    }

    /// Whether that many more values may be held.
    fn affords(&mut self, values: usize, span: Span) -> bool {
        let within = |values: &usize| *values <= MAX_VALUES;
        let is_first = within(&self.values);
        self.values += values;
        if is_first && !within(&self.values) {
            let error = Diagnostic::error(format!(
                "presets and rules that unfold to more than {MAX_VALUES} values"
            ));
            self.report.add(span, "this resource is one too many", error);
        }
        within(&self.values)
    }

    /// The resources of one nested collection.
    fn collection(&mut self, child: &'a Shape, parent: &Path, opinions: &[Opinion<'a>]) {
        let effective_opinions = effective(opinions);
        let Some(strongest) = effective_opinions
            .last()
            .filter(|opinion| !opinion.entry.value.is_null())
        else {
            return;
        };
        let origin = origin(strongest, &self.report.sources);
        self.config
            .collections
            .insert((child.name.to_owned(), parent.clone()), origin);
        for (name, opinions) in fields(effective_opinions) {
            let opinions = effective(&opinions);
            let Some(strongest) = opinions.last().filter(|opinion| !opinion.entry.value.is_null()) else {
                continue;
            };
            let (key, key_span) = (Key::within(parent.clone(), name), strongest.entry.key_span);
            if !self.key_holds(child, &key, key_span) {
                continue;
            }
            match is_absent(&strongest.entry.value) {
                true => self.absent(child, key, key_span, None),
                false => self.declare(Pending {
                    shape: child,
                    key,
                    key_span,
                    via: strongest.via,
                    moved_from: None,
                    opinions,
                }),
            }
        }
    }

    /// The policy of a nested collection.
    fn policy(&mut self, child: &Shape, parent: &Path, collection: &str, entry: &Entry) {
        // What is none has been reported as such.
        let Ok(policy) = serde_json::from_value(entry.value.to_json()) else {
            return;
        };
        let place = (child.name.to_owned(), parent.clone());
        if policy == Policy::Exact && !self.config.collections.contains_key(&place) {
            let error = Diagnostic::error(format!("`{}: exact` without `{collection}`", entry.key));
            let error = error.help(format!(
                "everything would be removed: write `{collection}`, or `{collection}: {{}}` if that is meant"
            ));
            self.report.add(entry.value.span, "", error);
            return;
        }
        self.config.policies.insert(place, policy);
    }

    fn enterprise_only(&mut self, field: &str, span: Span) {
        let error = Diagnostic::error(format!("`{field}` needs GitLab Enterprise Edition"));
        let error =
            error.help("`gitlab.edition`, or the image that is deployed, says it is the Community Edition, which would ignore it: remove it, or change the edition");
        self.report.add(span, "", error);
    }
}

/// The kinds that stand within resources of `parent`, and the fields they stand in.
pub(super) fn children<'a>(
    shapes: &'a [Shape],
    parent: &'a Shape,
) -> impl Iterator<Item = (&'a Shape, &'static str)> {
    shapes
        .iter()
        .filter_map(|shape| Some((shape, shape.field_within(parent.name)?)))
}

/// The presets that a resource or rule names, weakest first.
pub(super) fn preset_names(resource: &Node) -> &[Node] {
    let preset = resource.entry("preset");
    preset.map_or(&[], |preset| one_or_many(&preset.value))
}

#[cfg(test)]
mod tests {
    use super::super::grammar::Grammar;
    use super::super::layout::Layout;
    use super::super::schema::schema;
    use super::*;

    #[test]
    fn a_preset_used_often_cannot_fill_the_memory() {
        let mut report = Report::default();
        let file = report.sources.add("autogit.yaml".into(), "autogit: 1\n");
        let checks = Checks {
            shapes: &[],
            layout: &Layout::default(),
            grammar: &Grammar::compile(&schema(&[])),
            is_complete: true,
        };
        let reusable = checks.reusable(&mut report);
        let mut decoder = Decoder {
            checks: &checks,
            reusable: &reusable,
            inventory: None,
            mode: Mode::Enforce,
            report: &mut report,
            config: Config::default(),
            matched: BTreeMap::new(),
            values: 0,
        };
        let span = Span::point(file, 1, 1);
        let affords = [MAX_VALUES, 1, 1].map(|values| decoder.affords(values, span));
        assert_eq!(affords, [true, false, false]);
        assert_eq!(report.errors(), 1);
    }
}
