//! Signing in, proven on what GitLab would talk to: a real slapd, and a real Keycloak.
//!
//! What is asked of them comes out of the rendered gitlab.rb as Ruby reads it, never out of the config.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use autogit::config;
use autogit::instance::{Blueprint, Place, omnibus};
use autogit::kinds;
use autogit::live::secrets::Secrets;
use libtest_mimic::Trial;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{block_on, eventually};

pub fn trials() -> Vec<Trial> {
    let directory = lacks(&["slapd", "ldapsearch", "ruby"]);
    let provider = keycloak().is_none() || lacks(&["java", "ruby"]);
    let trial = |name: &str, run: fn(), ignored: bool| {
        let run = move || {
            run();
            Ok(())
        };
        Trial::test(format!("sign_in::{name}"), run).with_ignored_flag(ignored)
    };
    vec![
        trial(
            "a_directory_is_asked_as_declared",
            a_directory_is_asked_as_declared,
            directory,
        ),
        trial(
            "a_provider_is_discovered_as_declared",
            a_provider_is_discovered_as_declared,
            provider,
        ),
    ]
}

/// Whether one of these programs is not there.
fn lacks(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
    let there = |program: &&str| folders.iter().any(|folder| folder.join(program).exists());
    !programs.iter().all(there)
}

/// Where `scripts/test` unpacks Keycloak.
fn keycloak() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/keycloak");
    folder.join("bin/kc.sh").exists().then_some(folder)
}

/// A program and all that it starts, which ends with the test.
struct Started(Child);

impl Started {
    fn new(mut command: Command) -> Self {
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Started(command.spawn().unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A certificate for this machine, and its key. ldapsearch takes `localhost` for the name of the host.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    private(&key, &made.signing_key.serialize_pem());
    (certificate, key)
}

fn private(path: &Path, text: &str) {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

/// The settings of `gitlab_rails` that follow from this `sign_in`, as Ruby reads them.
fn rendered(folder: &Path, sign_in: &Value) -> Value {
    let config = json!({"autogit": 1, "gitlab": {"url": "https://git.lan:8443", "deploy": {
        "docker": {"image": "gitlab/gitlab-ce:18.8.4-ce.0"}, "tls": {"self_signed": {}}, "sign_in": sign_in,
    }}});
    let path = folder.join("autogit.yaml");
    fs::write(&path, config.to_string()).unwrap();
    let loaded = config::load(&path, &kinds::shapes());
    let config = loaded
        .config
        .unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    let (spec, url) = (config.gitlab.deploy.unwrap().spec, config.gitlab.url.unwrap());
    let blueprint = Blueprint::new(&spec, &url, &Place::new(folder, "gitlab"));
    // The files as they are mounted into the container.
    let mounted = folder.join("mounted");
    fs::create_dir_all(mounted.join("secrets")).unwrap();
    private(&mounted.join("gitlab.rb"), &omnibus::render(&blueprint.settings));
    let secrets = Secrets::new(folder, false);
    for (name, reference) in &blueprint.secrets {
        let value = block_on(secrets.value(reference)).unwrap();
        private(&mounted.join("secrets").join(name), value.expose_secret());
    }
    read_by_ruby(&mounted)
}

/// Reads gitlab.rb as Omnibus does: a section is a hash, and what stands alone a method.
const READER: &str = r##"
require 'json'
$sections = Hash.new { |sections, name| sections[name] = Hash.new { |hash, key| hash[key] = {} } }
def self.method_missing(name, *values) = values.empty? ? $sections[name.to_s] : ($sections['alone'][name.to_s] = values.first)
class << File
  alias unmapped read
  def read(path, *more) = unmapped(path.sub(%r{\A/etc/autogit/}, "#{ENV.fetch('MOUNTED')}/"), *more)
end
eval(File.read('/etc/autogit/gitlab.rb'))
puts JSON.generate($sections.fetch('gitlab_rails'))
"##;

fn read_by_ruby(mounted: &Path) -> Value {
    let mut ruby = Command::new("ruby");
    ruby.args(["-e", READER]).env("MOUNTED", mounted);
    let read = ruby.output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

/// People of a small directory: who may use GitLab, and who may not.
const PEOPLE: &str = "\
dn: dc=lan
objectClass: dcObject
objectClass: organization
dc: lan
o: Lan

dn: ou=people,dc=lan
objectClass: organizationalUnit
ou: people

dn: cn=gitlab,dc=lan
objectClass: person
cn: gitlab
sn: gitlab
userPassword: looks-for-users

dn: uid=ada,ou=people,dc=lan
objectClass: inetOrgPerson
uid: ada
cn: Ada
sn: Ada
mail: ada@lan
employeeType: developer
userPassword: ada-knows

dn: uid=bob,ou=people,dc=lan
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
employeeType: guest
userPassword: bob-knows
";

/// A running slapd: what it listens on by encryption.
struct Directory {
    _server: Started,
    plain: u16,
    tls: u16,
    folder: TempDir,
}

impl Directory {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let at = folder.path();
        let (certificate, key) = certificate(at);
        fs::create_dir(at.join("data")).unwrap();
        // No entry is shown to who has not signed in.
        let config = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             TLSCertificateFile {}\nTLSCertificateKeyFile {}\nTLSCACertificateFile {}\ndatabase mdb\nsuffix dc=lan\n\
             directory {}\naccess to attrs=userPassword by anonymous auth by * none\naccess to * by users read by * none\n",
            certificate.display(),
            key.display(),
            certificate.display(),
            at.join("data").display(),
        );
        fs::write(at.join("slapd.conf"), config).unwrap();
        fs::write(at.join("people.ldif"), PEOPLE).unwrap();
        let mut add = Command::new("/usr/sbin/slapadd");
        add.arg("-f")
            .arg(at.join("slapd.conf"))
            .arg("-l")
            .arg(at.join("people.ldif"));
        let added = add.output().unwrap();
        assert!(
            added.status.success(),
            "{}",
            String::from_utf8_lossy(&added.stderr)
        );
        let (plain, tls) = (free_port(), free_port());
        let mut server = Command::new("/usr/sbin/slapd");
        server.args(["-d", "0", "-f"]).arg(at.join("slapd.conf"));
        server
            .arg("-h")
            .arg(format!("ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{tls}"));
        let server = Started::new(server);
        for port in [plain, tls] {
            eventually("slapd listens", || {
                std::net::TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
        Directory {
            _server: server,
            plain,
            tls,
            folder,
        }
    }

    /// Asks as a directory of GitLab's settings says, with a filter beside its own.
    fn search(&self, server: &Value, who: (&str, &str), filter: &str) -> Output {
        let text = |field: &str| server[field].as_str().unwrap_or_default();
        let password = self.folder.path().join("password");
        private(&password, who.1);
        let scheme = if text("encryption") == "simple_tls" {
            "ldaps"
        } else {
            "ldap"
        };
        let mut search = Command::new("ldapsearch");
        search.args(["-x", "-LLL", "-o", "nettimeout=10", "-H"]);
        search.arg(format!("{scheme}://{}:{}", text("host"), server["port"]));
        if text("encryption") == "start_tls" {
            search.arg("-ZZ");
        }
        let trust = if server["verify_certificates"] == true {
            "demand"
        } else {
            "never"
        };
        search
            .env("LDAPTLS_REQCERT", trust)
            .env("LDAPTLS_CACERT", self.folder.path().join("cert.pem"));
        search.args(["-D", who.0, "-y"]).arg(password);
        search.args(["-b", text("base"), filter, "dn"]);
        search.output().unwrap()
    }

    /// Whom GitLab finds by this name: it looks as `bind_dn`, by `uid` and the filter.
    fn find(&self, server: &Value, name: &str) -> Vec<String> {
        let text = |field: &str| server[field].as_str().unwrap_or_default();
        let filter = format!("(&({}={name}){})", text("uid"), text("user_filter"));
        let found = self.search(server, (text("bind_dn"), text("password")), &filter);
        assert!(
            found.status.success(),
            "{}",
            String::from_utf8_lossy(&found.stderr)
        );
        let entries = String::from_utf8(found.stdout).unwrap();
        entries
            .lines()
            .filter_map(|line| Some(line.strip_prefix("dn: ")?.to_owned()))
            .collect()
    }
}

fn a_directory_is_asked_as_declared() {
    let directory = Directory::start();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("password"), "looks-for-users\n").unwrap();
    let ports = BTreeMap::from([
        ("plain", directory.plain),
        ("start_tls", directory.plain),
        ("simple_tls", directory.tls),
    ]);
    for (encryption, port) in ports {
        let main = json!({
            "host": "127.0.0.1", "port": port, "encryption": encryption, "base": "ou=people,dc=lan",
            "bind_dn": "cn=gitlab,dc=lan", "password": {"file": "password"}, "user_filter": "(employeeType=developer)",
        });
        let settings = rendered(folder.path(), &json!({"ldap": {"main": main}}));
        assert_eq!(settings["ldap_enabled"], true);
        let mut server = settings["ldap_servers"]["main"].clone();
        let found = directory.find(&server, "ada");
        assert_eq!(found, ["uid=ada,ou=people,dc=lan"], "{encryption}");
        // The filter keeps out who may not sign in, and the password is what lets somebody in.
        assert_eq!(directory.find(&server, "bob"), [""; 0], "{encryption}");
        let signs_in = |password: &str| {
            directory
                .search(&server, (&found[0], password), "(uid=ada)")
                .status
                .success()
        };
        assert_eq!(
            (signs_in("ada-knows"), signs_in("bob-knows")),
            (true, false),
            "{encryption}"
        );
        // With anything else than what was rendered it does not go.
        let uid = server["uid"].as_str().unwrap().to_owned();
        assert_eq!(uid, "uid");
        server["password"] = "another".into();
        let who = (server["bind_dn"].as_str().unwrap(), "another");
        assert!(
            !directory.search(&server, who, "(uid=ada)").status.success(),
            "{encryption}"
        );
    }
    let secret = folder.path().join("mounted/secrets/ldap_main_password");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(folder.path().join("mounted/gitlab.rb")).unwrap();
    assert!(!text.contains("looks-for-users"), "{text}");
}

/// The realm in which GitLab is a client, with one user.
fn realm(callback: &str) -> Value {
    json!({
        "realm": "lab", "enabled": true,
        "clients": [{
            "clientId": "gitlab", "enabled": true, "protocol": "openid-connect", "publicClient": false,
            "secret": "told-to-gitlab", "redirectUris": [callback], "standardFlowEnabled": true,
            "directAccessGrantsEnabled": true, "attributes": {"pkce.code.challenge.method": "S256"},
        }],
        "users": [{
            "username": "ada", "enabled": true, "email": "ada@lan", "emailVerified": true, "firstName": "Ada", "lastName": "L",
            "credentials": [{"type": "password", "value": "ada-knows", "temporary": false}],
        }],
    })
}

/// How long Keycloak may take to start: it first puts itself together.
const KEYCLOAK: Duration = Duration::from_secs(900);

fn a_provider_is_discovered_as_declared() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = certificate(folder.path());
    let port = free_port();
    let issuer = format!("https://localhost:{port}/realms/lab");
    fs::write(folder.path().join("secret"), "told-to-gitlab\n").unwrap();
    let provider = json!({"openid_connect": {"issuer": issuer, "client_id": "gitlab", "client_secret": {"file": "secret"}}});
    let settings = rendered(folder.path(), &json!({"providers": {"keycloak": provider}}));
    let args = &settings["omniauth_providers"][0]["args"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let client = &args["client_options"];
    let callback = text(&client["redirect_uri"]);
    assert_eq!(callback, "https://git.lan:8443/users/auth/keycloak/callback");

    // Its own copy: it writes into its folder.
    let home = folder.path().join("keycloak");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(keycloak().unwrap())
        .arg(&home)
        .status()
        .unwrap();
    assert!(copied.success());
    fs::create_dir_all(home.join("data/import")).unwrap();
    fs::write(
        home.join("data/import/lab-realm.json"),
        realm(&callback).to_string(),
    )
    .unwrap();
    let mut server = Command::new(home.join("bin/kc.sh"));
    server.args(["start-dev", "--import-realm"]);
    server.arg(format!("--http-port={}", free_port()));
    server.arg(format!("--https-port={port}"));
    server.arg(format!("--hostname=https://localhost:{port}"));
    server.arg(format!("--https-certificate-file={}", certificate.display()));
    server.arg(format!("--https-certificate-key-file={}", key.display()));
    server.env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx512m");
    let _server = Started::new(server);

    let curl = |more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--cacert"])
            .arg(&certificate)
            .args(more);
        curl.output().unwrap()
    };
    let discovery = format!("{}/.well-known/openid-configuration", text(&args["issuer"]));
    let began = std::time::Instant::now();
    let found: Value = loop {
        match serde_json::from_slice(&curl(&[&discovery]).stdout) {
            Ok(found) => break found,
            Err(error) if began.elapsed() > KEYCLOAK => panic!("Keycloak is not up: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    };
    // What GitLab needs, and that the issuer is as written, which it compares.
    assert_eq!(found["issuer"], args["issuer"]);
    for endpoint in [
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "jwks_uri",
    ] {
        assert!(
            text(&found[endpoint]).starts_with("https://"),
            "{endpoint}: {found}"
        );
    }
    assert_eq!(args["pkce"], true);
    assert!(
        found["code_challenge_methods_supported"]
            .as_array()
            .unwrap()
            .contains(&json!("S256"))
    );
    let offered = found["scopes_supported"].as_array().unwrap();
    assert!(
        args["scope"]
            .as_array()
            .unwrap()
            .iter()
            .all(|scope| offered.contains(scope)),
        "{offered:?}"
    );

    // The callback is the one that is registered: another one is refused.
    let authorize = text(&found["authorization_endpoint"]);
    let status = |callback: &str| {
        let query = format!(
            "{authorize}?client_id={}&redirect_uri={callback}&response_type={}&scope=openid&code_challenge_method=S256&\
             code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            text(&client["identifier"]),
            text(&args["response_type"]),
        );
        let answer = curl(&["--output", "/dev/null", "--write-out", "%{http_code}", &query]);
        String::from_utf8(answer.stdout).unwrap()
    };
    assert_eq!(
        (
            status(&callback).as_str(),
            status("https://elsewhere.lan/").as_str()
        ),
        ("200", "400")
    );

    // The client proves to be GitLab by its identifier and secret.
    let token = |secret: &str| {
        let form = folder.path().join("form");
        private(
            &form,
            &format!(
                "grant_type=password&username=ada&password=ada-knows&scope=openid&client_id={}&client_secret={secret}",
                text(&client["identifier"])
            ),
        );
        let answer = curl(&[
            "--data",
            &format!("@{}", form.display()),
            &text(&found["token_endpoint"]),
        ]);
        serde_json::from_slice::<Value>(&answer.stdout).unwrap()
    };
    assert!(token(&text(&client["secret"]))["id_token"].is_string());
    assert_eq!(token("another")["error"], "unauthorized_client");
}
