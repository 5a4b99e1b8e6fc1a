//! Dense positions over a log whose own are not dense.

use super::double::{ExpectedRevision, ProposedMessage, Record, WireUuid};
use super::scene::Scene;
use crate::support::{append, assert_dense, new_stream, read_rest, within};
use domain::{Position, StreamVersion};
use event_store::{EventLog, KurrentEventLog, KurrentLogOptions, LogError, StreamId};
use std::sync::Arc;
use uuid::Uuid;

/// An event of somebody else, as another client writes it.
fn foreign(kind: &str) -> ProposedMessage {
    ProposedMessage {
        id: Some(WireUuid::text(Uuid::now_v7())),
        metadata: [("type".to_owned(), kind.to_owned())].into(),
        custom_metadata: bytes::Bytes::new(),
        data: bytes::Bytes::from_static(b"{}"),
    }
}

fn ids(events: &[event_store::RecordedEvent]) -> Vec<(i64, Uuid)> {
    events.iter().map(|event| (event.position.0, event.event_id)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_links_made_anew_are_the_same() {
    let scene = Scene::new().await;
    let logs = [scene.log().await, scene.log().await];
    let streams: Vec<StreamId> = (0..6).map(|_| new_stream()).collect();
    for round in 0..5 {
        let appends = streams.iter().enumerate().map(|(n, stream)| logs[n % 2].append(append(stream, round * 3, 3)));
        assert!(futures::future::join_all(appends).await.iter().all(Result::is_ok));
    }
    let before = ids(&read_rest(&*logs[0], Position::START).await);
    assert_eq!(before.len(), 90);
    // A projection stands at 40 when the numbering is made anew from nothing but `$all`.
    let anew = KurrentEventLog::connect(KurrentLogOptions { numbering: 2, ..scene.options() }).await.unwrap();
    let mut newest = anew.newest();
    within("the new numbering", newest.wait_for(|newest| newest.0 == 90)).await.unwrap();
    assert_eq!(ids(&read_rest(&*anew, Position::START).await), before);
    assert_eq!(ids(&read_rest(&*anew, Position(40)).await), before[40..]);
    // Both numberings go on, and stay the same.
    anew.append(append(&streams[0], 15, 2)).await.unwrap();
    let mut newest = logs[0].newest();
    within("the old numbering", newest.wait_for(|newest| newest.0 == 92)).await.unwrap();
    assert_eq!(ids(&read_rest(&*anew, Position(90)).await), ids(&read_rest(&*logs[0], Position(90)).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_survive_a_restart() {
    let scene = Scene::new().await;
    let log = scene.log().await;
    let stream = new_stream();
    log.append(append(&stream, 0, 4)).await.unwrap();
    let before = ids(&read_rest(&*log, Position::START).await);
    drop(log);
    let log = scene.log().await;
    assert_eq!(*log.newest().borrow(), Position(4));
    assert_eq!(log.append(append(&stream, 4, 1)).await.unwrap().position, Position(5));
    assert_eq!(ids(&read_rest(&*log, Position::START).await)[..4], before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_positions_are_found_by_halving() {
    let scene = Scene::new().await;
    let log = scene.log().await;
    let mut streams = Vec::new();
    for _ in 0..9 {
        let stream = new_stream();
        log.append(append(&stream, 0, 300)).await.unwrap();
        streams.push(stream);
    }
    // Another process knows the end only.
    let other = scene.log().await;
    for (n, stream) in streams.iter().enumerate() {
        let first = n as i64 * 300;
        for after in [0, 1, 211, 212, 299] {
            let read = other.read_stream(stream.clone(), StreamVersion(after), 2).await.unwrap();
            let expected: Vec<i64> = (after + 1..=300).take(2).map(|version| first + version).collect();
            assert_eq!(read.iter().map(|event| event.position.0).collect::<Vec<_>>(), expected, "{n} after {after}");
        }
    }
    // Blocks that were read are kept: asked again, only the stream itself is read.
    let before = scene.double.calls();
    let read = other.read_stream(streams[0].clone(), StreamVersion(0), 300).await.unwrap();
    assert_eq!(read.len(), 300);
    assert!(scene.double.calls() - before < 10, "{} calls", scene.double.calls() - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_on_the_same_server_has_no_position() {
    let scene = Scene::new().await;
    let log = scene.log().await;
    let elsewhere = KurrentLogOptions { name: format!("{}x", scene.name), ..scene.options() };
    let other_log = KurrentEventLog::connect(elsewhere).await.unwrap();
    for round in 0..5_i64 {
        log.append(append(&new_stream(), 0, 2)).await.unwrap();
        scene.double.store().append("orders-1", ExpectedRevision::Any(()), &[foreign("Ordered"), foreign("Paid")]);
        let there = other_log.append(append(&new_stream(), 0, 3)).await.unwrap();
        assert_eq!(there.position.0, (round + 1) * 3);
    }
    let all = read_rest(&*log, Position::START).await;
    assert_eq!(all.len(), 10);
    assert_dense(&all, Position::START);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_what_kurrentdb_calls_links() {
    let scene = Scene::new().await;
    let log = scene.log().await;
    let stream = new_stream();
    log.append(append(&stream, 0, 2)).await.unwrap();
    let store = scene.double.store();
    let links: Vec<&Record> = store
        .stream(&format!("{}:positions-1", scene.name))
        .unwrap()
        .iter()
        .map(|index| &store.records()[*index])
        .collect();
    assert_eq!(links.len(), 2);
    for (link, revision) in links.iter().zip(0..) {
        assert_eq!(link.event_type(), "$>");
        assert_eq!(link.event.data, format!("{revision}@{}.Thing-{}", scene.name, stream.aggregate_id).as_bytes());
        assert_eq!(store.target(link).map(|target| target.id), Some(link.id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_taken_away_is_damage_at_its_position() {
    let scene = Scene::new().await;
    let log = scene.log().await;
    let streams = [new_stream(), new_stream()];
    for stream in &streams {
        log.append(append(stream, 0, 2)).await.unwrap();
    }
    scene.double.store().forget(&format!("{}.Thing-{}", scene.name, streams[1].aggregate_id));
    assert_eq!(log.read_all(Position::START, 2).await.unwrap().len(), 2);
    let read = log.read_all(Position::START, 10).await;
    assert!(matches!(read, Err(LogError::Damaged { position: Position(3), .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_not_ours_in_our_streams_is_damage() {
    let scene = Scene::new().await;
    let log = scene.log().await;
    log.append(append(&new_stream(), 0, 1)).await.unwrap();
    let name = format!("{}.Thing-1", scene.name);
    scene.double.store().append(&name, ExpectedRevision::NoStream(()), &[foreign("Happened")]);
    let mut newest = log.newest();
    within("it is numbered", newest.wait_for(|newest| newest.0 == 2)).await.unwrap();
    let read = log.read_all(Position::START, 10).await;
    assert!(matches!(read, Err(LogError::Damaged { position: Position(2), .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_backlog_is_numbered_in_order() {
    let scene = Scene::new().await;
    // Written by a process whose links all get lost: it never learns a position.
    let [.., links] = scene.kinds();
    let stream = new_stream();
    scene.dies_at(&links, append(&stream, 0, 1)).await;
    {
        let mut store = scene.double.store();
        let copy = {
            let records = store.records();
            let event = records.iter().find(|record| record.stream.contains(".Thing-")).unwrap();
            event.event.clone()
        };
        for _ in 0..2_500 {
            let event = ProposedMessage { id: Some(WireUuid::text(Uuid::now_v7())), ..copy.clone() };
            let name = format!("{}.Thing-{}", scene.name, Uuid::now_v7());
            store.append(&name, ExpectedRevision::NoStream(()), &[event]);
        }
    }
    let log: Arc<dyn EventLog> = scene.log().await;
    let mut newest = log.newest();
    within("the backlog", newest.wait_for(|newest| newest.0 == 2_501)).await.unwrap();
    assert_dense(&read_rest(&*log, Position::START).await, Position::START);
}
