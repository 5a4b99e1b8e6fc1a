//! A claim on one remediation, as its holder knows it: nothing is done or sent once it may be another's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The time by which leases run out: this process's own, which never goes back. A test puts it forward.
#[derive(Debug, Clone, Default)]
pub struct LeaseTime {
    ahead_ms: Arc<AtomicU64>,
}

impl LeaseTime {
    /// Now.
    pub fn now(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }

    /// Puts it forward, for all who share it.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(by, Ordering::SeqCst);
    }
}

/// A claim. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    until: Arc<Mutex<Instant>>,
    time: LeaseTime,
    lost: CancellationToken,
    /// Which claim of the remediation it is.
    pub epoch: i64,
}

impl Lease {
    /// A claim that holds until then, by this process's clock: counted from before it was asked for.
    pub fn new(until: Instant, time: LeaseTime, epoch: i64, lost: CancellationToken) -> Self {
        Self { until: Arc::new(Mutex::new(until)), time, lost, epoch }
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
        !self.lost.is_cancelled() && self.time.now() < self.until()
    }

    /// Completes when it does not surely hold any more: also where nobody came to extend it, or to say that it is lost.
    pub async fn ends(&self) {
        while self.holds() {
            let left = self.until().saturating_duration_since(self.time.now());
            // It may be extended meanwhile: then there is more to wait for.
            let _ = self.lost.run_until_cancelled(tokio::time::sleep(left)).await;
        }
        self.lose();
    }

    /// Fires when it is lost.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_by_itself_when_nobody_extends_it() {
        let time = LeaseTime::default();
        let until = time.now() + Duration::from_hours(1);
        let lease = Lease::new(until, time.clone(), 1, CancellationToken::new());
        assert!(lease.holds());
        time.advance(Duration::from_mins(61));
        assert!(!lease.holds());
        lease.extend(until + Duration::from_hours(1));
        assert!(lease.holds(), "extended in time: nobody had said that it is lost");
        time.advance(Duration::from_hours(2));
        lease.ends().await;
        assert!(lease.lost().is_cancelled());
        lease.extend(until + Duration::from_hours(9));
        assert!(!lease.holds(), "what is lost stays lost");
    }
}
