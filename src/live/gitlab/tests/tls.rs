//! Whom the client trusts, and what it says when it does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::server::{Reply, Request, Server};
use super::settings;
use crate::live::gitlab::{Client, Error, Kind};

/// A private certificate authority, and the file that says to trust it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub file: PathBuf,
    _dir: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, issuer.pem()).unwrap();
        Authority {
            issuer,
            file,
            _dir: dir,
        }
    }

    /// A server on localhost whose certificate is for `name`, changed by `change`.
    pub async fn serve(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Server {
        let answer = |_: &Request| Reply::json(200, json!({ "version": "18" }));
        Server::start_tls(self.vouch(name, change), answer).await
    }

    /// A server on localhost whose certificate is good, and what it answers.
    pub async fn serve_with(&self, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        Server::start_tls(self.vouch("localhost", |_| ()), answer).await
    }

    fn vouch(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn get(url: &str, ca_file: Option<&Path>) -> Result<Value, Error> {
    let mut settings = settings(url);
    settings.ca_file = ca_file.map(Path::to_owned);
    Client::connect(settings)?.reader().get("/version", &[]).await
}

#[tokio::test]
async fn a_private_authority_is_trusted_once_named() {
    let authority = Authority::new();
    let server = authority.serve("localhost", |_| {}).await;
    let version = get(&server.url, Some(&authority.file)).await.unwrap();
    assert_eq!(version["version"], "18");

    let error = get(&server.url, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Tls);
    assert!(error.detail().contains("not trusted here"), "{error}");
    assert!(error.remedy().unwrap().contains("gitlab.ca_file"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_bad_certificate_says_what_is_bad_about_it() {
    let authority = Authority::new();
    let ca = Some(authority.file.as_path());
    let server = authority.serve("elsewhere.example.org", |_| {}).await;
    let error = get(&server.url, ca).await.unwrap_err();
    assert!(
        error.detail().contains("another host") && error.detail().contains("elsewhere.example.org"),
        "{error}"
    );

    let server = authority
        .serve("localhost", |params| params.not_after = date_time_ymd(2001, 1, 1))
        .await;
    let error = get(&server.url, ca).await.unwrap_err();
    assert_eq!(error.detail(), "its certificate has expired");

    let server = authority
        .serve("localhost", |params| {
            params.not_before = date_time_ymd(3001, 1, 1)
        })
        .await;
    let error = get(&server.url, ca).await.unwrap_err();
    assert_eq!(error.detail(), "its certificate is not valid yet");
}

#[tokio::test]
async fn plain_http_where_tls_was_asked_for_is_said() {
    let server = Server::start(|_, _| Reply::json(200, json!({}))).await;
    let error = get(&server.url.replace("http://", "https://"), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Tls);
    assert!(error.detail().contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn a_file_that_holds_no_authority_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let connect = || async { get("https://localhost", Some(&file)).await.unwrap_err() };

    let error = connect().await;
    assert_eq!(error.kind(), Kind::Tls);
    assert!(error.to_string().contains("ca.pem: No such file"), "{error}");

    for (content, says) in [
        ("", "there is no certificate in it"),
        (
            "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n",
            "not valid PEM",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be used",
        ),
    ] {
        std::fs::write(&file, content).unwrap();
        let error = connect().await;
        assert!(error.to_string().contains(says), "{error}");
    }
}
