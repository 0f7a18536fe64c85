//! What a config means: types, merging, origins.

use std::path::PathBuf;

use autogit::config::{
    Config, Declaration, Edition, Origin, Policy, Prune, SecretRef, Severity, Via, load_bytes, reference,
    schema, starter,
};
use autogit::core::{Address, Path};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{config, load_text, rendered, shapes::SHAPES};

pub fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn value(text: &str, at: &str) -> Value {
    Value::Object(config(text).declarations[&address(at)].value.clone())
}

#[test]
fn the_gitlab_section_and_prune_are_read() {
    let config = config(
        "autogit: 1\nprune: none\ngitlab: {url: \"https://git.example.org/gitlab\", token: {env: TOKEN}, edition: ee, ca_file: ca.pem}\n",
    );
    assert_eq!(config.prune, Prune::None);
    assert_eq!(
        config.gitlab.url.unwrap().as_str(),
        "https://git.example.org/gitlab"
    );
    assert_eq!(config.gitlab.token, Some(SecretRef::Env("TOKEN".into())));
    assert_eq!(config.gitlab.edition, Some(Edition::Ee));
    assert_eq!(config.gitlab.ca_file, Some(PathBuf::from("ca.pem")));
}

#[test]
fn every_form_of_reference_is_read() {
    for (written, read) in [
        ("{env: A_1}", SecretRef::Env("A_1".into())),
        ("{file: secrets/token}", SecretRef::File("secrets/token".into())),
        (
            "{exec: [pass, show, gitlab]}",
            SecretRef::Exec(vec!["pass".into(), "show".into(), "gitlab".into()]),
        ),
    ] {
        let config = config(&format!("autogit: 1\ngitlab: {{token: {written}}}\n"));
        assert_eq!(config.gitlab.token, Some(read));
    }
}

#[test]
fn presets_are_merged_in_order_then_the_own_fields() {
    let text = "autogit: 1
presets:
  base: {visibility: private, topics: [a, b], mirror: {host: one, password: {env: P}}, description: base, queue: 3}
  service: {topics: [c], mirror: {host: two}, queue: null}
repos:
  a/b:
    preset: [base, service]
    description: null
    visibility: public
";
    let expected =
        json!({"visibility": "public", "topics": ["c"], "mirror": {"host": "two", "password": {"env": "P"}}});
    assert_eq!(value(text, "repo.a/b"), expected);
}

#[test]
fn empty_values_clear_and_null_inside_a_map_is_left_out() {
    let text = "autogit: 1
presets: {p: {description: x, topics: [a], mirror: {host: h, password: {env: P}}}}
repos: {a/b: {preset: p, description: \"\", topics: [], mirror: {password: ~}}}
";
    assert_eq!(
        value(text, "repo.a/b"),
        json!({"description": "", "topics": [], "mirror": {"host": "h"}})
    );
}

#[test]
fn a_reference_to_a_secret_is_one_value() {
    let text = "autogit: 1
presets: {p: {mirror: {host: h, password: {env: P}}}}
repos: {a/b: {preset: p, mirror: {password: {file: p.txt}}}}
";
    let expected = json!({"mirror": {"host": "h", "password": {"file": "p.txt"}}});
    assert_eq!(value(text, "repo.a/b"), expected);
}

#[test]
fn anchors_and_merge_keys_give_defaults_that_own_keys_override() {
    let text = "autogit: 1
x-first: &first {visibility: private, queue: 1}
x-second: &second {visibility: public, description: second}
repos: {a/b: {<<: [*first, *second], queue: 2, topics: &t [a]}, a/c: {topics: *t}}
";
    assert_eq!(
        value(text, "repo.a/b"),
        json!({"visibility": "private", "description": "second", "queue": 2, "topics": ["a"]})
    );
    assert_eq!(value(text, "repo.a/c"), json!({"topics": ["a"]}));
}

#[test]
fn nested_resources_are_declared_under_their_own_address() {
    let config = config(
        "autogit: 1
presets: {p: {protected_branches: {\"@default\": {push_access_level: no_one}, old: {push_access_level: admin}, gone: {}}}}
repos:
  a/b: {preset: p, protected_branches: {\"@default\": {allow_force_push: true}, old: {absent: true}, gone: null, \"release/*\": {}}}
  a/c: {protected_branches: {}}
  a/d: {preset: p, protected_branches: null}
",
    );
    let names: Vec<_> = config
        .declarations
        .keys()
        .filter(|address| address.kind == "protected_branch")
        .map(|address| address.key.name())
        .collect();
    assert_eq!(names, ["@default", "old", "release/*"]);
    let default = &config.declarations[&address("protected_branch.a/b:@default")];
    assert_eq!(
        Value::Object(default.value.clone()),
        json!({"push_access_level": "no_one", "allow_force_push": true})
    );
    let old = &config.declarations[&address("protected_branch.a/b:old")];
    assert!(old.absent && old.value.is_empty());
    let collections: Vec<_> = config.collections.keys().cloned().collect();
    let of = |path: &str| ("protected_branch".to_owned(), Path::from(path));
    assert_eq!(collections, [of("a/b"), of("a/c")]);
}

#[test]
fn a_plain_value_is_short_for_one_field() {
    let text = "autogit: 1
x-team: &team {alice: admin, bob: developer}
presets: {p: {members: {alice: developer, bob: {access_level: admin, expires_at: \"2027-01-31\"}}}}
groups: {a: {members: *team}}
repos: {a/b: {preset: p, members: {alice: maintainer, bob: maintainer, carol: null}}}
";
    for (at, expected) in [
        ("group_member.a:alice", json!({"access_level": "admin"})),
        ("group_member.a:bob", json!({"access_level": "developer"})),
        ("repo_member.a/b:alice", json!({"access_level": "maintainer"})),
        (
            "repo_member.a/b:bob",
            json!({"access_level": "maintainer", "expires_at": "2027-01-31"}),
        ),
    ] {
        assert_eq!(value(text, at), expected, "{at}");
    }
    let config = config(text);
    assert!(
        !config
            .declarations
            .contains_key(&address("repo_member.a/b:carol"))
    );
    let Origin { position, via } =
        &config.declarations[&address("repo_member.a/b:alice")].origins["access_level"];
    assert_eq!((position.line, position.column, via), (5, 43, &None));
}

#[test]
fn a_policy_is_merged_like_any_field() {
    let config = config(
        "autogit: 1
presets:
  p: {members: {alice: admin}, members_policy: exact}
groups: {a: {members: {}, members_policy: exact}, b: {members: {alice: admin}}, c: {members_policy: at_least}}
repos:
  a/b: {preset: p}
  a/c: {preset: p, members_policy: at_least}
  a/d: {preset: p, members_policy: null}
",
    );
    let policies: Vec<_> = config.policies.iter().collect();
    let of = |kind: &str, path: &str| (kind.to_owned(), Path::from(path));
    assert_eq!(
        policies,
        [
            (&of("group_member", "a"), &Policy::Exact),
            (&of("group_member", "c"), &Policy::AtLeast),
            (&of("repo_member", "a/b"), &Policy::Exact),
            (&of("repo_member", "a/c"), &Policy::AtLeast),
        ]
    );
    let repo = &config.declarations[&address("repo.a/b")];
    assert!(repo.value.is_empty() && repo.origins.is_empty());
}

#[test]
fn fields_say_where_they_come_from() {
    let config = config(
        "autogit: 1\npresets: {p: {visibility: private}}\nrepos:\n  a/b:\n    preset: p\n    description: x\n",
    );
    let Declaration {
        origins, position, ..
    } = &config.declarations[&address("repo.a/b")];
    assert_eq!((position.line, position.column), (4, 3));
    let visibility = &origins["visibility"];
    assert_eq!(
        (
            visibility.position.line,
            visibility.position.column,
            &visibility.via
        ),
        (2, 15, &Some(Via::Preset("p".into())))
    );
    let description = &origins["description"];
    assert_eq!(
        (
            description.position.line,
            description.position.column,
            &description.via
        ),
        (6, 5, &None)
    );
    assert_eq!(origins.len(), 2);
}

#[test]
fn absence_and_moves_are_read() {
    let config = config(
        "autogit: 1\nrepos: {a/b: {moved_from: a/old}, a/gone: {absent: true}, a/moved: {absent: true, moved_from: a/then}}\n",
    );
    assert_eq!(
        config.declarations[&address("repo.a/b")].moved_from,
        Some("a/old".into())
    );
    assert!(config.declarations[&address("repo.a/gone")].absent);
    assert_eq!(
        config.declarations[&address("repo.a/moved")].moved_from,
        Some("a/then".into())
    );
}

#[test]
fn enterprise_fields_are_told_apart() {
    let config = config("autogit: 1\nrepos: {a/b: {approvals: 1, queue: 1}}\n");
    assert_eq!(
        config.declarations[&address("repo.a/b")].enterprise_fields,
        ["approvals"]
    );
}

#[test]
fn explain_shows_each_value_its_origin_and_what_it_won_against() {
    let loaded = load_text(
        "autogit: 1
presets:
  base: {visibility: private, description: base, mirror: {host: one}}
  more: {visibility: internal, protected_branches: {main: {allow_force_push: true}}}
repos:
  a/b:
    preset: [base, more]
    visibility: public
    description: null
    mirror: {password: {env: P}}
    protected_branches: {main: {allow_force_push: false}}
",
    );
    let told = |at: &str| {
        let explanation = loaded.explain(&address(at), None).unwrap();
        let fields = explanation.fields.iter().map(|field| {
            let place = |origin: &autogit::config::Origin| {
                let via = origin.via.as_ref().map_or("own".into(), ToString::to_string);
                format!("{}:{via}", origin.position.line)
            };
            let lost: Vec<_> = field
                .overridden
                .iter()
                .map(|(value, origin)| format!("{value} {}", place(origin)))
                .collect();
            format!(
                "{} = {} {} {lost:?}",
                field.field,
                field.value,
                place(&field.origin)
            )
        });
        fields.collect::<Vec<_>>()
    };
    assert_eq!(
        told("repo.a/b"),
        [
            r#"description = null 9:own ["\"base\" 3:preset base"]"#,
            r#"mirror.host = "one" 3:preset base []"#,
            r#"mirror.password = {"env":"P"} 10:own []"#,
            r#"visibility = "public" 8:own ["\"internal\" 4:preset more", "\"private\" 3:preset base"]"#,
        ]
    );
    assert_eq!(
        told("protected_branch.a/b:main"),
        [r#"allow_force_push = false 11:own ["true 4:preset more"]"#]
    );
    assert!(loaded.explain(&address("repo.a/c"), None).is_none());
}

#[test]
fn without_repos_there_are_no_presets() {
    let loaded = load_bytes(
        "autogit.yaml".as_ref(),
        b"autogit: 1\npresets: {p: {}}\n",
        &SHAPES[..1],
    );
    let titles: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.title.as_str())
        .collect();
    assert_eq!(titles, ["unknown key `presets`"]);
}

#[test]
fn the_starter_file_validates_without_a_remark() {
    let loaded = load_text(starter());
    assert!(
        loaded.config.is_some() && loaded.diagnostics.is_empty(),
        "{}",
        rendered(&loaded)
    );
}

#[test]
fn the_reference_describes_every_key_and_its_examples_load() {
    let reference = reference(SHAPES);
    let examples: Vec<_> = reference.split("```").skip(1).step_by(2).collect();
    assert_eq!(examples.len(), 6);
    for example in examples {
        let yaml = example.strip_prefix("yaml\n").unwrap();
        config(&format!("autogit: 1\n{yaml}"));
    }
    insta::assert_snapshot!("reference", reference);
}

/// Values that fields of the test kinds may have, and null.
pub fn fields() -> impl Strategy<Value = Value> {
    let text = prop_oneof![Just(json!(null)), "[a-c]{0,2}".prop_map(Value::from)];
    let list = prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!(["a"])),
        Just(json!(["b", "c"]))
    ];
    let mirror = prop_oneof![
        Just(json!(null)),
        "[a-c]{1,2}".prop_map(|host| json!({"host": host}))
    ];
    let branch = prop_oneof![
        Just(json!(null)),
        Just(json!({"absent": true})),
        any::<bool>().prop_map(|force| json!({"allow_force_push": force})),
        Just(json!({"push_access_level": "no_one", "allow_force_push": null})),
    ];
    let branches = prop_oneof![1 => Just(json!(null)), 6 => optional(vec![("main", branch.clone().boxed()), ("x/*", branch.boxed())])];
    let member = prop_oneof![
        Just(json!("admin")),
        Just(json!({"access_level": "developer"})),
        Just(json!({"expires_at": "2027-01-31"})),
    ];
    let members = optional(vec![("alice", member.clone().boxed()), ("bob", member.boxed())]);
    optional(vec![
        ("description", text.boxed()),
        ("topics", list.boxed()),
        ("mirror", mirror.boxed()),
        ("protected_branches", branches.boxed()),
        ("members", members),
    ])
}

/// Objects with any of the fields.
fn optional(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| proptest::option::of(value.prop_map(move |value| (name.to_owned(), value))))
        .collect();
    fields
        .prop_map(|fields| Value::Object(fields.into_iter().flatten().collect()))
        .boxed()
}

/// Merging as the language defines it, two values at a time.
pub fn merge(weak: &Value, strong: &Value) -> Value {
    let is_map = |value: &Value| value.is_object() && value["absent"] != true;
    match (weak, strong) {
        (Value::Object(base), Value::Object(own)) if is_map(weak) && is_map(strong) => {
            let mut merged = base.clone();
            for (key, value) in own {
                let value = base
                    .get(key)
                    .map_or_else(|| value.clone(), |base| merge(base, value));
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        _ => strong.clone(),
    }
}

/// A layer without shorthand.
pub fn written_out(layer: &Value) -> Value {
    let mut layer = layer.clone();
    let members = layer.get_mut("members").and_then(Value::as_object_mut);
    for (_, member) in members.into_iter().flatten() {
        if member.is_string() {
            *member = json!({"access_level": member.clone()});
        }
    }
    layer
}

/// What a merged value declares: nulls left out, what is nested apart, by its address in `a/b`.
pub fn declared(merged: &Value) -> (Value, Vec<(String, Value)>) {
    let strip = |value: &Value| -> Value {
        let fields = value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| !value.is_null() && *key != "absent");
        Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let mut own: Map<String, Value> = strip(merged).as_object().cloned().unwrap_or_default();
    let mut nested = Vec::new();
    for (kind, field) in [
        ("protected_branch", "protected_branches"),
        ("repo_member", "members"),
    ] {
        let collection = own.remove(field).unwrap_or_default();
        let resources = collection
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null());
        nested.extend(resources.map(|(name, value)| (format!("{kind}.a/b:{name}"), strip(value))));
    }
    (Value::Object(own), nested)
}

/// What a config declares of `a/b`, and what is nested in it.
pub fn declares(config: &Config) -> (Value, Vec<(String, Value)>) {
    let value = |declaration: &Declaration| Value::Object(declaration.value.clone());
    let nested = config
        .declarations
        .iter()
        .filter(|(address, _)| address.key.name.is_some())
        .map(|(address, declaration)| (address.to_string(), value(declaration)));
    (
        value(&config.declarations[&address("repo.a/b")]),
        nested.collect(),
    )
}

proptest! {
    #[test]
    fn presets_and_own_fields_merge_as_a_fold_from_the_weakest(layers in proptest::collection::vec(fields(), 1..5)) {
        let (own, presets) = layers.split_last().unwrap();
        let mut repo = own.clone();
        repo["preset"] = (0..presets.len()).map(|index| format!("p{index}")).collect();
        let presets: Map<String, Value> = presets.iter().enumerate().map(|(index, preset)| (format!("p{index}"), preset.clone())).collect();
        let text = json!({"autogit": 1, "presets": presets, "repos": {"a/b": repo}}).to_string();
        let config = config(&text);

        let merged = layers.iter().map(written_out).reduce(|weak, strong| merge(&weak, &strong)).unwrap();
        prop_assert_eq!(declares(&config), declared(&merged));
    }

    #[test]
    fn what_the_loader_takes_the_schema_takes(own in fields(), wrong in "[a-z]{1,3}", which in 0..5) {
        let mut repo = own;
        match which {
            0 => repo["visibility"] = json!(wrong),
            1 => repo[&wrong] = json!(1),
            2 => repo["queue"] = json!(101),
            3 => repo["mirror"] = json!({"host": "h", "password": wrong}),
            _ => {}
        }
        let text = json!({"autogit": 1, "repos": {"a/b": repo}});
        let loaded = load_text(&text.to_string());
        let accepted = !loaded.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        let validator = jsonschema::validator_for(&schema(SHAPES)).unwrap();
        // Only in a nested collection does the editor mind a null that the loader takes for "dropped".
        let has_null_branch = text["repos"]["a/b"]["protected_branches"].as_object().is_some_and(|branches| branches.values().any(Value::is_null));
        prop_assert!(has_null_branch || validator.is_valid(&text) == accepted, "{}", rendered(&loaded));
    }
}
