//! How a runner is: for the health page, the metrics, and whoever waits for a position.

use chrono::{DateTime, Utc};
use domain::Position;
use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a runner does just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunnerState {
    /// It connects and reads its checkpoint.
    Starting,
    /// Another process projects; this one stands by.
    Standby,
    /// It follows the log.
    Running,
    /// It fills the view of its version, while an older one is served.
    Rebuilding,
    /// The database failed it; it tries again. Why.
    Retrying(String),
    /// It stands still before an event that it can not take, until an operator decides.
    Failed,
    /// It was told to stop.
    Stopped,
}

/// Why it stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Before which event.
    pub position: Position,
    /// Why.
    pub reason: String,
}

/// How a runner is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectionStatus {
    /// The projection's name.
    pub name: &'static str,
    /// Its version.
    pub version: i32,
    /// What it does.
    pub state: RunnerState,
    /// The last event that the view holds.
    pub position: Position,
    /// The newest event of the log.
    pub head: Position,
    /// How many events the view is behind.
    pub lag_events: i64,
    /// How old the oldest event is that the view does not hold; 0 where it holds all.
    pub lag_seconds: f64,
    /// Why it stands still.
    pub failure: Option<Failure>,
}

/// Gathers what the status is made of, and publishes it.
pub(super) struct Reporter {
    facts: Mutex<Facts>,
    status: watch::Sender<ProjectionStatus>,
    position: watch::Sender<Position>,
    head: watch::Receiver<Position>,
    now: fn() -> DateTime<Utc>,
}

struct Facts {
    name: &'static str,
    version: i32,
    state: RunnerState,
    position: Position,
    failure: Option<Failure>,
    /// When the oldest event that is known but not yet in the view was recorded.
    waiting_since: Option<DateTime<Utc>>,
    /// When the view was last known to hold all there is.
    abreast_at: Option<DateTime<Utc>>,
}

impl Reporter {
    pub fn new(name: &'static str, version: i32, head: watch::Receiver<Position>, now: fn() -> DateTime<Utc>) -> Self {
        let mut facts = Facts {
            name,
            version,
            state: RunnerState::Starting,
            position: Position::START,
            failure: None,
            waiting_since: None,
            abreast_at: None,
        };
        let status = watch::Sender::new(facts.status(Position::START, now()));
        Self { facts: Mutex::new(facts), status, position: watch::Sender::new(Position::START), head, now }
    }

    pub fn status(&self) -> watch::Receiver<ProjectionStatus> {
        self.status.subscribe()
    }

    pub fn position(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    pub fn enter(&self, state: RunnerState) {
        {
            let mut facts = self.facts();
            if state == RunnerState::Running {
                facts.failure = None;
            }
            facts.state = state;
        }
        self.publish();
    }

    pub fn fail(&self, position: Position, reason: &str) {
        {
            let mut facts = self.facts();
            facts.state = RunnerState::Failed;
            facts.failure = Some(Failure { position, reason: reason.to_owned() });
        }
        self.publish();
    }

    /// The view holds all events up to a position. It may be an earlier one than before: the view was emptied.
    pub fn reached(&self, position: Position) {
        {
            let mut facts = self.facts();
            facts.position = position;
            facts.waiting_since = None;
        }
        self.position.send_if_modified(|known| std::mem::replace(known, position) != position);
        self.publish();
    }

    /// An event recorded then is about to be applied.
    pub fn applying(&self, recorded_at: DateTime<Utc>) {
        self.facts().waiting_since = Some(recorded_at);
    }

    /// Works out the status again: the head and the time move on by themselves.
    pub fn publish(&self) {
        let head = *self.head.borrow();
        let status = self.facts().status(head, (self.now)());
        self.status.send_if_modified(|known| {
            let is_new = *known != status;
            *known = status;
            is_new
        });
    }

    /// A poisoned lock is a panic between assignments of plain values: the facts are still whole.
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn status(&mut self, head: Position, now: DateTime<Utc>) -> ProjectionStatus {
        // The feed may know less of the end than this runner, which read further.
        let head = head.max(self.position);
        let lag_events = head.0 - self.position.0;
        if lag_events == 0 {
            self.abreast_at = Some(now);
        }
        let since = self.waiting_since.or(self.abreast_at).unwrap_or(now);
        let lag_seconds = if lag_events == 0 { 0.0 } else { (now - since).as_seconds_f64().max(0.0) };
        ProjectionStatus {
            name: self.name,
            version: self.version,
            state: self.state.clone(),
            position: self.position,
            head,
            lag_events,
            lag_seconds,
            failure: self.failure.clone(),
        }
    }
}
