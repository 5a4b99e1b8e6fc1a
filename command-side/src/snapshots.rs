//! Snapshots: states of long streams, written down beside the log so that a load need not fold them from the beginning.
//!
//! Never cqrs-es' own: those apply events twice. A snapshot is taken up only where it is of this build's way of
//! folding, its text has its digest, and the log still holds the last event that it is folded from; whatever does not
//! fit is left aside, and what is damaged is reported. It is written off the command's path, after a load that had to
//! fold many events.

use crate::cache::Known;
use domain::{Decider, StreamVersion};
use event_store::StreamId;
use sha2::{Digest as _, Sha256};
use sqlx::{PgPool, Row};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The way in which this build folds events, see build.rs.
const STATE_SCHEMA: &str = env!("STATE_SCHEMA");
/// Snapshots that wait to be written; more are not written, and the next load offers them again.
const QUEUE: usize = 64;
/// A larger state is not written down: folding it is the smaller evil.
const STATE_BYTES_MAX: usize = 8 << 20;
/// A question to the database that takes longer is not worth it.
const PATIENCE: Duration = Duration::from_secs(2);

/// How snapshots are made.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// A load that folded so many events leaves a snapshot; a shorter stream has none.
    pub after_events: usize,
    /// Which way of folding they belong to.
    pub state_schema: String,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self { after_events: crate::loading::PAGE, state_schema: STATE_SCHEMA.to_owned() }
    }
}

/// What became of snapshots since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotCounts {
    /// Loads that began at one.
    pub taken_up: u64,
    /// Written.
    pub written: u64,
    /// Left aside because they were damaged, or of a history that the log does not hold.
    pub damaged: u64,
}

#[derive(Default)]
struct Counters {
    taken_up: AtomicU64,
    written: AtomicU64,
    damaged: AtomicU64,
}

/// The snapshots of all streams.
pub struct Snapshots {
    pool: PgPool,
    options: SnapshotOptions,
    queue: mpsc::Sender<Order>,
    counters: Arc<Counters>,
}

enum Order {
    Write(Box<Unwritten>),
    Tell(oneshot::Sender<()>),
}

struct Unwritten {
    stream: StreamId,
    version: StreamVersion,
    last_event: Uuid,
    state: Box<dyn FnOnce() -> Result<String, serde_json::Error> + Send>,
}

impl Snapshots {
    /// Starts the task that writes them; `cancel` stops it, and then none are written any more.
    pub fn start(pool: PgPool, options: SnapshotOptions, cancel: &CancellationToken) -> Arc<Self> {
        let (queue, orders) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let writing = write(pool.clone(), options.state_schema.clone(), orders, Arc::clone(&counters));
        tokio::spawn(cancel.clone().run_until_cancelled_owned(writing));
        Arc::new(Self { pool, options, queue, counters })
    }

    /// What became of them so far.
    pub fn counts(&self) -> SnapshotCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { taken_up, written, damaged } = &*self.counters;
        SnapshotCounts { taken_up: read(taken_up), written: read(written), damaged: read(damaged) }
    }

    /// Waits until all that were offered before are written; at once where none are written any more.
    pub async fn written(&self) {
        let (told, tell) = oneshot::channel();
        if self.queue.send(Order::Tell(told)).await.is_ok() {
            let _ = tell.await;
        }
    }

    /// How many events a stream has at the least where a snapshot of it is worth looking for.
    pub(crate) fn after_events(&self) -> usize {
        self.options.after_events.max(1)
    }

    /// The stream's snapshot, where there is one that can be trusted as far as it can be told without the log.
    pub(crate) async fn get<D: Decider>(&self, stream: &StreamId) -> Option<Known<D>> {
        let sql = "SELECT version, last_event, state, digest FROM cmdiag.snapshots \
            WHERE aggregate_type = $1 AND aggregate_id = $2 AND state_schema = $3";
        let question = sqlx::query(sql)
            .bind(&*stream.aggregate_type)
            .bind(&*stream.aggregate_id)
            .bind(&self.options.state_schema)
            .fetch_optional(&self.pool);
        let row = match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(row)) => row?,
            Ok(Err(error)) => {
                tracing::debug!(%stream, %error, "snapshots.unread");
                return None;
            }
            Err(_) => return None,
        };
        let read = || -> Result<Known<D>, String> {
            let text: String = row.try_get("state").map_err(|error| error.to_string())?;
            let digest: Vec<u8> = row.try_get("digest").map_err(|error| error.to_string())?;
            let version = row.try_get("version").map_err(|error| error.to_string())?;
            let last_event = row.try_get("last_event").map_err(|error| error.to_string())?;
            if digest != digest_of(stream, version, last_event, &text) {
                return Err("its digest is another one".to_owned());
            }
            let state = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            Ok(Known { state: Arc::new(state), version: StreamVersion(version), last_event })
        };
        read().map_err(|reason| self.report(stream, &reason)).ok()
    }

    /// A load began at a snapshot.
    pub(crate) fn note_taken_up(&self) {
        self.counters.taken_up.fetch_add(1, Ordering::Relaxed);
    }

    /// A snapshot is left aside, and a human should know.
    pub(crate) fn report(&self, stream: &StreamId, reason: &str) {
        self.counters.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%stream, reason, "snapshots.damaged: a snapshot is left aside; the stream is folded from its start");
    }

    /// Has a state written down, if there is room in the queue.
    pub(crate) fn offer<D: Decider>(&self, stream: &StreamId, known: &Known<D>) {
        let state = Arc::clone(&known.state);
        let unwritten = Unwritten {
            stream: stream.clone(),
            version: known.version,
            last_event: known.last_event,
            state: Box::new(move || serde_json::to_string(&*state)),
        };
        // A full queue costs the next load some folding.
        let _ = self.queue.try_send(Order::Write(Box::new(unwritten)));
    }
}

/// Binds a state to its place: a snapshot that was copied to another stream is none of it.
fn digest_of(stream: &StreamId, version: i64, last_event: Uuid, state: &str) -> Vec<u8> {
    let mut digest = Sha256::new();
    for text in [&*stream.aggregate_type, &*stream.aggregate_id, state] {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    digest.update(version.to_be_bytes());
    digest.update(last_event.as_bytes());
    digest.finalize().to_vec()
}

async fn write(pool: PgPool, schema: String, mut orders: mpsc::Receiver<Order>, counters: Arc<Counters>) {
    while let Some(order) = orders.recv().await {
        match order {
            // Whoever asked may have gone.
            Order::Tell(told) => drop(told.send(())),
            Order::Write(unwritten) => match write_one(&pool, &schema, *unwritten).await {
                Ok(true) => drop(counters.written.fetch_add(1, Ordering::Relaxed)),
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "snapshots.unwritten"),
            },
        }
    }
}

async fn write_one(pool: &PgPool, schema: &str, unwritten: Unwritten) -> Result<bool, sqlx::Error> {
    let Unwritten { stream, version, last_event, state } = unwritten;
    let Some(state) = state().ok().filter(|state| state.len() <= STATE_BYTES_MAX) else { return Ok(false) };
    // What a text of PostgreSQL can not hold is not worth a snapshot.
    if state.contains('\0') {
        return Ok(false);
    }
    let sql = "INSERT INTO cmdiag.snapshots (aggregate_type, aggregate_id, version, last_event, state_schema, state, digest) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET \
        version = EXCLUDED.version, last_event = EXCLUDED.last_event, state_schema = EXCLUDED.state_schema, \
        state = EXCLUDED.state, digest = EXCLUDED.digest, written_at = clock_timestamp() \
        WHERE snapshots.version <= EXCLUDED.version OR snapshots.state_schema <> EXCLUDED.state_schema";
    let digest = digest_of(&stream, version.0, last_event, &state);
    let statement = sqlx::query(sql)
        .bind(&*stream.aggregate_type)
        .bind(&*stream.aggregate_id)
        .bind(version.0)
        .bind(last_event)
        .bind(schema)
        .bind(state)
        .bind(digest)
        .execute(pool);
    match tokio::time::timeout(PATIENCE, statement).await {
        Ok(written) => Ok(written?.rows_affected() == 1),
        Err(_) => Ok(false),
    }
}
