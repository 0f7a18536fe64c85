use proptest::prelude::*;

use super::share::merged;
use super::*;

/// Lines as a plain layout has them: one for each scalar, and one for each map.
fn measure(_: &str, fields: &Fields) -> usize {
    fn lines(value: &Value) -> usize {
        match value {
            Value::Object(fields) if value.to_string().len() > 60 => {
                1 + fields.values().map(lines).sum::<usize>()
            }
            Value::Array(items) if value.to_string().len() > 60 => 1 + items.len(),
            _ => 1,
        }
    }
    lines(&Value::Object(fields.clone()))
}

/// What the parts of a factored file come to for a repo: its presets, the rules in their order, what it says itself.
fn unfolded(factored: &Factored, path: &Path) -> Fields {
    let mut own = factored.repos[path].clone();
    let presets = match own.remove("preset") {
        None => Vec::new(),
        Some(Value::Array(names)) => names,
        Some(name) => vec![name],
    };
    let mut said = Fields::new();
    for name in presets {
        let preset = factored.presets.iter().find(|(preset, _)| *preset == name);
        said = merged(&said, preset.unwrap().1.as_object().unwrap());
    }
    for (_, rule) in &factored.rules {
        let mut rule = rule.as_object().unwrap().clone();
        let globs = match rule.remove("match").unwrap()["path"].take() {
            Value::Array(globs) => globs,
            glob => vec![glob],
        };
        let matches = |glob: &Value| match glob.as_str().unwrap().strip_suffix("/**") {
            Some(group) => path.as_str().starts_with(&format!("{group}/")),
            None => glob == path.as_str(),
        };
        if globs.iter().any(matches) {
            said = merged(&said, &rule);
        }
    }
    merged(&said, &own)
}

fn total(repos: &BTreeMap<Path, Fields>, shared: &[&Vec<(String, Value)>]) -> usize {
    let own: usize = repos.iter().map(|(path, own)| measure(path.as_str(), own)).sum();
    let shared = shared.iter().flat_map(|parts| parts.iter());
    own + shared
        .map(|(name, part)| measure(name, part.as_object().unwrap()))
        .sum::<usize>()
}

fn repos() -> impl Strategy<Value = BTreeMap<Path, Fields>> {
    let level = prop_oneof![4 => Just("maintainer"), 1 => Just("developer"), 1 => Just("no_one")];
    let rule = (level.clone(), proptest::option::of(level.clone()), any::<bool>()).prop_map(
        |(push, merge, force)| {
            let mut rule = json!({"push_access_level_of_people": push, "allow_force_push": force});
            merge
                .into_iter()
                .for_each(|merge| rule["merge_access_level_of_people"] = merge.into());
            rule
        },
    );
    let branches = proptest::option::weighted(
        0.8,
        proptest::collection::btree_map("main|dev|release", rule, 0..3),
    );
    let names = "[a-f]{1,2}";
    let scalars = proptest::collection::btree_map(
        "field_[a-h]",
        prop_oneof![3 => Just(json!(true)), 1 => any::<bool>().prop_map(Value::from), 1 => names.prop_map(Value::from), 1 => Just(json!({}))],
        0..8,
    );
    let repo = (branches, scalars, "[a-c]{1,3}").prop_map(|(branches, scalars, name)| {
        let mut fields: Fields = scalars.into_iter().collect();
        fields.insert("name".into(), name.into());
        if let Some(branches) = branches {
            fields.insert("protected_branches".into(), json!(branches));
        }
        fields
    });
    let path = "(one|two|two/sub|two/sub/deep|rita)/[a-z]{1,3}";
    proptest::collection::btree_map(path.prop_map(Path::from), repo, 0..25)
}

fn groups() -> BTreeSet<Path> {
    ["one", "two", "two/sub", "two/sub/deep"].map(Path::from).into()
}

proptest! {
    #[test]
    fn what_is_factored_comes_to_the_same_in_fewer_lines(repos in repos()) {
        let result = factored(&repos, &measure);
        prop_assert_eq!(&result, &factored(&repos, &measure));
        if result.repos.is_empty() {
            prop_assert_eq!(result, Factored::default());
            return Ok(());
        }
        for (path, fields) in &repos {
            prop_assert_eq!(&unfolded(&result, path), fields, "{}: {:#?}", path, result);
        }
        let after = total(&result.repos, &[&result.presets, &result.rules]);
        prop_assert!(after < total(&repos, &[]), "{:#?}", result);
        for (name, rule) in &result.rules {
            prop_assert!(rule.get("name").is_none(), "{name}");
            let only_listed = rule["match"].get("listed").is_some();
            prop_assert!(only_listed || rule.get("field_a").is_none() || name.starts_with("shared"), "{name}");
            prop_assert!(!rule["match"].to_string().contains("rita/**"), "{name}");
        }
    }
}

fn factored(repos: &BTreeMap<Path, Fields>, measure: Measure) -> Factored {
    let repos = Repos {
        all: repos.clone(),
        groups: groups(),
        only_listed: BTreeSet::from(["field_a", "default_branch"]),
    };
    factor(&repos, measure)
}

fn some(count: usize, group: &str, fields: Value) -> BTreeMap<Path, Fields> {
    let repo = |number| {
        let mut fields = fields.as_object().unwrap().clone();
        fields.insert("name".into(), format!("r{number}").into());
        (format!("{group}/r{number}").into(), fields)
    };
    (0..count).map(repo).collect()
}

#[test]
fn most_becomes_a_rule_a_group_of_its_own_another_and_the_rest_an_exception() {
    let mut repos = some(
        9,
        "one",
        json!({"a": 1, "b": 1, "c": 1, "main": {"push": "no_one", "merge": "all"}}),
    );
    repos.extend(some(
        5,
        "two",
        json!({"a": 1, "b": 2, "c": 2, "d": 3, "main": {"push": "all", "merge": "all"}}),
    ));
    let odd = repos.get_mut(&Path::from("one/r3")).unwrap();
    odd["a"] = json!(7);
    odd.remove("main");
    let wide = |_: &str, fields: &Fields| 1 + fields.len();
    let result = factored(&repos, &wide);
    let rules = json!([
        ["baseline", {"match": {"path": ["one/**", "two/**"]}, "a": 1, "b": 1, "c": 1, "main": {"push": "no_one", "merge": "all"}}],
        ["two", {"match": {"path": "two/**"}, "b": 2, "c": 2, "d": 3, "main": {"push": "all", "merge": "all"}}],
    ]);
    assert_eq!(json!(result.rules), rules);
    assert_eq!(
        json!(result.repos[&Path::from("one/r3")]),
        json!({"a": 7, "main": null, "name": "r3"})
    );
    assert_eq!(json!(result.repos[&Path::from("two/r1")]), json!({"name": "r1"}));
    assert!(result.presets.is_empty());
}

#[test]
fn what_a_few_share_is_a_preset_or_where_a_rule_says_otherwise_a_rule_for_just_them() {
    let mut repos = some(20, "one", json!({"a": 1, "b": 1, "c": 1}));
    for number in [2, 5, 7, 11] {
        let repo = repos.get_mut(&format!("one/r{number}").into()).unwrap();
        repo.extend(json!({"x": 1, "y": 2, "z": 3}).as_object().unwrap().clone());
    }
    for number in [3, 4, 6] {
        let repo = repos.get_mut(&format!("one/r{number}").into()).unwrap();
        repo.extend(
            json!({"a": 5, "b": 6, "c": 7, "w": number})
                .as_object()
                .unwrap()
                .clone(),
        );
    }
    let wide = |_: &str, fields: &Fields| 1 + fields.len();
    let result = factored(&repos, &wide);
    assert_eq!(
        json!(result.presets),
        json!([["shared-1", {"x": 1, "y": 2, "z": 3}]])
    );
    let few =
        json!(["shared-2", {"match": {"path": ["one/r3", "one/r4", "one/r6"]}, "a": 5, "b": 6, "c": 7}]);
    assert_eq!(json!(result.rules[1]), few);
    assert_eq!(
        json!(result.repos[&Path::from("one/r2")]),
        json!({"name": "r2", "preset": "shared-1"})
    );
    assert_eq!(
        json!(result.repos[&Path::from("one/r3")]),
        json!({"name": "r3", "w": 3})
    );
}

#[test]
fn what_shares_nothing_stays_as_it_is() {
    let repos = (0..4).map(|number| {
        let fields = json!({"name": format!("{number}"), "a": number, "b": number});
        (
            format!("one/{number}").into(),
            fields.as_object().unwrap().clone(),
        )
    });
    assert_eq!(factored(&repos.collect(), &measure), Factored::default());
}
