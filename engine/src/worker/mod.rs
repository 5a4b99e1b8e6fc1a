//! Works off the queue.
//!
//! A [`WorkerPool`] claims items, has a [`CheckRunner`] run each within its time, and records the results as commands
//! to their runs: **record first, finish after**. Whatever dies in between, the item is still in the queue and is done
//! again; the run drops results that it has. Results of one run travel together, and no item costs a round trip.
//!
//! Read in this order: [`CheckRunner`], `pool` (the one loop that owns all state), `stock` (the items in hand),
//! `attempt` (one item under its limits), `recorder` (results into commands), `watcher` (runs that end).

mod attempt;
mod calls;
mod options;
mod pool;
mod recent;
mod recorder;
mod service;
mod settle;
mod status;
mod stock;
mod watcher;

use crate::queue::WorkItem;
use domain::diagnostic_run::CheckResult;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

pub(crate) use attempt::unknown_result;
pub use options::WorkerPoolOptions;
pub use pool::WorkerPool;
pub use status::WorkerStatus;

/// Runs one check on one component: measures and judges.
pub trait CheckRunner: Send + Sync + 'static {
    /// Gives the result; what cannot be measured is `Unknown` with its cause. When `cancel` fires (the check's time is
    /// up, or nobody needs the result any more) it stops what it started and returns soon: after a short grace its
    /// future is dropped. Blocking work belongs on blocking threads, and must watch `cancel` itself.
    fn run(&self, item: WorkItem, cancel: CancellationToken) -> BoxFuture<'_, CheckResult>;
}
