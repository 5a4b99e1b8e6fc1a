//! Bounds: of the queue, and of the time that a caller waits.

use crate::support::{append, new_stream, within};
use domain::Position;
use event_store::{AppendError, EventLog, LogError, PostgresEventLog, PostgresLogOptions};
use futures::future::join_all;
use private_servers::testing::TestDatabase;
use sqlx::{Connection, Executor, PgConnection};
use std::sync::Arc;
use std::time::Duration;

/// Holds the log's lock for itself: every append has to wait.
async fn hold_up(database: &TestDatabase) -> PgConnection {
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    holder.execute("BEGIN; SELECT cmdiag.next_position()").await.unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_so() {
    let database = TestDatabase::migrated().await;
    let options = PostgresLogOptions { queue_appends_max: 10, ..PostgresLogOptions::default() };
    let log = PostgresEventLog::connect(database.pool().await, options).await.unwrap();
    let mut holder = hold_up(&database).await;
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.append(append(&new_stream(), 0, 1)).await })
        })
        .collect();
    // (A probe that is let in is given up soon, and written with the others later.)
    crate::support::eventually("the queue is full", async || {
        let probe = log.append(append(&new_stream(), 0, 1));
        let answer = tokio::time::timeout(Duration::from_millis(20), probe).await;
        matches!(answer, Ok(Err(AppendError::Overloaded))).then_some(())
    })
    .await;
    holder.execute("ROLLBACK").await.unwrap();
    let written = within("those that waited", join_all(waiting)).await;
    let accepted = written.into_iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count();
    // (One or two of the probes above may have been let in before the queue was full, in place of these.)
    assert!(accepted >= 8, "{accepted} of 10");
    log.append(append(&new_stream(), 0, 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_longer_than_promised() {
    let database = TestDatabase::migrated().await;
    let options = PostgresLogOptions { answer_within: Duration::from_millis(400), ..PostgresLogOptions::default() };
    let log = PostgresEventLog::connect(database.pool().await, options).await.unwrap();
    let mut holder = hold_up(&database).await;
    let streams: Vec<_> = (0..5).map(|_| new_stream()).collect();
    let appends: Vec<_> = streams.iter().map(|stream| append(stream, 0, 1)).collect();
    let answers = within("answers", join_all(appends.iter().cloned().map(|append| log.append(append)))).await;
    for answer in answers {
        assert!(matches!(answer, Err(AppendError::Log(LogError::Unavailable(_)))), "{answer:?}");
    }
    holder.execute("ROLLBACK").await.unwrap();
    // Repeating the same commands is safe, and tells what became of them. (One attempt may still find the old session
    // in its way.)
    for append in appends {
        let appended =
            crate::support::eventually("the append is answered", async || log.append(append.clone()).await.ok()).await;
        assert_eq!(appended.version.0, 1);
    }
    assert_eq!(log.read_all(Position::START, 100).await.unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_append_harms_nobody() {
    let database = TestDatabase::migrated().await;
    let log = PostgresEventLog::connect(database.pool().await, PostgresLogOptions::default()).await.unwrap();
    let mut holder = hold_up(&database).await;
    let stream = new_stream();
    let abandoned = tokio::time::timeout(Duration::from_millis(50), log.append(append(&stream, 0, 1))).await;
    assert!(abandoned.is_err());
    holder.execute("ROLLBACK").await.unwrap();
    let after = within("the next", log.append(append(&new_stream(), 0, 1))).await.unwrap();
    assert_eq!(after.position, Position(2), "the abandoned one was written first");
}
