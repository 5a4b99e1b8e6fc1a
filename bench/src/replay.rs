//! Filling the run and finding views from a log of a million events.

use crate::figure::{Figure, grouped};
use crate::replay_story::{Length, Story};
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use projections::{ReplayOptions, replay};
use sqlx::Executor;
use std::sync::Arc;
use std::time::Instant;

/// How it is measured, for the page.
pub const HOW: &str = "The log holds a million events: runs of six results each (six \
    events) and the four findings that each run sees (10,000 findings in all: each opens once and \
    is seen again 39 times), about 600 bytes an event. `projections::replay` empties both views \
    and fills them from position 0; what it writes, it writes durably. Events a second are those \
    of the log, not those that a view wants, counted once for both views.";

const BAR: f64 = 100_000.0;

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let pool = world::pool(&world.database("replay").await?, 8).await?;
    let runs = world.pick(100_000, 2_000);
    let length = Length { runs, findings_per_run: 4, findings: runs / 10 };
    let events = Story::tell(&pool, length).await?.events();
    pool.execute("VACUUM (ANALYZE) events").await.context("vacuum the log")?;
    let log: Arc<dyn EventLog> = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await?;
    let mut rates = Vec::new();
    for _ in 0..world.pick(2, 1) {
        let chosen = projections::all().into_iter().filter(|one| ["runs", "findings"].contains(&one.name())).collect();
        let started = Instant::now();
        let replayed = replay(&pool, Arc::clone(&log), chosen, &ReplayOptions::default()).await?;
        rates.push(events as f64 / started.elapsed().as_secs_f64());
        ensure!(replayed.len() == 2, "{} views were filled", replayed.len());
        let (in_runs, in_findings): (i64, i64) =
            sqlx::query_as("SELECT (SELECT count(*) FROM view_runs), (SELECT count(*) FROM view_findings)")
                .fetch_one(&pool)
                .await?;
        ensure!(
            (in_runs, in_findings) == (length.runs as i64, length.findings as i64),
            "the views hold {in_runs} runs and {in_findings} findings"
        );
    }
    let best = rates.iter().copied().fold(0.0, f64::max);
    let worst = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let what = format!("replay of {} events into the run and finding views", grouped(events as f64));
    let beside = format!("the slower of {} replays; the faster: {} events/s", rates.len(), grouped(best));
    Ok(vec![Figure::at_least("replay.rate", &what, (worst, BAR), "events/s").beside(beside)])
}
