//! Exports on the command line: a killed one goes on, what was changed is found, a pipe ends quietly.

use acceptance_tests::Cmdiag;
use private_servers::testing::{TestDatabase, test_folder};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const EVENTS: i64 = 120_000;

/// A log of many small events of nobody's aggregate.
async fn filled() -> TestDatabase {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    sqlx::query(
        "INSERT INTO cmdiag.events (position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
         metadata, recorded_at) SELECT n, 'Sample', (n % 1000)::text, n / 1000 + 1, 'Said', '1', \
         json_build_object('Said', json_build_object('n', n, 'text', repeat(md5(n::text), 8))), \
         json_build_object('actor', 'tester', 'tenant', 'default', 'command_id', gen_random_uuid(), 'correlation_id', \
         gen_random_uuid()), timestamptz '2026-01-05 00:00:00Z' + n * interval '3 seconds' \
         FROM generate_series(1, $1) AS n",
    )
    .bind(EVENTS)
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    database
}

fn manifest(folder: &Path) -> Option<Value> {
    let text = std::fs::read(folder.join("manifest.json")).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_export_goes_on_where_it_was_and_every_change_is_found() {
    let (folder, database) = (test_folder(), filled().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url());
    let export = ["export", "events", "--as", "parquet", "--by", "positions", "--file-events", "10000", "--to"];
    let to = |name: &'static str| [&export[..], &[name]].concat();

    let mut first = cmdiag.command(&to("cut")).spawn().unwrap();
    let cut = folder.path().join("cut");
    let begun = async {
        while manifest(&cut).is_none_or(|manifest| manifest["files"].as_array().unwrap().is_empty()) {
            assert!(first.try_wait().unwrap().is_none(), "it ended before it could be killed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), begun).await.unwrap();
    first.kill().await.unwrap();
    let partly = manifest(&cut).unwrap()["last_position"].as_i64().unwrap();
    assert!(partly > 0 && partly < EVENTS, "killed at {partly}");

    let again = cmdiag.run(&[&to("cut")[..], &["--format", "json"]].concat()).await.succeeded().json();
    assert_eq!((again["events"].as_i64(), again["last_position"].as_i64()), (Some(EVENTS), Some(EVENTS)));
    cmdiag.run(&to("whole")).await.succeeded();
    let whole = manifest(&folder.path().join("whole")).unwrap();
    assert_eq!(again["files"], whole["files"], "the same files, byte for byte");

    let verify = ["export", "verify", "cut", "--format", "json"];
    assert_eq!(cmdiag.run(&verify).await.succeeded().json()["faults"], serde_json::json!([]));
    let file = cut.join(whole["files"][3]["path"].as_str().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let found = cmdiag.run(&verify).await;
    assert_eq!(found.code, 1, "{}", found.stderr);
    assert!(found.json()["faults"][0].as_str().unwrap().contains("SHA-256"), "{}", found.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_say_what_they_can_not_do() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url());
    for (arguments, said) in [
        (vec!["export", "events", "--to", "-", "--as", "parquet"], "standard output"),
        (vec!["export", "run", "nobody"], "neither a run's id nor a deployment"),
        (vec!["export", "run", "01900000-0000-7000-8000-000000000003"], "neither a run's id nor a deployment"),
        (vec!["export", "table", "runs", "--since", "yesterday"], "2026-01-31"),
        (vec!["export", "table", "runs", "--out", "/nowhere/runs.csv"], "/nowhere"),
        (vec!["export", "audit", "--since", "2026-02-01", "--until", "2026-01-01"], "the period is empty"),
        (vec!["export", "verify", "nothing"], "manifest.json"),
        (vec!["schema", "events", "NothingSuch"], "no event type"),
    ] {
        let refused = cmdiag.run(&arguments).await;
        assert!(refused.code != 0 && refused.stderr.contains(said), "{arguments:?}: {}", refused.stderr);
    }
    let events = cmdiag.run(&["schema", "events", "RunRequested", "--format", "json"]).await.succeeded().json();
    assert_eq!((&events[0]["aggregate_type"], &events[0]["current"]), (&"DiagnosticRun".into(), &true.into()));
    let empty = cmdiag.run(&["export", "table", "runs"]).await.succeeded();
    assert!(empty.stdout.starts_with("run,deployment,profile") && empty.stdout.ends_with("\r\n"), "{}", empty.stdout);
}
