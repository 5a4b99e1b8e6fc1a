use super::{component, measure, only, probes, target};
use chrono::{Datelike, TimeDelta, Utc};
use domain::deployment::ComponentKind;
use engine::probe::{ProbeErrorKind, Row};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn tcp_tells_an_open_port_from_a_closed_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server =
        target(&[component("wgs-1", ComponentKind::WorkgroupServer, &[("host", "127.0.0.1"), ("port", &port)])]);
    let row = only(measure(&probes(), "kind = \"tcp\"", &server).await);
    assert_eq!(
        (&row["connected"], &row["refused"], &row["error"]),
        (&true.into(), &false.into(), &serde_json::Value::Null)
    );
    drop(listener);
    let row = only(measure(&probes(), "kind = \"tcp\"", &server).await);
    assert_eq!((&row["connected"], &row["refused"]), (&false.into(), &true.into()));
}

#[tokio::test]
async fn silence_is_measured_and_what_is_no_target_is_an_error() {
    // A full backlog does not answer; nobody accepts here.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _held: Vec<_> = (0..200)
        .map_while(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok())
        .collect();
    let port = address.port().to_string();
    let silent =
        target(&[component("wgs-1", ComponentKind::WorkgroupServer, &[("host", "127.0.0.1"), ("port", &port)])]);
    let row = only(measure(&probes(), "kind = \"tcp\"\ntimeout = \"1s\"", &silent).await);
    assert_eq!((&row["connected"], &row["refused"]), (&false.into(), &false.into()), "{row:?}");
    assert!(row["error"].as_str().unwrap().contains("no answer"), "{row:?}");

    let table = [
        (vec![("host", "no-such-name.invalid")], ProbeErrorKind::Unreachable),
        (vec![("host", "127.0.0.1"), ("port", "many")], ProbeErrorKind::Configuration),
        (vec![], ProbeErrorKind::Configuration),
    ];
    for (settings, kind) in table {
        let server = target(&[component("w", ComponentKind::WorkgroupServer, &settings)]);
        let error = measure(&probes(), "kind = \"tcp\"", &server).await.unwrap_err();
        assert_eq!(error.kind, kind, "{settings:?}");
    }
}

/// A TLS server for `name`, whose certificate ends in so many days; gives its port and its roots.
async fn tls_server(name: &str, days: i64, folder: &std::path::Path) -> (String, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    // Whole days: the certificate ends within the day before.
    let end = Utc::now() + TimeDelta::days(days);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(end.year(), end.month() as u8, end.day() as u8);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { acceptor.accept(stream).await.map(drop) });
        }
    });
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, issuer.pem()).unwrap();
    (port, ca.display().to_string())
}

async fn tls(port: &str, ca: Option<&str>) -> Row {
    let mut settings = vec![("host", "localhost"), ("port", port)];
    settings.extend(ca.map(|ca| ("ca", ca)));
    only(measure(&probes(), "kind = \"tls\"", &target(&[component("web", ComponentKind::WebTier, &settings)])).await)
}

#[tokio::test]
async fn tls_tells_chain_name_and_days_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (port, ca) = tls_server("localhost", 20, folder.path()).await;
    let good = tls(&port, Some(&ca)).await;
    assert_eq!(
        (&good["handshake"], &good["chain_ok"], &good["name_ok"]),
        (&true.into(), &true.into(), &true.into()),
        "{good:?}"
    );
    let days = good["days_left"].as_f64().unwrap();
    assert!((18.9..20.1).contains(&days), "{days}");
    assert_eq!(good["protocol"], "TLSv1_3");
    assert_eq!(good["thumbprint"].as_str().unwrap().len(), 40);

    let unknown = tls(&port, None).await;
    assert_eq!(
        (&unknown["handshake"], &unknown["chain_ok"], &unknown["name_ok"]),
        (&true.into(), &false.into(), &true.into())
    );
    assert!(unknown["chain_error"].as_str().unwrap().contains("UnknownIssuer"), "{unknown:?}");

    let (port, ca) = tls_server("other.example", 20, folder.path()).await;
    let wrong = tls(&port, Some(&ca)).await;
    assert_eq!(
        (&wrong["handshake"], &wrong["chain_ok"], &wrong["name_ok"]),
        (&true.into(), &true.into(), &false.into()),
        "{wrong:?}"
    );

    let (port, ca) = tls_server("localhost", -3, folder.path()).await;
    let expired = tls(&port, Some(&ca)).await;
    assert_eq!(
        (&expired["handshake"], &expired["chain_ok"], &expired["name_ok"]),
        (&true.into(), &false.into(), &true.into())
    );
    assert!(expired["days_left"].as_f64().unwrap() < -2.9);
}

#[tokio::test]
async fn what_speaks_no_tls_fails_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.try_write(b"HTTP/1.1 400 no\r\n\r\n");
        }
    });
    let row = tls(&port, None).await;
    assert_eq!((&row["handshake"], &row["days_left"]), (&false.into(), &serde_json::Value::Null), "{row:?}");
    assert!(row["error"].is_string());
}
