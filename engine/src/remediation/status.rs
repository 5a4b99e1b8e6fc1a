//! How the remediations of this process fare.

use domain::remediation::Rest;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// How the remediations of this process fare.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemediationStatus {
    /// In hand just now.
    pub running: usize,
    /// Claimed since the start.
    pub claimed: u64,
    /// Of these, taken over from a process that did not end its lease.
    pub adopted: u64,
    /// Leases that this process lost.
    pub leases_lost: u64,
    /// Come to rest since the start, by how.
    pub rested: HashMap<Rest, u64>,
    /// The log is worked into the work table up to here.
    pub position: i64,
    /// Whether the emergency stop of any tenant is engaged, as known here.
    pub stopped: bool,
    /// What fails just now.
    pub failure: Option<String>,
    /// What failed last.
    pub last_error: Option<String>,
}

/// Where the parts say how they fare.
#[derive(Debug, Clone)]
pub(super) struct Board(Arc<watch::Sender<RemediationStatus>>);

impl Board {
    pub fn new() -> (Self, watch::Receiver<RemediationStatus>) {
        let (sender, receiver) = watch::channel(RemediationStatus::default());
        (Self(Arc::new(sender)), receiver)
    }

    pub fn update(&self, change: impl FnOnce(&mut RemediationStatus)) {
        self.0.send_modify(change);
    }

    pub fn fail(&self, error: &str) {
        self.0.send_modify(|status| {
            status.failure = Some(error.to_owned());
            status.last_error = Some(error.to_owned());
        });
    }

    pub fn works(&self) {
        self.0.send_if_modified(|status| status.failure.take().is_some());
    }
}
