//! A certificate with its key: whether they belong together, and what they are good for.

use crate::action::ActionError;
use chrono::{DateTime, Utc};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::time::Duration;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A chain of certificates, the server's first, whose key has been seen to belong to it.
#[derive(Debug)]
pub(super) struct Pair {
    chain: Vec<CertificateDer<'static>>,
    /// Until when it is good.
    pub not_after: DateTime<Utc>,
    not_before: DateTime<Utc>,
    pub subject: String,
}

impl Pair {
    /// Reads both from PEM; refuses a key of another certificate.
    pub(super) fn read(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| format!("the certificate is no PEM: {error}"))?;
        let first = chain.first().ok_or("there is no certificate in the file")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key is no PEM: {error}"))?;
        // Also sees that the key is that of the certificate.
        CertifiedKey::from_der(chain.clone(), key, &ring::default_provider())
            .map_err(|error| format!("certificate and key do not belong together: {error}"))?;
        let unreadable = |error: String| format!("the certificate can not be read: {error}");
        let (_, parsed) = X509Certificate::from_der(first).map_err(|error| unreadable(error.to_string()))?;
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or_else(|| unreadable("its dates".to_owned()));
        let not_before = time(parsed.validity().not_before.timestamp())?;
        let not_after = time(parsed.validity().not_after.timestamp())?;
        let subject = parsed.subject().to_string();
        Ok(Self { chain, not_after, not_before, subject })
    }

    /// Whether clients will take it: it is for this name, good from now on for so many days, and leads to a known root.
    pub(super) fn check(
        &self,
        name: &str,
        roots: &RootCertStore,
        now: DateTime<Utc>,
        days: i64,
    ) -> Result<(), ActionError> {
        let refuse = |why: String| Err(ActionError::precondition(format!("the renewed certificate {why}")));
        if now < self.not_before {
            return refuse(format!("is not valid before {}", self.not_before));
        }
        if (self.not_after - now).num_days() < days {
            return refuse(format!("is valid until {}: less than {days} days", self.not_after));
        }
        let server = ServerName::try_from(name.to_owned())
            .map_err(|error| ActionError::configuration(format!("{name:?} is no name of a server: {error}")))?;
        let Some((own, intermediates)) = self.chain.split_first() else {
            return refuse("is missing".to_owned());
        };
        let parsed = ParsedCertificate::try_from(own);
        let parsed = parsed.map_err(|error| ActionError::precondition(format!("the renewed certificate: {error}")))?;
        if verify_server_name(&parsed, &server).is_err() {
            return refuse(format!("is not for {name}"));
        }
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let algorithms = ring::default_provider().signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, at, algorithms) {
            Ok(()) => Ok(()),
            Err(error) => refuse(format!("does not lead to a trusted root: {error}")),
        }
    }
}
