//! Appends and the versions that they rest on.

use super::Backend;
use crate::support::{append, append_by, assert_dense, command, metadata, new_event, new_stream, read_rest};
use domain::{Position, StreamVersion};
use event_store::{Append, AppendError, EventLog, Expected, StreamId};
use futures::future::join_all;
use serde_json::value::RawValue;
use uuid::Uuid;

pub async fn versions_are_enforced(backend: &impl Backend) {
    let log = backend.log().await;
    let stream = new_stream();
    let first = log.append(append(&stream, 0, 2)).await.unwrap();
    assert_eq!(
        (first.position, first.version, first.events, first.repeated),
        (Position(2), StreamVersion(2), 2, false)
    );
    let second = log.append(append(&stream, 2, 1)).await.unwrap();
    assert_eq!((second.position, second.version), (Position(3), StreamVersion(3)));
    for old in [0, 1, 2] {
        expect_conflict(&*log, &stream, old).await;
    }
    // An instance that knows nothing of the stream decides the same.
    let other = backend.log().await;
    for old in [0, 1, 2] {
        expect_conflict(&*other, &stream, old).await;
    }
    assert_eq!(other.append(append(&stream, 3, 1)).await.unwrap().position, Position(4));
    // And the first one has not seen that yet.
    expect_conflict(&*log, &stream, 3).await;
    assert_dense(&read_rest(&*log, Position::START).await, Position::START);
    assert_eq!(log.head().await.unwrap(), Position(4));
}

pub async fn a_version_beyond_the_end_conflicts(backend: &impl Backend) {
    let log = backend.log().await;
    let stream = new_stream();
    for beyond in [1, 7, -1] {
        expect_conflict(&*log, &stream, beyond).await;
    }
    log.append(append(&stream, 0, 3)).await.unwrap();
    let other = backend.log().await;
    for log in [&log, &other] {
        for beyond in [4, 5, 100, -1] {
            expect_conflict(&**log, &stream, beyond).await;
        }
    }
    assert_eq!(read_rest(&*log, Position::START).await.len(), 3);
}

pub async fn a_conflict_in_a_batch_fails_only_its_own_append(backend: &impl Backend) {
    let (log, other) = (backend.log().await, backend.log().await);
    let streams: Vec<StreamId> = (0..60).map(|_| new_stream()).collect();
    // The other instance takes every tenth stream first; ours does not know, and sends all at once: in one batch.
    for stream in streams.iter().step_by(10) {
        other.append(append(stream, 0, 1)).await.unwrap();
    }
    let answers = join_all(streams.iter().map(|stream| log.append(append(stream, 0, 2)))).await;
    for (n, answer) in answers.iter().enumerate() {
        match answer {
            Ok(appended) => assert!(n % 10 != 0 && appended.version == StreamVersion(2), "append {n}"),
            Err(AppendError::Conflict { stream, .. }) => assert!(n % 10 == 0 && *stream == streams[n], "append {n}"),
            Err(error) => panic!("append {n}: {error}"),
        }
    }
    let all = read_rest(&*log, Position::START).await;
    assert_eq!(all.len(), 6 + 54 * 2);
    assert_dense(&all, Position::START);
}

pub async fn an_append_is_whole_or_absent(backend: &impl Backend) {
    let (log, other) = (backend.log().await, backend.log().await);
    let stream = new_stream();
    // Both want to be first; each of their appends has 20 events, one of which collides.
    let (one, two) = futures::join!(log.append(append(&stream, 0, 20)), other.append(append(&stream, 0, 20)));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(log.read_stream(stream, StreamVersion(0), 100).await.unwrap().len(), 20);
}

pub async fn events_come_back_as_they_were_written(backend: &impl Backend) {
    let log = backend.log().await;
    let stream = new_stream();
    let command_id = Uuid::now_v7();
    let mut metadata = metadata(command_id);
    metadata.causation_id = Some(Uuid::now_v7());
    metadata.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    let mut event = new_event(1);
    // Spaces, order, number form, escapes: the text itself is kept.
    let text = "{\"b\" : 1.0, \"a\": [1e3, \"\\u00e9 \\u0000 é 漢 \\\"\"]}";
    event.payload = RawValue::from_string(text.to_owned()).unwrap();
    let expected = event.clone();
    let append = Append {
        stream: stream.clone(),
        expected: Expected::Version(StreamVersion(0)),
        events: vec![event],
        metadata: metadata.clone(),
        command: command(1),
    };
    log.append(append).await.unwrap();
    for events in [
        log.read_stream(stream.clone(), StreamVersion(0), 10).await.unwrap(),
        log.read_all(Position::START, 10).await.unwrap(),
    ] {
        let [read] = &events[..] else { panic!("one event, not {}", events.len()) };
        assert_eq!((&read.stream, read.version, read.position), (&stream, StreamVersion(1), Position(1)));
        assert_eq!((read.event_id, &read.event_type), (expected.event_id, &expected.event_type));
        assert_eq!(read.event_version, expected.event_version);
        assert_eq!(read.payload.get(), text);
        assert_eq!(read.metadata, metadata);
    }
    assert!(log.read_stream(stream, StreamVersion(1), 10).await.unwrap().is_empty());
    assert!(log.read_all(Position(1), 10).await.unwrap().is_empty());
}

pub async fn too_large_is_refused(backend: &impl Backend) {
    let log = backend.log().await;
    let stream = new_stream();
    let mut events = Vec::new();
    let mut large = new_event(0);
    large.payload = RawValue::from_string(format!("\"{}\"", "x".repeat(20 << 20))).unwrap();
    events.push(large);
    let answer = log.append(Append { events, ..append(&stream, 0, 0) }).await;
    assert!(matches!(answer, Err(AppendError::TooLarge { events: 1, bytes }) if bytes > 20 << 20), "{answer:?}");
    let answer = log.append(append(&stream, 0, 20_000)).await;
    assert!(matches!(answer, Err(AppendError::TooLarge { events: 20_000, .. })), "{answer:?}");
    assert_eq!(log.head().await.unwrap(), Position::START);
}

pub async fn an_append_without_events_is_checked_and_recorded(backend: &impl Backend) {
    let log = backend.log().await;
    let stream = new_stream();
    log.append(append(&stream, 0, 2)).await.unwrap();
    let id = Uuid::now_v7();
    let nothing = log.append(append_by(id, &stream, 2, 0)).await.unwrap();
    assert_eq!((nothing.position, nothing.version, nothing.events), (Position(2), StreamVersion(2), 0));
    let other = backend.log().await;
    for log in [&log, &other] {
        for wrong in [0, 1, 3] {
            let answer = log.append(append(&stream, wrong, 0)).await;
            assert!(matches!(answer, Err(AppendError::Conflict { .. })), "version {wrong}: {answer:?}");
        }
    }
    let again = other.append(append_by(id, &stream, 2, 0)).await.unwrap();
    assert_eq!((again.repeated, again.position, again.version), (true, Position(2), StreamVersion(2)));
}

async fn expect_conflict(log: &dyn EventLog, stream: &StreamId, expected: i64) {
    match log.append(append(stream, expected, 1)).await {
        Err(AppendError::Conflict { stream: of, expected: at }) => assert_eq!((&of, at.0), (stream, expected)),
        other => panic!("expected version {expected}: {other:?}"),
    }
}
