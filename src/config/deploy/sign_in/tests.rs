//! What is said of ways to sign in that do not go together.

use serde_json::{Value, json};

use super::super::super::model::Edition;
use super::{SignIn, check, remarks};

fn read(value: Value) -> SignIn {
    serde_json::from_value(value).unwrap()
}

/// The fields that are complained about, and a word of each complaint.
#[track_caller]
fn expect(value: Value, edition: Option<Edition>, expected: &[(&str, &str)]) {
    let problems = check(&read(value), edition);
    let found: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
    let fields: Vec<_> = expected.iter().map(|(field, _)| *field).collect();
    assert_eq!(found, fields, "{problems:?}");
    for (problem, (_, word)) in problems.iter().zip(expected) {
        assert!(problem.message.contains(word), "{problem:?} does not say {word}");
    }
}

fn ldap(more: Value) -> Value {
    let mut ldap = json!({"host": "ldap.lan", "base": "dc=lan", "bind_dn": "cn=x", "password": {"env": "P"}});
    ldap.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    ldap
}

fn oidc(more: Value) -> Value {
    let mut oidc = json!({"issuer": "https://id.lan", "client_id": "gitlab", "client_secret": {"env": "S"}});
    oidc.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"openid_connect": oidc})
}

#[test]
fn what_the_community_edition_lacks_is_told_and_the_enterprise_edition_takes_it() {
    let groups = json!({"groups_attribute": "groups", "required_groups": ["a"], "admin_groups": ["b"]});
    let value = json!({
        "ldap": {"main": ldap(json!({"group_base": "ou=g", "admin_group": "a"})), "other": ldap(json!({}))},
        "providers": {"sso": oidc(groups)},
    });
    expect(
        value.clone(),
        Some(Edition::Ce),
        &[
            ("sign_in.ldap.other", "second directory"),
            ("sign_in.ldap.main.group_base", "Premium"),
            ("sign_in.ldap.main.admin_group", "Premium"),
            ("sign_in.providers.sso.openid_connect.groups_attribute", "Premium"),
            ("sign_in.providers.sso.openid_connect.required_groups", "Premium"),
            ("sign_in.providers.sso.openid_connect.admin_groups", "Premium"),
        ],
    );
    expect(value.clone(), Some(Edition::Ee), &[]);
    expect(value, None, &[]);
}

#[test]
fn names_that_lead_nowhere_are_told() {
    let value = json!({
        "providers": {
            "github": oidc(json!({})), "ldapmain": oidc(json!({})), "my-sso": oidc(json!({})), "sso": oidc(json!({})),
            "hub": {"github": {"app_id": "x", "app_secret": {"env": "S"}}},
        },
        "allow_single_sign_on": ["sso", "saml"],
        "auto_sign_in_with_provider": "ss0",
    });
    expect(
        value,
        None,
        &[
            ("sign_in.providers.github", "own name for something else"),
            ("sign_in.providers.hub", "only as `github`"),
            ("sign_in.providers.ldapmain", "own name for something else"),
            ("sign_in.providers.my-sso", "cannot be such a name"),
            ("sign_in.allow_single_sign_on", "no provider is called `saml`"),
            (
                "sign_in.auto_sign_in_with_provider",
                "no provider is called `ss0`",
            ),
        ],
    );
    expect(
        json!({"auto_link_user": ["sso"]}),
        None,
        &[("sign_in.auto_link_user", "there are none")],
    );
}

#[test]
fn what_a_provider_cannot_be_reached_by_is_told() {
    let issuers = [
        ("http://id.lan", "must begin with `https://`"),
        ("id.lan", "not a URL"),
        (
            "https://id.lan/.well-known/openid-configuration",
            "GitLab adds that",
        ),
    ];
    for (issuer, word) in issuers {
        let value = json!({"providers": {"sso": oidc(json!({"issuer": issuer}))}});
        expect(
            value,
            None,
            &[("sign_in.providers.sso.openid_connect.issuer", word)],
        );
    }
    let scope = json!({"providers": {"sso": oidc(json!({"scope": ["email"], "required_groups": ["a"]}))}});
    expect(
        scope,
        Some(Edition::Ee),
        &[
            ("sign_in.providers.sso.openid_connect.scope", "`openid`"),
            (
                "sign_in.providers.sso.openid_connect.required_groups",
                "without `groups_attribute`",
            ),
        ],
    );
    let saml = json!({"providers": {"saml": {"saml": {"idp_sso_target_url": "https://id.lan"}}}});
    expect(saml, None, &[("sign_in.providers.saml.saml", "certificate")]);
}

#[test]
fn a_directory_that_cannot_be_asked_is_told() {
    let value = json!({"ldap": {"main": {"host": "ldaps://ldap.lan", "base": "dc=lan", "bind_dn": "cn=x", "user_filter": "a=b"}}});
    expect(
        value,
        None,
        &[
            ("sign_in.ldap.main.host", "the host alone"),
            ("sign_in.ldap.main.bind_dn", "without `password`"),
            ("sign_in.ldap.main.user_filter", "parentheses"),
        ],
    );
    for (filter, holds) in [
        ("(a=b)", true),
        ("(&(a=b)(!(c=d)))", true),
        ("(a=b)(c=d)", false),
        ("(a=b", false),
        ("", false),
    ] {
        let problems = check(
            &read(json!({"ldap": {"main": ldap(json!({"user_filter": filter}))}})),
            None,
        );
        assert_eq!(problems.is_empty(), holds, "{filter}");
    }
}

#[test]
fn what_is_hardly_meant_is_remarked_on() {
    let google = json!({"google_oauth2": {"app_id": "x", "app_secret": {"env": "S"}}});
    let value = |block: bool| {
        json!({
            "ldap": {"main": ldap(json!({"encryption": "plain"})), "other": ldap(json!({"verify_certificates": false}))},
            "providers": {"google_oauth2": google}, "allow_single_sign_on": ["google_oauth2"], "block_auto_created_users": block,
        })
    };
    let fields = |block: bool| {
        let remarks = remarks(&read(value(block)));
        remarks.into_iter().map(|remark| remark.field).collect::<Vec<_>>()
    };
    let unsafe_directories = [
        "sign_in.ldap.main.encryption",
        "sign_in.ldap.other.verify_certificates",
    ];
    assert_eq!(fields(true), unsafe_directories);
    assert_eq!(fields(false)[2..], ["sign_in.allow_single_sign_on"]);
}
