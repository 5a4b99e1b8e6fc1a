//! How far the sealer is behind the newest append, at ten thousand events a second.

use super::Sealed;
use crate::events::{self, Place};
use crate::figure::{Figure, grouped};
use crate::latencies::Latencies;
use crate::world::World;
use anyhow::{Context, Result};
use domain::Position;
use event_store::{EventLog, PostgresEventLog};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

const WRITERS: u64 = 8;
const EVENTS: i64 = 10;
/// Each writer's appends are so far apart: 8 × 10 × 125 = 10,000 events a second.
const EVERY: Duration = Duration::from_millis(8);
const BAR_MS: f64 = 50.0;

type Acknowledged = (Position, Instant);

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let sealed = Sealed::start(world, "sealing_lag").await?;
    let span = world.span(20.0);
    let (sender, acknowledged) = mpsc::unbounded_channel();
    let watching = tokio::spawn(watch_sealed(sealed.sealer.position(), acknowledged));
    let started = Instant::now();
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let begins = started + EVERY * number as u32 / WRITERS as u32;
        writers.spawn(write(Arc::clone(&sealed.log), begins, started + span, sender.clone()));
    }
    drop(sender);
    let mut appends = 0;
    while let Some(wrote) = writers.join_next().await {
        appends += wrote??;
    }
    let rate = appends as f64 * EVENTS as f64 / started.elapsed().as_secs_f64();
    sealed.caught_up().await?;
    let latencies = watching.await.context("the watch of the sealer")??;
    sealed.stop().await;
    let what = "from an acknowledged append to its seal, at 10,000 events/s: p99";
    let beside = format!("{}, at {} events/s", latencies.in_words(), grouped(rate));
    Ok(vec![Figure::below("sealing.lag-p99", what, (latencies.percentile_ms(99.0), BAR_MS), "ms").beside(beside)])
}

/// On a fixed schedule, however long an append takes; how many appends.
async fn write(
    log: Arc<PostgresEventLog>,
    begins: Instant,
    until: Instant,
    acknowledged: mpsc::UnboundedSender<Acknowledged>,
) -> Result<u64> {
    let (mut place, mut due, mut appends) = (Place::new(), begins, 0);
    while due < until {
        tokio::time::sleep_until(due.into()).await;
        let appended = log.append(events::append(&place, EVENTS)?).await?;
        acknowledged.send((appended.position, Instant::now())).context("nobody watches the sealer")?;
        place.wrote(EVENTS);
        appends += 1;
        due += EVERY;
    }
    Ok(appends)
}

/// Takes the time of each append until the sealer has passed it.
async fn watch_sealed(
    mut sealed: watch::Receiver<Position>,
    mut acknowledged: mpsc::UnboundedReceiver<Acknowledged>,
) -> Result<Latencies> {
    let (mut latencies, mut waiting) = (Latencies::new()?, BTreeMap::new());
    let mut open = true;
    while open || !waiting.is_empty() {
        tokio::select! {
            one = acknowledged.recv(), if open => match one {
                Some((position, at)) => { waiting.insert(position, at); }
                None => open = false,
            },
            changed = sealed.changed() => changed.context("the sealer has stopped")?,
        }
        let now = Instant::now();
        let reached = sealed.borrow_and_update().next();
        let later = waiting.split_off(&reached);
        for (_, at) in std::mem::replace(&mut waiting, later) {
            latencies.record(now.saturating_duration_since(at));
        }
    }
    Ok(latencies)
}
