//! The pool's one loop: it owns the items in hand, and never waits for anything but the next thing that happens.

use super::CheckRunner;
use super::attempt::{Attempt, Surroundings, run_item};
use super::calls::{Answer, Calls};
use super::options::WorkerPoolOptions;
use super::recent::Recent;
use super::recorder::{Order, Pending, Recorder, Report, RunFacts};
use super::status::WorkerStatus;
use super::stock::{ItemId, Stock, Stopped, Taken};
use crate::queue::{CLAIM_MAX, Held, ItemKey, WorkItem, WorkQueue};
use command_side::{Clock, CommandBus};
use domain::{Actor, RunId};
use std::collections::HashSet;
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

/// Something that failed is not tried again before.
#[derive(Debug, Default)]
struct Retry {
    after: Option<Instant>,
    failures: u32,
}

impl Retry {
    fn failed(&mut self) {
        let wait = BACKOFF_MIN.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        self.after = Some(Instant::now() + wait);
    }

    fn worked(&mut self) {
        *self = Self::default();
    }

    fn may(&self) -> bool {
        self.after.is_none_or(|after| after <= Instant::now())
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
    claiming: bool,
    claim_retry: Retry,
    to_finish: Vec<ItemId>,
    finishing: bool,
    finish_retry: Retry,
    extending: bool,
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
            claiming: false,
            claim_retry: Retry::default(),
            to_finish: Vec::new(),
            finishing: false,
            finish_retry: Retry::default(),
            extending: false,
            mean: None,
        }
    }

    /// Serves until `stop` fires, then ends in order. `helpers` end with it.
    pub(super) async fn run(
        mut self,
        bus: Arc<CommandBus>,
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
            self.advance(&orders);
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

    fn recorder(&self, bus: Arc<CommandBus>, reports: mpsc::UnboundedSender<Report>) -> Recorder {
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
    fn advance(&mut self, orders: &mpsc::UnboundedSender<Order>) {
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
        if self.claiming || self.dry || !self.claim_retry.may() {
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
        if most > 0 {
            self.claiming = true;
            self.calls.claim(most, depth, self.clock.now());
        }
    }

    fn finish(&mut self) {
        if self.finishing || self.to_finish.is_empty() || !self.finish_retry.may() {
            return;
        }
        let some = self.to_finish.len().min(FINISH_MAX);
        let ids: Vec<ItemId> = self.to_finish.drain(..some).collect();
        let items: Vec<_> = ids.into_iter().filter_map(|id| Some((id, self.stock.held(id)?))).collect();
        if !items.is_empty() {
            self.finishing = true;
            self.calls.finish(items);
        }
    }

    fn extend(&mut self) {
        let held: Vec<Held> = self.stock.all().into_iter().filter_map(|id| self.stock.held(id)).collect();
        if !self.extending && !held.is_empty() {
            self.extending = true;
            self.calls.extend(held, self.clock.now());
        }
    }

    fn release(&mut self, ids: Vec<ItemId>) {
        let items: Vec<_> = ids.into_iter().filter_map(|id| Some((id, self.stock.held(id)?))).collect();
        if !items.is_empty() {
            self.calls.release(items, self.clock.now());
        }
    }

    fn answered(&mut self, answer: Answer, orders: &mpsc::UnboundedSender<Order>) {
        match answer {
            Answer::Claimed { most, outcome } => {
                self.claiming = false;
                if let Some(items) = checked(&mut self.counts, &mut self.claim_retry, outcome) {
                    self.dry = items.len() < most;
                    self.take(items, orders);
                }
            }
            Answer::Finished { items, outcome } => {
                self.finishing = false;
                if checked(&mut self.counts, &mut self.finish_retry, outcome).is_some() {
                    self.finished(&items);
                } else {
                    self.to_finish.extend(items.into_iter().map(|(id, _)| id));
                }
            }
            Answer::Extended { asked, outcome } => {
                self.extending = false;
                match outcome {
                    Ok(kept) => self.extended(&asked, kept),
                    Err(error) => self.counts.failed(error),
                }
            }
            Answer::Released { items, outcome } => {
                // Where it failed, the leases expire.
                if let Err(error) = outcome {
                    self.counts.failed(error);
                }
                for id in items {
                    self.stock.remove(id);
                }
            }
            Answer::Tidied(outcome) => {
                if let Err(error) = outcome {
                    self.counts.failed(error);
                }
            }
        }
    }

    fn take(&mut self, items: Vec<WorkItem>, orders: &mpsc::UnboundedSender<Order>) {
        self.counts.claimed += items.len() as u64;
        if self.life != Life::Serving {
            // Claimed before the stop was seen: given back untouched.
            let ids = items.into_iter().filter_map(|item| self.take_one(item, orders)).collect();
            self.give_up(ids);
            return;
        }
        for item in items {
            let has_ended = self.ended_runs.contains(item.key.run);
            if let Some(id) = self.take_one(item, orders)
                && has_ended
            {
                self.stock.stop(id, Stopped::RunEnded);
                self.to_finish.push(id);
            }
        }
    }

    /// Takes an item in; gives its id where it is new here.
    fn take_one(&mut self, item: WorkItem, orders: &mpsc::UnboundedSender<Order>) -> Option<ItemId> {
        let key = item.key.clone();
        let is_first = !item.started && self.stock.of_run(key.run).is_empty();
        let facts = is_first.then(|| facts_of(&item));
        if self.stock.take(item) == Taken::Adopted {
            return None;
        }
        if let Some(facts) = facts
            && self.life == Life::Serving
            && !self.ended_runs.contains(key.run)
        {
            // The recorder lives as long as this loop does; so for all orders.
            let _ = orders.send(Order::Start(facts));
        }
        self.stock.find(&key)
    }

    /// Gives back items that wait.
    fn give_up(&mut self, ids: Vec<ItemId>) {
        for &id in &ids {
            self.stock.stop(id, Stopped::Shutdown);
        }
        self.release(ids);
    }

    fn finished(&mut self, items: &[(ItemId, i32)]) {
        for &(id, attempt) in items {
            // Claimed anew while it was being finished by its old claim: the new one is to be finished, too.
            if self.stock.held(id).is_some_and(|held| held.attempt != attempt) {
                self.to_finish.push(id);
            } else {
                self.stock.remove(id);
            }
        }
        // Their targets may have room now.
        self.dry = false;
    }

    fn extended(&mut self, asked: &[Held], kept: Vec<ItemKey>) {
        let kept: HashSet<ItemKey> = kept.into_iter().collect();
        for lost in asked.iter().filter(|held| !kept.contains(&held.key)) {
            let Some(id) = self.stock.find(&lost.key) else { continue };
            let is_same = self.stock.held(id).is_some_and(|held| held.attempt == lost.attempt);
            // A result on its way is recorded all the same: the run takes it once.
            if is_same && self.stock.is_open(id) {
                self.counts.cancelled += 1;
                if !self.stock.stop(id, Stopped::LeaseLost) {
                    self.stock.remove(id);
                }
            }
        }
    }

    fn attempt_ended(&mut self, ended: Option<(ItemId, Attempt)>, orders: &mpsc::UnboundedSender<Order>) {
        // None: a panic outside the runner, which `run_item` does not have. The lease would expire.
        let Some((id, attempt)) = ended else { return };
        let stopped = self.stock.end(id);
        self.counts.panics += u64::from(attempt.panicked);
        let Some(item) = self.stock.item(id).cloned() else { return };
        match (stopped, attempt.result) {
            (None, Some(result)) => {
                let took = attempt.took.as_secs_f64();
                self.mean = Some(self.mean.map_or(took, |mean| mean + (took - mean) * 0.1));
                let _ = orders.send(Order::Record(facts_of(&item), Pending { id, attempt: item.attempt, result }));
            }
            (Some(Stopped::RunEnded), _) => self.to_finish.push(id),
            // Whoever holds it now has another attempt, which a release by ours does not touch.
            (Some(Stopped::LeaseLost | Stopped::Shutdown) | None, _) => self.release(vec![id]),
        }
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::Settled { items, recorded } => {
                let counter = if recorded { &mut self.counts.recorded } else { &mut self.counts.dropped };
                *counter += items.len() as u64;
                if recorded {
                    self.counts.failing = false;
                }
                self.to_finish.extend(items);
            }
            Report::Failing(error) => self.counts.failed(error),
        }
    }

    fn runs_ended(&mut self, runs: &[RunId], orders: &mpsc::UnboundedSender<Order>) {
        for &run in runs {
            self.ended_runs.insert(run);
            let ids = self.stock.of_run(run);
            if ids.is_empty() {
                continue;
            }
            for id in ids {
                if !self.stock.is_open(id) {
                    continue;
                }
                self.counts.cancelled += 1;
                if !self.stock.stop(id, Stopped::RunEnded) {
                    self.to_finish.push(id);
                }
            }
            let _ = orders.send(Order::Forget(run));
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
        let is_idle = self.stock.len() == 0 && !self.claiming;
        matches!(self.life, Life::Flushing(until) if is_idle || until <= Instant::now())
    }
}

/// Notes how a call went, and gives what it returned.
fn checked<T>(counts: &mut WorkerStatus, retry: &mut Retry, outcome: Result<T, String>) -> Option<T> {
    match outcome {
        Ok(value) => {
            retry.worked();
            counts.failing = false;
            Some(value)
        }
        Err(error) => {
            retry.failed();
            counts.failed(error);
            None
        }
    }
}

fn facts_of(item: &WorkItem) -> RunFacts {
    RunFacts {
        run: item.key.run,
        tenant: item.tenant.clone(),
        correlation: item.correlation,
        causation: item.causation,
        traceparent: item.traceparent.clone(),
        deadline: item.deadline,
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
