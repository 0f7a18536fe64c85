//! What is refused at `validate`, with the place that the message points at.

use std::path::Path;

use proptest::prelude::*;

use super::super::Publish;
use super::*;
use crate::config::load_bytes;

/// What is found in a config, each as `line:column message`; the line of `deploy` is the fourth.
fn found(url: &str, deploy: &str) -> Vec<String> {
    let text = format!("autogit: 1\ngitlab:\n  url: {url}\n  deploy: {deploy}\n");
    let loaded = load_bytes(
        Path::new("autogit.yaml"),
        text.as_bytes(),
        &crate::kinds::shapes(),
    );
    let found = loaded.diagnostics.iter().map(|found| {
        let at = &found.primary.as_ref().expect("it has a place").position;
        format!("{}:{} {}", at.line, at.column, found.title)
    });
    found.collect()
}

/// The one thing found with `rest` beside an image. `^` in `rest` stands before what the message has to point at.
#[track_caller]
fn refuses(url: &str, rest: &str, message: &str) {
    let deploy = format!("{{docker: {{image: 'gitlab/gitlab-ce:18.8.4-ce.0'}}, {rest}}}");
    let column = deploy.find('^').unwrap_or(0) + "  deploy: ".len() + 1;
    let found = found(url, &deploy.replace('^', ""));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with(&format!("4:{column} ")),
        "4:{column}: {found:#?}"
    );
    assert!(found[0].contains(message), "{found:#?}");
}

/// The same within `docker`.
#[track_caller]
fn refuses_docker(url: &str, docker: &str, message: &str) {
    let column = docker.find('^').expect("where it points") + "  deploy: {docker: {".len() + 1;
    let found = found(url, &format!("{{docker: {{{}}}}}", docker.replace('^', "")));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with(&format!("4:{column} ")),
        "4:{column}: {found:#?}"
    );
    assert!(found[0].contains(message), "{found:#?}");
}

const HTTP: &str = "http://git.lan:3000";
const HTTPS: &str = "https://git.example.org";
const IMAGE: &str = "image: 'gitlab/gitlab-ce:18.8.4-ce.0'";

#[test]
fn an_image_is_pinned() {
    for (image, message) in [
        ("gitlab/gitlab-ce", "has no tag"),
        ("localhost:5000/gitlab-ce", "has no tag"),
        ("gitlab/gitlab-ce:latest", "tag moves"),
        ("gitlab/gitlab-ce@sha256:abc", "digest is not one"),
    ] {
        refuses_docker(HTTP, &format!("image: ^'{image}'"), message);
    }
    let digest = format!(
        "{{docker: {{image: 'gitlab/gitlab-ce@sha256:{}'}}}}",
        "a1".repeat(32)
    );
    assert_eq!(found(HTTP, &digest), [""; 0]);
    assert_eq!(
        found(HTTP, "{docker: {image: 'localhost:5000/gitlab-ce:18.8.4-ce.0'}}"),
        [""; 0]
    );
}

#[test]
fn data_has_three_places_of_its_own() {
    for (volumes, message) in [
        ("{data: ^./data}", "no name of a volume, nor the absolute path"),
        ("{data: ^/srv/../etc}", "no name of a volume"),
        ("{config: /srv/a, data: ^/srv/a/}", "are one place"),
        (
            "{config: /srv/gitlab, logs: ^/srv/gitlab/logs}",
            "one is in the other",
        ),
        ("{config: gitlab, data: ^gitlab}", "are one place"),
    ] {
        refuses_docker(HTTP, &format!("{IMAGE}, volumes: {volumes}"), message);
    }
    let apart = format!("{{docker: {{{IMAGE}, volumes: {{config: /srv/a, logs: /srv/ab, data: data}}}}}}");
    assert_eq!(found(HTTP, &apart), [""; 0]);
}

#[test]
fn a_container_has_limits_that_hold_and_no_labels_of_ours() {
    let ulimits = format!("{IMAGE}, ulimits: {{nofile: {{soft: ^10, hard: 5}}}}");
    refuses_docker(HTTP, &ulimits, "write at most 5");
    let labels = format!("{IMAGE}, labels: {{io.autogit.instance: ^x}}");
    refuses_docker(HTTP, &labels, "AutoGit's own");
}

#[test]
fn it_is_clear_who_speaks_https() {
    let neither = found(HTTPS, &format!("{{docker: {{{IMAGE}}}}}"));
    assert!(
        neither[0].contains("nothing says who speaks HTTPS"),
        "{neither:?}"
    );
    assert_eq!(neither.len(), 1);
    refuses(HTTP, "tls: ^{self_signed: {}}", "no use for a certificate");
    refuses(
        HTTPS,
        "tls: ^{self_signed: {}}, reverse_proxy: {}",
        "remove one of the two",
    );
    refuses(
        HTTPS,
        "reverse_proxy: {trusted: ^[10.0.0.0/33]}",
        "is no address and no network",
    );
    refuses(HTTP, "ssh: {host: ^'a b'}", "no host name");
}

#[test]
fn no_port_leads_nowhere_or_to_two_services() {
    refuses_docker(
        HTTP,
        &format!("{IMAGE}, ports: {{https: ^443}}"),
        "GitLab speaks HTTP",
    );
    refuses_docker(
        HTTP,
        &format!("{IMAGE}, ports: {{registry: ^5050}}"),
        "there is no registry",
    );
    refuses_docker(
        HTTP,
        &format!("{IMAGE}, ports: {{ssh: ^3000}}"),
        "leads to two services",
    );
    refuses_docker(
        HTTP,
        &format!("{IMAGE}, ports: {{ssh: ^'127.0.0.1:3000'}}"),
        "leads to two services",
    );
    refuses_docker(
        HTTP,
        &format!("{IMAGE}, ports: {{ssh: ^'127.0.0.1:99999'}}"),
        "from 1 to 65535",
    );
    let apart = format!("{{docker: {{{IMAGE}, ports: {{http: '127.0.0.1:80', ssh: '127.0.0.2:80'}}}}}}");
    assert_eq!(found(HTTP, &apart), [""; 0]);
    // The defaults, too: `gitlab.url` names the port of SSH.
    let default = found("http://git.lan:2222", &format!("{{docker: {{{IMAGE}}}}}"));
    assert!(default[0].contains("leads to two services"), "{default:?}");
}

#[test]
fn lets_encrypt_needs_port_80_and_a_public_name() {
    const TLS: &str = "tls: {lets_encrypt: ^{contacts: [ada@example.org]}}";
    refuses("https://git.acme.org", TLS, "Let's Encrypt asks on port 80");
    for url in [
        "https://git.lan",
        "https://gitlab",
        "https://192.0.2.1",
        "https://[2001:db8::1]",
    ] {
        let docker = format!(
            "{{docker: {{{IMAGE}, ports: {{http: 80}}}}, {}}}",
            TLS.replace('^', "")
        );
        let found = found(url, &docker);
        assert!(
            found.len() == 1 && found[0].contains("gives no certificate"),
            "{found:?}"
        );
    }
    let docker = format!(
        "{{docker: {{{IMAGE}, ports: {{http: 80}}}}, {}}}",
        TLS.replace('^', "")
    );
    assert_eq!(found("https://git.acme.org", &docker), [""; 0]);
}

#[test]
fn a_registry_has_a_url_of_its_own() {
    for (url, registry, message) in [
        (HTTP, "https://registry.lan", "write http://"),
        (HTTP, "http://registry.lan/v2", "ends with its host and port"),
        (HTTP, "http://git.lan:3000", "the very URL of GitLab"),
        (HTTP, "registry.lan", "is not a URL"),
        (HTTP, "http://a:b@registry.lan", "user or password"),
    ] {
        refuses(url, &format!("registry: {{url: ^'{registry}'}}"), message);
    }
    let proxied = "reverse_proxy: {}, registry: {url: ^'https://git.example.org:5050'}";
    refuses(HTTPS, proxied, "the proxy needs a port");
}

#[test]
fn services_are_whole() {
    refuses(HTTP, "smtp: {address: mail.lan, from: ^me}", "no mail address");
    refuses(
        HTTP,
        "smtp: {address: mail.lan, from: a@b.c, user_name: ^me}",
        "without a password",
    );
    refuses(
        HTTP,
        "smtp: {address: ^'mail.lan:25', from: a@b.c}",
        "its port as `port`",
    );
    const STORAGE: &str = "region: eu, access_key: a, secret_key: {env: S3}";
    for (rest, message) in [
        ("buckets: ^{}", "no sort of object has a bucket"),
        ("buckets: {artefacts: ^a}", "keeps no `artefacts`"),
        ("buckets: {lfs: ^/a}", "is no bucket"),
        ("buckets: {artifacts: a, lfs: ^a}", "the bucket of two sorts"),
        ("endpoint: ^s3.lan, buckets: {lfs: a}", "no URL of a web server"),
    ] {
        refuses(HTTP, &format!("object_storage: {{{STORAGE}, {rest}}}"), message);
    }
    refuses(
        HTTP,
        "monitoring: {allow_from: ^[everybody]}",
        "no address and no network",
    );
    refuses(HTTP, "admin: {email: ^root}", "no mail address");
}

#[test]
fn settings_are_pointed_at_whatever_their_key_holds() {
    refuses(
        HTTP,
        "omnibus: {\"gitlab_rails['timezone']\": ^UTC}",
        "did you mean",
    );
    refuses(
        HTTP,
        "omnibus: {\"gitlab_rails['env']['a.b']\": x, \"gitlab_rails['a.b']\": ^x}",
        "knows no",
    );
    refuses(
        HTTP,
        "omnibus: {external_url: ^'http://x'}",
        "write `gitlab.url` instead",
    );
}

#[test]
fn a_secret_in_plain_text_is_not_shown() {
    let text = format!(
        "autogit: 1\ngitlab:\n  url: {HTTP}\n  deploy: {{docker: {{{IMAGE}}}, omnibus: {{\"redis['password']\": hunter2}}}}\n"
    );
    let loaded = load_bytes(
        Path::new("autogit.yaml"),
        text.as_bytes(),
        &crate::kinds::shapes(),
    );
    let shown: Vec<_> = loaded
        .diagnostics
        .iter()
        .map(|found| loaded.sources.render(found, false))
        .collect();
    assert!(
        shown.len() == 1 && shown[0].contains("this holds a secret"),
        "{shown:?}"
    );
    assert!(!shown[0].contains("hunter2"), "{}", shown[0]);
}

#[test]
fn what_the_documentation_shows_is_valid() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/deploy.md")).unwrap();
    let blocks: Vec<_> = page
        .split("\n```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() > 9, "{blocks:#?}");
    for block in blocks {
        let has = |key: &str| block.lines().any(|line| line.starts_with(key));
        let text = if has("autogit:") {
            block.to_owned()
        } else if has("gitlab:") {
            format!("autogit: 1\n{block}")
        } else {
            let mut deploy = block.replace("docker: {", &format!("docker: {{{IMAGE}, "));
            if !has("docker:") {
                deploy += &format!("docker: {{{IMAGE}}}\n");
            }
            if !has("tls:") {
                deploy += "reverse_proxy: {}\n";
            }
            let deploy: String = deploy.lines().map(|line| format!("    {line}\n")).collect();
            format!("autogit: 1\ngitlab:\n  url: {HTTPS}\n  deploy:\n{deploy}")
        };
        let loaded = load_bytes(
            Path::new("autogit.yaml"),
            text.as_bytes(),
            &crate::kinds::shapes(),
        );
        let shown: Vec<_> = loaded
            .diagnostics
            .iter()
            .map(|found| loaded.sources.render(found, false))
            .collect();
        assert!(shown.is_empty(), "{text}\n{}", shown.join("\n"));
    }
}

/// A deployment with any ports.
fn deploy() -> impl Strategy<Value = (Deploy, Url)> {
    let publish = || {
        prop::option::of(prop_oneof![
            (1..6_u16).prop_map(Publish::Port),
            (1..6_u16).prop_map(|port| Publish::Address(format!("127.0.0.1:{port}"))),
            (1..6_u16).prop_map(|port| Publish::Address(format!("[::1]:{port}"))),
        ])
    };
    let url = || {
        let host = prop_oneof![
            Just("git.lan"),
            Just("192.0.2.1"),
            Just("[2001:db8::1]"),
            Just("registry.lan")
        ];
        let port = prop_oneof![
            Just(String::new()),
            (1..6_u16).prop_map(|port| format!(":{port}"))
        ];
        (any::<bool>(), host, port)
            .prop_map(|(tls, host, port)| format!("{}://{host}{port}", if tls { "https" } else { "http" }))
    };
    (
        url(),
        prop::option::of(url()),
        any::<bool>(),
        (publish(), publish(), publish(), publish()),
    )
        .prop_map(|(url, registry, proxied, (http, https, ssh, registry_port))| {
            let url: Url = url.parse().expect("a URL");
            let tls = (url.scheme() == "https" && !proxied).then_some(super::super::Tls::SelfSigned {});
            let deploy = serde_json::json!({
                "docker": {
                    "image": "gitlab/gitlab-ce:18.8.4-ce.0",
                    "ports": {"http": http, "https": https, "ssh": ssh, "registry": registry_port},
                },
                "tls": tls,
                "reverse_proxy": proxied.then(|| serde_json::json!({})),
                "registry": registry.map(|url| serde_json::json!({"url": url})),
            });
            (serde_json::from_value(deploy).expect("a deployment"), url)
        })
}

proptest! {
    #[test]
    fn what_is_let_through_gives_every_service_a_port((deploy, url) in deploy()) {
        prop_assume!(check(&deploy, &url).is_empty());
        let listeners = deploy.listeners(&url);
        for (at, one) in listeners.iter().enumerate() {
            prop_assert!(one.host.socket().is_some());
            for other in &listeners[..at] {
                prop_assert_ne!(one.port, other.port);
                prop_assert_ne!(one.host.socket(), other.host.socket());
            }
            // Puma, workhorse, nginx' own status and whatever else Omnibus has within listens elsewhere.
            prop_assert!([22, 80, 443, 5050].contains(&one.port));
        }
    }
}
