//! How an instance is reached: certificates that are given and renewed, a proxy in front, a registry beside.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command};

use autogit::instance::{Place, tls};
use jiff::{SignedDuration, Timestamp};
use libtest_mimic::Trial;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::docker::{self, Deployed, Wanted};
use crate::support::eventually;

pub fn trials() -> Vec<Trial> {
    let mut trials = docker::on_an_engine(crate::trials![
        a_given_certificate_is_served_and_exchanged_and_never_a_wrong_one,
        a_certificate_about_to_end_is_renewed_without_a_restart,
    ]);
    let proxied = docker::on_an_engine(crate::trials![
        a_proxy_as_documented_leads_to_gitlab_and_its_registry
    ]);
    match Command::new("nginx").arg("-v").output() {
        Ok(_) => trials.extend(proxied),
        Err(_) => trials.extend(proxied.into_iter().map(|trial| trial.with_ignored_flag(true))),
    }
    trials
}

/// Somebody's authority, of which certificates can be had.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        Authority(TempDir::new().unwrap())
    }

    /// A new certificate and its key.
    fn certificate(&self, host: &str) -> (String, String) {
        let place = Place::new(self.0.path(), "authority");
        let (certificate, key) = place.certificate();
        let _ = (std::fs::remove_file(&certificate), std::fs::remove_file(&key));
        write_certificate(&place, host, Timestamp::now());
        (read(&certificate), read(&key))
    }

    fn pem(&self) -> String {
        read(&Place::new(self.0.path(), "authority").authority().0)
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Makes what lacks of a certificate for `host` as if it were `now`.
fn write_certificate(place: &Place, host: &str, now: Timestamp) {
    for (path, content) in tls::files(place, &BTreeSet::from([host.to_owned()]), now).unwrap() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content.expose_secret()).unwrap();
    }
}

/// The certificates that the server at `url` shows to whoever trusts an authority.
#[track_caller]
fn served(url: &str, authority: &Path) -> String {
    let mut curl = Command::new("curl");
    let curl = curl.args(["-sS", "-o", "/dev/null", "-w", "%{certs}", "--cacert"]);
    let output = curl
        .arg(authority)
        .arg(format!("{url}/users/sign_in"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until nginx shows this certificate.
fn expect_served(url: &str, authority: &Path, pem: &str) {
    let line = pem.lines().nth(3).unwrap();
    eventually("the certificate is served", || {
        served(url, authority).contains(line).then_some(())
    });
}

fn a_given_certificate_is_served_and_exchanged_and_never_a_wrong_one() {
    let deployed = Deployed::without_config();
    let authority = Authority::new();
    let give = |host: &str| {
        let (pem, key) = authority.certificate(host);
        deployed.write("chain.pem", &pem);
        deployed.write("key.pem", &key);
        pem
    };
    let first = give("localhost");
    deployed.write("ca.pem", &authority.pem());
    let url = format!("https://localhost:{}", deployed.port);
    deployed.config(Wanted {
        url: url.clone(),
        ports: format!(
            "https: '127.0.0.1:{}', ssh: '127.0.0.1:{}'",
            deployed.port, deployed.ssh
        ),
        deploy: "tls: {certificate: {chain: chain.pem, key: {file: key.pem}}}",
        gitlab: "ca_file: ca.pem",
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    let ca = deployed.dir.path().join("ca.pem");
    expect_served(&url, &ca, &first);

    let started = deployed.inspect(".State.StartedAt");
    let second = give("localhost");
    deployed
        .run(&["plan", "--detailed-exitcode"])
        .exits(2)
        .shows("tls_chain");
    deployed.run(&["apply", "--yes"]).exits(0);
    expect_served(&url, &ca, &second);
    assert_eq!(deployed.inspect(".State.StartedAt"), started);

    give("other.lan");
    let apply = deployed.run(&["apply", "--yes"]).exits(1);
    apply.says("chain.pem").says("it is not for localhost");
    expect_served(&url, &ca, &second);
}

fn a_certificate_about_to_end_is_renewed_without_a_restart() {
    let deployed = Deployed::without_config();
    let url = format!("https://localhost:{}", deployed.port);
    deployed.config(Wanted {
        url: url.clone(),
        ports: format!(
            "https: '127.0.0.1:{}', ssh: '127.0.0.1:{}'",
            deployed.port, deployed.ssh
        ),
        deploy: "tls: {self_signed: {}}",
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    let (ca, certificate) = (
        deployed.place("ca/ca.pem"),
        deployed.place("etc/tls/instance.crt"),
    );
    let first = read(&certificate);
    expect_served(&url, &ca, &first);

    // As it would be in eleven months.
    std::fs::remove_file(&certificate).unwrap();
    let place = Place::new(&deployed.dir.path().join(".autogit"), &deployed.name);
    write_certificate(
        &place,
        "localhost",
        Timestamp::now() - SignedDuration::from_hours(340 * 24),
    );
    let plan = deployed.run(&["plan", "--detailed-exitcode"]).exits(2);
    plan.shows("it ends on");
    let started = deployed.inspect(".State.StartedAt");
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    let renewed = read(&certificate);
    assert_ne!(renewed, first);
    expect_served(&url, &ca, &renewed);
    assert_eq!(deployed.inspect(".State.StartedAt"), started);
}

/// nginx of this host.
struct Proxy {
    child: Child,
    _dir: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// With the server block that the documentation shows, on a port of its own.
    fn start(port: u16, upstream: u16, pem: &str, key: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(at("chain.pem"), pem).unwrap();
        std::fs::write(at("key.pem"), key).unwrap();
        let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deploy.md"));
        let server = page
            .split("```nginx\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let changes = [
            ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
            (
                "git.example.org registry.example.org",
                "localhost registry.localhost".to_owned(),
            ),
            ("/etc/ssl/fullchain.pem", at("chain.pem")),
            ("/etc/ssl/key.pem", at("key.pem")),
            ("127.0.0.1:3000", format!("127.0.0.1:{upstream}")),
        ];
        let server = changes.iter().fold(server.to_owned(), |server, (from, to)| {
            assert!(server.contains(from), "{from}");
            server.replace(from, to)
        });
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {};", at(what)));
        let conf = format!(
            "daemon off;\nmaster_process off;\npid {};\nerror_log {};\nevents {{}}\nhttp {{\naccess_log off;\n{}\n{server}}}\n",
            at("pid"),
            at("error.log"),
            temp.join("\n"),
        );
        std::fs::write(at("nginx.conf"), conf).unwrap();
        let child = Command::new("nginx")
            .args(["-e", &at("error.log"), "-c", &at("nginx.conf")])
            .spawn()
            .unwrap();
        Proxy { child, _dir: dir }
    }
}

fn a_proxy_as_documented_leads_to_gitlab_and_its_registry() {
    let deployed = Deployed::without_config();
    let authority = Authority::new();
    let (pem, key) = authority.certificate("localhost");
    deployed.write("ca.pem", &authority.pem());
    let port = docker::free_port();
    let _proxy = Proxy::start(port, deployed.port, &pem, &key);
    let url = format!("https://localhost:{port}");
    let registry = docker::free_port();
    let deploy = format!(
        "reverse_proxy: {{trusted: [172.16.0.0/12]}}, registry: {{url: 'https://localhost:{registry}'}}"
    );
    deployed.config(Wanted {
        url: url.clone(),
        ports: format!(
            "http: '127.0.0.1:{}', ssh: '127.0.0.1:{}', registry: '127.0.0.1:{registry}'",
            deployed.port, deployed.ssh
        ),
        deploy: &deploy,
        gitlab: "ca_file: ca.pem",
        rest: "groups: {team: {}}\nrepos: {team/app: {}}\n",
        ..deployed.wanted()
    });
    // What is in GitLab is reached through the proxy.
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    expect_served(&url, &deployed.dir.path().join("ca.pem"), &pem);
    let asked = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"])
        .arg(format!("http://127.0.0.1:{registry}/v2/"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout), "401");
}
