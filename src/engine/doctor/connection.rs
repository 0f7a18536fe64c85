//! The way to GitLab, asked as nobody: the token is for later, when it is known who gets it.

use std::time::Duration;

use jiff::Timestamp;
use serde::de::IgnoredAny;

use super::Check;
use crate::live::certificate;
use crate::live::gitlab::{Client, Error, Kind, Settings};

const REACHABLE: &str = "reachable";
const TLS: &str = "tls";
const GITLAB: &str = "gitlab";
const CERTIFICATE: &str = "certificate";

/// How many days before its end a certificate is worth a warning: what renews itself has done so by then.
const SOON: i64 = 21;

/// How long the server may take to show its certificate.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Seconds that two clocks may be apart before anybody cares.
const SKEW: u64 = 60;

/// Whether GitLab is there.
pub(super) async fn examine(settings: &Settings, checks: &mut Vec<Check>) -> bool {
    let nobody = Settings {
        token: None,
        ..settings.clone()
    };
    let client = match Client::connect(nobody) {
        Ok(client) => client,
        Err(error) => {
            let name = if error.kind() == Kind::Tls { TLS } else { REACHABLE };
            checks.push(Check::failed(name, error.to_string()).maybe_help(error.remedy()));
            return false;
        }
    };
    let reader = client.reader();
    let answer = reader.get::<IgnoredAny>("/metadata", &[]).await;
    let asked_until = Timestamp::now();
    let is_gitlab = match answer {
        Err(error) if error.kind() == Kind::Transport => {
            checks.push(unreachable(settings, &error).await);
            false
        }
        Err(error) if error.kind() == Kind::Tls => {
            checks.push(Check::ok(
                REACHABLE,
                format!("something answers at {}", settings.url),
            ));
            checks.push(Check::failed(TLS, error.detail()).maybe_help(error.remedy()));
            false
        }
        answer => {
            checks.push(Check::ok(
                REACHABLE,
                format!("something answers at {}", settings.url),
            ));
            checks.push(trusted(settings));
            checks.extend(shown_certificate(settings).await);
            let check = gitlab(answer.err());
            let is_gitlab = check.state == super::State::Ok;
            checks.push(check);
            is_gitlab
        }
    };
    if let Some(theirs) = reader.server_time() {
        checks.push(clock(asked_until.as_second() - theirs.as_second()));
    }
    is_gitlab
}

async fn unreachable(settings: &Settings, error: &Error) -> Check {
    let check = Check::failed(REACHABLE, error.detail());
    if let Some(proxy) = proxy(settings) {
        return check.help(format!(
            "{proxy} names a proxy: check that it is up, or name the host in NO_PROXY"
        ));
    }
    let (host, port) = (
        settings.url.host_str().unwrap_or_default(),
        settings.url.port_or_known_default().unwrap_or(443),
    );
    match tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await {
        Err(_) => check.help(format!("the name `{host}` does not resolve: correct it, or this machine's DNS")),
        Ok(_) => check.help(format!(
            "nothing answers at port {port} of {host}: check that GitLab is up, the port, the firewall, and whether \
             this network needs a proxy (HTTPS_PROXY)"
        )),
    }
}

/// The variable that names a proxy for this URL.
fn proxy(settings: &Settings) -> Option<&'static str> {
    let names: &[&str] = match settings.url.scheme() {
        "https" => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        _ => &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let is_set = |name: &&&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    names.iter().find(is_set).copied()
}

fn trusted(settings: &Settings) -> Check {
    let is_here = match settings.url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match (settings.url.scheme(), &settings.ca_file) {
        ("http", _) if is_here => Check::ok(TLS, "plain HTTP, on this machine"),
        ("http", _) => Check::warning(TLS, "plain HTTP: whoever is on the way reads the token")
            .help("serve GitLab over HTTPS, and write https:// in its URL"),
        (_, Some(file)) => Check::ok(
            TLS,
            format!("the certificate is trusted by the system or {}", file.display()),
        ),
        (_, None) => Check::ok(TLS, "the certificate is trusted by the system"),
    }
}

/// When the certificate ends. What a proxy stands before is not asked: it would be the proxy's affair to show it.
async fn shown_certificate(settings: &Settings) -> Option<Check> {
    if settings.url.scheme() != "https" || proxy(settings).is_some() {
        return None;
    }
    let (host, port) = (
        settings.url.host_str()?.to_owned(),
        settings.url.port_or_known_default()?,
    );
    let looked = tokio::task::spawn_blocking(move || certificate::ends(&host, port, HANDSHAKE)).await;
    Some(match looked {
        Ok(Ok(end)) => judge_certificate(end, Timestamp::now()),
        Ok(Err(error)) => Check::not_known(CERTIFICATE, error.to_string()),
        Err(error) => Check::not_known(CERTIFICATE, error.to_string()),
    })
}

/// Judges when a certificate ends.
pub(super) fn judge_certificate(end: Timestamp, now: Timestamp) -> Check {
    let days = (end.as_second() - now.as_second()).div_euclid(24 * 60 * 60);
    let on = end.strftime("%Y-%m-%d");
    match days {
        ..0 => Check::failed(CERTIFICATE, format!("it ended on {on}"))
            .help("renew it: whoever uses GitLab sees an error until then"),
        0..=SOON => Check::warning(CERTIFICATE, format!("it ends in {days} days, on {on}"))
            .help("renew it before that day; what renews it by itself has not done so"),
        _ => Check::ok(CERTIFICATE, format!("it ends in {days} days, on {on}")),
    }
}

/// Judges what an anonymous `/metadata` was answered with: GitLab's own answer is a 401 in its words.
fn gitlab(error: Option<Error>) -> Check {
    let Some(error) = error else {
        return Check::ok(GITLAB, "GitLab's API answers");
    };
    let check = Check::failed(GITLAB, error.detail());
    match error.kind() {
        Kind::Unauthorized if error.is_in_words() => Check::ok(GITLAB, "GitLab's API answers"),
        Kind::Unauthorized | Kind::Forbidden => check.help(
            "something before GitLab asks who you are, or lets you not through: AutoGit has to reach /api/v4 itself",
        ),
        Kind::NotFound | Kind::Decode => check.help(
            "GitLab's API is not there: if GitLab lives below a path, as in https://example.org/gitlab, name that too",
        ),
        _ => check.maybe_help(error.remedy()),
    }
}

/// `ahead`: by how many seconds our clock is ahead of GitLab's.
fn clock(ahead: i64) -> Check {
    const NAME: &str = "clock";
    let apart = ahead.unsigned_abs();
    if apart <= SKEW {
        return Check::ok(NAME, "this machine's clock and GitLab's agree");
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    Check::warning(NAME, format!("this machine's clock is {apart} s {side} GitLab's"))
        .help("set both by NTP: what was made since a run began is told by them")
}
