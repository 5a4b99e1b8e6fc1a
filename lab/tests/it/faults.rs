//! Every fault: it shows when it is planted, and nothing is left of it when it is mended.

use crate::shows::shows;
use crate::support::{BOUND, folder, picture, provider, small_lab, until};
use lab::{Broken, Lab, LabError, LabHandle, LabOptions, Mended, break_fault, faults, mend_all, mend_fault, planted};
use private_servers::{PrivateRedis, RedisOptions};
use rustls::pki_types::CertificateDer;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A lab with a cache, so that all faults can be planted.
async fn full_lab(dir: &Path) -> (Lab, PrivateRedis) {
    let redis = RedisOptions { folder: dir.join("redis"), settings: Vec::new() };
    let redis = PrivateRedis::start(redis).await.expect("a private Redis");
    let options = LabOptions { redis_url: Some(redis.url()), ..LabOptions::small(dir.join("lab")) };
    (Lab::up(options).await.expect("the lab comes up"), redis)
}

#[tokio::test]
async fn each_fault_shows_when_planted_and_leaves_nothing_when_mended() {
    let dir = folder();
    let (lab, _redis) = full_lab(dir.path()).await;
    let handle = LabHandle::open(lab.handle().folders().root()).unwrap();
    let healthy = picture(&handle).await;
    for fault in faults() {
        let name = fault.name;
        assert!(!shows(&handle, name).await, "{name} shows before it is planted");
        assert_eq!(break_fault(&handle, name).await.expect(name), Broken::Planted, "{name}");
        assert!(shows(&handle, name).await, "{name} does not show");
        assert_eq!(break_fault(&handle, name).await.expect(name), Broken::AlreadyPlanted, "{name}");
        assert_eq!(planted(&handle).unwrap().iter().map(|one| one.name).collect::<Vec<_>>(), [name]);
        assert_eq!(mend_fault(&handle, name).await.expect(name), Mended::Mended, "{name}");
        assert!(!shows(&handle, name).await, "{name} still shows");
        assert_eq!(picture(&handle).await, healthy, "{name} left something");
        assert_eq!(mend_fault(&handle, name).await.expect(name), Mended::NotPlanted, "{name}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn all_faults_together_survive_a_restart_and_are_mended_in_any_order() {
    let dir = folder();
    let (lab, redis) = full_lab(dir.path()).await;
    let root = lab.handle().folders().root().to_owned();
    let healthy = picture(lab.handle()).await;
    for fault in faults() {
        break_fault(lab.handle(), fault.name).await.expect(fault.name);
    }
    assert_all_show(lab.handle()).await;
    lab.stop().await;
    let options = LabOptions { redis_url: Some(redis.url()), ..LabOptions::small(&root) };
    let lab = Lab::up(options).await.expect("it comes up with its faults");
    assert_all_show(lab.handle()).await;
    // In the order of their last letters, which is neither that of planting nor its reverse.
    let mut names: Vec<&str> = faults().iter().map(|fault| fault.name).collect();
    names.sort_by_key(|name| name.chars().rev().collect::<String>());
    for name in names {
        mend_fault(lab.handle(), name).await.expect(name);
    }
    assert_eq!(picture(lab.handle()).await, healthy);
    for fault in faults() {
        assert!(!shows(lab.handle(), fault.name).await, "{} still shows", fault.name);
    }
    lab.stop().await;
}

async fn assert_all_show(handle: &LabHandle) {
    let mut hidden = Vec::new();
    for fault in faults() {
        if !shows(handle, fault.name).await && !together(handle, fault.name) {
            hidden.push(fault.name);
        }
    }
    assert!(hidden.is_empty(), "hidden by others: {hidden:?}");
}

/// Some counts are exact when a fault is alone, and larger when others are there.
fn together(handle: &LabHandle, name: &str) -> bool {
    match name {
        "folder-overfull" => std::fs::read_dir(handle.folders().store(1).join("000")).unwrap().count() > 1_000,
        _ => false,
    }
}

#[tokio::test]
async fn a_lab_that_is_down_takes_no_faults_and_unknown_names_are_told() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let handle = LabHandle::open(dir.path()).unwrap();
    match break_fault(&handle, "no-such-fault").await {
        Err(LabError::NoSuchFault { known, .. }) => assert!(known.contains("wgs-down")),
        other => panic!("{other:?}"),
    }
    let error = break_fault(&handle, "redis-memory-full").await.expect_err("there is no cache");
    assert!(matches!(error, LabError::Options(_)), "{error}");
    assert!(planted(&handle).unwrap().is_empty(), "a fault that could not be planted is not noted");
    lab.stop().await;
    assert!(matches!(break_fault(&handle, "file-missing").await, Err(LabError::NotUp(_))));
}

#[tokio::test]
async fn faults_are_planted_and_mended_from_another_process() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    for (step, there) in [("break", true), ("mend", false)] {
        let child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::other_process", "--ignored"])
            .env("LAB_TEST_DIR", dir.path())
            .env("LAB_TEST_STEP", step)
            .output();
        let output = tokio::time::timeout(BOUND, child).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        for name in ["wgs-down", "file-missing", "web-errors"] {
            assert_eq!(shows(lab.handle(), name).await, there, "{name} after {step}");
        }
    }
    lab.stop().await;
}

/// The other process of the test above.
#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn other_process() {
    let handle = LabHandle::open(std::env::var("LAB_TEST_DIR").unwrap()).unwrap();
    if std::env::var("LAB_TEST_STEP").unwrap() == "break" {
        for name in ["wgs-down", "file-missing", "web-errors"] {
            break_fault(&handle, name).await.unwrap();
        }
    } else {
        assert_eq!(mend_all(&handle).await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_break_that_was_cut_off_is_mended() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let healthy = picture(lab.handle()).await;
    break_fault(lab.handle(), "queue-duplicates").await.unwrap();
    // As if the process had ended before its last word, and with one step noted but not done.
    let file = dir.path().join("faults.json");
    let text = std::fs::read_to_string(&file).unwrap().replace("\"complete\": true", "\"complete\": false");
    std::fs::write(&file, text).unwrap();
    std::fs::remove_file(lab.handle().folders().store(1).join("000/QUEUE000007.TXT")).unwrap();
    assert_eq!(break_fault(lab.handle(), "queue-duplicates").await.unwrap(), Broken::Planted);
    assert!(shows(lab.handle(), "queue-duplicates").await);
    mend_fault(lab.handle(), "queue-duplicates").await.unwrap();
    assert_eq!(picture(lab.handle()).await, healthy);
    lab.stop().await;
}

#[tokio::test]
async fn two_processes_do_not_get_in_each_others_way() {
    let dir = folder();
    let lab = small_lab(dir.path()).await;
    let healthy = picture(lab.handle()).await;
    let handles: Vec<Arc<LabHandle>> = (0..4).map(|_| Arc::new(LabHandle::open(dir.path()).unwrap())).collect();
    let names = ["web-slow", "delete-retries", "store-near-capacity", "wgs-down"];
    for planting in [true, false] {
        let mut tasks = tokio::task::JoinSet::new();
        for (handle, name) in handles.iter().cloned().zip(names) {
            tasks.spawn(async move {
                if planting {
                    break_fault(&handle, name).await.map(drop)
                } else {
                    mend_fault(&handle, name).await.map(drop)
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(planted(lab.handle()).unwrap().len(), if planting { 4 } else { 0 });
    }
    until("all is as before", || async { picture(lab.handle()).await == healthy }).await;
    lab.stop().await;
}

/// The certificate that the web double shows, whatever is wrong with it.
pub async fn shown_certificate(handle: &LabHandle) -> CertificateDer<'static> {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    #[derive(Debug)]
    struct Any;
    impl ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &rustls::pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    }
    let builder =
        rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Any)).with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", handle.port("web").unwrap())).await.unwrap();
    let connecting =
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream);
    let stream = tokio::time::timeout(Duration::from_secs(10), connecting).await.unwrap().unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}
