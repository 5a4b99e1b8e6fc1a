//! Fills the queue from the event log.
//!
//! Every process follows the log, and the checkpoint's row decides who fills: it is locked, read and moved in the
//! transaction that writes the rows. Who comes second finds it moved and does nothing. So each event is worked in
//! exactly once, and no time passes between one process's death and another's taking over.

use super::item::{ItemKey, NewItem, NewRun, priority_of};
use super::work_queue::{QueueError, WorkQueue, delete_runs, insert_items, insert_runs};
use chrono::{DateTime, Utc};
use domain::diagnostic_run::{PlannedCheck, RunEvent};
use domain::{AnyEvent, DeploymentId, Position, RunId, any_event};
use event_store::{LiveFeed, LogError, RecordedEvent};
use sqlx::Row;
use sqlx::postgres::PgConnection;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const CHECKPOINT: &str = "queue_filler";
/// Rows of one INSERT, so that no statement grows without bound.
const ITEMS_PER_INSERT: usize = 5_000;
/// Events that say nothing to the queue are passed over in memory; the checkpoint follows after so many, or so long.
const PASS_EVENTS: i64 = 2_000;
const PASS_TIME: Duration = Duration::from_secs(5);
/// Bounds one transaction, the wait for another process's included.
const APPLY_TIME: Duration = Duration::from_secs(20);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How the filler fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FillerStatus {
    /// All events up to this one are in the queue.
    pub position: Position,
    /// Runs whose plan could not be read; they time out.
    pub skipped: u64,
    /// Why it does not move on just now.
    pub failure: Option<String>,
}

/// Follows the log and keeps the queue in step with the runs. Dropping it stops it at once.
#[derive(Debug)]
pub struct QueueFiller {
    task: JoinHandle<()>,
    status: watch::Receiver<FillerStatus>,
}

impl QueueFiller {
    /// Starts following from the checkpoint; `cancel` stops it.
    pub fn start(queue: Arc<WorkQueue>, feed: Arc<LiveFeed>, cancel: CancellationToken) -> Self {
        let (sender, status) = watch::channel(FillerStatus::default());
        let task = tokio::spawn(async move {
            let filler = Filler { queue, feed, status: sender };
            cancel.run_until_cancelled(filler.run()).await;
        });
        Self { task, status }
    }

    /// How it fares.
    pub fn status(&self) -> watch::Receiver<FillerStatus> {
        self.status.clone()
    }

    /// Waits until it has stopped, after its token was cancelled.
    pub async fn stopped(mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for QueueFiller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Filler {
    queue: Arc<WorkQueue>,
    feed: Arc<LiveFeed>,
    status: watch::Sender<FillerStatus>,
}

#[derive(Debug, thiserror::Error)]
enum FillError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the transaction took longer than {APPLY_TIME:?}")]
    TooSlow,
}

impl From<sqlx::Error> for FillError {
    fn from(error: sqlx::Error) -> Self {
        Self::Queue(error.into())
    }
}

impl Filler {
    async fn run(self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let before = self.status.borrow().position;
            let error = match self.follow().await {
                Ok(()) | Err(FillError::Log(LogError::Closed)) => return,
                Err(error) => error,
            };
            if self.status.borrow().position > before {
                backoff = BACKOFF_MIN;
            }
            tracing::warn!(error = %full(&error), backoff_ms = backoff.as_millis(), "queue filler waits");
            self.status.send_modify(|status| status.failure = Some(full(&error)));
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Follows the log from the checkpoint until something fails.
    async fn follow(&self) -> Result<(), FillError> {
        let mut saved = self.checkpoint().await?;
        let mut saved_at = Instant::now();
        self.progress(saved);
        let mut subscription = self.feed.subscribe(saved);
        loop {
            let events = subscription.next().await?;
            let Some(last) = events.last().map(|event| event.position) else { continue };
            let due = last.0 - saved.0 >= PASS_EVENTS || saved_at.elapsed() >= PASS_TIME;
            if due || events.iter().any(|event| concerns_queue(event)) {
                saved = tokio::time::timeout(APPLY_TIME, self.apply(&events, last))
                    .await
                    .map_err(|_| FillError::TooSlow)??;
                saved_at = Instant::now();
            }
            self.progress(last);
        }
    }

    fn progress(&self, position: Position) {
        self.status.send_if_modified(|status| {
            let changed = status.position != position || status.failure.is_some();
            status.position = position;
            status.failure = None;
            changed
        });
    }

    async fn checkpoint(&self) -> Result<Position, FillError> {
        let position = sqlx::query_scalar::<_, i64>(
            "WITH made AS (INSERT INTO cmdiag.engine_checkpoints (name, position) VALUES ($1, 0) \
                           ON CONFLICT DO NOTHING RETURNING position) \
             SELECT position FROM made UNION ALL \
             SELECT position FROM cmdiag.engine_checkpoints WHERE name = $1 LIMIT 1",
        )
        .bind(CHECKPOINT)
        .fetch_optional(self.queue.pool())
        .await?;
        // None: another process made the row after this statement's snapshot. It starts at 0, too.
        Ok(Position(position.unwrap_or_default()))
    }

    /// Works events into the queue, unless another process did; returns where the checkpoint stands now.
    async fn apply(&self, events: &[Arc<RecordedEvent>], last: Position) -> Result<Position, FillError> {
        let mut transaction = self.queue.pool().begin().await?;
        // Were this process to freeze here, the others must not wait for it.
        let done: i64 = sqlx::query_scalar(
            "SELECT position FROM (SELECT set_config('idle_in_transaction_session_timeout', '10s', true)) s, \
                    cmdiag.engine_checkpoints WHERE name = $1 FOR UPDATE OF engine_checkpoints",
        )
        .bind(CHECKPOINT)
        .fetch_one(&mut *transaction)
        .await?;
        if done >= last.0 {
            // Another process did it. Its workers know; ours do not.
            self.queue.wake();
            return Ok(Position(done));
        }
        let intake = Intake::of(events, Position(done));
        let skipped = intake.apply(&mut transaction).await?;
        sqlx::query("UPDATE cmdiag.engine_checkpoints SET position = $2, updated_at = now() WHERE name = $1")
            .bind(CHECKPOINT)
            .bind(last.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        if skipped > 0 {
            self.status.send_modify(|status| status.skipped += skipped);
        }
        self.queue.wake();
        Ok(last)
    }
}

/// What a batch of events means for the queue.
#[derive(Debug, Default)]
struct Intake {
    requested: Vec<NewRun>,
    planned: Vec<(RunId, DateTime<Utc>, Vec<PlannedCheck>)>,
    started: Vec<Uuid>,
    ended: Vec<RunId>,
    unreadable: u64,
}

impl Intake {
    fn of(events: &[Arc<RecordedEvent>], after: Position) -> Self {
        let mut intake = Self::default();
        let new = events.iter().filter(|event| event.position > after);
        for event in new.flat_map(|event| event.parts()).filter(|event| concerns_queue(event)) {
            intake.take(&event);
        }
        let ended: HashSet<RunId> = intake.ended.iter().copied().collect();
        intake.requested.retain(|run| !ended.contains(&run.run));
        intake.planned.retain(|(run, ..)| !ended.contains(run));
        intake
    }

    fn take(&mut self, event: &RecordedEvent) {
        let decoded = event.decode().map_err(|error| error.to_string());
        let run = event.stream.aggregate_id.parse::<RunId>().map_err(|error| error.to_string());
        match (decoded, run) {
            (Ok(AnyEvent::Run(decoded)), Ok(run)) => self.take_run(run, decoded, event),
            (Ok(_), Ok(_)) => {}
            (Err(error), _) | (_, Err(error)) => {
                // The queue must go on for the other runs; this one times out, which is the truth about it.
                tracing::error!(
                    position = event.position.0,
                    error,
                    "an event of a run is not readable: no work queued"
                );
                self.unreadable += 1;
            }
        }
    }

    fn take_run(&mut self, run: RunId, decoded: RunEvent, event: &RecordedEvent) {
        match decoded {
            RunEvent::RunRequested { deployment, priority, deadline, .. } => self.requested.push(NewRun {
                run,
                deployment,
                tenant: event.metadata.tenant.clone(),
                priority,
                deadline,
                correlation: event.metadata.correlation_id,
                causation: Some(event.event_id),
                traceparent: event.metadata.traceparent.clone(),
            }),
            RunEvent::RunPlanned { checks, at } => self.planned.push((run, at, checks)),
            RunEvent::RunStarted { .. } => self.started.push(run.0),
            RunEvent::RunCompleted { .. }
            | RunEvent::RunCancelled { .. }
            | RunEvent::RunTimedOut { .. }
            | RunEvent::RunFailed { .. } => self.ended.push(run),
            RunEvent::ChecksCompleted { .. } => {}
        }
    }

    /// Writes it; returns how many runs could not be queued.
    async fn apply(&self, connection: &mut PgConnection) -> Result<u64, FillError> {
        insert_runs(connection, &self.requested).await?;
        let (items, unknown) = self.items(connection).await?;
        for chunk in items.chunks(ITEMS_PER_INSERT) {
            insert_items(connection, chunk).await?;
        }
        if !self.started.is_empty() {
            sqlx::query("UPDATE cmdiag.work_runs SET started = true WHERE run_id = ANY($1) AND NOT started")
                .bind(&self.started)
                .execute(&mut *connection)
                .await?;
        }
        delete_runs(connection, &self.ended).await?;
        Ok(self.unreadable + unknown)
    }

    async fn items(&self, connection: &mut PgConnection) -> Result<(Vec<NewItem>, u64), FillError> {
        if self.planned.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let ids: Vec<Uuid> = self.planned.iter().map(|(run, ..)| run.0).collect();
        let rows = sqlx::query(
            "SELECT run_id, deployment_id, priority, deadline FROM cmdiag.work_runs WHERE run_id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(connection)
        .await?;
        let mut runs = HashMap::with_capacity(rows.len());
        for row in rows {
            let facts: (Uuid, i16, DateTime<Utc>) =
                (row.try_get("deployment_id")?, row.try_get("priority")?, row.try_get("deadline")?);
            runs.insert(row.try_get::<Uuid, _>("run_id")?, facts);
        }
        let mut items = Vec::new();
        let mut unknown = 0;
        for (run, at, checks) in &self.planned {
            let Some(&(deployment, priority, deadline)) = runs.get(&run.0) else {
                tracing::error!(%run, "a planned run was never requested: no work queued");
                unknown += 1;
                continue;
            };
            items.extend(checks.iter().map(|check| NewItem {
                key: ItemKey { run: *run, check: check.key.clone() },
                deployment: DeploymentId(deployment),
                version: check.version.clone(),
                priority: priority_of(priority),
                queued_at: *at,
                not_before: *at,
                deadline,
                timeout_ms: check.timeout_ms,
            }));
        }
        Ok((items, unknown))
    }
}

/// Whether the queue has to know of an event: read from its type, without decoding the results of checks.
fn concerns_queue(event: &RecordedEvent) -> bool {
    &*event.stream.aggregate_type == any_event::DIAGNOSTIC_RUN && event.event_type != "ChecksCompleted"
}

fn full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
