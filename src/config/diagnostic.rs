//! What is wrong with a config, where, and what to do: shown with the line in question, or as JSON.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};
use serde::Serialize;

use super::model::Position;
use super::tree::{FileId, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing can be planned before this is put right.
    Error,
    /// Worth a look; the config is still used.
    Warning,
}

/// A stretch of one line, with a word on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Where the stretch begins.
    #[serde(flatten)]
    pub position: Position,
    /// How many characters it is long; 0: up to the end of the word.
    pub length: usize,
    /// What to say about it; may be empty.
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: a lower-case fragment.
    pub title: String,
    /// Where; `None` when it concerns no place in a file.
    pub primary: Option<Label>,
    /// Other places that have to do with it.
    pub secondary: Vec<Label>,
    /// What to do, one line each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(title: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            title: title.into(),
            primary: None,
            secondary: Vec::new(),
            help: Vec::new(),
        }
    }

    /// A warning without a place yet.
    pub fn warning(title: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            ..Self::error(title)
        }
    }

    /// Says where: the word that begins at `position`.
    pub fn at(mut self, position: Position, text: impl Into<String>) -> Self {
        self.primary = Some(Label::word(position, text));
        self
    }

    /// Adds another place that has to do with it.
    pub fn also(mut self, position: Position, text: impl Into<String>) -> Self {
        self.secondary.push(Label::word(position, text));
        self
    }

    /// Adds a line that says what to do.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

impl Label {
    fn word(position: Position, text: impl Into<String>) -> Self {
        Label {
            position,
            length: 0,
            text: text.into(),
        }
    }
}

/// The text of every file of a config, to show lines of; what is secret in it is never shown.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    text: Arc<str>,
    /// Byte offset at which each line starts.
    lines: Vec<usize>,
    masks: Vec<Span>,
}

impl Sources {
    /// The paths of the files, the root first, as they were named or found.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// A diagnostic as text for people, with the lines it speaks of; `color` adds terminal styles.
    pub fn render(&self, diagnostic: &Diagnostic, color: bool) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&diagnostic.title));
        if let Some(label) = &diagnostic.primary {
            group = self.with_label(group, label, AnnotationKind::Primary);
        }
        for label in &diagnostic.secondary {
            group = self.with_label(group, label, AnnotationKind::Context);
        }
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        if diagnostic.primary.is_none() && diagnostic.secondary.is_empty() {
            // Nothing is shown that help could stand below.
            let help = diagnostic.help.iter();
            let help = help
                .map(|help| Group::with_title(Level::HELP.secondary_title(normalize_untrusted_str(help))));
            let parts = std::iter::once(group).chain(help);
            let parts: Vec<_> = parts.map(|part| renderer.render(&[part])).collect();
            return parts.join("\n");
        }
        group = group.elements(
            diagnostic
                .help
                .iter()
                .map(|help| Level::HELP.message(normalize_untrusted_str(help))),
        );
        renderer.render(&[group])
    }

    fn with_label<'a>(&self, group: Group<'a>, label: &'a Label, kind: AnnotationKind) -> Group<'a> {
        let Position { file, line, column } = &label.position;
        let path = file.to_string_lossy();
        let Some(source) = self.files.iter().find(|source| source.path == *file) else {
            return group.element(Origin::path(path).line(*line).char_column(*column));
        };
        let shown = source.shown_line(*line);
        let start = byte_of(&shown, column.saturating_sub(1));
        let end = match label.length {
            0 => {
                start
                    + shown[start..]
                        .find([' ', ',', ':', '}', ']', '#'])
                        .unwrap_or(shown.len() - start)
            }
            length => byte_of(&shown, column.saturating_sub(1) + length),
        };
        let text = Some(normalize_untrusted_str(&label.text)).filter(|text| !text.is_empty());
        let annotation = kind.span(start..end).label(text);
        group.element(
            Snippet::source(shown)
                .line_start(*line)
                .path(path)
                .annotation(annotation),
        )
    }

    pub(super) fn add(&mut self, path: PathBuf, text: &str) -> FileId {
        let bytes = text.as_bytes();
        let breaks = bytes.iter().enumerate().filter(|(at, byte)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        self.files.push(Source {
            path,
            text: text.into(),
            lines,
            masks: Vec::new(),
        });
        self.files.len() as FileId - 1
    }

    pub(super) fn text(&self, file: FileId) -> Arc<str> {
        self.files[file as usize].text.clone()
    }

    pub(super) fn path(&self, file: FileId) -> &Path {
        &self.files[file as usize].path
    }

    /// From now on, what is at `span` is shown as stars.
    pub(super) fn mask(&mut self, span: Span) {
        self.files[span.file as usize].masks.push(span);
    }

    /// What is written at `span`, as it may be shown: up to the end of its first line.
    pub(super) fn shown(&self, span: Span) -> String {
        let line = self.files[span.file as usize].shown_line(span.line as usize);
        let from = byte_of(&line, span.column as usize - 1);
        let to = byte_of(&line, span.column as usize - 1 + self.length(span));
        line[from..to].to_owned()
    }

    pub(super) fn line(&self, file: FileId, line: usize) -> &str {
        self.files[file as usize].line(line)
    }

    pub(super) fn position(&self, span: Span) -> Position {
        Position {
            file: self.path(span.file).to_owned(),
            line: span.line as usize,
            column: span.column as usize,
        }
    }

    pub(super) fn label(&self, span: Span, text: impl Into<String>) -> Label {
        Label {
            position: self.position(span),
            length: self.length(span),
            text: text.into(),
        }
    }

    /// How many characters of the span's first line it covers.
    fn length(&self, span: Span) -> usize {
        if span.end_line == span.line {
            return (span.end_column - span.column) as usize;
        }
        let line = self.line(span.file, span.line as usize);
        (line.trim_end().chars().count() + 1).saturating_sub(span.column as usize)
    }
}

impl Source {
    /// One line without its line break; empty when there is no such line.
    fn line(&self, line: usize) -> &str {
        let Some(start) = line.checked_sub(1).and_then(|index| self.lines.get(index)) else {
            return "";
        };
        let end = self.lines.get(line).copied().unwrap_or(self.text.len());
        self.text[*start..end].trim_end_matches(['\n', '\r'])
    }

    fn shown_line(&self, line: usize) -> String {
        let masks: Vec<_> = self.masks.iter().filter(|mask| mask.touches(line)).collect();
        let hide =
            |(column, char): (usize, char)| match masks.iter().any(|mask| mask.covers(line, column + 1)) {
                true => '*',
                false => char,
            };
        self.line(line).chars().enumerate().map(hide).collect()
    }
}

/// The byte at which the character `index` begins; the length of the line when it is shorter.
fn byte_of(line: &str, index: usize) -> usize {
    line.char_indices()
        .nth(index)
        .map_or(line.len(), |(byte, _)| byte)
}

/// The findings of one load, and the texts they are about.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub sources: Sources,
    findings: Vec<(Span, Diagnostic)>,
    seen: HashSet<(Span, String)>,
    errors: usize,
}

impl Report {
    /// A report on texts that are already there.
    pub fn new(sources: Sources) -> Self {
        Report {
            sources,
            ..Report::default()
        }
    }

    /// Adds a finding at `span`, unless the same has been said there: a preset is looked at once for each repo that uses it.
    pub fn add(&mut self, span: Span, label: impl Into<String>, diagnostic: Diagnostic) {
        if self.seen.insert((span, diagnostic.title.clone())) {
            self.errors += usize::from(diagnostic.severity == Severity::Error);
            let label = self.sources.label(span, label);
            self.findings.push((
                span,
                Diagnostic {
                    primary: Some(label),
                    ..diagnostic
                },
            ));
        }
    }

    /// Adds an error that concerns no place in a file.
    pub fn add_without_place(&mut self, diagnostic: Diagnostic) {
        self.errors += 1;
        self.findings.push((Span::point(0, 0, 0), diagnostic));
    }

    /// How many errors there are so far.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Everything found, in the order of the files and their lines.
    pub fn finish(mut self) -> (Sources, Vec<Diagnostic>) {
        self.findings
            .sort_by_key(|(span, _)| (span.file, span.line, span.column));
        (
            self.sources,
            self.findings
                .into_iter()
                .map(|(_, diagnostic)| diagnostic)
                .collect(),
        )
    }
}
