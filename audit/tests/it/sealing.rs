//! The sealer: whole, once, in order; resumable; fail closed; checkpoints at bounded intervals.

use crate::support::{PATIENCE, World, new_stream};
use audit::store;
use audit::{SealerOptions, SealerState};
use event_store::EventLog;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_appended_is_sealed_and_proven() {
    let world = World::new().await;
    world.tell(7, 60).await;
    world.seal().await;
    let report = world.verify().await;
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!((report.events, report.unsealed), (421, 0));
    assert_eq!((report.proven.sealed_to, report.proven.signed_to), (421, 421));
    assert_eq!(report.checkpoints, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealer_that_comes_again_goes_on_where_it_was() {
    let world = World::new().await;
    let stream = new_stream();
    // Sizes around the borders of stored nodes, batches that cut streams.
    let mut version = 0;
    for count in [1, 254, 1, 1, 300, 700, 3] {
        world.append(&stream, version, count).await;
        version += count;
        let running = world.start(SealerOptions { batch_events: 97, ..world.options() });
        running.reaches(world.log.head().await.unwrap()).await;
        running.stop().await;
    }
    let report = world.verify().await;
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!((report.proven.signed_to, report.checkpoints), (1_261, 7));
    let nodes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM cmdiag.audit_nodes").fetch_one(&world.pool).await.unwrap();
    assert_eq!(nodes, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_follows_writers_while_they_write() {
    let world = World::new().await;
    let running = world.start(SealerOptions { checkpoint_events: 50, ..world.options() });
    world.tell(5, 80).await;
    running.reaches(world.log.head().await.unwrap()).await;
    running.stop().await;
    let report = world.verify().await;
    assert!(report.holds(), "{:?}", report.faults);
    assert!(report.checkpoints >= 3, "{} checkpoints", report.checkpoints);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sealer_at_a_time_and_another_takes_over() {
    let world = World::new().await;
    let first = world.start(world.options());
    first.reaches(world.log.head().await.unwrap()).await;
    let second = world.start(world.options());
    let mut status = second.handle.status();
    let standby = status.wait_for(|status| status.state == SealerState::Standby);
    tokio::time::timeout(PATIENCE, standby).await.expect("the second stands by").unwrap();
    first.stop().await;
    world.tell(2, 10).await;
    second.reaches(world.log.head().await.unwrap()).await;
    second.stop().await;
    assert!(world.verify().await.holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_come_by_the_clock_and_by_the_number_of_events() {
    let world = World::new().await;
    let every = SealerOptions { checkpoint_events: 100, checkpoint_every: Duration::from_secs(10), ..world.options() };
    let running = world.start(every);
    running.reaches(world.log.head().await.unwrap()).await;
    let mut status = running.handle.status();
    assert!(status.borrow().checkpoint.is_none(), "one event is no reason yet");
    world.clock.advance(10);
    let signed = status.wait_for(|status| status.checkpoint.as_ref().is_some_and(|one| one.number == 1));
    tokio::time::timeout(PATIENCE, signed).await.expect("signed by the clock").unwrap();
    world.append(&new_stream(), 0, 150).await;
    let signed = status.wait_for(|status| status.checkpoint.as_ref().is_some_and(|one| one.number >= 2));
    tokio::time::timeout(PATIENCE, signed).await.expect("signed by the number").unwrap();
    running.stop().await;
    assert!(world.verify().await.holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_it_seals_and_says_so() {
    let world = World::without_key().await;
    world.tell(2, 5).await;
    let running = world.start(SealerOptions { checkpoint_events: 1, ..world.options() });
    running.reaches(world.log.head().await.unwrap()).await;
    let mut status = running.handle.status();
    let told = status.wait_for(|status| status.signing_failure.is_some());
    tokio::time::timeout(PATIENCE, told).await.expect("it says that it can not sign").unwrap();
    world.register().await;
    let signed = status.wait_for(|status| status.checkpoint.is_some() && status.signing_failure.is_none());
    tokio::time::timeout(PATIENCE, signed).await.expect("it signs once there is a key").unwrap();
    running.stop().await;
    let report = world.verify().await;
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!(report.proven.signed_to, 11);
}

/// An event that is changed after it was sealed is not sealed anew, and one that is gone stops its stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_is_never_sealed_anew() {
    let (world, _) = World::sealed(2).await;
    let mut owner = world.owner().await;
    let stream = new_stream();
    world.append(&stream, 0, 3).await;
    world.seal().await;
    let seals = store::seals(&world.pool, 0, 1_000).await.unwrap();
    let end = store::sealed_to(&world.pool).await.unwrap() as i64;
    sqlx::query("UPDATE cmdiag.events SET event_type = 'Other' WHERE position = 3").execute(&mut owner).await.unwrap();
    world.seal().await;
    assert_eq!(store::seals(&world.pool, 0, 1_000).await.unwrap(), seals);
    // The last event of a stream goes, and the stream goes on.
    sqlx::query("DELETE FROM cmdiag.events WHERE position = $1 - 1").bind(end).execute(&mut owner).await.unwrap();
    let forged = "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
        metadata) SELECT aggregate_type, aggregate_id, sequence + 2, event_type, event_version, payload, metadata \
        FROM cmdiag.events WHERE position = $1";
    sqlx::query(forged).bind(end).execute(&mut owner).await.unwrap();
    let running = world.start(world.options());
    let why = running.fails().await;
    assert!(why.contains(&format!("position {}", end + 1)) && why.contains("not in the log"), "{why}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_before_its_seals_is_not_gone_on_from() {
    let (world, _) = World::sealed(2).await;
    let mut owner = world.owner().await;
    sqlx::query("DELETE FROM cmdiag.events WHERE position > 15").execute(&mut owner).await.unwrap();
    let running = world.start(world.options());
    let why = running.fails().await;
    assert!(why.contains("position 16") && why.contains("sealed up to 21"), "{why}");
    running.stop().await;
    // Nor seals that a checkpoint knows nothing of.
    sqlx::query("DELETE FROM cmdiag.audit_seals WHERE last_position > 11").execute(&mut owner).await.unwrap();
    let running = world.start(world.options());
    let why = running.fails().await;
    assert!(why.contains("only 11 are sealed"), "{why}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_the_positions_stops_it() {
    let world = World::new().await;
    world.append(&new_stream(), 0, 5).await;
    let mut owner = world.owner().await;
    sqlx::query("DELETE FROM cmdiag.events WHERE position = 3").execute(&mut owner).await.unwrap();
    let running = world.start(world.options());
    let why = running.fails().await;
    assert!(why.contains("position 3"), "{why}");
    running.stop().await;
}
