//! Others at the same table: postgres-es reads and writes it, and sessions that hold it up do not stall us.

use crate::support::{append, assert_dense, new_stream, read_rest, within};
use cqrs_es::persist::{PersistedEventRepository, SerializedEvent};
use domain::{DeciderAggregate, Position, StreamVersion};
use event_store::{AppendError, EventLog, PostgresEventLog, PostgresLogOptions, StreamId};
use postgres_es::PostgresEventRepository;
use private_servers::testing::TestDatabase;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use std::sync::Arc;
use uuid::Uuid;

type Run = DeciderAggregate<domain::diagnostic_run::DiagnosticRun>;

async fn log_on(database: &TestDatabase) -> Arc<PostgresEventLog> {
    PostgresEventLog::connect(database.pool().await, PostgresLogOptions::default()).await.unwrap()
}

fn foreign_event(id: &str, sequence: usize) -> SerializedEvent {
    SerializedEvent::new(
        id.to_owned(),
        sequence,
        domain::any_event::DIAGNOSTIC_RUN.to_owned(),
        "Happened".to_owned(),
        "1".to_owned(),
        json!({"Happened": {"n": sequence}}),
        json!({"written_by": "postgres-es"}),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_es_reads_and_writes_the_same_table() {
    let database = TestDatabase::migrated().await;
    let log = log_on(&database).await;
    let repository = PostgresEventRepository::new(database.pool().await);
    let stream = StreamId::new(domain::any_event::DIAGNOSTIC_RUN, &Uuid::now_v7().to_string());
    let id = &*stream.aggregate_id;
    log.append(append(&stream, 0, 2)).await.unwrap();
    // It reads ours …
    let read = repository.get_events::<Run>(id).await.unwrap();
    assert_eq!(read.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(read[0].payload["SomethingHappened"]["n"], 0);
    assert_eq!(read[1].metadata["actor"], "tester");
    // … writes behind it …
    repository.persist::<Run>(&[foreign_event(id, 3), foreign_event(id, 4)], None).await.unwrap();
    let ours = log.read_stream(stream.clone(), StreamVersion(0), 10).await.unwrap();
    assert_dense(&ours, Position::START);
    assert_eq!(ours[3].metadata.actor.as_str(), "system:foreign-writer");
    // … and both are kept from writing on an old version.
    assert!(matches!(log.append(append(&stream, 2, 1)).await, Err(AppendError::Conflict { .. })));
    assert!(repository.persist::<Run>(&[foreign_event(id, 4)], None).await.is_err());
    assert_eq!(log.append(append(&stream, 4, 1)).await.unwrap().position, Position(5));
    assert_eq!(repository.get_last_events::<Run>(id, 4).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_writer_keeps_the_order_dense_and_never_loses() {
    let database = TestDatabase::migrated().await;
    let log = log_on(&database).await;
    let repository = Arc::new(PostgresEventRepository::new(database.pool().await));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..12 {
        let (log, repository) = (Arc::clone(&log), Arc::clone(&repository));
        writers.spawn(async move {
            let stream = StreamId::new(domain::any_event::DIAGNOSTIC_RUN, &Uuid::now_v7().to_string());
            for sequence in 1..=30 {
                if n % 3 == 0 {
                    // Not one of its writes may fail for the sake of a position.
                    let events = [foreign_event(&stream.aggregate_id, sequence)];
                    repository.persist::<Run>(&events, None).await.unwrap();
                } else {
                    log.append(append(&stream, sequence as i64 - 1, 1)).await.unwrap();
                }
            }
        });
    }
    within("all writers", writers.join_all()).await;
    let all = read_rest(&*log, Position::START).await;
    assert_eq!(all.len(), 12 * 30);
    assert_dense(&all, Position::START);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_snapshot_stalls_nothing() {
    let database = TestDatabase::migrated().await;
    let log = log_on(&database).await;
    // Somebody's long transaction, with an id of its own and a snapshot, in the middle of it all.
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    holder.execute("CREATE TABLE held (n int)").await.unwrap();
    holder
        .execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO held VALUES (1); SELECT count(*) FROM cmdiag.events",
        )
        .await
        .unwrap();
    let stream = new_stream();
    let mut tail = Position::START;
    for n in 0..50 {
        let appended = within("an append", log.append(append(&stream, n, 1))).await.unwrap();
        // The reader has each event as soon as it is acknowledged.
        let read = log.read_all(tail, 10).await.unwrap();
        assert_eq!(read.last().map(|event| event.position), Some(appended.position));
        tail = appended.position;
    }
    holder.execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_writer_waits_for_who_holds_a_position_and_takes_the_next() {
    let database = TestDatabase::migrated().await;
    let log = log_on(&database).await;
    for finish in ["COMMIT", "ROLLBACK"] {
        let before = log.head().await.unwrap();
        let mut foreign = PgConnection::connect(database.url()).await.unwrap();
        let insert = "BEGIN; INSERT INTO cmdiag.events
            (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
            VALUES ('Thing', gen_random_uuid()::text, 1, 'Happened', '1', '{}', '{}')";
        foreign.execute(insert).await.unwrap();
        let ours = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.append(append(&new_stream(), 0, 1)).await }
        });
        // Ours is seen to wait for the lock, so it stands in nobody's way.
        let mut watcher = PgConnection::connect(database.url()).await.unwrap();
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        crate::support::eventually("our append waits", async || {
            let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&mut watcher).await.unwrap();
            (waiting == 1).then_some(())
        })
        .await;
        assert!(!ours.is_finished());
        foreign.execute(finish).await.unwrap();
        let appended = within("our append", ours).await.unwrap().unwrap();
        let foreign_events = i64::from(finish == "COMMIT");
        assert_eq!(appended.position.0, before.0 + foreign_events + 1, "after its {finish}");
    }
    assert_dense(&read_rest(&*log, Position::START).await, Position::START);
}
