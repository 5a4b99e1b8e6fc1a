//! The live feed: one tailer per process reads the log once, any number of followers share what it read.
//!
//! A follower has its own place in the log. It catches up from the log, goes over to the ring of recent events when
//! it is near enough, and falls back to the log when it is too slow for the ring. The place alone decides what comes
//! next, so nothing is lost or doubled on these ways. A follower of one stream is woken by that stream only.
//!
//! While the database is out of reach a follower waits; only damage of the log, or the end of the feed, is an error.

mod ring;
mod streams;

pub use ring::EventBatch;
pub use streams::StreamSubscription;

use crate::log::{EventLog, LogError, StreamId};
use domain::{Position, StreamVersion};
use futures::future::BoxFuture;
use ring::{Found, Ring, RingBounds};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use streams::Followers;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the ring keeps: a few seconds of a busy log.
const RING: RingBounds = RingBounds { events: 32_768, bytes: 32 << 20 };
/// Events of one read of the log.
const READ: usize = 500;
/// Two reads of the tailer are at least this far apart unless it is behind: what is committed in between comes at
/// once.
const READ_EVERY: Duration = Duration::from_millis(2);
/// Should a wake-up ever be lost, the tailer looks by itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failed read.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Reads the log once for the whole process and hands its events to any number of subscriptions.
pub struct LiveFeed {
    log: Arc<dyn EventLog>,
    /// `None` until the tailer knows where the log ends.
    ring: RwLock<Option<Ring>>,
    progress: watch::Sender<Progress>,
    newest: watch::Sender<Position>,
    followers: Followers,
    cancel: CancellationToken,
}

/// How far the tailer is, and what stopped it.
#[derive(Debug, Clone, Default)]
struct Progress {
    position: Position,
    failure: Option<LogError>,
}

impl LiveFeed {
    /// Starts tailing at the present end of the log; `cancel` stops it.
    pub fn start(log: Arc<dyn EventLog>, cancel: CancellationToken) -> Arc<Self> {
        let feed = Arc::new(Self {
            log,
            ring: RwLock::new(None),
            progress: watch::Sender::new(Progress::default()),
            newest: watch::Sender::new(Position::START),
            followers: Followers::default(),
            cancel: cancel.clone(),
        });
        let tailer = Arc::clone(&feed);
        tokio::spawn(async move {
            cancel.run_until_cancelled(tailer.tail()).await;
            tailer.stop(LogError::Closed);
        });
        feed
    }

    /// Follows the whole log after a position: first what is there already, then live, nothing lost or doubled.
    pub fn subscribe(self: &Arc<Self>, after: Position) -> FeedSubscription {
        FeedSubscription { feed: Arc::clone(self), after, progress: self.progress.subscribe() }
    }

    /// Follows one stream after a version of it. Thousands of these are cheap: each is woken by its own stream only.
    pub fn subscribe_stream(self: &Arc<Self>, stream: StreamId, after: StreamVersion) -> StreamSubscription {
        StreamSubscription::new(Arc::clone(self), stream, after)
    }

    /// Follows the position of the newest event that the feed has read.
    pub fn newest(&self) -> watch::Receiver<Position> {
        self.newest.subscribe()
    }

    /// The log that is followed.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// Reads the log on for ever; returns on damage only.
    async fn tail(&self) {
        let mut newest = self.log.newest();
        let mut at = match self.read(|log| log.head()).await {
            Ok(head) => head,
            Err(failure) => return self.stop(failure),
        };
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Ring::new(at, RING));
        self.advance(at);
        loop {
            newest.mark_unchanged();
            match self.read(|log| log.read_all(at, READ)).await {
                Ok(events) if events.is_empty() => {
                    // An error says that the log is being closed: then the read above will say so.
                    let _ = tokio::time::timeout(LOOK_EVERY, newest.changed()).await;
                }
                Ok(events) => {
                    let batch: EventBatch = events.into_iter().map(Arc::new).collect();
                    let behind = batch.len() == READ;
                    at = batch.last().map_or(at, |event| event.position);
                    self.publish(batch);
                    if !behind {
                        tokio::time::sleep(READ_EVERY).await;
                    }
                }
                Err(failure) => return self.stop(failure),
            }
        }
    }

    fn publish(&self, batch: EventBatch) {
        self.followers.deliver(&batch);
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let Some(ring) = ring.as_mut() else { return };
        ring.push(batch);
        self.advance(ring.end());
    }

    fn advance(&self, position: Position) {
        self.newest.send_replace(position);
        self.progress.send_modify(|progress| progress.position = position);
    }

    /// The feed ends here; followers are told why, after what was read before.
    fn stop(&self, failure: LogError) {
        if !matches!(failure, LogError::Closed) {
            tracing::error!(%failure, "the live feed has stopped");
        }
        self.progress.send_modify(|progress| {
            progress.failure.get_or_insert(failure);
        });
        self.followers.wake_all();
    }

    /// Reads the log, waiting for as long as the database is out of reach.
    async fn read<'a, T>(
        &'a self,
        question: impl Fn(&'a dyn EventLog) -> BoxFuture<'a, Result<T, LogError>>,
    ) -> Result<T, LogError> {
        let mut pause = RETRY_MIN;
        loop {
            let asked = self.cancel.run_until_cancelled(question(self.log.as_ref())).await;
            match asked.unwrap_or(Err(LogError::Closed)) {
                Err(LogError::Unavailable(reason)) => {
                    tracing::debug!(reason, "the log can not be read just now");
                    let slept = self.cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
                    slept.ok_or(LogError::Closed)?;
                    pause = (pause * 2).min(RETRY_MAX);
                }
                answer => return answer,
            }
        }
    }

    fn recent(&self, after: Position) -> Found {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.as_ref().map_or(Found::Older, |ring| ring.after(after))
    }
}

/// A place in the log that moves forward.
pub struct FeedSubscription {
    feed: Arc<LiveFeed>,
    after: Position,
    progress: watch::Receiver<Progress>,
}

impl FeedSubscription {
    /// The next events in order, never none; waits until there are some. Dropping the future loses nothing.
    /// An error is final: the log is damaged, or the feed has ended.
    pub async fn next(&mut self) -> Result<EventBatch, LogError> {
        loop {
            let failure = self.progress.borrow_and_update().failure.clone();
            let batch = match self.feed.recent(self.after) {
                Found::Events(batch) => Some(batch),
                Found::Nothing => None,
                Found::Older => self.read_log().await?,
            };
            if let Some(batch) = batch {
                self.after = batch.last().map_or(self.after, |event| event.position);
                return Ok(batch);
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
            self.progress.changed().await.map_err(|_| LogError::Closed)?;
        }
    }

    /// The position of the last event that [`Self::next`] gave, or where the subscription started.
    pub fn position(&self) -> Position {
        self.after
    }

    async fn read_log(&self) -> Result<Option<EventBatch>, LogError> {
        let events = self.feed.read(|log| log.read_all(self.after, READ)).await?;
        Ok((!events.is_empty()).then(|| events.into_iter().map(Arc::new).collect()))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::log::{RecordedEvent, StreamId};
    use domain::{Actor, CommandId, Metadata, Position, StreamVersion, TenantId};
    use serde_json::value::RawValue;
    use uuid::Uuid;

    pub fn event(aggregate_type: &str, id: &str, position: i64, version: i64) -> RecordedEvent {
        RecordedEvent {
            position: Position(position),
            stream: StreamId::new(aggregate_type, id),
            version: StreamVersion(version),
            event_id: Uuid::from_u128(position as u128),
            event_type: "Happened".to_owned(),
            event_version: "1".to_owned(),
            payload: RawValue::from_string("{}".to_owned()).unwrap(),
            metadata: Metadata::new(Actor::new("test").unwrap(), TenantId::default(), CommandId(Uuid::nil())),
            recorded_at: chrono::DateTime::UNIX_EPOCH,
        }
    }
}
