//! Locks: where two of them disagree, and where one wins over what is written.

use super::diagnostic::{Diagnostic, Report};
use super::merge::{FieldTerm, Opinion, fields, is_absent};
use super::model::Via;
use super::tree::{Data, Node, Span};
use crate::core::Path;

/// Reports the fields that two rules lock to different values. Whether there are none.
pub(super) fn agree(term: FieldTerm, locks: &[Opinion], repo: &Path, report: &mut Report) -> bool {
    let mut clashes = Vec::new();
    collect_clashes(term, "", locks, &mut clashes);
    for (field, [first, second]) in &clashes {
        let error = Diagnostic::error(format!(
            "`{field}` is locked differently by {} and {}",
            rule(first),
            rule(second)
        ));
        let mut error = error.help(format!(
            "both are for `{repo}`: let them agree, or only one of them match it"
        ));
        let other = report.sources.label(place(first), "locked here too");
        error.secondary.push(other);
        report.add(place(second), "", error);
    }
    clashes.is_empty()
}

fn collect_clashes<'a>(
    term: FieldTerm,
    path: &str,
    locks: &[Opinion<'a>],
    clashes: &mut Vec<(String, [Opinion<'a>; 2])>,
) {
    for (name, opinions) in fields(locks) {
        let (term, path) = (term.field(name), join(path, name));
        if opinions.iter().all(|opinion| has_fields(term, opinion)) {
            collect_clashes(term, &path, &opinions, clashes);
            continue;
        }
        let differs = |other: &&Opinion| !term.is_same(&opinions[0].entry.value, &other.entry.value);
        if let Some(other) = opinions.iter().find(differs) {
            clashes.push((path, [opinions[0], *other]));
        }
    }
}

/// Remarks on what is written and has no effect, as a lock says something else.
pub(super) fn remark(term: FieldTerm, unlocked: &[Opinion], locks: &[Opinion], report: &mut Report) {
    remark_below(term, "", unlocked, locks, report);
}

fn remark_below(term: FieldTerm, path: &str, unlocked: &[Opinion], locks: &[Opinion], report: &mut Report) {
    let written = fields(unlocked);
    for (name, locks) in fields(locks) {
        let (term, path) = (term.field(name), join(path, name));
        let Some(opinions) = written.get(name) else {
            continue;
        };
        let (Some(loser), Some(lock)) = (opinions.last(), locks.last()) else {
            continue;
        };
        if has_fields(term, loser) && has_fields(term, lock) {
            remark_below(term, &path, term.effective(opinions), &locks, report);
        } else if !term.is_same(&loser.entry.value, &lock.entry.value) {
            let mut warning = Diagnostic::warning(format!("`{path}` has no effect: {} locks it", rule(lock)));
            let label = report.sources.label(place(lock), "locked here");
            warning.secondary.push(label);
            report.add(place(loser), "", warning);
        }
    }
}

/// Whether an opinion merges with others field by field.
fn has_fields(term: FieldTerm, opinion: &Opinion) -> bool {
    let value = &opinion.entry.value;
    matches!(value.data, Data::Map(_)) && !is_absent(value) && !term.is_one_value()
}

fn rule(lock: &Opinion) -> String {
    match lock.via {
        Some(Via::Lock(name)) => format!("rule {name}"),
        _ => "a rule".to_owned(),
    }
}

fn place(opinion: &Opinion) -> Span {
    let Node { span, .. } = opinion.entry.value;
    if span.is_empty() {
        opinion.entry.key_span
    } else {
        span
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
