//! How a process manager is doing.

use chrono::{DateTime, Utc};
use domain::Position;
use tokio::sync::watch;

/// How a process manager is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStatus {
    /// Which one.
    pub name: &'static str,
    /// Whether this process holds the lease: all others stand by.
    pub active: bool,
    /// Up to where it has answered the log.
    pub position: Position,
    /// The newest position known.
    pub head: Position,
    /// How many events lie between.
    pub lag_events: i64,
    /// How many commands it has sent since the start.
    pub commands: u64,
    /// What stops it just now; `None` as soon as it gets on again.
    pub failure: Option<String>,
    /// The last thing that went wrong, and when.
    pub last_error: Option<(DateTime<Utc>, String)>,
}

/// Where a process manager says how it is doing.
#[derive(Clone)]
pub(crate) struct StatusBoard(watch::Sender<ProcessStatus>);

impl StatusBoard {
    pub fn new(name: &'static str) -> (Self, watch::Receiver<ProcessStatus>) {
        let status = ProcessStatus {
            name,
            active: false,
            position: Position::START,
            head: Position::START,
            lag_events: 0,
            commands: 0,
            failure: None,
            last_error: None,
        };
        let (sender, receiver) = watch::channel(status);
        (Self(sender), receiver)
    }

    pub fn active(&self, active: bool) {
        self.0.send_if_modified(|status| std::mem::replace(&mut status.active, active) != active);
    }

    /// It has got on.
    pub fn advance(&self, position: Position, head: Position) {
        self.0.send_modify(|status| {
            status.position = position;
            status.head = head.max(position);
            status.lag_events = status.head.0 - position.0;
            status.failure = None;
        });
    }

    /// The log has grown, or not: nothing is new but the lag.
    pub fn see_head(&self, head: Position) {
        self.0.send_if_modified(|status| {
            if head <= status.head {
                return false;
            }
            status.head = head;
            status.lag_events = head.0 - status.position.0;
            true
        });
    }

    pub fn sent(&self, commands: usize) {
        self.0.send_modify(|status| status.commands += commands as u64);
    }

    /// Something stops it.
    pub fn fail(&self, now: DateTime<Utc>, error: &str) {
        self.0.send_modify(|status| {
            status.failure = Some(error.to_owned());
            status.last_error = Some((now, error.to_owned()));
        });
    }
}
