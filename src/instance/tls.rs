//! The certificate that GitLab shows: one that AutoGit makes and renews, or one that is given and checked.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use ring::digest;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Blueprint, Error, Instance, Place};
use crate::config::deploy::Tls;
use crate::core::Problem;

/// The field that a certificate of AutoGit's own making is compared as.
pub const FIELD: &str = "certificate";
/// The name of the secret file that a given certificate is in, with what leads to its authority.
pub const CHAIN: &str = "tls_chain";
/// The name of the secret file that its key is in.
pub const KEY: &str = "tls_key";

/// How long a certificate is valid, in days. Browsers take no more than 825 of an authority that somebody added.
const VALID: i64 = 365;
/// How long AutoGit's own authority is, in days.
const AUTHORITY_VALID: i64 = 3650;
/// What is valid for less than this is renewed.
const RENEWED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A certificate of AutoGit's own making, as a plan shows it.
pub fn wanted(hosts: &BTreeSet<String>) -> Value {
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    format!("for {}", hosts.join(", ")).into()
}

/// The one that is there, in the same words if it will do for 30 days, and else what is wrong with it; null: there is none.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn found(place: &Place, hosts: &BTreeSet<String>, now: Timestamp) -> Result<Value, Error> {
    let Some(kept) = Kept::read(place)? else {
        return Ok(Value::Null);
    };
    let authority = kept.authority.as_deref().unwrap_or_default();
    Ok(match kept.flaw(authority, hosts, now + RENEWED) {
        Some(flaw) => flaw.into(),
        None => wanted(hosts),
    })
}

/// The files to write so that a certificate for `hosts` is there: none when it is. In this order whatever was written before a kill
/// fits together. All of them are to be 0600. nginx reads them anew on `gitlab-ctl hup nginx`.
///
/// # Errors
/// When a file is there and cannot be read, or is no key.
pub fn files(
    place: &Place,
    hosts: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Vec<(PathBuf, SecretString)>, Error> {
    let kept = Kept::read(place)?.unwrap_or_default();
    let authority = authority(place, now)?;
    if kept.flaw(&authority.pem, hosts, now + RENEWED).is_none() {
        return Ok(authority.files);
    }
    let mut files = authority.files;
    let (certificate_file, key_file) = place.certificate();
    let key = match &kept.key {
        Some(pem) => key_pair(&key_file, pem.expose_secret())?,
        None => {
            let key = KeyPair::generate().map_err(|error| cannot_make(&error))?;
            files.push((key_file, key.serialize_pem().into()));
            key
        }
    };
    let mut params = CertificateParams::new(hosts.iter().cloned().collect::<Vec<_>>())
        .map_err(|error| cannot_make(&error))?;
    let name = hosts.first().map(String::as_str).unwrap_or_default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, VALID, now);
    let certificate = params
        .signed_by(&key, &authority.issuer)
        .map_err(|error| cannot_make(&error))?;
    files.push((certificate_file, certificate.pem().into()));
    Ok(files)
}

/// When a certificate in PEM ends; `None`: it is none.
pub fn ends(pem: &str) -> Option<Timestamp> {
    let chain = certificates(pem).ok()?;
    // Asked at the end of time, whoever checks a certificate says when it ended.
    let end = UnixTime::since_unix_epoch(Duration::from_secs(u32::MAX.into()));
    match verify(
        &ParsedCertificate::try_from(chain.first()?).ok()?,
        &RootCertStore::empty(),
        end,
    ) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => timestamp(not_after),
        _ => None,
    }
}

impl Instance {
    /// What is wrong with the certificate that is given, where one is. Reads it, and its key.
    pub(super) async fn certificate_problems(&self, blueprint: &Blueprint, now: Timestamp) -> Vec<Problem> {
        let (Some(Tls::Certificate { chain, .. }), Some(chain_at), Some(key_at)) = (
            &self.spec.tls,
            blueprint.secrets.get(CHAIN),
            blueprint.secrets.get(KEY),
        ) else {
            return Vec::new();
        };
        // Whoever resolves all secrets says which cannot be.
        let (Ok(pem), Ok(key)) = (
            self.secrets.value(chain_at).await,
            self.secrets.value(key_at).await,
        ) else {
            return Vec::new();
        };
        let flaw = given_flaw(
            pem.expose_secret(),
            key.expose_secret(),
            &blueprint.endpoints.hosts(),
            now,
        );
        let flaw = flaw.map(|(field, flaw)| Problem {
            address: self.address(),
            field: Some(format!("tls.certificate.{field}")),
            message: format!("the certificate in {} will not do: {flaw}", chain.display()),
        });
        flaw.into_iter().collect()
    }
}

/// What is wrong with a given certificate and its key, and in which of the two fields.
fn given_flaw(
    pem: &str,
    key: &str,
    hosts: &BTreeSet<String>,
    now: Timestamp,
) -> Option<(&'static str, String)> {
    let parsed = certificates(pem).and_then(|chain| match chain.is_empty() {
        true => Err(
            "there is no certificate in it; write the PEM file that begins with -----BEGIN CERTIFICATE-----"
                .into(),
        ),
        false => Ok(chain),
    });
    let chain = match parsed {
        Ok(chain) => chain,
        Err(flaw) => return Some(("chain", flaw)),
    };
    let flaw = time_flaw(&chain[0], &RootCertStore::empty(), now).or_else(|| host_flaw(&chain[0], hosts));
    flaw.map(|flaw| ("chain", flaw))
        .or_else(|| key_flaw(chain, key).map(|flaw| ("key", flaw)))
}

/// What is kept of a certificate of AutoGit's own making.
#[derive(Default)]
struct Kept {
    certificate: Option<String>,
    key: Option<SecretString>,
    authority: Option<String>,
}

impl Kept {
    fn read(place: &Place) -> Result<Option<Self>, Error> {
        let (certificate, key) = place.certificate();
        let (authority, _) = place.authority();
        let kept = Kept {
            certificate: read(&certificate)?,
            key: read(&key)?.map(Into::into),
            authority: read(&authority)?,
        };
        Ok((kept.certificate.is_some() || kept.key.is_some()).then_some(kept))
    }

    /// Why it will not do at a time.
    fn flaw(&self, authority: &str, hosts: &BTreeSet<String>, at: Timestamp) -> Option<String> {
        let (Some(pem), Some(key)) = (&self.certificate, &self.key) else {
            return Some("not complete".to_owned());
        };
        let chain = match certificates(pem) {
            Ok(chain) if !chain.is_empty() => chain,
            _ => return Some("not readable".to_owned()),
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(authority).unwrap_or_default());
        if roots.is_empty() {
            return Some("without its authority".to_owned());
        }
        time_flaw(&chain[0], &roots, at)
            .or_else(|| host_flaw(&chain[0], hosts))
            .or_else(|| key_flaw(chain, key.expose_secret()))
    }
}

/// AutoGit's own authority, as it is or is to be.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    files: Vec<(PathBuf, SecretString)>,
}

/// The authority of a place, made unless it is there. All of it follows from its key, so that a certificate renewed is the same one to
/// whoever trusts it.
fn authority(place: &Place, now: Timestamp) -> Result<Authority, Error> {
    let (certificate_file, key_file) = place.authority();
    let mut files = Vec::new();
    let key = match read(&key_file)? {
        Some(pem) => key_pair(&key_file, &pem)?,
        None => {
            let key = KeyPair::generate().map_err(|error| cannot_make(&error))?;
            files.push((key_file, key.serialize_pem().into()));
            key
        }
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = Default::default();
    params
        .distinguished_name
        .push(DnType::CommonName, authority_name(&key));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, AUTHORITY_VALID, now);
    let is_kept = |pem: &String| ends(pem).is_some_and(|end| end > now + RENEWED) && is_of(pem, &key);
    let pem = match read(&certificate_file)?.filter(is_kept) {
        Some(pem) => pem,
        None => {
            let pem = params
                .self_signed(&key)
                .map_err(|error| cannot_make(&error))?
                .pem();
            files.push((certificate_file, pem.clone().into()));
            pem
        }
    };
    Ok(Authority {
        issuer: Issuer::new(params, key),
        pem,
        files,
    })
}

/// A name that no other authority has, as it follows from the key.
fn authority_name(key: &KeyPair) -> String {
    let digest = digest::digest(&digest::SHA256, &key.subject_public_key_info());
    let id: String = digest.as_ref()[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("AutoGit authority {id}")
}

/// Whether the certificate in `pem` is of this key.
fn is_of(pem: &str, key: &KeyPair) -> bool {
    let chain = certificates(pem).unwrap_or_default();
    let parsed = chain
        .first()
        .and_then(|der| ParsedCertificate::try_from(der).ok());
    parsed.is_some_and(|parsed| parsed.subject_public_key_info().as_ref() == key.subject_public_key_info())
}

/// From the day before `now`, as clocks differ.
fn valid_for(params: &mut CertificateParams, days: i64, now: Timestamp) {
    let today = TimeZone::UTC.to_datetime(now).date();
    let at = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = at(today.saturating_sub(1.day()));
    params.not_after = at(today.saturating_add(days.days()));
}

/// The certificates in a PEM file.
fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    certificates.map_err(|error| format!("it is not valid PEM: {error}"))
}

/// What speaks against a certificate at a time; an authority that is not among `roots` does not if there are none.
fn time_flaw(certificate: &CertificateDer, roots: &RootCertStore, at: Timestamp) -> Option<String> {
    let parsed = match ParsedCertificate::try_from(certificate) {
        Ok(parsed) => parsed,
        Err(error) => return Some(format!("it cannot be read: {error}")),
    };
    let since = Duration::from_secs(at.as_second().unsigned_abs());
    match verify(&parsed, roots, UnixTime::since_unix_epoch(since))? {
        CertificateError::ExpiredContext { not_after, .. } => Some(format!("it ends on {}", day(not_after))),
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(format!("it begins on {}", day(not_before)))
        }
        CertificateError::UnknownIssuer if roots.is_empty() => None,
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Some("it is signed by another authority".to_owned())
        }
        other => Some(format!("it is not accepted: {other}")),
    }
}

fn host_flaw(certificate: &CertificateDer, hosts: &BTreeSet<String>) -> Option<String> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let is_for = |host: &&String| {
        let name = ServerName::try_from(host.as_str());
        name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    let host = hosts.iter().find(|host| !is_for(host))?;
    Some(format!(
        "it is not for {host}; get one that names all of its hosts"
    ))
}

fn key_flaw(chain: Vec<CertificateDer<'static>>, key: &str) -> Option<String> {
    let Ok(key) = PrivateKeyDer::from_pem_slice(key.as_bytes()) else {
        return Some(
            "its key is no private key in PEM, or is protected by a password; write it without one"
                .to_owned(),
        );
    };
    match CertifiedKey::from_der(chain, key, &provider()) {
        Ok(_) => None,
        Err(rustls::Error::InconsistentKeys(_)) => Some("the key is not that of the certificate".to_owned()),
        Err(error) => Some(format!("its key cannot be used: {error}")),
    }
}

/// Why a certificate is not trusted by `roots` at a time.
fn verify(certificate: &ParsedCertificate, roots: &RootCertStore, at: UnixTime) -> Option<CertificateError> {
    let algorithms = provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(certificate, roots, &[], at, algorithms) {
        Ok(()) => None,
        Err(rustls::Error::InvalidCertificate(error)) => Some(error),
        Err(_) => Some(CertificateError::BadEncoding),
    }
}

fn provider() -> CryptoProvider {
    crypto::ring::default_provider()
}

fn timestamp(time: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(time.as_secs().try_into().ok()?).ok()
}

fn day(time: UnixTime) -> String {
    timestamp(time).map_or_else(|| "?".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// What is in a file; `None`: there is none.
fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Io {
            doing: "read",
            path: path.to_owned(),
            error,
        }),
    }
}

fn key_pair(path: &Path, pem: &str) -> Result<KeyPair, Error> {
    KeyPair::from_pem(pem).map_err(|_| {
        Error::failed(
            format!("failed to use the key in {}: it is not one", path.display()),
            "put it back from a backup, or remove it, so that AutoGit makes another",
        )
    })
}

fn cannot_make(error: &rcgen::Error) -> Error {
    Error::Failed {
        message: format!("failed to make a certificate: {error}"),
        remedy: None,
    }
}

#[cfg(test)]
mod tests;
