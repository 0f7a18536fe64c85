//! From files to a config: each step takes what the last one made, and all of them report to one place.

use std::path::Path;

use serde_json::Value;

use super::decode::Decoder;
use super::diagnostic::{Diagnostic, Report, Sources};
use super::grammar::{Grammar, secret_keys};
use super::include::{Document, Loader};
use super::layout::Layout;
use super::model::Config;
use super::paths::check_paths;
use super::schema::{GITLAB, schema};
use super::shape::Shape;
use super::shorthand::write_out;

/// What came of loading a config.
#[derive(Debug)]
pub struct Loaded {
    /// The config; `None` when there is any error.
    pub config: Option<Config>,
    /// The files' text, to show diagnostics with.
    pub sources: Sources,
    /// Everything found, errors and warnings, in the order of the files and their lines.
    pub diagnostics: Vec<Diagnostic>,
    pub(super) documents: Vec<Document>,
    pub(super) shapes: Vec<Shape>,
    pub(super) grammar: Grammar,
}

/// Loads the config at `path`, with what it includes.
pub fn load(path: &Path, shapes: &[Shape]) -> Loaded {
    run(shapes, |loader| loader.load_root(path))
}

/// Loads a config from memory, as if it were a file called `name`. It cannot include others: nothing is read from disk.
pub fn load_bytes(name: &Path, bytes: &[u8], shapes: &[Shape]) -> Loaded {
    run(shapes, |loader| loader.load_bytes(name, bytes))
}

fn run(shapes: &[Shape], read: impl FnOnce(&mut Loader)) -> Loaded {
    let schema = schema(shapes);
    let grammar = compile(&schema);
    let secret_keys = secret_keys(&schema);
    let mut report = Report::default();
    let mut loader = Loader::new(&secret_keys, &mut report);
    read(&mut loader);
    let (mut documents, is_complete) = (loader.documents, loader.is_complete);
    write_out(&mut documents, shapes);
    let layout = Layout::new(&documents, shapes, &mut report);
    check_paths(&layout, &mut report);
    let mut decoder = Decoder {
        shapes,
        layout: &layout,
        grammar: &grammar,
        report: &mut report,
        is_complete,
        config: Config::default(),
        values: 0,
    };
    decoder.run();
    let config = decoder.config;
    let config = (report.errors() == 0).then_some(config);
    let (sources, diagnostics) = report.finish();
    Loaded {
        config,
        sources,
        diagnostics,
        documents,
        shapes: shapes.to_vec(),
        grammar,
    }
}

/// The grammar, with the names that are kept for what is not built yet.
fn compile(schema: &Value) -> Grammar {
    let mut grammar = Grammar::compile(schema);
    grammar.set_planned(GITLAB, &["deploy", "settings"]);
    grammar
}
