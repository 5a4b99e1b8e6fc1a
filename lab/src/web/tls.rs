//! The certificates of the web double: an authority of its own, and leaves that the faults can exchange.

use crate::control::{CertificateKind, Switch};
use crate::error::LabError;
use crate::layout::{Folders, write_atomically};
use chrono::{DateTime, Datelike as _, Duration, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

const LEAF_DAYS: i64 = 400;
const AUTHORITY_DAYS: i64 = 3650;
/// Below any sane warning.
const EXPIRING_DAYS: i64 = 5;

/// The authority's certificate: what clients are told to trust.
pub fn ca_file(folders: &Folders) -> PathBuf {
    folders.tls().join("ca.pem")
}

/// Makes the authority the first time: whoever trusts it goes on doing so after a restart.
pub fn ensure_authority(folders: &Folders, now: DateTime<Utc>) -> Result<(), LabError> {
    let (certificate, key) = (ca_file(folders), folders.tls().join("ca.key"));
    if certificate.exists() && key.exists() {
        return Ok(());
    }
    let pair = KeyPair::generate()?;
    let signed = authority_params(now)?.self_signed(&pair)?;
    write_atomically(&key, pair.serialize_pem().as_bytes(), 0o600)?;
    write_atomically(&certificate, signed.pem().as_bytes(), 0o644)
}

fn authority_params(now: DateTime<Utc>) -> Result<CertificateParams, LabError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Content Manager lab authority (DOUBLE)");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, AUTHORITY_DAYS);
    Ok(params)
}

/// From a day ago, because clocks differ, to the day that many days on.
fn set_validity(params: &mut CertificateParams, now: DateTime<Utc>, days: i64) {
    let day = |date: DateTime<Utc>| date_time_ymd(date.year(), date.month() as u8, date.day() as u8);
    params.not_before = day(now - Duration::days(1));
    params.not_after = day(now + Duration::days(days));
}

/// A server configuration that shows the certificate that the switches ask for.
pub fn server_config(
    folders: &Folders,
    now: DateTime<Utc>,
    switches: watch::Receiver<Arc<Vec<Switch>>>,
) -> Result<Arc<rustls::ServerConfig>, LabError> {
    let key_file = folders.tls().join("ca.key");
    let pem = std::fs::read_to_string(&key_file).map_err(LabError::io("read", &key_file))?;
    // Name and key make the issuer: its dates do not matter for what it signs.
    let issuer = Issuer::new(authority_params(now)?, KeyPair::from_pem(&pem)?);
    let mut leaves = Vec::new();
    for expiring in [false, true] {
        for wrong_name in [false, true] {
            leaves.push((expiring, wrong_name, Arc::new(leaf(&issuer, now, expiring, wrong_name)?)));
        }
    }
    let resolver = Resolver { leaves, switches };
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A client that resumes an earlier session is not shown the certificate, and would not see it exchanged.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn leaf(
    issuer: &Issuer<'_, KeyPair>,
    now: DateTime<Utc>,
    expiring: bool,
    wrong_name: bool,
) -> Result<CertifiedKey, LabError> {
    // The address stays: only the name that users know is missing.
    let first = if wrong_name { "other-host.double.example" } else { "localhost" };
    let names = [first, "127.0.0.1"];
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, format!("{} (DOUBLE)", names[0]));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, if expiring { EXPIRING_DAYS } else { LEAF_DAYS });
    let pair = KeyPair::generate()?;
    let certificate = params.signed_by(&pair, issuer)?;
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
}

struct Resolver {
    leaves: Vec<(bool, bool, Arc<CertifiedKey>)>,
    switches: watch::Receiver<Arc<Vec<Switch>>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let switches = self.switches.borrow();
        let shows = |kind: CertificateKind| switches.contains(&Switch::WebCertificate { kind });
        let (expiring, wrong) = (shows(CertificateKind::Expiring), shows(CertificateKind::WrongName));
        self.leaves.iter().find(|leaf| (leaf.0, leaf.1) == (expiring, wrong)).map(|leaf| Arc::clone(&leaf.2))
    }
}
