//! What rules mean: which repos they are for, what wins, and what they say of repos that nobody listed.

use autogit::config::{Config, Listed, Mode, Policy, Roots, Settled, Via};
use autogit::core::{Address, Path};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::language::{address, declared, declares, fields, merge, written_out};
use crate::{config, load_text, rendered};

/// A private repo without topics.
fn listed(path: &str) -> Listed {
    Listed {
        path: path.into(),
        visibility: "private".into(),
        archived: false,
        topics: Vec::new(),
    }
}

/// Judges the rules of a text by what exists. Nothing may be wrong with it.
fn settle(text: &str, listed: &[Listed]) -> Settled {
    let loaded = load_text(text);
    assert!(loaded.config.is_some(), "{}", rendered(&loaded));
    let settled = loaded.settle(listed);
    let said: Vec<_> = settled
        .diagnostics
        .iter()
        .map(|diagnostic| settled.sources.render(diagnostic, false))
        .collect();
    assert!(settled.config.is_some(), "{}", said.join("\n"));
    settled
}

fn settled(text: &str, listed: &[Listed]) -> Config {
    settle(text, listed).config.unwrap()
}

fn value(config: &Config, at: &str) -> Value {
    Value::Object(config.declarations[&address(at)].value.clone())
}

fn addresses(config: &Config) -> Vec<String> {
    config.declarations.keys().map(Address::to_string).collect()
}

#[test]
fn rules_merge_between_presets_and_own_fields_and_locks_beat_all() {
    let text = "autogit: 1
presets:
  base: {visibility: public, description: base, merge_method: base, squash_option: base}
  service: {merge_method: service, topics: [service]}
rules:
  first: {match: {path: \"a/**\"}, preset: service, description: first, squash_option: first, queue: 1}
  second: {match: {path: \"a/*\"}, queue: 2, default_branch: second, locked: {visibility: private}}
  other: {match: {path: \"b/**\"}, queue: 3}
repos: {a/b: {preset: base, default_branch: own, visibility: internal}}
";
    let expected = json!({
        "visibility": "private", "description": "first", "merge_method": "service", "squash_option": "first",
        "topics": ["service"], "queue": 2, "default_branch": "own",
    });
    let config = config(text);
    assert_eq!(value(&config, "repo.a/b"), expected);
    let origins = &config.declarations[&address("repo.a/b")].origins;
    let via = |field: &str| origins[field].via.clone().map(|via| via.to_string());
    assert_eq!(via("visibility").unwrap(), "lock of rule second");
    assert_eq!(via("queue").unwrap(), "rule second");
    assert_eq!(via("merge_method").unwrap(), "rule first, preset service");
    assert_eq!(via("default_branch"), None);
    assert_eq!(
        origins["queue"].via.as_ref().and_then(Via::rule).unwrap(),
        "second"
    );
}

#[test]
fn nested_collections_policies_and_nulls_come_from_rules_too() {
    let text = "autogit: 1
rules:
  baseline:
    match: {path: \"a/*\"}
    description: null
    members: {alice: admin, bob: developer}
    members_policy: exact
    protected_branches: {main: {allow_force_push: true}}
    locked: {protected_branches: {main: {allow_force_push: false}}, members: {bob: maintainer}}
presets: {p: {description: x}}
repos: {a/b: {preset: p, members: {alice: null, carol: developer}, protected_branches: {main: {push_access_level: admin}}}}
";
    let config = config(text);
    assert_eq!(
        addresses(&config),
        [
            "protected_branch.a/b:main",
            "repo.a/b",
            "repo_member.a/b:bob",
            "repo_member.a/b:carol"
        ]
    );
    assert_eq!(value(&config, "repo.a/b"), json!({}));
    assert_eq!(
        value(&config, "repo_member.a/b:bob"),
        json!({"access_level": "maintainer"})
    );
    assert_eq!(
        value(&config, "protected_branch.a/b:main"),
        json!({"push_access_level": "admin", "allow_force_push": false})
    );
    let policies: Vec<_> = config.policies.values().collect();
    assert_eq!(policies, [&Policy::Exact]);
    let bob = &config.declarations[&address("repo_member.a/b:bob")];
    assert_eq!(bob.via, Some(Via::Lock("baseline".into())));
}

#[test]
fn conditions_all_have_to_hold() {
    for (condition, matching) in [
        ("path: \"platform/**\"", vec!["platform/api", "platform/team/ui"]),
        ("path: [\"PLATFORM/*\", other/x], not: \"*/api\"", vec!["other/x"]),
        ("topics: [Rust, service]", vec!["platform/api"]),
        (
            "visibility: [public, internal]",
            vec!["other/x", "platform/team/ui"],
        ),
        ("visibility: private", vec!["platform/api"]),
        ("archived: true", vec!["other/x"]),
        (
            "archived: false, path: \"**\"",
            vec!["platform/api", "platform/team/ui"],
        ),
        ("listed: true", vec!["platform/api"]),
        ("listed: false", vec!["other/x", "platform/team/ui"]),
    ] {
        let text = format!(
            "autogit: 1\nrules: {{r: {{match: {{{condition}}}, queue: 7}}}}\nrepos: {{platform/api: {{topics: [rust, Service, x]}}}}\n"
        );
        let listed = [
            listed("platform/api"),
            Listed {
                visibility: "internal".into(),
                topics: vec!["rust".into()],
                ..listed("platform/team/ui")
            },
            Listed {
                visibility: "public".into(),
                archived: true,
                ..listed("other/x")
            },
        ];
        let config = settled(&text, &listed);
        let matched = config.declarations.iter();
        let matched = matched.filter(|(_, declared)| declared.value.contains_key("queue"));
        let matched: Vec<_> = matched.map(|(address, _)| address.key.path.as_str()).collect();
        assert_eq!(matched, matching, "{condition}");
    }
}

#[test]
fn what_is_declared_counts_before_what_is_live_and_offline_alone() {
    let text = "autogit: 1
presets: {p: {visibility: internal}}
rules:
  first: {match: {path: \"**\"}, topics: [team]}
  by_topic: {match: {topics: [team]}, merge_method: by_topic}
  by_visibility: {match: {visibility: internal}, squash_option: by_visibility}
  by_archived: {match: {archived: false}, default_branch: by_archived}
repos: {a/declared: {preset: p, archived: false}, a/open: {}, a/cleared: {topics: [], visibility: public, archived: true}}
";
    let by = |config: &Config, path: &str| {
        let value = &config.declarations[&address(&format!("repo.{path}"))].value;
        ["merge_method", "squash_option", "default_branch"].map(|field| value.contains_key(field))
    };
    let offline = config(text);
    assert_eq!(by(&offline, "a/declared"), [true, true, true]);
    assert_eq!(by(&offline, "a/open"), [true, false, false]);
    assert_eq!(by(&offline, "a/cleared"), [false, false, false]);
    let live = |path: &str| Listed {
        visibility: "internal".into(),
        topics: vec!["team".into()],
        ..listed(path)
    };
    let settled = settled(text, &["a/declared", "a/open", "a/cleared", "a/new"].map(live));
    assert_eq!(by(&settled, "a/declared"), [true, true, true]);
    assert_eq!(by(&settled, "a/open"), [true, true, true]);
    assert_eq!(by(&settled, "a/cleared"), [false, false, false]);
    assert_eq!(by(&settled, "a/new"), [true, true, true]);
}

#[test]
fn repos_that_nobody_listed_are_declared_by_the_rule() {
    let text = "autogit: 1
rules:
  baseline:
    match: {path: \"a/**\", not: a/out}
    visibility: private
    protected_branches: {main: {}}
groups: {a/gone: {absent: true}}
repos:
  a/old: {absent: true}
  a/listed: {}
";
    let listed = ["a/b", "a/out", "a/old", "A/Listed", "a/gone/x", "c/d"].map(listed);
    let config = settled(text, &listed);
    assert_eq!(
        addresses(&config),
        [
            "group.a/gone",
            "protected_branch.a/b:main",
            "protected_branch.a/listed:main",
            "repo.a/b",
            "repo.a/listed",
            "repo.a/old"
        ]
    );
    let declared = &config.declarations[&address("repo.a/b")];
    assert_eq!((declared.position.line, declared.position.column), (3, 3));
    assert_eq!(declared.via, Some(Via::Rule("baseline".into())));
    assert!(config.declarations[&address("repo.a/old")].value.is_empty());
    assert_eq!(config.declarations[&address("repo.a/listed")].via, None);
}

#[test]
fn what_moves_is_matched_where_it_goes() {
    let text = "autogit: 1
rules: {r: {match: {path: \"new/**\", visibility: internal}, queue: 7}}
groups: {new: {moved_from: old}}
repos: {new/b: {moved_from: elsewhere/b}}
";
    let listed = ["old/a", "elsewhere/b", "old/sub/c"].map(|path| Listed {
        visibility: "internal".into(),
        ..listed(path)
    });
    let config = settled(text, &listed);
    assert_eq!(
        addresses(&config),
        ["group.new", "repo.new/a", "repo.new/b", "repo.new/sub/c"]
    );
    assert_eq!(value(&config, "repo.new/b"), json!({"queue": 7}));
    let roots = ["elsewhere", "new", "old"].map(Path::from).into();
    assert_eq!(load_text(text).roots(), Some(Roots::Groups(roots)));
}

#[test]
fn roots_are_as_narrow_as_the_globs() {
    let roots = |rules: &str| load_text(&format!("autogit: 1\nrules: {{{rules}}}\n")).roots();
    let groups = |paths: &[&str]| {
        Some(Roots::Groups(
            paths.iter().map(|path| Path::from(*path)).collect(),
        ))
    };
    assert_eq!(load_text("autogit: 1\nrepos: {a/b: {}}\n").roots(), None);
    assert_eq!(
        roots("r: {match: {path: [\"a/**\", \"B/x\"]}}, s: {match: {path: \"a/[c]*\"}}"),
        groups(&["a", "b"])
    );
    for everything in [
        "{path: \"*/x\"}",
        "{path: [a/b, \"a*/x\"]}",
        "{topics: [x]}",
        "{path: \"**\"}",
    ] {
        assert_eq!(
            roots(&format!(
                "r: {{match: {{path: \"a/**\"}}}}, s: {{match: {everything}}}"
            )),
            Some(Roots::Everything),
            "{everything}"
        );
    }
}

#[test]
fn rules_that_report_change_only_what_is_reported() {
    let text = "autogit: 1
rules:
  baseline: {match: {path: \"a/**\"}, queue: 1}
  trial: {match: {path: \"a/*\"}, mode: report, queue: 2, locked: {visibility: private}}
repos: {a/b: {visibility: public}}
";
    let Settled {
        config,
        reported,
        reporting,
        diagnostics,
        ..
    } = settle(text, &["a/b", "a/c", "a/d/e"].map(listed));
    let (config, reported) = (config.unwrap(), reported.unwrap());
    assert_eq!(
        value(&config, "repo.a/b"),
        json!({"queue": 1, "visibility": "public"})
    );
    assert_eq!(
        value(&reported, "repo.a/b"),
        json!({"queue": 2, "visibility": "private"})
    );
    assert_eq!(value(&config, "repo.a/c"), json!({"queue": 1}));
    assert_eq!(
        value(&reported, "repo.a/c"),
        json!({"queue": 2, "visibility": "private"})
    );
    assert_eq!(value(&reported, "repo.a/d/e"), json!({"queue": 1}));
    assert_eq!(reporting.len(), 1);
    assert_eq!((&*reporting[0].rule, reporting[0].position.line), ("trial", 4));
    assert_eq!(reporting[0].repos, ["a/b", "a/c"].map(Path::from).into());
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let enforced = text.replace("mode: report", "mode: enforce");
    assert!(settle(&enforced, &[listed("a/b")]).reported.is_none());
    assert_eq!(Mode::default(), Mode::Enforce);
}

#[test]
fn explain_names_rules_and_locks() {
    let text = "autogit: 1
presets: {service: {queue: 3}}
rules:
  baseline: {match: {path: \"a/**\"}, preset: service, visibility: public, locked: {visibility: private}}
  by_topic: {match: {topics: [x]}, description: x}
repos:
  a/b: {queue: 4}
";
    let loaded = load_text(text);
    let listed = [Listed {
        topics: vec!["x".into()],
        ..listed("a/c")
    }];
    let told = |at: &str, listed: Option<&[Listed]>| {
        let explanation = loaded.explain(&address(at), listed)?;
        let mut told = vec![explanation.position.line.to_string()];
        for field in explanation.fields {
            let over = field.overridden.iter();
            let over: Vec<_> = over.map(|(value, origin)| format!("{value} {origin}")).collect();
            told.push(format!(
                "{} = {} {} {over:?}",
                field.field, field.value, field.origin
            ));
        }
        Some(told)
    };
    let visibility = r#"visibility = "private" autogit.yaml:4:83 (lock of rule baseline) ["\"public\" autogit.yaml:4:54 (rule baseline)"]"#;
    assert_eq!(
        told("repo.a/b", None).unwrap(),
        [
            "7",
            r#"queue = 4 autogit.yaml:7:9 ["3 autogit.yaml:2:21 (rule baseline, preset service)"]"#,
            visibility
        ]
    );
    assert_eq!(told("repo.a/c", None), None);
    assert_eq!(
        told("repo.a/c", Some(&listed)).unwrap(),
        [
            "4",
            r#"description = "x" autogit.yaml:5:36 (rule by_topic) []"#,
            "queue = 3 autogit.yaml:2:21 (rule baseline, preset service) []",
            visibility
        ]
    );
    assert_eq!(told("repo.b/c", Some(&listed)), None);
}

proptest! {
    #[test]
    fn rules_and_locks_merge_as_a_fold_from_the_weakest(layers in proptest::collection::vec(fields(), 1..5), lock in fields()) {
        let (own, rules) = layers.split_last().unwrap();
        let rule = |(number, rule): (usize, &Value)| {
            let mut rule = rule.clone();
            rule["match"] = json!({"path": "a/*"});
            (format!("r{number}"), rule)
        };
        let mut rules: Map<String, Value> = rules.iter().enumerate().map(rule).collect();
        // Locks win wherever their rule stands.
        rules.insert("a_lock".into(), json!({"match": {"path": "a/*"}, "locked": lock}));
        let text = json!({"autogit": 1, "rules": rules, "repos": {"a/b": own}}).to_string();
        let all = layers.iter().chain([&lock]);
        let merged = all.map(written_out).reduce(|weak, strong| merge(&weak, &strong)).unwrap();
        prop_assert_eq!(declares(&config(&text)), declared(&merged));
    }

    #[test]
    fn agreeing_locks_change_nothing_whatever_their_order(lock in fields(), own in fields()) {
        let rule = json!({"match": {"path": "a/*"}, "locked": lock});
        let text = |rules: Value| json!({"autogit": 1, "rules": rules, "repos": {"a/b": own}}).to_string();
        let (one, two) = (text(json!({"r": rule})), text(json!({"q": rule, "r": rule})));
        prop_assert_eq!(declares(&config(&one)), declares(&config(&two)));
    }
}
