use super::*;
use crate::action::config::testing::{Fixture, text};
use crate::action::file::testing::{Proof, arguments};
use crate::action::{Action as _, ActionErrorKind, Erased};
use serde_json::Value;
use std::os::unix::fs::symlink;

const ACTION: &Erased<EditValue> = &Erased::new();
const STATUS: &str = "TRIMConfig/Processor[@type='AuditLog'][@runOn='wgs-2']/@status";

fn proof(fixture: &Fixture, json: Value) -> Proof<'_> {
    Proof { action: ACTION, arguments: arguments(json), target: fixture.target("events"), folder: fixture.folder() }
}

#[tokio::test]
async fn one_value_changes_under_a_new_version_and_nothing_else() {
    let fixture = Fixture::new();
    fixture.put("wgs-2", &text(45, 45, ""));
    let proof = proof(&fixture, json!({"path": STATUS, "value": "Ignored", "expected": "Processing"}));
    let before = proof.holds().await;
    assert_eq!(before["next"], 46, "above every server");
    let outputs = ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
    assert_eq!(outputs["version"], 46);
    let now = fixture.read("admin");
    let guid = now.split("guid=\"").nth(1).unwrap().split('"').next().unwrap();
    let expected = text(46, 46, "")
        .replace("guid=\"g-46\"", &format!("guid=\"{guid}\""))
        .replace("status=\"Processing\" runOn=\"wgs-2\"", "status=\"Ignored\" runOn=\"wgs-2\"");
    assert_eq!(now, expected);
    assert_eq!(fixture.read("wgs-1"), text(42, 42, ""), "deploying is another step");
}

#[tokio::test]
async fn what_it_writes_is_a_text_and_never_a_tag() {
    let fixture = Fixture::new();
    let hostile = "x\"/><Evil a='1'/>&";
    let proof = proof(&fixture, json!({"path": "TRIMConfig/Dataset[@id='D1']/@name", "value": hostile}));
    let before = proof.holds().await;
    assert_eq!(before["value"], "A & B");
    ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
    assert!(!fixture.read("admin").contains("<Evil"));
}

#[tokio::test]
async fn what_is_not_as_it_has_to_be_is_refused() {
    let fixture = Fixture::new();
    for (told, why) in [
        (json!({"path": STATUS, "value": "Ignored", "expected": "Suspended"}), "not \"Suspended\""),
        (json!({"path": STATUS, "value": "Processing"}), "already"),
        (json!({"path": "TRIMConfig/Processor/@status", "value": "Ignored"}), "means 2 values"),
        (json!({"path": "TRIMConfig/Nothing/@status", "value": "Ignored"}), "there is no"),
        (json!({"path": "TRIMConfig/@version", "value": "99"}), "follow by rule"),
        (json!({"path": "TRIMConfig/@guid", "value": "g"}), "follow by rule"),
        (json!({"path": STATUS, "value": "a\nb"}), "control character"),
        (json!({"path": "../etc", "value": "x"}), "no path"),
        (json!({"path": STATUS, "value": "x", "file": "/etc/passwd"}), "unknown field"),
    ] {
        let error = proof(&fixture, told).is_refused().await;
        assert!(error.message.contains(why), "{error}");
    }
    fixture.put("wgs-1", "<TRIMConfig");
    let error = proof(&fixture, json!({"path": STATUS, "value": "Ignored"})).is_refused().await;
    assert_eq!(error.kind, ActionErrorKind::Precondition, "a server that can not be read may be higher: {error}");
}

#[tokio::test]
async fn a_link_in_place_of_the_file_is_not_followed() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    let theirs = outside.path().join("theirs");
    std::fs::write(&theirs, text(42, 42, "")).unwrap();
    std::fs::remove_file(fixture.folder().join("admin/TRIMConfig.tcfg")).unwrap();
    symlink(&theirs, fixture.folder().join("admin/TRIMConfig.tcfg")).unwrap();
    let error = proof(&fixture, json!({"path": STATUS, "value": "Ignored"})).is_refused().await;
    assert_eq!(error.kind, ActionErrorKind::Precondition, "{error}");
    assert_eq!(std::fs::read_to_string(theirs).unwrap(), text(42, 42, ""));
}
