//! Read your writes: waiting, bounded, until the views have come as far as a position.

use crate::error::QueryError;
use crate::views::{ANSWERED_FROM, PROJECTIONS};
use domain::Position;
use futures::stream::{FuturesUnordered, StreamExt};
use sqlx::PgPool;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

/// How far the projections that run in this process have come, by name; the others' checkpoints are read.
pub type Watches = HashMap<String, watch::Receiver<Position>>;

/// How long the checkpoints are let alone between two looks: at first, and at most.
const POLL_LEAST: Duration = Duration::from_millis(3);
const POLL_MOST: Duration = Duration::from_millis(50);

/// The views had not come so far within the bound.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Behind {
    /// They are still on their way, or stand still.
    #[error("{waiting:?} had not reached position {position} in time")]
    Late {
        /// Where they were to be.
        position: Position,
        /// The projections that were not, and where they were.
        waiting: Vec<(String, Position)>,
    },
    /// It can not be told.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// How long a look at the checkpoints is good for: an older position than the present one is still a true one.
const LOOK_GOOD_FOR: Duration = Duration::from_millis(5);

/// The position that all views of answers have reached at the least, as it was last seen.
#[derive(Default)]
pub(crate) struct LeastPosition(Mutex<Option<(Instant, Position)>>);

impl LeastPosition {
    /// From the watches where this process fills all of the views, else from their checkpoints.
    pub(crate) async fn of(&self, watches: &Watches, pool: &PgPool) -> Option<Position> {
        let watched = ANSWERED_FROM.iter().map(|name| watches.get(*name).map(|watch| *watch.borrow()));
        if let Some(positions) = watched.collect::<Option<Vec<_>>>() {
            return positions.into_iter().min();
        }
        let mut seen = self.0.lock().await;
        if let Some((at, position)) = *seen
            && at.elapsed() < LOOK_GOOD_FOR
        {
            return Some(position);
        }
        let sql = "SELECT count(*), min(position) FROM projection_checkpoints WHERE name = ANY($1)";
        let found = sqlx::query_as::<_, (i64, Option<i64>)>(sql).bind(&ANSWERED_FROM[..]).fetch_one(pool).await;
        let (begun, least) = found.ok()?;
        let position = Position(least.filter(|_| begun as usize == ANSWERED_FROM.len())?);
        *seen = Some((Instant::now(), position));
        Some(position)
    }
}

/// Waits until all of `names` have reached the position.
pub(crate) async fn wait_for(
    pool: &PgPool,
    watches: &Watches,
    names: &[&str],
    position: Position,
    bound: Duration,
) -> Result<(), Behind> {
    let deadline = Instant::now() + bound;
    let mut reached: HashMap<&str, Position> = names.iter().map(|name| (*name, Position::START)).collect();
    let mut pause = POLL_LEAST;
    loop {
        for (name, at) in &mut reached {
            if let Some(watch) = watches.get(*name) {
                *at = (*at).max(*watch.borrow());
            }
        }
        reached.retain(|_, at| *at < position);
        if reached.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        if now >= deadline {
            return Err(late(position, &reached));
        }
        let until = deadline.min(now + pause);
        let ours: Vec<&str> = reached.keys().copied().filter(|name| watches.contains_key(*name)).collect();
        // A watch that this process does not feed just now (another process projects) never answers: so the checkpoints
        // are looked at all the same, only less often.
        let all_ours = ours.len() == reached.len();
        let patience = if all_ours { deadline.min(now + POLL_MOST) } else { until };
        if changed(watches, &ours, position, patience).await && all_ours {
            continue;
        }
        if Instant::now() < deadline {
            look(pool, &mut reached, deadline).await?;
        }
        pause = (pause * 2).min(POLL_MOST);
    }
}

/// Waits for one of the watches to reach the position; false when the time is over.
async fn changed(watches: &Watches, names: &[&str], position: Position, until: Instant) -> bool {
    let mut waits: FuturesUnordered<_> = names
        .iter()
        .filter_map(|name| watches.get(*name).cloned())
        .map(|mut watch| async move { watch.wait_for(|at| *at >= position).await.is_ok() })
        .collect();
    let any = async {
        while let Some(reached) = waits.next().await {
            if reached {
                return true;
            }
        }
        // No watch is fed any more: only the time is left.
        std::future::pending().await
    };
    tokio::time::timeout_at(until, any).await.unwrap_or(false)
}

async fn look(pool: &PgPool, reached: &mut HashMap<&str, Position>, deadline: Instant) -> Result<(), Behind> {
    let names: Vec<String> = reached.keys().map(|name| (*name).to_owned()).collect();
    let query =
        sqlx::query_as::<_, (String, i64)>("SELECT name, position FROM projection_checkpoints WHERE name = ANY($1)")
            .bind(&names)
            .fetch_all(pool);
    let Ok(rows) = tokio::time::timeout_at(deadline, query).await else { return Ok(()) };
    for (name, at) in rows.map_err(QueryError::from)? {
        if let Some(known) = reached.get_mut(name.as_str()) {
            *known = (*known).max(Position(at));
        }
    }
    Ok(())
}

fn late(position: Position, reached: &HashMap<&str, Position>) -> Behind {
    let mut waiting: Vec<_> = reached.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
    waiting.sort();
    Behind::Late { position, waiting }
}

/// Every projection there is.
pub(crate) fn all() -> &'static [&'static str] {
    &PROJECTIONS
}
