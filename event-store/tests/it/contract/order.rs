//! One dense order, and readers that follow it.

use super::Backend;
use crate::support::{append, assert_dense, eventually, new_stream, read_rest, within};
use domain::{Position, StreamVersion};
use event_store::{EventLog, LiveFeed, LogError, StreamId};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// So many writers, each appending `appends` times two events to a stream of its own.
async fn write(log: Arc<dyn EventLog>, writers: usize, appends: i64) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..writers {
        let log = Arc::clone(&log);
        tasks.spawn(async move {
            let stream = new_stream();
            for n in 0..appends {
                log.append(append(&stream, n * 2, 2)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

pub async fn concurrent_writers_keep_the_order_dense(backend: &impl Backend) {
    let logs = [backend.log().await, backend.log().await, backend.log().await];
    futures::future::join_all(logs.iter().map(|log| write(Arc::clone(log), 8, 20))).await;
    let all = read_rest(&*logs[0], Position::START).await;
    assert_eq!(all.len(), 3 * 8 * 20 * 2);
    assert_dense(&all, Position::START);
}

pub async fn a_tailing_reader_misses_nothing(backend: &impl Backend) {
    let (one, two, reader) = (backend.log().await, backend.log().await, backend.log().await);
    let total = 2 * 8 * 25 * 2;
    let tail = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < total {
            let after = seen.last().copied().unwrap_or(Position::START);
            // Contiguity is checked in the read itself: a late commit below a position already read would be damage.
            seen.extend(reader.read_all(after, 50).await.unwrap().iter().map(|event| event.position));
        }
        seen
    });
    futures::join!(write(one, 8, 25), write(two, 8, 25));
    let seen = within("the tail", tail).await.unwrap();
    assert!(seen.iter().zip(1..).all(|(position, n)| position.0 == n));
}

pub async fn the_feed_catches_up_and_then_follows(backend: &impl Backend) {
    let (log, writer) = (backend.log().await, backend.log().await);
    write(Arc::clone(&writer), 4, 200).await;
    let cancel = CancellationToken::new();
    let feed = LiveFeed::start(log, cancel.clone());
    let mut subscriptions: Vec<_> = [0, 1, 799, 1_600, 1_700].map(|after| feed.subscribe(Position(after))).into();
    let writing = tokio::spawn(write(writer, 8, 50));
    for subscription in &mut subscriptions {
        let start = subscription.position().0;
        let mut next = start + 1;
        while next <= 2_400 {
            for event in within("the feed", subscription.next()).await.unwrap().iter() {
                assert_eq!(event.position.0, next);
                next += 1;
            }
        }
    }
    writing.await.unwrap();
    cancel.cancel();
    let end = within("the end", subscriptions[0].next()).await;
    assert!(matches!(end, Err(LogError::Closed)), "{end:?}");
}

pub async fn a_slow_subscriber_loses_nothing(backend: &impl Backend) {
    let log = backend.log().await;
    let feed = LiveFeed::start(Arc::clone(&log), CancellationToken::new());
    let mut slow = feed.subscribe(Position::START);
    write(Arc::clone(&log), 2, 5).await;
    let mut next = 1;
    let first = within("the first batch", slow.next()).await.unwrap();
    next += first.len() as i64;
    // More than the ring keeps: 40 appends of 1,000 events.
    let stream = new_stream();
    for n in 0..40 {
        log.append(append(&stream, n * 1_000, 1_000)).await.unwrap();
    }
    let mut newest = feed.newest();
    within("the tailer", newest.wait_for(|newest| newest.0 == 40_020)).await.unwrap();
    while next <= 40_020 {
        for event in within("the slow one", slow.next()).await.unwrap().iter() {
            assert_eq!(event.position.0, next);
            next += 1;
        }
    }
}

pub async fn many_followers_of_single_streams_get_their_own_events(backend: &impl Backend) {
    let (log, other) = (backend.log().await, backend.log().await);
    let feed = LiveFeed::start(Arc::clone(&log), CancellationToken::new());
    let streams: Vec<StreamId> = (0..100).map(|_| new_stream()).collect();
    // Half of them have something in the log already; each follower starts at another place.
    for stream in streams.iter().step_by(2) {
        other.append(append(stream, 0, 3)).await.unwrap();
    }
    let mut followers = tokio::task::JoinSet::new();
    for (n, stream) in streams.iter().enumerate() {
        let start = if n % 4 == 0 { 2 } else { 0 };
        let mut subscription = feed.subscribe_stream(stream.clone(), StreamVersion(start));
        followers.spawn(async move {
            let mut version = start;
            while version < 6 {
                for event in subscription.next().await.unwrap() {
                    version += 1;
                    assert_eq!(event.version.0, version);
                }
            }
            assert_eq!(subscription.version().0, version);
        });
    }
    for (n, stream) in streams.iter().enumerate() {
        let start = if n % 2 == 0 { 3 } else { 0 };
        for expected in start..6 {
            other.append(append(stream, expected, 1)).await.unwrap();
        }
    }
    within("all followers", followers.join_all()).await;
}

pub async fn newest_hears_of_other_instances(backend: &impl Backend) {
    let (log, other) = (backend.log().await, backend.log().await);
    let mut newest = log.newest();
    let appended = other.append(append(&new_stream(), 0, 3)).await.unwrap();
    let heard = within("news", newest.wait_for(|newest| *newest >= appended.position)).await.map(|heard| *heard);
    assert_eq!(heard.ok(), Some(appended.position));
    eventually("both know the same", async || (*other.newest().borrow() == appended.position).then_some(())).await;
}
