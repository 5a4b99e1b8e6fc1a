//! Erasing somebody, from the command line: no event holds the name, the master key is taken care of, and the
//! history still verifies.

use acceptance_tests::{Cmdiag, Finished};
use private_servers::testing::{TestDatabase, test_folder};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

const MARA: &str = "mara.lindqvist@example.org";
const BEN: &str = "ben.okafor@example.org";

async fn alarm(cmdiag: &Cmdiag, who: &str) {
    for what in ["engage", "release"] {
        let done = cmdiag.run(&["--actor", who, "emergency-stop", what, "--reason", "a trial of the alarm"]).await;
        done.succeeded();
    }
}

async fn actors(cmdiag: &Cmdiag) -> Vec<String> {
    let history = cmdiag.run(&["history", "all", "--format", "json"]).await.succeeded().json();
    let of_alarm = history.as_array().unwrap().iter().filter(|event| event["type"].as_str().unwrap().contains("Stop"));
    of_alarm.map(|event| event["actor"].as_str().unwrap().to_owned()).collect()
}

fn line<'a>(doctor: &'a Value, what: &str) -> &'a Value {
    doctor.as_array().unwrap().iter().find(|line| line["what"] == what).unwrap()
}

fn refused(finished: &Finished, said: &str) {
    assert_ne!(finished.code, 0, "{}", finished.stdout);
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_erased_and_the_history_still_verifies() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let key = folder.path().join("master.key");
    std::fs::write(&key, "5f".repeat(32)).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let cmdiag = Cmdiag::on_database(folder.path(), database.url()).with("CMDIAG_MASTER_KEY_FILE", &key);
    alarm(&cmdiag, MARA).await;
    alarm(&cmdiag, BEN).await;
    assert_eq!(actors(&cmdiag).await, [MARA, MARA, BEN, BEN]);
    let pool = database.pool().await;
    let stored = "SELECT string_agg(e::text, '' ORDER BY position) FROM cmdiag.events AS e WHERE position <= 4";
    let before: String = sqlx::query_scalar(stored).fetch_one(&pool).await.unwrap();
    assert!(before.contains("sealed:") && !before.contains("lindqvist"), "{before}");

    let tell = ["audit", "erase", MARA, "--reason", "Mara.Lindqvist@example.org has left"];
    refused(&cmdiag.run(&tell).await, "without saying who");
    refused(&cmdiag.run(&["audit", "erase", "nobody", "--reason", "x"]).await, "nobody is known");
    let erase = ["audit", "erase", "MARA.Lindqvist@Example.org", "--reason", "has left", "--format", "json"];
    let erased = cmdiag.run(&erase).await.succeeded().json();
    assert_eq!(erased["openly_named"], json!(0));
    let tombstone = format!("erased:{}", erased["subject"].as_str().unwrap());
    assert_eq!(actors(&cmdiag).await, [tombstone.as_str(), tombstone.as_str(), BEN, BEN]);
    refused(&cmdiag.run(&erase).await, "nobody is known");
    let by_id = ["audit", "erase", erased["subject"].as_str().unwrap(), "--reason", "again", "--format", "json"];
    let again = cmdiag.run(&by_id).await.succeeded().json();
    assert_eq!((&again["position"], &again["destroyed_at"]), (&erased["position"], &erased["destroyed_at"]));

    let subjects = cmdiag.run(&["audit", "subjects", "--format", "json"]).await.succeeded().json();
    let are_erased: Vec<bool> =
        subjects.as_array().unwrap().iter().map(|subject| subject["erased_at"].is_string()).collect();
    // Mara, Ben, and whoever runs the tests: who acted in the erasure.
    assert_eq!(are_erased, [true, false, false]);
    let after: String = sqlx::query_scalar(stored).fetch_one(&pool).await.unwrap();
    assert_eq!(after, before, "not a byte has changed");
    cmdiag.run(&["audit", "verify"]).await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_starts_with_another_master_key_or_with_none() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let open = Cmdiag::on_database(folder.path(), database.url());
    alarm(&open, MARA).await;
    let doctor = open.run(&["doctor", "--format", "json"]).await.succeeded().json();
    assert_eq!(line(&doctor, "personal data")["verdict"], "note", "{doctor:#}");
    let sealed = open.clone().with("CMDIAG_MASTER_KEY", "5f".repeat(32));
    assert_eq!(actors(&sealed).await, [MARA, MARA], "what was recorded openly is read as before");
    alarm(&sealed, MARA).await;
    let doctor = sealed.run(&["doctor", "--format", "json"]).await.succeeded().json();
    let said = line(&doctor, "personal data")["detail"].as_str().unwrap().to_owned();
    assert!(said.contains("up to position 2"), "{said}");

    refused(&open.run(&["history", "all"]).await, "no master key is configured");
    let other = open.clone().with("CMDIAG_MASTER_KEY", "aa".repeat(32));
    refused(&other.run(&["history", "all"]).await, "not the one");
    assert_ne!(other.run(&["doctor"]).await.code, 0);
    refused(&open.clone().with("CMDIAG_MASTER_KEY", "5f").run(&["history", "all"]).await, "64 hexadecimal digits");

    let erase = ["audit", "erase", MARA, "--reason", "has left", "--format", "json"];
    let erased = sealed.run(&erase).await;
    assert_eq!((erased.code, &erased.json()["openly_named"]), (1, &json!(2)), "and it says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_private_server_a_master_key_is_made_and_missed() {
    let folder = test_folder();
    let cmdiag = Cmdiag::embedded(folder.path());
    alarm(&cmdiag, MARA).await;
    let key = folder.path().join("master.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(actors(&cmdiag).await, [MARA, MARA]);
    let away = folder.path().join("away");
    std::fs::rename(&key, &away).unwrap();
    refused(&cmdiag.run(&["history", "all"]).await, "bring it back");
    assert!(!key.exists(), "none is made in its place");
    std::fs::rename(&away, &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(&cmdiag.run(&["history", "all"]).await, "chmod 600");
}
