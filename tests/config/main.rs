//! The loader, as the rest of the house and its users see it.

mod diagnostics;
mod files;
mod fuzz_smoke;
mod language;
mod load_any;
mod rules;
mod shapes;

use std::path::Path;

use autogit::config::{Config, Loaded, load_bytes};

/// Loads a text with the test kinds.
fn load_text(text: &str) -> Loaded {
    load_bytes(Path::new("autogit.yaml"), text.as_bytes(), shapes::SHAPES)
}

/// Everything found, as a user sees it.
fn rendered(loaded: &Loaded) -> String {
    let diagnostics: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|diagnostic| loaded.sources.render(diagnostic, false))
        .collect();
    diagnostics.join("\n\n")
}

/// The config of a text in which nothing is wrong.
fn config(text: &str) -> Config {
    let loaded = load_text(text);
    loaded
        .config
        .clone()
        .unwrap_or_else(|| panic!("{}", rendered(&loaded)))
}
