//! The pool as its owner sees it: started, watched, stopped.

use super::options::WorkerPoolOptions;
use super::service::Service;
use super::status::WorkerStatus;
use super::{CheckRunner, watcher};
use crate::queue::WorkQueue;
use command_side::{Clock, CommandBus};
use event_store::LiveFeed;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Claims items and has them run. Dropping it ends everything at once, as a kill would: what was in hand is claimed
/// again when its leases expire. [`WorkerPool::stop`], or the token given at the start, ends it in order.
#[derive(Debug)]
pub struct WorkerPool {
    task: JoinHandle<()>,
    cancel: CancellationToken,
    status: watch::Receiver<WorkerStatus>,
}

impl WorkerPool {
    /// Starts claiming; `cancel` stops it in order.
    #[expect(clippy::needless_pass_by_value, reason = "every task is given its token")]
    pub fn start(
        options: WorkerPoolOptions,
        runner: Arc<dyn CheckRunner>,
        queue: Arc<WorkQueue>,
        bus: CommandBus,
        feed: Arc<LiveFeed>,
        clock: Arc<dyn Clock>,
        cancel: CancellationToken,
    ) -> Self {
        let (sender, status) = watch::channel(WorkerStatus::default());
        let stop = cancel.child_token();
        // Small: the service only marks items as it takes runs from it.
        let (ended, runs_ended) = mpsc::channel(64);
        let service = Service::new(options, runner, queue, clock, sender);
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            // In the task, so that they end with it, however it ends.
            let mut helpers = JoinSet::new();
            helpers.spawn(watcher::watch(feed, ended));
            service.run(bus, helpers, runs_ended, stopping).await;
        });
        Self { task, cancel: stop, status }
    }

    /// How it fares.
    pub fn status(&self) -> watch::Receiver<WorkerStatus> {
        self.status.clone()
    }

    /// Stops in order: claims nothing more, gives running checks some time, records what they gave, gives back the
    /// rest.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        // An error would mean that the task panicked: then there is nothing left to wait for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.task.abort();
    }
}
