//! Several processes, and a database that goes away.

use crate::support::{PATIENCE, Running, assert_same, quick, replayed, story, until};
use private_servers::testing::TestDatabase;
use projections::testing::{MemoryLog, dump};
use projections::{ReplayError, ReplayOptions, RunnerState, replay};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn one_is_active_and_another_takes_over() {
    let events = story(3, 1_200);
    let database = TestDatabase::migrated().await;
    let (pool, other_pool) = (database.pool().await, database.pool().await);
    let log = MemoryLog::new();
    let first = Running::start(&pool, &log, &quick());
    log.push(events[..400].to_vec());
    first.reached(400).await;
    let second = Running::start(&other_pool, &log, &quick());
    for handle in &second.handles {
        until(handle, |status| status.state == RunnerState::Standby).await;
    }
    log.push(events[400..800].to_vec());
    first.stop().await;
    log.push(events[800..].to_vec());
    second.reached(1_200).await;
    assert!(second.handles.iter().all(|handle| handle.status().borrow().state == RunnerState::Running));
    second.stop().await;
    assert_same(&dump(&pool).await.unwrap(), &replayed(&events).await);
}

/// The lock is what keeps two apart normally; the guarded checkpoint is what keeps the view right without it.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_rolls_back_and_reads_again() {
    let events = story(4, 900);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    let running = Running::start(&pool, &log, &quick());
    log.push(events[..300].to_vec());
    running.reached(300).await;
    // Somebody else, who does not ask for the lock: as after a split that the server has not noticed yet.
    let other = async {
        let elsewhere = MemoryLog::new();
        elsewhere.push(events[..600].to_vec());
        let mut admin = pool.acquire().await.unwrap();
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid() \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .execute(&mut *admin)
        .await
        .unwrap();
        let options = ReplayOptions { from_start: false, ..ReplayOptions::default() };
        match replay(&pool, elsewhere, projections::all(), &options).await {
            // The runner may be back before the other has the lock; then they compete for each batch.
            Ok(_) | Err(ReplayError::Busy(_) | ReplayError::Overtaken(_)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    tokio::time::timeout(PATIENCE, other).await.unwrap();
    log.push(events[300..].to_vec());
    running.reached(900).await;
    running.stop().await;
    assert_same(&dump(&pool).await.unwrap(), &replayed(&events).await);
}

/// A checkpoint that moved under the runner's feet.
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_checkpoint_is_believed_more_than_memory() {
    let events = story(5, 400);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    let running = Running::start(&pool, &log, &quick());
    log.push(events[..200].to_vec());
    running.reached(200).await;
    // The database was restored to before: rows and checkpoint alike.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("UPDATE projection_checkpoints SET position = 0").execute(&mut *transaction).await.unwrap();
    for projection in projections::all() {
        for table in projection.tables() {
            sqlx::query(&format!("DELETE FROM {table}")).execute(&mut *transaction).await.unwrap();
        }
    }
    transaction.commit().await.unwrap();
    log.push(events[200..].to_vec());
    running.reached(400).await;
    running.stop().await;
    assert_same(&dump(&pool).await.unwrap(), &replayed(&events).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_connections_cost_nothing_but_time() {
    let events = story(6, 2_000);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    let running = Running::start(&pool, &log, &quick());
    for part in events.chunks(100) {
        log.push(part.to_vec());
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND application_name = 'cmdiag projector'";
        sqlx::query(kill).execute(&pool).await.unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    running.reached(2_000).await;
    running.stop().await;
    assert_same(&dump(&pool).await.unwrap(), &replayed(&events).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_waits_for_a_live_runner_only_so_long() {
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(story(7, 50));
    let running = Running::start(&pool, &log, &quick());
    running.reached(50).await;
    let options = ReplayOptions { lock_wait: Duration::from_millis(100), ..ReplayOptions::default() };
    let refused = replay(&pool, log.clone(), projections::all(), &options).await;
    assert!(matches!(refused, Err(ReplayError::Busy(_))), "{refused:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_an_older_version_is_filled_anew() {
    let events = story(8, 300);
    let database = TestDatabase::migrated().await;
    let pool = database.pool().await;
    let log = MemoryLog::new();
    log.push(events.clone());
    let running = Running::start(&pool, &log, &quick());
    running.reached(300).await;
    running.stop().await;
    sqlx::query("UPDATE projection_checkpoints SET version = 0").execute(&pool).await.unwrap();
    sqlx::query("UPDATE view_runs SET profile = 'spoilt'").execute(&pool).await.unwrap();
    let running = Running::start(&pool, &log, &quick());
    running.reached(300).await;
    running.stop().await;
    assert_same(&dump(&pool).await.unwrap(), &replayed(&events).await);
}
