//! Snapshots: a load that begins at one gives what a full one gives, and one that does not fit is left aside.

use command_side::{BusOptions, CommandBus, SnapshotCounts, SnapshotOptions, Snapshots};
use domain::any_event::{
    AUDIT_KEYS, DEPLOYMENT, DIAGNOSTIC_RUN, EMERGENCY_STOP, FINDING, POLICY, PROJECTION_CONTROL, REMEDIATION, SUBJECT,
};
use domain::audit_keys::AuditKeys;
use domain::deployment::Deployment;
use domain::diagnostic_run::DiagnosticRun;
use domain::emergency_stop::EmergencyStop;
use domain::finding::Finding;
use domain::policy::Policy;
use domain::projection_control::{ProjectionControl, ProjectionControlEvent};
use domain::remediation::Remediation;
use domain::subject::Subject;
use domain::{AnyEvent, Decider, Position};
use event_store::{EventLog, RecordedEvent, StreamId};
use private_servers::testing::TestDatabase;
use projections::testing::{MemoryLog, Story, recorded};
use sqlx::{Executor, PgPool};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Calls a generic function for the aggregate of a type; an aggregate that is missing here fails the test.
macro_rules! for_aggregate {
    ($type:expr, $function:ident($($argument:expr),*)) => {
        match &*$type {
            AUDIT_KEYS => $function::<AuditKeys>($($argument),*),
            DEPLOYMENT => $function::<Deployment>($($argument),*),
            DIAGNOSTIC_RUN => $function::<DiagnosticRun>($($argument),*),
            EMERGENCY_STOP => $function::<EmergencyStop>($($argument),*),
            FINDING => $function::<Finding>($($argument),*),
            POLICY => $function::<Policy>($($argument),*),
            PROJECTION_CONTROL => $function::<ProjectionControl>($($argument),*),
            REMEDIATION => $function::<Remediation>($($argument),*),
            SUBJECT => $function::<Subject>($($argument),*),
            other => panic!("{other} is not tried"),
        }
    };
}

/// A story of every kind of aggregate, by stream; decisions about a projection among them.
fn told(seed: u64, events: usize) -> Vec<RecordedEvent> {
    let mut told: Vec<_> = Story::with_remedies(seed).take(events).collect();
    for nth in 1..=9 {
        let event = AnyEvent::ProjectionControl(ProjectionControlEvent::PoisonEventSkipped {
            projection: "runs".to_owned(),
            position: Position(nth * 3),
            failure: "does not decode".to_owned(),
            reason: format!("the {nth}. time"),
            by: "ann".parse().expect("an actor"),
            at: chrono::DateTime::UNIX_EPOCH,
        });
        let position = events as i64 + nth;
        told.push(recorded(position, nth, ProjectionControl::of("runs"), &event, chrono::DateTime::UNIX_EPOCH));
    }
    told
}

fn by_stream(events: &[RecordedEvent]) -> BTreeMap<StreamId, Vec<RecordedEvent>> {
    let mut streams: BTreeMap<StreamId, Vec<RecordedEvent>> = BTreeMap::new();
    for event in events {
        streams.entry(event.stream.clone()).or_default().push(event.clone());
    }
    streams
}

fn evolve<D: Decider>(state: &mut D::State, events: &[RecordedEvent]) {
    for event in events.iter().flat_map(RecordedEvent::parts) {
        D::evolve(state, &serde_json::from_str(event.payload.get()).expect("a payload"));
    }
}

/// Wherever a stream is cut: the state, written down and read back, is the same, and so is what follows.
fn a_written_state_is_the_state<D: Decider>(events: &[RecordedEvent]) {
    let mut whole = D::State::default();
    evolve::<D>(&mut whole, events);
    for cut in 0..=events.len() {
        let mut state = D::State::default();
        evolve::<D>(&mut state, &events[..cut]);
        let text = serde_json::to_string(&state).expect("a state has JSON");
        let mut read: D::State = serde_json::from_str(&text).expect("and is read back");
        assert_eq!(read, state, "{} cut after {cut}", D::TYPE);
        evolve::<D>(&mut read, &events[cut..]);
        assert_eq!(read, whole, "{} cut after {cut}", D::TYPE);
    }
}

#[test]
fn every_state_survives_being_written_down_wherever_the_stream_is_cut() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 1..=8 {
        for (stream, events) in by_stream(&told(seed, 900)) {
            for_aggregate!(stream.aggregate_type, a_written_state_is_the_state(&events));
            kinds.insert(stream.aggregate_type);
        }
    }
    assert!(kinds.len() >= 7, "{kinds:?}");
    // Their events are made where their own tests are; here, that a state has JSON at all.
    a_written_state_is_the_state::<AuditKeys>(&[]);
    a_written_state_is_the_state::<Subject>(&[]);
}

struct Stage {
    _database: TestDatabase,
    pool: PgPool,
    log: Arc<MemoryLog>,
    cancel: CancellationToken,
}

impl Stage {
    async fn new() -> Self {
        let database = TestDatabase::migrated().await;
        let pool = database.pool().await;
        Self { _database: database, pool, log: MemoryLog::new(), cancel: CancellationToken::new() }
    }

    /// A bus that knows nothing yet, and its snapshots.
    fn bus(&self, schema: &str) -> (CommandBus, Arc<Snapshots>) {
        let options = SnapshotOptions { after_events: 3, state_schema: schema.to_owned() };
        let snapshots = Snapshots::start(self.pool.clone(), options, &self.cancel);
        let options =
            BusOptions { cache_kilobytes: 0, snapshots: Some(Arc::clone(&snapshots)), ..BusOptions::default() };
        (CommandBus::new(Arc::clone(&self.log) as Arc<dyn EventLog>, options), snapshots)
    }

    /// Loads every stream, from snapshots where there are some, and compares with full loads.
    async fn load_all(&self, schema: &str) -> SnapshotCounts {
        let (bus, snapshots) = self.bus(schema);
        let whole = CommandBus::new(Arc::clone(&self.log) as Arc<dyn EventLog>, BusOptions::default());
        let all = self.log.read_all(Position::START, usize::MAX).await.expect("the log");
        for stream in by_stream(&all).into_keys() {
            let id: Uuid = stream.aggregate_id.parse().expect("an id");
            for_aggregate!(stream.aggregate_type, same(&bus, &whole, id)).await;
            snapshots.written().await;
        }
        snapshots.counts()
    }
}

/// One future type for all aggregates.
fn same<'a, D: Decider>(one: &'a CommandBus, other: &'a CommandBus, id: Uuid) -> futures::future::BoxFuture<'a, ()> {
    Box::pin(async move {
        let loaded = one.load::<D>(id).await.expect("loads");
        assert_eq!(loaded, other.load::<D>(id).await.expect("loads"), "{}", D::TYPE);
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_from_a_snapshot_is_a_full_load() {
    for seed in 31..=33 {
        let stage = Stage::new().await;
        let events = told(seed, 700);
        // Told in pieces: each piece is loaded from the snapshots that the one before left.
        let mut taken_up = 0;
        for piece in events.chunks(173) {
            stage.log.push(piece.to_vec());
            let counts = stage.load_all("1").await;
            assert_eq!(counts.damaged, 0);
            taken_up += counts.taken_up;
        }
        assert!(taken_up > 20, "{taken_up}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_left_aside_and_damage_is_reported() {
    let stage = Stage::new().await;
    stage.log.push(told(34, 400));
    let first = stage.load_all("1").await;
    assert!(first.written > 5 && first.taken_up == 0, "{first:?}");
    let again = stage.load_all("1").await;
    assert_eq!((again.taken_up, again.written), (first.written, 0));
    // Of another way of folding: none is taken up, and all are written anew.
    let other = stage.load_all("2").await;
    assert_eq!(other, SnapshotCounts { taken_up: 0, written: first.written, damaged: 0 });
    for damage in [
        "UPDATE cmdiag.snapshots SET state = replace(state, '1', '2')",
        "UPDATE cmdiag.snapshots SET state = left(state, -1)",
        "UPDATE cmdiag.snapshots SET digest = pg_catalog.sha256('x'::bytea)",
        "UPDATE cmdiag.snapshots SET version = version - 1",
        "UPDATE cmdiag.snapshots SET last_event = gen_random_uuid()",
    ] {
        stage.pool.execute(damage).await.expect("the vandal");
        let seen = stage.load_all("2").await;
        assert!(seen.damaged > 0, "{damage}: {seen:?}");
        // Written anew, they are whole again.
        assert_eq!(stage.load_all("2").await.damaged, 0, "{damage}");
    }
}

/// A snapshot that is whole, but of a history that this log does not hold (a restored backup).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_another_history_is_left_aside() {
    let mut stage = Stage::new().await;
    stage.log.push(told(35, 400));
    let written = stage.load_all("1").await.written;
    stage.log = MemoryLog::new();
    let mut others = told(35, 400);
    for event in &mut others {
        event.event_id = Uuid::new_v5(&event.event_id, b"another history");
    }
    stage.log.push(others);
    let seen = stage.load_all("1").await;
    assert_eq!((seen.taken_up, seen.damaged), (0, written));
}
