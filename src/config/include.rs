//! The root file and everything it includes.

use std::borrow::Cow;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Report};
use super::parse::parse;
use super::tree::{Data, FileId, Node, Span};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// One parsed file.
#[derive(Debug)]
pub(super) struct Document {
    pub file: FileId,
    pub root: Node,
}

/// Reads files, each once, however many includes name it.
pub(super) struct Loader<'a> {
    pub secret_keys: &'a [String],
    pub report: &'a mut Report,
    pub documents: Vec<Document>,
    /// Whether every file that was named could be read and parsed.
    pub is_complete: bool,
    /// The root file's folder, canonical: nothing outside it is read, for what is wrong with a file is shown with its
    /// lines, and whoever writes a config need not be somebody who may read every file there is.
    folder: PathBuf,
    /// Canonical paths of what has been read.
    read: Vec<PathBuf>,
    /// The files being read now, each including the next: canonical and as shown.
    stack: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Loader<'a> {
    pub fn new(secret_keys: &'a [String], report: &'a mut Report) -> Self {
        Loader {
            secret_keys,
            report,
            documents: Vec::new(),
            is_complete: true,
            folder: PathBuf::new(),
            read: Vec::new(),
            stack: Vec::new(),
        }
    }

    /// Reads the root file and what it includes.
    pub fn load_root(&mut self, path: &Path) {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        self.folder = fs::canonicalize(folder).unwrap_or_default();
        let read = fs::canonicalize(path).and_then(|canonical| match self.is_inside(&canonical) {
            true => read_limited(path).map(|bytes| Some((canonical, bytes))),
            false => Ok(None),
        });
        match read {
            Ok(Some((canonical, bytes))) => self.file(path, canonical, &bytes),
            Ok(None) => {
                let error = format!("{} is a link that leads out of its folder", path.display());
                let error = Diagnostic::error(error).help("name the file itself with --config");
                self.report.add_without_place(error);
            }
            Err(error) => {
                let mut message = Diagnostic::error(format!("failed to read {}: {error}", path.display()));
                if error.kind() == ErrorKind::NotFound {
                    message = message
                        .help("`autogit init` writes a starter file; `--config PATH` names another one");
                }
                self.report.add_without_place(message);
            }
        }
    }

    /// Takes `bytes` for the root file. It cannot include others: nothing is read from disk.
    pub fn load_bytes(&mut self, name: &Path, bytes: &[u8]) {
        let Some(root) = self.parse(name, bytes) else {
            return;
        };
        if let Some(include) = root.entry("include") {
            self.report.add(
                include.key_span,
                "",
                Diagnostic::error("`include` needs a file to be relative to"),
            );
        }
        self.documents.push(Document {
            file: root.span.file,
            root,
        });
    }

    fn is_inside(&self, canonical: &Path) -> bool {
        canonical.starts_with(&self.folder)
    }

    fn file(&mut self, path: &Path, canonical: PathBuf, bytes: &[u8]) {
        self.read.push(canonical.clone());
        let Some(root) = self.parse(path, bytes) else {
            return;
        };
        self.stack.push((canonical, path.to_owned()));
        let include = root.entry("include").map(|entry| entry.value.clone());
        self.documents.push(Document {
            file: root.span.file,
            root,
        });
        if let Some(include) = include {
            self.includes(path, &include);
        }
        self.stack.pop();
    }

    fn parse(&mut self, path: &Path, bytes: &[u8]) -> Option<Node> {
        let errors = self.report.errors();
        let root = self.parse_map(path, bytes);
        self.is_complete &= root.is_some() || self.report.errors() == errors;
        root
    }

    fn parse_map(&mut self, path: &Path, bytes: &[u8]) -> Option<Node> {
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
            Err(error) => Err(&bytes[..error.valid_up_to()]),
        };
        let text = valid.map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
        let file = self.report.sources.add(path.to_owned(), &text);
        if let Err(before) = valid {
            let before = String::from_utf8_lossy(before);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let error = Diagnostic::error("not UTF-8").help("save the file as UTF-8");
            self.report
                .add(Span::point(file, line, column), "not a character", error);
            return None;
        }
        let errors = self.report.errors();
        let root = parse(file, self.secret_keys, self.report);
        let start = Span::point(file, 1, 1);
        match root {
            Some(Node {
                data: Data::Map(_), ..
            }) => root,
            Some(Node { data: Data::Null, .. }) | None if self.report.errors() == errors => {
                let is_root = file == 0;
                let finding = if is_root {
                    Diagnostic::error
                } else {
                    Diagnostic::warning
                };
                let finding = finding("the file is empty").help("a config begins with `autogit: 1`");
                self.report.add(start, "", finding);
                None
            }
            Some(other) if self.report.errors() == errors => {
                let error = Diagnostic::error("a config is a map").help("it begins with `autogit: 1`");
                self.report.add(other.span, "", error);
                None
            }
            _ => None,
        }
    }

    fn includes(&mut self, from: &Path, include: &Node) {
        for pattern in include.items() {
            // What is not a list of texts is reported with the other values.
            if let Some(text) = pattern.as_text() {
                self.include(from, text, pattern.span);
            }
        }
    }

    fn include(&mut self, from: &Path, pattern: &str, span: Span) {
        let directory = from.parent().unwrap_or(Path::new("")).to_string_lossy();
        let full = Path::new(&glob::Pattern::escape(&directory)).join(pattern);
        let matches = match glob::glob(&full.to_string_lossy()) {
            Ok(matches) => matches,
            Err(error) => {
                self.report.add(
                    span,
                    "",
                    Diagnostic::error(format!("not a pattern for files: {}", error.msg)),
                );
                return;
            }
        };
        let mut found = false;
        for path in matches {
            let at = path.as_ref().map_or_else(glob::GlobError::path, PathBuf::as_path);
            if fs::canonicalize(at).is_ok_and(|canonical| !self.is_inside(&canonical)) {
                self.is_complete = false;
                let error = Diagnostic::error(format!("`{pattern}` leads out of the config's folder"));
                self.report.add(span, "", error.help(INSIDE));
                return;
            }
            match path {
                Ok(path) if path.is_dir() => {}
                Ok(path) => {
                    found = true;
                    self.include_file(&path, span);
                }
                Err(error) => {
                    found = true;
                    let (path, error) = (error.path().display().to_string(), error.error());
                    self.report.add(
                        span,
                        "",
                        Diagnostic::error(format!("failed to read {path}: {error}")),
                    );
                }
            }
        }
        if !found {
            self.is_complete = false;
            let error = Diagnostic::error(format!("`{pattern}` matches no file"));
            let error = error.help("an include is relative to the file it is written in; remove it until there is something to include");
            self.report.add(span, "", error);
        }
    }

    fn include_file(&mut self, path: &Path, span: Span) {
        let read = fs::canonicalize(path).and_then(|canonical| Ok((canonical, read_limited(path)?)));
        let (canonical, bytes) = match read {
            Ok(read) => read,
            Err(error) => {
                self.is_complete = false;
                self.report.add(
                    span,
                    "",
                    Diagnostic::error(format!("failed to read {}: {error}", path.display())),
                );
                return;
            }
        };
        if let Some(first) = self.stack.iter().position(|(open, _)| *open == canonical) {
            let (_, again) = &self.stack[first];
            let cycle = self.stack[first..].iter().map(|(_, shown)| shown).chain([again]);
            let cycle: Vec<_> = cycle.map(|path| path.display().to_string()).collect();
            let error = Diagnostic::error("includes that go round in a circle").help(cycle.join(" → "));
            self.report.add(span, "", error);
        } else if !self.read.contains(&canonical) {
            self.file(path, canonical, &bytes);
        }
    }
}

const INSIDE: &str = "only what is in the root file's folder, or below it, is included: put the file there";

fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other(format!(
            "it is larger than {} MiB",
            MAX_FILE >> 20
        )));
    }
    Ok(bytes)
}
