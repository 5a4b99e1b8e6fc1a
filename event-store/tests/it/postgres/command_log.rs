//! Every row of the command log is whole: as the database insists where it can, and as the writer makes it.

use super::processes::connect;
use crate::support::{append, new_stream, refusal};
use domain::CorrelationId;
use event_store::EventLog;
use futures::future::join_all;
use private_servers::testing::TestDatabase;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

/// By outcome: how many rows there are, and how many of them say less or more than such a row must.
const ROWS: &str = "SELECT outcome::text, count(*), count(*) FILTER (WHERE NOT CASE outcome
        WHEN 'accepted' THEN last_position IS NOT NULL AND stream_version IS NOT NULL AND refusal_code IS NULL
            AND refusal_message IS NULL AND (events = 0) = (first_position IS NULL)
            AND (events = 0 OR last_position - first_position + 1 = events)
        ELSE refusal_code IS NOT NULL AND refusal_message IS NOT NULL AND events = 0
            AND num_nonnulls(first_position, last_position, stream_version) = 0 END)
    FROM cmdiag.commands GROUP BY outcome ORDER BY outcome";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recorded_command_is_whole() {
    let database = TestDatabase::migrated().await;
    // The first writes alone, by the remembered end of the log; the second makes both ask for their positions.
    let (log, other) = (connect(database.url()).await, connect(database.url()).await);
    for writer in [&log, &log, &other, &log] {
        for events in [1, 0, 3] {
            writer.append(append(&new_stream(), 0, events)).await.unwrap();
        }
        writer.record_refusal(refusal(Uuid::now_v7(), &new_stream())).await.unwrap();
        let appends = (0..30).map(|n| writer.append(append(&new_stream(), 0, n % 3)));
        let refusals = (0..10).map(|_| writer.record_refusal(refusal(Uuid::now_v7(), &new_stream())));
        let (appended, refused) = futures::join!(join_all(appends), join_all(refusals));
        assert!(appended.iter().all(Result::is_ok) && refused.iter().all(Result::is_ok));
    }
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(ROWS).fetch_all(&database.pool().await).await.unwrap();
    assert_eq!(rows, [("accepted".to_owned(), 4 * 33, 0), ("refused".to_owned(), 4 * 11, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_refuses_what_no_command_can_be() {
    let database = TestDatabase::migrated().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    for (hash, outcome, why) in [
        ("decode(repeat('07', 31), 'hex')", "'accepted'", "sha256_check"),
        ("decode(repeat('07', 32), 'hex')", "'perhaps'", "command_outcome_check"),
    ] {
        let insert = format!(
            "INSERT INTO cmdiag.commands (command_id, tenant, actor, name, aggregate_type, aggregate_id, body_hash,
                outcome, last_position, stream_version, events)
            VALUES (gen_random_uuid(), 't', 'a', 'n', 'T', '1', {hash}, {outcome}, 1, 1, 0)"
        );
        let error = connection.execute(&*insert).await.expect_err(why);
        let error = error.as_database_error().expect("the database refused");
        assert_eq!((error.code().as_deref(), error.constraint()), (Some("23514"), Some(why)));
    }
}

/// What a command without events was part of is in the command log: nothing else says it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_without_events_keeps_what_it_answered() {
    let database = TestDatabase::migrated().await;
    let log = connect(database.url()).await;
    let (cause, correlation) = (Uuid::now_v7(), Uuid::now_v7());
    let mut ids = Vec::new();
    for events in [0, 1, 2] {
        let mut one = append(&new_stream(), 0, events);
        one.metadata.causation_id = Some(cause);
        one.metadata.correlation_id = CorrelationId(correlation);
        ids.push(one.metadata.command_id.0);
        log.append(one).await.unwrap();
    }
    let mut refused = refusal(Uuid::now_v7(), &new_stream());
    refused.metadata.causation_id = Some(cause);
    refused.metadata.correlation_id = CorrelationId(correlation);
    ids.push(refused.metadata.command_id.0);
    log.record_refusal(refused).await.unwrap();
    let sql = "SELECT c.causation_id, c.correlation_id FROM unnest($1::uuid[]) WITH ORDINALITY AS i (id, n)
        JOIN cmdiag.commands c ON c.command_id = i.id ORDER BY i.n";
    let kept: Vec<(Option<Uuid>, Option<Uuid>)> =
        sqlx::query_as(sql).bind(ids).fetch_all(&database.pool().await).await.unwrap();
    let known = (Some(cause), Some(correlation));
    assert_eq!(kept, [known, (None, None), (None, None), known]);
}
