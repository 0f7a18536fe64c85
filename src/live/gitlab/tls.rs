//! TLS: whom to trust, and what a refused certificate means.

use std::error::Error as _;
use std::io;
use std::path::Path;

use reqwest::{Certificate, ClientBuilder};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use url::Url;

use super::{Error, Kind};

/// Trusts the system's certificate authorities and those in `ca_file`. Plain HTTP needs none, and a machine
/// may have none.
pub(super) fn configure(
    http: ClientBuilder,
    url: &Url,
    ca_file: Option<&Path>,
) -> Result<ClientBuilder, Error> {
    // Whoever installed one before us did so for the whole process; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match (url.scheme(), ca_file) {
        ("http", _) => Ok(http.tls_certs_only([])),
        (_, Some(file)) => Ok(http.tls_certs_merge(authorities(file)?)),
        (_, None) => Ok(http),
    }
}

/// The certificates in a PEM file: at least one, and each of them readable.
fn authorities(file: &Path) -> Result<Vec<Certificate>, Error> {
    let wrong = |why: String| {
        Error::new(
            Kind::Tls,
            format!("read the certificate authority file {}", file.display()),
            why,
        )
        .hint("`gitlab.ca_file` takes certificates in PEM form, beginning with -----BEGIN CERTIFICATE-----")
    };
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| match error {
            pem::Error::Io(error) => wrong(error.to_string()),
            error => wrong(format!("it is not valid PEM: {error}")),
        })?;
    if certificates.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    let mut roots = rustls::RootCertStore::empty();
    certificates
        .into_iter()
        .map(|der| {
            let certificate = Certificate::from_der(&der);
            roots
                .add(der)
                .map_err(|error| wrong(format!("a certificate in it cannot be used: {error}")))?;
            certificate.map_err(|error| wrong(error.to_string()))
        })
        .collect()
}

/// Whether `error` is about trust rather than about the network.
pub(super) fn is_tls(error: &reqwest::Error) -> bool {
    cause(error).is_some()
}

/// What a refused connection means, and what to do about it.
pub(super) fn explain(error: &reqwest::Error) -> (String, Option<&'static str>) {
    use CertificateError as C;
    let certificate = match cause(error) {
        Some(rustls::Error::InvalidCertificate(certificate)) => certificate,
        Some(rustls::Error::InvalidMessage(_)) => {
            return (
                "the server does not speak TLS on this port".to_owned(),
                Some("if it serves plain HTTP, write http:// in `gitlab.url`"),
            );
        }
        Some(other) => return (other.to_string(), None),
        None => return (innermost(error), None),
    };
    match certificate {
        C::UnknownIssuer => (
            "its certificate is signed by an authority that is not trusted here".to_owned(),
            Some("put the authority's certificate in a PEM file and name it as `gitlab.ca_file`"),
        ),
        C::Expired | C::ExpiredContext { .. } => (
            "its certificate has expired".to_owned(),
            Some("renew the server's certificate, or correct this machine's clock"),
        ),
        C::NotValidYet | C::NotValidYetContext { .. } => (
            "its certificate is not valid yet".to_owned(),
            Some("correct this machine's clock, or the server's certificate"),
        ),
        C::NotValidForName => ("its certificate is for another host".to_owned(), Some(OTHER_NAME)),
        C::NotValidForNameContext { presented, .. } => (
            format!("its certificate is for another host: {}", presented.join(", ")),
            Some(OTHER_NAME),
        ),
        other => (
            format!("its certificate is not accepted: {other}"),
            Some("name the certificate of its authority, not its own, as `gitlab.ca_file`"),
        ),
    }
}

const OTHER_NAME: &str = "use a name in `gitlab.url` that the certificate holds";

/// The TLS error below `error`, if there is one.
fn cause(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        // An I/O error gives its content's source as its own, and so would pass over the content.
        let content = error
            .downcast_ref::<io::Error>()
            .and_then(|error| error.get_ref());
        let found = match content {
            Some(content) => content.downcast_ref(),
            None => error.downcast_ref(),
        };
        if found.is_some() {
            return found;
        }
        next = match content {
            Some(content) => Some(content),
            None => error.source(),
        };
    }
    None
}

/// The last cause: the words that say something (`Connection refused`), without the layers above.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
