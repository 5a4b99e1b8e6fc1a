//! A claim on one remediation, as its holder knows it: nothing is done or sent once it may be another's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// A claim. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    until: Arc<Mutex<Instant>>,
    lost: CancellationToken,
    /// Which claim of the remediation it is.
    pub epoch: i64,
}

impl Lease {
    /// A claim that holds until then, by this process's clock: counted from before it was asked for.
    pub fn new(until: Instant, epoch: i64, lost: CancellationToken) -> Self {
        Self { until: Arc::new(Mutex::new(until)), lost, epoch }
    }

    /// It holds longer.
    pub fn extend(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// It is another's, or to be given up: everything ends.
    pub fn lose(&self) {
        self.lost.cancel();
    }

    /// Whether it surely holds.
    pub fn holds(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fires when it is lost.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}
