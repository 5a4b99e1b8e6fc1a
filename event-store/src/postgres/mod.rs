//! The event log on PostgreSQL: group commit at an optimistic end of the log (see `docs/adr`).
//!
//! Read in this order: `writer` (the one task that writes), `statement` (the one statement), `judge` (who lost),
//! `read`,
//! `wake` (other processes).
//!
//! Invariants. Position order is commit order: a position is only ever given out by who knows the one before it to be
//! committed. Nothing is acknowledged before its commit. `newest` never runs ahead of a commit.

mod errors;
mod judge;
mod known;
mod link;
mod past;
mod pending;
mod read;
mod statement;
mod wake;
mod writer;

use crate::log::{
    Append, AppendError, Appended, CommandOutcome, EventLog, Expected, LogError, RecordedEvent, RefusedCommand,
    StreamId,
};
use crate::upcast::Upcasters;
use chrono::{DateTime, Utc};
use domain::{CommandId, Position, StreamVersion};
use errors::unavailable;
use futures::future::BoxFuture;
use known::Known;
use link::Link;
use pending::{Pending, QueueRoom, QueueShare, Reply, late};
use sqlx::{ConnectOptions, PgPool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use writer::Writer;

/// What an append needs beside its payloads, for the bounds in bytes.
const APPEND_OVERHEAD_BYTES: usize = 512;
/// A caller waits this much longer than the writer has promised to answer, then gives up by itself.
const GRACE: Duration = Duration::from_secs(2);

/// How the log behaves; the defaults are right for nearly everybody.
#[derive(Debug, Clone)]
pub struct PostgresLogOptions {
    /// Brings old event versions up to date on read.
    pub upcasters: Upcasters,
    /// The most events of one append.
    pub append_events_max: usize,
    /// The most bytes of one append.
    pub append_bytes_max: usize,
    /// The most appends of one batch.
    pub batch_appends_max: usize,
    /// The most events of one batch.
    pub batch_events_max: usize,
    /// The most bytes of one batch.
    pub batch_bytes_max: usize,
    /// The most appends that wait; who comes then is told [`AppendError::Overloaded`].
    pub queue_appends_max: usize,
    /// The most bytes that wait.
    pub queue_bytes_max: usize,
    /// An append is answered within this time, whatever happens to the database.
    pub answer_within: Duration,
}

impl Default for PostgresLogOptions {
    fn default() -> Self {
        Self {
            upcasters: Upcasters::default(),
            append_events_max: 5_000,
            append_bytes_max: 16 << 20,
            batch_appends_max: 512,
            batch_events_max: 4_096,
            batch_bytes_max: 8 << 20,
            queue_appends_max: 20_000,
            queue_bytes_max: 64 << 20,
            answer_within: Duration::from_secs(10),
        }
    }
}

/// What the log's tasks share.
struct Shared {
    known: Known,
    /// The newest position known to be committed, by whomever.
    newest: watch::Sender<Position>,
    /// The newest position that this process committed.
    committed: watch::Sender<Position>,
}

impl Shared {
    /// Notes that the log reaches to `position`; true where that is news.
    fn advance(&self, position: Position) -> bool {
        self.newest.send_if_modified(|newest| {
            let news = position > *newest;
            *newest = position.max(*newest);
            news
        })
    }
}

/// The event log on PostgreSQL. One a process is enough, and makes the largest batches.
pub struct PostgresEventLog {
    pool: PgPool,
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Pending>,
    room: Arc<QueueRoom>,
    options: PostgresLogOptions,
    _wake_tasks: DropGuard,
}

impl PostgresEventLog {
    /// Connects, with a connection of its own for the writer and up to three for wake-ups beside the pool that reads
    /// use. Its tasks end when the last handle is dropped; appends queued until then are still written.
    pub async fn connect(pool: PgPool, options: PostgresLogOptions) -> Result<Arc<Self>, LogError> {
        let connect = (*pool.connect_options()).clone().disable_statement_logging();
        let link = Link::open(&connect).await.map_err(|error| unavailable(&error))?;
        let end = Position(link.end);
        let shared = Arc::new(Shared {
            known: Known::default(),
            newest: watch::Sender::new(end),
            committed: watch::Sender::new(end),
        });
        let (queue, received) = mpsc::unbounded_channel();
        let writer = Writer::new(Arc::clone(&shared), received, connect.clone(), link, &options);
        tokio::spawn(writer.run());
        let cancel = CancellationToken::new();
        wake::spawn(&shared, &wake::side_pool(connect), &cancel);
        let room = Arc::new(QueueRoom::default());
        Ok(Arc::new(Self { pool, shared, queue, room, options, _wake_tasks: cancel.drop_guard() }))
    }

    async fn append_now(&self, append: Append) -> Result<Appended, AppendError> {
        let bytes = self.size(&append)?;
        let share = self.share(bytes)?;
        if let Some(earlier) = self.check_version(&append).await? {
            return accepted(earlier);
        }
        let asked = Asked::of(&append.stream, append.metadata.command_id, append.command.body_hash);
        let Expected::Version(expected) = append.expected;
        let (pending, answer) = Pending::of_append(append, self.deadline(), share);
        let outcome = match self.answer(pending, answer).await? {
            Some(outcome) => outcome,
            // Outdated: it is a repetition, or its stream has moved on.
            None => match self.outcome_of(asked.command, asked.body_hash).await? {
                Some(outcome) => outcome,
                None => return Err(AppendError::Conflict { stream: asked.stream, expected }),
            },
        };
        accepted(outcome)
    }

    async fn record_refusal_now(&self, refusal: RefusedCommand) -> Result<CommandOutcome, AppendError> {
        let share = self.share(APPEND_OVERHEAD_BYTES + refusal.code.len() + refusal.message.len())?;
        let asked = Asked::of(&refusal.stream, refusal.metadata.command_id, refusal.command.body_hash);
        let (pending, answer) = Pending::of_refusal(refusal, self.deadline(), share);
        match self.answer(pending, answer).await? {
            Some(outcome) => Ok(outcome),
            None => self.outcome_of(asked.command, asked.body_hash).await?.ok_or_else(|| {
                LogError::Unavailable(format!("command {} was on record and is not any more", asked.command)).into()
            }),
        }
    }

    /// Hands to the writer and waits; `None`: outdated.
    async fn answer(
        &self,
        pending: Pending,
        answer: oneshot::Receiver<Reply>,
    ) -> Result<Option<CommandOutcome>, AppendError> {
        let patience = pending.deadline + GRACE;
        self.queue.send(pending).map_err(|_| LogError::Closed)?;
        match tokio::time::timeout_at(patience, answer).await {
            Ok(Ok(Reply::Recorded(outcome))) => Ok(Some(outcome)),
            Ok(Ok(Reply::Outdated)) => Ok(None),
            Ok(Ok(Reply::Failed(error))) => Err(error),
            Ok(Err(_)) => Err(LogError::Closed.into()),
            Err(_) => Err(late()),
        }
    }

    fn size(&self, append: &Append) -> Result<usize, AppendError> {
        let events = append.events.len();
        let bytes = APPEND_OVERHEAD_BYTES
            + append
                .events
                .iter()
                .map(|event| APPEND_OVERHEAD_BYTES + event.event_type.len() + event.payload.get().len())
                .sum::<usize>();
        if events > self.options.append_events_max || bytes > self.options.append_bytes_max {
            return Err(AppendError::TooLarge { events, bytes });
        }
        Ok(bytes)
    }

    /// The stream key can not see an expected version that lies beyond the stream's real one: event number `expected`
    /// must exist. That stays true for ever once seen, so it is asked only for streams that this process does not
    /// know. An append without events meets no key at all: its stream must not have moved on either. A repeated
    /// command gets its original outcome, however wrong the version that it rests on.
    async fn check_version(&self, append: &Append) -> Result<Option<CommandOutcome>, AppendError> {
        let Expected::Version(StreamVersion(expected)) = append.expected;
        let mut holds = expected >= 0;
        if expected > self.shared.known.version(&append.stream) {
            holds = self.has_event(&append.stream, expected).await?;
            if holds {
                self.shared.known.note_version(&append.stream, expected);
            }
        }
        if holds && append.events.is_empty() {
            holds = !self.has_event(&append.stream, expected + 1).await?;
        }
        if holds {
            return Ok(None);
        }
        match self.outcome_of(append.metadata.command_id, append.command.body_hash).await? {
            Some(outcome) => Ok(Some(outcome)),
            None => Err(AppendError::Conflict { stream: append.stream.clone(), expected: StreamVersion(expected) }),
        }
    }

    async fn has_event(&self, stream: &StreamId, version: i64) -> Result<bool, AppendError> {
        Ok(bounded(self.options.answer_within, judge::has_event(&self.pool, stream, version)).await?)
    }

    async fn outcome_of(&self, command: CommandId, body_hash: [u8; 32]) -> Result<Option<CommandOutcome>, AppendError> {
        let question = judge::commands_on_record(&self.pool, vec![command.0]);
        let mut found = bounded(self.options.answer_within, question).await?;
        found.remove(&command.0).map(|found| found.outcome_of(command.0, &body_hash)).transpose()
    }

    fn share(&self, bytes: usize) -> Result<QueueShare, AppendError> {
        QueueShare::take(&self.room, bytes, self.options.queue_appends_max, self.options.queue_bytes_max)
            .ok_or(AppendError::Overloaded)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.answer_within
    }
}

/// What to ask the command log for, should an append turn out to be outdated.
struct Asked {
    stream: StreamId,
    command: CommandId,
    body_hash: [u8; 32],
}

impl Asked {
    fn of(stream: &StreamId, command: CommandId, body_hash: [u8; 32]) -> Self {
        Self { stream: stream.clone(), command, body_hash }
    }
}

/// A question to the database, answered in time or not at all.
async fn bounded<T>(within: Duration, question: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, LogError> {
    match tokio::time::timeout(within, question).await {
        Ok(answer) => answer.map_err(|error| unavailable(&error)),
        Err(_) => Err(LogError::Unavailable(format!("no answer from the database within {within:?}"))),
    }
}

fn accepted(outcome: CommandOutcome) -> Result<Appended, AppendError> {
    match outcome {
        CommandOutcome::Accepted(appended) => Ok(appended),
        CommandOutcome::Refused { code, message } => Err(AppendError::RefusedBefore { code, message }),
    }
}

impl EventLog for PostgresEventLog {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(self.append_now(append))
    }

    fn record_refusal(&self, refusal: RefusedCommand) -> BoxFuture<'_, Result<CommandOutcome, AppendError>> {
        Box::pin(self.record_refusal_now(refusal))
    }

    fn command_outcome(
        &self,
        command: CommandId,
        body_hash: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<CommandOutcome>, AppendError>> {
        Box::pin(self.outcome_of(command, body_hash))
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        Box::pin(async move {
            let events = read::read_stream(&self.pool, &self.options.upcasters, &stream, after, limit).await?;
            if let Some(last) = events.last() {
                self.shared.known.note_version(&stream, last.version.0);
                self.shared.advance(last.position);
            }
            Ok(events)
        })
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        Box::pin(async move {
            let events = read::read_all(&self.pool, &self.options.upcasters, after, limit).await?;
            if let Some(last) = events.last() {
                self.shared.advance(last.position);
            }
            Ok(events)
        })
    }

    fn read_streams(
        &self,
        streams: Vec<StreamId>,
        without: &'static [&'static str],
        until: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Option<Vec<RecordedEvent>>, LogError>> {
        Box::pin(past::read_streams(&self.pool, &self.options.upcasters, (streams, without), until, limit))
    }

    fn position_at(&self, at: DateTime<Utc>) -> BoxFuture<'_, Result<Position, LogError>> {
        Box::pin(past::position_at(&self.pool, at))
    }

    fn recorded_at(&self, position: Position) -> BoxFuture<'_, Result<Option<DateTime<Utc>>, LogError>> {
        Box::pin(past::recorded_at(&self.pool, position))
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, LogError>> {
        Box::pin(async {
            let question = async { link::read_end(&mut *self.pool.acquire().await?).await };
            let head = bounded(self.options.answer_within, question).await?;
            self.shared.advance(Position(head));
            Ok(Position(head))
        })
    }

    fn newest(&self) -> watch::Receiver<Position> {
        self.shared.newest.subscribe()
    }
}
