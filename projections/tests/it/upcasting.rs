//! Events that upcasters made into several, or none: every view is what it would be of the events that they are today.

use crate::support::{Running, assert_same, quick, replayed, story};
use event_store::{EventLog, RecordedEvent, UpcastError, Upcasted, Upcaster, Upcasters};
use private_servers::testing::TestDatabase;
use projections::testing::{MemoryLog, dump};
use projections::{ReplayOptions, replay};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;

/// Results that an old version recorded together are one event each today.
struct OneResultEach;

impl Upcaster for OneResultEach {
    fn aggregate_type(&self) -> &'static str {
        "DiagnosticRun"
    }
    fn event_type(&self) -> &'static str {
        "ChecksCompleted"
    }
    fn old_version(&self) -> &'static str {
        "0"
    }
    fn upcast_all(&self, payload: &RawValue) -> Result<Vec<Upcasted>, UpcastError> {
        let bad = |error: serde_json::Error| UpcastError(error.to_string());
        let whole: Value = serde_json::from_str(payload.get()).map_err(bad)?;
        let body = &whole["ChecksCompleted"];
        let results = body["results"].as_array().cloned().unwrap_or_default();
        let before = body["done"].as_u64().unwrap_or_default() - results.len() as u64;
        let each = results.into_iter().zip(1..).map(|(result, nth)| {
            let mut one = body.clone();
            one["results"] = json!([result]);
            one["done"] = json!(before + nth);
            let payload = RawValue::from_string(json!({ "ChecksCompleted": one }).to_string()).map_err(bad)?;
            Ok(Upcasted { event_type: "ChecksCompleted".to_owned(), event_version: "1".to_owned(), payload })
        });
        each.collect()
    }
}

/// What an old version recorded and nobody needs today.
struct Forgotten;

impl Upcaster for Forgotten {
    fn aggregate_type(&self) -> &'static str {
        "DiagnosticRun"
    }
    fn event_type(&self) -> &'static str {
        "RunStarted"
    }
    fn old_version(&self) -> &'static str {
        "0"
    }
    fn upcast_all(&self, _payload: &RawValue) -> Result<Vec<Upcasted>, UpcastError> {
        Ok(Vec::new())
    }
}

fn upcast(events: &[RecordedEvent], step: Arc<dyn Upcaster>) -> Vec<RecordedEvent> {
    let event_type = step.event_type().to_owned();
    let upcasters = Upcasters::new([step]).unwrap();
    let old = |event: &RecordedEvent| {
        if event.event_type != event_type {
            return event.clone();
        }
        upcasters.apply(RecordedEvent { event_version: "0".to_owned(), ..event.clone() }).unwrap()
    };
    events.iter().map(old).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_an_event_fill_the_views_as_the_whole_did() {
    let events = story(41, 1_200);
    let split = upcast(&events, Arc::new(OneResultEach));
    assert!(split.iter().filter(|event| event.parts().len() > 1).count() > 20);
    let mut expected = replayed(&events).await;
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(split);
    let running = Running::start(&pool, &log, &quick());
    running.reached(1_200).await;
    running.stop().await;
    let mut live = dump(&pool).await.unwrap();
    // Each part is an event of its own to those who ask what caused what.
    expected.retain(|(table, _)| table != "view_causation");
    let causes = live.iter().find(|(table, _)| table == "view_causation").map_or(0, |(_, lines)| lines.len());
    assert!(causes > 1_200, "{causes}");
    live.retain(|(table, _)| table != "view_causation");
    assert_same(&live, &expected);
    // The same by replay, however the log is cut into blocks.
    for block_events in [7, 5_000] {
        let options = ReplayOptions { block_events, ..ReplayOptions::default() };
        replay(&pool, Arc::clone(&log) as Arc<dyn EventLog>, projections::all(), &options).await.unwrap();
        let mut again = dump(&pool).await.unwrap();
        again.retain(|(table, _)| table != "view_causation");
        assert_same(&again, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_event_leaves_no_trace_and_no_gap() {
    let events = upcast(&story(42, 600), Arc::new(Forgotten));
    assert!(events.iter().filter(|event| event.parts().is_empty()).count() > 5);
    // As if it had been passed over: its position is there, and nothing is.
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events.clone());
    let running = Running::start(&pool, &log, &quick());
    running.reached(600).await;
    running.stop().await;
    let started: i64 = sqlx::query_scalar("SELECT count(*) FROM view_runs WHERE started_at IS NOT NULL")
        .fetch_one(&pool)
        .await
        .unwrap();
    let positions: Vec<i64> =
        sqlx::query_scalar("SELECT DISTINCT position FROM projection_checkpoints").fetch_all(&pool).await.unwrap();
    assert_eq!((started, positions), (0, vec![600]));
    assert_same(&dump(&pool).await.unwrap(), &replayed(&events).await);
}

/// The parts of a position go together or not at all, also where a batch is narrowed to find a row that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_refused_stops_before_the_whole() {
    let events = story(43, 500);
    let mut split = upcast(&events, Arc::new(OneResultEach));
    let spoilt = split.iter().position(|event| event.parts().len() > 2).unwrap();
    // The last part repeats the first: a row that is there already.
    let parts: Vec<Value> = serde_json::from_str(split[spoilt].payload.get()).unwrap();
    let (first, mut all) = (parts[0].clone(), parts);
    all.push(first);
    split[spoilt].payload = RawValue::from_string(Value::Array(all).to_string()).unwrap();
    let position = split[spoilt].position;
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(split);
    let running = Running::start(&pool, &log, &quick());
    let status = crate::support::until_failed(running.one("check_results")).await;
    assert_eq!(status.failure.unwrap().position, position);
    running.stop().await;
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM view_check_results WHERE last_position = $1")
        .bind(position.0)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(there, 0);
}
