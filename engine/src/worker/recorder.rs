//! Turns results into commands to their runs: a run's results together, several runs at the same time, one command of a
//! run after the other. What the log cannot take just now is kept and tried again until the run's deadline.
//!
//! A command's id is derived from the claims whose results it carries, and its content does not change between tries: a
//! command whose outcome is not known is simply sent again.

use super::recent::Recent;
use super::settle::{Settlement, settle};
use super::stock::ItemId;
use chrono::{DateTime, Utc};
use command_side::{Clock, CommandBus, CommandError};
use domain::diagnostic_run::{CheckResult, DiagnosticRun, Observation, RunCommand};
use domain::{Actor, CommandId, CorrelationId, Metadata, RunId, TenantId};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

/// One command's results stay well below what the event log takes in one piece.
const BATCH_BYTES: usize = 1 << 20;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A run's start waits so long for first results: recording them starts the run, and saves the command.
const START_AFTER: Duration = Duration::from_millis(15);
/// How many started runs are remembered, so that none is started twice. Forgetting one costs one command that changes
/// nothing.
const STARTED_MAX: usize = 20_000;

/// What a run's commands carry.
#[derive(Debug, Clone)]
pub(super) struct RunFacts {
    pub(super) run: RunId,
    pub(super) tenant: TenantId,
    pub(super) correlation: CorrelationId,
    pub(super) causation: Option<Uuid>,
    pub(super) traceparent: Option<String>,
    pub(super) deadline: DateTime<Utc>,
}

/// A result on its way into its run.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) id: ItemId,
    pub(super) attempt: i32,
    pub(super) result: CheckResult,
}

/// What the recorder is told. Each item gives at most one result, so that the items in hand bound the channel.
#[derive(Debug)]
pub(super) enum Order {
    /// A run's first item is under way: start it, unless it is known to have started.
    Start(RunFacts),
    /// A check has ended.
    Record(RunFacts, Box<Pending>),
    /// A run has ended: its results are of no use any more.
    Forget(RunId),
}

/// What the recorder tells.
#[derive(Debug)]
pub(super) enum Report {
    /// These results need nothing more: recorded, or of no use.
    Settled {
        /// Whose.
        items: Vec<ItemId>,
        /// Whether they were recorded.
        recorded: bool,
    },
    /// The log does not take results just now.
    Failing(String),
}

/// A command under way: the same content at each try.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) facts: RunFacts,
    /// None: the run's start.
    pub(super) results: Vec<Pending>,
    /// Changes the command's id where the derived one was taken by another content.
    pub(super) salt: u32,
}

impl Batch {
    pub(super) fn command_id(&self) -> CommandId {
        use std::fmt::Write;
        let mut purpose = format!("worker:{}", self.salt);
        for one in &self.results {
            let key = &one.result.key;
            // Writing into a String does not fail.
            let _ = write!(purpose, "|{}|{}|{}", key.check, key.component, one.attempt);
        }
        CommandId::derived(self.facts.run.0, &purpose)
    }

    async fn send(&self, bus: &CommandBus, actor: Actor) -> Result<(), CommandError> {
        let command = if self.results.is_empty() {
            RunCommand::Start
        } else {
            RunCommand::RecordResults { results: self.results.iter().map(|one| one.result.clone()).collect() }
        };
        let metadata = Metadata {
            actor,
            tenant: self.facts.tenant.clone(),
            command_id: self.command_id(),
            correlation_id: self.facts.correlation,
            causation_id: self.facts.causation,
            traceparent: self.facts.traceparent.clone(),
        };
        bus.execute::<DiagnosticRun>(self.facts.run.0, command, metadata).await.map(|_| ())
    }

    pub(super) fn items(&self) -> Vec<ItemId> {
        self.results.iter().map(|one| one.id).collect()
    }
}

/// What waits of one run.
#[derive(Debug)]
struct RunBuffer {
    facts: RunFacts,
    start: bool,
    results: VecDeque<Pending>,
    /// To be sent before anything newer: tried before, or a part of what was too large.
    again: VecDeque<Batch>,
    in_flight: bool,
    queued: bool,
    failures: u32,
    retry_at: Option<Instant>,
}

impl RunBuffer {
    fn new(facts: RunFacts) -> Self {
        Self {
            facts,
            start: false,
            results: VecDeque::new(),
            again: VecDeque::new(),
            in_flight: false,
            queued: false,
            failures: 0,
            retry_at: None,
        }
    }

    fn has_work(&self) -> bool {
        self.start || !self.results.is_empty() || !self.again.is_empty()
    }

    fn next_batch(&mut self, most: usize) -> Option<Batch> {
        if let Some(batch) = self.again.pop_front() {
            return Some(batch);
        }
        let mut batch = Batch { facts: self.facts.clone(), results: Vec::new(), salt: 0 };
        if std::mem::take(&mut self.start) && self.results.is_empty() {
            return Some(batch);
        }
        let mut bytes = 0;
        while batch.results.len() < most
            && let Some(one) = self.results.front()
        {
            bytes += size_of_result(&one.result);
            if bytes > BATCH_BYTES && !batch.results.is_empty() {
                break;
            }
            batch.results.extend(self.results.pop_front());
        }
        (!batch.results.is_empty()).then_some(batch)
    }

    /// All items whose results wait.
    fn drain_items(&mut self) -> Vec<ItemId> {
        let again = std::mem::take(&mut self.again);
        let waiting = std::mem::take(&mut self.results);
        again.iter().flat_map(Batch::items).chain(waiting.iter().map(|one| one.id)).collect()
    }
}

/// The task that records. Ends when nobody can give it orders and nothing is left to do.
pub(super) struct Recorder {
    pub(super) bus: CommandBus,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) actor: Actor,
    pub(super) concurrency: usize,
    pub(super) batch: usize,
    pub(super) reports: mpsc::UnboundedSender<Report>,
}

/// The recorder's own state.
struct Ledger {
    runs: HashMap<RunId, RunBuffer>,
    /// Runs with something to send, first come first served.
    queue: VecDeque<RunId>,
    /// Runs whose start may be due, or whose command failed, and when to look at them again.
    delayed: BTreeSet<(Instant, RunId)>,
    commands: JoinSet<(Batch, Result<(), CommandError>)>,
    started: Recent<RunId>,
    /// No command is sent before: the log can not be reached.
    paused_until: Option<Instant>,
}

impl Recorder {
    pub(super) async fn run(self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut ledger = Ledger::new();
        let mut inbox = Vec::new();
        let mut open = true;
        while open || ledger.runs.values().any(|run| run.in_flight || run.has_work()) {
            self.dispatch(&mut ledger);
            let wake = ledger.next_wake();
            tokio::select! {
                received = orders.recv_many(&mut inbox, 1024), if open => {
                    open = received > 0;
                    for order in inbox.drain(..) {
                        self.take(&mut ledger, order);
                    }
                }
                Some(ended) = ledger.commands.join_next() => {
                    // A command's task does not panic and is not aborted while this task lives; were it so, its
                    // items' leases would expire and they would be done again.
                    if let Ok((batch, outcome)) = ended {
                        self.settle(&mut ledger, batch, outcome);
                    }
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
    }

    fn take(&self, ledger: &mut Ledger, order: Order) {
        let run = match order {
            Order::Start(facts) => {
                if !ledger.started.insert(facts.run) {
                    return;
                }
                ledger.delayed.insert((Instant::now() + START_AFTER, facts.run));
                ledger.buffer(facts).start = true;
                return;
            }
            Order::Record(facts, pending) => {
                let run = facts.run;
                ledger.buffer(facts).results.push_back(*pending);
                run
            }
            Order::Forget(run) => {
                if let Some(buffer) = ledger.runs.get_mut(&run) {
                    buffer.start = false;
                    let items = buffer.drain_items();
                    self.report_settled(items, false);
                    ledger.tidy(run);
                }
                return;
            }
        };
        ledger.enqueue(run);
    }

    fn dispatch(&self, ledger: &mut Ledger) {
        let now = Instant::now();
        while let Some(&(due, run)) = ledger.delayed.first()
            && due <= now
        {
            ledger.delayed.pop_first();
            ledger.enqueue(run);
        }
        if ledger.paused_until.is_some_and(|until| until > now) {
            return;
        }
        ledger.paused_until = None;
        while ledger.commands.len() < self.concurrency
            && let Some(run) = ledger.queue.pop_front()
        {
            self.send_next(ledger, run);
        }
    }

    fn send_next(&self, ledger: &mut Ledger, run: RunId) {
        let Some(buffer) = ledger.runs.get_mut(&run) else { return };
        buffer.queued = false;
        if buffer.in_flight {
            return;
        }
        // Tried in vain until the deadline: the run times out, and these checks are named as missing.
        if buffer.failures > 0 && self.clock.now() >= buffer.facts.deadline {
            buffer.start = false;
            let items = buffer.drain_items();
            self.report_settled(items, false);
        }
        let Some(batch) = buffer.next_batch(self.batch) else {
            ledger.tidy(run);
            return;
        };
        buffer.in_flight = true;
        let (bus, actor) = (self.bus.clone(), self.actor.clone());
        ledger.commands.spawn(async move {
            let outcome = batch.send(&bus, actor).await;
            (batch, outcome)
        });
    }

    fn settle(&self, ledger: &mut Ledger, batch: Batch, outcome: Result<(), CommandError>) {
        let run = batch.facts.run;
        let Some(buffer) = ledger.runs.get_mut(&run) else { return };
        buffer.in_flight = false;
        match settle(batch, outcome) {
            Settlement::Recorded(items) => {
                buffer.failures = 0;
                self.report_settled(items, true);
            }
            Settlement::Useless(items) => {
                buffer.failures = 0;
                self.report_settled(items, false);
            }
            Settlement::Instead(batches) => {
                for batch in batches.into_iter().rev() {
                    buffer.again.push_front(batch);
                }
            }
            Settlement::Later { batch, why, outage } => {
                buffer.again.push_front(batch);
                buffer.failures = buffer.failures.saturating_add(1);
                let until = Instant::now() + backoff(buffer.failures);
                if outage {
                    ledger.paused_until = Some(Instant::now() + BACKOFF_MIN);
                }
                buffer.retry_at = Some(until);
                ledger.delayed.insert((until, run));
                let _ = self.reports.send(Report::Failing(why));
                return;
            }
        }
        ledger.enqueue(run);
    }

    fn report_settled(&self, items: Vec<ItemId>, recorded: bool) {
        // The pool may be gone already: its items' leases expire then.
        let _ = self.reports.send(Report::Settled { items, recorded });
    }
}

impl Ledger {
    fn new() -> Self {
        Self {
            runs: HashMap::new(),
            queue: VecDeque::new(),
            delayed: BTreeSet::new(),
            commands: JoinSet::new(),
            started: Recent::new(STARTED_MAX),
            paused_until: None,
        }
    }

    fn buffer(&mut self, facts: RunFacts) -> &mut RunBuffer {
        self.runs.entry(facts.run).or_insert_with(|| RunBuffer::new(facts))
    }

    fn enqueue(&mut self, run: RunId) {
        let Some(buffer) = self.runs.get_mut(&run) else { return };
        // A run that failed is queued again by its own entry among the delayed ones.
        let waits = buffer.retry_at.is_some_and(|at| at > Instant::now());
        if buffer.has_work() && !buffer.in_flight && !buffer.queued && !waits {
            buffer.queued = true;
            self.queue.push_back(run);
        }
        self.tidy(run);
    }

    fn tidy(&mut self, run: RunId) {
        if self.runs.get(&run).is_some_and(|buffer| !buffer.in_flight && !buffer.has_work()) {
            self.runs.remove(&run);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let retry = self.delayed.first().map(|(due, _)| *due);
        let resume = if self.queue.is_empty() { None } else { self.paused_until };
        match (retry, resume) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(BACKOFF_MAX)
}

/// About how many bytes of JSON a result makes.
fn size_of_result(result: &CheckResult) -> usize {
    let observation = |one: &Observation| {
        let evidence = one.evidence.inline.as_ref().map_or(0, |json| json.to_string().len());
        300 + one.symptom.len() + one.cause.len() + one.impact.len() + one.advice.len() + evidence
    };
    500 + result.summary.len()
        + result.unknown_cause.as_ref().map_or(0, String::len)
        + result.metrics.len() * 40
        + result.observations.iter().map(observation).sum::<usize>()
}
