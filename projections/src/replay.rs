//! Filling views from the log as fast as it goes: for rebuilds, and for the benchmark.
//!
//! Reading the next block, decoding the one before and folding the one before that overlap, and each projection works
//! on a connection of its own. Rows wait in memory, bounded, until enough have changed; then they are written in one
//! transaction with the checkpoint, guarded like a live one, so that a replay may be cut off anywhere and be taken up
//! again.

mod reading;
mod writer;

use crate::connection::Place;
use crate::decisions::DecisionsError;
use crate::projection::Projection;
use domain::Position;
use event_store::{EventLog, LogError};
use reading::{Wants, decode, read};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use writer::Writer;

/// How a replay works.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Events of one block: read and decoded together.
    pub block_events: usize,
    /// How many bytes of rows wait in memory before they are written, of all views together. A row that events change
    /// again and again is then written once for many of them, whatever lies between these.
    pub pending_bytes: usize,
    /// Empty the views first and begin at position 0; otherwise go on from their checkpoints.
    pub from_start: bool,
    /// Up to this position; the end of the log, as it is at the start, where there is none.
    pub until: Option<Position>,
    /// How long to wait for a live runner to let go of a view.
    pub lock_wait: Duration,
    /// Which filling of the views.
    pub place: Place,
    /// Told how far the log has been handed to the views: for whoever watches.
    pub progress: Option<watch::Sender<Position>>,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            block_events: 5_000,
            pending_bytes: 192 << 20,
            from_start: true,
            until: None,
            lock_wait: Duration::from_secs(10),
            place: Place::Served,
            progress: None,
        }
    }
}

/// What was replayed into one view.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The projection.
    pub name: &'static str,
    /// From after this position.
    pub from: Position,
    /// To this one.
    pub to: Position,
    /// How many of the events it wanted.
    pub wanted: u64,
    /// How long it took.
    pub took: Duration,
}

impl From<DecisionsError> for ReplayError {
    fn from(error: DecisionsError) -> Self {
        match error {
            DecisionsError::Log(error) => error.into(),
            DecisionsError::Database(error) => error.into(),
        }
    }
}

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database failed.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// A live runner holds the view.
    #[error("projection {0} is being written by a runner")]
    Busy(&'static str),
    /// Somebody else moved the checkpoint.
    #[error("projection {0} was moved by somebody else")]
    Overtaken(&'static str),
    /// An event can not be taken.
    #[error("event at position {position}: {reason}")]
    Event {
        /// Where.
        position: Position,
        /// Why.
        reason: String,
    },
    /// A part of the replay panicked; the log says where.
    #[error("a part of the replay ended early")]
    Ended,
}

/// How many blocks may wait at each stage.
const BLOCKS_AHEAD: usize = 2;

/// Fills the views from the log, up to its end.
pub async fn replay(
    pool: &PgPool,
    log: Arc<dyn EventLog>,
    projections: Vec<Box<dyn Projection>>,
    options: &ReplayOptions,
) -> Result<Vec<Replayed>, ReplayError> {
    let until = match options.until {
        Some(until) => until,
        None => log.head().await?,
    };
    let pending_bytes = options.pending_bytes / projections.len().max(1);
    let mut writers = Vec::with_capacity(projections.len());
    for projection in projections {
        writers.push(Writer::open(pool, log.as_ref(), projection, options, pending_bytes).await?);
    }
    let from = writers.iter().map(|writer| writer.from).min().unwrap_or(until);
    let wants: Wants =
        writers.iter().map(|writer| (writer.projection.wants(), writer.projection.takes_raw())).collect();
    // Dropped when one part fails: the others end with it.
    let mut tasks = JoinSet::new();
    let (raw, to_decode) = mpsc::channel(BLOCKS_AHEAD);
    tasks.spawn(read(log, from, until, options.block_events, raw));
    let mut outlets = Vec::with_capacity(writers.len());
    let (done, mut results) = mpsc::channel(writers.len().max(1));
    for writer in writers {
        let (outlet, blocks) = mpsc::channel(BLOCKS_AHEAD);
        outlets.push(outlet);
        let done = done.clone();
        tasks.spawn(async move {
            let replayed = writer.write(blocks, until).await?;
            // There is room for one of each, and the receiver outlives the tasks.
            let _ = done.send(replayed).await;
            Ok(())
        });
    }
    drop(done);
    tasks.spawn(decode(to_decode, from, wants, outlets, options.progress.clone()));
    let mut ended_early = false;
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            // Because of another part, which may only now come to say why.
            Ok(Err(ReplayError::Ended)) | Err(_) => ended_early = true,
            Ok(Err(error)) => return Err(error),
        }
    }
    if ended_early {
        return Err(ReplayError::Ended);
    }
    let mut replayed = Vec::new();
    while let Some(one) = results.recv().await {
        replayed.push(one);
    }
    replayed.sort_by_key(|one| one.name);
    Ok(replayed)
}
