//! YAML text to a tree with positions: anchors, aliases and merge keys resolved within a budget.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as ScanSpan, StrInput, Tag};

use super::deploy::names_secret;
use super::diagnostic::{Diagnostic, Report};
use super::scalar;
use super::tree::{Data, Entry, FileId, Node, Span};

/// How deep maps and lists may stand in each other, aliases followed.
const MAX_DEPTH: u32 = 64;

/// How many values a file may hold once its aliases are followed: anchors are meant to save typing, not to fill the memory.
const MAX_VALUES: u32 = 1_000_000;

/// Parses the file's text. `None`: there is nothing in it, or it is not YAML and the report says so.
///
/// `secret_keys` names the fields that hold references to secrets: whatever else is written there is masked.
pub(super) fn parse(file: FileId, secret_keys: &[String], report: &mut Report) -> Option<Node> {
    let text = report.sources.text(file);
    let mut builder = Builder {
        file,
        secret_keys,
        report,
        anchors: HashMap::new(),
        open: Vec::new(),
        root: None,
        documents: 0,
    };
    match builder.run(Parser::new_from_str(&text)) {
        Ok(()) => builder.root.map(|root| root.node),
        Err(Stop) => None,
    }
}

/// Parsing cannot go on; the report says why.
struct Stop;

/// A finished value, and what it weighs.
#[derive(Clone)]
struct Built {
    node: Node,
    values: u32,
    depth: u32,
}

/// A map or list whose end has not been seen.
struct Open {
    span: Span,
    anchor: usize,
    values: u32,
    depth: u32,
    kind: OpenKind,
}

enum OpenKind {
    Seq(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    seen: HashMap<Arc<str>, Span>,
    key: Option<Key>,
    merged: Option<(Span, Node)>,
}

struct Key {
    text: Arc<str>,
    span: Span,
    is_merge: bool,
}

struct Builder<'a> {
    file: FileId,
    secret_keys: &'a [String],
    report: &'a mut Report,
    /// Finished anchored values; an alias inside its own anchor finds none.
    anchors: HashMap<usize, Built>,
    open: Vec<Open>,
    root: Option<Built>,
    documents: usize,
}

impl Builder<'_> {
    fn run(&mut self, mut parser: Parser<'_, StrInput<'_>>) -> Result<(), Stop> {
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.not_yaml(&error))?;
            self.event(event, self.span(span))?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let error = Diagnostic::error("a second document in the file").help("a config file holds one document: remove the `---`, or move this part to a file of its own and `include` it");
                    return Err(self.stop(span, "", error));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), span)
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span)?;
                self.enter(OpenKind::Seq(Vec::new()), anchor, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span)?;
                self.enter(OpenKind::Map(OpenMap::default()), anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Stop> {
        let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix.is_empty());
        let data = match tag {
            Some(tag) if !tag.suffix.is_empty() => {
                self.check_tag(Some(tag), "str", span)?;
                Data::Text(text.into())
            }
            _ if is_text => Data::Text(text.into()),
            _ => scalar::plain(text),
        };
        let node = Node { span, data };
        if let Some(map) = self.map_without_key() {
            if node.is_bare() {
                return Err(self.stop(span, "", Diagnostic::error("a key is missing before the `:`")));
            }
            let is_merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
            map.key = Some(Key {
                text: text.into(),
                span,
                is_merge,
            });
            if anchor != 0 {
                self.anchors.insert(
                    anchor,
                    Built {
                        node,
                        values: 1,
                        depth: 0,
                    },
                );
            }
            return Ok(());
        }
        self.finish(
            Built {
                node,
                values: 1,
                depth: 0,
            },
            anchor,
        )
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(built) = self.anchors.get(&anchor).cloned() else {
            return Err(self.stop(span, "", Diagnostic::error("an anchor that contains itself")));
        };
        let Some(map) = self.map_without_key() else {
            return self.finish(built, 0);
        };
        match built.node.data {
            Data::Text(text) => {
                map.key = Some(Key {
                    text,
                    span,
                    is_merge: false,
                })
            }
            _ => return Err(self.key_is_not_text(span)),
        }
        Ok(())
    }

    fn enter(&mut self, kind: OpenKind, anchor: usize, span: Span) -> Result<(), Stop> {
        if self.map_without_key().is_some() {
            return Err(self.key_is_not_text(span));
        }
        if self.open.len() as u32 >= MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        self.open.push(Open {
            span,
            anchor,
            values: 1,
            depth: 0,
            kind,
        });
        Ok(())
    }

    fn leave(&mut self, end: Span) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let data = match open.kind {
            OpenKind::Seq(items) => Data::Seq(Arc::new(items)),
            OpenKind::Map(map) => Data::Map(Arc::new(self.close_map(map))),
        };
        let span = Span {
            end_line: end.end_line,
            end_column: end.end_column,
            ..open.span
        };
        self.finish(
            Built {
                node: Node { span, data },
                values: open.values,
                depth: open.depth + 1,
            },
            open.anchor,
        )
    }

    /// Puts a finished value where it belongs: under the pending key, into the list, or at the root.
    fn finish(&mut self, built: Built, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(built);
            return Ok(());
        };
        open.values = open.values.saturating_add(built.values);
        open.depth = open.depth.max(built.depth);
        let span = built.node.span;
        let (values, depth) = (open.values, open.depth + self.open.len() as u32);
        if depth > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        if values > MAX_VALUES {
            let error = Diagnostic::error(format!("aliases that unfold to more than {MAX_VALUES} values"))
                .help("anchors that contain aliases of anchors multiply: use fewer levels of them");
            return Err(self.stop(span, "", error));
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            Some(OpenKind::Seq(items)) => items.push(built.node),
            Some(OpenKind::Map(map)) => {
                if let Some(key) = map.key.take() {
                    self.insert(key, built.node);
                }
            }
            None => {}
        }
        Ok(())
    }

    fn insert(&mut self, key: Key, value: Node) {
        // A setting of `gitlab.rb` has a key that no schema knows.
        let is_setting = key.text.contains('[') && names_secret(&key.text);
        if is_setting || self.secret_keys.iter().any(|secret| **secret == *key.text) {
            mask_unless_reference(&value, self.report);
        }
        let Some(Open {
            kind: OpenKind::Map(map),
            ..
        }) = self.open.last_mut()
        else {
            return;
        };
        if let Some(first) = map.seen.get(&key.text) {
            let first = self.report.sources.label(*first, "first written here");
            let mut error = Diagnostic::error(format!("`{}` is written twice", key.text));
            error.secondary.push(first);
            self.report.add(key.span, "written again here", error);
            return;
        }
        map.seen.insert(key.text.clone(), key.span);
        match key.is_merge {
            true => map.merged = Some((key.span, value)),
            false => map.entries.push(Entry {
                key: key.text,
                key_span: key.span,
                value,
            }),
        }
    }

    /// The map's own entries, then what its merge key brings in and it does not have itself.
    fn close_map(&mut self, map: OpenMap) -> Vec<Entry> {
        let OpenMap {
            mut entries,
            mut seen,
            merged,
            ..
        } = map;
        let Some((key_span, merged)) = merged else {
            return entries;
        };
        let sources = match &merged.data {
            Data::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(&merged),
        };
        for source in sources {
            let Data::Map(fields) = &source.data else {
                let error = Diagnostic::error("`<<` merges a map or a list of maps")
                    .help("write `<<: *anchor` or `<<: [*first, *second]`");
                self.report.add(key_span, "", error);
                continue;
            };
            for entry in fields.iter() {
                if seen.insert(entry.key.clone(), entry.key_span).is_none() {
                    entries.push(entry.clone());
                }
            }
        }
        entries
    }

    fn map_without_key(&mut self) -> Option<&mut OpenMap> {
        match self.open.last_mut() {
            Some(Open {
                kind: OpenKind::Map(map),
                ..
            }) if map.key.is_none() => Some(map),
            _ => None,
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), Stop> {
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => {
                let error = Diagnostic::error(format!("the tag `{tag}` means nothing here"))
                    .help("remove it; quote a value that is to be text");
                Err(self.stop(span, "", error))
            }
            _ => Ok(()),
        }
    }

    fn key_is_not_text(&mut self, span: Span) -> Stop {
        let error = Diagnostic::error("a key must be text")
            .help("a value that begins with `{`, `[`, `*` or `?` needs quotes when it is meant as text");
        self.stop(span, "", error)
    }

    fn too_deep(&mut self, span: Span) -> Stop {
        self.stop(
            span,
            "",
            Diagnostic::error(format!(
                "maps and lists stand more than {MAX_DEPTH} deep in each other"
            )),
        )
    }

    fn stop(&mut self, span: Span, label: &str, error: Diagnostic) -> Stop {
        self.report.add(span, label, error);
        Stop
    }

    fn not_yaml(&mut self, error: &ScanError) -> Stop {
        let span = self.span(ScanSpan::empty(*error.marker()));
        let line = self.report.sources.line(self.file, span.line as usize).to_owned();
        self.mask_secret_line(span, &line);
        let mut diagnostic = Diagnostic::error(format!("not valid YAML: {}", error.info()));
        let indent = line.len() - line.trim_start().len();
        if line[..indent].contains('\t') {
            diagnostic = diagnostic.help("the line is indented with a tab: YAML takes only spaces");
        }
        self.stop(span, "", diagnostic)
    }

    /// There is no tree to tell what is secret on a line that does not parse: whatever follows such a key is, and all
    /// of a line within such a key's value.
    fn mask_secret_line(&mut self, span: Span, line: &str) {
        let is_secret = |key: &str| self.secret_keys.iter().any(|secret| secret == key);
        let within = self.open.iter().any(
            |open| matches!(&open.kind, OpenKind::Map(map) if map.key.as_ref().is_some_and(|key| is_secret(&key.text))),
        );
        let after = |key: &String| line.find(&format!("{key}:")).map(|at| at + key.len() + 1);
        let start = match within {
            true => Some(0),
            false => self.secret_keys.iter().filter_map(after).min(),
        };
        if let Some(start) = start {
            let column = line[..start].chars().count() as u32 + 1;
            let end_column = line.chars().count() as u32 + 1;
            let end_line = span.line;
            self.report.sources.mask(Span {
                column,
                end_column,
                end_line,
                ..span
            });
        }
    }

    fn span(&self, span: ScanSpan) -> Span {
        let at = |marker: Marker| (marker.line() as u32, marker.col() as u32 + 1);
        let ((line, column), (end_line, end_column)) = (at(span.start), at(span.end));
        Span {
            file: self.file,
            line,
            column,
            end_line,
            end_column,
        }
    }
}

/// Masks what stands where a reference to a secret belongs and is not one: it may be the secret itself.
pub(super) fn mask_unless_reference(node: &Node, report: &mut Report) {
    match &node.data {
        Data::Map(entries) => {
            for entry in entries.iter() {
                let is_reference = match &*entry.key {
                    "env" => entry.value.as_text().is_some_and(super::model::is_env_name),
                    "file" | "exec" => true,
                    _ => false,
                };
                if !is_reference {
                    mask_unless_reference(&entry.value, report);
                }
            }
        }
        Data::Seq(items) => items.iter().for_each(|item| mask_unless_reference(item, report)),
        Data::Null => {}
        _ => report.sources.mask(node.span),
    }
}
