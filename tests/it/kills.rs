//! `kill -9` at random moments of runs: every run goes on or ends cleanly, no result is lost, none is counted twice.

use acceptance_tests::{Cmdiag, Serving};
use chrono::{TimeDelta, Utc};
use command_side::{BusOptions, CommandBus};
use domain::diagnostic_run::{CheckKey, DiagnosticRun, Priority, RunCommand, RunEvent};
use domain::{AnyEvent, CommandId, DeploymentId, Metadata, Position, RunId, StreamVersion};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions, StreamId};
use private_servers::testing::{TestDatabase, test_folder};
use rand::Rng;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const KILLS: usize = 50;

/// Six hosts, so that a run has a few dozen quick checks.
fn description() -> String {
    use std::fmt::Write;
    let mut text = "name = \"Office\"\nproduct_version = \"24.3\"\n".to_owned();
    for number in 1..=6 {
        write!(
            text,
            "[[component]]\nname = \"host-{number}\"\nkind = \"host\"\nsettings = {{ path = \"/\" }}\n\
             [[component]]\nname = \"wgs-{number}\"\nkind = \"workgroup-server\"\n\
             settings = {{ host = \"127.0.0.1\", port = \"1\" }}\n"
        )
        .unwrap();
    }
    text
}

async fn request(bus: &CommandBus, deployment: DeploymentId) -> RunId {
    let run = RunId(Uuid::now_v7());
    let command = RunCommand::Request {
        run,
        deployment,
        profile: "full".to_owned(),
        checks: Vec::new(),
        priority: Priority::Normal,
        deadline: Utc::now() + TimeDelta::seconds(240),
    };
    let metadata = Metadata::new("tester".parse().unwrap(), "default".parse().unwrap(), CommandId(Uuid::now_v7()));
    bus.execute::<DiagnosticRun>(run.0, command, metadata).await.unwrap();
    run
}

async fn events_of(log: &dyn EventLog, run: RunId) -> Vec<RunEvent> {
    let stream = StreamId::new(domain::any_event::DIAGNOSTIC_RUN, &run.to_string());
    let events = log.read_stream(stream, StreamVersion(0), 10_000).await.unwrap();
    let run_event = |event: &event_store::RecordedEvent| match event.decode().unwrap() {
        AnyEvent::Run(event) => event,
        other => panic!("{other:?} in a run's stream"),
    };
    events.iter().map(run_event).collect()
}

fn has_ended(events: &[RunEvent]) -> bool {
    events.iter().any(|event| {
        matches!(
            event,
            RunEvent::RunCompleted { .. }
                | RunEvent::RunTimedOut { .. }
                | RunEvent::RunFailed { .. }
                | RunEvent::RunCancelled { .. }
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_every_run_ends_with_each_result_once() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url());
    std::fs::write(folder.path().join("office.toml"), description()).unwrap();
    let added = cmdiag.run(&["deployment", "add", "office.toml", "--format", "json"]).await.succeeded().json();
    let deployment: DeploymentId = added["id"].as_str().unwrap().parse().unwrap();
    let log = PostgresEventLog::connect(database.pool().await, PostgresLogOptions::default()).await.unwrap();
    let log: Arc<dyn EventLog> = log;
    let bus = CommandBus::new(Arc::clone(&log), BusOptions::default());

    // Each role is in a process of its own in every third round, together in the others.
    let mut runs = Vec::new();
    for round in 0..KILLS {
        let roles = ["api,commands,projector,engine", "api,engine", "api,commands,projector"][round % 3];
        let mut serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0", "--roles", roles]).await;
        runs.push(request(&bus, deployment).await);
        let moment = rand::rng().random_range(0..400);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        serving.kill().await;
    }

    let serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0"]).await;
    let deadline = Instant::now() + Duration::from_secs(150);
    for run in &runs {
        while !has_ended(&events_of(log.as_ref(), *run).await) {
            assert!(Instant::now() < deadline, "run {run} has not ended:\n{}", serving.printed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let pool = database.pool().await;
    let head = log.head().await.unwrap();
    let caught_up = "SELECT coalesce(min(position), 0) FROM projection_checkpoints";
    while sqlx::query_scalar::<_, i64>(caught_up).fetch_one(&pool).await.unwrap() < head.0 {
        assert!(Instant::now() < deadline, "the views do not catch up:\n{}", serving.printed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let viewed: Vec<(Uuid, i64)> = sqlx::query_as("SELECT run_id, count(*) FROM view_check_results GROUP BY run_id")
        .fetch_all(&pool)
        .await
        .unwrap();
    let viewed: HashMap<Uuid, i64> = viewed.into_iter().collect();
    for run in &runs {
        let (planned, results) = planned_and_results(&events_of(log.as_ref(), *run).await);
        let keys: HashSet<&CheckKey> = results.iter().collect();
        assert_eq!(keys.len(), results.len(), "run {run}: a result is counted twice");
        assert_eq!(results.len(), planned, "run {run}: a result is missing");
        assert_eq!(
            viewed.get(&run.0).copied().unwrap_or(0),
            planned as i64,
            "run {run}: the view differs from the log"
        );
    }
    assert_eq!(positions(log.as_ref()).await, (1..=head.0).collect::<Vec<_>>(), "the log is dense");
}

/// How many checks were planned, and the keys of all results; the run completed.
fn planned_and_results(events: &[RunEvent]) -> (usize, Vec<CheckKey>) {
    let mut planned = 0;
    let mut keys = Vec::new();
    let mut completed = 0;
    for event in events {
        match event {
            RunEvent::RunPlanned { checks, .. } => planned += checks.len(),
            RunEvent::ChecksCompleted { results, .. } => keys.extend(results.iter().map(|result| result.key.clone())),
            RunEvent::RunCompleted { .. } => completed += 1,
            RunEvent::RunRequested { .. } | RunEvent::RunStarted { .. } => {}
            other => panic!("within its deadline a run only completes: {other:?}"),
        }
    }
    assert_eq!(completed, 1, "it completes once");
    assert!(planned > 0);
    (planned, keys)
}

async fn positions(log: &dyn EventLog) -> Vec<i64> {
    let mut all = Vec::new();
    let mut after = Position::START;
    loop {
        let page = log.read_all(after, 1_000).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = last.position;
        all.extend(page.iter().map(|event| event.position.0));
    }
}
