//! Rows by id: in this process first, in Redis second, in the database always.
//!
//! A cached row carries the position that its view had come to when it was read. It is served only while no event that
//! could have changed it is known to be newer ([`freshness`]), so a cache needs no invalidation message and may be
//! lost, evicted or down at any time: then the database is asked. Whole answers of the API are kept by the same rule
//! ([`answers`]), each with all that it rests on ([`reads`]).

pub mod answers;
mod feed_view;
mod freshness;
mod homes;
pub mod reads;
mod shared;
mod topic;

pub use topic::{Kind, Topic};

use crate::views::deployments::DeploymentView;
use crate::views::findings::FindingView;
use crate::views::runs::RunView;
use answers::{Answers, AnswersOptions};
use chrono::{DateTime, Utc};
use domain::Position;
use event_store::{EventLog, LiveFeed};
use feed_view::FeedView;
use freshness::Freshness;
use moka::future::Cache as LocalCache;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::SharedCache;
use sqlx::PgPool;
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How the cache behaves.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// How much the rows in this process may take, roughly, in bytes.
    pub local_bytes: u64,
    /// How long a row is kept.
    pub time_to_live: Duration,
    /// How many newest changes are remembered by what they changed, a few an event; what is forgotten is read from the
    /// database.
    pub remembered: usize,
    /// The Redis, where there is one.
    pub redis_url: Option<String>,
    /// How long an answer of Redis is waited for.
    pub redis_timeout: Duration,
    /// How long Redis is let alone after a failure.
    pub redis_pause: Duration,
    /// The clock, for rows that change by time alone.
    pub now: fn() -> DateTime<Utc>,
    /// Whole answers of the API.
    pub answers: AnswersOptions,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            local_bytes: 32 << 20,
            time_to_live: Duration::from_mins(1),
            remembered: 150_000,
            redis_url: None,
            redis_timeout: Duration::from_millis(5),
            redis_pause: Duration::from_secs(1),
            now: Utc::now,
            answers: AnswersOptions::default(),
        }
    }
}

/// A row that may be cached.
pub trait Cached: Serialize + DeserializeOwned + Send + Sync + Unpin + 'static {
    /// What it is.
    const KIND: Kind;
    /// When it changes without an event.
    fn expires_at(&self) -> Option<DateTime<Utc>> {
        None
    }
    /// Roughly how many bytes it takes.
    fn bytes(&self) -> usize;
}

impl Cached for RunView {
    const KIND: Kind = Kind::Run;
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.reason.as_ref().map_or(0, String::len) + 64
    }
}

impl Cached for FindingView {
    const KIND: Kind = Kind::Finding;
    fn bytes(&self) -> usize {
        let texts = [&self.symptom, &self.cause, &self.impact, &self.advice, &self.resource];
        // The evidence is small by contract: a few hundred bytes, more as a tree of values.
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>() + 2_048
    }
}

impl Cached for DeploymentView {
    const KIND: Kind = Kind::Deployment;
    fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.next_unmute_at
    }
    fn bytes(&self) -> usize {
        size_of::<Self>() + 1_024 * (1 + self.components.len()) + 256 * (self.overrides.len() + self.maintenance.len())
    }
}

/// What the cache did so far, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheFigures {
    /// Rows served from this process.
    pub local_hits: u64,
    /// Rows served from Redis.
    pub redis_hits: u64,
    /// Rows that were cached but no longer true.
    pub stale: u64,
    /// Rows that the database was asked for.
    pub misses: u64,
    /// Failures of Redis, time-outs included.
    pub redis_failures: u64,
}

#[derive(Default)]
struct Counters {
    local_hits: AtomicU64,
    redis_hits: AtomicU64,
    stale: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    as_of: Position,
    expires_at: Option<DateTime<Utc>>,
    bytes: u32,
    value: Arc<dyn Any + Send + Sync>,
}

struct Inner {
    local: LocalCache<(Kind, Uuid), Entry>,
    shared: Option<SharedCache>,
    answers: Answers,
    feed: FeedView,
    counters: Counters,
    now: fn() -> DateTime<Utc>,
}

/// The cache of rows by id, or none. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Option<Arc<Inner>>);

impl Cache {
    /// No cache: every row is read from the database.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Starts following the feed, which is what makes cached rows trustworthy. Until it follows, and whenever it can
    /// not, nothing is served from the cache. `cancel` stops it.
    pub fn start(
        options: CacheOptions,
        pool: PgPool,
        log: Arc<dyn EventLog>,
        feed: Arc<LiveFeed>,
        cancel: &CancellationToken,
    ) -> Self {
        let freshness = Arc::new(Freshness::new(options.remembered));
        let view = FeedView { freshness: Arc::clone(&freshness), newest: feed.newest() };
        tokio::spawn(freshness::follow(freshness, log, feed, cancel.clone()));
        let local = LocalCache::builder()
            .max_capacity(options.local_bytes)
            .weigher(|_, entry: &Entry| entry.bytes)
            .time_to_live(options.time_to_live)
            .build();
        let now = options.now;
        let answers = Answers::new(options.answers.clone(), view.clone(), now);
        let shared = options.redis_url.is_some().then(|| SharedCache::start(options, pool, cancel));
        Self(Some(Arc::new(Inner { local, shared, answers, feed: view, counters: Counters::default(), now })))
    }

    /// What it did so far.
    pub fn figures(&self) -> CacheFigures {
        let Some(inner) = &self.0 else { return CacheFigures::default() };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheFigures {
            local_hits: read(&inner.counters.local_hits),
            redis_hits: read(&inner.counters.redis_hits),
            stale: read(&inner.counters.stale),
            misses: read(&inner.counters.misses),
            redis_failures: inner.shared.as_ref().map_or(0, SharedCache::failures),
        }
    }

    /// Whether the configured Redis does not answer: for the health page.
    pub fn is_redis_failing(&self) -> bool {
        self.0.as_ref().and_then(|inner| inner.shared.as_ref()).is_some_and(SharedCache::is_failing)
    }

    /// Whether cached rows are served: the cache follows the feed.
    pub fn is_following(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.feed.freshness.is_following())
    }

    /// The kept answers; none where there is no cache.
    pub fn answers(&self) -> Option<&Answers> {
        self.0.as_ref().map(|inner| &inner.answers).filter(|answers| answers.is_on())
    }

    /// How far the feed has been followed; none where nothing cached can be trusted.
    pub(crate) fn followed(&self) -> Option<Position> {
        self.0.as_ref().and_then(|inner| inner.feed.freshness.followed())
    }

    /// The clock that cached rows are judged by.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.0.as_ref().map_or_else(Utc::now, |inner| (inner.now)())
    }

    /// Waits until no row from before the position can be served; false when the time is over.
    pub(crate) async fn has_seen(&self, position: Position, bound: Duration) -> bool {
        match &self.0 {
            Some(inner) => inner.feed.freshness.has_seen(position, bound).await,
            None => true,
        }
    }

    /// The rows that are cached and still true.
    pub(crate) async fn get_many<T: Cached>(&self, ids: &[Uuid]) -> HashMap<Uuid, Arc<T>> {
        let mut found = HashMap::with_capacity(ids.len());
        let Some(inner) = &self.0 else { return found };
        if inner.feed.caught_up().await.is_none() {
            return found;
        }
        let mut missing = Vec::new();
        for id in ids {
            match inner.local.get(&(T::KIND, *id)).await {
                Some(entry) if inner.is_true(T::KIND, *id, entry.as_of, entry.expires_at) => {
                    if let Ok(value) = Arc::downcast::<T>(entry.value) {
                        found.insert(*id, value);
                    }
                }
                Some(_) => {
                    inner.counters.stale.fetch_add(1, Ordering::Relaxed);
                    missing.push(*id);
                }
                None => missing.push(*id),
            }
        }
        inner.counters.local_hits.fetch_add(found.len() as u64, Ordering::Relaxed);
        if let Some(shared) = &inner.shared {
            inner.get_shared(shared, &missing, &mut found).await;
        }
        inner.counters.misses.fetch_add(ids.len().saturating_sub(found.len()) as u64, Ordering::Relaxed);
        found
    }

    /// Keeps rows as read at a position.
    pub(crate) async fn put_many<T: Cached>(&self, rows: Vec<(Uuid, Position, Arc<T>)>) {
        let Some(inner) = &self.0 else { return };
        for (id, as_of, value) in &rows {
            inner.put_local(*id, *as_of, value).await;
        }
        if let Some(shared) = &inner.shared {
            shared.put(T::KIND, &rows);
        }
    }
}

impl Inner {
    fn is_true(&self, kind: Kind, id: Uuid, as_of: Position, expires_at: Option<DateTime<Utc>>) -> bool {
        expires_at.is_none_or(|at| at > (self.now)()) && self.feed.freshness.are_current(&[kind.topic(id)], as_of)
    }

    async fn put_local<T: Cached>(&self, id: Uuid, as_of: Position, value: &Arc<T>) {
        let entry = Entry {
            as_of,
            expires_at: value.expires_at(),
            bytes: u32::try_from(value.bytes()).unwrap_or(u32::MAX),
            value: Arc::clone(value) as Arc<dyn Any + Send + Sync>,
        };
        self.local.insert((T::KIND, id), entry).await;
    }

    async fn get_shared<T: Cached>(&self, shared: &SharedCache, ids: &[Uuid], found: &mut HashMap<Uuid, Arc<T>>) {
        for (id, as_of, value) in shared.get::<T>(ids).await {
            if self.is_true(T::KIND, id, as_of, value.expires_at()) {
                let value = Arc::new(value);
                self.put_local(id, as_of, &value).await;
                found.insert(id, value);
                self.counters.redis_hits.fetch_add(1, Ordering::Relaxed);
            } else {
                self.counters.stale.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
