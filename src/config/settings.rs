//! The parts of a config that stand once for all: how to reach GitLab, and what becomes of what is no longer declared.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use super::check::{Extent, check};
use super::deploy::{self, Deploy};
use super::diagnostic::{Diagnostic, Report};
use super::grammar::Grammar;
use super::layout::Layout;
use super::model::{Deployment, Edition, Gitlab, GitlabState, Position, Prune};
use super::schema::{GITLAB, GitlabSection, INCLUDE, PRUNE, STATE, StateSection};
use super::shape::Shape;
use super::tree::{Data, Entry, Node};

/// Checks every `include`; what they name has been read.
pub(super) fn check_includes(layout: &Layout, grammar: &Grammar, report: &mut Report) {
    for include in &layout.includes {
        check(
            grammar,
            grammar.id(INCLUDE),
            &include.value,
            Extent::Whole,
            report,
        );
    }
}

/// The `gitlab:` section, without what is a resource in it. The edition is read even if the rest is wrong, as other fields
/// are judged by it.
pub(super) fn gitlab(section: &Entry, shapes: &[Shape], grammar: &Grammar, report: &mut Report) -> Gitlab {
    let section = &without_resources(section, shapes);
    let url = section
        .value
        .entry("url")
        .and_then(|entry| url(&entry.value, report));
    let edition = section.value.entry("edition").map(|entry| entry.value.to_json());
    let edition = edition.and_then(|edition| serde_json::from_value(edition).ok());
    if !check(grammar, grammar.id(GITLAB), &section.value, Extent::Whole, report).holds {
        return Gitlab {
            edition,
            ..Gitlab::default()
        };
    }
    match serde_json::from_value::<GitlabSection>(section.value.to_json()) {
        Ok(GitlabSection {
            url: _,
            token,
            edition,
            ca_file,
            deploy,
        }) => Gitlab {
            edition: edition_of(edition, deploy.as_ref(), section, report),
            deploy: deploy.and_then(|spec| deployment(spec, section, url.as_ref(), report)),
            url,
            token,
            ca_file,
        },
        Err(error) => {
            report.add(section.key_span, "", Diagnostic::error(error.to_string()));
            Gitlab::default()
        }
    }
}

/// The edition, as it is said, or else as the name of the image that is deployed tells it.
fn edition_of(
    said: Option<Edition>,
    deploy: Option<&Deploy>,
    section: &Entry,
    report: &mut Report,
) -> Option<Edition> {
    let deployed = deploy.and_then(Deploy::edition);
    if let (Some(said), Some(deployed)) = (said, deployed)
        && said != deployed
    {
        let span = section.value.deepest("edition").span;
        let error = Diagnostic::error("`edition` is not the one of the image that is deployed");
        let error = error.help("remove `edition`: the image tells");
        report.add(span, "", error);
    }
    said.or(deployed)
}

/// The `gitlab` section without the fields that hold resources: those are checked as such.
fn without_resources(section: &Entry, shapes: &[Shape]) -> Entry {
    let mut rest = section.clone();
    if let Data::Map(entries) = &mut rest.value.data {
        let is_resource = |entry: &Entry| {
            let mut fields = shapes.iter().filter_map(Shape::of_instance);
            fields.any(|(field, _)| *entry.key == *field)
        };
        if entries.iter().any(is_resource) {
            Arc::make_mut(entries).retain(|entry| !is_resource(entry));
        }
    }
    rest
}

/// The `deploy` section of `gitlab`, with where its parts stand.
fn deployment(spec: Deploy, gitlab: &Entry, url: Option<&Url>, report: &mut Report) -> Option<Deployment> {
    let section = gitlab.value.entry("deploy")?;
    let Some(url) = url else {
        let error = Diagnostic::error("`deploy` without `url`");
        let error = error.help("write the URL that the instance is to have: `url: http://git.lan:3000`");
        report.add(section.key_span, "", error);
        return None;
    };
    for problem in deploy::check(&spec, url) {
        let span = section.value.deepest(&problem.field).span;
        report.add(span, "", Diagnostic::error(problem.message));
    }
    for remark in deploy::remarks(&spec) {
        let span = section.value.deepest(&remark.field).span;
        report.add(span, "", Diagnostic::warning(remark.message));
    }
    let mut positions = BTreeMap::from([(String::new(), report.sources.position(section.key_span))]);
    note_positions("", &section.value, report, &mut positions);
    Some(Deployment { spec, positions })
}

fn note_positions(prefix: &str, node: &Node, report: &Report, positions: &mut BTreeMap<String, Position>) {
    for entry in node.entries() {
        let field = format!("{prefix}{}", entry.key);
        positions.insert(field.clone(), report.sources.position(entry.key_span));
        note_positions(&format!("{field}."), &entry.value, report, positions);
    }
}

/// The `prune:` policy.
pub(super) fn prune(entry: &Entry, grammar: &Grammar, report: &mut Report) -> Prune {
    check(grammar, grammar.id(PRUNE), &entry.value, Extent::Whole, report);
    serde_json::from_value(entry.value.to_json()).unwrap_or_default()
}

/// The `state:` section.
pub(super) fn state(section: &Entry, grammar: &Grammar, report: &mut Report) -> Option<GitlabState> {
    if !check(grammar, grammar.id(STATE), &section.value, Extent::Whole, report).holds {
        return None;
    }
    match serde_json::from_value::<StateSection>(section.value.to_json()) {
        Ok(StateSection { gitlab }) => Some(gitlab),
        Err(error) => {
            report.add(section.key_span, "", Diagnostic::error(error.to_string()));
            None
        }
    }
}

fn url(node: &Node, report: &mut Report) -> Option<Url> {
    let text = node.as_text()?;
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            if text.contains('@') {
                report.sources.mask(node.span);
            }
            let error = Diagnostic::error(format!("not a URL: {error}"));
            let error = error.help("write it with its scheme: `https://git.example.org`");
            report.add(node.span, "", error);
            return None;
        }
    };
    let complaint = if !url.username().is_empty() || url.password().is_some() {
        report.sources.mask(node.span);
        "the instance's URL holds a user or password: the token belongs in `token`, as a reference"
    } else if !matches!(url.scheme(), "http" | "https") {
        "the instance's URL must begin with `https://` or `http://`"
    } else if url.query().is_some() || url.fragment().is_some() {
        report.sources.mask(node.span);
        "the instance's URL must end before any `?` or `#`"
    } else {
        return Some(url);
    };
    report.add(node.span, "", Diagnostic::error(complaint));
    None
}
