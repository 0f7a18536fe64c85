//! What a change to the instance does to people, and what it takes: nothing, a reconfigure, or a new container.

use serde_json::Value;

use crate::core::{Change, Impact, Rules};

/// What the planner needs to know of the instance.
pub const RULES: Rules = Rules {
    impact,
    ..Rules::plain(super::KIND)
};

/// What it takes to bring a change about, the least first. A step takes all that its changes take, except that a new container
/// makes the rest unnecessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Nothing of the container: only AutoGit's own files, or its token.
    Aside,
    /// Limits that Docker changes while the container runs.
    Update,
    /// The container is started, which reconfigures GitLab.
    Start,
    /// GitLab is told its settings, and restarts those of its parts that they are of.
    Reconfigure,
    /// Another container takes the place of the one that is there.
    Recreate,
}

/// What it takes to bring a change about.
pub(super) fn way(change: &Change) -> Way {
    let field = change.field.split(['.', '/']).next().unwrap_or_default();
    let lifts = change.after.as_ref().is_none_or(Value::is_null);
    match field {
        // What is left of an interrupted replacement is seen to whatever else changes.
        "token" | "previous" => Way::Aside,
        // Docker takes a limit of 0 for one that is not to be changed.
        "memory" | "cpus" | "pids" if lifts => Way::Recreate,
        "memory" | "cpus" | "pids" | "restart" => Way::Update,
        "running" => Way::Start,
        "settings" | "secrets" | "certificate" | "reconfigured" => Way::Reconfigure,
        _ => Way::Recreate,
    }
}

/// How a step is gone about, and how long users are cut off: a line for each way that it takes.
pub(super) fn notes(changes: &[Change]) -> Vec<String> {
    let by = |wanted: Way| -> Vec<&str> {
        let fields = changes.iter().filter(|change| way(change) == wanted);
        fields.map(|change| short(&change.field)).collect()
    };
    let (renewed, told) = (by(Way::Recreate), by(Way::Reconfigure));
    if !renewed.is_empty() {
        // The image reconfigures GitLab at every start: Omnibus' `assets/init-container`.
        return vec![format!(
            "makes a new container, for {}: nobody reaches GitLab until it is ready there, which takes a few minutes; data stay",
            listed(&renewed)
        )];
    }
    let mut notes = Vec::new();
    if !by(Way::Update).is_empty() {
        notes.push(format!(
            "changed while it runs, without a break: {}",
            listed(&by(Way::Update))
        ));
    }
    match (by(Way::Start).is_empty(), told.is_empty()) {
        (false, _) => {
            notes.push("starts the container: GitLab answers once it is ready, which takes a few minutes".into());
        }
        // Source: Omnibus' `doc/maintenance/_index.md`: up to a minute to restart Puma and Sidekiq on a single core.
        (true, false) => notes.push(format!(
            "reconfigures GitLab, for {}: what depends on it restarts, and requests may fail for some seconds to a minute",
            listed(&told)
        )),
        (true, true) => {}
    }
    notes
}

/// A setting by its key in `gitlab.rb`, anything else by the field's name.
fn short(field: &str) -> &str {
    field.strip_prefix("settings.").unwrap_or(field)
}

/// The first few of many.
fn listed(fields: &[&str]) -> String {
    let mut listed = fields.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    if fields.len() > 3 {
        listed.push_str(&format!(" and {} more", fields.len() - 3));
    }
    listed
}

fn impact(change: &Change) -> Impact {
    let after = change.after.as_ref().filter(|after| !after.is_null());
    let before = change.before.as_ref().filter(|before| !before.is_null());
    match change.field.split_once('.') {
        // The whole container goes.
        None if change.field.is_empty() && after.is_none() => Impact::LocksOut,
        Some(("ports", _)) => publishing(before, after),
        Some(("settings", key)) => setting(key, before, after),
        _ => Impact::Neutral,
    }
}

/// Of another address or port of the host.
fn publishing(before: Option<&Value>, after: Option<&Value>) -> Impact {
    // Who stands where only this host reaches is not reached by others.
    let is_open = |address: &Value| {
        let address = address.as_str().unwrap_or_default();
        !address.starts_with("127.") && !address.starts_with("[::1]")
    };
    match (before, after) {
        (Some(before), Some(after)) => Impact::of_opening(&is_open(before), &is_open(after), Impact::Exposes),
        (Some(_), None) => Impact::LocksOut,
        (None, _) => Impact::Neutral,
    }
}

/// Settings that say whether, or how, the other side of a connection is checked, and what says that it is not.
const CHECKS: [(&str, &[&str]); 5] = [
    ("verify_certificates", &["false"]),
    ("smtp_openssl_verify_mode']", &["none"]),
    ("smtp_enable_starttls_auto']", &["false"]),
    ("smtp_tls']", &["false"]),
    ("encryption", &["plain"]),
];

/// Settings of which less locks somebody out.
const WAYS_IN: [&str; 3] = [
    "gitlab_rails['omniauth_enabled']",
    "gitlab_rails['ldap_enabled']",
    "registry_external_url",
];

/// Of a setting of `gitlab.rb`.
fn setting(key: &str, before: Option<&Value>, after: Option<&Value>) -> Impact {
    let plain = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let (was, becomes) = (plain(before), plain(after));
    if key.ends_with("external_url") && was.starts_with("https://") && becomes.starts_with("http://") {
        return Impact::Weakens;
    }
    if let Some((_, off)) = CHECKS.iter().find(|(name, _)| key.ends_with(name)) {
        let is_off = |value: &str| off.contains(&value);
        if !was.is_empty() && !is_off(&was) && is_off(&becomes) {
            return Impact::Weakens;
        }
    }
    if key == "gitlab_rails['omniauth_block_auto_created_users']" && was != "false" && becomes == "false" {
        return Impact::Weakens;
    }
    let goes = matches!(becomes.as_str(), "" | "false");
    let is_way_in = WAYS_IN.contains(&key) || is_directory(key);
    if before.is_some() && goes && was != "false" && is_way_in {
        return Impact::LocksOut;
    }
    if key == "gitlab_rails['omniauth_providers']"
        && names(before).iter().any(|name| !names(after).contains(name))
    {
        return Impact::LocksOut;
    }
    Impact::Neutral
}

/// Whether a setting is one whole LDAP directory, or all of them.
fn is_directory(key: &str) -> bool {
    let name = key.strip_prefix("gitlab_rails['ldap_servers']");
    name.is_some_and(|name| !name.trim_start_matches('.').contains('.'))
}

/// The names of a list of sign-in providers.
fn names(providers: Option<&Value>) -> Vec<&str> {
    let providers = providers.and_then(Value::as_array).into_iter().flatten();
    providers
        .filter_map(|provider| provider.get("name")?.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(field: &str, before: Value, after: Value) -> Impact {
        impact(&Change::new(field, Some(before), Some(after)))
    }

    #[test]
    fn who_is_reached_from_elsewhere_is_exposed() {
        let cases = [
            ("127.0.0.1:3000", "0.0.0.0:3000", Impact::Exposes),
            ("[::1]:3000", "[::]:3000", Impact::Exposes),
            ("0.0.0.0:3000", "127.0.0.1:3000", Impact::Tightens),
            ("0.0.0.0:3000", "0.0.0.0:3001", Impact::Neutral),
        ];
        for (before, after, expected) in cases {
            assert_eq!(
                judged("ports.80/tcp", json!(before), json!(after)),
                expected,
                "{before} → {after}"
            );
        }
        assert_eq!(
            judged("ports.22/tcp", json!("0.0.0.0:22"), Value::Null),
            Impact::LocksOut
        );
    }

    #[test]
    fn what_is_checked_less_is_weaker() {
        let ldap = "settings.gitlab_rails['ldap_servers'].main";
        let cases = [
            (
                "settings.external_url".to_owned(),
                json!("https://a"),
                json!("http://a"),
            ),
            (format!("{ldap}.verify_certificates"), json!(true), json!(false)),
            (format!("{ldap}.encryption"), json!("start_tls"), json!("plain")),
            (
                "settings.gitlab_rails['smtp_openssl_verify_mode']".to_owned(),
                json!("peer"),
                json!("none"),
            ),
            (
                "settings.gitlab_rails['omniauth_block_auto_created_users']".to_owned(),
                json!(true),
                json!(false),
            ),
        ];
        for (field, before, after) in cases {
            assert_eq!(
                judged(&field, before.clone(), after.clone()),
                Impact::Weakens,
                "{field}"
            );
            assert_eq!(judged(&field, after, before), Impact::Neutral, "{field}");
        }
    }

    #[test]
    fn who_loses_a_way_to_sign_in_is_locked_out() {
        let providers = "settings.gitlab_rails['omniauth_providers']";
        let (a, b) = (json!({"name": "a"}), json!({"name": "b"}));
        assert_eq!(judged(providers, json!([a, b]), json!([b])), Impact::LocksOut);
        assert_eq!(judged(providers, json!([b]), json!([a, b])), Impact::Neutral);
        let ldap = "settings.gitlab_rails['ldap_servers']";
        assert_eq!(
            judged(&format!("{ldap}.main"), json!({"host": "x"}), Value::Null),
            Impact::LocksOut
        );
        assert_eq!(
            judged(&format!("{ldap}.main.port"), json!(389), Value::Null),
            Impact::Neutral
        );
        assert_eq!(
            judged("settings.gitlab_rails['ldap_enabled']", json!(true), json!(false)),
            Impact::LocksOut
        );
        assert_eq!(impact(&Change::new("", Some(json!({})), None)), Impact::LocksOut);
    }

    #[test]
    fn a_limit_changes_while_it_runs_and_goes_only_with_the_container() {
        let change = |field: &str, after: Value| Change::new(field, Some(json!("8GiB")), Some(after));
        assert_eq!(way(&change("memory", json!("4GiB"))), Way::Update);
        assert_eq!(way(&change("memory", Value::Null)), Way::Recreate);
        assert_eq!(way(&Change::secret("secrets/smtp_password")), Way::Reconfigure);
        assert_eq!(
            way(&change("settings.external_url", json!("http://a"))),
            Way::Reconfigure
        );
        assert_eq!(way(&change("ports.22/tcp", json!("0.0.0.0:22"))), Way::Recreate);
    }

    #[test]
    fn a_new_container_makes_all_other_notes_needless() {
        let change = |field: &str| Change::new(field, None, Some(json!(1)));
        let all = [
            change("image"),
            change("settings.a"),
            change("memory"),
            change("running"),
        ];
        let notes = notes(&all);
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].starts_with("makes a new container, for image:"),
            "{}",
            notes[0]
        );
        let many: Vec<_> = ["a", "b", "c", "d", "e"]
            .map(|key| change(&format!("settings.{key}")))
            .into();
        assert!(super::notes(&many)[0].contains("for a, b, c and 2 more:"));
        assert!(super::notes(&[change("token")]).is_empty());
    }
}
