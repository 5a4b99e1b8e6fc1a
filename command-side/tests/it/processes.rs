//! What the process managers do, on the double of the log with PostgreSQL behind their memory, and on PostgreSQL alone.

use crate::stage::{Stage, caught_up, eventually, finding};
use crate::support::{new_run, record, refusal, register, request_of, send};
use command_side::testing::metadata;
use domain::deployment::DeploymentCommand;
use domain::diagnostic_run::{RunCommand, RunPhase};
use domain::finding::{Finding, FindingCommand, FindingPhase};
use domain::testing::{DEPLOYMENT, check_result, problem_result, register as sample};
use domain::{DeploymentId, Outcome, Position};
use uuid::Uuid;

async fn a_problem_opens_and_resolves(stage: &Stage) {
    let managers = stage.start();
    stage.diagnose(problem_result(0, Outcome::Critical, &["store-1/a", "store-1/b"])).await;
    for resource in ["store-1/a", "store-1/b"] {
        let opened = || async { stage.finding(finding(resource)).await.phase == FindingPhase::Open };
        eventually("opened", opened).await;
    }
    // Seen again, and the other no more; what was not measured changes nothing.
    stage.diagnose(problem_result(0, Outcome::Critical, &["store-1/a"])).await;
    stage.diagnose(check_result(0, Outcome::Unknown)).await;
    stage.diagnose(check_result(0, Outcome::Ok)).await;
    let resolved = || async { stage.finding(finding("store-1/b")).await.phase == FindingPhase::Resolved };
    eventually("resolved", resolved).await;
    let other = || async { stage.finding(finding("store-1/a")).await.window.in_a_row(false) == 1 };
    eventually("recovering", other).await;
    assert_eq!(stage.finding(finding("store-1/a")).await.occurrences, 2);
    let remembered = || async { stage.remembered("process_open_findings").await == 1 };
    eventually("one is remembered", remembered).await;
    stage.diagnose(check_result(0, Outcome::Ok)).await;
    eventually("none is remembered", || async { stage.remembered("process_open_findings").await == 0 }).await;
    eventually("no run is remembered", || async { stage.remembered("process_open_runs").await == 0 }).await;
    managers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_become_findings_in_memory() {
    a_problem_opens_and_resolves(&Stage::in_memory().await.1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn problems_become_findings_on_postgres() {
    a_problem_opens_and_resolves(&Stage::on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_can_not_be_planned_fails_with_the_reason() {
    let (log, stage) = Stage::in_memory().await;
    let retired = DeploymentId(Uuid::now_v7());
    register(&stage.bus, retired, sample()).await;
    register(&stage.bus, retired, DeploymentCommand::Retire { reason: "moved".to_owned() }).await;
    let managers = stage.start();
    let rows = [
        (DEPLOYMENT, "none", "there is no profile"),
        (DEPLOYMENT, "twice", "its plan was refused"),
        (retired, "1", "retired"),
        (DeploymentId(Uuid::now_v7()), "1", "no such deployment"),
    ];
    for (deployment, profile, reason) in rows {
        let run = stage.request(deployment, profile).await;
        stage.reaches(run, RunPhase::Failed).await;
        let events = log.events();
        let failed = events.iter().rfind(|event| event.event_type == "RunFailed").expect("it failed");
        assert!(failed.payload.get().contains(reason), "{}", failed.payload);
        let requested = events.iter().rfind(|event| event.event_type == "RunRequested").expect("it was requested");
        assert_eq!(failed.metadata.causation_id, Some(requested.event_id));
        assert_eq!(failed.metadata.correlation_id, requested.metadata.correlation_id);
    }
    // A run cancelled before it was planned is no trouble.
    let run = new_run();
    send(&stage.bus, run, request_of(run, DEPLOYMENT, "1")).await.expect("it is new");
    let _ = send(&stage.bus, run, RunCommand::Cancel { reason: "enough".to_owned() }).await;
    caught_up(&managers, Position(log.events().len() as i64)).await;
    managers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answering_again_from_the_start_changes_nothing() {
    let (log, stage) = Stage::in_memory().await;
    a_problem_opens_and_resolves(&stage).await;
    let events = log.events().len();
    // As if nothing had ever been saved.
    for table in ["process_checkpoints", "process_open_findings", "process_open_runs"] {
        let forget = sqlx::query(&format!("DELETE FROM {table}")).execute(&stage.pool).await;
        forget.expect("the database answers");
    }
    let managers = stage.start();
    caught_up(&managers, Position(events as i64)).await;
    managers.stop().await;
    assert_eq!(log.events().len(), events, "answering again did something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_from_the_checkpoint() {
    let (log, stage) = Stage::in_memory().await;
    let managers = stage.start();
    stage.diagnose(problem_result(0, Outcome::Warning, &["store-1/a"])).await;
    eventually("opened", || async { stage.finding(finding("store-1/a")).await.phase == FindingPhase::Open }).await;
    managers.stop().await;
    let checkpoint = stage.checkpoint("finding-keeper").await;
    assert!(checkpoint > 0 && checkpoint <= log.events().len() as i64);
    // The memory survives: the next process knows what is open.
    let managers = stage.start();
    stage.diagnose(check_result(0, Outcome::Ok)).await;
    stage.diagnose(check_result(0, Outcome::Ok)).await;
    let resolved = || async { stage.finding(finding("store-1/a")).await.phase == FindingPhase::Resolved };
    eventually("resolved", resolved).await;
    managers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overdue_runs_time_out() {
    let (_, stage) = Stage::in_memory().await;
    let managers = stage.start();
    let overdue = stage.request(DEPLOYMENT, "2").await;
    stage.reaches(overdue, RunPhase::Planned).await;
    // Remembered over a restart.
    managers.stop().await;
    stage.clock.advance(chrono::TimeDelta::minutes(30));
    let managers = stage.start();
    let in_time = stage.request(DEPLOYMENT, "2").await;
    stage.reaches(in_time, RunPhase::Planned).await;
    stage.clock.advance(chrono::TimeDelta::minutes(31));
    stage.reaches(overdue, RunPhase::TimedOut).await;
    let ended = send(&stage.bus, overdue, record(vec![check_result(0, Outcome::Ok)])).await;
    assert_eq!(refusal(ended), "run_already_ended");
    eventually("it is forgotten", || async { stage.remembered("process_open_runs").await == 1 }).await;
    managers.stop().await;
    assert_eq!(stage.run(in_time).await.phase, RunPhase::Planned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_positive_is_left_alone_until_it_is_withdrawn() {
    let (log, stage) = Stage::in_memory().await;
    let managers = stage.start();
    let id = finding("store-1/a");
    stage.diagnose(problem_result(0, Outcome::Warning, &["store-1/a"])).await;
    eventually("opened", || async { stage.finding(id).await.phase == FindingPhase::Open }).await;
    let mark = FindingCommand::MarkFalsePositive { reason: "as meant".to_owned() };
    stage.bus.execute::<Finding>(id.0, mark, metadata()).await.expect("it is open");
    caught_up(&managers, Position(log.events().len() as i64)).await;
    let before = stage.finding(id).await;
    for _ in 0..2 {
        stage.diagnose(check_result(0, Outcome::Ok)).await;
    }
    caught_up(&managers, Position(log.events().len() as i64)).await;
    assert_eq!(stage.finding(id).await, before);
    let withdraw = FindingCommand::WithdrawFalsePositive { reason: "it is real".to_owned() };
    stage.bus.execute::<Finding>(id.0, withdraw, metadata()).await.expect("it is marked");
    for _ in 0..2 {
        stage.diagnose(check_result(0, Outcome::Ok)).await;
    }
    eventually("resolved", || async { stage.finding(id).await.phase == FindingPhase::Resolved }).await;
    managers.stop().await;
}
