//! Filling the run and finding views from a log of a million events.

use crate::figure::{Figure, grouped};
use crate::replay_story::{Length, Story};
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use projections::{ReplayOptions, replay};
use sqlx::{Executor, PgPool};
use std::sync::Arc;
use std::time::Instant;

/// How it is measured, for the page.
pub const HOW: &str = "The log holds a million events, in two mixes. `few`: runs of six results each (six \
    events) and the four findings that each run sees (10,000 findings in all: each opens once and \
    is seen again 39 times). `many`: runs of 46 results each, eight at a time (ten events), of 50 \
    deployments, and the six findings that each run sees: 100,200 findings in all, each seen four \
    times, and between two of these all the others are. About 600 bytes an event in the one, 1,300 \
    in the other. `projections::replay` empties both views and fills them from position 0; what it \
    writes, it writes durably. Events a second are those of the log, not those that a view wants, \
    counted once for both views. `spilling` is `many` again with an eighth of the memory for rows \
    that wait: most findings are then written, forgotten and read again three times.";

const BAR: f64 = 100_000.0;

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let runs = world.pick(100_000, 2_000);
    let few = Length {
        deployments: 1,
        runs,
        checks_per_run: 6,
        results_at_once: 3,
        findings_per_run: 4,
        findings: runs / 10,
    };
    let runs = world.pick(66_800, 2_000);
    let many = Length {
        deployments: 50,
        runs,
        checks_per_run: 46,
        results_at_once: 8,
        findings_per_run: 6,
        findings: runs / 4 * 6,
    };
    let rounds = world.pick(2, 1);
    let options = ReplayOptions::default();
    let mut figures = Vec::new();
    {
        let told = tell(world, "replay", few).await?;
        let rates = rates(&told, &options, rounds).await?;
        figures.push(judge("replay.rate", "10,000 findings seen 40 times each", &told, &rates, Some(BAR)));
        told.pool.close().await;
    }
    let told = tell(world, "replay_many", many).await?;
    let whole = rates(&told, &options, rounds).await?;
    figures.push(judge("replay.many", "100,200 findings seen 4 times each", &told, &whole, Some(BAR)));
    let little = ReplayOptions { pending_bytes: options.pending_bytes / 8, ..options };
    let spilling = rates(&told, &little, 1).await?;
    figures.push(judge("replay.spilling", "the same with an eighth of the memory", &told, &spilling, None));
    Ok(figures)
}

struct Told {
    pool: PgPool,
    log: Arc<dyn EventLog>,
    length: Length,
    events: i64,
}

async fn tell(world: &World, name: &str, length: Length) -> Result<Told> {
    let pool = world::pool(&world.database(name).await?, 8).await?;
    let events = Story::tell(&pool, length).await?.events();
    pool.execute("VACUUM (ANALYZE) events").await.context("vacuum the log")?;
    let log: Arc<dyn EventLog> = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await?;
    Ok(Told { pool, log, length, events })
}

/// Events a second, of each round.
async fn rates(told: &Told, options: &ReplayOptions, rounds: usize) -> Result<Vec<f64>> {
    let Told { pool, log, length, events } = told;
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let chosen = projections::all().into_iter().filter(|one| ["runs", "findings"].contains(&one.name())).collect();
        let started = Instant::now();
        let replayed = replay(pool, Arc::clone(log), chosen, options).await?;
        rates.push(*events as f64 / started.elapsed().as_secs_f64());
        ensure!(replayed.len() == 2, "{} views were filled", replayed.len());
        let (in_runs, in_findings, seen): (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM view_runs WHERE status = 'completed'), \
             (SELECT count(*) FROM view_findings), (SELECT sum(occurrences) FROM view_findings)",
        )
        .fetch_one(pool)
        .await?;
        let expected = (length.runs, length.findings, length.runs * length.findings_per_run);
        ensure!(
            (in_runs as usize, in_findings as usize, seen as usize) == expected,
            "the views hold {in_runs} runs and {in_findings} findings seen {seen} times, not {expected:?}"
        );
    }
    Ok(rates)
}

fn judge(id: &str, mix: &str, told: &Told, rates: &[f64], bar: Option<f64>) -> Figure {
    let best = rates.iter().copied().fold(0.0, f64::max);
    let worst = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let what = format!("replay of {} events into the run and finding views: {mix}", grouped(told.events as f64));
    let figure = match bar {
        Some(bar) => Figure::at_least(id, &what, (worst, bar), "events/s"),
        None => Figure::plain(id, &what, worst, "events/s"),
    };
    if rates.len() < 2 {
        return figure;
    }
    figure.beside(format!("the slower of {} replays; the faster: {} events/s", rates.len(), grouped(best)))
}
