//! One projection's part of a replay.

use super::reading::Block;
use super::{ReplayError, ReplayOptions, Replayed};
use crate::connection::{self, Mark, Place};
use crate::decisions;
use crate::decoded::Decoded;
use crate::projection::{ApplyError, Projection};
use crate::runner::{Halt, Refused};
use domain::Position;
use event_store::{EventLog, LogError, RecordedEvent};
use sqlx::{Connection, PgConnection, PgPool};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// One projection's part: its connection, with the lock.
pub(super) struct Writer {
    db: PgConnection,
    pub projection: Box<dyn Projection>,
    pub from: Position,
    filling: i64,
    skips: Vec<i64>,
    pending_bytes: usize,
}

impl Writer {
    pub async fn open(
        pool: &PgPool,
        log: &dyn EventLog,
        projection: Box<dyn Projection>,
        options: &ReplayOptions,
        pending_bytes: usize,
    ) -> Result<Self, ReplayError> {
        let (name, version) = (projection.name(), projection.version());
        let mut db = connection::open(pool, options.place).await?;
        let deadline = Instant::now() + options.lock_wait;
        while !connection::try_lock(&mut db, options.place, name).await? {
            if Instant::now() >= deadline {
                return Err(ReplayError::Busy(name));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let checkpoint = connection::checkpoint(&mut db, name, version).await?;
        // What was served before may not be emptied: it could not be gone back to any more.
        if options.place == Place::Previous && (options.from_start || checkpoint.version != version) {
            return Err(ReplayError::Overtaken(name));
        }
        let from = if options.from_start || checkpoint.version != version {
            connection::reset(&mut db, projection.as_ref()).await?;
            Position::START
        } else {
            checkpoint.position
        };
        let skips = decisions::skips(log, &mut db, name, from).await?;
        let pending_bytes = projection.flush_bytes().map_or(pending_bytes, |bytes| bytes.min(pending_bytes));
        Ok(Self { db, projection, from, filling: checkpoint.filling, skips, pending_bytes })
    }

    pub async fn write(
        mut self,
        mut blocks: mpsc::Receiver<Arc<Block>>,
        until: Position,
    ) -> Result<Replayed, ReplayError> {
        let started = Instant::now();
        let (name, wants, takes_raw) = (self.projection.name(), self.projection.wants(), self.projection.takes_raw());
        let (mut at, mut written) = (self.from, self.from);
        let mut wanted = 0;
        while let Some(block) = blocks.recv().await {
            if block.last <= at {
                continue;
            }
            let is_due = |event: &RecordedEvent| {
                event.position > at && wants(event) && self.skips.binary_search(&event.position.0).is_err()
            };
            // What it takes as recorded is among the events; only an id that is none stops it, too.
            let is_whole = |event: &RecordedEvent| !takes_raw(event) || Decoded::id_of(event).is_err();
            if let Some((event, reason)) = block.spoilt.iter().find(|(event, _)| is_due(event) && is_whole(event)) {
                return Err(ReplayError::Event { position: event.position, reason: format!("{name}: {reason}") });
            }
            // Of a spoilt event the rest are for those who take it as recorded.
            let is_for_it = |event: &Decoded| is_due(event) && (event.event.is_some() || takes_raw(event));
            let events: Vec<Arc<Decoded>> = block.events.iter().filter(|event| is_for_it(event)).cloned().collect();
            wanted += events.len() as u64;
            let folded = self.projection.fold(&events, &mut self.db).await;
            folded.map_err(|error| not_folded(name, at, error))?;
            at = block.last;
            if self.projection.pending().bytes >= self.pending_bytes || at >= until {
                self.flush(written, at).await.map_err(|error| refused(name, written, error))?;
                written = at;
            }
        }
        // A part before this one failed; it has said why.
        if at < until {
            return Err(ReplayError::Ended);
        }
        Ok(Replayed { name, from: self.from, to: at, wanted, took: started.elapsed() })
    }

    /// Writes what waits, and moves the checkpoint over all events that made it.
    async fn flush(&mut self, from: Position, to: Position) -> Result<(), Refused> {
        let mut transaction = self.db.begin().await?;
        let (name, version) = (self.projection.name(), self.projection.version());
        let mark = Mark { name, version, filling: self.filling };
        if !connection::advance(&mut transaction, mark, from, to).await? {
            return Err(Refused::Halt(Halt::Overtaken));
        }
        self.projection.write(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }
}

fn not_folded(name: &'static str, at: Position, error: ApplyError) -> ReplayError {
    match error {
        ApplyError::Event { position, reason } => ReplayError::Event { position, reason: format!("{name}: {reason}") },
        error @ ApplyError::Database(_) => refused(name, at, error.into()),
    }
}

/// The events from after `at` on could not be taken.
fn refused(name: &'static str, at: Position, refused: Refused) -> ReplayError {
    match refused {
        Refused::Halt(Halt::Retry(reason)) => LogError::Unavailable(reason).into(),
        Refused::Halt(_) => ReplayError::Overtaken(name),
        Refused::Data(reason) => ReplayError::Event { position: at.next(), reason },
    }
}
