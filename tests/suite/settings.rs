//! The instance's own settings: what is declared is so, what is not declared stays, and what shuts people out is asked for.

use gitlab_sandbox::Edition;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::lifecycle::steps;
use crate::support::{Forge, in_parallel};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        what_is_declared_is_so_and_nothing_else_moved,
        drift_is_seen_and_undone,
        what_lets_in_and_what_locks_out_is_asked_for,
        two_factor_authentication_tells_whom_it_would_stop,
        what_gitlab_asks_for_beside_it_stays_as_it_is,
        what_a_version_lacks_is_said_and_the_rest_is_done,
        what_an_edition_lacks_is_said_where_it_is_written,
        who_is_no_administrator_is_told,
        killed_at_its_write_it_converges,
        lost_replies_and_server_errors_are_survived,
        a_setting_that_gitlab_ignores_or_refuses_is_named,
        left_out_again_everything_stays,
        a_run_is_taken_back,
        reading_costs_one_request,
    ]
}

const AT: &str = "application/settings";

/// An apply that may do whatever is planned.
const ALLOW: [&str; 4] = ["apply", "--yes", "--allow", "weaken,expose,lock-out,destroy"];

/// Settings of each type, all unlike GitLab's defaults.
const SOME: &str = "signup_enabled: false, email_confirmation_setting: hard, domain_allowlist: [example.org, \
                    \"*.example.com\"], session_expire_delay: 480, minimum_password_length: 12, max_login_attempts: 5, \
                    restricted_visibility_levels: [public], default_project_creation: 1, rsa_key_restriction: 3072, \
                    home_page_url: \"https://example.org\", after_sign_up_text: Hello, enabled_git_access_protocol: all";

/// Writes a config with these settings.
fn declare(forge: &Forge, settings: &str) {
    forge.config("");
    let path = forge.dir.path().join("autogit.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    let token = "token: {env: AUTOGIT_TOKEN}";
    let more = format!("{token}, settings: {{{settings}}}");
    std::fs::write(path, config.replace(token, &more)).unwrap();
}

/// A forge that declares these settings.
fn forge(settings: &str) -> Forge {
    let forge = Forge::new();
    declare(&forge, settings);
    forge
}

/// The settings that two answers do not have alike.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    let fields = after.as_object().unwrap().iter();
    let differ = fields.filter(|(field, value)| before[*field] != **value);
    differ.map(|(field, _)| field.clone()).collect()
}

fn what_is_declared_is_so_and_nothing_else_moved() {
    let forge = forge(SOME);
    let before = forge.admin.get(AT);
    forge
        .run(&["plan"])
        .exits(0)
        .shows("settings.instance")
        .shows("signup_enabled");
    let writes = forge.writes();
    forge.run(&ALLOW).exits(0).shows("adopted settings.instance");
    assert_eq!(forge.writes() - writes, 1);
    let after = forge.admin.get(AT);
    let changed = [
        "after_sign_up_text",
        "default_project_creation",
        "domain_allowlist",
        "email_confirmation_setting",
        "enabled_git_access_protocol",
        "home_page_url",
        "max_login_attempts",
        "minimum_password_length",
        "restricted_visibility_levels",
        "rsa_key_restriction",
        "session_expire_delay",
        "signup_enabled",
    ];
    // The protocol is `all` as before, which GitLab stores otherwise once it is set.
    let unlike: Vec<_> = changed
        .into_iter()
        .filter(|field| *field != "enabled_git_access_protocol")
        .collect();
    assert_eq!(differences(&before, &after), unlike);
    assert_eq!(after["domain_allowlist"], json!(["*.example.com", "example.org"]));
    forge.expect_converged();
    assert_eq!(
        forge.ledger(),
        [("settings.instance".to_owned(), "adopted".to_owned())]
    );
}

fn drift_is_seen_and_undone() {
    let forge = forge(SOME);
    forge.run(&ALLOW).exits(0);
    forge.admin.put(
        AT,
        json!({"session_expire_delay": 9_000, "gravatar_enabled": false}),
    );
    let [(_, action, reason)] = &steps(&forge, &[])[..] else {
        panic!("one step");
    };
    assert_eq!((action.as_str(), reason.as_str()), ("update", "drift"));
    forge.run(&["apply", "--yes"]).exits(0);
    let after = forge.admin.get(AT);
    assert_eq!(
        (&after["session_expire_delay"], &after["gravatar_enabled"]),
        (&json!(480), &json!(false))
    );
    forge.expect_converged();
}

fn what_lets_in_and_what_locks_out_is_asked_for() {
    let forge = forge(
        "signup_enabled: false, disabled_oauth_sign_in_sources: [], require_admin_approval_after_user_signup: true",
    );
    forge.run(&["apply", "--yes"]).exits(0);
    let cases = [
        ("signup_enabled: true", "expose"),
        ("require_admin_approval_after_user_signup: false", "expose"),
        (
            "remember_me_enabled: false, user_oauth_applications: true, session_expire_delay: 99999",
            "weaken",
        ),
        ("password_authentication_enabled_for_web: false", "lock-out"),
        ("disabled_oauth_sign_in_sources: [github]", "lock-out"),
        ("admin_mode: true", "lock-out"),
    ];
    for (settings, permission) in cases {
        declare(&forge, settings);
        let before = forge.admin.get(AT);
        forge.run(&["apply", "--yes"]).exits(3).says("held back");
        assert_eq!(forge.admin.get(AT), before, "{settings}");
        let run = forge.run(&["plan"]).exits(0);
        assert!(
            run.stdout.contains(permission.split('-').next().unwrap()),
            "{settings}: {}",
            run.all()
        );
        forge.run(&["apply", "--yes", "--allow", permission]).exits(0);
    }
}

fn two_factor_authentication_tells_whom_it_would_stop() {
    let forge = forge("require_two_factor_authentication: true, two_factor_grace_period: 24");
    for name in ["ada", "bob"] {
        forge.user(name, &["api"]);
    }
    forge
        .run(&["plan"])
        .exits(0)
        .shows("3 active users have no two-factor authentication, and 24 h to set it up");
    // Without grace they could not go on.
    declare(
        &forge,
        "require_two_factor_authentication: true, two_factor_grace_period: 0",
    );
    forge.run(&["apply", "--yes"]).exits(3).says("held back");
    forge
        .run(&["plan"])
        .exits(0)
        .shows("cannot go on after the next sign-in");
    assert_eq!(forge.admin.get(AT)["require_two_factor_authentication"], false);
    forge.run(&["apply", "--yes", "--allow", "lock-out"]).exits(0);
    forge.expect_converged();
    // Once it is required nobody is counted.
    let plan = forge.run(&["plan"]).exits(0);
    assert!(!plan.stdout.contains("active user"), "{}", plan.all());
}

/// GitLab takes neither alone, and what is not declared is not AutoGit's to choose.
fn what_gitlab_asks_for_beside_it_stays_as_it_is() {
    let forge = forge("require_two_factor_authentication: true, shared_runners_enabled: true");
    let given = json!({"two_factor_grace_period": 99, "shared_runners_text": "Ours", "shared_runners_enabled": false});
    forge.admin.put(AT, given);
    let before = forge.admin.get(AT);
    forge.run(&ALLOW).exits(0);
    let after = forge.admin.get(AT);
    assert_eq!(
        differences(&before, &after),
        ["require_two_factor_authentication", "shared_runners_enabled"]
    );
    forge.expect_converged();
}

fn what_a_version_lacks_is_said_and_the_rest_is_done() {
    let forge = forge("signup_enabled: false, session_expire_from_init: true");
    let whole = forge.admin.get(AT);
    let mut older = whole.clone();
    older.as_object_mut().unwrap().remove("session_expire_from_init");
    forge.arm(json!({"methods": "read", "path": "/application/settings$", "status": 200, "body": older}));
    forge
        .run(&["plan"])
        .exits(1)
        .says("this GitLab does not know `session_expire_from_init`");
    forge.run(&["apply", "--yes"]).exits(1);
    forge.disarm();
    assert_eq!(differences(&whole, &forge.admin.get(AT)), ["signup_enabled"]);
}

fn what_an_edition_lacks_is_said_where_it_is_written() {
    let complex = "minimum_password_length: 10, password_symbol_required: true";
    let forge = forge(complex);
    forge
        .run(&["plan"])
        .exits(1)
        .says("only the Enterprise Edition knows `password_symbol_required`");
    // Offline, where the config says which it is.
    let path = forge.dir.path().join("autogit.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("settings:", "edition: ce, settings:")).unwrap();
    forge
        .run(&["validate"])
        .exits(1)
        .says("needs GitLab Enterprise Edition");
    let licensed = Forge::with(|options| options.edition = Edition::Ee);
    declare(&licensed, complex);
    licensed.run(&ALLOW).exits(0);
    assert_eq!(licensed.admin.get(AT)["password_symbol_required"], true);
    licensed.expect_converged();
    // Without a licence, GitLab does not show it.
    let mut shown = licensed.admin.get(AT);
    shown.as_object_mut().unwrap().remove("password_symbol_required");
    licensed.arm(json!({"methods": "read", "path": "/application/settings$", "status": 200, "body": shown}));
    licensed
        .run(&["plan"])
        .exits(1)
        .says("it takes GitLab Premium with its licence");
}

fn who_is_no_administrator_is_told() {
    let forge = forge(SOME);
    forge.run(&ALLOW).exits(0);
    let before = (forge.admin.get(AT), forge.ledger());
    let (_, token) = forge.user("dev", &["api"]);
    for settings in [SOME, "signup_enabled: true", ""] {
        declare(&forge, settings);
        let run = forge.run_as(&token, &ALLOW).exits(1);
        run.says("administrator of the instance");
        assert_eq!((forge.admin.get(AT), forge.ledger()), before, "{settings}");
    }
}

/// Tries every fault at the one write there is, with `kill`ing ones told whom.
fn at_its_write(faults: &[Value], kills: bool) {
    let expected = {
        let forge = forge(SOME);
        forge.run(&ALLOW).exits(0);
        (forge.admin.get(AT), forge.ledger())
    };
    in_parallel(faults, |fault| {
        let forge = forge(SOME);
        let mut rule = json!({"methods": "write", "nth": 1});
        rule.as_object_mut()
            .unwrap()
            .extend(fault.as_object().unwrap().clone());
        if kills {
            let run = forge.start_when(&ALLOW, |pid| {
                rule["kill"]["pid"] = pid.into();
                forge.arm(rule);
            });
            let run = run.wait();
            assert_eq!(run.code, None, "{fault}: it was to be killed\n{}", run.all());
        } else {
            forge.arm(rule);
        }
        forge.run(&ALLOW).exits(0);
        assert_eq!((forge.admin.get(AT), forge.ledger()), expected, "{fault}");
        forge.expect_converged();
    });
}

fn killed_at_its_write_it_converges() {
    let kills = ["before", "after"].map(|when| json!({"kill": {"when": when}}));
    at_its_write(&kills, true);
}

fn lost_replies_and_server_errors_are_survived() {
    let faults = [
        json!({"drop": "before"}),
        json!({"drop": "after"}),
        json!({"status": 502}),
    ];
    at_its_write(&faults, false);
}

fn a_setting_that_gitlab_ignores_or_refuses_is_named() {
    let forge = forge("signup_enabled: false, gravatar_enabled: false");
    forge.arm(json!({"methods": "write", "path": "/application/settings$", "ignore": ["gravatar_enabled"]}));
    forge.run(&["apply", "--yes"]).exits(1).says("gravatar_enabled");
    forge.disarm();
    forge.run(&["apply", "--yes"]).exits(0);
    // What is refused beside something else is refused as a whole, and GitLab's words are shown.
    declare(
        &forge,
        "default_project_visibility: internal, gravatar_enabled: true",
    );
    forge
        .admin
        .put(AT, json!({"restricted_visibility_levels": ["internal"]}));
    forge
        .run(&ALLOW)
        .exits(1)
        .says("cannot be set to a restricted visibility level");
    assert_eq!(forge.admin.get(AT)["gravatar_enabled"], false);
}

fn left_out_again_everything_stays() {
    let forge = forge(SOME);
    forge.run(&ALLOW).exits(0);
    let before = forge.admin.get(AT);
    forge.config("");
    let writes = forge.writes();
    forge.run(&["apply", "--yes", "--allow-shrink"]).exits(0);
    assert_eq!((forge.admin.get(AT), forge.writes()), (before, writes));
    assert_eq!(forge.ledger(), []);
}

fn a_run_is_taken_back() {
    let forge = forge("minimum_password_length: 12, signup_enabled: false");
    let before = forge.admin.get(AT);
    forge.run(&["apply", "--yes"]).exits(0);
    let run = forge.run(&["revert", "--yes", "--allow", "weaken,expose"]);
    run.exits(0);
    assert_eq!(forge.admin.get(AT), before);
}

fn reading_costs_one_request() {
    let requests = |forge: &Forge| {
        let plan = forge.run(&["plan", "--format", "json"]).exits(0).json();
        plan["cost"]["requests"]
            .as_u64()
            .unwrap_or_else(|| panic!("{plan:#}"))
    };
    let forge = forge("signup_enabled: false");
    let with = requests(&forge);
    forge.config("");
    assert_eq!(with - requests(&forge), 1);
}
