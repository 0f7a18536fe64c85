//! What a user sees for everything that can be wrong with a config: one snapshot per case, the text first.

use autogit::config::{Listed, Severity};

use crate::{load_text, rendered};

/// Compares what is said of each text with its snapshot. Each must be an error, or all of them warnings.
fn check(severity: Severity, cases: &[(&str, &str)]) {
    for (name, text) in cases {
        let loaded = load_text(text);
        assert_eq!(
            loaded.config.is_some(),
            severity == Severity::Warning,
            "{name}: {}",
            rendered(&loaded)
        );
        assert!(
            loaded
                .diagnostics
                .iter()
                .any(|diagnostic| diagnostic.severity == severity),
            "{name}"
        );
        insta::assert_snapshot!(*name, format!("{text}\n────\n{}", rendered(&loaded)));
    }
}

#[test]
fn yaml() {
    check(
        Severity::Error,
        &[
            ("yaml_syntax", "autogit: 1\nrepos: {a/b: {topics: [x}}\n"),
            ("yaml_tab", "autogit: 1\nrepos:\n\ta/b: {}\n"),
            ("yaml_two_documents", "autogit: 1\n---\nautogit: 1\n"),
            (
                "yaml_duplicate_key",
                "autogit: 1\nrepos:\n  a/b:\n    description: one\n    visibility: private\n    description: two\n",
            ),
            (
                "yaml_tag",
                "autogit: 1\nrepos:\n  a/b: {description: !env HOME}\n",
            ),
            ("yaml_complex_key", "autogit: 1\nrepos:\n  {{ name }}: {}\n"),
            ("yaml_unknown_anchor", "autogit: 1\nrepos: {a/b: *service}\n"),
            ("yaml_anchor_in_itself", "autogit: 1\nx-a: &a [*a]\n"),
            (
                "yaml_merge_of_text",
                "autogit: 1\nrepos:\n  a/b:\n    <<: service\n",
            ),
            ("yaml_empty", "# nothing yet\n"),
            ("yaml_not_a_map", "- autogit: 1\n"),
            ("yaml_missing_key", "autogit: 1\n: x\n"),
        ],
    );
}

#[test]
fn yaml_budgets() {
    let mut laughs = "autogit: 1\nx-0: &x0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*x{}", level - 1); 10].join(", ");
        laughs += &format!("x-{level}: &x{level} [{aliases}]\n");
    }
    let deep = format!("autogit: 1\nx-deep: {}{}\n", "[".repeat(70), "]".repeat(70));
    check(
        Severity::Error,
        &[("budget_billion_laughs", &laughs), ("budget_depth", &deep)],
    );
}

#[test]
fn sections() {
    check(
        Severity::Error,
        &[
            ("section_no_version", "repos: {a/b: {}}\n"),
            ("section_other_version", "autogit: 2\n"),
            ("section_unknown", "autogit: 1\nrepo: {a/b: {}}\n"),
            (
                "section_planned",
                "autogit: 1\nhosts: {}\ngitlab: {settings: {}}\n",
            ),
            ("section_not_a_map", "autogit: 1\nrepos: [a/b]\n"),
            ("section_include_without_file", "autogit: 1\ninclude: [x.yaml]\n"),
            ("section_prune", "autogit: 1\nprune: everything\n"),
            (
                "section_state",
                "autogit: 1\nstate: {gitlab: {name: a/b, token: glpat-x, path: y}}\n",
            ),
        ],
    );
}

#[test]
fn gitlab() {
    check(
        Severity::Error,
        &[
            (
                "gitlab_url_scheme",
                "autogit: 1\ngitlab: {url: \"git.example.org:443\"}\n",
            ),
            (
                "gitlab_url_nonsense",
                "autogit: 1\ngitlab: {url: git.example.org}\n",
            ),
            (
                "gitlab_url_credentials",
                "autogit: 1\ngitlab: {url: \"https://root:canary-1@git.example.org\"}\n",
            ),
            (
                "gitlab_url_query",
                "autogit: 1\ngitlab: {url: \"https://git.example.org/?private_token=canary-2\"}\n",
            ),
            ("gitlab_edition", "autogit: 1\ngitlab: {edition: ultimate}\n"),
            ("gitlab_token_for_a_map", "autogit: 1\ngitlab: canary-17\n"),
            (
                "gitlab_token_literal",
                "autogit: 1\ngitlab:\n  token: canary-3   # see the wiki\n",
            ),
            (
                "gitlab_token_literal_beside_other",
                "autogit: 1\ngitlab: {token: \"canary-4\", urll: x}\n",
            ),
            ("gitlab_token_misspelt", "autogit: 1\ngitlab: {tokn: canary-12}\n"),
            (
                "gitlab_token_block",
                "autogit: 1\ngitlab:\n  token: |\n    canary-5\n    canary-5\n",
            ),
            (
                "gitlab_token_in_env",
                "autogit: 1\ngitlab: {token: {env: canary-6}}\n",
            ),
            (
                "gitlab_token_form",
                "autogit: 1\ngitlab: {token: {value: canary-7}}\n",
            ),
            ("gitlab_token_empty_form", "autogit: 1\ngitlab: {token: {}}\n"),
            (
                "gitlab_token_twice",
                "autogit: 1\ngitlab:\n  token: canary-8\n  token: canary-8\n",
            ),
            (
                "gitlab_token_in_broken_yaml",
                "autogit: 1\ngitlab: {token: canary-9]}\n",
            ),
            (
                "gitlab_token_by_alias",
                "autogit: 1\nx-token: &token canary-10\ngitlab: {token: *token}\n",
            ),
        ],
    );
}

#[test]
fn values() {
    check(
        Severity::Error,
        &[
            (
                "value_unknown_key",
                "autogit: 1\nrepos:\n  a/b:\n    visiblity: private\n",
            ),
            (
                "value_unknown_nested_key",
                "autogit: 1\nrepos:\n  a/b:\n    protected_branches: {main: {allow-force-push: true}}\n",
            ),
            (
                "value_yes_is_text",
                "autogit: 1\nrepos: {a/b: {only_allow_merge_if_pipeline_succeeds: yes}}\n",
            ),
            (
                "value_number_is_not_text",
                "autogit: 1\nrepos: {a/b: {default_branch: 1.10}}\n",
            ),
            (
                "value_text_is_not_number",
                "autogit: 1\nrepos: {a/b: {queue: \"5\"}}\n",
            ),
            (
                "value_text_is_not_list",
                "autogit: 1\nrepos: {a/b: {topics: service}}\n",
            ),
            (
                "value_list_is_not_text",
                "autogit: 1\nrepos:\n  a/b:\n    description:\n      - one\n",
            ),
            ("value_null_in_list", "autogit: 1\nrepos: {a/b: {topics: [~]}}\n"),
            (
                "value_not_allowed",
                "autogit: 1\nrepos: {a/b: {visibility: Privat}}\n",
            ),
            (
                "value_set",
                "autogit: 1\nrepos: {a/b: {topics: [rust, api, rust]}}\n",
            ),
            (
                "value_range",
                "autogit: 1\nrepos: {a/b: {queue: 0}, a/c: {queue: 101}}\n",
            ),
            (
                "value_length",
                "autogit: 1\nrepos: {a/b: {description: \"0123456789012345678901234567890123456789012345678901234567890\"}}\n",
            ),
            (
                "value_pattern",
                "autogit: 1\nrepos: {a/b: {default_branch: my branch}}\n",
            ),
            ("value_missing", "autogit: 1\nrepos: {a/b: {mirror: {}}}\n"),
            (
                "value_decode",
                "autogit: 1\nrepos: {a/b: {mirror: {host: example.org/x}}}\n",
            ),
            (
                "value_secret_in_kind",
                "autogit: 1\nrepos: {a/b: {mirror: {host: h, password: canary-11}}}\n",
            ),
            (
                "value_secret_for_a_map",
                "autogit: 1\nrepos: {a/b: {mirror: canary-15}}\n",
            ),
            (
                "value_secret_by_another_name",
                "autogit: 1\nrepos: {a/b: {mirror: {host: h, credentials: canary-16}}}\n",
            ),
            (
                "value_secret_bare_reference",
                "autogit: 1\nrepos: {a/b: {mirror: {host: h, env: PASSWORD}}}\n",
            ),
            (
                "value_enterprise",
                "autogit: 1\ngitlab: {edition: ce}\nrepos:\n  a/b:\n    approvals: 2\n    protected_branches:\n      main: {code_owner_approval_required: true}\n",
            ),
            (
                "value_all_at_once",
                "autogit: 1\nprune: some\ngroups: {a: {visibility: 1}}\nrepos:\n  a/b: {topics: x, descripton: y}\n  a//c: {preset: none}\n",
            ),
        ],
    );
}

#[test]
fn resources() {
    check(
        Severity::Error,
        &[
            ("resource_path", "autogit: 1\nrepos: {\"a b/c\": {}}\n"),
            (
                "resource_branch_name",
                "autogit: 1\nrepos: {a/b: {protected_branches: {\"my branch\": {}}}}\n",
            ),
            (
                "resource_twice",
                "autogit: 1\nrepos:\n  platform/api: {}\n  Platform/API: {}\n",
            ),
            (
                "resource_group_and_repo",
                "autogit: 1\ngroups: {a/b: {}}\nrepos: {a/b: {}}\n",
            ),
            (
                "resource_absent_with_fields",
                "autogit: 1\nrepos:\n  a/b:\n    absent: true\n    description: x\n    protected_branches: {main: {absent: true, allow_force_push: false}}\n",
            ),
            (
                "resource_in_what_is_absent",
                "autogit: 1\ngroups: {Team: {absent: true}}\nrepos:\n  team/sub/a: {}\n  team/gone: {absent: true}\n  teams/b: {}\n",
            ),
            (
                "resource_absent_nested_with_fields",
                "autogit: 1\npresets: {p: {protected_branches: {main: {absent: true, allow_force_push: false}}}}\nrepos: {a/b: {preset: p}}\n",
            ),
            (
                "resource_moved_from_itself",
                "autogit: 1\nrepos: {a/b: {moved_from: A/b}}\n",
            ),
            (
                "resource_moved_from_declared",
                "autogit: 1\nrepos:\n  a/b: {moved_from: a/old}\n  a/old: {}\n",
            ),
            (
                "resource_moved_twice",
                "autogit: 1\nrepos:\n  a/b: {moved_from: a/old}\n  a/c: {moved_from: a/old}\n",
            ),
            (
                "resource_moved_from_nonsense",
                "autogit: 1\nrepos: {a/b: {moved_from: \"a old\"}}\n",
            ),
        ],
    );
}

#[test]
fn shorthand_and_policies() {
    check(
        Severity::Error,
        &[
            (
                "shorthand_value",
                "autogit: 1\ngroups:\n  a: {members: {alice: ownr, bob: 40, carol: [admin], dave: true}}\n",
            ),
            (
                "shorthand_in_preset_is_reported_once",
                "autogit: 1\npresets: {p: {members: {alice: boss}}}\nrepos: {a/b: {preset: p}, a/c: {preset: p}}\n",
            ),
            (
                "shorthand_of_what_has_none",
                "autogit: 1\nrepos:\n  a/b: private\n  a/c: {protected_branches: {main: maintainer}}\n",
            ),
            (
                "policy_value",
                "autogit: 1\ngroups: {a: {members: {alice: admin}, members_policy: exactly}}\n",
            ),
            (
                "policy_of_what_has_none",
                "autogit: 1\nrepos: {a/b: {protected_branches_policy: exact}}\n",
            ),
            (
                "policy_exact_without_collection",
                "autogit: 1\npresets: {p: {members: {alice: admin}, members_policy: exact}}\ngroups: {a: {members_policy: exact}}\nrepos: {a/b: {preset: p, members: null}}\n",
            ),
        ],
    );
}

#[test]
fn presets() {
    let many: String = (0..3)
        .map(|index| format!("  a/{index}: {{preset: p}}\n"))
        .collect();
    let once =
        format!("autogit: 1\npresets:\n  p:\n    visiblity: private\n    approvals: none\nrepos:\n{many}");
    let decoded_once = format!("autogit: 1\npresets:\n  p: {{mirror: {{host: a/b}}}}\nrepos:\n{many}");
    check(
        Severity::Error,
        &[
            (
                "preset_undeclared",
                "autogit: 1\npresets: {service: {}}\nrepos: {a/b: {preset: [service, servce]}}\n",
            ),
            (
                "preset_none_declared",
                "autogit: 1\nrepos: {a/b: {preset: service}}\n",
            ),
            (
                "preset_holds_absent",
                "autogit: 1\npresets: {p: {absent: true, moved_from: a}}\nrepos: {a/b: {preset: p}}\n",
            ),
            (
                "preset_lacks_required_for_each_repo",
                "autogit: 1\npresets: {p: {mirror: {}}}\nrepos: {a/b: {preset: p}, a/c: {preset: p}, a/d: {preset: p, mirror: {host: h}}}\n",
            ),
            ("preset_not_text", "autogit: 1\nrepos: {a/b: {preset: 7}}\n"),
            ("preset_wrong_is_reported_once", &once),
            ("preset_decoded_wrong_is_reported_once", &decoded_once),
            (
                "preset_enterprise_at_the_preset",
                "autogit: 1\ngitlab: {edition: ce}\npresets:\n  p: {approvals: 1}\nrepos: {a/b: {preset: p}, a/c: {preset: p}}\n",
            ),
        ],
    );
}

#[test]
fn rules() {
    check(
        Severity::Error,
        &[
            (
                "rule_without_match",
                "autogit: 1\nrules:\n  one: {visibility: private}\n  two: {match: {}}\n  three: {match: null}\n  four:\n",
            ),
            (
                "rule_match_values",
                "autogit: 1\nrules:\n  one: {match: {path: \"a/***\", not: [a/b, \"[\"]}}\n  two: {match: {paths: x, topics: rust, archived: no, visibility: secret, listed: 1}}\n  three: {match: {path: []}}\n  four: {match: a/b}\n",
            ),
            (
                "rule_fields",
                "autogit: 1\nrules:\n  one: {match: {path: \"**\"}, visiblity: private, absent: true, moved_from: a/b, mode: warn}\n  two: {match: {path: \"**\"}, locked: {queue: 0, preset: p, members: {alice: boss}}}\n",
            ),
            (
                "rule_preset_undeclared",
                "autogit: 1\npresets: {service: {}}\nrules: {one: {match: {path: \"**\"}, preset: [service, servce]}}\n",
            ),
            (
                "rule_wrong_is_reported_once",
                "autogit: 1\nrules:\n  one: {match: {path: \"a/*\"}, mirror: {host: a/b}, locked: {default_branch: a b}}\nrepos: {a/b: {}, a/c: {}}\n",
            ),
            (
                "rule_in_report_mode_is_checked_too",
                "autogit: 1\nrules:\n  one: {match: {path: \"a/*\"}, mode: report, mirror: {host: a/b}}\nrepos: {a/b: {}}\n",
            ),
            (
                "rule_absent_nested_with_fields",
                "autogit: 1\nrules:\n  one: {match: {path: \"**\"}, protected_branches: {main: {absent: true, allow_force_push: false}}, locked: {members: {alice: {absent: true, access_level: admin}}}}\n",
            ),
            (
                "rule_locks_disagree",
                "autogit: 1\nrules:\n  one: {match: {path: \"a/**\"}, locked: {visibility: private, topics: [x, y], protected_branches: {main: {push_access_level: admin}, old: {absent: true}}}}\n  two: {match: {path: \"*/b\"}, locked: {visibility: internal, topics: [y, x], protected_branches: {main: {push_access_level: no_one}, old: {}}}}\nrepos: {a/b: {}, a/c: {}}\n",
            ),
            (
                "rule_locks_disagree_in_report_mode",
                "autogit: 1\nrules:\n  one: {match: {path: \"a/**\"}, locked: {visibility: private}}\n  two: {match: {path: \"*/b\"}, mode: report, locked: {visibility: internal}}\nrepos: {a/b: {}}\n",
            ),
            (
                "rule_enterprise_at_the_rule",
                "autogit: 1\ngitlab: {edition: ce}\nrules: {one: {match: {path: \"a/*\"}, approvals: 1}}\nrepos: {a/b: {}, a/c: {}}\n",
            ),
        ],
    );
}

#[test]
fn rules_and_what_exists() {
    for (name, text) in [
        (
            "settled_rule_matches_nothing",
            "autogit: 1\nrules:\n  one: {match: {path: \"a/**\"}, visibility: private}\n  two: {match: {path: \"b/**\"}, visibility: private}\n  three: {match: {path: \"a/x\", archived: true}, mode: report}\nrepos: {b/gone: {absent: true}}\n",
        ),
        (
            "settled_unlisted_wrong_at_the_rule",
            "autogit: 1\nrules:\n  one: {match: {path: \"a/**\"}, mirror: {password: {env: P}}}\n",
        ),
        (
            "settled_locks_disagree_on_unlisted",
            "autogit: 1\nrules:\n  one: {match: {path: \"a/**\"}, locked: {queue: 1}}\n  two: {match: {visibility: private}, locked: {queue: 2}}\n",
        ),
    ] {
        let loaded = load_text(text);
        assert!(loaded.config.is_some(), "{}", rendered(&loaded));
        let listed = ["a/x", "a/y"].map(|path| Listed {
            path: path.into(),
            visibility: "private".into(),
            archived: false,
            topics: Vec::new(),
        });
        let settled = loaded.settle(&listed);
        assert!(settled.config.is_none() && settled.reported.is_none(), "{name}");
        let said: Vec<_> = settled
            .diagnostics
            .iter()
            .map(|diagnostic| settled.sources.render(diagnostic, false))
            .collect();
        insta::assert_snapshot!(name, format!("{text}\n────\n{}", said.join("\n\n")));
    }
}

#[test]
fn warnings() {
    check(
        Severity::Warning,
        &[
            (
                "warning_bare_key",
                "autogit: 1\nrepos:\n  a/b:\n    description:\n",
            ),
            ("warning_bare_repo", "autogit: 1\nrepos:\n  a/b:\n"),
            ("warning_bare_section", "autogit: 1\nrepos:\n"),
            ("warning_bare_settings", "autogit: 1\ngitlab:\nprune:\npresets:\n"),
            (
                "warning_lock_bites",
                "autogit: 1\npresets: {p: {visibility: public, members: {alice: developer}}}\nrules:\n  one:\n    match: {path: \"a/*\"}\n    locked: {visibility: private, topics: [x, y], members: {alice: admin}, protected_branches: {main: {allow_force_push: false}, old: {}}}\nrepos:\n  a/b: {preset: p, topics: [y, x], protected_branches: {main: {allow_force_push: true}, old: {absent: true}}}\n  a/c: {preset: p, topics: null, protected_branches: null}\n  a/d: {visibility: private, topics: [z]}\n",
            ),
            ("warning_bare_rules", "autogit: 1\nrules:\n"),
            ("warning_unused_preset", "autogit: 1\npresets: {p: {}}\n"),
        ],
    );
}

#[test]
fn no_secret_is_ever_shown() {
    let wrongs = [
        "canary",
        "{value: canary}",
        "[canary]",
        "{env: [canary]}",
        "{env: can-canary}",
        "{x: {y: canary}}",
        "|\n    canary\n",
        "canary]",
        "\"canary\n    canary\" canary",
        "[one,\n    canary}",
        "\"canary",
    ];
    for wrong in wrongs {
        let loaded = load_text(&format!("autogit: 1\ngitlab:\n  token: {wrong}\n"));
        assert!(loaded.config.is_none(), "{wrong}");
        let json = serde_json::to_string(&loaded.diagnostics).unwrap();
        assert!(
            !(rendered(&loaded) + &json).contains("canary"),
            "{wrong}: {}",
            rendered(&loaded)
        );
    }
}

#[test]
fn what_is_shown_cannot_steer_the_terminal() {
    let loaded = load_text(
        "autogit: 1\npresets: {\"\\e[31mred\": {}}\nrepos: {a/b: {preset: \"\\e[31mrde\"}, \"\\e[0m\": {}}\n",
    );
    assert!(loaded.config.is_none());
    assert!(!rendered(&loaded).contains('\x1b'), "{}", rendered(&loaded));
}

#[test]
fn diagnostics_are_data_too() {
    let loaded = load_text("autogit: 1\nrepos: {a/b: {visiblity: private}}\n");
    insta::assert_snapshot!(
        "as_json",
        serde_json::to_string_pretty(&loaded.diagnostics).unwrap()
    );
}
