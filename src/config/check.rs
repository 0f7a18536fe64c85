//! What is written against what is allowed: every problem is reported where it stands, not only the first.

use std::collections::HashMap;

use super::diagnostic::{Diagnostic, Report, Severity};
use super::grammar::{Additional, Grammar, Limits, Property, Term, TermId, Type};
use super::parse::mask_unless_reference;
use super::suggest;
use super::tree::{Data, Entry, Node, Span};

/// How much of a value is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What is missing may come from a preset.
    Part,
    /// Everything is there: a required field that is missing is reported.
    Whole,
}

/// Walks values and collects what is wrong with them.
struct Checker<'a> {
    grammar: &'a Grammar,
    report: &'a mut Report,
    extent: Extent,
    problems: Vec<(Span, String, Diagnostic)>,
    /// Enterprise-only fields met on the way, dotted, and where they are written.
    enterprise: Vec<(String, Span)>,
    path: Vec<String>,
    values: usize,
}

/// What a walk brought to light.
pub(super) struct Checked {
    /// Whether everything is as it should be.
    pub holds: bool,
    /// The Enterprise-only fields that are set, dotted, and where.
    pub enterprise: Vec<(String, Span)>,
    /// How many values were looked at.
    pub values: usize,
}

/// Checks `node` against a term and reports what is wrong.
pub(super) fn check(
    grammar: &Grammar,
    term: TermId,
    node: &Node,
    extent: Extent,
    report: &mut Report,
) -> Checked {
    let mut checker = Checker {
        grammar,
        report,
        extent,
        problems: Vec::new(),
        enterprise: Vec::new(),
        path: Vec::new(),
        values: 0,
    };
    checker.value(term, node);
    let Checker {
        problems,
        enterprise,
        report,
        values,
        ..
    } = checker;
    let holds = !problems
        .iter()
        .any(|(_, _, diagnostic)| diagnostic.severity == Severity::Error);
    for (span, label, diagnostic) in problems {
        report.add(span, label, diagnostic);
    }
    Checked {
        holds,
        enterprise,
        values,
    }
}

impl Checker<'_> {
    fn value(&mut self, id: TermId, node: &Node) {
        self.values += 1;
        let grammar = self.grammar;
        let term = grammar.get(id);
        if term.is_secret && !matches!(node.data, Data::Map(_)) {
            return self.not_a_reference(node);
        }
        if !term.types.is_empty() && !term.types.iter().any(|expected| fits(*expected, node)) {
            return self.wrong_type(&term.types, term, node);
        }
        if !term.allowed.is_empty() && !term.allowed.contains(&node.to_json()) {
            return self.not_allowed(term, node);
        }
        if !term.any_of.is_empty() {
            self.any_of(term, node);
        }
        match &node.data {
            Data::Map(entries) => self.map(term, entries, node.span),
            Data::Seq(items) => self.list(term, items, node.span),
            Data::Text(text) => self.text(term, text, node.span),
            Data::Number(number) => self.number(term, number.as_f64(), node.span),
            Data::Null | Data::Bool(_) => {}
        }
    }

    fn map(&mut self, term: &Term, entries: &[Entry], span: Span) {
        for entry in entries {
            if entry.value.is_bare() {
                self.bare(entry);
            }
            let property = term.properties.get(&*entry.key);
            let each = match (property, term.additional) {
                (Some(property), _) => Some(property.term),
                (None, Additional::Each(each)) => Some(each),
                (None, Additional::Anything) => None,
                (None, Additional::Nothing) => {
                    self.unknown(term, entry);
                    None
                }
            };
            let Some(id) = each.filter(|_| !entry.value.is_null()) else {
                continue;
            };
            self.path.push(entry.key.to_string());
            if property.is_some_and(|property| property.is_enterprise) {
                self.enterprise.push((self.path.join("."), entry.key_span));
            }
            self.value(id, &entry.value);
            self.path.pop();
        }
        if self.extent == Extent::Whole {
            let is_set = |name: &String| {
                entries
                    .iter()
                    .any(|entry| *entry.key == **name && !entry.value.is_null())
            };
            for name in term.required.iter().filter(|name| !is_set(name)) {
                self.problem(span, "", Diagnostic::error(format!("`{name}` is missing")));
            }
        }
    }

    fn list(&mut self, term: &Term, items: &[Node], span: Span) {
        if let Some(complaint) = outside(term.size, items.len() as f64) {
            let problem = Diagnostic::error(format!("expected {complaint} items, found {}", items.len()));
            self.problem(span, "", problem);
        }
        let mut seen = HashMap::new();
        for item in items {
            if let Some(id) = term.items {
                self.value(id, item);
            }
            let first = if term.unique {
                seen.insert(item.to_json().to_string(), item.span)
            } else {
                None
            };
            if let Some(first) = first {
                let mut problem = Diagnostic::error("the same item twice in a list that is a set");
                problem
                    .secondary
                    .push(self.report.sources.label(first, "first written here"));
                self.problem(item.span, "written again here", problem);
            }
        }
    }

    fn text(&mut self, term: &Term, text: &str, span: Span) {
        if let Some(complaint) = outside(term.length, text.chars().count() as f64) {
            let problem = Diagnostic::error(format!(
                "expected {complaint} characters, found {}",
                text.chars().count()
            ));
            self.problem(span, "", problem);
        }
        if let Some(pattern) = term.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            let mut problem = Diagnostic::error(format!("expected text that matches `{pattern}`"));
            if let Some(example) = &term.example {
                problem = problem.help(format!("write it like `{example}`"));
            }
            self.problem(span, "", problem);
        }
    }

    fn number(&mut self, term: &Term, number: Option<f64>, span: Span) {
        if let Some(complaint) = number.and_then(|number| outside(term.number, number)) {
            let found = self.report.sources.shown(span);
            self.problem(
                span,
                "",
                Diagnostic::error(format!("expected {complaint}, found {found}")),
            );
        }
    }

    /// One of several forms: the problems of the form that was probably meant are the ones to report.
    fn any_of(&mut self, term: &Term, node: &Node) {
        let grammar = self.grammar;
        let typed = |id: &&TermId| {
            grammar
                .get(**id)
                .types
                .iter()
                .any(|expected| fits(*expected, node))
                || grammar.get(**id).types.is_empty()
        };
        let candidates: Vec<TermId> = term.any_of.iter().filter(typed).copied().collect();
        let expected: Vec<Type> = term
            .any_of
            .iter()
            .flat_map(|id| grammar.get(*id).types.clone())
            .collect();
        let names_first_key = |id: &&TermId| {
            node.entries()
                .first()
                .is_some_and(|entry| grammar.get(**id).properties.contains_key(&*entry.key))
        };
        let meant = match candidates.as_slice() {
            [] => return self.wrong_type(&expected, term, node),
            [only] => return self.value(*only, node),
            several => several.iter().find(names_first_key).copied(),
        };
        let before = (self.problems.len(), self.enterprise.len());
        for id in &candidates {
            self.value(*id, node);
            if self.problems.len() == before.0 {
                return;
            }
            self.problems.truncate(before.0);
            self.enterprise.truncate(before.1);
        }
        match meant {
            Some(id) => self.value(id, node),
            None if term.is_secret => self.not_a_reference(node),
            None => {
                let keys: Vec<&str> = candidates
                    .iter()
                    .flat_map(|id| grammar.get(*id).names())
                    .collect();
                let problem = Diagnostic::error("none of the forms that are allowed here");
                self.problem(
                    node.span,
                    "",
                    problem.help(format!(
                        "one of these fields decides the form: {}",
                        suggest::list("", &keys)
                    )),
                );
            }
        }
    }

    fn unknown(&mut self, term: &Term, entry: &Entry) {
        let key = &*entry.key;
        // A misspelt `token` holds one all the same, and so may a key that is like none beside one.
        let meant = suggest::nearest(key, term.names()).and_then(|name| term.properties.get(name));
        let is_secret = match meant {
            Some(property) => self.grammar.get(property.term).is_secret,
            None => self.secret_field(term).is_some(),
        };
        if is_secret {
            mask_unless_reference(&entry.value, self.report);
        }
        let (label, mut problem) = unknown_key(key, &term.names());
        if let (Some(field), "env" | "file" | "exec") = (self.secret_field(term), key) {
            problem = problem.help(format!(
                "a reference stands in `{field}`: write `{{{field}: {{{key}: …}}}}`"
            ));
        }
        self.problem(entry.key_span, label, problem);
    }

    fn bare(&mut self, entry: &Entry) {
        let warning = Diagnostic::warning(format!("`{}` has no value", entry.key));
        let warning = warning.help("this drops what a preset or rule says of it: write `null` to mean that, `\"\"`, `[]` or `{}` for an empty value");
        self.problem(entry.key_span, "", warning);
    }

    fn not_allowed(&mut self, term: &Term, node: &Node) {
        let names: Vec<String> = term
            .allowed
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = self.report.sources.shown(node.span);
        let label = suggest::nearest(node.as_text().unwrap_or_default(), names.iter().copied());
        let label = label
            .map(|name| format!("did you mean `{name}`?"))
            .unwrap_or_default();
        let problem = Diagnostic::error(format!("`{found}` is not one of the values allowed here"));
        self.problem(
            node.span,
            label,
            problem.help(format!("allowed: {}", suggest::list(&found, &names))),
        );
    }

    /// The field of such a map that holds a secret.
    fn secret_field<'t>(&self, term: &'t Term) -> Option<&'t String> {
        let secret = |property: &Property| self.grammar.get(property.term).is_secret;
        let secrets = term.properties.iter().filter(|(_, property)| secret(property));
        secrets.map(|(name, _)| name).min()
    }

    /// Whether a secret stands right in such a map, or in each map that it holds.
    fn holds_secret(&self, term: &Term) -> bool {
        let each_does = match term.additional {
            Additional::Each(each) => self.secret_field(self.grammar.get(each)).is_some(),
            Additional::Anything | Additional::Nothing => false,
        };
        each_does || self.secret_field(term).is_some()
    }

    fn wrong_type(&mut self, expected: &[Type], term: &Term, node: &Node) {
        // Whoever forgot that it takes a map, or a reference, wrote the secret itself.
        if self.holds_secret(term) {
            mask_unless_reference(node, self.report);
        }
        let mut words: Vec<_> = expected
            .iter()
            .filter(|expected| **expected != Type::Null)
            .map(|expected| expected.describe())
            .collect();
        words.dedup();
        let expected_words = words.join(" or ");
        let shown = self.report.sources.shown(node.span);
        let found = match &node.data {
            Data::Null => "null".to_owned(),
            Data::Bool(_) => format!("`{shown}`"),
            Data::Number(_) => format!("the number {shown}"),
            Data::Text(_) => "text".to_owned(),
            Data::Seq(_) => "a list".to_owned(),
            Data::Map(_) => "a map".to_owned(),
        };
        let mut problem = Diagnostic::error(format!("expected {expected_words}, found {found}"));
        let wants = |wanted: Type| expected.contains(&wanted);
        match &node.data {
            Data::Text(_) if wants(Type::Boolean) => problem = problem.help("write `true` or `false`"),
            Data::Text(_) if wants(Type::Integer) || wants(Type::Number) => {
                problem = problem.help("write the number without quotes")
            }
            Data::Text(_) if wants(Type::Array) => problem = problem.help(format!("write `[{shown}]`")),
            Data::Bool(_) | Data::Number(_) | Data::Text(_) if let Some(field) = self.secret_field(term) => {
                problem = problem.help(format!("write `{{{field}: {{env: NAME}}}}`"))
            }
            Data::Bool(_) | Data::Number(_) if wants(Type::String) && term.allowed.is_empty() => {
                problem = problem.help(format!("write it in quotes: `\"{shown}\"`"))
            }
            _ => {}
        }
        if !term.allowed.is_empty() {
            let names: Vec<&str> = term.allowed.iter().filter_map(|value| value.as_str()).collect();
            problem = problem.help(format!("allowed: {}", suggest::list("", &names)));
        }
        self.problem(node.span, "", problem);
    }

    fn not_a_reference(&mut self, node: &Node) {
        self.report.sources.mask(node.span);
        let problem = Diagnostic::error("a secret is written as a reference, never as its value");
        let problem =
            problem.help("write `{env: NAME}` for an environment variable or `{file: PATH}` for a file");
        self.problem(
            node.span,
            "",
            problem.help("if this is the secret itself, it has been written to disk: revoke it"),
        );
    }

    fn problem(&mut self, span: Span, label: impl Into<String>, diagnostic: Diagnostic) {
        self.problems.push((span, label.into(), diagnostic));
    }
}

/// What to say of a key that is not allowed: the label at it, and the error.
pub(super) fn unknown_key(key: &str, allowed: &[&str]) -> (String, Diagnostic) {
    let nearest = suggest::nearest(key, allowed.iter().copied());
    let label = nearest
        .map(|name| format!("did you mean `{name}`?"))
        .unwrap_or_default();
    let error = Diagnostic::error(format!("unknown key `{key}`"));
    (
        label,
        error.help(format!("allowed here: {}", suggest::list(key, allowed))),
    )
}

/// What to say of a key that a later version will know.
pub(super) fn planned(key: &str) -> Diagnostic {
    Diagnostic::error(format!("`{key}` is planned but not built yet")).help("remove it for now")
}

fn fits(expected: Type, node: &Node) -> bool {
    match (expected, &node.data) {
        (Type::Integer, Data::Number(number)) => !number.is_f64(),
        (Type::Null, Data::Null)
        | (Type::Boolean, Data::Bool(_))
        | (Type::Number, Data::Number(_))
        | (Type::String, Data::Text(_))
        | (Type::Array, Data::Seq(_))
        | (Type::Object, Data::Map(_)) => true,
        _ => false,
    }
}

/// How a figure misses its bounds: `at least 1`.
fn outside(limits: Limits, figure: f64) -> Option<String> {
    let below = limits
        .min
        .filter(|min| figure < *min)
        .map(|min| format!("at least {min}"));
    below.or_else(|| {
        limits
            .max
            .filter(|max| figure > *max)
            .map(|max| format!("at most {max}"))
    })
}
