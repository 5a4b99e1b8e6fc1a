//! The bus on the double of the log: round trips, failures, damage.

use crate::bus_promises;
use crate::support::{bus, new_run, plan, record, refusal, request, send, send_as};
use command_side::testing::{InMemoryLog, metadata};
use command_side::{BusOptions, CommandBus, CommandError};
use domain::diagnostic_run::{DiagnosticRun, RunCommand, RunPhase};
use domain::testing::{check_result, planned_check};
use domain::{CommandId, Outcome, Position, StreamVersion};
use event_store::{
    Append, AppendError, Appended, CommandOutcome, CommandRecord, EventLog, Expected, LogError, NewEvent,
    RecordedEvent, RefusedCommand, StreamId,
};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use uuid::Uuid;

fn memory() -> (Arc<InMemoryLog>, Arc<dyn EventLog>) {
    let log = InMemoryLog::new();
    (Arc::clone(&log), log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_holds_its_promises() {
    bus_promises::hold(memory().1).await;
}

#[tokio::test]
async fn an_accepted_command_is_one_round_trip() {
    let (memory, log) = memory();
    let bus = bus(&log);
    let run = new_run();
    for (number, command) in [request(run), plan(2), RunCommand::Start].into_iter().enumerate() {
        send(&bus, run, command).await.expect("it is accepted");
        assert_eq!(memory.appends.load(Ordering::SeqCst), number + 1);
    }
    assert_eq!(memory.stream_reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_was_asked_is_in_the_metadata() {
    let (memory, log) = memory();
    let run = new_run();
    let asked = metadata();
    send_as(&bus(&log), run, request(run), asked.clone()).await.expect("it is new");
    let recorded = &memory.events()[0];
    assert_eq!((&recorded.metadata.actor, recorded.metadata.command_id), (&asked.actor, asked.command_id));
    assert!(recorded.metadata.traceparent.as_ref().is_some_and(|trace| trace.starts_with("00-")));
    assert_eq!((recorded.event_type.as_str(), recorded.event_version.as_str()), ("RunRequested", "1"));
}

#[tokio::test]
async fn a_long_stream_is_read_page_by_page() {
    let (memory, log) = memory();
    let (writer, reader) = (bus(&log), bus(&log));
    let run = new_run();
    send(&writer, run, request(run)).await.expect("it is new");
    send(&writer, run, plan(600)).await.expect("it is requested");
    for number in 0..599 {
        send(&writer, run, record(vec![check_result(number, Outcome::Ok)])).await.expect("it is planned");
    }
    memory.stream_reads.store(0, Ordering::SeqCst);
    // An error on the way is an error, not a shorter stream.
    memory.fail_stream_read.store(2, Ordering::SeqCst);
    let broken = reader.load::<DiagnosticRun>(run.0).await;
    assert!(matches!(broken, Err(CommandError::Unavailable(_))), "{broken:?}");
    let (state, version) = reader.load::<DiagnosticRun>(run.0).await.expect("the log answers");
    assert_eq!((state.done, version.0), (599, 602));
    send(&reader, run, record(vec![check_result(599, Outcome::Ok)])).await.expect("it is running");
}

#[tokio::test]
async fn a_lost_answer_is_found_by_repeating() {
    let (memory, log) = memory();
    let bus = bus(&log);
    let run = new_run();
    let asked = metadata();
    memory.lose_answers.store(1, Ordering::SeqCst);
    let request = request(run);
    let lost = send_as(&bus, run, request.clone(), asked.clone()).await;
    assert!(matches!(lost, Err(CommandError::Unavailable(_))), "{lost:?}");
    let found = send_as(&bus, run, request, asked).await.expect("it happened");
    assert!(found.repeated);
    assert_eq!(memory.event_types(), ["RunRequested"]);
    // The cache does not know of it: the next command finds it in the log.
    send(&bus, run, plan(1)).await.expect("it is requested");
}

#[tokio::test]
async fn without_the_log_nothing_is_said_to_be_done() {
    let (memory, log) = memory();
    let bus = bus(&log);
    let run = new_run();
    send(&bus, run, request(run)).await.expect("it is new");
    memory.unavailable.store(true, Ordering::SeqCst);
    for command in [plan(1), RunCommand::Start, request(run)] {
        let answer = send(&bus, run, command).await;
        assert!(matches!(answer, Err(CommandError::Unavailable(after)) if !after.is_zero()), "{answer:?}");
    }
    memory.unavailable.store(false, Ordering::SeqCst);
    send(&bus, run, plan(1)).await.expect("it is back");
}

#[tokio::test]
async fn a_log_restored_to_the_past_is_noticed() {
    let (memory, log) = memory();
    let bus = bus(&log);
    let run = new_run();
    send(&bus, run, request(run)).await.expect("it is new");
    send(&bus, run, RunCommand::Cancel { reason: "enough".to_owned() }).await.expect("it is requested");
    memory.forget_after(&StreamId::new("DiagnosticRun", &run.to_string()), 1);
    // The cached state has ended; the log's has not.
    send(&bus, run, plan(1)).await.expect("it is requested, and no more");
    let (state, version) = bus.load::<DiagnosticRun>(run.0).await.expect("the log answers");
    assert_eq!((state.phase, version.0), (RunPhase::Planned, 2));
}

#[tokio::test]
async fn refusals_are_on_record_once() {
    let (memory, log) = memory();
    let bus = bus(&log);
    let run = new_run();
    let asked = metadata();
    for _ in 0..3 {
        assert_eq!(refusal(send_as(&bus, run, plan(1), asked.clone()).await), "run_unknown");
    }
    assert_eq!((memory.commands(), memory.event_types().len()), (1, 0));
    // Refused once, refused for ever: the sender was told so.
    send(&bus, run, request(run)).await.expect("it is new");
    assert_eq!(refusal(send_as(&bus, run, plan(1), asked).await), "run_unknown");
    assert_eq!((bus.counts().refused, bus.counts().executed), (4, 1));
}

#[tokio::test]
async fn an_unreadable_event_is_damage() {
    let (_, log) = memory();
    let run = new_run();
    let stream = StreamId::new("DiagnosticRun", &run.to_string());
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "RunRequested".to_owned(),
        event_version: "1".to_owned(),
        payload: serde_json::value::to_raw_value(&serde_json::json!({"RunRequested": {"run": "not an id"}}))
            .expect("it is JSON"),
    };
    let append = Append {
        stream,
        expected: Expected::Version(StreamVersion(0)),
        events: vec![event],
        metadata: metadata(),
        command: CommandRecord { name: "request_run".to_owned(), body_hash: [0; 32] },
    };
    log.append(append).await.expect("the log takes it");
    let answer = send(&bus(&log), run, plan(1)).await;
    assert!(matches!(&answer, Err(CommandError::Damaged { reason }) if reason.contains("position 1")), "{answer:?}");
}

#[tokio::test]
async fn a_small_cache_costs_reads_and_nothing_else() {
    let (memory, log) = memory();
    let bus = CommandBus::new(log, BusOptions { cache_kilobytes: 0, ..BusOptions::default() });
    let run = new_run();
    send(&bus, run, request(run)).await.expect("it is new");
    send(&bus, run, plan(2)).await.expect("it is requested");
    send(&bus, run, record(vec![check_result(0, Outcome::Ok)])).await.expect("it is planned");
    assert!(memory.stream_reads.load(Ordering::SeqCst) > 0);
}

/// A log on which somebody else is always faster.
struct AlwaysBehind(Arc<InMemoryLog>);

impl EventLog for AlwaysBehind {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let Expected::Version(expected) = append.expected;
        Box::pin(async move { Err(AppendError::Conflict { stream: append.stream, expected }) })
    }

    fn record_refusal(&self, refusal: RefusedCommand) -> BoxFuture<'_, Result<CommandOutcome, AppendError>> {
        self.0.record_refusal(refusal)
    }

    fn command_outcome(
        &self,
        command: CommandId,
        body_hash: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<CommandOutcome>, AppendError>> {
        self.0.command_outcome(command, body_hash)
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        self.0.read_stream(stream, after, limit)
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        self.0.read_all(after, limit)
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, LogError>> {
        self.0.head()
    }

    fn newest(&self) -> watch::Receiver<Position> {
        self.0.newest()
    }
}

#[tokio::test]
async fn retries_are_bounded() {
    let (memory, log) = memory();
    let run = new_run();
    send(&bus(&log), run, request(run)).await.expect("it is new");
    let bus = CommandBus::new(Arc::new(AlwaysBehind(memory)), BusOptions::default());
    let checks = vec![planned_check(0)];
    assert_eq!(send(&bus, run, RunCommand::Plan { checks }).await, Err(CommandError::Conflict));
    assert_eq!(bus.counts().conflicts, 9);
}
