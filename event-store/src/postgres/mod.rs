//! The event log on PostgreSQL.

use crate::log::{
    Append, AppendError, Appended, CommandOutcome, EventLog, LogError, RecordedEvent, RefusedCommand, StreamId,
};
use crate::upcast::Upcasters;
use domain::{CommandId, Position, StreamVersion};
use futures::future::BoxFuture;
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::watch;

/// How the log behaves; the defaults are right for nearly everybody.
#[derive(Debug, Clone, Default)]
pub struct PostgresLogOptions {
    /// Brings old event versions up to date on read.
    pub upcasters: Upcasters,
}

/// The event log on PostgreSQL.
pub struct PostgresEventLog {
    newest: watch::Sender<Position>,
}

impl PostgresEventLog {
    /// Connects.
    pub async fn connect(pool: PgPool, options: PostgresLogOptions) -> Result<Arc<Self>, LogError> {
        drop((pool, options));
        Ok(Arc::new(Self { newest: watch::Sender::new(Position::START) }))
    }
}

fn unwritten() -> LogError {
    LogError::Unavailable("the backend is being written".to_owned())
}

impl EventLog for PostgresEventLog {
    fn append(&self, _append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async { Err(unwritten().into()) })
    }

    fn record_refusal(&self, _refusal: RefusedCommand) -> BoxFuture<'_, Result<CommandOutcome, AppendError>> {
        Box::pin(async { Err(unwritten().into()) })
    }

    fn command_outcome(
        &self,
        _command: CommandId,
        _body_hash: [u8; 32],
    ) -> BoxFuture<'_, Result<Option<CommandOutcome>, AppendError>> {
        Box::pin(async { Err(unwritten().into()) })
    }

    fn read_stream(
        &self,
        _stream: StreamId,
        _after: StreamVersion,
        _limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        Box::pin(async { Err(unwritten()) })
    }

    fn read_all(&self, _after: Position, _limit: usize) -> BoxFuture<'_, Result<Vec<RecordedEvent>, LogError>> {
        Box::pin(async { Err(unwritten()) })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position, LogError>> {
        Box::pin(async { Err(unwritten()) })
    }

    fn newest(&self) -> watch::Receiver<Position> {
        self.newest.subscribe()
    }
}
