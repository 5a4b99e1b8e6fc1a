use super::*;
use crate::action::config::testing::{Fixture, text};
use crate::action::file::testing::{Proof, arguments};
use crate::action::{ActionErrorKind, Erased};
use std::os::unix::fs::symlink;

fn proof<'a>(fixture: &'a Fixture, server: &str) -> Proof<'a> {
    let action = const { &Erased::<DeployNewest>::new() };
    Proof { action, arguments: arguments(json!({})), target: fixture.target(server), folder: fixture.folder() }
}

#[tokio::test]
async fn the_server_that_is_behind_gets_the_newest_file() {
    let fixture = Fixture::new();
    fixture.put("wgs-2", &text(41, 41, ""));
    let proof = proof(&fixture, "wgs-2");
    let before = proof.holds().await;
    assert_eq!((&before["from"], &before["newest"]["version"]), (&json!("wgs-1"), &json!(42)));
    proof.action.apply(&proof.arguments, &proof.target, &before).await.unwrap();
    assert_eq!(fixture.read("wgs-2"), text(42, 42, ""));
}

#[tokio::test]
async fn in_doubt_nothing_is_done() {
    let fixture = Fixture::new();
    assert!(proof(&fixture, "wgs-2").is_refused().await.message.contains("already"));
    for (own, why) in [
        (text(42, 42, "<ByHand/>"), "a person has to say"),
        (text(41, 41, "").replace("\"D1\"", "\"D2\""), "another family"),
        (text(41, 41, "").replace("g-41", "g-42"), "edited by hand"),
        ("<TRIMConfig/>".to_owned(), "states no version"),
    ] {
        fixture.put("wgs-2", &own);
        let error = proof(&fixture, "wgs-2").is_refused().await;
        assert_eq!(error.kind, ActionErrorKind::Precondition, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
}

#[test]
fn more_than_half_say_what_the_newest_is() {
    let stamp =
        |version, text: &str| Stamp { version, guid: None, content: crate::action::file::Content::of(text.as_bytes()) };
    let (a, b, old) = (stamp(2, "a"), stamp(2, "b"), stamp(1, "a"));
    assert_eq!(newest(&[("1", &a), ("2", &a), ("3", &b), ("4", &old)]).unwrap(), ("2", &a));
    assert!(newest(&[("1", &a), ("2", &b)]).is_err());
    assert!(newest(&[]).is_err());
}

#[tokio::test]
async fn a_link_in_place_of_a_file_is_not_followed() {
    let (fixture, outside) = (Fixture::new(), tempfile::tempdir().unwrap());
    let theirs = outside.path().join("theirs");
    std::fs::write(&theirs, text(41, 41, "")).unwrap();
    std::fs::remove_file(fixture.folder().join("wgs-2/TRIMConfig.tcfg")).unwrap();
    symlink(&theirs, fixture.folder().join("wgs-2/TRIMConfig.tcfg")).unwrap();
    assert_eq!(proof(&fixture, "wgs-2").is_refused().await.kind, ActionErrorKind::Precondition);
    assert_eq!(std::fs::read_to_string(theirs).unwrap(), text(41, 41, ""));
}
