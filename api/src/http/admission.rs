//! Who may be in work. Beyond what is in work at the same time a request waits, as long as the queue is one that will
//! be served soon; a longer one is no service, and whoever would join it is turned away at once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The queue, and how fast it moves.
pub struct Admission {
    permits: Semaphore,
    in_work_max: usize,
    wait_max: Duration,
    waiting: AtomicUsize,
    /// How long one is in work, in microseconds: a moving mean.
    mean_us: AtomicU64,
}

/// One request in work; ends when dropped.
pub struct Admitted<'a> {
    admission: &'a Admission,
    since: Instant,
    _permit: SemaphorePermit<'a>,
}

impl Admission {
    /// So many in work, and nobody waits longer.
    pub fn new(in_work_max: usize, wait_max: Duration) -> Self {
        Self {
            permits: Semaphore::new(in_work_max),
            in_work_max,
            wait_max,
            waiting: AtomicUsize::new(0),
            mean_us: AtomicU64::new(0),
        }
    }

    /// Waits for a place; none where there will be none soon.
    pub async fn admit(&self) -> Option<Admitted<'_>> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Some(self.admitted(permit));
        }
        let waiting = Waiting::begin(&self.waiting);
        if self.in_work_max == 0 || self.wait_behind(waiting.before) > self.wait_max {
            return None;
        }
        let permit = tokio::time::timeout(self.wait_max, self.permits.acquire()).await.ok()?.ok()?;
        Some(self.admitted(permit))
    }

    /// How long one waits behind so many others, going by how fast it went until now.
    fn wait_behind(&self, others: usize) -> Duration {
        let turns = (others + 1).div_ceil(self.in_work_max.max(1)) as u64;
        Duration::from_micros(turns.saturating_mul(self.mean_us.load(Ordering::Relaxed)))
    }

    fn admitted<'a>(&'a self, permit: SemaphorePermit<'a>) -> Admitted<'a> {
        Admitted { admission: self, since: Instant::now(), _permit: permit }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let took = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX / 16);
        // Two that end at once may lose one of their updates: it is a mean.
        let mean = self.admission.mean_us.load(Ordering::Relaxed);
        self.admission.mean_us.store((mean * 15 + took) / 16, Ordering::Relaxed);
    }
}

/// Counts one that waits; also where its client goes away meanwhile.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_short_queue_is_waited_in() {
        let admission = Admission::new(1, Duration::from_secs(60));
        let first = admission.admit().await.unwrap();
        let (second, ()) = tokio::join!(admission.admit(), async {
            tokio::task::yield_now().await;
            assert_eq!(admission.waiting.load(Ordering::Relaxed), 1);
            drop(first);
        });
        assert!(second.is_some());
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
        drop(second);
        let impatient = Admission::new(1, Duration::from_millis(1));
        let _first = impatient.admit().await.unwrap();
        assert!(impatient.admit().await.is_none(), "nobody waits longer than the bound");
        assert_eq!(impatient.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_queue_that_would_not_be_served_in_time_is_not_joined() {
        let admission = Admission::new(2, Duration::from_secs(3_600));
        let _both = (admission.admit().await.unwrap(), admission.admit().await.unwrap());
        admission.mean_us.store(2_000_000_000, Ordering::Relaxed);
        assert_eq!(admission.wait_behind(1), Duration::from_secs(2_000));
        assert_eq!(admission.wait_behind(2), Duration::from_secs(4_000));
        let _two_wait = (Waiting::begin(&admission.waiting), Waiting::begin(&admission.waiting));
        // At once: it would wait for an hour otherwise, and the test would not end.
        assert!(admission.admit().await.is_none());
    }

    #[tokio::test]
    async fn where_nothing_may_be_in_work_nobody_waits() {
        assert!(Admission::new(0, Duration::from_secs(60)).admit().await.is_none());
    }
}
