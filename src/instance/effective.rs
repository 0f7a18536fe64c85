//! The settings that are in effect: what AutoGit's file says, and what the container's own `gitlab.rb` makes of it afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::omnibus::{Line, Ruby};
use crate::config::deploy::names_secret;
use crate::core::Fields;

/// What stands where a secret would.
pub(super) const VEIL: &str = "(secret)";
/// What stands where only Ruby could tell.
const COMPUTED: &str = "(computed)";

/// A line of the container's own `/etc/gitlab/gitlab.rb` that sets something else than the config asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overriding {
    /// The line that it begins on, counted from 1.
    pub line: usize,
    /// What it sets.
    pub key: String,
}

/// What Omnibus reads, in the order in which it does.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    /// What `GITLAB_OMNIBUS_CONFIG` says or reads.
    pub first: Vec<Line>,
    /// What `/etc/gitlab/gitlab.rb` says, which counts where both set the same.
    pub then: Vec<Line>,
}

impl Sources {
    /// The value in effect of each key that is `asked` for, as it may be shown, and of each that only what comes first sets.
    /// A line of `/etc/gitlab/gitlab.rb` that sets what nobody asks for is nobody's business.
    pub fn settings(&self, asked: &Fields) -> Fields {
        let mut settings = Fields::new();
        for (key, value) in asked {
            if let Some(found) = self.folded(key, asked) {
                settings.insert(key.clone(), shown(key, found.as_ref(), Some(value)));
            }
        }
        let undeclared = self
            .first
            .iter()
            .filter(|line| closest(&line.key, asked).is_none());
        for line in undeclared {
            let value = shown(&line.key, line.value.as_ref(), None);
            settings.insert(line.key.clone(), value);
        }
        settings
    }

    /// The lines of `/etc/gitlab/gitlab.rb` that make something else of what is `asked` for.
    pub fn overriding(&self, asked: &Fields) -> Vec<Overriding> {
        let other = |line: &&Line| {
            let wanted = closest(&line.key, asked);
            wanted.is_some_and(|(key, value)| {
                let found = self.folded(key, asked).flatten();
                found.is_none_or(|found| found.to_json() != *value)
            })
        };
        let lines = self.then.iter().filter(other);
        lines
            .map(|line| Overriding {
                line: line.number,
                key: line.key.clone(),
            })
            .collect()
    }

    /// What all lines that set a key, or something in it that is not asked for by itself, make of it.
    fn folded(&self, key: &str, asked: &Fields) -> Option<Option<Ruby>> {
        let lines = self.first.iter().chain(&self.then);
        folded(
            lines.filter(|line| closest(&line.key, asked).is_some_and(|(closest, _)| closest == key)),
            key,
        )
    }

    /// What the URL and the defaults of Omnibus make of keys that nobody sets.
    ///
    /// Source: `libraries/gitlab_rails.rb` and `attributes/default.rb` of Omnibus' cookbook `gitlab`.
    pub fn defaults(&self) -> Fields {
        let url = folded(self.first.iter().chain(&self.then), "external_url").flatten();
        let url = match &url {
            Some(Ruby::Text(url)) => url::Url::parse(url).ok(),
            _ => None,
        };
        let mut defaults =
            Fields::from_iter([("gitlab_rails['gitlab_shell_ssh_port']".to_owned(), 22.into())]);
        if let Some(url) = url {
            let port = url.port_or_known_default().unwrap_or(80);
            defaults.insert("nginx['listen_port']".into(), port.into());
            defaults.insert("nginx['listen_https']".into(), (url.scheme() == "https").into());
        }
        defaults
    }
}

/// Whether setting `key` sets `of` or something in it.
fn is_part_of(key: &str, of: &str) -> bool {
    let rest = key.strip_prefix(of);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
}

/// What is asked for that a line which sets `key` changes: of several the innermost.
fn closest<'a>(key: &str, asked: &'a Fields) -> Option<(&'a String, &'a Value)> {
    let parts = asked.iter().filter(|(asked, _)| is_part_of(key, asked));
    parts.max_by_key(|(asked, _)| asked.len())
}

/// What lines one after the other make of a key; `None`: none of them sets it; `Some(None)`: only Ruby could tell.
fn folded<'a>(lines: impl Iterator<Item = &'a Line>, key: &str) -> Option<Option<Ruby>> {
    let mut folded: Option<Option<Ruby>> = None;
    for line in lines.filter(|line| is_part_of(&line.key, key)) {
        let path: Vec<&str> = line.key[key.len()..].split("']['").collect();
        let path = path
            .iter()
            .map(|part| part.trim_start_matches("['").trim_end_matches("']"));
        let path: Vec<&str> = path.filter(|part| !part.is_empty()).collect();
        folded = Some(match (path.is_empty(), &line.value, folded.flatten()) {
            (true, value, _) => value.clone(),
            (false, Some(value), Some(Ruby::Map(entries))) => Some(put(entries, &path, value)),
            (false, Some(value), None) => Some(put(BTreeMap::new(), &path, value)),
            _ => None,
        });
    }
    folded
}

/// A map in which the entry at `path` is `value`.
fn put(mut entries: BTreeMap<String, Ruby>, path: &[&str], value: &Ruby) -> Ruby {
    if let [name, rest @ ..] = path {
        let inner = match (rest.is_empty(), entries.remove(*name)) {
            (true, _) => value.clone(),
            (false, Some(Ruby::Map(inner))) => put(inner, rest, value),
            (false, _) => put(BTreeMap::new(), rest, value),
        };
        entries.insert((*name).to_owned(), inner);
    }
    Ruby::Map(entries)
}

/// A value as it is compared and shown. What is a secret, judged by its key or by what is asked for, is not among it.
fn shown(key: &str, found: Option<&Ruby>, asked: Option<&Value>) -> Value {
    let Some(found) = found else {
        return COMPUTED.into();
    };
    let value = found.to_json();
    if asked == Some(&value) || matches!(found, Ruby::Secret(_)) {
        return value;
    }
    let names_secret = names_secret(key) || asked.is_some_and(is_reference);
    match found {
        Ruby::Map(entries) => {
            let entries = entries.iter().map(|(name, entry)| {
                let asked = asked.and_then(|asked| asked.get(name));
                (name.clone(), shown(name, Some(entry), asked))
            });
            Value::Object(entries.collect())
        }
        Ruby::List(items) => {
            let asked = asked.and_then(Value::as_array);
            let one = |item: &Ruby| {
                let same = asked.and_then(|asked| asked.iter().find(|asked| **asked == item.to_json()));
                shown(key, Some(item), same)
            };
            items.iter().map(one).collect()
        }
        // Whether something is on is no secret, and neither is that nothing is set.
        Ruby::Nil | Ruby::Bool(_) => value,
        _ if names_secret => VEIL.into(),
        _ => value,
    }
}

/// Whether a value stands for the content of a secret's file.
fn is_reference(value: &Value) -> bool {
    let object = value.as_object();
    object.is_some_and(|object| object.len() == 1 && object.contains_key("secret"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::omnibus::parse;
    use super::*;

    fn fields(value: Value) -> Fields {
        value.as_object().expect("an object").clone()
    }

    fn sources(first: &str, then: &str) -> Sources {
        Sources {
            first: parse(first),
            then: parse(then),
        }
    }

    #[test]
    fn what_the_container_says_itself_counts_more_and_only_where_it_is_asked_about() {
        let sources = sources(
            "external_url 'https://git.example.org'\npuma['worker_processes'] = 2\n",
            "# external_url 'http://old'\n\nexternal_url 'http://git.lan'\nnginx['enable'] = false\n",
        );
        let asked = fields(json!({"external_url": "https://git.example.org", "puma['worker_processes']": 2}));
        assert_eq!(
            Value::Object(sources.settings(&asked)),
            json!({"external_url": "http://git.lan", "puma['worker_processes']": 2})
        );
        let line = |line, key: &str| Overriding {
            line,
            key: key.into(),
        };
        assert_eq!(sources.overriding(&asked), [line(3, "external_url")]);
    }

    #[test]
    fn a_line_that_says_the_same_overrides_nothing() {
        let sources = sources("", "external_url 'https://git.example.org'\n");
        let asked = fields(json!({"external_url": "https://git.example.org"}));
        assert_eq!(sources.settings(&asked), asked);
        assert_eq!(sources.overriding(&asked), []);
    }

    #[test]
    fn what_autogits_file_sets_and_nobody_asks_for_is_seen() {
        let sources = sources(
            "sidekiq['concurrency'] = 10\n",
            "sidekiq['metrics_enabled'] = false\n",
        );
        assert_eq!(
            Value::Object(sources.settings(&Fields::new())),
            json!({"sidekiq['concurrency']": 10})
        );
    }

    #[test]
    fn a_part_of_a_map_that_is_set_by_itself_counts() {
        let sources = sources(
            "gitlab_rails['object_store'] = { 'enabled' => true, 'connection' => { 'region' => 'eu' } }\n",
            "gitlab_rails['object_store']['connection']['region'] = 'us'\n",
        );
        let key = "gitlab_rails['object_store']";
        let asked = fields(json!({key: {"enabled": true, "connection": {"region": "eu"}}}));
        let found = sources.settings(&asked);
        assert_eq!(
            found[key],
            json!({"enabled": true, "connection": {"region": "us"}})
        );
        assert_eq!(sources.overriding(&asked)[0].line, 1);
    }

    #[test]
    fn what_is_asked_for_within_another_setting_is_compared_by_itself() {
        let text = "gitlab_rails['env'] = { 'A' => '1' }\ngitlab_rails['env']['B'] = '2'\n";
        let asked = fields(json!({"gitlab_rails['env']": {"A": "1"}, "gitlab_rails['env']['B']": "2"}));
        assert_eq!(sources(text, "").settings(&asked), asked);
        assert_eq!(sources(text, "").overriding(&asked), []);
        let other = sources(text, "gitlab_rails['env']['B'] = '3'\n");
        assert_eq!(other.settings(&asked)["gitlab_rails['env']"], json!({"A": "1"}));
        assert_eq!(other.overriding(&asked).len(), 1);
    }

    #[test]
    fn no_secret_is_shown_whoever_wrote_it() {
        let text = "gitlab_rails['smtp_password'] = 'hunter2'\n\
            gitlab_rails['ldap_servers'] = { 'main' => { 'host' => 'a', 'password' => 'hunter2', 'bind' => 'hunter2' } }\n\
            gitlab_rails['omniauth_providers'] = [{ 'name' => 'x', 'args' => { 'client_secret' => 'hunter2' } }]\n\
            gitlab_rails['db_password'] = File.read('/root/hunter2')\n";
        let asked = fields(json!({
            "gitlab_rails['smtp_password']": {"secret": "smtp_password"},
            "gitlab_rails['ldap_servers']": {"main": {"host": "b", "bind": {"secret": "ldap_bind"}}},
            "gitlab_rails['omniauth_providers']": [{"name": "y"}],
            "gitlab_rails['db_password']": {"secret": "db"},
        }));
        for sources in [sources(text, ""), sources("", text)] {
            let found = serde_json::to_string(&sources.settings(&asked)).unwrap();
            assert!(!found.contains("hunter2"), "{found}");
            assert!(found.contains("\"host\":\"a\""), "{found}");
        }
    }

    #[test]
    fn a_secret_that_is_read_from_its_file_is_as_asked() {
        let text = "gitlab_rails['ldap_servers'] = { 'main' => { 'host' => 'a', \
            'password' => File.read('/etc/autogit/secrets/ldap_main') } }\n";
        let key = "gitlab_rails['ldap_servers']";
        let asked = fields(json!({key: {"main": {"host": "b", "password": {"secret": "ldap_main"}}}}));
        let found = sources(text, "").settings(&asked);
        assert_eq!(
            found[key],
            json!({"main": {"host": "a", "password": {"secret": "ldap_main"}}})
        );
    }

    #[test]
    fn what_follows_from_the_url_is_known_without_being_set() {
        let defaults = sources("external_url 'https://git.example.org:8443'\n", "").defaults();
        assert_eq!(defaults["nginx['listen_port']"], 8443);
        assert_eq!(defaults["nginx['listen_https']"], true);
        assert!(!sources("", "").defaults().contains_key("nginx['listen_port']"));
    }
}
