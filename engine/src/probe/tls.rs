//! A TLS handshake, and what the certificate says.
//!
//! The handshake is let finish whatever is wrong with the certificate: a chain that does not lead to a root and a name
//! that does not fit are noted apart, so that each can be a finding of its own. Nothing is sent over the connection.

use super::rows::{Measured, row};
use super::{ProbeError, Row, Run, net, tcp};
use chrono::{DateTime, Utc};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::Digest;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

const DEFAULT_PORT: u16 = 443;

pub(super) async fn measure(run: &Run<'_>) -> Result<Measured, ProbeError> {
    let (host, port) = net::endpoint(run.target, DEFAULT_PORT)?;
    let wanted = run.target.optional("server_name").unwrap_or(&host).to_owned();
    let name = ServerName::try_from(wanted.clone())
        .map_err(|error| ProbeError::configuration(format!("{wanted:?} is no name of a server: {error}")))?;
    let roots = roots(run.target.optional("ca"))?;
    let addresses = net::resolve(&host, port).await?;
    let patience = run.timeout.mul_f64(0.8);
    let stream = match tcp::connect(&addresses, patience / 2).await {
        Ok(stream) => stream,
        Err(error) => return Ok(Measured::one(failed(&host, port, &error.to_string()))),
    };
    let recorder = Arc::new(Recorder::new(roots));
    let connector = TlsConnector::from(Arc::new(config(&recorder)?));
    let Ok(shaken) = tokio::time::timeout(patience / 2, connector.connect(name, stream)).await else {
        return Ok(Measured::one(failed(&host, port, "the handshake got no answer in time")));
    };
    let protocol = match &shaken {
        Ok(stream) => stream.get_ref().1.protocol_version().map(|version| format!("{version:?}")),
        Err(_) => None,
    };
    let seen = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let error = shaken.err().map(|error| error.to_string());
    match seen {
        None => Ok(Measured::one(failed(&host, port, &error.unwrap_or_else(|| "no certificate was shown".to_owned())))),
        Some(seen) => {
            let mut row = describe(&seen, run.target.now)?;
            row.extend(row! {
                host: host, port: port, handshake: error.is_none(), error: error, protocol: protocol,
            });
            Ok(Measured::one(row))
        }
    }
}

/// Every column is there, so that a condition can ask for it.
fn failed(host: &str, port: u16, error: &str) -> Row {
    let none = None::<&str>;
    row! {
        host: host, port: port, handshake: false, error: error, days_left: none, not_before: none, not_after: none,
        subject: none, issuer: none, chain_ok: none, chain_error: none, name_ok: none, name_error: none,
        self_signed: none, thumbprint: none, thumbprint_sha256: none, protocol: none,
    }
}

fn describe(seen: &Seen, now: DateTime<Utc>) -> Result<Row, ProbeError> {
    let (_, certificate) = X509Certificate::from_der(&seen.certificate)
        .map_err(|error| ProbeError::malformed(format!("the certificate can not be read: {error}")))?;
    let time = |seconds: i64| DateTime::from_timestamp(seconds, 0).map(|at| at.to_rfc3339());
    let validity = certificate.validity();
    let not_after = validity.not_after.timestamp();
    let (subject, issuer) = (certificate.subject().to_string(), certificate.issuer().to_string());
    Ok(row! {
        days_left: (not_after - now.timestamp()) as f64 / 86_400.0,
        not_before: time(validity.not_before.timestamp()),
        not_after: time(not_after),
        self_signed: subject == issuer,
        subject: subject,
        issuer: issuer,
        chain_ok: seen.chain_error.is_none(),
        chain_error: seen.chain_error,
        name_ok: seen.name_error.is_none(),
        name_error: seen.name_error,
        // Windows, and so the product's configuration, names certificates by their SHA-1.
        thumbprint: hex::encode_upper(sha1::Sha1::digest(&seen.certificate)),
        thumbprint_sha256: hex::encode(sha2::Sha256::digest(&seen.certificate)),
    })
}

/// The web's roots, and those of the setting `ca`.
pub(crate) fn roots(ca: Option<&str>) -> Result<RootCertStore, ProbeError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca {
        let fail = |why: String| ProbeError::configuration(format!("the trust roots in {path}: {why}"));
        let pem = net::read_ca(path)?;
        let mut added = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots
                .add(certificate.map_err(|error| fail(error.to_string()))?)
                .map_err(|error| fail(error.to_string()))?;
            added += 1;
        }
        if added == 0 {
            return Err(fail("there is no certificate in it".to_owned()));
        }
    }
    Ok(roots)
}

fn config(recorder: &Arc<Recorder>) -> Result<ClientConfig, ProbeError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| ProbeError::internal(format!("TLS: {error}")))?;
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(recorder) as _;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The one provider of this platform.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What was seen of a certificate.
#[derive(Debug)]
struct Seen {
    certificate: Vec<u8>,
    chain_error: Option<String>,
    name_error: Option<String>,
}

/// Notes what is wrong and lets the handshake finish.
#[derive(Debug)]
struct Recorder {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<Seen>>,
}

impl Recorder {
    fn new(roots: RootCertStore) -> Self {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        Self { roots, algorithms, seen: Mutex::new(None) }
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (chain, name) = match ParsedCertificate::try_from(end_entity) {
            Ok(parsed) => (
                verify_server_cert_signed_by_trust_anchor(
                    &parsed,
                    &self.roots,
                    intermediates,
                    now,
                    self.algorithms.all,
                ),
                verify_server_name(&parsed, server_name),
            ),
            Err(error) => (Err(error.clone()), Err(error)),
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen {
            certificate: end_entity.to_vec(),
            chain_error: chain.err().map(|error| error.to_string()),
            name_error: name.err().map(|error| error.to_string()),
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
