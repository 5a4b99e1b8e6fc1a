use super::*;
use crate::action::config::testing::{Fixture, text};
use crate::action::file::testing::{Proof, arguments};
use crate::action::{Action as _, ActionErrorKind, Erased};
use serde_json::Value;

const ACTION: &Erased<DeployAdmin> = &Erased::new();

fn proof(fixture: &Fixture, json: Value) -> Proof<'_> {
    Proof { action: ACTION, arguments: arguments(json), target: fixture.target("events"), folder: fixture.folder() }
}

#[tokio::test]
async fn every_server_gets_the_saved_file() {
    let fixture = Fixture::new();
    fixture.put("admin", &text(43, 43, "<New/>"));
    fixture.put("wgs-1", &text(41, 41, ""));
    let proof = proof(&fixture, json!({"version": 43}));
    let before = proof.holds().await;
    let outputs = ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
    assert_eq!(outputs["servers"], json!(["wgs-1", "wgs-2"]));
    for server in ["wgs-1", "wgs-2"] {
        assert_eq!(fixture.read(server), text(43, 43, "<New/>"));
    }
}

#[tokio::test]
async fn a_version_that_is_not_higher_or_not_meant_is_refused() {
    let fixture = Fixture::new();
    let same = proof(&fixture, json!({})).is_refused().await;
    assert!(same.message.contains("already"), "{same}");
    for (saved, told, why) in [
        (text(42, 42, "<New/>"), json!({}), "must be higher"),
        (text(41, 41, ""), json!({}), "must be higher"),
        (text(43, 43, ""), json!({"version": 44}), "not the one that was meant"),
        (text(43, 43, "").replace("g-43", "g-42"), json!({}), "GUID of an older"),
        (text(43, 43, "").replace("\"D1\"", "\"D2\""), json!({}), "another family"),
        (text(43, 43, "").replace("<WorkgroupServer name='wgs-2'/>", ""), json!({}), "does not know"),
        ("<TRIMConfig".to_owned(), json!({}), "no XML"),
    ] {
        fixture.put("admin", &saved);
        let error = proof(&fixture, told).is_refused().await;
        assert_eq!(error.kind, ActionErrorKind::Precondition, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
}

#[tokio::test]
async fn what_was_saved_or_edited_meanwhile_is_not_overwritten() {
    let fixture = Fixture::new();
    fixture.put("admin", &text(43, 43, ""));
    let proof = proof(&fixture, json!({}));
    let before = proof.capture().await.unwrap();
    fixture.put("admin", &text(44, 44, ""));
    assert!(ACTION.apply(&proof.arguments, &proof.target, &before).await.is_err());
    fixture.put("admin", &text(43, 43, ""));
    fixture.put("wgs-2", &text(42, 42, "<ByHand/>"));
    let error = ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap_err();
    assert!(error.message.contains("somebody else"), "{error}");
    assert_eq!(fixture.read("wgs-2"), text(42, 42, "<ByHand/>"));
    // What had been done of it is taken back.
    ACTION.undo(&proof.arguments, &proof.target, &before).await.unwrap();
    assert_eq!(fixture.read("wgs-1"), text(42, 42, ""));
}
