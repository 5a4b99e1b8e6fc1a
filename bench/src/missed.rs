//! Events that a tailing reader misses: ours, beside an identity column with the same number of writers.

use crate::child;
use crate::events::{self, EVENT_TYPE, Place, STREAM_TYPE};
use crate::figure::{Figure, grouped};
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use domain::Position;
use event_store::{EventLog, LiveFeed, PostgresEventLog, PostgresLogOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How it is measured, for the page.
pub const HOW: &str = "While writers append, a reader polls `WHERE position > last ORDER BY position LIMIT 500` \
    without pause and keeps the last position that it saw; a second one follows our live feed. \
    Missed is what is in the table at the end and was never read. The identity column's table \
    is written by as many connections, one insert a transaction, and read by the same loop. \
    Two processes: half of the writers are in a child process of the bench.";

const IDENTITY_TABLE: &str = "CREATE TABLE identity_events (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
    aggregate_type text NOT NULL, aggregate_id text NOT NULL, sequence bigint NOT NULL, event_type text NOT NULL, \
    payload json NOT NULL, UNIQUE (aggregate_type, aggregate_id, sequence))";
const IDENTITY_INSERT: &str = "INSERT INTO identity_events \
    (aggregate_type, aggregate_id, sequence, event_type, payload) SELECT $1, $2, sequence, $3, payload::json \
    FROM unnest($4::bigint[], $5::text[]) AS e (sequence, payload)";

/// Writers and events per append of each case; the last with two processes.
const SHAPES: [(usize, i64, bool); 4] = [(64, 1, false), (1, 1, false), (8, 10, false), (64, 1, true)];

/// What a reader saw, and what there was to see.
#[derive(Debug, Clone, Copy)]
struct Seen {
    seen: u64,
    total: u64,
}

impl Seen {
    fn missed(self) -> u64 {
        self.total - self.seen.min(self.total)
    }
}

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("missed").await?;
    let pool = world::pool(&url, 4).await?;
    pool.execute(IDENTITY_TABLE).await.context("make the identity table")?;
    let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await?;
    let mut figures = Vec::new();
    for (writers, events, two) in SHAPES {
        let span = world.span(4.0);
        let (tailed, followed) = ours(&pool, &log, two.then_some(url.as_str()), (writers, events), span).await?;
        let identity = identity(&pool, &url, (writers, events), span).await?;
        let (id, processes) = if two { ("two-processes", " in two processes") } else { ("", "") };
        let id = if id.is_empty() { format!("missed.{writers}x{events}") } else { format!("missed.{id}") };
        let what = format!("{writers} concurrent × {events} event(s){processes}: events missed by a tailing reader");
        let missed = tailed.missed() + followed.missed();
        figures.push(Figure::at_most(&id, &what, (missed as f64, 0.0), "events").beside(format!(
            "of {} events (the live feed missed {}); reading an identity column missed {} of {} ({:.2} %)",
            grouped(tailed.total as f64),
            followed.missed(),
            grouped(identity.missed() as f64),
            grouped(identity.total as f64),
            100.0 * identity.missed() as f64 / identity.total.max(1) as f64
        )));
    }
    Ok(figures)
}

async fn ours(
    pool: &PgPool,
    log: &Arc<PostgresEventLog>,
    other_process: Option<&str>,
    (writers, events): (usize, i64),
    span: Duration,
) -> Result<(Seen, Seen)> {
    let start = log.head().await?;
    let done = CancellationToken::new();
    let tail = tokio::spawn(tail(pool.clone(), "events", start.0, done.clone()));
    let feed_cancel = CancellationToken::new();
    let shared: Arc<dyn EventLog> = Arc::<PostgresEventLog>::clone(log);
    let feed = LiveFeed::start(shared, feed_cancel.clone());
    let follow = tokio::spawn(follow(feed, start, done.clone()));
    let other = match other_process {
        Some(url) => Some(OtherProcess::start(url, writers / 2).await?),
        None => None,
    };
    let here = if other.is_some() { writers / 2 } else { writers };
    let other = other.map(|other| tokio::spawn(other.write(span)));
    write_here(log, (here, events), span).await?;
    if let Some(other) = other {
        let written = other.await??;
        ensure!(written > 0, "the other process wrote nothing");
    }
    let end = log.head().await?;
    done.cancel();
    let (tailed, followed) = (tail.await??, follow.await??);
    feed_cancel.cancel();
    let total: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE position > $1").bind(start.0).fetch_one(pool).await?;
    ensure!(total == end.0 - start.0, "{total} events lie between the positions {start} and {end}");
    let total = total as u64;
    Ok((Seen { seen: tailed, total }, Seen { seen: followed, total }))
}

/// Appends with so many writers until the span is over; how many events they wrote.
async fn write_here(log: &Arc<PostgresEventLog>, (writers, events): (usize, i64), span: Duration) -> Result<u64> {
    let until = Instant::now() + span;
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let log = Arc::clone(log);
        tasks.spawn(async move {
            let (mut place, mut written) = (Place::new(), 0);
            while Instant::now() < until {
                log.append(events::append(&place, events)?).await?;
                place.wrote(events);
                written += events as u64;
            }
            Ok::<_, anyhow::Error>(written)
        });
    }
    let mut written = 0;
    while let Some(ended) = tasks.join_next().await {
        written += ended??;
    }
    Ok(written)
}

/// A reader that keeps the last position and asks for what is after it; how many rows it was given.
async fn tail(pool: PgPool, table: &'static str, start: i64, done: CancellationToken) -> Result<u64> {
    let sql = format!("SELECT position FROM {table} WHERE position > $1 ORDER BY position LIMIT 500");
    let (mut last, mut seen) = (start, 0);
    loop {
        let over = done.is_cancelled();
        let positions: Vec<i64> = sqlx::query_scalar(&sql).bind(last).fetch_all(&pool).await?;
        seen += positions.len() as u64;
        last = positions.last().copied().unwrap_or(last);
        if over && positions.is_empty() {
            return Ok(seen);
        }
    }
}

/// Follows the live feed until it has been silent for a while after the end.
async fn follow(feed: Arc<LiveFeed>, start: Position, done: CancellationToken) -> Result<u64> {
    let mut subscription = feed.subscribe(start);
    let mut seen = 0;
    loop {
        let next = tokio::time::timeout(Duration::from_millis(300), subscription.next()).await;
        match next {
            Ok(events) => seen += events?.len() as u64,
            Err(_) if done.is_cancelled() => return Ok(seen),
            Err(_) => {}
        }
    }
}

async fn identity(pool: &PgPool, url: &str, (writers, events): (usize, i64), span: Duration) -> Result<Seen> {
    let start: i64 =
        sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM identity_events").fetch_one(pool).await?;
    let done = CancellationToken::new();
    let tail = tokio::spawn(tail(pool.clone(), "identity_events", start, done.clone()));
    let mut connections = Vec::new();
    for _ in 0..writers {
        connections.push(PgConnection::connect_with(&migrations::connect_options(url)?).await?);
    }
    let until = Instant::now() + span;
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn(write_identity(connection, events, until));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    done.cancel();
    let seen = tail.await??;
    let counting = "SELECT count(*) FROM identity_events WHERE position > $1";
    let total: i64 = sqlx::query_scalar(counting).bind(start).fetch_one(pool).await?;
    Ok(Seen { seen, total: total as u64 })
}

async fn write_identity(mut connection: PgConnection, events: i64, until: Instant) -> Result<()> {
    let mut place = Place::new();
    while Instant::now() < until {
        sqlx::query(IDENTITY_INSERT)
            .bind(STREAM_TYPE)
            .bind(place.stream.to_string())
            .bind(EVENT_TYPE)
            .bind((place.version + 1..=place.version + events).collect::<Vec<i64>>())
            .bind((0..events).map(events::payload).collect::<Vec<String>>())
            .execute(&mut connection)
            .await?;
        place.wrote(events);
    }
    connection.close().await?;
    Ok(())
}

/// A child process that appends with writers of its own.
struct OtherProcess(tokio::process::Child);

impl OtherProcess {
    async fn start(url: &str, writers: usize) -> Result<Self> {
        let mut child = child::start(&format!("writer:{writers}"), Some(url))?;
        let said = child::line(&mut child).await?;
        ensure!(said == "ready", "the writing child said {said:?}");
        Ok(Self(child))
    }

    async fn write(mut self, span: Duration) -> Result<u64> {
        let input = self.0.stdin.as_mut().context("the child's input is piped")?;
        input.write_all(format!("{}\n", span.as_millis()).as_bytes()).await?;
        let written = child::line(&mut self.0).await?.parse().context("how much the child wrote")?;
        let status = self.0.wait().await?;
        ensure!(status.success(), "the writing child ended with {status}");
        Ok(written)
    }
}

/// The child's part: says that it is ready, is told for how long, writes, says how much.
pub async fn write_from_another_process(url: &str, writers: usize) -> Result<()> {
    let pool = world::pool(url, 2).await?;
    let log = PostgresEventLog::connect(pool, PostgresLogOptions::default()).await?;
    println!("ready");
    let told = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let millis: u64 = told.await??.trim().parse().context("for how long to write")?;
    let written = write_here(&log, (writers, 1), Duration::from_millis(millis)).await?;
    println!("{written}");
    Ok(())
}
