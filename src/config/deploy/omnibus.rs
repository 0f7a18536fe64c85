//! Settings of `gitlab.rb` by their own key: which there are, which follow from other fields, and which hold secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::super::model::{SecretRef, is_env_name};
use super::super::shape::FieldProblem;
use super::super::suggest;
use super::{Deploy, Setting};

/// The sections of `gitlab.rb` and their keys; a name that stands alone has none.
static KNOWN: LazyLock<BTreeMap<&str, BTreeSet<&str>>> = LazyLock::new(|| {
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut section = "";
    let lines = include_str!("omnibus_keys.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        match line.starts_with(' ') {
            true => known.entry(section).or_default().extend(line.split_whitespace()),
            false => section = line,
        }
        known.entry(section).or_default();
    }
    known
});

/// What AutoGit sets by other fields, with the field to use: a key, and all that is below it.
const DERIVED: &[(&str, &str)] = &[
    ("external_url", "gitlab.url"),
    ("git_data_dirs", "docker.volumes.data"),
    (
        "gitlab_rails['external_diffs_enabled']",
        "object_storage.buckets.external_diffs",
    ),
    ("gitlab_rails['gitlab_email_display_name']", "smtp.display_name"),
    ("gitlab_rails['gitlab_email_enabled']", "smtp"),
    ("gitlab_rails['gitlab_email_from']", "smtp.from"),
    ("gitlab_rails['gitlab_email_reply_to']", "smtp.reply_to"),
    ("gitlab_rails['gitlab_shell_ssh_port']", "ssh.port"),
    ("gitlab_rails['gitlab_ssh_host']", "ssh.host"),
    ("gitlab_rails['initial_root_password']", "admin.password"),
    ("gitlab_rails['env']['GITLAB_ROOT_EMAIL']", "admin.email"),
    ("gitlab_rails['monitoring_whitelist']", "monitoring.allow_from"),
    ("gitlab_rails['object_store']", "object_storage"),
    ("gitlab_rails['smtp_address']", "smtp.address"),
    ("gitlab_rails['smtp_authentication']", "smtp.user_name"),
    ("gitlab_rails['smtp_domain']", "smtp.domain"),
    ("gitlab_rails['smtp_enable']", "smtp"),
    ("gitlab_rails['smtp_enable_starttls_auto']", "smtp.tls"),
    ("gitlab_rails['smtp_password']", "smtp.password"),
    ("gitlab_rails['smtp_port']", "smtp.port"),
    ("gitlab_rails['smtp_tls']", "smtp.tls"),
    ("gitlab_rails['smtp_user_name']", "smtp.user_name"),
    ("gitlab_rails['trusted_proxies']", "reverse_proxy.trusted"),
    ("letsencrypt['contact_emails']", "tls.lets_encrypt.contacts"),
    ("letsencrypt['enable']", "tls.lets_encrypt"),
    ("nginx['listen_https']", "reverse_proxy"),
    ("nginx['listen_port']", "docker.ports"),
    ("nginx['real_ip_header']", "reverse_proxy.trusted"),
    ("nginx['real_ip_recursive']", "reverse_proxy.trusted"),
    ("nginx['real_ip_trusted_addresses']", "reverse_proxy.trusted"),
    ("nginx['redirect_http_to_https']", "docker.ports.http"),
    ("nginx['redirect_http_to_https_port']", "docker.ports.http"),
    ("nginx['ssl_certificate']", "tls"),
    ("nginx['ssl_certificate_key']", "tls"),
    ("prometheus_monitoring['enable']", "monitoring.prometheus"),
    ("puma['listen']", "docker.ports"),
    ("puma['port']", "docker.ports"),
    ("registry['enable']", "registry"),
    ("registry_external_url", "registry.url"),
    ("registry_nginx['listen_https']", "reverse_proxy"),
    ("registry_nginx['listen_port']", "docker.ports.registry"),
    ("registry_nginx['redirect_http_to_https']", "docker.ports.http"),
    ("registry_nginx['ssl_certificate']", "tls"),
    ("registry_nginx['ssl_certificate_key']", "tls"),
];

/// The same of the directories in `sign_in`, where there are any: without them these can be set here.
const DIRECTORIES: &[&str] = &["gitlab_rails['ldap_enabled']", "gitlab_rails['ldap_servers']"];

/// The same of the providers in `sign_in`.
const PROVIDERS: &[&str] = &[
    "gitlab_rails['omniauth_allow_bypass_two_factor']",
    "gitlab_rails['omniauth_allow_single_sign_on']",
    "gitlab_rails['omniauth_auto_link_ldap_user']",
    "gitlab_rails['omniauth_auto_link_user']",
    "gitlab_rails['omniauth_auto_sign_in_with_provider']",
    "gitlab_rails['omniauth_block_auto_created_users']",
    "gitlab_rails['omniauth_enabled']",
    "gitlab_rails['omniauth_external_providers']",
    "gitlab_rails['omniauth_providers']",
    "gitlab_rails['omniauth_sync_profile_from_provider']",
];

/// A key of `gitlab.rb`: a section and what leads to a value in it, or a name that stands alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OmnibusKey {
    section: String,
    path: Vec<String>,
}

impl OmnibusKey {
    /// The key as `gitlab.rb` has it: `external_url`, `gitlab_rails['env']["TZ"]`.
    pub fn parse(text: &str) -> Option<Self> {
        let (section, mut rest) = text.split_at(text.find('[').unwrap_or(text.len()));
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if section.is_empty() || !section.bytes().all(is_name) {
            return None;
        }
        let mut path = Vec::new();
        while !rest.is_empty() {
            let (quote, inner) = rest.strip_prefix('[')?.split_at_checked(1)?;
            let (part, after) = inner.split_once(quote)?;
            let is_plain = |char: char| !char.is_control() && !"'\"\\#".contains(char);
            if !matches!(quote, "'" | "\"") || part.is_empty() || !part.chars().all(is_plain) {
                return None;
            }
            path.push(part.to_owned());
            rest = after.strip_prefix(']')?;
        }
        Some(OmnibusKey {
            section: section.to_owned(),
            path,
        })
    }

    /// The section, and what leads to the value in it.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.section).chain(self.path.iter().map(String::as_str))
    }

    /// The field from which AutoGit derives the setting, where it does.
    pub fn derived_from(&self, deploy: &Deploy) -> Option<String> {
        let key = self.to_string();
        let under = |outer: &str| {
            let rest = key.strip_prefix(outer);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        if let Some((_, field)) = DERIVED.iter().find(|(outer, _)| under(outer)) {
            let outer = if field.starts_with("gitlab.") {
                ""
            } else {
                "gitlab.deploy."
            };
            return Some(format!("{outer}{field}"));
        }
        let any = |keys: &[&str]| keys.iter().any(|outer| under(outer));
        let sign_in = deploy.sign_in.as_ref()?;
        let directory = !sign_in.ldap.is_empty() && any(DIRECTORIES);
        let provider = !sign_in.providers.is_empty() && any(PROVIDERS);
        (directory || provider).then(|| "gitlab.deploy.sign_in".to_owned())
    }

    /// Why there is no such key; nothing if there is.
    ///
    /// # Errors
    /// With the nearest that there is.
    pub fn check(&self) -> Result<(), String> {
        let Some(keys) = KNOWN.get(&*self.section) else {
            let near = suggest::nearest(&self.section, KNOWN.keys().copied());
            return Err(unknown(&self.section, near.map(str::to_owned)));
        };
        match self.path.first() {
            None if keys.is_empty() => Ok(()),
            Some(key) if keys.contains(&**key) => Ok(()),
            None => Err(format!(
                "`{0}` is a section: write its keys one by one, as `{0}['…']`",
                self.section
            )),
            Some(_) if keys.is_empty() => Err(format!("`{0}` has no keys: write `{0}` alone", self.section)),
            Some(key) => {
                let near = suggest::nearest(key, keys.iter().copied());
                let near = near.map(|near| format!("{}['{near}']", self.section));
                Err(unknown(&self.to_string(), near))
            }
        }
    }
}

impl fmt::Display for OmnibusKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.section)?;
        self.path.iter().try_for_each(|part| write!(f, "['{part}']"))
    }
}

fn unknown(what: &str, near: Option<String>) -> String {
    match near {
        Some(near) => format!("`gitlab.rb` knows no `{what}`; did you mean `{near}`?"),
        None => format!("`gitlab.rb` knows no `{what}`; GitLab's gitlab.rb.template lists what it knows"),
    }
}

/// Whether what has this key is a secret, judged by the words of its last part.
pub fn names_secret(key: &str) -> bool {
    const SECRET: [&str; 8] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "credentials",
        "dsn",
        "salt",
    ];
    const PLAIN: [&str; 15] = [
        "path",
        "file",
        "dir",
        "enabled",
        "enable",
        "expire",
        "expiration",
        "realm",
        "issuer",
        "backend",
        "prepared",
        "endpoint",
        "command",
        "prefix",
        "id",
    ];
    let last = key
        .trim_end_matches(['\'', '"', ']'])
        .rsplit(['\'', '"'])
        .next()
        .unwrap_or(key);
    let last = last.to_lowercase();
    let words: Vec<_> = last.split(['_', '-']).collect();
    let has = |some: &[&str]| words.iter().any(|word| some.contains(word));
    let is_key = last.ends_with("_key") && !last.ends_with("ssl_key") && !last.ends_with("certificate_key");
    (has(&SECRET) || is_key || last.ends_with("key_base")) && !has(&PLAIN)
}

impl Setting {
    /// The reference to a secret that it is, if it is one.
    pub fn reference(&self) -> Option<SecretRef> {
        let Setting::Map(entries) = self else { return None };
        let mut entries = entries.iter();
        let (Some((how, what)), None) = (entries.next(), entries.next()) else {
            return None;
        };
        let text = |setting: &Setting| match setting {
            Setting::Text(text) => Some(text.clone()),
            _ => None,
        };
        match (&**how, what) {
            ("env", Setting::Text(name)) if is_env_name(name) => Some(SecretRef::Env(name.clone())),
            ("file", Setting::Text(path)) => Some(SecretRef::File(PathBuf::from(path))),
            ("exec", Setting::List(words)) if !words.is_empty() => {
                words.iter().map(text).collect::<Option<_>>().map(SecretRef::Exec)
            }
            _ => None,
        }
    }
}

/// Everything that is wrong with the settings of `gitlab.rb`.
pub(super) fn check(deploy: &Deploy) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (written, value) in &deploy.omnibus {
        let field = format!("omnibus.{written}");
        let complaint = match OmnibusKey::parse(written) {
            None => Some(format!(
                "`{written}` is not a key of `gitlab.rb`; write it as there: `gitlab_rails['time_zone']`"
            )),
            Some(key) => {
                let name = key.to_string();
                let derived = key
                    .derived_from(deploy)
                    .map(|field| format!("AutoGit sets `{name}` itself; write `{field}` instead"));
                let twice = || format!("`{name}` is set twice: remove one of them");
                derived
                    .or_else(|| key.check().err())
                    .or_else(|| (!seen.insert(name.clone())).then(twice))
            }
        };
        problems.extend(complaint.map(|message| FieldProblem {
            field: field.clone(),
            message,
        }));
        plain_secrets(&field, written, value, &mut problems);
    }
    problems
}

/// Complains of text where a secret stands.
fn plain_secrets(field: &str, key: &str, value: &Setting, problems: &mut Vec<FieldProblem>) {
    let is_given = match value {
        Setting::Text(text) => !text.is_empty(),
        Setting::Map(entries) => !entries.is_empty(),
        _ => false,
    };
    match value {
        _ if value.reference().is_some() => {}
        _ if is_given && names_secret(key) => problems.push(FieldProblem {
            field: field.to_owned(),
            message: "this holds a secret, which never stands in a config; write where it is to be had: `{env: NAME}` or \
                `{file: PATH}`"
                .to_owned(),
        }),
        Setting::List(items) => items.iter().for_each(|item| plain_secrets(field, key, item, problems)),
        Setting::Map(entries) => {
            for (name, value) in entries {
                plain_secrets(&format!("{field}.{name}"), name, value, problems);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(omnibus: serde_json::Value) -> Vec<(String, String)> {
        let deploy =
            serde_json::json!({"docker": {"image": "gitlab/gitlab-ce:18.8.4-ce.0"}, "omnibus": omnibus});
        let problems = check(&serde_json::from_value(deploy).unwrap());
        problems
            .into_iter()
            .map(|problem| (problem.field, problem.message))
            .collect()
    }

    #[test]
    fn keys_read_back_in_one_form() {
        for (written, key) in [
            ("external_url", "external_url"),
            ("gitlab_rails[\"time_zone\"]", "gitlab_rails['time_zone']"),
            ("gitlab_rails['env']['TZ.x']", "gitlab_rails['env']['TZ.x']"),
        ] {
            assert_eq!(OmnibusKey::parse(written).unwrap().to_string(), key);
        }
        for wrong in [
            "",
            "a b",
            "a['b",
            "a['b\"]",
            "a['']",
            "a['b'] = 1; c",
            "a['b#{x}']",
            "A['b']",
            "a['b']\n",
            "a[b]",
        ] {
            assert_eq!(OmnibusKey::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_gitlab_rb_knows_is_let_through_and_the_rest_is_not() {
        let fine = serde_json::json!({
            "gitlab_rails['time_zone']": "Europe/Berlin", "pages_external_url": "https://pages.example.org",
            "gitlab_rails['env']": {"A": "b"}, "nginx['status']['port']": 8061, "puma['worker_processes']": 3,
            "gitlab_rails['ldap_password']": {"env": "LDAP"}, "gitlab_rails['omniauth_providers']": [],
        });
        assert_eq!(problems(fine), []);
        for (key, end) in [
            (
                "gitlab_rails['timezone']",
                "did you mean `gitlab_rails['time_zone']`?",
            ),
            ("gitlab_rail['time_zone']", "did you mean `gitlab_rails`?"),
            (
                "gitlab_rails",
                "write its keys one by one, as `gitlab_rails['…']`",
            ),
            ("runtime_dir['x']", "write `runtime_dir` alone"),
            ("external_url", "write `gitlab.url` instead"),
            (
                "gitlab_rails['object_store']['enabled']",
                "write `gitlab.deploy.object_storage` instead",
            ),
            ("time zone", "write it as there: `gitlab_rails['time_zone']`"),
        ] {
            let found = problems(serde_json::json!({key: true}));
            assert_eq!(found.len(), 1, "{key}");
            assert_eq!(found[0].0, format!("omnibus.{key}"));
            assert!(found[0].1.ends_with(end), "{}", found[0].1);
        }
    }

    #[test]
    fn a_secret_is_a_reference() {
        let found = problems(serde_json::json!({
            "gitlab_rails['incoming_email_password']": "hunter2",
            "gitlab_rails['omniauth_providers']": [{"args": {"client_secret": "hunter2", "client_id": "x"}}],
            "redis['password']": {"env": "not a name"},
            "gitlab_rails['registry_key_path']": "/x",
        }));
        let fields: Vec<_> = found.iter().map(|(field, _)| &**field).collect();
        assert_eq!(
            fields,
            [
                "omnibus.gitlab_rails['incoming_email_password']",
                "omnibus.gitlab_rails['omniauth_providers'].args.client_secret",
                "omnibus.redis['password']",
            ]
        );
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[test]
    fn secrets_are_known_by_name() {
        for key in [
            "gitlab_rails['smtp_password']",
            "gitlab_rails[\"otp_key_base\"]",
            "gitlab_rails['backup_encryption_key']",
            "gitlab_rails['sentry_dsn']",
            "client_secret",
            "gitlab_shell['secret_token']",
        ] {
            assert!(names_secret(key), "{key}");
        }
        for key in [
            "nginx['ssl_certificate_key']",
            "registry['token_realm']",
            "puma['ssl_key_password_command']",
            "bucket",
            "gitlab_rails['registry_key_path']",
            "nginx['ssl_password_file']",
            "encryption",
            "letsencrypt['key_type']",
        ] {
            assert!(!names_secret(key), "{key}");
        }
    }

    #[test]
    fn derived_keys_are_known_ones() {
        for key in DERIVED
            .iter()
            .map(|(key, _)| key)
            .chain(DIRECTORIES)
            .chain(PROVIDERS)
        {
            assert_eq!(OmnibusKey::parse(key).unwrap().check(), Ok(()), "{key}");
        }
    }
}
