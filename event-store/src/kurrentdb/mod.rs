//! The event log on KurrentDB (or EventStoreDB from 22.6 on): see `docs/adr/0015-kurrentdb.md`.
//!
//! Read in this order: `names` (which streams there are), `claims` (a command is executed once), `execute` (an append,
//! step by step), `numbering` (how positions become dense), `read`, `copy` (the same log beside the views).
//!
//! Invariants. An append is acknowledged when its events are in the log and numbered. The k-th position is the k-th
//! event of ours in `$all`, whoever numbered it. An intent is only written for a version that the stream has reached,
//! so that it can be executed at once or never.

mod claims;
mod connection;
mod copy;
mod execute;
mod index;
mod names;
mod numbering;
mod read;
mod rows;
mod translate;

use crate::log::{
    Append, AppendError, Appended, CommandOutcome, EventLog, LogError, RecordedEvent, RefusedCommand, StreamId,
};
use crate::upcast::Upcasters;
use connection::Connection;
pub use copy::DatabaseCopy;
use domain::{CommandId, Position, StreamVersion};
use futures::future::BoxFuture;
use moka::sync::Cache;
use names::Names;
use numbering::Numbering;
use read::Reader;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Streams whose version is remembered.
const KNOWN_MAX: u64 = 65_536;

/// How the log behaves; all but the URL has a default that is right for nearly everybody.
#[derive(Clone)]
pub struct KurrentLogOptions {
    /// `esdb://user:password@host:2113?tls=true`, or `esdb+discover://` of a cluster. May hold a password.
    pub url: String,
    /// The log's name: what its streams begin with. Letters, digits and `_`.
    pub name: String,
    /// Which numbering of the events is used. Another number makes the links anew, in another stream: the positions
    /// come out the same.
    pub numbering: u32,
    /// Brings old event versions up to date on read.
    pub upcasters: Upcasters,
    /// The most events of one append.
    pub append_events_max: usize,
    /// The most bytes of one append: no more than the server's own `MaxAppendSize`, 1 MiB where it is not set.
    pub append_bytes_max: usize,
    /// The most appends under way; who comes then is told [`AppendError::Overloaded`].
    pub appends_max: usize,
    /// An append is answered within this time, whatever happens to the server.
    pub answer_within: Duration,
}

impl KurrentLogOptions {
    /// The log `cmdiag` on this server.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: "cmdiag".to_owned(),
            numbering: 1,
            upcasters: Upcasters::default(),
            append_events_max: 5_000,
            append_bytes_max: 1_000_000,
            appends_max: 4_096,
            answer_within: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for KurrentLogOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KurrentLogOptions")
            .field("name", &self.name)
            .field("numbering", &self.numbering)
            .finish_non_exhaustive()
    }
}

/// The event log on KurrentDB.
pub struct KurrentEventLog {
    options: KurrentLogOptions,
    connection: Arc<Connection>,
    names: Names,
    numbering: Arc<Numbering>,
    /// How many events streams have at least.
    known: Cache<StreamId, i64>,
    room: Semaphore,
    _numbering_task: DropGuard,
}

impl KurrentEventLog {
    /// Connects. The task that numbers ends when the last handle is dropped.
    pub async fn connect(options: KurrentLogOptions) -> Result<Arc<Self>, LogError> {
        let names = Names::new(&options.name, options.numbering)?;
        let connection = Arc::new(Connection::new(&options)?);
        let deadline = Instant::now() + options.answer_within;
        let numbering = Numbering::open(Arc::clone(&connection), names.clone(), deadline).await?;
        let cancel = CancellationToken::new();
        tokio::spawn(cancel.clone().run_until_cancelled_owned(Arc::clone(&numbering).run()));
        Ok(Arc::new(Self {
            room: Semaphore::new(options.appends_max),
            options,
            connection,
            names,
            numbering,
            known: Cache::new(KNOWN_MAX),
            _numbering_task: cancel.drop_guard(),
        }))
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            connection: &self.connection,
            names: &self.names,
            numbering: &self.numbering,
            upcasters: &self.options.upcasters,
        }
    }

    /// Notes that a stream has at least so many events.
    fn note_version(&self, stream: &StreamId, version: i64) {
        if version > self.known_version(stream) {
            self.known.insert(stream.clone(), version);
        }
    }

    fn known_version(&self, stream: &StreamId) -> i64 {
        self.known.get(stream).unwrap_or(0)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.answer_within
    }
}

impl EventLog for KurrentEventLog {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(self.append_now(append))
    }

    fn record_refusal(&self, refusal: RefusedCommand) -> BoxFuture<'_, Result<CommandOutcome, AppendError>> {
        Box::pin(self.record_refusal_now(refusal))
    }

    /// An intent that nobody has finished is finished here: the answer is what becomes of it.
    fn command_outcome(
        &self,
        command: CommandId,
        body_hash: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<CommandOutcome>, AppendError>> {
        Box::pin(async move { self.outcome_of(command, &body_hash, self.deadline()).await })
    }

    fn read_stream(
        &self,
        stream: StreamId,
        after: StreamVersion,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        Box::pin(async move {
            let events = self.reader().stream(&stream, after, limit).await?;
            if let Some(last) = events.last() {
                self.note_version(&stream, last.version.0);
            }
            Ok(events)
        })
    }

    fn read_all(&self, after: Position, limit: usize) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        Box::pin(async move { self.reader().all(after, limit).await })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, LogError>> {
        Box::pin(async { self.numbering.head(self.deadline()).await })
    }

    fn newest(&self) -> watch::Receiver<Position> {
        self.numbering.newest()
    }
}
