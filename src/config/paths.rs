//! What the paths of a config have to do with each other: one thing per path, and moves that make sense.

use std::collections::HashMap;

use crate::core::{Address, Path};

use super::diagnostic::{Diagnostic, Report};
use super::layout::{Layout, Resource};
use super::merge::is_absent;
use super::tree::{Entry, Span};

/// Reports paths that are asked to be two things at once.
pub(super) fn check_paths(layout: &Layout, report: &mut Report) {
    let places = taken(layout, report);
    check_absent(layout, report);
    let mut moves: HashMap<Path, Span> = HashMap::new();
    for (address, resource) in movable(layout) {
        let Some((entry, from)) = moved_from(resource) else {
            continue;
        };
        let span = entry.value.span;
        if let Err(message) = (resource.shape.check_key)(&crate::core::Key::top(from.clone())) {
            report.add(span, "", Diagnostic::error(message));
        }
        if from == address.key.path {
            let error = Diagnostic::error("`moved_from` is the path it has now");
            report.add(
                span,
                "",
                error.help("write the path it had before, or remove the line"),
            );
        } else if let Some(declared) = places.get(&from) {
            let error = Diagnostic::error(format!("`{from}` is declared, and moved away as well"));
            let error = error.help("remove the declaration at the old path once the resource has a new one");
            add_with(report, span, error, *declared, "still declared here");
        }
        if let Some(first) = moves.insert(from.clone(), span) {
            let error = Diagnostic::error(format!("two resources moved from `{from}`"));
            add_with(report, span, error, first, "the other one");
        }
    }
}

/// Where each path is declared. What can be moved lives in GitLab's one namespace of paths.
fn taken(layout: &Layout, report: &mut Report) -> HashMap<Path, Span> {
    let mut places: HashMap<Path, (&Address, Span)> = HashMap::new();
    for (address, resource) in movable(layout).filter(|(_, resource)| !is_absent(&resource.entry.value)) {
        let span = resource.entry.key_span;
        if let Some((other, first)) = places.insert(address.key.path.clone(), (address, span)) {
            let error = Diagnostic::error(format!(
                "`{}` is declared as a {} and as a {}",
                address.key.path, other.kind, address.kind
            ));
            add_with(report, span, error, first, "the other one");
        }
    }
    places.into_iter().map(|(path, (_, span))| (path, span)).collect()
}

/// Reports what is declared inside something that is declared absent, and would go with it.
fn check_absent(layout: &Layout, report: &mut Report) {
    let absent = movable(layout).filter(|(_, resource)| is_absent(&resource.entry.value));
    let absent: HashMap<&Path, Span> = absent
        .map(|(address, resource)| (&address.key.path, resource.entry.key_span))
        .collect();
    if absent.is_empty() {
        return;
    }
    for (address, resource) in movable(layout).filter(|(_, resource)| !is_absent(&resource.entry.value)) {
        let mut holders = std::iter::successors(address.key.path.parent(), Path::parent);
        let Some((holder, span)) = holders.find_map(|path| absent.get_key_value(&path)) else {
            continue;
        };
        let error = Diagnostic::error(format!(
            "`{}` is declared, and `{holder}`, which holds it, is declared absent",
            address.key.path
        ));
        let error = error.help("declare it absent too, or move it elsewhere first");
        add_with(report, resource.entry.key_span, error, *span, "absent here");
    }
}

fn movable<'l, 'a>(layout: &'l Layout<'a>) -> impl Iterator<Item = (&'l Address, &'l Resource<'a>)> {
    layout
        .resources
        .iter()
        .filter(|(_, resource)| resource.shape.can_move)
}

/// The path that a resource is declared to have had before, and where that is written.
pub(super) fn moved_from<'a>(resource: &Resource<'a>) -> Option<(&'a Entry, Path)> {
    let entry = resource.entry.value.entry("moved_from")?;
    Some((entry, entry.value.as_text()?.into()))
}

fn add_with(report: &mut Report, span: Span, mut error: Diagnostic, other: Span, label: &str) {
    error.secondary.push(report.sources.label(other, label));
    report.add(span, "", error);
}
