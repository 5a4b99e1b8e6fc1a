//! Filling views from the log as fast as it goes: for rebuilds, and for the benchmark.
//!
//! Reading the next block, decoding the one before and folding the one before that overlap, and each projection works
//! on a connection of its own. Rows wait in memory, bounded, until enough have changed; then they are written in one
//! transaction with the checkpoint, guarded like a live one, so that a replay may be cut off anywhere and be taken up
//! again.

use crate::connection;
use crate::decoded::Decoded;
use crate::projection::Projection;
use crate::runner::{Halt, Refused};
use domain::Position;
use event_store::{EventLog, LogError, RecordedEvent};
use futures::StreamExt;
use sqlx::{Connection, PgConnection, PgPool};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            block_events: 5_000,
            pending_bytes: 192 << 20,
            from_start: true,
            until: None,
            lock_wait: Duration::from_secs(10),
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

/// A block of decoded events, shared by all projections.
struct Block {
    last: Position,
    events: Vec<Arc<Decoded>>,
}

/// How many blocks may wait at each stage.
const BLOCKS_AHEAD: usize = 2;
/// How many blocks are read at a time.
const READS_AHEAD: usize = 2;

type Wants = Vec<fn(&RecordedEvent) -> bool>;

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
        writers.push(Writer::open(pool, projection, options, pending_bytes).await?);
    }
    let from = writers.iter().map(|writer| writer.from).min().unwrap_or(until);
    let wants: Wants = writers.iter().map(|writer| writer.projection.wants()).collect();
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
    tasks.spawn(decode(to_decode, from, wants, outlets));
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

/// Reads blocks, the next while the one before is being taken apart: the log is dense, so each one's place is known.
async fn read(
    log: Arc<dyn EventLog>,
    from: Position,
    until: Position,
    block: usize,
    out: mpsc::Sender<Vec<RecordedEvent>>,
) -> Result<(), ReplayError> {
    let starts = (from.0..until.0).step_by(block.max(1));
    let read = |after: i64| {
        let log = Arc::clone(&log);
        let count = block.min((until.0 - after) as usize);
        tokio::spawn(async move { read_block(log.as_ref(), Position(after), count).await })
    };
    let mut blocks = futures::stream::iter(starts).map(read).buffered(READS_AHEAD);
    while let Some(block) = blocks.next().await {
        if out.send(block.map_err(|_| ReplayError::Ended)??).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Exactly so many events: a log may give fewer at once than it was asked for.
async fn read_block(log: &dyn EventLog, after: Position, count: usize) -> Result<Vec<RecordedEvent>, ReplayError> {
    let mut events = log.read_all(after, count).await?;
    while events.len() < count {
        let last = events.last().map_or(after, |event| event.position);
        let more = log.read_all(last, count - events.len()).await?;
        if more.is_empty() {
            let reason = "the log ends before its head".to_owned();
            return Err(ReplayError::Event { position: last.next(), reason });
        }
        events.extend(more);
    }
    Ok(events)
}

async fn decode(
    mut blocks: mpsc::Receiver<Vec<RecordedEvent>>,
    from: Position,
    wants: Wants,
    outlets: Vec<mpsc::Sender<Arc<Block>>>,
) -> Result<(), ReplayError> {
    let wants = Arc::new(wants);
    let mut after = from;
    while let Some(events) = blocks.recv().await {
        let wants = Arc::clone(&wants);
        let block = tokio::task::spawn_blocking(move || decode_block(events, after, &wants)).await;
        let block = Arc::new(block.map_err(|_| ReplayError::Ended)??);
        after = block.last;
        for outlet in &outlets {
            if outlet.send(Arc::clone(&block)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn decode_block(events: Vec<RecordedEvent>, after: Position, wants: &Wants) -> Result<Block, ReplayError> {
    let mut last = after;
    let mut decoded = Vec::with_capacity(events.len());
    for event in events {
        let position = event.position;
        if position != last.next() {
            let reason = format!("the log goes on at position {position}");
            return Err(ReplayError::Event { position: last.next(), reason });
        }
        last = position;
        if wants.iter().any(|wants| wants(&event)) {
            let event = Decoded::new(Arc::new(event));
            decoded.push(Arc::new(event.map_err(|reason| ReplayError::Event { position, reason })?));
        }
    }
    Ok(Block { last, events: decoded })
}

/// One projection's part: its connection, with the lock.
struct Writer {
    db: PgConnection,
    projection: Box<dyn Projection>,
    from: Position,
    skips: Vec<i64>,
    pending_bytes: usize,
}

impl Writer {
    async fn open(
        pool: &PgPool,
        projection: Box<dyn Projection>,
        options: &ReplayOptions,
        pending_bytes: usize,
    ) -> Result<Self, ReplayError> {
        let (name, version) = (projection.name(), projection.version());
        let mut db = connection::open(pool).await?;
        let deadline = Instant::now() + options.lock_wait;
        while !connection::try_lock(&mut db, name).await? {
            if Instant::now() >= deadline {
                return Err(ReplayError::Busy(name));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let checkpoint = connection::checkpoint(&mut db, name, version).await?;
        let from = if options.from_start || checkpoint.version != version {
            connection::reset(&mut db, projection.as_ref()).await?;
            Position::START
        } else {
            checkpoint.position
        };
        let skips = connection::skips(&mut db, name, from).await?;
        Ok(Self { db, projection, from, skips, pending_bytes })
    }

    async fn write(mut self, mut blocks: mpsc::Receiver<Arc<Block>>, until: Position) -> Result<Replayed, ReplayError> {
        let started = Instant::now();
        let (name, wants) = (self.projection.name(), self.projection.wants());
        let (mut at, mut written) = (self.from, self.from);
        let mut wanted = 0;
        while let Some(block) = blocks.recv().await {
            if block.last <= at {
                continue;
            }
            let is_due = |event: &&Arc<Decoded>| {
                event.position > at && wants(event) && self.skips.binary_search(&event.position.0).is_err()
            };
            let events: Vec<Arc<Decoded>> = block.events.iter().filter(is_due).cloned().collect();
            wanted += events.len() as u64;
            self.projection.fold(&events, &mut self.db).await.map_err(|error| refused(name, at, error.into()))?;
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
        let name = (self.projection.name(), self.projection.version());
        if !connection::advance(&mut transaction, name, from, to).await? {
            return Err(Refused::Halt(Halt::Overtaken));
        }
        self.projection.write(&mut transaction).await?;
        Ok(transaction.commit().await?)
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
