use super::*;
use crate::action::file::testing::{Proof, arguments};
use crate::action::store::testing::Fixture;
use crate::action::{Action as _, ActionErrorKind, Erased};
use serde_json::Value;
use std::os::unix::fs::symlink;

const ACTION: &Erased<QuarantineOrphans> = &Erased::new();

#[expect(clippy::needless_pass_by_value, reason = "tests write the arguments in place")]
fn proof(fixture: &Fixture, files: Value) -> Proof<'_> {
    let arguments = arguments(json!({"files": files}));
    Proof { action: ACTION, arguments, target: fixture.target(), folder: fixture.folder() }
}

#[tokio::test]
async fn orphans_move_out_with_their_paths_and_back() {
    let fixture = Fixture::new().await;
    fixture.put("store/D1/1/000/left.tif", b"left", 3);
    fixture.put("store/D1/1/009/left.tif", b"left too", 2);
    let proof = proof(&fixture, json!(["009/left.tif", "000/left.tif"]));
    let before = proof.holds().await;
    let outputs = ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
    let place = outputs["quarantine"].as_str().unwrap();
    let kept = |path: &str| std::fs::read(format!("{place}/{path}")).unwrap();
    assert_eq!(kept("D1/1/000/left.tif"), b"left");
    assert_eq!(kept("D1/1/009/left.tif"), b"left too");
    let list: Value = serde_json::from_slice(&kept("moved.json")).unwrap();
    assert_eq!(list["files"][0]["file"], "000/left.tif");
    assert_eq!(list["files"][0]["sha256"], Content::of(b"left").sha256);
}

#[tokio::test]
async fn only_old_files_that_no_row_names_are_moved() {
    let fixture = Fixture::new().await;
    fixture.put("store/D1/1/000/young.tif", b"young", 0);
    fixture.put("store/D1/1/000/UPPER.TIF", b"upper", 3);
    fixture.record(7, "upper.tif", Some(b"upper")).await;
    for (files, why) in [
        (json!(["000/a.pdf"]), "knows 000/a.pdf"),
        (json!(["000/UPPER.TIF"]), "knows 000/UPPER.TIF"),
        (json!(["000/young.tif"]), "younger than a day"),
        (json!(["000/none.tif"]), "not in the store"),
    ] {
        let error = proof(&fixture, files).is_refused().await;
        assert_eq!(error.kind, ActionErrorKind::Precondition, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
    assert_eq!(proof(&fixture, json!([])).is_refused().await.kind, ActionErrorKind::Configuration);
}

#[tokio::test]
async fn whether_it_is_an_orphan_is_asked_again_at_the_move() {
    let fixture = Fixture::new().await;
    fixture.put("store/D1/1/000/left.tif", b"left", 3);
    let proof = proof(&fixture, json!(["000/left.tif"]));
    let before = proof.capture().await.unwrap();
    fixture.record(8, r"000\LEFT.tif", Some(b"left")).await;
    let error = ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap_err();
    assert!(error.message.contains("no orphan"), "{error}");
    fixture.sql("DELETE FROM tsrecelec WHERE uri = 8").await;
    fixture.remove("store/D1/1/000/left.tif");
    fixture.put("store/D1/1/000/left.tif", b"new content", 2);
    let error = ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap_err();
    assert!(error.message.contains("not as it was"), "{error}");
    assert!(fixture.path("store/D1/1/000/left.tif").exists());
}

#[tokio::test]
async fn going_back_overwrites_nothing() {
    let fixture = Fixture::new().await;
    fixture.put("store/D1/1/000/left.tif", b"left", 3);
    let proof = proof(&fixture, json!(["000/left.tif"]));
    let before = proof.capture().await.unwrap();
    ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
    fixture.put("store/D1/1/000/left.tif", b"came meanwhile", 0);
    assert!(ACTION.undo(&proof.arguments, &proof.target, &before).await.is_err());
    assert_eq!(std::fs::read(fixture.path("store/D1/1/000/left.tif")).unwrap(), b"came meanwhile");
    fixture.remove("store/D1/1/000/left.tif");
    ACTION.undo(&proof.arguments, &proof.target, &before).await.unwrap();
    assert_eq!(std::fs::read(fixture.path("store/D1/1/000/left.tif")).unwrap(), b"left");
}

#[tokio::test]
async fn hostile_paths_lead_nowhere() {
    let fixture = Fixture::new().await;
    fixture.put("outside/old", b"old", 9);
    symlink(fixture.path("outside"), fixture.path("store/D1/1/link")).unwrap();
    symlink(fixture.path("outside/old"), fixture.path("store/D1/1/000/l.tif")).unwrap();
    for path in ["../outside/old", "../../../outside/old", "/etc/passwd", "000/..", ".cmdiag/x"] {
        let error = proof(&fixture, json!([path])).is_refused().await;
        assert_eq!(error.kind, ActionErrorKind::Configuration, "{path}: {error}");
    }
    for path in ["link/old", "000/l.tif", "000"] {
        let error = proof(&fixture, json!([path])).is_refused().await;
        assert_eq!(error.kind, ActionErrorKind::Precondition, "{path}: {error}");
    }
    // A link in the quarantine does not lead out of it either.
    fixture.put("store/D1/1/000/left.tif", b"left", 3);
    let proof = proof(&fixture, json!(["000/left.tif"]));
    let step = aside::name_of(&proof.target.idempotency_key);
    symlink(fixture.path("outside"), fixture.path(&format!("quarantine/{step}"))).unwrap();
    let before = proof.capture().await.unwrap();
    assert!(ACTION.apply(&proof.arguments, &proof.target, &before).await.is_err());
    assert!(fixture.path("store/D1/1/000/left.tif").exists());
    assert_eq!(std::fs::read_dir(fixture.path("outside")).unwrap().count(), 1);
}
