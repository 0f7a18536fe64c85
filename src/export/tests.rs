use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::Key;

/// Fields of a repo, each in normal form.
fn fields() -> impl Strategy<Value = Fields> {
    let policy = (any::<bool>(), proptest::option::of(Just("14d"))).prop_map(|(enabled, older_than)| {
        let mut policy = json!({"enabled": enabled, "name_regex": ".*"});
        older_than
            .into_iter()
            .for_each(|age| policy["older_than"] = age.into());
        policy
    });
    let text = prop_oneof![
        3 => Just(String::new()),
        1 => "[ -~é\u{feff}]{0,20}",
        1 => "([a-c: #-]{0,6}\n){1,3}",
    ];
    let each = prop_oneof![
        3 => any::<bool>().prop_map(|on| ("lfs_enabled", json!(on))),
        3 => prop_oneof![3 => Just("ff"), 1 => Just("merge")].prop_map(|method| ("merge_method", json!(method))),
        3 => prop_oneof![3 => Just("private"), 1 => Just("public")].prop_map(|visibility| ("visibility", json!(visibility))),
        2 => text.prop_map(|text| ("description", json!(text))),
        2 => "[a-c]{1,4}".prop_map(|name| ("name", json!(name))),
        2 => Just(("default_branch", json!("main"))),
        2 => proptest::collection::btree_set("[a-c]{1,2}", 0..3).prop_map(|topics| ("topics", json!(topics))),
        2 => policy.prop_map(|policy| ("container_expiration_policy", policy)),
        2 => any::<bool>().prop_map(|on| ("wiki_access_level", json!(if on { "enabled" } else { "private" }))),
    ];
    proptest::collection::vec(each, 0..9).prop_map(|each| {
        each.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

fn nested() -> impl Strategy<Value = Vec<(&'static str, &'static str, Fields)>> {
    let level = prop_oneof![3 => Just("maintainer"), 1 => Just("no_one")];
    let rule = (
        prop_oneof![3 => Just("main"), 1 => Just("release/*"), 1 => Just("yes")],
        level.clone(),
        level,
    )
        .prop_map(|(name, push, merge)| {
            let fields = json!({"push_access_level": push, "merge_access_level": merge});
            ("protected_branch", name, fields.as_object().unwrap().clone())
        });
    let until = proptest::option::of(prop_oneof![Just(""), Just("2030-01-31")]);
    let member = (prop_oneof![2 => Just("alice"), 1 => Just("1")], until).prop_map(|(name, until)| {
        let mut fields = json!({"access_level": "developer"});
        until
            .into_iter()
            .for_each(|until| fields["expires_at"] = until.into());
        ("repo_member", name, fields.as_object().unwrap().clone())
    });
    proptest::collection::vec(prop_oneof![rule, member], 0..4)
}

fn forge() -> impl Strategy<Value = Forge> {
    let path = r"(one|two|two/sub|Two\.sub|rita)/[a-z]{1,2}";
    let repos = proptest::collection::vec((path, fields(), nested()), 0..25);
    repos.prop_map(|repos| {
        let mut forge = Forge::default();
        for group in ["one", "two", "two/sub", "Two.sub"] {
            let address = Address::new("group", Key::top(group));
            forge.resources.insert(address, Fields::new());
        }
        for (path, fields, nested) in repos {
            // One thing per path.
            if path == "two/sub" {
                continue;
            }
            let repo = Address::new("repo", Key::top(path.as_str()));
            if forge.resources.insert(repo.clone(), fields).is_some() {
                continue;
            }
            forge
                .notes
                .insert(repo, vec!["left out: something: nobody may read it".into()]);
            for (kind, name, fields) in nested {
                let address = Address::new(kind, Key::within(path.as_str(), name));
                forge
                    .notes
                    .insert(address.clone(), vec![format!("value: {{env: {name}}}")]);
                forge.resources.insert(address, fields);
            }
        }
        forge
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_layout_loads_as_what_was_found(forge in forge()) {
        let about = About { version: "18.9.0".into(), enterprise: false, user: "root".into(), admin: true };
        let origin = Origin { name: "https://git.example.org", about: &about, extent: &Extent::All, gitlab: None };
        let mut lines = BTreeMap::new();
        for (by_group, factor) in [(false, false), (false, true), (true, false), (true, true)] {
            let files = files(&forge, &origin, Layout { by_group, factor });
            prop_assert!(files.is_ok(), "{:?}: {:#?}", files, forge);
            lines.insert((by_group, factor), files.unwrap().iter().map(|file| file.text.lines().count()).sum::<usize>());
        }
        prop_assert!(lines[&(false, true)] <= lines[&(false, false)], "{:?} {:#?}", lines, forge);
    }
}

#[test]
fn what_would_not_load_as_found_is_never_written() {
    let mut forge = Forge::default();
    let address = Address::new("repo", Key::top("one/api"));
    let fields = json!({"merge_method": "octopus"});
    forge
        .resources
        .insert(address.clone(), fields.as_object().unwrap().clone());
    assert!(matches!(verify(&[], &forge), Err(Error::Invalid(_))));
    let file = |text: &str| File {
        name: MAIN.into(),
        text: text.into(),
    };
    let other = [file("autogit: 1\nrepos: {one/api: {merge_method: ff}}\n")];
    assert!(matches!(verify(&other, &forge), Err(Error::Differs(differs)) if differs == address));
    let more = [file("autogit: 1\nrepos: {one/api: {}, one/web: {}}\n")];
    forge.resources.insert(address, Fields::new());
    assert!(matches!(verify(&more, &forge), Err(Error::Differs(_))));
}
