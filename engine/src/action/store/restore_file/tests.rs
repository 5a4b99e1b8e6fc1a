use super::*;
use crate::action::file::testing::{Proof, arguments};
use crate::action::store::testing::Fixture;
use crate::action::{Action as _, ActionErrorKind, Erased};
use serde_json::Value;
use std::os::unix::fs::symlink;

const ACTION: &Erased<RestoreFile> = &Erased::new();

fn proof(fixture: &Fixture, json: Value) -> Proof<'_> {
    Proof { action: ACTION, arguments: arguments(json), target: fixture.target(), folder: fixture.folder() }
}

#[tokio::test]
async fn a_missing_file_comes_back_by_its_name() {
    let fixture = Fixture::new().await;
    fixture.remove("store/D1/1/000/a.pdf");
    let before = proof(&fixture, json!({"file": "a.pdf"})).holds().await;
    assert_eq!((&before["file"], &before["present"]), (&json!("000/a.pdf"), &json!(null)));
}

#[tokio::test]
async fn a_missing_file_comes_back_with_its_folder() {
    let fixture = Fixture::new().await;
    fixture.record(2, r"007\B.PDF", Some(b"another")).await;
    fixture.put("backup/D1/1/007/b.pdf", b"another", 3);
    let before = proof(&fixture, json!({"file": "007/B.PDF"})).holds().await;
    assert_eq!(before["new_folders"], json!(["D1/1/007"]));
    assert_eq!((&before["file"], &before["backup"]), (&json!("007/B.PDF"), &json!("007/b.pdf")));
}

#[tokio::test]
async fn a_corrupt_or_truncated_file_is_set_aside_and_replaced() {
    for (number, wrong) in [b"0riginal".as_slice(), b"orig", b""].into_iter().enumerate() {
        let fixture = Fixture::new().await;
        fixture.remove("store/D1/1/000/a.pdf");
        fixture.put("store/D1/1/000/a.pdf", wrong, 0);
        let told = json!({"file": "000/a.pdf", "recorded_bytes": 8, "recorded_hash": Content::of(b"original").sha256});
        let proof = proof(&fixture, told);
        // Cut off everywhere once: what is wrong with the file makes no difference to that.
        let before = if number == 0 { proof.holds().await } else { proof.capture().await.unwrap() };
        ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
        let aside = aside::name_of(&proof.target.idempotency_key);
        let kept = fixture.path(&format!("store/.cmdiag/{aside}/was/D1/1/000/a.pdf"));
        assert_eq!(std::fs::read(kept).unwrap(), wrong, "never deleted");
        assert_eq!(std::fs::read(fixture.path("store/D1/1/000/a.pdf")).unwrap(), b"original");
    }
}

#[tokio::test]
async fn only_what_is_proven_is_restored() {
    let fixture = Fixture::new().await;
    let whole = proof(&fixture, json!({"file": "000/a.pdf"})).is_refused().await;
    assert!(whole.message.contains("as it was recorded"), "{whole}");
    fixture.remove("store/D1/1/000/a.pdf");
    fixture.record(3, "c.pdf", None).await;
    fixture.put("backup/D1/1/000/c.pdf", b"content!", 3);
    fixture.record(4, "d.pdf", Some(b"the true one")).await;
    fixture.put("backup/D1/1/000/d.pdf", b"the FALSE one", 3);
    fixture.record(5, "e.pdf", Some(b"not in the backup")).await;
    for (told, why) in [
        (json!({"file": "c.pdf"}), "no hash"),
        (json!({"file": "d.pdf"}), "not with the recorded size and hash"),
        (json!({"file": "e.pdf"}), "does not have"),
        (json!({"file": "unknown.pdf"}), "does not know"),
        (json!({"file": "a.pdf", "recorded_bytes": 9}), "has changed"),
        (json!({"file": "a.pdf", "recorded_hash": "ff"}), "has changed"),
    ] {
        let error = proof(&fixture, told).is_refused().await;
        assert_eq!(error.kind, ActionErrorKind::Precondition, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
}

#[tokio::test]
async fn what_changed_meanwhile_is_not_touched() {
    let fixture = Fixture::new().await;
    fixture.remove("store/D1/1/000/a.pdf");
    fixture.put("store/D1/1/000/a.pdf", b"corrupt!", 0);
    let proof = proof(&fixture, json!({"file": "000/a.pdf"}));
    let before = proof.capture().await.unwrap();
    let theirs = fixture.path("store/D1/1/000/a.pdf");
    fixture.remove("store/D1/1/000/a.pdf");
    fixture.put("store/D1/1/000/a.pdf", b"theirs", 0);
    let error = ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap_err();
    assert!(error.message.contains("somebody else"), "{error}");
    assert!(ACTION.undo(&proof.arguments, &proof.target, &before).await.is_err());
    assert_eq!(std::fs::read(&theirs).unwrap(), b"theirs");
    // And a backup that was exchanged after the look is not restored from.
    fixture.remove("store/D1/1/000/a.pdf");
    fixture.put("store/D1/1/000/a.pdf", b"corrupt!", 0);
    fixture.remove("backup/D1/1/000/a.pdf");
    fixture.put("backup/D1/1/000/a.pdf", b"exchange", 3);
    let error = ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap_err();
    assert!(error.message.contains("not what was recorded"), "{error}");
    assert_eq!(std::fs::read(&theirs).unwrap(), b"corrupt!");
}

#[tokio::test]
async fn the_last_good_copy_is_never_removed() {
    let fixture = Fixture::new().await;
    fixture.remove("store/D1/1/000/a.pdf");
    let proof = proof(&fixture, json!({"file": "a.pdf"}));
    let before = proof.capture().await.unwrap();
    ACTION.apply(&proof.arguments, &proof.target, &before).await.unwrap();
    fixture.remove("backup/D1/1/000/a.pdf");
    let error = ACTION.undo(&proof.arguments, &proof.target, &before).await.unwrap_err();
    assert!(error.message.contains("last good copy"), "{error}");
    assert_eq!(std::fs::read(fixture.path("store/D1/1/000/a.pdf")).unwrap(), b"original");
}

#[tokio::test]
async fn hostile_paths_lead_nowhere() {
    let fixture = Fixture::new().await;
    std::fs::write(fixture.path("outside/secret"), b"original").unwrap();
    symlink(fixture.path("outside"), fixture.path("store/D1/1/link")).unwrap();
    symlink(fixture.path("outside/secret"), fixture.path("store/D1/1/000/s.pdf")).unwrap();
    fixture.record(9, "secret", Some(b"original")).await;
    fixture.record(10, "s.pdf", Some(b"original")).await;
    fixture.put("backup/D1/1/link/secret", b"original", 3);
    fixture.put("backup/D1/1/000/s.pdf", b"original", 3);
    for path in ["../outside/secret", "/etc/passwd", r"..\outside\secret", ".cmdiag/x", "000/../a.pdf", ""] {
        let error = proof(&fixture, json!({"file": path})).is_refused().await;
        assert_eq!(error.kind, ActionErrorKind::Configuration, "{path}: {error}");
    }
    for path in ["link/secret", "000/s.pdf"] {
        let error = proof(&fixture, json!({"file": path})).is_refused().await;
        assert_eq!(error.kind, ActionErrorKind::Precondition, "{path}: {error}");
    }
    let mut wrong = fixture.target();
    wrong.component.settings.insert("dbid".to_owned(), "..".to_owned());
    let error = ACTION.capture(&arguments(json!({"file": "a.pdf"})), &wrong).await.unwrap_err();
    assert_eq!(error.kind, ActionErrorKind::Configuration);
}

#[tokio::test]
async fn without_an_action_user_nothing_is_done() {
    let fixture = Fixture::new().await;
    let mut target = fixture.target();
    let mut components = (*target.components).clone();
    for component in components.values_mut() {
        component.settings.remove("action_user");
    }
    target.components = components.into();
    let error = ACTION.capture(&arguments(json!({"file": "a.pdf"})), &target).await.unwrap_err();
    assert_eq!(error.kind, ActionErrorKind::Configuration);
    assert!(error.message.contains("action_user"), "{error}");
}
