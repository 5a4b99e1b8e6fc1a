//! What projections into one table share: whoever adds one says what it wants, what its rows are and how an event
//! changes them, and nothing of how batches go.

use crate::decoded::Decoded;
use crate::json::{AsJson, rows_of};
use crate::projection::{ApplyError, Pending, Projection, TableRows};
use crate::rows::Rows;
use crate::table::{Table, Weighed, pending};
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

/// The bytes of rows that a projection remembers of one table.
pub(crate) const REMEMBERED_BYTES: usize = 24 << 20;
/// How much of a view that is only added to waits in a replay: often and little, so that the database is never idle.
const ADDED_BYTES: usize = 8 << 20;

/// The aggregates whose first event is among these: they can have no row yet.
pub(crate) fn begun(events: &[Arc<Decoded>]) -> HashSet<Uuid> {
    events.iter().filter(|event| event.version.0 == 1).map(|event| event.id).collect()
}

/// A view with one row an aggregate, which the aggregate's own events change.
pub trait Folded: Table<Key = Uuid> + Sync {
    /// The projection's name.
    const PROJECTION: &'static str;
    /// Its version.
    const VERSION: i32;

    /// Whether the event is one of the aggregate's.
    fn wants(event: &RecordedEvent) -> bool;

    /// Whether it takes the event as it is recorded.
    fn takes_raw(_event: &RecordedEvent) -> bool {
        false
    }

    /// Changes the row as the event says.
    fn fold(row: &mut Option<Self::Row>, event: &Decoded) -> Result<(), ApplyError>;
}

/// The projection into such a view.
pub struct FoldedView<T: Folded> {
    rows: Rows<T>,
}

impl<T: Folded> Default for FoldedView<T> {
    fn default() -> Self {
        Self::remembering(REMEMBERED_BYTES)
    }
}

impl<T: Folded> FoldedView<T> {
    /// One that remembers about so many bytes of rows.
    pub fn remembering(bytes: usize) -> Self {
        Self { rows: Rows::new(bytes) }
    }
}

impl<T: Folded> Projection for FoldedView<T> {
    fn name(&self) -> &'static str {
        T::PROJECTION
    }

    fn version(&self) -> i32 {
        T::VERSION
    }

    fn tables(&self) -> &'static [&'static str] {
        const { &[T::NAME] }
    }

    fn wants(&self) -> fn(&RecordedEvent) -> bool {
        T::wants
    }

    fn takes_raw(&self) -> fn(&RecordedEvent) -> bool {
        T::takes_raw
    }

    fn fold<'a>(
        &'a mut self,
        events: &'a [Arc<Decoded>],
        db: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            self.rows.fetch(db, events.iter().map(|event| event.id), &begun(events)).await?;
            self.fold_known(events)
        })
    }

    fn fold_known(&mut self, events: &[Arc<Decoded>]) -> Result<(), ApplyError> {
        events.iter().try_for_each(|event| T::fold(self.rows.change(event.id), event))
    }

    fn rows(&self) -> Vec<TableRows> {
        vec![rows_of(T::NAME, self.rows.known())]
    }

    fn pending(&self) -> Pending {
        self.rows.pending()
    }

    fn write<'a>(&'a mut self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(self.rows.write(db))
    }

    fn forget(&mut self) {
        self.rows.forget();
    }
}

/// A view that is only added to: each event gives rows of its own, which never change.
pub trait Added: Send + Sync + 'static {
    /// One row.
    type Row: Weighed + AsJson + Send + Sync;

    /// The projection's name.
    const PROJECTION: &'static str;
    /// Its version.
    const VERSION: i32;
    /// The table.
    const TABLE: &'static str;

    /// Whether the event gives rows.
    fn wants(event: &RecordedEvent) -> bool;

    /// Whether it takes the event as it is recorded.
    fn takes_raw(_event: &RecordedEvent) -> bool {
        false
    }

    /// The event's rows.
    fn rows(event: &Decoded) -> Vec<Self::Row>;

    /// Adds rows. One that is there already is a defect that must not pass unseen.
    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a Self::Row]) -> BoxFuture<'a, Result<(), sqlx::Error>>;
}

/// The projection into such a view. It remembers nothing of the database.
pub struct AddedView<T: Added> {
    rows: Vec<T::Row>,
    pending: Pending,
}

impl<T: Added> Default for AddedView<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), pending: Pending::default() }
    }
}

impl<T: Added> Projection for AddedView<T> {
    fn name(&self) -> &'static str {
        T::PROJECTION
    }

    fn version(&self) -> i32 {
        T::VERSION
    }

    fn tables(&self) -> &'static [&'static str] {
        const { &[T::TABLE] }
    }

    fn wants(&self) -> fn(&RecordedEvent) -> bool {
        T::wants
    }

    fn takes_raw(&self) -> fn(&RecordedEvent) -> bool {
        T::takes_raw
    }

    fn fold<'a>(
        &'a mut self,
        events: &'a [Arc<Decoded>],
        _db: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move { self.fold_known(events) })
    }

    fn fold_known(&mut self, events: &[Arc<Decoded>]) -> Result<(), ApplyError> {
        let before = self.rows.len();
        self.rows.extend(events.iter().flat_map(|event| T::rows(event)));
        self.pending = self.pending + pending(self.rows[before..].iter());
        Ok(())
    }

    fn rows(&self) -> Vec<TableRows> {
        vec![rows_of(T::TABLE, self.rows.iter())]
    }

    fn pending(&self) -> Pending {
        self.pending
    }

    fn flush_bytes(&self) -> Option<usize> {
        Some(ADDED_BYTES)
    }

    fn write<'a>(&'a mut self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let rows = std::mem::take(&mut self.rows);
            self.pending = Pending::default();
            T::save(db, &rows.iter().collect::<Vec<_>>()).await
        })
    }

    fn forget(&mut self) {
        self.rows.clear();
        self.pending = Pending::default();
    }
}
