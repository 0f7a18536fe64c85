//! What GitLab is told of whole configs.

use serde_json::{Value, json};

use super::*;
use crate::config::deploy::OmnibusKey;

const URL: &str = "https://git.example.org";

fn deploy(rest: Value) -> Deploy {
    let mut deploy = json!({"docker": {"image": "gitlab/gitlab-ce:18.8.4-ce.0"}});
    for (key, value) in rest.as_object().unwrap() {
        deploy[key] = value.clone();
    }
    serde_json::from_value(deploy).unwrap()
}

fn told(url: &str, rest: Value) -> Told {
    let spec = deploy(rest);
    Told::new(&spec, &Endpoints::new(&spec, &url.parse().unwrap()))
}

fn docker(rest: Value) -> Value {
    let mut docker = json!({"image": "gitlab/gitlab-ce:18.8.4-ce.0"});
    for (key, value) in rest.as_object().unwrap() {
        docker[key] = value.clone();
    }
    docker
}

/// One of everything, at home, behind nothing.
fn minimal() -> Told {
    told(
        "http://git.lan:3000",
        json!({"docker": docker(json!({"profile": "minimal"}))}),
    )
}

/// HTTPS of AutoGit's own, a registry beside it, mail.
fn homelab() -> Told {
    told(
        URL,
        json!({
            "docker": docker(json!({"profile": "homelab", "ports": {"http": 80, "ssh": 22}})),
            "tls": {"self_signed": {}},
            "registry": {"url": "https://registry.example.org"},
            "admin": {"password": {"file": "root-password"}, "email": "ada@example.org"},
            "smtp": {
                "address": "smtp.example.org", "user_name": "gitlab", "password": {"env": "SMTP_PASSWORD"},
                "from": "gitlab@example.org", "display_name": "GitLab's \\ #{own}",
            },
        }),
    )
}

/// All that there is, behind a proxy.
fn team() -> Told {
    told(
        URL,
        json!({
            "docker": docker(json!({"profile": "team", "ports": {"registry": "127.0.0.1:5050"}})),
            "reverse_proxy": {"trusted": ["172.16.0.0/12"]},
            "ssh": {"host": "ssh.example.org", "port": 22},
            "registry": {"url": "https://registry.example.org"},
            "smtp": {"address": "smtp.example.org", "from": "gitlab@example.org", "tls": "implicit"},
            "object_storage": {
                "endpoint": "https://s3.example.org", "region": "eu-central-1", "access_key": "gitlab",
                "secret_key": {"env": "S3_SECRET_KEY"},
                "buckets": {"artifacts": "gitlab/artifacts", "external_diffs": "gitlab/diffs", "lfs": "gitlab-lfs"},
            },
            "monitoring": {"prometheus": false, "allow_from": ["10.0.0.0/8"]},
            "omnibus": {
                "gitlab_rails[\"time_zone\"]": "Europe/Berlin",
                "puma['worker_processes']": 6,
                "gitlab_rails['env']": {"HTTPS_PROXY": "http://proxy.lan:3128"},
                "gitlab_rails['incoming_email_password']": {"env": "IMAP_PASSWORD"},
                "nginx['status']['port']": 8061,
                "gitlab_rails['omniauth_providers']": [{"name": "x", "args": {"client_secret": {"file": "x"}}}],
            },
        }),
    )
}

#[test]
fn each_profile_as_it_is_written() {
    insta::assert_snapshot!("minimal", render(&minimal().settings));
    insta::assert_snapshot!("homelab", render(&homelab().settings));
    insta::assert_snapshot!("team", render(&team().settings));
}

/// The settings that a config may set as well, by their own key.
const OVERRIDABLE: [&str; 6] = [
    "gitaly['env']['GITALY_COMMAND_SPAWN_MAX_PARALLEL']",
    "gitaly['env']['MALLOC_CONF']",
    "gitlab_rails['env']['MALLOC_CONF']",
    "postgresql['shared_buffers']",
    "puma['worker_processes']",
    "sidekiq['concurrency']",
];

#[test]
fn gitlab_rb_knows_every_key_and_what_is_ours_cannot_be_set_beside_it() {
    let plain = deploy(json!({}));
    let given = told(
        URL,
        json!({"tls": {"lets_encrypt": {"contacts": ["ada@example.org"]}}}),
    );
    let certificate = json!({"certificate": {"chain": "a.pem", "key": {"file": "a.key"}}});
    let certificate = told(
        URL,
        json!({"tls": certificate, "registry": {"url": "https://git.example.org:5050"}}),
    );
    let mut seen = 0;
    for told in [minimal(), homelab(), given, certificate] {
        for key in told.settings.keys() {
            let parsed = OmnibusKey::parse(key).expect(key);
            assert_eq!(parsed.check(), Ok(()));
            assert_eq!(parsed.to_string(), *key);
            let is_ours = parsed.derived_from(&plain).is_some();
            assert_ne!(is_ours, OVERRIDABLE.contains(&key.as_str()), "{key}");
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen}");
}

#[test]
fn extra_settings_go_before_the_profile_and_their_secrets_have_files() {
    let team = team();
    assert_eq!(team.settings["puma['worker_processes']"], 6.into());
    let names: Vec<_> = team.secrets.keys().map(String::as_str).collect();
    let own = "omnibus.gitlab_rails.omniauth_providers.0.args.client_secret";
    assert_eq!(
        names,
        [
            "object_storage_secret_key",
            "omnibus.gitlab_rails.incoming_email_password",
            own,
        ]
    );
    // What is only told apart by characters that no file name has stays apart.
    let apart = told(
        URL,
        json!({"omnibus": {
            "gitlab_rails['env']": {"a.b": {"env": "A"}, "a": {"b": {"env": "B"}}, "a/b": {"env": "C"}, "a-2f-b": {"env": "D"}},
        }}),
    );
    assert_eq!(apart.secrets.len(), 4, "{:?}", apart.secrets);
    assert!(apart.secrets.keys().all(|name| !name.contains('/')));
}

#[test]
fn a_certificate_has_files_and_lets_encrypt_is_asked_only_when_told() {
    let key = |told: &Told, key: &str| told.settings.get(key).cloned();
    let certificate = json!({"certificate": {"chain": "full.pem", "key": {"env": "KEY"}}});
    let given = told(
        URL,
        json!({"tls": certificate, "registry": {"url": "https://registry.example.org"}}),
    );
    for nginx in ["nginx", "registry_nginx"] {
        let chain = key(&given, &format!("{nginx}['ssl_certificate']"));
        assert_eq!(chain, Some("/etc/autogit/secrets/tls_chain".into()));
        let path = key(&given, &format!("{nginx}['ssl_certificate_key']"));
        assert_eq!(path, Some("/etc/autogit/secrets/tls_key".into()));
    }
    assert_eq!(given.secrets["tls_chain"], SecretRef::File("full.pem".into()));
    assert_eq!(given.secrets["tls_key"], SecretRef::Env("KEY".into()));
    assert_eq!(key(&given, "letsencrypt['enable']"), Some(false.into()));
    let asked = told(
        URL,
        json!({"tls": {"lets_encrypt": {"contacts": ["ada@example.org"]}}}),
    );
    assert_eq!(key(&asked, "letsencrypt['enable']"), Some(true.into()));
    assert_eq!(key(&asked, "nginx['ssl_certificate']"), None);
    // Omnibus would switch a registry on by itself then.
    assert_eq!(key(&asked, "registry['enable']"), Some(false.into()));
}

#[test]
fn every_sort_of_object_without_a_bucket_is_off() {
    let team = team();
    let about = |sort: &str, what: &str| {
        team.settings
            .get(&format!(
                "gitlab_rails['object_store']['objects']['{sort}']['{what}']"
            ))
            .cloned()
    };
    for sort in crate::config::deploy::OBJECTS {
        assert_eq!(
            about(sort, "bucket").is_none(),
            about(sort, "enabled") == Some(false.into()),
            "{sort}"
        );
    }
    assert_eq!(about("lfs", "bucket"), Some("gitlab-lfs".into()));
    assert_eq!(
        team.settings["gitlab_rails['external_diffs_enabled']"],
        true.into()
    );
}
