//! Rows in Redis: shared by all processes, and never needed. Every failure counts as "not there".

use super::{CacheOptions, Cached, Kind};
use domain::Position;
use redis::aio::ConnectionManager;
use redis::{AsyncCommands, RedisError};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How many writes may be under way; more are left out, since a cache may.
const WRITES_MAX: usize = 32;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_millis(500);
/// For so long after a pause a failure counts as the last that was heard, unless an answer came since.
const FAILING_FOR: Duration = Duration::from_secs(30);
/// The largest row kept: a larger one costs more to move than to read again.
const ROW_BYTES_MAX: usize = 256 << 10;

pub(super) struct SharedCache {
    link: Arc<Link>,
    writes: Arc<Semaphore>,
    time_to_live: Duration,
}

/// The connection, as far as there is one. A background task makes it; requests only look.
struct Link {
    connection: Mutex<Option<Connected>>,
    /// Nothing is asked before this moment.
    paused_until: Mutex<Option<Instant>>,
    failures: AtomicU64,
    timeout: Duration,
    pause: Duration,
}

#[derive(Clone)]
struct Connected {
    connection: ConnectionManager,
    /// Begins every key: of this database since its server's start, so that a restored database never meets rows of
    /// what was there before.
    namespace: Arc<str>,
}

#[derive(Serialize)]
struct Outgoing<'a, T> {
    as_of: Position,
    row: &'a T,
}

#[derive(Deserialize)]
struct Incoming<T> {
    as_of: Position,
    row: T,
}

impl SharedCache {
    pub(super) fn start(options: CacheOptions, pool: PgPool, cancel: &CancellationToken) -> Self {
        let link = Arc::new(Link {
            connection: Mutex::new(None),
            paused_until: Mutex::new(None),
            failures: AtomicU64::new(0),
            timeout: options.redis_timeout,
            pause: options.redis_pause,
        });
        let url = options.redis_url.unwrap_or_default();
        tokio::spawn(connect(Arc::clone(&link), url, pool, cancel.clone()));
        Self { link, writes: Arc::new(Semaphore::new(WRITES_MAX)), time_to_live: options.time_to_live }
    }

    /// Whether the last that was heard of Redis is a failure, a moment ago or (where nobody asks) within half a minute.
    pub(super) fn is_failing(&self) -> bool {
        let paused = *self.link.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        paused.is_some_and(|until| Instant::now() < until + FAILING_FOR)
    }

    pub(super) fn failures(&self) -> u64 {
        self.link.failures.load(Ordering::Relaxed)
    }

    /// The rows that are there and readable.
    pub(super) async fn get<T: Cached>(&self, ids: &[Uuid]) -> Vec<(Uuid, Position, T)> {
        if ids.is_empty() {
            return Vec::new();
        }
        let Some(Connected { mut connection, namespace }) = self.link.usable() else { return Vec::new() };
        let keys: Vec<String> = ids.iter().map(|id| key(&namespace, T::KIND, *id)).collect();
        let ask = connection.mget::<_, Vec<Option<Vec<u8>>>>(&keys);
        let values = match tokio::time::timeout(self.link.timeout, ask).await {
            Ok(Ok(values)) => {
                self.link.answered();
                values
            }
            Ok(Err(error)) => return self.link.failed(&error),
            Err(_) => return self.link.failed(&"no answer in time"),
        };
        ids.iter()
            .zip(values)
            .filter_map(|(id, bytes)| {
                // A row in another version's shape is as good as none.
                let found: Incoming<T> = serde_json::from_slice(&bytes?).ok()?;
                Some((*id, found.as_of, found.row))
            })
            .collect()
    }

    /// Writes rows, without waiting for it.
    pub(super) fn put<T: Cached>(&self, kind: Kind, rows: &[(Uuid, Position, Arc<T>)]) {
        if rows.is_empty() {
            return;
        }
        let Some(Connected { mut connection, namespace }) = self.link.usable() else { return };
        let Ok(permit) = Arc::clone(&self.writes).try_acquire_owned() else { return };
        let mut pipe = redis::pipe();
        for (id, as_of, row) in rows {
            let Ok(bytes) = serde_json::to_vec(&Outgoing { as_of: *as_of, row: row.as_ref() }) else { continue };
            if bytes.len() <= ROW_BYTES_MAX {
                pipe.set_ex(key(&namespace, kind, *id), bytes, self.time_to_live.as_secs().max(1)).ignore();
            }
        }
        let link = Arc::clone(&self.link);
        tokio::spawn(async move {
            let _permit = permit;
            // Nobody waits for this: it may take longer than an answer, but not for ever.
            match tokio::time::timeout(link.timeout * 20, pipe.query_async::<()>(&mut connection)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => link.failed::<()>(&error),
                Err(_) => link.failed::<()>(&"no answer in time"),
            }
        });
    }
}

impl Link {
    /// The connection, unless Redis failed a moment ago.
    fn usable(&self) -> Option<Connected> {
        let paused = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answered(&self) {
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn failed<T: Default>(&self, why: &dyn std::fmt::Display) -> T {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut paused = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if paused.is_none_or(|until| until <= now) {
            tracing::warn!(error = %why, pause_ms = self.pause.as_millis() as u64, "query_side.cache: Redis failed");
        }
        *paused = Some(now + self.pause);
        T::default()
    }
}

fn key(namespace: &str, kind: Kind, id: Uuid) -> String {
    format!("{namespace}:{}:{id}", kind.as_str())
}

/// Makes the connection, however long Redis is away; the manager mends it afterwards.
async fn connect(link: Arc<Link>, url: String, pool: PgPool, cancel: CancellationToken) {
    loop {
        match connected(&url, &pool).await {
            Ok(connected) => {
                *link.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connected);
                return;
            }
            Err(error) => link.failed::<()>(&error),
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(link.pause) => {}
        }
    }
}

async fn connected(url: &str, pool: &PgPool) -> Result<Connected, ConnectError> {
    let namespace: String = sqlx::query_scalar(
        "SELECT concat_ws('-', 'cmdiag:v1:' || (SELECT oid FROM pg_database WHERE datname = current_database()), \
         'view_runs'::regclass::oid, extract(epoch FROM pg_postmaster_start_time())::bigint)",
    )
    .fetch_one(pool)
    .await?;
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(CONNECT))
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_millis(200));
    let connection = redis::Client::open(url)?.get_connection_manager_with_config(config).await?;
    Ok(Connected { connection, namespace: namespace.into() })
}

/// Why there is no connection yet. The URL stays out of it: it may hold a password.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("Redis can not be reached: {0}")]
    Redis(#[from] RedisError),
    #[error("the database can not be asked for the name of the cache: {0}")]
    Database(#[from] sqlx::Error),
}
