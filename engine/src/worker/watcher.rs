//! Follows the log for runs that end, whoever ended them: their items in hand are stopped.

use domain::{Position, RunId, any_event};
use event_store::{LiveFeed, LogError, RecordedEvent};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Sends each run that ends from now on. What ended before is no longer in the queue; and what is missed in an outage
/// is noticed when leases are extended, since the items are gone.
pub(super) async fn watch(feed: Arc<LiveFeed>, ended: mpsc::Sender<Vec<RunId>>) {
    let mut backoff = BACKOFF_MIN;
    let mut start: Option<Position> = None;
    loop {
        // The log itself says where it ends: the feed may not have got there yet.
        let after = match start {
            Some(after) => Ok(after),
            None => feed.log().head().await,
        };
        let error = match after {
            Ok(after) => follow(&feed, start.insert(after), &ended, &mut backoff).await,
            Err(error) => error,
        };
        if matches!(error, LogError::Closed) {
            return;
        }
        tracing::warn!(%error, "workers do not see runs end just now");
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Follows from a position, which it moves; returns what ended it.
async fn follow(
    feed: &Arc<LiveFeed>,
    position: &mut Position,
    ended: &mpsc::Sender<Vec<RunId>>,
    backoff: &mut Duration,
) -> LogError {
    let mut subscription = feed.subscribe(*position);
    loop {
        let events = match subscription.next().await {
            Ok(events) => events,
            Err(error) => return error,
        };
        *backoff = BACKOFF_MIN;
        let runs: Vec<RunId> = events.iter().filter_map(|event| ended_run(event)).collect();
        *position = events.last().map_or(*position, |event| event.position);
        if !runs.is_empty() && ended.send(runs).await.is_err() {
            return LogError::Closed;
        }
    }
}

fn ended_run(event: &RecordedEvent) -> Option<RunId> {
    let ends = matches!(event.event_type.as_str(), "RunCompleted" | "RunCancelled" | "RunTimedOut" | "RunFailed");
    if ends && &*event.stream.aggregate_type == any_event::DIAGNOSTIC_RUN {
        event.stream.aggregate_id.parse().ok()
    } else {
        None
    }
}
