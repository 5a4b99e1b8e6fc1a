//! The certificates of the web double: an authority of its own, leaves that the faults can exchange, and a renewed one.

use crate::control::{CertificateKind, Switch};
use crate::error::LabError;
use crate::layout::{Folders, read_json, write_atomically, write_json};
use chrono::{DateTime, Datelike as _, Duration, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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

/// What the web double reads its certificate and key from, as real servers do.
pub fn served_files(folders: &Folders) -> [PathBuf; 2] {
    pair(&folders.tls().join("served"))
}

/// The renewed certificate and its key, as an authority has sent them: they lie ready, and nobody has switched to them.
pub fn renewed_files(folders: &Folders) -> [PathBuf; 2] {
    pair(&folders.tls().join("renewed"))
}

fn pair(folder: &Path) -> [PathBuf; 2] {
    ["certificate.pem", "key.pem"].map(|name| folder.join(name))
}

fn issued(folders: &Folders, expiring: bool, wrong_name: bool) -> PathBuf {
    let name = match (expiring, wrong_name) {
        (false, false) => "well",
        (true, false) => "expiring",
        (false, true) => "wrong-name",
        (true, true) => "expiring-and-wrong-name",
    };
    folders.tls().join("issued").join(name)
}

/// Which of the issued ones was put in place last.
fn shown_file(folders: &Folders) -> PathBuf {
    folders.tls().join("shown.json")
}

/// Issues the certificates that the switches choose from, and the renewed one; at each start, so that none gets old.
pub fn issue(folders: &Folders, now: DateTime<Utc>) -> Result<(), LabError> {
    let key_file = folders.tls().join("ca.key");
    let pem = std::fs::read_to_string(&key_file).map_err(LabError::io("read", &key_file))?;
    // Name and key make the issuer: its dates do not matter for what it signs.
    let issuer = Issuer::new(authority_params(now)?, KeyPair::from_pem(&pem)?);
    for expiring in [false, true] {
        for wrong_name in [false, true] {
            leaf(&issuer, now, (expiring, wrong_name), &pair(&issued(folders, expiring, wrong_name)))?;
        }
    }
    leaf(&issuer, now, (false, false), &renewed_files(folders))?;
    match std::fs::remove_file(shown_file(folders)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LabError::io("remove", &shown_file(folders))(error)),
        _ => Ok(()),
    }
}

/// Puts the certificate that the switches ask for in its place. What has been put there since by somebody else stays,
/// until the switches ask for another one.
pub fn show(folders: &Folders, switches: &[Switch]) -> Result<(), LabError> {
    let shows = |kind: CertificateKind| switches.contains(&Switch::WebCertificate { kind });
    let (expiring, wrong_name) = (shows(CertificateKind::Expiring), shows(CertificateKind::WrongName));
    if read_json(&shown_file(folders))? == Some((expiring, wrong_name)) {
        return Ok(());
    }
    let (from, to) = (pair(&issued(folders, expiring, wrong_name)), served_files(folders));
    // The key first: whoever reads in between finds a pair that does not fit, and keeps what it has.
    for (index, mode) in [(1, 0o600), (0, 0o644)] {
        let bytes = std::fs::read(&from[index]).map_err(LabError::io("read", &from[index]))?;
        write_atomically(&to[index], &bytes, mode)?;
    }
    write_json(&shown_file(folders), &(expiring, wrong_name))
}

/// A server configuration that shows the certificate in [`served_files`], whenever that changes.
pub fn server_config(folders: &Folders) -> Result<Arc<rustls::ServerConfig>, LabError> {
    let resolver = Resolver { files: served_files(folders), loaded: Mutex::default() };
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
    (expiring, wrong_name): (bool, bool),
    [certificate_file, key_file]: &[PathBuf; 2],
) -> Result<(), LabError> {
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
    write_atomically(key_file, pair.serialize_pem().as_bytes(), 0o600)?;
    write_atomically(certificate_file, certificate.pem().as_bytes(), 0o644)
}

/// A file as it was when it was read: its size, its inode, and when it was changed.
type Seen = [Option<(u64, u64, i64, i64)>; 2];

/// Reads the files again when they have changed. A pair that does not fit is not taken: the one before stays.
struct Resolver {
    files: [PathBuf; 2],
    loaded: Mutex<(Seen, Option<Arc<CertifiedKey>>)>,
}

impl Resolver {
    fn look(&self) -> Seen {
        let look = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.len(), found.ino(), found.mtime(), found.mtime_nsec()))
        };
        [look(&self.files[0]), look(&self.files[1])]
    }

    fn load(&self) -> Option<CertifiedKey> {
        let chain = CertificateDer::pem_file_iter(&self.files[0]).ok()?.collect::<Result<Vec<_>, _>>().ok()?;
        let key = PrivateKeyDer::from_pem_file(&self.files[1]).ok()?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).ok()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.look();
        if loaded.0 != seen {
            match self.load() {
                Some(fits) => *loaded = (seen, Some(Arc::new(fits))),
                None => tracing::warn!("the web double keeps its certificate: the files do not fit each other"),
            }
        }
        loaded.1.clone()
    }
}
