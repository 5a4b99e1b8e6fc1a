//! Runs a process manager: lease, checkpoint, feed, commands; and again after whatever went wrong.

use super::dispatch::Dispatch;
use super::lease::Lease;
use super::status::{ProcessStatus, StatusBoard};
use super::{Cause, ProcessManagersOptions};
use crate::bus::CommandBus;
use crate::error::CommandError;
use chrono::{DateTime, Utc};
use domain::Position;
use event_store::{LiveFeed, LogError, RecordedEvent};
use sqlx::{PgConnection, PgPool};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Commands are sent when so many have come together, or at the end of what the feed gave.
const CHUNK: usize = 512;
/// The checkpoint moves this often at most: what was answered after it is answered again after a crash, to no effect.
const SAVE_EVERY: Duration = Duration::from_millis(250);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The last save must not hold up the end of the process.
const LAST_SAVE_WAIT: Duration = Duration::from_secs(2);
/// Timers wait while the process manager is farther behind than this: what it remembers is old.
const TIMER_LAG_MAX: i64 = 1_000;

/// Why a process manager does not get on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    /// It is to stop, or has lost its lease.
    #[error("stopped")]
    Stopped,
    /// Its tables can not be read or written.
    #[error("the database does not answer")]
    Database(#[from] sqlx::Error),
    /// The log can not be followed.
    #[error("the log can not be followed")]
    Log(#[from] LogError),
    /// A command can not be executed.
    #[error("a command can not be executed")]
    Command(#[from] CommandError),
    /// An event can not be read: it is not passed over.
    #[error("the event at position {position} can not be read")]
    Unreadable {
        /// Where.
        position: Position,
        /// What is wrong.
        #[source]
        source: domain::any_event::DecodeError,
    },
}

/// A process manager's core. What it remembers is a function of the log up to its checkpoint.
pub(crate) trait Process: Send + Sync + 'static {
    /// Its name: of its lease, its checkpoint and its status.
    const NAME: &'static str;
    /// What is to be done in answer to an event.
    type Work: Send + Sync + 'static;
    /// What came of it.
    type Done: Send + 'static;
    /// What it is done with.
    type Hands: Send + Sync + 'static;

    /// What work is done with.
    fn hands(&self) -> Arc<Self::Hands>;

    /// What is to be done in answer to an event. Pure but for what the process manager remembers.
    fn react(&mut self, event: &RecordedEvent) -> Result<Vec<Self::Work>, ProcessError>;

    /// What is to be done by now.
    fn due(&mut self, _now: DateTime<Utc>) -> Vec<Self::Work> {
        Vec::new()
    }

    /// The stream that work is about: what is about one is done in order.
    fn lane(work: &Self::Work) -> Uuid;

    /// The event that work answers.
    fn cause(work: &Self::Work) -> &Cause;

    /// Does it. A transient error is tried again; another one stops the process manager where it is.
    fn perform(hands: &Self::Hands, work: &Self::Work)
    -> impl Future<Output = Result<Self::Done, CommandError>> + Send;

    /// Takes note of what came of the last work about a stream.
    fn settle(&mut self, _done: Self::Done) {}

    /// Remembers what was saved at the checkpoint, and nothing else.
    fn load(&mut self, _connection: &mut PgConnection) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async { Ok(()) }
    }

    /// Saves what has changed, in the checkpoint's transaction.
    fn save(&mut self, _connection: &mut PgConnection) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async { Ok(()) }
    }
}

/// Runs one process manager.
pub(crate) struct Runner<P: Process> {
    process: P,
    pool: PgPool,
    bus: CommandBus,
    feed: Arc<LiveFeed>,
    holder: String,
    lease: Duration,
    parallel: usize,
    tick: Duration,
    board: StatusBoard,
    cancel: CancellationToken,
    /// Up to where the log is answered, and up to where that is saved.
    position: Position,
    saved: Position,
    saved_at: Instant,
}

impl<P: Process> Runner<P> {
    pub fn new(
        process: P,
        options: &ProcessManagersOptions,
        cancel: CancellationToken,
    ) -> (Self, watch::Receiver<ProcessStatus>) {
        let (board, status) = StatusBoard::new(P::NAME);
        let runner = Self {
            process,
            pool: options.pool.clone(),
            bus: options.bus.clone(),
            feed: Arc::clone(&options.feed),
            holder: options.holder.clone(),
            lease: options.lease,
            parallel: options.parallel,
            tick: options.tick,
            board,
            cancel,
            position: Position::START,
            saved: Position::START,
            saved_at: Instant::now(),
        };
        (runner, status)
    }

    /// Until it is cancelled.
    pub async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        while !self.cancel.is_cancelled() {
            let before = self.position;
            match self.attempt().await {
                Ok(()) | Err(ProcessError::Stopped) => pause = PAUSE_MIN,
                Err(error) => {
                    let reason = in_full(&error);
                    let position = self.position;
                    tracing::warn!(process = P::NAME, %position, reason, "a process manager was stopped");
                    self.board.fail(self.bus.clock().now(), &reason);
                    pause = if self.position > before { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
                }
            }
            self.board.active(false);
            let _ = self.cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Takes the lease and works for as long as it lasts; waits a little where somebody else holds it.
    async fn attempt(&mut self) -> Result<(), ProcessError> {
        let lease = Lease::acquire(&self.pool, P::NAME, &self.holder, self.lease, &self.cancel);
        let Some(lease) = self.cancel.run_until_cancelled(lease).await.ok_or(ProcessError::Stopped)?? else {
            self.board.see_head(*self.feed.newest().borrow());
            let _ = self.cancel.run_until_cancelled(tokio::time::sleep(self.lease / 3)).await;
            return Ok(());
        };
        let worked = self.work(&lease).await;
        // What is answered so far need not be answered again. Where that can not be saved, it is, to no effect.
        if matches!(worked, Err(ProcessError::Stopped)) {
            match tokio::time::timeout(LAST_SAVE_WAIT, self.save(&lease)).await {
                Ok(Ok(())) => {}
                unsaved => tracing::debug!(process = P::NAME, ?unsaved, "the checkpoint stays where it was"),
            }
        }
        lease.release().await;
        worked
    }

    async fn work(&mut self, lease: &Lease) -> Result<(), ProcessError> {
        let stop = lease.stop().clone();
        stop.run_until_cancelled(self.load()).await.ok_or(ProcessError::Stopped)??;
        self.board.active(true);
        self.board.advance(self.position, *self.feed.newest().borrow());
        tracing::info!(process = P::NAME, position = %self.position, "a process manager is active");
        let mut subscription = self.feed.subscribe(self.position);
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Err(ProcessError::Stopped),
                batch = subscription.next() => self.answer(&batch?, &stop).await?,
                _ = ticks.tick() => self.tick(&stop).await?,
            }
            if self.saved < self.position && self.saved_at.elapsed() >= SAVE_EVERY {
                stop.run_until_cancelled(self.save(lease)).await.ok_or(ProcessError::Stopped)??;
            }
        }
    }

    async fn answer(&mut self, batch: &[Arc<RecordedEvent>], stop: &CancellationToken) -> Result<(), ProcessError> {
        let mut work = Vec::new();
        for event in batch {
            for part in event.parts() {
                work.extend(self.process.react(&part)?);
            }
            if work.len() >= CHUNK {
                self.perform(std::mem::take(&mut work), stop).await?;
                self.position = event.position;
            }
        }
        self.perform(work, stop).await?;
        self.position = batch.last().map_or(self.position, |event| event.position);
        self.board.advance(self.position, *self.feed.newest().borrow());
        Ok(())
    }

    async fn tick(&mut self, stop: &CancellationToken) -> Result<(), ProcessError> {
        let head = *self.feed.newest().borrow();
        self.board.see_head(head);
        if head.0 - self.position.0 > TIMER_LAG_MAX {
            return Ok(());
        }
        let work = self.process.due(self.bus.clock().now());
        self.perform(work, stop).await
    }

    async fn perform(&mut self, work: Vec<P::Work>, stop: &CancellationToken) -> Result<(), ProcessError> {
        if work.is_empty() {
            return Ok(());
        }
        let hands = self.process.hands();
        let clock = Arc::clone(self.bus.clock());
        let dispatch = Dispatch { parallel: self.parallel, stop, board: &self.board, clock: clock.as_ref() };
        for done in dispatch.perform::<P>(&hands, work).await? {
            self.process.settle(done);
        }
        Ok(())
    }

    async fn load(&mut self) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let position: Option<i64> = sqlx::query_scalar("SELECT position FROM process_checkpoints WHERE name = $1")
            .bind(P::NAME)
            .fetch_optional(&mut *transaction)
            .await?;
        self.process.load(&mut transaction).await?;
        transaction.commit().await?;
        self.position = Position(position.unwrap_or_default());
        self.saved = self.position;
        Ok(())
    }

    /// Moves the checkpoint, with what is remembered at it.
    async fn save(&mut self, lease: &Lease) -> Result<(), ProcessError> {
        if self.saved >= self.position {
            return Ok(());
        }
        let mut transaction = self.pool.begin().await?;
        if !lease.fence(&mut transaction).await? {
            return Err(ProcessError::Stopped);
        }
        sqlx::query(
            "INSERT INTO process_checkpoints (name, position) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = clock_timestamp()",
        )
        .bind(P::NAME)
        .bind(self.position.0)
        .execute(&mut *transaction)
        .await?;
        self.process.save(&mut transaction).await?;
        transaction.commit().await?;
        self.saved = self.position;
        self.saved_at = Instant::now();
        Ok(())
    }
}

/// An error with its causes.
fn in_full(error: &ProcessError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
