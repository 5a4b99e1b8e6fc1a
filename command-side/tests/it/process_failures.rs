//! What the process managers do when something goes wrong around them.

use crate::stage::{Stage, caught_up, eventually, status};
use crate::support::{new_run, request_of, send_as};
use command_side::testing::metadata;
use domain::Position;
use domain::diagnostic_run::{DiagnosticRun, RunPhase};
use domain::testing::DEPLOYMENT;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_active_and_another_takes_over() {
    let (_, stage) = Stage::in_memory().await;
    let first = stage.start();
    for status in first.statuses() {
        status.clone().wait_for(|status| status.active).await.expect("it runs");
    }
    let second = stage.start();
    let run = stage.request(DEPLOYMENT, "1").await;
    stage.reaches(run, RunPhase::Planned).await;
    assert!(second.statuses().iter().all(|status| !status.borrow().active), "two at once");
    first.stop().await;
    for status in second.statuses() {
        let mut status = status.clone();
        let active = status.wait_for(|status| status.active);
        tokio::time::timeout(Duration::from_secs(10), active).await.expect("within the bound").expect("it runs");
    }
    let run = stage.request(DEPLOYMENT, "1").await;
    stage.reaches(run, RunPhase::Planned).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_log_is_survived() {
    let (log, stage) = Stage::in_memory().await;
    let run = stage.request(DEPLOYMENT, "1").await;
    log.unwritable.store(true, Ordering::SeqCst);
    let managers = stage.start();
    let mut planner = status(&managers, "run-planner").clone();
    let failing = planner.wait_for(|status| status.failure.is_some());
    let failing = tokio::time::timeout(Duration::from_secs(30), failing).await.expect("it shows").expect("it runs");
    assert!(failing.active && failing.last_error.is_some(), "{failing:?}");
    drop(failing);
    assert_eq!(stage.run(run).await.phase, RunPhase::Requested);
    log.unwritable.store(false, Ordering::SeqCst);
    stage.reaches(run, RunPhase::Planned).await;
    caught_up(&managers, Position(log.events().len() as i64)).await;
    managers.stop().await;
    // It stops while the log is away, too.
    stage.request(DEPLOYMENT, "1").await;
    log.unwritable.store(true, Ordering::SeqCst);
    let managers = stage.start();
    let mut planner = status(&managers, "run-planner").clone();
    planner.wait_for(|status| status.failure.is_some()).await.expect("it runs");
    tokio::time::timeout(Duration::from_secs(10), managers.stop()).await.expect("it stops within the bound");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_are_survived() {
    let stage = Stage::on_postgres().await;
    let managers = stage.start();
    let run = stage.request(DEPLOYMENT, "1").await;
    stage.reaches(run, RunPhase::Planned).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(others).execute(&stage.pool).await.expect("the database answers");
    // The request itself may meet a broken connection: repeating it is safe.
    let (run, asked) = (new_run(), metadata());
    let request = request_of(run, DEPLOYMENT, "1");
    let requested = || async { send_as(&stage.bus, run, request.clone(), asked.clone()).await.is_ok() };
    eventually("requested", requested).await;
    let planned = || async {
        let loaded = stage.bus.load::<DiagnosticRun>(run.0).await;
        loaded.is_ok_and(|(state, _)| state.phase == RunPhase::Planned)
    };
    eventually("planned", planned).await;
    managers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_the_lease_moves_no_checkpoint() {
    let (_, stage) = Stage::in_memory().await;
    let managers = stage.start();
    let mut planner = status(&managers, "run-planner").clone();
    planner.wait_for(|status| status.active && status.lag_events == 0).await.expect("it runs");
    eventually("it is saved", || async { stage.checkpoint("run-planner").await > 0 }).await;
    let before = stage.checkpoint("run-planner").await;
    let stolen = "UPDATE process_leases
                     SET holder = 'another', epoch = epoch + 1, until = clock_timestamp() + interval '4 seconds'
                   WHERE name = 'run-planner'";
    sqlx::query(stolen).execute(&stage.pool).await.expect("the database answers");
    let run = stage.request(DEPLOYMENT, "1").await;
    let lost = tokio::time::timeout(Duration::from_secs(10), planner.wait_for(|status| !status.active)).await;
    drop(lost.expect("within the bound").expect("it runs"));
    assert_eq!(stage.checkpoint("run-planner").await, before, "a lost lease moved the checkpoint");
    // The other ends without giving the lease up: it runs out, and is taken.
    let again = tokio::time::timeout(Duration::from_secs(10), planner.wait_for(|status| status.active)).await;
    drop(again.expect("within the bound").expect("it runs"));
    stage.reaches(run, RunPhase::Planned).await;
    eventually("the checkpoint moves", || async { stage.checkpoint("run-planner").await > before }).await;
    managers.stop().await;
}
