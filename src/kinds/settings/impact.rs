//! What a change to the instance's settings does to people.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::core::{Change, Impact};
use crate::kinds::repo::{VISIBILITIES, opening};

/// Settings that guard something while they are on.
const GUARDS: &[&str] = &[
    "disable_admin_oauth_scopes",
    "disable_password_authentication_for_users_with_sso_identities",
    "invisible_captcha_enabled",
    "notify_on_unknown_sign_in",
    "password_lowercase_required",
    "password_number_required",
    "password_symbol_required",
    "password_uppercase_required",
    "protected_ci_variables",
    "require_admin_two_factor_authentication",
    "require_email_verification_on_account_locked",
    "require_personal_access_token_expiry",
    "require_two_factor_authentication",
    "session_expire_from_init",
];

/// Settings that let users do something while they are on.
const LIBERTIES: &[&str] = &[
    "allow_local_requests_from_system_hooks",
    "allow_local_requests_from_web_hooks_and_services",
    "allow_runner_registration_token",
    "can_create_group",
    "remember_me_enabled",
    "user_oauth_applications",
];

/// What a change does to people.
pub fn of(change: &Change) -> Impact {
    let is_now = |value: bool| change.after == Some(value.into());
    let scale = |steps: &[&str], impact| opening(change, steps, impact);
    match change.field.as_str() {
        // Who signs up sees what is internal, and whatever the instance shows to its users.
        "signup_enabled" => scale(&["false", "true"], Impact::Exposes),
        "require_admin_approval_after_user_signup"
        | "domain_denylist_enabled"
        | "email_restrictions_enabled" => scale(&["true", "false"], Impact::Exposes),
        "email_confirmation_setting" => scale(&["hard", "soft", "off"], Impact::Exposes),
        "email_restrictions" => Impact::Exposes,
        "domain_allowlist" => match (texts(&change.before), texts(&change.after)) {
            (before, _) if before.is_empty() => Impact::Tightens,
            (before, after) if after.is_empty() || !after.is_subset(&before) => Impact::Exposes,
            _ => Impact::Tightens,
        },
        "domain_denylist" | "restricted_visibility_levels" => {
            listed(change, Impact::Tightens, Impact::Exposes)
        }
        "user_default_external" => scale(&["true", "false"], Impact::Exposes),
        "user_default_internal_regex" => Impact::Exposes,
        "default_project_visibility" | "default_group_visibility" | "default_snippet_visibility" => {
            scale(&VISIBILITIES, Impact::Exposes)
        }
        "password_authentication_enabled_for_web" | "password_authentication_enabled_for_git"
            if is_now(false) =>
        {
            Impact::LocksOut
        }
        "password_authentication_enabled_for_web" | "password_authentication_enabled_for_git" => {
            Impact::Weakens
        }
        "disabled_oauth_sign_in_sources" => listed(change, Impact::LocksOut, Impact::Weakens),
        // A token without the scope is no administrator's any more, AutoGit's own included.
        "admin_mode" if is_now(true) => Impact::LocksOut,
        "admin_mode" => Impact::Weakens,
        "enabled_git_access_protocol" if change.after_str() == "all" => Impact::Weakens,
        "enabled_git_access_protocol" => Impact::LocksOut,
        field if field.ends_with("_key_restriction") => key_restriction(change),
        // What is too old already stops working.
        "max_personal_access_token_lifetime" | "max_ssh_key_lifetime" => {
            grown(change, i64::MAX, Impact::Weakens, Impact::LocksOut)
        }
        "session_expire_delay" | "git_two_factor_session_expiry" => {
            grown(change, 0, Impact::Weakens, Impact::Tightens)
        }
        // Devise's, where nothing is set.
        "max_login_attempts" => grown(change, 10, Impact::Weakens, Impact::Tightens),
        "failed_login_attempts_unlock_period_in_minutes" => {
            grown(change, 10, Impact::Tightens, Impact::Weakens)
        }
        "minimum_password_length" => grown(change, 8, Impact::Tightens, Impact::Weakens),
        "deletion_adjourned_period" => grown(change, 0, Impact::Neutral, Impact::Destroys),
        "keep_latest_artifact" if is_now(false) => Impact::Destroys,
        "deactivate_dormant_users" | "enforce_terms" if is_now(true) => Impact::Tightens,
        field if GUARDS.contains(&field) => scale(&["true", "false"], Impact::Weakens),
        field if LIBERTIES.contains(&field) => scale(&["false", "true"], Impact::Weakens),
        _ => Impact::Neutral,
    }
}

fn texts(value: &Option<Value>) -> BTreeSet<&str> {
    let items = value.as_ref().and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}

/// The impact of a list that something was added to, or taken from: the worse one of the two where both happened.
fn listed(change: &Change, added: Impact, removed: Impact) -> Impact {
    let (before, after) = (texts(&change.before), texts(&change.after));
    let added = (!after.is_subset(&before)).then_some(added);
    let removed = (!before.is_subset(&after)).then_some(removed);
    added.max(removed).unwrap_or_default()
}

/// The impact of a number that is now greater or smaller. Where there was none it was `unset`.
fn grown(change: &Change, unset: i64, greater: Impact, smaller: Impact) -> Impact {
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_i64).unwrap_or(unset);
    match number(&change.after).cmp(&number(&change.before)) {
        std::cmp::Ordering::Greater => greater,
        std::cmp::Ordering::Less => smaller,
        std::cmp::Ordering::Equal => Impact::Neutral,
    }
}

/// Keys that are too short do not work any more. -1 stands for none at all.
fn key_restriction(change: &Change) -> Impact {
    let strict = |value: &Option<Value>| match value.as_ref().and_then(Value::as_i64).unwrap_or_default() {
        -1 => i64::MAX,
        bits => bits,
    };
    match strict(&change.after).cmp(&strict(&change.before)) {
        std::cmp::Ordering::Greater => Impact::LocksOut,
        std::cmp::Ordering::Less => Impact::Weakens,
        std::cmp::Ordering::Equal => Impact::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::fields::names;
    use crate::kinds::settings::Settings;

    fn impact(field: &str, before: Value, after: Value) -> Impact {
        assert!(names::<Settings>().contains(&field), "{field}");
        of(&Change::new(field, Some(before), Some(after)))
    }

    #[test]
    fn who_gets_in_exposes_and_who_no_longer_does_is_locked_out() {
        let cases = [
            ("signup_enabled", json!(false), json!(true), Impact::Exposes),
            ("signup_enabled", json!(true), json!(false), Impact::Tightens),
            (
                "require_admin_approval_after_user_signup",
                json!(true),
                json!(false),
                Impact::Exposes,
            ),
            (
                "email_confirmation_setting",
                json!("hard"),
                json!("soft"),
                Impact::Exposes,
            ),
            ("domain_allowlist", json!([]), json!(["a"]), Impact::Tightens),
            (
                "domain_allowlist",
                json!(["a", "b"]),
                json!(["a"]),
                Impact::Tightens,
            ),
            (
                "domain_allowlist",
                json!(["a"]),
                json!(["a", "b"]),
                Impact::Exposes,
            ),
            ("domain_allowlist", json!(["a"]), json!([]), Impact::Exposes),
            ("domain_denylist", json!(["a"]), json!([]), Impact::Exposes),
            (
                "restricted_visibility_levels",
                json!([]),
                json!(["public"]),
                Impact::Tightens,
            ),
            (
                "restricted_visibility_levels",
                json!(["public"]),
                json!(["internal"]),
                Impact::Exposes,
            ),
            (
                "default_project_visibility",
                json!("private"),
                json!("public"),
                Impact::Exposes,
            ),
            (
                "password_authentication_enabled_for_web",
                json!(true),
                json!(false),
                Impact::LocksOut,
            ),
            (
                "password_authentication_enabled_for_web",
                json!(false),
                json!(true),
                Impact::Weakens,
            ),
            (
                "disabled_oauth_sign_in_sources",
                json!([]),
                json!(["github"]),
                Impact::LocksOut,
            ),
            (
                "disabled_oauth_sign_in_sources",
                json!(["github"]),
                json!([]),
                Impact::Weakens,
            ),
            ("admin_mode", json!(false), json!(true), Impact::LocksOut),
            (
                "enabled_git_access_protocol",
                json!("all"),
                json!("ssh"),
                Impact::LocksOut,
            ),
            ("rsa_key_restriction", json!(0), json!(3072), Impact::LocksOut),
            ("rsa_key_restriction", json!(-1), json!(3072), Impact::Weakens),
        ];
        for (field, before, after, expected) in cases {
            assert_eq!(
                impact(field, before.clone(), after.clone()),
                expected,
                "{field}: {before} → {after}"
            );
        }
    }

    #[test]
    fn what_guards_less_weakens() {
        let cases = [
            ("minimum_password_length", json!(12), json!(8), Impact::Weakens),
            ("minimum_password_length", json!(8), json!(12), Impact::Tightens),
            ("session_expire_delay", json!(60), json!(10_080), Impact::Weakens),
            // What it does depends on whether a second factor is required: the kind tells.
            ("two_factor_grace_period", json!(0), json!(48), Impact::Neutral),
            (
                "require_two_factor_authentication",
                json!(true),
                json!(false),
                Impact::Weakens,
            ),
            (
                "require_two_factor_authentication",
                json!(false),
                json!(true),
                Impact::Tightens,
            ),
            ("remember_me_enabled", json!(false), json!(true), Impact::Weakens),
            ("max_login_attempts", Value::Null, json!(3), Impact::Tightens),
            ("max_login_attempts", Value::Null, json!(30), Impact::Weakens),
            (
                "max_personal_access_token_lifetime",
                Value::Null,
                json!(90),
                Impact::LocksOut,
            ),
            ("deletion_adjourned_period", json!(30), json!(1), Impact::Destroys),
            (
                "home_page_url",
                json!(""),
                json!("https://example.org"),
                Impact::Neutral,
            ),
        ];
        for (field, before, after, expected) in cases {
            assert_eq!(
                impact(field, before.clone(), after.clone()),
                expected,
                "{field}: {before} → {after}"
            );
        }
    }

    #[test]
    fn every_setting_that_is_judged_by_its_name_is_one() {
        let known = names::<Settings>();
        for field in GUARDS.iter().chain(LIBERTIES) {
            assert!(known.contains(field), "{field}");
        }
    }
}
