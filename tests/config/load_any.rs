//! What must hold for any bytes whatever: shared by the fuzz target and its smoke test.

use std::path::Path;

use autogit::config::{Listed, Loaded, Severity, load_bytes};

use super::shapes::SHAPES;

/// Loads the bytes, shows all that is wrong with them, and explains all that is declared: by the files alone, and then
/// with some repos that exist.
pub fn load_any(data: &[u8]) {
    let loaded = load_bytes(Path::new("autogit.yaml"), data, SHAPES);
    for diagnostic in &loaded.diagnostics {
        assert!(!loaded.sources.render(diagnostic, true).is_empty());
    }
    let has_errors = loaded
        .diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_ne!(loaded.config.is_some(), has_errors);
    for address in loaded
        .config
        .iter()
        .flat_map(|config| config.declarations.keys())
        .take(10)
    {
        assert!(loaded.explain(address, None).is_some(), "{address}");
    }
    if loaded.config.is_some() {
        settle_any(&loaded);
    }
}

fn settle_any(loaded: &Loaded) {
    let listed = ["a/b", "a/c", "other/x"].map(|path| Listed {
        path: path.into(),
        visibility: "private".into(),
        archived: false,
        topics: vec!["x".into()],
    });
    let settled = loaded.settle(&listed);
    for diagnostic in &settled.diagnostics {
        assert!(!settled.sources.render(diagnostic, true).is_empty());
    }
    let addresses = settled
        .config
        .iter()
        .flat_map(|config| config.declarations.keys());
    for address in addresses.take(10) {
        assert!(loaded.explain(address, Some(&listed)).is_some(), "{address}");
    }
}
