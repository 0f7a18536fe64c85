//! The layout to a config: presets applied, every value checked, every resource decoded by its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Map;

use crate::core::{Address, Key, Path};

use super::check::{Checked, Extent, check};
use super::diagnostic::{Diagnostic, Report};
use super::explain::origin;
use super::grammar::Grammar;
use super::layout::{Layout, PRESET_SECTION, Resource};
use super::merge::{FieldTerm, Opinion, effective, fields, is_absent};
use super::model::{Config, Declaration, Edition, Origin, Policy};
use super::schema::{PRESET, policy_field};
use super::settings::{check_includes, gitlab, prune, state};
use super::shape::Shape;
use super::suggest;
use super::tree::{Data, Entry, Node, Span, to_object};

/// Fields that config itself gives a meaning to.
const OWN_FIELDS: [&str; 3] = ["absent", "preset", "moved_from"];

/// How many values a config may hold once presets are applied: a large one that is used often would fill the memory.
const MAX_VALUES: usize = 10_000_000;

/// Builds the config out of its parts; the report says what is wrong with them.
pub(super) struct Decoder<'a> {
    pub shapes: &'a [Shape],
    pub layout: &'a Layout<'a>,
    pub grammar: &'a Grammar,
    pub report: &'a mut Report,
    /// Whether all files are there: otherwise what seems to be missing may be in one that is not.
    pub is_complete: bool,
    pub config: Config,
    /// How many values the declarations hold so far.
    pub values: usize,
}

/// A resource on its way to its declaration.
struct Pending<'a, 'o> {
    shape: &'a Shape,
    key: Key,
    key_span: Span,
    moved_from: Option<Path>,
    /// Weakest first, none of them null or `absent`.
    opinions: &'o [Opinion<'a>],
}

impl<'a> Decoder<'a> {
    /// Decodes everything.
    pub fn run(&mut self) {
        let layout = self.layout;
        check_includes(layout, self.grammar, self.report);
        if let Some(section) = layout.gitlab {
            self.config.gitlab = gitlab(section, self.grammar, self.report);
        }
        if let Some(entry) = layout.prune {
            self.config.prune = prune(entry, self.grammar, self.report);
        }
        if let Some(section) = layout.state {
            self.config.state = state(section, self.grammar, self.report);
        }
        let presets = layout.presets.values();
        let healthy: BTreeSet<&str> = presets
            .clone()
            .filter(|preset| self.preset_holds(preset))
            .map(|preset| &*preset.key)
            .collect();
        let mut used = BTreeSet::new();
        for (address, resource) in &layout.resources {
            self.resource(address, resource, &healthy, &mut used);
        }
        for preset in presets.filter(|preset| self.is_complete && !used.contains(&*preset.key)) {
            let warning = Diagnostic::warning(format!("preset `{}` is not used", preset.key));
            let warning = warning.help("name it in a repo's `preset`, or remove it");
            self.report.add(preset.key_span, "", warning);
        }
    }

    fn check(&mut self, term: &str, node: &Node, extent: Extent) -> Checked {
        check(self.grammar, self.grammar.id(term), node, extent, self.report)
    }

    fn preset_holds(&mut self, preset: &Entry) -> bool {
        let holds = self.check(PRESET, &preset.value, Extent::Part).holds;
        let taker = self
            .shapes
            .iter()
            .find(|shape| shape.section() == Some(PRESET_SECTION));
        holds & taker.is_none_or(|shape| self.nested_absent_alone(shape, &preset.value))
    }

    fn resource(
        &mut self,
        address: &Address,
        resource: &Resource<'a>,
        healthy: &BTreeSet<&str>,
        used: &mut BTreeSet<&'a str>,
    ) {
        let Resource { shape, entry } = resource;
        let mut holds = self.key_holds(shape, &address.key, entry.key_span);
        if entry.value.is_null() {
            let warning = Diagnostic::warning(format!("`{}` has no value", entry.key));
            let warning = warning.help("write `{}` for a resource of which nothing is managed");
            self.report.add(entry.key_span, "", warning);
        } else {
            holds &= self.check(shape.name, &entry.value, Extent::Part).holds;
        }
        let is_alone = self.absent_alone(&entry.value) & self.nested_absent_alone(shape, &entry.value);
        let mut opinions = Vec::new();
        for name in preset_names(&entry.value) {
            match self.layout.presets.get(name.as_text().unwrap_or_default()) {
                Some(preset) => {
                    used.insert(&preset.key);
                    holds &= healthy.contains(&*preset.key);
                    opinions.push(Opinion {
                        entry: preset,
                        preset: Some(&preset.key),
                    });
                }
                None => holds &= self.undeclared_preset(name),
            }
        }
        opinions.push(Opinion { entry, preset: None });
        let moved_from = entry
            .value
            .entry("moved_from")
            .and_then(|from| from.value.as_text())
            .map(Path::from);
        if !holds || !is_alone {
            return;
        }
        let (key, key_span) = (address.key.clone(), entry.key_span);
        match is_absent(&entry.value) {
            true => self.absent(shape, key, key_span, moved_from),
            false => self.declare(Pending {
                shape,
                key,
                key_span,
                moved_from,
                opinions: &opinions,
            }),
        }
    }

    fn undeclared_preset(&mut self, name: &Node) -> bool {
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
        self.report.add(name.span, label.unwrap_or_default(), error);
        false
    }

    fn key_holds(&mut self, shape: &Shape, key: &Key, span: Span) -> bool {
        let checked = (shape.check_key)(key);
        if let Err(message) = &checked {
            self.report.add(span, "", Diagnostic::error(message));
        }
        checked.is_ok()
    }

    /// `absent: true` allows nothing beside it but where the resource was before.
    fn absent_alone(&mut self, node: &Node) -> bool {
        let beside = node
            .entries()
            .iter()
            .filter(|entry| !matches!(&*entry.key, "absent" | "moved_from"));
        let mut beside = beside.take_while(|_| is_absent(node)).peekable();
        let is_alone = beside.peek().is_none();
        for entry in beside {
            let error = Diagnostic::error(format!("`{}` beside `absent: true`", entry.key));
            self.report.add(
                entry.key_span,
                "",
                error.help("what must not exist has no fields: remove them, or remove `absent`"),
            );
        }
        is_alone
    }

    fn nested_absent_alone(&mut self, shape: &Shape, node: &Node) -> bool {
        let mut is_alone = true;
        for (_, field) in children(self.shapes, shape) {
            for entry in node.entry(field).map_or(&[][..], |entry| entry.value.entries()) {
                is_alone &= self.absent_alone(&entry.value);
            }
        }
        is_alone
    }

    fn absent(&mut self, shape: &Shape, key: Key, key_span: Span, moved_from: Option<Path>) {
        let declaration = Declaration {
            value: Map::new(),
            absent: true,
            moved_from,
            position: self.report.sources.position(key_span),
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
        let term = FieldTerm::new(self.grammar, self.grammar.id(shape.name));
        let mut entries = Vec::new();
        let mut origins = BTreeMap::new();
        let mut policies = Vec::new();
        for (field, opinions) in fields(pending.opinions) {
            if OWN_FIELDS.contains(&field) {
                continue;
            }
            let nested = children(self.shapes, shape).find(|(_, name)| *name == field);
            let governed = children(self.shapes, shape)
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
            let error = Diagnostic::error(format!("presets that unfold to more than {MAX_VALUES} values"));
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
        let position = self.report.sources.position(strongest.entry.key_span);
        self.config
            .collections
            .insert((child.name.to_owned(), parent.clone()), position);
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
            error.help("`gitlab.edition` says `ce`, which would ignore it: remove it, or change the edition");
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

/// The presets a resource names, weakest first.
pub(super) fn preset_names(resource: &Node) -> &[Node] {
    match resource.entry("preset").map(|entry| &entry.value) {
        Some(Node {
            data: Data::Seq(names),
            ..
        }) => names,
        Some(name) if !name.is_null() => std::slice::from_ref(name),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::schema;
    use super::*;

    #[test]
    fn a_preset_used_often_cannot_fill_the_memory() {
        let mut report = Report::default();
        let file = report.sources.add("autogit.yaml".into(), "autogit: 1\n");
        let mut decoder = Decoder {
            shapes: &[],
            layout: &Layout::default(),
            grammar: &Grammar::compile(&schema(&[])),
            report: &mut report,
            is_complete: true,
            config: Config::default(),
            values: 0,
        };
        let span = Span::point(file, 1, 1);
        let affords = [MAX_VALUES, 1, 1].map(|values| decoder.affords(values, span));
        assert_eq!(affords, [true, false, false]);
        assert_eq!(report.errors(), 1);
    }
}
