//! The copy beside the views is the log: the same events in the same places, the same outcomes of commands.

use super::double::Fault;
use super::scene::Scene;
use crate::support::{append, append_by, command, new_stream, read_rest, refusal, within};
use domain::{CommandId, Position};
use event_store::{DatabaseCopy, EventLog, KurrentEventLog, LogError, PostgresEventLog, PostgresLogOptions};
use private_servers::testing::TestDatabase;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

async fn kurrent(scene: &Scene) -> Arc<KurrentEventLog> {
    KurrentEventLog::connect(scene.options()).await.unwrap()
}

async fn start(log: &Arc<KurrentEventLog>, database: &TestDatabase) -> (DatabaseCopy, CancellationToken) {
    let cancel = CancellationToken::new();
    let copy = DatabaseCopy::start(Arc::clone(log), database.pool().await, cancel.clone()).await.unwrap();
    (copy, cancel)
}

async fn reaches(copy: &DatabaseCopy, position: i64) {
    let mut copied = copy.copied();
    let there = |copied: &Result<Position, LogError>| copied.as_ref().is_ok_and(|at| at.0 >= position);
    within("the copy", copied.wait_for(there)).await.unwrap();
}

/// The native log over the copied tables gives what KurrentDB gives.
async fn assert_same(log: &KurrentEventLog, database: &TestDatabase) -> Vec<event_store::RecordedEvent> {
    let native = PostgresEventLog::connect(database.pool().await, PostgresLogOptions::default()).await.unwrap();
    let (there, here) = (read_rest(log, Position::START).await, read_rest(&*native, Position::START).await);
    assert_eq!(there.len(), here.len());
    for (there, here) in there.iter().zip(&here) {
        assert_eq!((there.position, &there.stream, there.version), (here.position, &here.stream, here.version));
        assert_eq!((there.event_id, &there.event_type), (here.event_id, &here.event_type));
        assert_eq!((&there.event_version, there.payload.get()), (&here.event_version, here.payload.get()));
        assert_eq!((&there.metadata, there.recorded_at), (&here.metadata, here.recorded_at));
        let id = there.metadata.command_id;
        let outcomes = futures::join!(
            log.command_outcome(id, command(1).body_hash),
            native.command_outcome(id, command(1).body_hash)
        );
        assert_eq!(outcomes.0.unwrap(), outcomes.1.unwrap());
    }
    here
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_follows_and_goes_on_after_a_restart() {
    let (scene, database) = (Scene::new().await, TestDatabase::migrated().await);
    let log = kurrent(&scene).await;
    let streams = [new_stream(), new_stream()];
    log.append(append(&streams[0], 0, 3)).await.unwrap();
    let (copy, cancel) = start(&log, &database).await;
    reaches(&copy, 3).await;
    log.append(append(&streams[1], 0, 700)).await.unwrap();
    reaches(&copy, 703).await;
    cancel.cancel();
    log.append(append(&streams[0], 3, 2)).await.unwrap();
    // Two processes at once go on, and write each row once.
    let (one, _one) = start(&log, &database).await;
    let (two, _two) = start(&kurrent(&scene).await, &database).await;
    for n in 0..30 {
        log.append(append(&streams[1], 700 + n, 1)).await.unwrap();
    }
    reaches(&one, 735).await;
    reaches(&two, 735).await;
    assert_eq!(assert_same(&log, &database).await.len(), 735);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_without_events_are_copied_too() {
    let (scene, database) = (Scene::new().await, TestDatabase::migrated().await);
    let log = kurrent(&scene).await;
    let (copy, _cancel) = start(&log, &database).await;
    let stream = new_stream();
    let [idle, refused, void, accepted] = [(); 4].map(|()| Uuid::now_v7());
    log.append(append_by(idle, &stream, 0, 0)).await.unwrap();
    log.record_refusal(refusal(refused, &stream)).await.unwrap();
    // One whose process died, and whose stream went on.
    let [_, aggregates, _] = scene.kinds();
    scene.dies_at(&aggregates, append_by(void, &stream, 0, 2)).await;
    log.append(append_by(accepted, &stream, 0, 2)).await.unwrap();
    reaches(&copy, 2).await;
    let native = PostgresEventLog::connect(database.pool().await, PostgresLogOptions::default()).await.unwrap();
    for (id, there) in [(idle, true), (refused, true), (void, false), (accepted, true)] {
        let id = CommandId(id);
        let copied = native.command_outcome(id, command(1).body_hash).await.unwrap();
        assert_eq!(copied.is_some(), there);
        assert_eq!(copied, log.command_outcome(id, command(1).body_hash).await.unwrap());
    }
    // Refused after the newest event: it has no position, and comes all the same.
    let last = Uuid::now_v7();
    log.record_refusal(refusal(last, &stream)).await.unwrap();
    let copied = crate::support::eventually("the refusal is copied", async || {
        native.command_outcome(CommandId(last), command(1).body_hash).await.unwrap()
    });
    copied.await;
    let causes: Vec<(Option<Uuid>, i32)> =
        sqlx::query_as("SELECT correlation_id, events FROM cmdiag.commands WHERE tenant = 'default'")
            .fetch_all(&database.pool().await)
            .await
            .unwrap();
    assert_eq!(causes.len(), 4);
    assert!(causes.iter().all(|(correlation, events)| correlation.is_some() == (*events == 0)), "{causes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_outlives_what_breaks() {
    let (scene, database) = (Scene::new().await, TestDatabase::migrated().await);
    let log = kurrent(&scene).await;
    let (copy, _cancel) = start(&log, &database).await;
    let stream = new_stream();
    for n in 0..20 {
        scene.double.plant("Read", scene.name.clone(), 3, Fault::DropBefore);
        log.append(append(&stream, n, 1)).await.unwrap();
        if n % 5 == 0 {
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            sqlx::query(kill).execute(&database.pool().await).await.unwrap();
        }
    }
    reaches(&copy, 20).await;
    assert_same(&log, &database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_log_is_refused() {
    let (scene, database) = (Scene::new().await, TestDatabase::migrated().await);
    let native = PostgresEventLog::connect(database.pool().await, PostgresLogOptions::default()).await.unwrap();
    native.append(append(&new_stream(), 0, 2)).await.unwrap();
    let log = kurrent(&scene).await;
    for events in [0, 2] {
        if events > 0 {
            log.append(append(&new_stream(), 0, events)).await.unwrap();
        }
        let refused = DatabaseCopy::start(Arc::clone(&log), database.pool().await, CancellationToken::new()).await;
        assert!(matches!(refused.err(), Some(LogError::Damaged { position: Position(2), .. })));
    }
}
