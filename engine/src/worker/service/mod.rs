//! The pool's one loop: it owns the items in hand, and never waits for anything but the next thing that happens.

mod happenings;

use super::CheckRunner;
use super::attempt::{Attempt, Surroundings, run_item};
use super::calls::Calls;
use super::options::WorkerPoolOptions;
use super::recent::Recent;
use super::recorder::{Recorder, Report};
use super::status::WorkerStatus;
use super::stock::{ItemId, Stock, Stopped};
use crate::queue::{CLAIM_MAX, Held, WorkQueue};
use command_side::{Clock, CommandBus};
use domain::{Actor, RunId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The most items that one statement finishes.
const FINISH_MAX: usize = 1_024;
/// The most items put into one slot of a target.
const DEPTH_MAX: f64 = 64.0;
/// How many ended runs are remembered, for items that were claimed at the moment their run ended.
const ENDED_MAX: usize = 10_000;
const TIDY_EVERY: Duration = Duration::from_secs(30);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Where the service is in its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    /// Running checks may still end by themselves.
    Draining(Instant),
    /// They have been cancelled; what they gave before is recorded and finished.
    Flushing(Instant),
}

/// One kind of call to the queue: at most one under way, and after a failure not again before a while.
#[derive(Debug, Default)]
struct Line {
    busy: bool,
    after: Option<Instant>,
    failures: u32,
}

impl Line {
    /// True where a call may be made; then it counts as under way.
    fn enter(&mut self) -> bool {
        let may = !self.busy && self.after.is_none_or(|after| after <= Instant::now());
        self.busy |= may;
        may
    }

    fn is_free(&self) -> bool {
        !self.busy && self.after.is_none_or(|after| after <= Instant::now())
    }

    fn leave(&mut self, failed: bool) {
        if failed {
            let wait = BACKOFF_MIN.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
            let failures = self.failures.saturating_add(1);
            *self = Self { busy: false, after: Some(Instant::now() + wait), failures };
        } else {
            *self = Self::default();
        }
    }
}

pub(super) struct Service {
    options: WorkerPoolOptions,
    around: Surroundings,
    queue: Arc<WorkQueue>,
    clock: Arc<dyn Clock>,
    status: watch::Sender<WorkerStatus>,
    counts: WorkerStatus,
    calls: Calls,
    stock: Stock,
    attempts: JoinSet<(ItemId, Attempt)>,
    ended_runs: Recent<RunId>,
    life: Life,
    /// The queue gave less than was asked for: no use in asking again until something happens.
    dry: bool,
    claims: Line,
    finishes: Line,
    extensions: Line,
    to_finish: Vec<ItemId>,
    /// Mean duration of checks, in seconds, newer ones weighing more; none yet.
    mean: Option<f64>,
}

impl Service {
    pub(super) fn new(
        options: WorkerPoolOptions,
        runner: Arc<dyn CheckRunner>,
        queue: Arc<WorkQueue>,
        clock: Arc<dyn Clock>,
        status: watch::Sender<WorkerStatus>,
    ) -> Self {
        let around = Surroundings {
            runner,
            clock: Arc::clone(&clock),
            grace: options.grace,
            most_crashes: options.most_crashes,
        };
        let calls = Calls::new(Arc::clone(&queue), Uuid::now_v7(), options.call_timeout);
        Self {
            options,
            around,
            queue,
            clock,
            status,
            counts: WorkerStatus::default(),
            calls,
            stock: Stock::default(),
            attempts: JoinSet::new(),
            ended_runs: Recent::new(ENDED_MAX),
            life: Life::Serving,
            dry: false,
            claims: Line::default(),
            finishes: Line::default(),
            extensions: Line::default(),
            to_finish: Vec::new(),
            mean: None,
        }
    }

    /// Serves until `stop` fires, then ends in order. `helpers` end with it.
    pub(super) async fn run(
        mut self,
        bus: CommandBus,
        mut helpers: JoinSet<()>,
        mut runs_ended: mpsc::Receiver<Vec<RunId>>,
        stop: CancellationToken,
    ) {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (sender, mut reports) = mpsc::unbounded_channel();
        helpers.spawn(self.recorder(bus, sender).run(inbox));
        let queue = Arc::clone(&self.queue);
        let mut poll = every(self.options.poll_every);
        let mut heartbeat = every(queue.options().lease / 3);
        let mut tidy = every(TIDY_EVERY);
        while !self.is_over() {
            self.advance();
            tokio::select! {
                Some(ended) = self.attempts.join_next() => {
                    self.attempt_ended(ended.ok(), &orders);
                    while let Some(ended) = self.attempts.try_join_next() {
                        self.attempt_ended(ended.ok(), &orders);
                    }
                }
                Some(report) = reports.recv() => self.reported(report),
                Some(answer) = self.calls.next(), if !self.calls.is_empty() => self.answered(answer, &orders),
                Some(runs) = runs_ended.recv() => self.runs_ended(&runs, &orders),
                () = queue.woken() => self.dry = false,
                _ = poll.tick() => self.dry = false,
                _ = heartbeat.tick() => self.extend(),
                _ = tidy.tick() => self.calls.tidy(self.clock.now()),
                () = stop.cancelled(), if self.life == Life::Serving => self.begin_draining(),
            }
        }
        self.publish();
    }

    fn recorder(&self, bus: CommandBus, reports: mpsc::UnboundedSender<Report>) -> Recorder {
        #[expect(clippy::expect_used, reason = "a constant that is a valid name")]
        let actor = Actor::new("system:worker").expect("a valid name");
        Recorder {
            bus,
            clock: Arc::clone(&self.clock),
            actor,
            concurrency: self.options.record_concurrency,
            batch: self.options.record_batch,
            reports,
        }
    }

    /// Does all that can be done without waiting.
    fn advance(&mut self) {
        match self.life {
            Life::Serving => self.start_items(),
            Life::Draining(until) if self.stock.running() == 0 || until <= Instant::now() => self.begin_flushing(),
            Life::Draining(_) | Life::Flushing(_) => {}
        }
        self.finish();
        if self.life == Life::Serving {
            self.claim();
        }
        self.publish();
    }

    fn publish(&mut self) {
        self.counts.waiting = self.stock.waiting();
        self.counts.running = self.stock.running();
        self.counts.buffered = self.stock.len() - self.counts.waiting - self.counts.running;
        let counts = &self.counts;
        self.status.send_if_modified(|status| {
            let changed = status != counts;
            if changed {
                status.clone_from(counts);
            }
            changed
        });
    }

    fn start_items(&mut self) {
        while self.stock.running() < self.options.concurrency
            && let Some((id, item, cancel)) = self.stock.start_next()
        {
            let around = self.around.clone();
            self.attempts.spawn(async move { (id, run_item(around, item, cancel).await) });
        }
    }

    /// How many items one slot may be given: as many as it works off while they may wait.
    fn depth(&self) -> u16 {
        self.mean
            .map_or(1, |mean| (self.options.claim_ahead.as_secs_f64() / mean.max(1e-6)).clamp(1.0, DEPTH_MAX) as u16)
    }

    fn claim(&mut self) {
        if self.dry || !self.claims.is_free() {
            return;
        }
        let depth = self.depth();
        let ahead = self.options.concurrency * (usize::from(depth) - 1);
        // Well supplied: wait, and ask for many at once.
        if self.stock.waiting() * 2 > ahead + self.options.concurrency {
            return;
        }
        let in_work = self.stock.running() + self.stock.waiting();
        let most = (self.options.concurrency + ahead)
            .saturating_sub(in_work)
            .min(self.options.most_held.saturating_sub(self.stock.len()))
            .min(CLAIM_MAX);
        if most > 0 && self.claims.enter() {
            self.calls.claim(most, depth, self.clock.now());
        }
    }

    fn finish(&mut self) {
        if self.to_finish.is_empty() || !self.finishes.is_free() {
            return;
        }
        let some = self.to_finish.len().min(FINISH_MAX);
        let ids: Vec<ItemId> = self.to_finish.drain(..some).collect();
        let items: Vec<_> = ids.into_iter().filter_map(|id| Some((id, self.stock.held(id)?))).collect();
        if !items.is_empty() && self.finishes.enter() {
            self.calls.finish(items);
        }
    }

    fn extend(&mut self) {
        let held: Vec<Held> = self.stock.all().into_iter().filter_map(|id| self.stock.held(id)).collect();
        if !held.is_empty() && self.extensions.enter() {
            self.calls.extend(held, self.clock.now());
        }
    }

    fn release(&mut self, ids: Vec<ItemId>) {
        let items: Vec<_> = ids.into_iter().filter_map(|id| Some((id, self.stock.held(id)?))).collect();
        if !items.is_empty() {
            self.calls.release(items, self.clock.now());
        }
    }

    fn begin_draining(&mut self) {
        self.life = Life::Draining(Instant::now() + self.options.drain);
        self.give_up(self.stock.waiting_items());
    }

    fn begin_flushing(&mut self) {
        self.life = Life::Flushing(Instant::now() + self.options.grace + self.options.flush);
        for id in self.stock.open() {
            self.counts.cancelled += 1;
            self.stock.stop(id, Stopped::Shutdown);
        }
    }

    fn is_over(&self) -> bool {
        let is_idle = self.stock.len() == 0 && !self.claims.busy;
        matches!(self.life, Life::Flushing(until) if is_idle || until <= Instant::now())
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
