//! Small makers and checks that all tests use.

use domain::{Actor, CommandId, Metadata, Position, StreamVersion, TenantId};
use event_store::{
    Append, Appended, CommandRecord, EventLog, Expected, NewEvent, RecordedEvent, RefusedCommand, StreamId,
};
use serde_json::value::RawValue;
use std::time::Duration;
use uuid::Uuid;

/// No condition is waited for longer.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A stream that no other test knows.
pub fn new_stream() -> StreamId {
    StreamId::new("Thing", &Uuid::now_v7().to_string())
}

pub fn metadata(command: Uuid) -> Metadata {
    Metadata::new(Actor::new("tester").unwrap(), TenantId::default(), CommandId(command))
}

pub fn command(body: u8) -> CommandRecord {
    CommandRecord { name: "do_something".to_owned(), body_hash: [body; 32] }
}

pub fn new_event(n: usize) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "SomethingHappened".to_owned(),
        event_version: "1".to_owned(),
        payload: RawValue::from_string(format!(
            r#"{{"SomethingHappened": {{"n": {n},  "text": "{}"}}}}"#,
            "x".repeat(80)
        ))
        .unwrap(),
    }
}

/// An append of so many events by a new command.
pub fn append(stream: &StreamId, expected: i64, events: usize) -> Append {
    append_by(Uuid::now_v7(), stream, expected, events)
}

/// An append by this command; its body is the same each time.
pub fn append_by(id: Uuid, stream: &StreamId, expected: i64, events: usize) -> Append {
    Append {
        stream: stream.clone(),
        expected: Expected::Version(StreamVersion(expected)),
        events: (0..events).map(new_event).collect(),
        metadata: metadata(id),
        command: command(1),
    }
}

pub fn refusal(id: Uuid, stream: &StreamId) -> RefusedCommand {
    RefusedCommand {
        stream: stream.clone(),
        metadata: metadata(id),
        command: command(1),
        code: "not_now".to_owned(),
        message: "not now, please".to_owned(),
    }
}

/// The whole log after a position, read in pages.
pub async fn read_rest(log: &dyn EventLog, after: Position) -> Vec<RecordedEvent> {
    let mut all: Vec<RecordedEvent> = Vec::new();
    loop {
        let from = all.last().map_or(after, |event| event.position);
        let page = log.read_all(from, 700).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Asserts that these events stand at `after + 1, after + 2, …`, each stream's versions likewise.
pub fn assert_dense(events: &[RecordedEvent], after: Position) {
    let mut versions = std::collections::HashMap::new();
    for (event, position) in events.iter().zip(after.0 + 1..) {
        assert_eq!(event.position.0, position);
        let version: &mut i64 = versions.entry(event.stream.clone()).or_default();
        *version += 1;
        assert_eq!(event.version.0, *version, "at position {position} of {}", event.stream);
    }
}

/// Asserts that the log holds an acknowledged append where it was said to be, whole.
pub fn assert_holds(events: &[RecordedEvent], after: Position, appended: &Appended, command: Uuid) {
    if appended.events == 0 {
        assert!(events.iter().all(|event| event.metadata.command_id.0 != command), "command {command} wrote nothing");
        return;
    }
    let last = (appended.position.0 - after.0) as usize;
    let written = &events[last - appended.events as usize..last];
    assert!(written.iter().all(|event| event.metadata.command_id.0 == command), "command {command} at {appended:?}");
    assert_eq!(written.last().map_or(appended.version, |event| event.version), appended.version);
    let elsewhere = events.iter().filter(|event| event.metadata.command_id.0 == command).count();
    assert_eq!(elsewhere, written.len(), "command {command} is in the log more than once");
}

/// Waits for a condition, bounded.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < give_up, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Bounds a wait that must not hang a test.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}
