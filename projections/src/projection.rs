//! What a projection is.

use crate::decoded::Decoded;
use domain::Position;
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::sync::Arc;

/// Why a batch could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The database failed, or refused a row.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// The projection can not take an event: it contradicts what is known, so the view can not be right any more.
    #[error("event at position {position}: {reason}")]
    Event {
        /// Where.
        position: Position,
        /// What is wrong.
        reason: String,
    },
}

impl ApplyError {
    /// An event that speaks of a row that should exist.
    pub(crate) fn no_row(event: &Decoded) -> Self {
        let reason = format!("{} of {}, of which nothing is known", event.event_type, event.stream);
        Self::Event { position: event.position, reason }
    }
}

/// How much waits in memory to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    /// Rows.
    pub rows: usize,
    /// Roughly their bytes.
    pub bytes: usize,
}

impl std::ops::Add for Pending {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, bytes: self.bytes + other.bytes }
    }
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// The table.
    pub table: &'static str,
    /// Its rows, each as a JSON object of its columns, as `json_populate_record` takes it.
    pub rows: Vec<String>,
}

/// Folds events into the rows of a view.
pub trait Projection: Send + Sync + 'static {
    /// Its name, as in the checkpoints.
    fn name(&self) -> &'static str;

    /// Its version: a higher one than the view's means that the view is filled anew.
    fn version(&self) -> i32;

    /// The tables that it alone writes.
    fn tables(&self) -> &'static [&'static str];

    /// Whether the event matters to it: others are neither decoded nor handed to it.
    fn wants(&self) -> fn(&RecordedEvent) -> bool;

    /// Types of events that it never wants, of streams of which it wants others: who reads whole streams for it may
    /// leave them out.
    fn passes_over(&self) -> &'static [&'static str] {
        &[]
    }

    /// Folds events into rows in memory, reading from the database the rows that it does not remember. The events are
    /// in order and each comes once; those that it does not want are left out.
    fn fold<'a>(
        &'a mut self,
        events: &'a [Arc<Decoded>],
        db: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>>;

    /// Folds events into rows in memory as if there were no others: what is not known is not there, and no database is
    /// asked. [`Self::fold`] is this, once the rows are fetched.
    fn fold_known(&mut self, events: &[Arc<Decoded>]) -> Result<(), ApplyError>;

    /// The rows that are known, of each table, each as a JSON object of its columns.
    fn rows(&self) -> Vec<TableRows>;

    /// How much waits to be written.
    fn pending(&self) -> Pending;

    /// Which of the events that it wants it takes as they are recorded, without their payload decoded for it: for a
    /// view that needs little of a large payload, or nothing. What such a payload holds besides can not stop it.
    fn takes_raw(&self) -> fn(&RecordedEvent) -> bool {
        |_| false
    }

    /// How much may wait in a replay before it is written, where more gains nothing: rows that never change again.
    fn flush_bytes(&self) -> Option<usize> {
        None
    }

    /// Writes what waits, in the transaction that is open on the connection.
    fn write<'a>(&'a mut self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>>;

    /// Forgets what it remembers of the database: a transaction was rolled back, or somebody else wrote.
    fn forget(&mut self);
}

/// Whether trying again later can help: the database is away, busy, or chose us as a deadlock's victim.
pub(crate) fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_none_or(|code| {
            // Connection, resources, operator intervention, rolled back for concurrency, lock not available; and the
            // database is being recovered or is read-only (a standby): 25006.
            ["08", "53", "57", "58", "40", "55"].iter().any(|class| code.starts_with(class)) || code == "25006"
        }),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => false,
        _ => true,
    }
}
