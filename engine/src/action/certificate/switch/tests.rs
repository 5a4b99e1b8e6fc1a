use super::*;
use crate::action::file::testing::{Proof, arguments, component, target};
use crate::action::{Action as _, ActionErrorKind, Erased};
use chrono::{Datelike as _, TimeDelta};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::os::unix::fs::symlink;

const ACTION: &Erased<Switch> = &Erased::new();

struct Fixture {
    dir: tempfile::TempDir,
    authority: Issuer<'static, KeyPair>,
}

fn day(at: DateTime<Utc>) -> impl Fn(&mut CertificateParams, i64) {
    move |params, days| {
        let date = |at: DateTime<Utc>| rcgen::date_time_ymd(at.year(), at.month() as u8, at.day() as u8);
        params.not_before = date(at - TimeDelta::days(10));
        params.not_after = date(at + TimeDelta::days(days));
    }
}

impl Fixture {
    /// An old certificate of five days, and a renewed one of 300.
    fn new() -> Self {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(Vec::new()).unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        day("2026-11-24T12:00:00Z".parse().unwrap())(&mut params, 3_000);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let fixture = Self { dir, authority: Issuer::new(params, key) };
        for folder in ["served", "renewed"] {
            std::fs::create_dir(fixture.path(folder)).unwrap();
        }
        fixture.issue("served", "cm.example.org", 5);
        fixture.issue("renewed", "cm.example.org", 300);
        fixture
    }

    fn path(&self, part: &str) -> PathBuf {
        self.dir.path().join(part)
    }

    fn issue(&self, folder: &str, name: &str, days: i64) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        day("2026-11-24T12:00:00Z".parse().unwrap())(&mut params, days);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path(folder).join("cert.pem"), signed.pem()).unwrap();
        std::fs::write(self.path(folder).join("key.pem"), key.serialize_pem()).unwrap();
    }

    fn proof(&self, json: Value) -> Proof<'_> {
        let text = |part: &str| self.path(part).display().to_string();
        let settings = [
            ("server_name", "cm.example.org".to_owned()),
            ("ca", text("ca.pem")),
            ("certificate_file", text("served/cert.pem")),
            ("certificate_key_file", text("served/key.pem")),
            ("renewed_certificate_file", text("renewed/cert.pem")),
            ("renewed_certificate_key_file", text("renewed/key.pem")),
        ];
        let target = target(&[component("web", ComponentKind::WebTier, &settings)]);
        Proof { action: ACTION, arguments: arguments(json), target, folder: self.dir.path() }
    }

    fn same(&self, one: &str, other: &str) -> bool {
        std::fs::read(self.path(one)).unwrap() == std::fs::read(self.path(other)).unwrap()
    }
}

#[tokio::test]
async fn files_are_replaced_by_the_renewed_ones() {
    let fixture = Fixture::new();
    let proof = fixture.proof(json!({}));
    let before = proof.holds().await;
    ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
    assert!(fixture.same("served/cert.pem", "renewed/cert.pem") && fixture.same("served/key.pem", "renewed/key.pem"));
    let image = before.to_string();
    assert!(!image.contains("PRIVATE") && !image.contains("BEGIN"), "{image}");
}

#[tokio::test]
async fn links_point_to_the_renewed_ones() {
    let fixture = Fixture::new();
    for name in ["cert.pem", "key.pem"] {
        let old = format!("old-{name}");
        std::fs::rename(fixture.path("served").join(name), fixture.path("served").join(&old)).unwrap();
        symlink(&old, fixture.path("served").join(name)).unwrap();
    }
    let before = fixture.proof(json!({"days": 100})).holds().await;
    assert_eq!(before["certificate"]["link"]["old"], "old-cert.pem");
}

async fn refused(fixture: &Fixture, json: Value) -> ActionError {
    fixture.proof(json).is_refused().await
}

#[tokio::test]
async fn a_certificate_that_clients_would_not_take_is_refused() {
    let fixture = Fixture::new();
    assert!(refused(&fixture, json!({"days": 301})).await.message.contains("less than 301 days"));
    fixture.issue("renewed", "other.example.org", 300);
    assert!(refused(&fixture, json!({})).await.message.contains("not for cm.example.org"));
    std::fs::copy(fixture.path("served/key.pem"), fixture.path("renewed/key.pem")).unwrap();
    let error = refused(&fixture, json!({})).await;
    assert!(error.message.contains("do not belong together"), "{error}");
    fixture.issue("renewed", "cm.example.org", -3);
    assert!(refused(&fixture, json!({})).await.message.contains("less than 30 days"));
    fixture.issue("renewed", "cm.example.org", 300);
    let other = Fixture::new();
    std::fs::copy(other.path("ca.pem"), fixture.path("ca.pem")).unwrap();
    let error = refused(&fixture, json!({})).await;
    assert!(error.message.contains("trusted root"), "{error}");
    assert_eq!(error.kind, ActionErrorKind::Precondition);
    std::fs::write(fixture.path("renewed/cert.pem"), "no PEM").unwrap();
    assert!(refused(&fixture, json!({})).await.message.contains("no certificate"));
}

#[tokio::test]
async fn what_was_exchanged_meanwhile_is_not_taken() {
    let fixture = Fixture::new();
    let proof = fixture.proof(json!({}));
    let before = proof.capture().await.unwrap();
    fixture.issue("renewed", "evil.example.org", 300);
    assert!(ACTION.apply(&proof.arguments, &proof.target, &before).await.is_err());
    assert!(!fixture.same("served/cert.pem", "renewed/cert.pem"));
    let again = fixture.proof(json!({}));
    fixture.issue("renewed", "cm.example.org", 300);
    let before = again.capture().await.unwrap();
    fixture.issue("served", "cm.example.org", 200);
    let error = ACTION.apply(&again.arguments, &again.target, &before).await.unwrap_err();
    assert!(error.message.contains("somebody else"), "{error}");
}
