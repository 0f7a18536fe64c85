//! The certificate that a server shows: until when it is valid.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

/// When the certificate of the server at `host` and `port` ends, whoever signed it. Nothing but the handshake is sent, and that ends here.
///
/// # Errors
/// When the server does not answer in time, or not with a certificate.
pub fn ends(host: &str, port: u16, patience: Duration) -> io::Result<Timestamp> {
    let name = host.trim_matches(['[', ']']).to_owned();
    let address = (name.as_str(), port).to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::other(format!("{host} has no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let witness = Arc::new(Witness {
        provider: Arc::new(ring::default_provider()),
        shown: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(witness.provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    let server = ServerName::try_from(name).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), server).map_err(io::Error::other)?;
    // It always fails: the witness accepts nobody.
    let failed = connection.complete_io(&mut stream).err();
    let shown = witness.shown.lock().unwrap_or_else(PoisonError::into_inner);
    match (&*shown, failed) {
        (Some(certificate), _) => end_of(certificate, &witness.provider),
        (None, Some(error)) => Err(error),
        (None, None) => Err(io::Error::other("the server showed no certificate")),
    }
}

/// When a certificate ends. Judged as of the end of days, it is refused for having ended, which says when.
fn end_of(certificate: &CertificateDer<'_>, provider: &CryptoProvider) -> io::Result<Timestamp> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(io::Error::other)?;
    let last_day = UnixTime::since_unix_epoch(Duration::from_secs(u64::from(u32::MAX) * 50));
    let refused = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        last_day,
        provider.signature_verification_algorithms.all,
    );
    match refused {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            let seconds = i64::try_from(not_after.as_secs()).map_err(io::Error::other)?;
            Timestamp::from_second(seconds).map_err(io::Error::other)
        }
        Err(other) => Err(io::Error::other(other)),
        Ok(()) => Err(io::Error::other("the certificate never ends")),
    }
}

/// Keeps what a server shows, and accepts it never: nothing can be sent to a server that is not trusted.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    shown: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(certificate.clone().into_owned());
        Err(Error::General("only looked at".into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::gitlab::tests::server::{Reply, Server};
    use crate::live::gitlab::tests::tls::Authority;

    #[tokio::test]
    async fn the_end_of_a_certificate_is_told_whoever_signed_it() {
        let server = Authority::new()
            .serve_with(|_| Reply::json(200, serde_json::json!({})))
            .await;
        let url: url::Url = server.url.parse().unwrap();
        let port = url.port().unwrap();
        let ask = move || ends("localhost", port, Duration::from_secs(5));
        let end = tokio::task::spawn_blocking(ask).await.unwrap().unwrap();
        assert!(end > Timestamp::now(), "{end}");
    }

    #[tokio::test]
    async fn who_speaks_no_tls_is_an_error() {
        let server = Server::start(|_, _| Reply::Drop).await;
        let url: url::Url = server.url.parse().unwrap();
        let port = url.port().unwrap();
        let ask = move || ends("127.0.0.1", port, Duration::from_secs(2));
        assert!(tokio::task::spawn_blocking(ask).await.unwrap().is_err());
    }

    #[test]
    fn the_end_is_exact() {
        let mut parameters = rcgen::CertificateParams::new(["example.org".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2031, 5, 6);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let end = end_of(certificate.der(), &ring::default_provider()).unwrap();
        assert_eq!(end.to_string(), "2031-05-06T00:00:00Z");
    }
}
