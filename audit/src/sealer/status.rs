//! What a sealer says of itself.

use super::Now;
use chrono::{DateTime, Utc};
use domain::Position;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::watch;

/// What a sealer is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SealerState {
    /// It has not begun.
    #[default]
    Starting,
    /// It seals.
    Running,
    /// Another process seals.
    Standby,
    /// The database does not answer as it should; it tries again.
    Retrying(String),
    /// It can not go on: why.
    Failed(String),
    /// It was stopped.
    Stopped,
}

/// The newest checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestCheckpoint {
    /// Which.
    pub number: u64,
    /// The position of the last event in its tree.
    pub tree_size: u64,
    /// When it was signed.
    pub signed_at: DateTime<Utc>,
}

/// How a sealer is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SealerStatus {
    /// What it is doing.
    pub state: SealerState,
    /// How far the log is sealed.
    pub sealed: Position,
    /// Events that are not sealed yet.
    pub lag_events: u64,
    /// How long there have been such.
    pub lag_seconds: f64,
    /// The newest checkpoint, where there is one.
    pub checkpoint: Option<NewestCheckpoint>,
    /// Why no checkpoint can be signed, where none can.
    pub signing_failure: Option<String>,
}

/// Keeps the status, for whoever follows it.
pub(super) struct Reporter {
    status: watch::Sender<SealerStatus>,
    position: watch::Sender<Position>,
    newest: watch::Receiver<Position>,
    behind_since: Mutex<Option<DateTime<Utc>>>,
    now: Now,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter").field("status", &*self.status.borrow()).finish_non_exhaustive()
    }
}

impl Reporter {
    pub fn new(newest: watch::Receiver<Position>, now: Now) -> Self {
        Self {
            status: watch::Sender::default(),
            position: watch::Sender::new(Position::START),
            newest,
            behind_since: Mutex::new(None),
            now,
        }
    }

    pub fn status(&self) -> watch::Receiver<SealerStatus> {
        self.status.subscribe()
    }

    pub fn position(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    pub fn sealed(&self) -> Position {
        *self.position.borrow()
    }

    pub fn enter(&self, state: SealerState) {
        self.status.send_modify(|status| status.state = state);
        self.tick();
    }

    /// The log is sealed up to here; `since`: when the oldest event that was not was recorded.
    pub fn reached(&self, sealed: u64, since: Option<DateTime<Utc>>) {
        self.position.send_replace(Position(sealed as i64));
        *self.behind_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        self.tick();
    }

    pub fn signed(&self, checkpoint: Option<NewestCheckpoint>) {
        self.status.send_modify(|status| {
            status.signing_failure = None;
            if checkpoint.is_some() {
                status.checkpoint = checkpoint;
            }
        });
    }

    pub fn not_signed(&self, why: &str) {
        let news = self.status.borrow().signing_failure.as_deref() != Some(why);
        if news {
            tracing::error!(why, "audit.unsigned: no checkpoint can be signed");
            self.status.send_modify(|status| status.signing_failure = Some(why.to_owned()));
        }
    }

    /// Renews what depends on the clock and on the log's end.
    pub fn tick(&self) {
        let (sealed, newest) = (*self.position.borrow(), *self.newest.borrow());
        let lag_events = newest.0.saturating_sub(sealed.0).max(0) as u64;
        let now = (self.now)();
        let mut since = self.behind_since.lock().unwrap_or_else(PoisonError::into_inner);
        let lag_seconds = if lag_events == 0 {
            *since = None;
            0.0
        } else {
            (now - *since.get_or_insert(now)).as_seconds_f64().max(0.0)
        };
        drop(since);
        self.status.send_modify(|status| {
            (status.sealed, status.lag_events, status.lag_seconds) = (sealed, lag_events, lag_seconds);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use std::sync::Arc;

    #[test]
    fn the_lag_is_that_of_the_oldest_event_that_is_not_sealed() {
        let now = Arc::new(Mutex::new(DateTime::UNIX_EPOCH));
        let clock = Arc::clone(&now);
        let newest = watch::Sender::new(Position(5));
        let reporter = Reporter::new(newest.subscribe(), Arc::new(move || *clock.lock().unwrap()));
        reporter.reached(5, None);
        assert_eq!((reporter.status.borrow().lag_events, reporter.status.borrow().lag_seconds), (0, 0.0));
        newest.send_replace(Position(9));
        reporter.tick();
        *now.lock().unwrap() += TimeDelta::seconds(3);
        reporter.tick();
        assert_eq!((reporter.status.borrow().lag_events, reporter.status.borrow().lag_seconds), (4, 3.0));
        reporter.reached(9, None);
        assert_eq!((reporter.status.borrow().lag_events, reporter.status.borrow().lag_seconds), (0, 0.0));
    }
}
