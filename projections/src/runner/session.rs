//! Following the log on one connection: batch by batch, each in one transaction with its checkpoint.

use super::pump::{CHUNKS_AHEAD, Chunk, Sieve, pump};
use super::status::Reporter;
use super::{Halt, RunnerOptions};
use crate::connection::{self, Mark};
use crate::decoded::Decoded;
use crate::projection::{ApplyError, Projection, is_transient};
use domain::Position;
use event_store::FeedSubscription;
use sqlx::{Connection, PgConnection};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub struct Session<'a> {
    pub db: PgConnection,
    pub projection: &'a mut dyn Projection,
    pub options: &'a RunnerOptions,
    pub reporter: &'a Reporter,
    pub cancel: &'a CancellationToken,
    /// Which filling of the view it is.
    pub filling: i64,
    /// Where the checkpoint in the database stands.
    pub persisted: Position,
    /// How far the view has come: ahead of the checkpoint by events that change no row of it.
    pub reached: Position,
}

impl Session<'_> {
    pub async fn follow(mut self, feed: FeedSubscription, sieve: Sieve) -> Result<Infallible, Halt> {
        let (sender, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
        // Dropped with this set when the session ends.
        let mut pumping = JoinSet::new();
        pumping.spawn(pump(feed, sieve, sender));
        let halt = loop {
            let began = Instant::now();
            let first = match self.next(&mut chunks).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    self.persist().await?;
                    continue;
                }
                Err(halt) => break halt,
            };
            let (batch, halt) = self.gather(first, &mut chunks);
            self.apply(batch).await?;
            if let Some(halt) = halt {
                break halt;
            }
            // Only while events keep coming: the first one after a silence is applied at once.
            let rest = self.options.pace.saturating_sub(began.elapsed());
            if self.cancel.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                break Halt::Cancelled;
            }
        };
        self.persist().await?;
        Err(halt)
    }

    /// The next chunk; none when it is time to write down a checkpoint that moved without rows.
    async fn next(&self, chunks: &mut mpsc::Receiver<Result<Chunk, Halt>>) -> Result<Option<Chunk>, Halt> {
        let idle = async {
            if self.reached > self.persisted {
                tokio::time::sleep(self.options.idle_checkpoint).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Halt::Cancelled),
            chunk = chunks.recv() => chunk.unwrap_or(Err(Halt::Closed)).map(Some),
            () = idle => Ok(None),
        }
    }

    /// Adds what has come meanwhile, up to the size of a batch.
    fn gather(&self, first: Chunk, chunks: &mut mpsc::Receiver<Result<Chunk, Halt>>) -> (Chunk, Option<Halt>) {
        let mut batch = first;
        while batch.count < self.options.batch_events {
            match chunks.try_recv() {
                Ok(Ok(chunk)) => {
                    batch.last = chunk.last;
                    batch.count += chunk.count;
                    batch.wanted.extend(chunk.wanted);
                }
                Ok(Err(halt)) => return (batch, Some(halt)),
                Err(_) => break,
            }
        }
        (batch, None)
    }

    async fn apply(&mut self, batch: Chunk) -> Result<(), Halt> {
        if batch.wanted.is_empty() {
            // No row depends on it, so the view is already what it is to be at that position.
            self.reached = batch.last;
            self.reporter.reached(batch.last);
            return Ok(());
        }
        self.reporter.applying(batch.first_recorded_at);
        let applied = self.write(&batch.wanted, batch.last).await;
        match applied {
            Err(Refused::Data(reason)) if batch.wanted[0].position < batch.wanted[batch.wanted.len() - 1].position => {
                tracing::warn!(projection = self.projection.name(), reason, "projections.narrowing: a row is refused");
                self.apply_one_by_one(&batch).await
            }
            Err(Refused::Data(reason)) => Err(Halt::Event { position: batch.wanted[0].position, reason }),
            Err(Refused::Halt(halt)) => Err(halt),
            Ok(()) => Ok(()),
        }
    }

    /// The database refused a row of the batch: which event it was shows when each goes by itself.
    async fn apply_one_by_one(&mut self, batch: &Chunk) -> Result<(), Halt> {
        // The parts of one position are one whole: the checkpoint moves over all of them, or none.
        let mut wholes = batch.wanted.chunk_by(|one, next| one.position == next.position).peekable();
        while let Some(whole) = wholes.next() {
            self.projection.forget();
            let position = whole[0].position;
            let to = if wholes.peek().is_none() { batch.last } else { position };
            match self.write(whole, to).await {
                Ok(()) => {}
                Err(Refused::Data(reason)) => return Err(Halt::Event { position, reason }),
                Err(Refused::Halt(halt)) => return Err(halt),
            }
        }
        Ok(())
    }

    async fn write(&mut self, events: &[Arc<Decoded>], to: Position) -> Result<(), Refused> {
        write(&mut self.db, self.projection, events, self.filling, (self.persisted, to)).await?;
        self.persisted = to;
        self.reached = to;
        self.reporter.reached(to);
        Ok(())
    }

    /// Writes down a checkpoint that moved without rows.
    async fn persist(&mut self) -> Result<(), Halt> {
        if self.reached > self.persisted {
            let (name, version) = (self.projection.name(), self.projection.version());
            let mark = Mark { name, version, filling: self.filling };
            if !connection::advance(&mut self.db, mark, self.persisted, self.reached).await? {
                return Err(Halt::Overtaken);
            }
            self.persisted = self.reached;
        }
        Ok(())
    }
}

/// Why a batch was not written.
pub enum Refused {
    /// A row can not be written, or an event can not be taken, however often it is tried.
    Data(String),
    /// Something else is in the way.
    Halt(Halt),
}

impl From<ApplyError> for Refused {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Database(error) => error.into(),
            ApplyError::Event { .. } => Self::Data(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) { Self::Halt(error.into()) } else { Self::Data(error.to_string()) }
    }
}

/// One batch in one transaction: the checkpoint first, which keeps everybody else out until the commit.
pub async fn write(
    db: &mut PgConnection,
    projection: &mut dyn Projection,
    events: &[Arc<Decoded>],
    filling: i64,
    (from, to): (Position, Position),
) -> Result<(), Refused> {
    let mut transaction = db.begin().await?;
    let mark = Mark { name: projection.name(), version: projection.version(), filling };
    if !connection::advance(&mut transaction, mark, from, to).await? {
        return Err(Refused::Halt(Halt::Overtaken));
    }
    projection.fold(events, &mut transaction).await?;
    projection.write(&mut transaction).await?;
    Ok(transaction.commit().await?)
}
