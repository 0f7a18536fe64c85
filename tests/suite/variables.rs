//! CI/CD variables of repos, groups and the instance: what is declared is there, and what is lost was asked for.

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use crate::lifecycle::steps;
use crate::support::Forge;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        each_kind_is_made_changed_and_removed,
        adoption_takes_over_and_asks_before_a_value_is_lost,
        variables_of_one_key_are_told_apart_by_scope,
        what_gitlab_would_not_mask_is_told_with_the_line,
        what_cannot_be_changed_is_told_before_anything_is_written,
        a_readable_value_drifts_and_a_hidden_one_is_compared_by_fingerprint,
        without_secrets_nothing_is_compared_and_nothing_lost,
        prune_all_takes_what_is_not_declared_and_asks_first,
        a_scope_that_the_licence_lacks_leaves_nothing_behind,
        a_scoped_variable_holds_nothing_until_its_scope_is_certain,
        another_scope_is_never_changed_by_mistake,
        keys_of_the_instance_that_differ_in_case_are_told_apart,
    ]
}

/// The lists of variables.
pub const REPO: &str = "projects/team%2Fapi/variables";
pub const GROUP: &str = "groups/team/variables";
pub const INSTANCE: &str = "admin/ci/variables";
/// A value that is to be nowhere but on GitLab.
pub const CANARY: &str = "canary-4f1d9b";
/// An apply that may do whatever is planned.
pub const ALLOW: [&str; 4] = ["apply", "--yes", "--allow", "destroy,expose"];

/// A config with these variables of the repo, the group and the instance.
pub fn config(repo: &str, group: &str, instance: &str) -> String {
    format!(
        "groups: {{team: {{variables: {{{group}}}}}}}\nrepos: {{team/api: {{variables: {{{repo}}}}}}}\n\
         variables: {{{instance}}}\n"
    )
}

/// A forge on which nothing is yet, with this secret in the file `one`.
pub fn forge(secret: &str) -> Forge {
    let forge = Forge::new();
    set(&forge, "one", secret);
    forge
}

/// Puts a secret into a file beside the config.
pub fn set(forge: &Forge, file: &str, secret: &str) {
    std::fs::write(forge.dir.path().join(file), secret).unwrap();
}

/// A list of variables, by key and scope.
pub fn list(forge: &Forge, path: &str) -> Vec<Value> {
    let mut list = forge.admin.get(&format!("{path}?per_page=100"));
    let list = list.as_array_mut().unwrap();
    list.sort_by_cached_key(|one| format!("{}:{}", one["key"], one["environment_scope"]));
    list.clone()
}

/// One field of all variables of a list.
pub fn all(forge: &Forge, path: &str, field: &str) -> Vec<Value> {
    let list = list(forge, path);
    list.iter().map(|variable| variable[field].clone()).collect()
}

/// Everything in all three lists.
pub fn world(forge: &Forge) -> Value {
    json!([REPO, GROUP, INSTANCE].map(|path| list(forge, path)))
}

/// Adds a variable by hand.
pub fn add(forge: &Forge, path: &str, variable: Value) {
    forge.admin.post(path, variable);
}

fn each_kind_is_made_changed_and_removed() {
    let forge = forge(CANARY);
    let both = "A: {value: {file: one}, masked: true, description: Why}, B: {value: {file: one}, protected: true, \
                raw: true, variable_type: file}";
    forge.config(&config(both, both, both));
    let plan = forge.run(&["plan"]).exits(0).shows("(secret)");
    assert!(!plan.all().contains(CANARY), "{}", plan.all());
    forge.run(&["apply", "--yes"]).exits(0);
    for path in [REPO, GROUP, INSTANCE] {
        let found = list(&forge, path);
        let (a, b) = (&found[0], &found[1]);
        assert_eq!(
            (&a["value"], &b["value"]),
            (&json!(CANARY), &json!(CANARY)),
            "{path}"
        );
        assert_eq!(
            (
                &a["masked"],
                &a["protected"],
                &a["raw"],
                &a["variable_type"],
                &a["description"]
            ),
            (
                &json!(true),
                &json!(false),
                &json!(false),
                &json!("env_var"),
                &json!("Why")
            ),
            "{path}"
        );
        assert_eq!(
            (&b["masked"], &b["protected"], &b["raw"], &b["variable_type"]),
            (&json!(false), &json!(true), &json!(true), &json!("file")),
            "{path}"
        );
    }
    forge.expect_converged();
    assert!(forge.ledger().iter().all(|(_, origin)| origin == "created"));
    // A change of another field does not send the value again, and one that shows more is asked for.
    let changed = both
        .replace("Why", "Because")
        .replace("protected: true", "protected: false");
    forge.config(&config(&changed, &changed, &changed));
    let run = forge.run(&["apply", "--yes"]).exits(3).says("held back");
    assert!(run.stderr.contains("repo_variable.team/api:B"), "{}", run.all());
    assert_eq!(all(&forge, REPO, "protected"), [false, true]);
    set(&forge, "one", "another-value");
    let run = forge.run(&["apply", "--yes", "--allow", "expose"]).exits(0);
    run.shows("changed instance_variable.A")
        .shows("changed group_variable.team:B");
    for path in [REPO, GROUP, INSTANCE] {
        assert_eq!(
            all(&forge, path, "value"),
            ["another-value", "another-value"],
            "{path}"
        );
        assert_eq!(all(&forge, path, "description")[0], "Because", "{path}");
        assert_eq!(all(&forge, path, "protected"), [false, false], "{path}");
    }
    forge.expect_converged();
    // What AutoGit made goes when it leaves the file, and when it is declared absent, once that is asked for.
    forge.config(&config("A: {absent: true}", "A: {absent: true}", ""));
    forge
        .run(&["apply", "--yes", "--allow-shrink"])
        .exits(3)
        .says("held back");
    assert_eq!(list(&forge, INSTANCE).len(), 2);
    forge.run(&[&ALLOW[..], &["--allow-shrink"]].concat()).exits(0);
    assert_eq!(world(&forge), json!([[], [], []]));
    forge.expect_converged();
}

fn adoption_takes_over_and_asks_before_a_value_is_lost() {
    let forge = Forge::applied("groups: {team: {}}\nrepos: {team/api: {}}\n");
    set(&forge, "one", CANARY);
    for path in [REPO, GROUP, INSTANCE] {
        add(
            &forge,
            path,
            json!({"key": "SAME", "value": CANARY, "description": "Theirs"}),
        );
        add(
            &forge,
            path,
            json!({"key": "OTHER", "value": "precious", "masked": true}),
        );
    }
    let before = world(&forge);
    let same = "SAME: {value: {file: one}}, OTHER: {masked: true}";
    forge.config(&config(same, same, same));
    let writes = forge.writes();
    forge.run(&["apply", "--yes"]).exits(0);
    assert_eq!((world(&forge), forge.writes()), (before.clone(), writes));
    let adopted = forge
        .ledger()
        .into_iter()
        .filter(|(_, origin)| origin == "adopted");
    assert_eq!(adopted.count(), 6);
    forge.expect_converged();
    let lost = "SAME: {value: {file: one}}, OTHER: {value: {file: one}}";
    forge.config(&config(lost, lost, lost));
    let run = forge.run(&["apply", "--yes"]).exits(3).says("held back");
    assert!(!run.all().contains("precious"), "{}", run.all());
    assert_eq!(world(&forge), before);
    forge.run(&ALLOW).exits(0);
    assert_eq!(all(&forge, REPO, "value"), [CANARY, CANARY]);
    // From now on it is AutoGit's to change.
    set(&forge, "one", "rotated-value");
    forge.run(&["apply", "--yes"]).exits(0);
    assert_eq!(all(&forge, GROUP, "value"), ["rotated-value", "rotated-value"]);
    // What was adopted is let go, not removed.
    forge.config("groups: {team: {}}\nrepos: {team/api: {}}\n");
    forge.run(&[&ALLOW[..], &["--allow-shrink"]].concat()).exits(0);
    assert_eq!(list(&forge, REPO).len() + list(&forge, INSTANCE).len(), 4);
}

fn variables_of_one_key_are_told_apart_by_scope() {
    for edition in [gitlab_sandbox::Edition::Ce, gitlab_sandbox::Edition::Ee] {
        told_apart_by_scope(&Forge::with(|options| options.edition = edition));
    }
}

fn told_apart_by_scope(forge: &Forge) {
    for (file, value) in [("one", "all"), ("two", "production"), ("three", "review")] {
        set(forge, file, value);
    }
    let three = "K: {value: {file: one}}, \"K:production\": {value: {file: two}}, \"K:review/*\": {value: {file: three}}";
    forge.config(&config(three, three, ""));
    forge.run(&["apply", "--yes"]).exits(0);
    for path in [REPO, GROUP] {
        assert_eq!(
            all(forge, path, "environment_scope"),
            ["*", "production", "review/*"]
        );
        assert_eq!(all(forge, path, "value"), ["all", "production", "review"]);
    }
    forge.expect_converged();
    set(forge, "two", "changed");
    let less = three
        .replace("K: {", "K: {description: Only this, ")
        .replace("review/*\": {value: {file: three}}", "review/*\": {absent: true}");
    forge.config(&config(&less, &less, ""));
    forge.run(&ALLOW).exits(0);
    for path in [REPO, GROUP] {
        assert_eq!(all(forge, path, "environment_scope"), ["*", "production"]);
        assert_eq!(all(forge, path, "value"), ["all", "changed"]);
        assert_eq!(all(forge, path, "description"), [json!("Only this"), Value::Null]);
    }
    forge.expect_converged();
}

fn what_gitlab_would_not_mask_is_told_with_the_line() {
    for secret in ["sh0rt", "with space", "with-$dollar", "two\nlines-of-it"] {
        let forge = forge(secret);
        let config = "groups: {team: {}}\nrepos:\n  team/api:\n    variables:\n      K: {value: {file: one}, masked: true}\n";
        forge.config(config);
        for command in ["validate", "plan"] {
            let run = forge
                .run(&[command])
                .exits(1)
                .says("GitLab masks only")
                .says("autogit.yaml:7:");
            assert!(!run.all().contains(secret), "{}", run.all());
        }
        forge.config(&config.replace("masked", "raw: true, masked"));
        let is_fine = secret == "with-$dollar";
        forge.run(&["plan"]).exits(i32::from(!is_fine));
        assert_eq!(forge.writes(), 0);
    }
    let forge = forge(CANARY);
    for (variable, says) in [
        ("K: {value: plain-text}", "never as its value"),
        ("K: {value: {file: one}, hidden: true}", "write `masked: true`"),
        ("K-K: {value: {file: one}}", "only letters, digits and `_`"),
        ("\"K:*\": {value: {file: one}}", "write `K`"),
    ] {
        forge.config(&config(variable, "", ""));
        let run = forge.run(&["validate"]).exits(1).says(says);
        assert!(!run.all().contains("plain-text"), "{}", run.all());
    }
    forge.config(&config("", "", "K: {value: {file: one}, hidden: true}"));
    forge.run(&["validate"]).exits(1).says("unknown key `hidden`");
    forge.config(&config("K: {description: No value}", "", ""));
    forge
        .run(&["plan"])
        .exits(1)
        .says("cannot be made without a value");
}

fn what_cannot_be_changed_is_told_before_anything_is_written() {
    let forge = Forge::applied("groups: {team: {}}\nrepos: {team/api: {}}\n");
    add(
        &forge,
        REPO,
        json!({"key": "HIDDEN", "value": CANARY, "masked_and_hidden": true}),
    );
    add(&forge, REPO, json!({"key": "SEEN", "value": "a b"}));
    let (before, writes) = (world(&forge), forge.writes());
    for (variable, says) in [
        ("HIDDEN: {hidden: false}", "never again"),
        ("HIDDEN: {masked: false}", "keeps what is hidden masked"),
        ("SEEN: {masked: true, hidden: true}", "only as it makes it"),
        ("SEEN: {masked: true}", "the value that it has does not allow it"),
    ] {
        forge.config(&config(variable, "", ""));
        forge.run(&["plan"]).exits(1).says(says);
        forge.run(&[&ALLOW[..], &["--allow-shrink"]].concat()).exits(1);
    }
    assert_eq!((world(&forge), forge.writes()), (before, writes));
}

fn a_readable_value_drifts_and_a_hidden_one_is_compared_by_fingerprint() {
    let forge = forge(CANARY);
    let two = "HIDDEN: {value: {file: one}, masked: true, hidden: true}, SEEN: {value: {file: one}}";
    forge.config(&config(two, two, ""));
    forge.run(&["apply", "--yes"]).exits(0);
    assert_eq!(all(&forge, REPO, "hidden"), [true, false]);
    assert_eq!(all(&forge, GROUP, "value"), [Value::Null, json!(CANARY)]);
    forge.expect_converged();
    for path in [REPO, GROUP] {
        for key in ["HIDDEN", "SEEN"] {
            forge
                .admin
                .put(&format!("{path}/{key}"), json!({"value": "set-by-hand"}));
        }
    }
    let step = |address: &str, reason: &str| (address.to_owned(), "update".to_owned(), reason.to_owned());
    let drift = [
        step("group_variable.team:SEEN", "drift"),
        step("repo_variable.team/api:SEEN", "drift"),
    ];
    assert_eq!(steps(&forge, &[]), drift);
    forge.run(&["apply", "--yes"]).exits(3).says("held back");
    assert_eq!(all(&forge, REPO, "value")[1], "set-by-hand");
    forge.run(&ALLOW).exits(0);
    assert_eq!(all(&forge, REPO, "value")[1], CANARY);
    set(&forge, "one", "rotated-value");
    assert_eq!(steps(&forge, &[]).len(), 4);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
    // What was hidden before AutoGit knew it is written once.
    add(
        &forge,
        REPO,
        json!({"key": "OLD", "value": CANARY, "masked_and_hidden": true}),
    );
    forge.config(&config(&format!("{two}, OLD: {{value: {{file: one}}}}"), two, ""));
    forge
        .run(&["apply", "--yes"])
        .exits(0)
        .shows("adopted repo_variable.team/api:OLD");
    forge.expect_converged();
}

fn without_secrets_nothing_is_compared_and_nothing_lost() {
    let forge = forge(CANARY);
    let one = "K: {value: {file: one}, description: One}";
    forge.config(&config(one, one, one));
    forge.run(&["apply", "--yes"]).exits(0);
    std::fs::remove_file(forge.dir.path().join("one")).unwrap();
    forge.run(&["plan"]).exits(1).says("{file: one}");
    let plan = forge
        .run(&["plan", "--no-secrets", "--detailed-exitcode"])
        .exits(0);
    plan.shows("No changes");
    forge.config(&config(&one.replace("One", "Two"), "", one));
    let plan = forge
        .run(&["plan", "--no-secrets", "--format", "json"])
        .exits(0)
        .json();
    let changes: Vec<_> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["changes"])
        .collect();
    assert!(!json!(changes).to_string().contains("\"value\""), "{plan:#}");
    forge.run(&["validate", "--no-secrets"]).exits(0);
    forge.run(&["validate"]).exits(0).shows("2 secrets not judged");
}

fn prune_all_takes_what_is_not_declared_and_asks_first() {
    let forge = forge(CANARY);
    let one = "K: {value: {file: one}}";
    forge.config(&config(one, one, one));
    forge.run(&["apply", "--yes"]).exits(0);
    for path in [REPO, GROUP, INSTANCE] {
        add(&forge, path, json!({"key": "THEIRS", "value": "precious"}));
    }
    forge.run(&["plan", "--detailed-exitcode"]).exits(0);
    forge.config(&format!("prune: all\n{}", config(one, one, one)));
    forge.run(&["apply", "--yes"]).exits(3).says("held back");
    assert_eq!(all(&forge, REPO, "key"), ["K", "THEIRS"]);
    forge.run(&ALLOW).exits(0);
    // The instance is no parent that is declared: what is not AutoGit's stays.
    assert_eq!(
        [REPO, GROUP, INSTANCE].map(|path| list(&forge, path).len()),
        [1, 1, 2]
    );
}

/// Without a licence GitLab drops the scope of a group's variable, and makes it for all environments.
fn a_scope_that_the_licence_lacks_leaves_nothing_behind() {
    let forge = Forge::with(|options| options.edition = gitlab_sandbox::Edition::Ee);
    set(&forge, "one", CANARY);
    forge.config(&config("", "\"K:production\": {value: {file: one}}", ""));
    forge.arm(
        json!({"methods": "write", "path": "/groups/[^/]+/variables$", "ignore": ["environment_scope"]}),
    );
    forge
        .run(&["apply", "--yes"])
        .exits(1)
        .says("removed at once")
        .says("Premium");
    assert_eq!(list(&forge, GROUP).len(), 0);
}

/// Not even in passing do all environments get what is for one.
fn a_scoped_variable_holds_nothing_until_its_scope_is_certain() {
    let cases = [
        "value: {file: one}",
        "value: {file: one}, masked: true",
        "value: {file: one}, masked: true, hidden: true",
    ];
    for (fields, licensed) in cases
        .into_iter()
        .flat_map(|fields| [(fields, true), (fields, false)])
    {
        let forge = Forge::with(|options| options.edition = gitlab_sandbox::Edition::Ee);
        set(&forge, "one", CANARY);
        forge.config(&config("", "", ""));
        forge.run(&["apply", "--yes"]).exits(0);
        forge.config(&config("", &format!("\"K:production\": {{{fields}}}"), ""));
        if !licensed {
            let ignore = json!({"methods": "write", "path": "/groups/[^/]+/variables$", "ignore": ["environment_scope"]});
            forge.arm(ignore);
        }
        let killed = forge.start_when(&["apply", "--yes"], |pid| {
            forge.arm(json!({"methods": "write", "nth": 1, "kill": {"when": "after", "pid": pid}}));
        });
        assert_eq!(killed.wait().code, None, "{fields}: it was to be killed");
        let found = list(&forge, GROUP);
        assert_eq!(found.len(), 1, "{fields}: {found:?}");
        assert_ne!(found[0]["value"], CANARY, "{fields}");
        if licensed {
            // Nobody's value is lost by it.
            forge.run(&["apply", "--yes"]).exits(0);
            forge.expect_converged();
            let hidden = found[0]["hidden"] == true;
            let value = if hidden { Value::Null } else { json!(CANARY) };
            assert_eq!(all(&forge, GROUP, "value"), [value]);
        }
    }
}

/// Where GitLab finds no variable of the scope, it changes a group's variable of another one.
fn another_scope_is_never_changed_by_mistake() {
    let forge = Forge::with(|options| options.edition = gitlab_sandbox::Edition::Ee);
    set(&forge, "one", CANARY);
    forge.config(&config("", "\"K:production\": {value: {file: one}}", ""));
    forge.run(&["apply", "--yes"]).exits(0);
    add(&forge, GROUP, json!({"key": "K", "value": "for-all"}));
    set(&forge, "one", "rotated-value");
    // It is removed after AutoGit saw it, and before it is changed.
    let look = forge.arm(json!({"methods": "read", "path": "/variables/K$", "latency_ms": 1_500}));
    let run = forge.start(&["apply", "--yes"]);
    forge.wait_for(look);
    let scoped = "groups/team/variables/K?filter[environment_scope]=production";
    forge.admin.send(Method::DELETE, scoped, None).expect(204);
    run.wait().exits(1).says("not there any more");
    assert_eq!(all(&forge, GROUP, "value"), ["for-all"]);
}

fn keys_of_the_instance_that_differ_in_case_are_told_apart() {
    let forge = forge(CANARY);
    add(&forge, INSTANCE, json!({"key": "Key", "value": "theirs"}));
    forge.config(&config("", "", "KEY: {value: {file: one}}"));
    forge
        .run(&["apply", "--yes"])
        .exits(0)
        .shows("created instance_variable.KEY");
    assert_eq!(all(&forge, INSTANCE, "value"), [CANARY, "theirs"]);
    forge.expect_converged();
    forge.config(&config("", "", "KEY: {absent: true}"));
    forge.run(&ALLOW).exits(0);
    assert_eq!(all(&forge, INSTANCE, "key"), ["Key"]);
}
