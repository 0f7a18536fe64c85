//! Certificates over time, after kills, and on the wire.

use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn hosts(hosts: &[&str]) -> BTreeSet<String> {
    hosts.iter().map(|host| (*host).to_owned()).collect()
}

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn write(files: &[(PathBuf, SecretString)]) -> Vec<String> {
    for (path, content) in files {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content.expose_secret()).unwrap();
    }
    let names = files
        .iter()
        .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned());
    names.collect()
}

struct Fixture {
    _dir: tempfile::TempDir,
    place: Place,
    hosts: BTreeSet<String>,
}

impl Fixture {
    fn new(names: &[&str]) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let place = Place::new(dir.path(), "gitlab");
        Fixture {
            _dir: dir,
            place,
            hosts: hosts(names),
        }
    }

    fn files(&self, now: Timestamp) -> Vec<(PathBuf, SecretString)> {
        files(&self.place, &self.hosts, now).unwrap()
    }

    fn found(&self, now: Timestamp) -> Value {
        found(&self.place, &self.hosts, now).unwrap()
    }
}

#[test]
fn a_certificate_is_made_once_and_renewed_before_it_ends() {
    let fixture = Fixture::new(&["git.lan", "registry.lan"]);
    assert_eq!(fixture.found(now()), Value::Null);
    let written = write(&fixture.files(now()));
    assert_eq!(written, ["ca.key", "ca.pem", "instance.key", "instance.crt"]);
    assert_eq!(fixture.found(now()), "for git.lan, registry.lan");
    assert_eq!(fixture.found(now()), wanted(&fixture.hosts));
    assert!(fixture.files(now()).is_empty());

    let pem = std::fs::read_to_string(fixture.place.certificate().0).unwrap();
    assert_eq!(ends(&pem), Some("2027-11-28T00:00:00Z".parse().unwrap()));
    let late = now() + DAY * 336;
    assert_eq!(fixture.found(late), "it ends on 2027-11-28");
    assert_eq!(write(&fixture.files(late)), ["instance.crt"]);
    assert_eq!(fixture.found(late), wanted(&fixture.hosts));
    // The authority is renewed with the same key, so what it signed before holds.
    let authority = std::fs::read_to_string(fixture.place.authority().0).unwrap();
    assert_eq!(ends(&authority), Some("2036-11-25T00:00:00Z".parse().unwrap()));
    let much_later = now() + DAY * 3640;
    assert_eq!(write(&fixture.files(much_later)), ["ca.pem", "instance.crt"]);
    assert_eq!(fixture.found(much_later), wanted(&fixture.hosts));
    assert_eq!(ends("no certificate"), None);
}

#[test]
fn a_host_that_is_new_takes_another_certificate() {
    let mut fixture = Fixture::new(&["192.0.2.1"]);
    write(&fixture.files(now()));
    assert_eq!(fixture.found(now()), "for 192.0.2.1");
    fixture.hosts = hosts(&["192.0.2.1", "2001:db8::1", "git.lan"]);
    let found = fixture.found(now());
    assert!(
        found.as_str().unwrap().starts_with("it is not for 2001:db8::1"),
        "{found}"
    );
    assert_eq!(write(&fixture.files(now())), ["instance.crt"]);
    assert_eq!(fixture.found(now()), wanted(&fixture.hosts));
}

#[test]
fn a_kill_between_any_two_files_is_made_good() {
    for killed_after in 0..4 {
        let fixture = Fixture::new(&["git.lan"]);
        write(&fixture.files(now())[..killed_after]);
        assert_ne!(fixture.found(now()), wanted(&fixture.hosts));
        write(&fixture.files(now()));
        assert_eq!(fixture.found(now()), wanted(&fixture.hosts), "{killed_after}");
        assert!(fixture.files(now()).is_empty());
    }
}

#[test]
fn what_was_changed_by_hand_is_seen() {
    let fixture = Fixture::new(&["git.lan"]);
    let other = Fixture::new(&["git.lan"]);
    write(&fixture.files(now()));
    write(&other.files(now()));
    let ((certificate, key), (authority, _)) = (fixture.place.certificate(), fixture.place.authority());
    std::fs::copy(other.place.certificate().1, &key).unwrap();
    assert_eq!(fixture.found(now()), "the key is not that of the certificate");
    assert_eq!(write(&fixture.files(now())), ["instance.crt"]);
    std::fs::copy(other.place.certificate().0, &certificate).unwrap();
    assert_eq!(fixture.found(now()), "it is signed by another authority");
    write(&fixture.files(now()));
    std::fs::copy(other.place.authority().0, &authority).unwrap();
    assert_eq!(fixture.found(now()), "it is signed by another authority");
    assert_eq!(write(&fixture.files(now())), ["ca.pem"]);
    assert_eq!(fixture.found(now()), wanted(&fixture.hosts));
    std::fs::write(&key, "not a key").unwrap();
    let error = files(&fixture.place, &hosts(&["other.lan"]), now()).unwrap_err();
    assert!(
        error.to_string().contains("instance.key: it is not one"),
        "{error}"
    );
}

#[test]
fn a_given_certificate_is_checked() {
    let fixture = Fixture::new(&["git.lan"]);
    let other = Fixture::new(&["git.lan"]);
    let read = |fixture: &Fixture| {
        write(&fixture.files(now()));
        let (certificate, key) = fixture.place.certificate();
        (
            std::fs::read_to_string(certificate).unwrap(),
            std::fs::read_to_string(key).unwrap(),
        )
    };
    let ((pem, key), (_, other_key)) = (read(&fixture), read(&other));
    let flaw = |pem: &str, key: &str, host: &str, now| given_flaw(pem, key, &hosts(&[host]), now);
    assert_eq!(flaw(&pem, &key, "git.lan", now()), None);
    let cases = [
        (
            flaw("", &key, "git.lan", now()),
            "chain",
            "there is no certificate in it",
        ),
        (
            flaw(&key, &key, "git.lan", now()),
            "chain",
            "there is no certificate in it",
        ),
        (flaw(&pem[..100], &key, "git.lan", now()), "chain", "PEM"),
        (
            flaw(&pem, &key, "git.lan", now() + DAY * 366),
            "chain",
            "it ends on 2027-11-28",
        ),
        (
            flaw(&pem, &key, "git.lan", now() - DAY * 3),
            "chain",
            "it begins on 2026-11-27",
        ),
        (
            flaw(&pem, &key, "other.lan", now()),
            "chain",
            "it is not for other.lan",
        ),
        (
            flaw(&pem, &other_key, "git.lan", now()),
            "key",
            "the key is not that of the certificate",
        ),
        (flaw(&pem, &pem, "git.lan", now()), "key", "no private key"),
    ];
    for (found, field, message) in cases {
        let (at, why) = found.expect(message);
        assert!(at == field && why.contains(message), "{at}: {why}");
    }
}

#[tokio::test]
async fn whoever_trusts_the_authority_trusts_the_certificate() {
    for host in ["git.lan", "192.0.2.1", "2001:db8::1"] {
        let fixture = Fixture::new(&[host]);
        // Handshakes go by the clock of this machine.
        write(&fixture.files(Timestamp::now()));
        let (certificate, key) = fixture.place.certificate();
        let chain = CertificateDer::pem_file_iter(certificate)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let provider = Arc::new(provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(fixture.place.authority().0).unwrap())
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (near, far) = tokio::io::duplex(4096);
        let serve = async {
            let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(server))
                .accept(far)
                .await
                .unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let ask = async {
            let name = ServerName::try_from(host).unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
            let mut stream = connector.connect(name, near).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            said
        };
        assert_eq!(tokio::join!(serve, ask).1, "hello");
    }
}
