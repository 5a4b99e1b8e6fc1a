//! Filling all views anew beside the served ones, alone and while people read, and exchanging them.

use crate::figure::{Figure, grouped};
use crate::latencies::Latencies;
use crate::replay_story::{Length, Story};
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use domain::TenantId;
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use projections::rebuild::{self, Recorder, projection_named};
use projections::{Place, ReplayOptions, replay};
use sqlx::{Executor, PgPool};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How it is measured, for the page.
pub const HOW: &str = "The log holds a million events: runs of six results each (six events) and the four findings that \
    each run sees. All views are served, and filled to the end. `projections::rebuild::fill` then fills \
    every one of them anew beside the served ones from position 0, with all indexes and the planner's \
    statistics: first alone, then while four readers ask a hundred questions a second each at fixed \
    times (a page of a deployment's runs, the results of a run, a finding; the time counts from when a \
    question was due). Then all views are exchanged under the same readers, and compared with what was \
    served before. The readers' p95 is set against their own p95 before anything was filled.";

const RATE_BAR: f64 = 100_000.0;
const READERS_BAR: f64 = 2.0;
const READERS: usize = 4;
/// Between two questions of one reader.
const PACE: Duration = Duration::from_millis(10);

const QUESTIONS: [&str; 3] = [
    "SELECT id, status, outcome, done, planned, requested_at, last_position FROM view_runs WHERE deployment_id = \
     (SELECT deployment_id FROM view_runs WHERE id = $1) ORDER BY requested_at DESC, id DESC LIMIT 20",
    "SELECT check_code, component, outcome, summary, metrics, last_position FROM view_check_results WHERE run_id = $1 \
     ORDER BY check_code, component LIMIT 50",
    "SELECT f.id, f.status, f.severity, f.symptom, f.last_position FROM view_findings f JOIN view_finding_history h ON \
     h.finding_id = f.id WHERE h.run_id = $1 LIMIT 10",
];

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let runs = world.pick(100_000, 2_000);
    let findings = runs / 10;
    let length = Length { deployments: 20, runs, checks_per_run: 6, results_at_once: 3, findings_per_run: 4, findings };
    let pool = world::pool(&world.database("rebuild").await?, 12).await?;
    let told = Story::tell(&pool, length).await?;
    let (events, ids) = (told.events(), told.deployments.iter().flat_map(|one| one.runs.clone()).collect::<Vec<_>>());
    pool.execute("VACUUM (ANALYZE) events").await.context("vacuum the log")?;
    let log: Arc<dyn EventLog> = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await?;
    let filled = replay(&pool, Arc::clone(&log), projections::all(), &ReplayOptions::default()).await?;
    pool.execute("VACUUM (ANALYZE)").await.context("vacuum the views")?;
    let alone = fill(&pool, &log, events).await?;
    let ids: Arc<[Uuid]> = ids.into();
    let quiet = read_while(&pool, &ids, async {
        tokio::time::sleep(world.span(10.0)).await;
        Ok(0.0)
    });
    let (quiet, _) = quiet.await?;
    let (during, beside) = read_while(&pool, &ids, fill(&pool, &log, events)).await?;
    let (exchanged, seconds) = read_while(&pool, &ids, exchange_all(&pool, &log)).await?;
    let ratio = during.percentile_ms(95.0) / quiet.percentile_ms(95.0).max(0.001);
    let what = format!("rebuild of all {} views from {} events, alone", filled.len(), grouped(events as f64));
    Ok(vec![
        Figure::at_least("rebuild.rate", &what, (alone, RATE_BAR), "events/s")
            .beside(format!("while people read: {} events/s", grouped(beside))),
        Figure::at_most(
            "rebuild.readers-p95",
            "readers' p95 meanwhile, of their p95 before",
            (ratio, READERS_BAR),
            "x",
        )
        .beside(format!("before: {}; meanwhile: {}", quiet.in_words(), during.in_words())),
        Figure::plain("rebuild.exchange", "all views exchanged, one after another", seconds, "s").beside(format!(
            "readers meanwhile: {}, at most {:.0} ms; none failed",
            exchanged.in_words(),
            exchanged.max_ms()
        )),
    ])
}

/// Fills all views from position 0; events a second of the log.
async fn fill(pool: &PgPool, log: &Arc<dyn EventLog>, events: i64) -> Result<f64> {
    let began = Instant::now();
    rebuild::fill(pool, log, &projections::all, true, &ReplayOptions::default()).await?;
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

/// Serves what was filled, view by view, and makes sure that it is what was served before; how long the exchanges took.
async fn exchange_all(pool: &PgPool, log: &Arc<dyn EventLog>) -> Result<f64> {
    let by = Recorder { actor: "bench".parse()?, tenant: TenantId::default() };
    let mut took = Duration::ZERO;
    for projection in projections::all() {
        let name = projection.name();
        let began = Instant::now();
        rebuild::exchange(pool, log, &|| projection_named(name).into_iter().collect(), Place::Shadow, &by).await?;
        took += began.elapsed();
        let difference = rebuild::compare(pool, projection.as_ref(), Place::Previous, 3).await?;
        ensure!(difference.is_empty(), "{name} differs: {:#?}", difference.tables);
    }
    Ok(took.as_secs_f64())
}

/// What the readers saw while something was done, and what that gave.
async fn read_while(
    pool: &PgPool,
    ids: &Arc<[Uuid]>,
    work: impl Future<Output = Result<f64>>,
) -> Result<(Latencies, f64)> {
    let over = CancellationToken::new();
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        readers.spawn(reader(pool.clone(), Arc::clone(ids), number, over.clone()));
    }
    let worked = work.await;
    over.cancel();
    let mut all = Latencies::new()?;
    while let Some(seen) = readers.join_next().await {
        all.merge(&seen.context("a reader panicked")??)?;
    }
    ensure!(all.count() > 0, "nobody read");
    Ok((all, worked?))
}

async fn reader(pool: PgPool, ids: Arc<[Uuid]>, number: usize, over: CancellationToken) -> Result<Latencies> {
    let mut latencies = Latencies::new()?;
    let mut due = tokio::time::Instant::now();
    // Strides over all runs, each reader its own way.
    let stride = 7_919 + 2 * number;
    for nth in 0_usize.. {
        due += PACE;
        if over.run_until_cancelled(tokio::time::sleep_until(due)).await.is_none() {
            break;
        }
        let id = ids[(nth * stride) % ids.len()];
        let rows = sqlx::query(QUESTIONS[nth % QUESTIONS.len()]).bind(id).fetch_all(&pool).await?;
        ensure!(!rows.is_empty(), "nothing is known of run {id}");
        latencies.record(due.elapsed());
    }
    Ok(latencies)
}
