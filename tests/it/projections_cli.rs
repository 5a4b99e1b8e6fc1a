//! Views rebuilt, compared, exchanged and told to pass over an event, on the command line.

use acceptance_tests::Cmdiag;
use private_servers::testing::{TestDatabase, test_folder};
use serde_json::{Value, json};
use sqlx::Executor;

async fn events(cmdiag: &Cmdiag) -> Vec<(String, String)> {
    let all = cmdiag.run(&["history", "all", "--format", "json"]).await.succeeded().json();
    let of = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(|event| (of(event, "type"), of(event, "actor"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_rebuilt_compared_exchanged_and_taken_back() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url());
    let pool = database.pool().await;
    cmdiag.run(&["emergency-stop", "engage", "--reason", "a trial"]).await.succeeded();
    let list = cmdiag.run(&["projections", "list", "--format", "json"]).await.succeeded().json();
    assert!(list.as_array().unwrap().iter().all(|one| one["served"]["position"] == one["head"]), "{list:#}");

    let rebuilt = cmdiag.run(&["projections", "rebuild"]).await.succeeded().stdout;
    assert!(rebuilt.contains("events/s") && rebuilt.contains("emergency_stops: served version 1"), "{rebuilt}");
    assert!(!rebuilt.contains("DIFFERENT"), "{rebuilt}");
    pool.execute("UPDATE cmdiag.view_emergency_stops SET reason = 'planted'").await.unwrap();
    let differs = cmdiag.run(&["projections", "diff", "emergency_stops"]).await;
    assert_eq!(differs.code, 1, "{}", differs.stderr);
    assert!(differs.stdout.contains("DIFFERENT") && differs.stdout.contains("planted"), "{}", differs.stdout);

    let show = ["emergency-stop", "status", "--format", "json"];
    assert_eq!(cmdiag.run(&show).await.succeeded().json()["reason"], "planted");
    cmdiag.run(&["projections", "switch", "emergency_stops"]).await.succeeded();
    assert_eq!(cmdiag.run(&show).await.succeeded().json()["reason"], "a trial");
    let status = cmdiag.run(&["projections", "status"]).await.succeeded().stdout;
    assert!(status.contains("previous"), "{status}");
    cmdiag.run(&["projections", "back", "emergency_stops"]).await.succeeded();
    assert_eq!(cmdiag.run(&show).await.succeeded().json()["reason"], "planted");
    let told = |name: &str| (name.to_owned(), "tester".to_owned());
    let expected = ["EmergencyStopEngaged", "ProjectionSwitched", "ProjectionSwitchedBack"].map(told);
    assert_eq!(events(&cmdiag).await, expected);

    for wrong in [
        vec!["projections", "rebuild", "nothing_such"],
        vec!["projections", "switch", "emergency_stops"],
        vec!["projections", "skip", "runs", "7", "--reason", "it does not stand still"],
    ] {
        let refused = cmdiag.run(&wrong).await;
        assert!(refused.code == 1 && !refused.stderr.is_empty(), "{wrong:?}: {}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_was_not_recorded_is_recorded_by_the_next_command() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url());
    let pool = database.pool().await;
    // As a process leaves it that dies between the exchange and its record.
    pool.execute(
        "INSERT INTO cmdiag.projection_switches (id, name, back, version, position, before_version, before_position, \
         actor, tenant) VALUES (gen_random_uuid(), 'runs', false, 2, 9, 1, 9, 'ann', 'default')",
    )
    .await
    .unwrap();
    for _ in 0..2 {
        cmdiag.run(&["projections", "list"]).await.succeeded();
        assert_eq!(events(&cmdiag).await, [("ProjectionSwitched".to_owned(), "ann".to_owned())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_passed_over_by_a_decision_on_record() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url());
    let pool = database.pool().await;
    // A run's event that no version can read.
    pool.execute(
        "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, \
         position) VALUES ('DiagnosticRun', gen_random_uuid()::text, 1, 'RunRequested', '1', '{\"nonsense\": 1}', '{}', 1)",
    )
    .await
    .unwrap();
    let wanting = ["causation", "deployments", "runs"];
    let stopped = cmdiag.run(&["projections", "rebuild", "runs"]).await;
    assert!(stopped.code == 1 && stopped.stderr.contains("position 1"), "{}", stopped.stderr);
    for name in wanting {
        sqlx::query(
            "INSERT INTO cmdiag.projection_checkpoints (name, version, failed_position, failure) \
             VALUES ($1, 1, 1, 'it does not decode') ON CONFLICT (name) DO UPDATE SET failed_position = 1, \
             failure = 'it does not decode'",
        )
        .bind(name)
        .execute(&pool)
        .await
        .unwrap();
        let skip = ["projections", "skip", name, "1", "--reason", "written by hand"];
        cmdiag.run(&skip).await.succeeded();
    }
    // Runners and rebuilds pass over it, and it is on record who decided that.
    cmdiag.run(&["runs"]).await.succeeded();
    cmdiag.run(&["projections", "rebuild", "runs"]).await.succeeded();
    let list = cmdiag.run(&["projections", "list", "--format", "json"]).await.succeeded().json();
    let stands = |one: &&Value| one["served"]["failed_position"] != json!(null);
    assert!(list.as_array().unwrap().iter().find(stands).is_none(), "{list:#}");
    let decisions = events(&cmdiag).await.into_iter().filter(|(event, _)| event == "PoisonEventSkipped").count();
    assert_eq!(decisions, wanting.len());
}
