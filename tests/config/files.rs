//! Several files: what they include, and what is wrong with that.

use std::fs;
use std::path::Path;

use autogit::config::{Loaded, load};

use crate::{rendered, shapes::SHAPES};

/// Writes files into a new directory and loads its `autogit.yaml`.
fn load_files(files: &[(&str, &str)]) -> (tempfile::TempDir, Loaded) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let loaded = load(&directory.path().join("autogit.yaml"), SHAPES);
    (directory, loaded)
}

/// Compares what is said of the files with a snapshot.
fn check_errors(name: &str, files: &[(&str, &str)]) {
    let (directory, loaded) = load_files(files);
    assert!(loaded.config.is_none(), "{name}");
    let texts: String = files
        .iter()
        .map(|(name, text)| format!("# {name}\n{text}"))
        .collect();
    check_rendered(name, &texts, directory.path(), &loaded);
}

fn check_rendered(name: &str, texts: &str, directory: &Path, loaded: &Loaded) {
    let said = rendered(loaded).replace(&directory.display().to_string(), "DIR");
    insta::assert_snapshot!(name, format!("{texts}\n────\n{said}"));
}

#[test]
fn includes_are_relative_to_the_file_they_stand_in_and_read_once() {
    let (_directory, loaded) = load_files(&[
        (
            "autogit.yaml",
            "autogit: 1\ninclude: [\"[t]eams/*.yaml\", teams/a.yaml]\npresets: {p: {visibility: private}}\n",
        ),
        (
            "teams/a.yaml",
            "repos: {a/one: {preset: p}}\ninclude: [more/*.yaml]\n",
        ),
        (
            "teams/b.yaml",
            "autogit: 1\nrepos: {b/one: {}}\ninclude: [more/c.yaml]\n",
        ),
        ("teams/more/c.yaml", "repos: {c/one: {}}\n"),
    ]);
    let config = loaded
        .config
        .as_ref()
        .unwrap_or_else(|| panic!("{}", rendered(&loaded)));
    let addresses: Vec<_> = config.declarations.keys().map(ToString::to_string).collect();
    assert_eq!(addresses, ["repo.a/one", "repo.b/one", "repo.c/one"]);
    assert_eq!(loaded.sources.paths().count(), 4);
    assert!(loaded.diagnostics.is_empty(), "{}", rendered(&loaded));
}

/// Whoever writes a config may be somebody who must not read what the machine that plans it can read.
#[test]
fn nothing_outside_the_folder_of_the_root_is_read_or_shown() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("forge");
    fs::create_dir(&folder).unwrap();
    let outside = directory.path().join("outside.yaml");
    fs::write(&outside, "canary: [\n").unwrap();
    std::os::unix::fs::symlink(&outside, folder.join("link.yaml")).unwrap();
    std::os::unix::fs::symlink(directory.path(), folder.join("up")).unwrap();
    let root = folder.join("autogit.yaml");
    for include in [
        &outside.display().to_string(),
        "../outside.yaml",
        "../*.yaml",
        "*/outside.yaml",
        "link.yaml",
        "/proc/self/environ",
    ] {
        fs::write(&root, format!("autogit: 1\ninclude: [\"{include}\"]\n")).unwrap();
        let loaded = load(&root, SHAPES);
        let said = rendered(&loaded);
        assert!(said.contains("leads out of the config's folder"), "{said}");
        assert!(!said.contains("canary") && !said.contains("PATH="), "{said}");
        assert!(loaded.config.is_none());
    }
    fs::remove_file(&root).unwrap();
    std::os::unix::fs::symlink(&outside, &root).unwrap();
    let said = rendered(&load(&root, SHAPES));
    assert!(said.contains("a link that leads out of its folder"), "{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn directories_with_the_signs_of_patterns_in_their_names_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let odd = directory.path().join("a[1]*");
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("autogit.yaml"), "autogit: 1\ninclude: [x.yaml]\n").unwrap();
    fs::write(odd.join("x.yaml"), "repos: {a/b: {}}\n").unwrap();
    let loaded = load(&odd.join("autogit.yaml"), SHAPES);
    assert_eq!(loaded.config.map(|config| config.declarations.len()), Some(1));
}

#[test]
fn includes_gone_wrong() {
    check_errors(
        "include_matches_nothing",
        &[(
            "autogit.yaml",
            "autogit: 1\ninclude: [teams/*.yaml]\nrepos: {a/b: {preset: p}}\n",
        )],
    );
    check_errors(
        "include_not_a_list",
        &[("autogit.yaml", "autogit: 1\ninclude: teams.yaml\n")],
    );
    check_errors(
        "include_bad_pattern",
        &[("autogit.yaml", "autogit: 1\ninclude: [\"a***\"]\n")],
    );
    check_errors(
        "include_cycle",
        &[
            ("autogit.yaml", "autogit: 1\ninclude: [a.yaml]\n"),
            ("a.yaml", "include: [b/b.yaml]\n"),
            ("b/b.yaml", "x-b: 1\ninclude: [../a.yaml]\n"),
        ],
    );
    check_errors(
        "include_of_itself",
        &[("autogit.yaml", "autogit: 1\ninclude: [\"*.yaml\"]\n")],
    );
}

#[test]
fn files_that_contradict_each_other() {
    check_errors(
        "files_same_address",
        &[
            (
                "autogit.yaml",
                "autogit: 1\ninclude: [a.yaml]\nrepos: {a/b: {}}\n",
            ),
            ("a.yaml", "repos:\n  A/b: {}\n"),
        ],
    );
    check_errors(
        "files_gitlab_and_prune_twice",
        &[
            (
                "autogit.yaml",
                "autogit: 1\ninclude: [a.yaml]\ngitlab: {}\nprune: all\n",
            ),
            ("a.yaml", "gitlab: {}\nprune: none\n"),
        ],
    );
    check_errors(
        "files_same_preset",
        &[
            (
                "autogit.yaml",
                "autogit: 1\ninclude: [a.yaml]\npresets: {p: {}}\nrepos: {a/b: {preset: p}}\n",
            ),
            ("a.yaml", "presets: {p: {}}\n"),
        ],
    );
    check_errors(
        "files_same_rule",
        &[
            (
                "autogit.yaml",
                "autogit: 1\ninclude: [a.yaml]\nrules: {r: {match: {path: \"**\"}}}\n",
            ),
            ("a.yaml", "rules: {r: {match: {path: a/b}}}\n"),
        ],
    );
    check_errors(
        "files_other_version",
        &[
            ("autogit.yaml", "autogit: 1\ninclude: [a.yaml]\n"),
            ("a.yaml", "autogit: 2\n"),
        ],
    );
    check_errors(
        "files_errors_of_all",
        &[
            (
                "autogit.yaml",
                "autogit: 1\ninclude: [a.yaml, b.yaml]\nrepos: {a/b: {preset: in_a}, a/c: {topics: x}}\n",
            ),
            ("a.yaml", "presets: {in_a: {}\n"),
            ("b.yaml", "repos: {b/b: {colour: red}}\n"),
        ],
    );
}

#[test]
fn rules_of_several_files_stand_in_the_order_of_the_files() {
    let (_directory, loaded) = load_files(&[
        (
            "autogit.yaml",
            "autogit: 1\ninclude: [a.yaml]\nrules: {z: {match: {path: \"**\"}, queue: 1, merge_method: root}}\nrepos: {a/b: {}}\n",
        ),
        ("a.yaml", "rules: {a: {match: {path: a/b}, queue: 2}}\n"),
    ]);
    let config = loaded
        .config
        .as_ref()
        .unwrap_or_else(|| panic!("{}", rendered(&loaded)));
    let value = &config.declarations[&"repo.a/b".parse().unwrap()].value;
    assert_eq!(
        (&value["queue"], &value["merge_method"]),
        (&2.into(), &"root".into())
    );
}

#[test]
fn files_that_cannot_be_read() {
    check_errors("read_missing", &[("other.yaml", "autogit: 1\n")]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("autogit.yaml");
    fs::write(&path, b"autogit: 1\nrepos: {\xffa/b: {}}\n").unwrap();
    check_rendered("read_not_utf8", "", directory.path(), &load(&path, SHAPES));
    fs::File::create(&path).unwrap().set_len((64 << 20) + 1).unwrap();
    check_rendered("read_too_large", "", directory.path(), &load(&path, SHAPES));
}

#[test]
fn an_include_with_nothing_in_it_is_only_remarked_on() {
    let (directory, loaded) = load_files(&[
        ("autogit.yaml", "autogit: 1\ninclude: [a.yaml]\n"),
        ("a.yaml", "# later\n"),
    ]);
    assert!(loaded.config.is_some());
    check_rendered("include_empty", "", directory.path(), &loaded);
}
