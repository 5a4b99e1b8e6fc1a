//! How a pool works.

use std::time::Duration;

/// How a [`super::WorkerPool`] works.
#[derive(Debug, Clone)]
pub struct WorkerPoolOptions {
    /// How many checks run at the same time in this process.
    pub concurrency: usize,
    /// How many items may be in hand: waiting, running, to be recorded. Bounds the memory, and what waits for the
    /// database in an outage.
    pub most_held: usize,
    /// How long an item may wait in hand at most, as estimated by the mean duration of checks: quick checks are claimed
    /// ahead, slow ones are left for other processes.
    pub claim_ahead: Duration,
    /// How often the queue is looked at when nothing woke the pool.
    pub poll_every: Duration,
    /// How long a cancelled check may take to stop before its future is dropped.
    pub grace: Duration,
    /// How long checks may go on when the pool is stopped.
    pub drain: Duration,
    /// How long results and releases may take after that.
    pub flush: Duration,
    /// An item that so many workers died over is not tried again: its result is `Unknown`.
    pub most_crashes: i32,
    /// How many commands that record results may be under way at the same time.
    pub record_concurrency: usize,
    /// How many results one command carries at most.
    pub record_batch: usize,
    /// How long one call to the queue's database may take.
    pub call_timeout: Duration,
}

impl Default for WorkerPoolOptions {
    fn default() -> Self {
        Self {
            concurrency: 32,
            most_held: 2048,
            claim_ahead: Duration::from_millis(200),
            poll_every: Duration::from_millis(250),
            grace: Duration::from_secs(1),
            drain: Duration::from_secs(5),
            flush: Duration::from_secs(3),
            most_crashes: 5,
            record_concurrency: 16,
            record_batch: 256,
            call_timeout: Duration::from_secs(10),
        }
    }
}
