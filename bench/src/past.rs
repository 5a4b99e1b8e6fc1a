//! The past of a long log: what things were as of a position, the newest runs of a million, and whether appends slow
//! down.

mod long_log;

use crate::events::{self, Place};
use crate::figure::{Figure, grouped};
use crate::latencies::{Latencies, median};
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use domain::Position;
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use long_log::LongLog;
use projections::{Projection, ReplayOptions, replay};
use query_side::{Cache, FindingFilter, Keyset, Moment, PageRequest, Queries, RunFilter, RunStatus};
use rand::Rng;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How it is measured, for the page.
pub const HOW: &str = "One log of ten million events: a million runs of 1,000 deployments (six events each), and the four \
    findings that each run sees (100,000 in all: each opens once and is seen again 39 times, spread over the \
    whole log). \
    It is made by the server itself, set by set, into the platform's own table with all its keys; the views of \
    deployments, \
    findings and runs are then filled from it by the projections. `past.state`: a run, a finding or a deployment (one \
    third each) as of a random position, one after another, through `Queries::as_of`; the moment is found, the \
    views' state is looked at, and what has changed since is folded from the streams. `past.lists`: a page of \
    50 runs, and \
    the findings of a deployment, as of a random position. `past.history-page`: 50 runs of the present, newest first, \
    under a filter and from a random cursor on; the plan is read as well. `past.append`: appends of one event by eight \
    writers, in turns to this log and to an empty one on the same server; the ratio of their p95 within a round, the \
    median of the rounds. No cache takes part.";

const STATE_BAR_MS: f64 = 50.0;
const APPEND_BAR: f64 = 1.3;
const WRITERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("past").await?;
    let pool = world::pool(&url, 4).await?;
    let started = Instant::now();
    let told = LongLog::make(&pool, world.pick(1_000_000, 5_000), world.pick(1_000, 20)).await?;
    println!("   ({} events in {:.0} s)", grouped(told.events as f64), started.elapsed().as_secs_f64());
    let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await?;
    fill_views(&pool, Arc::clone(&log) as Arc<dyn EventLog>).await?;
    println!("   (views after {:.0} s)", started.elapsed().as_secs_f64());
    let queries = Queries::new(pool.clone(), Cache::off()).with_log(Arc::clone(&log) as Arc<dyn EventLog>);
    let rounds = world.pick(600, 60);
    let mut figures = vec![state(&queries, &told, rounds).await?];
    figures.extend(lists(&queries, &told, rounds / 4).await?);
    figures.push(history_page(&queries, &told, rounds).await?);
    figures.push(appends(world, &log).await?);
    pool.close().await;
    Ok(figures)
}

/// The views that are asked, from the log; the others say that they have come as far, and are not asked.
async fn fill_views(pool: &PgPool, log: Arc<dyn EventLog>) -> Result<()> {
    let asked = |view: &dyn Projection| ["deployments", "findings", "runs"].contains(&view.name());
    let (asked, others): (Vec<_>, Vec<_>) = projections::all().into_iter().partition(|view| asked(view.as_ref()));
    replay(pool, Arc::clone(&log), asked, &ReplayOptions::default()).await.context("fill the views")?;
    let head = log.head().await?;
    for view in others {
        sqlx::query("INSERT INTO projection_checkpoints (name, version, position) VALUES ($1, $2, $3)")
            .bind(view.name())
            .bind(view.version())
            .bind(head.0)
            .execute(pool)
            .await?;
    }
    sqlx::raw_sql("ANALYZE").execute(pool).await?;
    Ok(())
}

async fn as_of(queries: &Queries, told: &LongLog) -> Result<(Queries, i64)> {
    // After the deployments and the first runs.
    let position = rand::rng().random_range(told.events / 100..=told.events);
    Ok((queries.as_of(Moment::Position(Position(position)), PATIENCE).await?, position))
}

async fn state(queries: &Queries, told: &LongLog, rounds: usize) -> Result<Figure> {
    let mut all = Latencies::new()?;
    let mut kinds = [Latencies::new()?, Latencies::new()?, Latencies::new()?];
    for round in 0..rounds + 30 {
        let started = Instant::now();
        let (then, position) = as_of(queries, told).await?;
        let found = match round % 3 {
            0 => then.run(told.run_before(position)).await?.is_some(),
            1 => then.finding(told.finding_before(position)).await?.is_some(),
            _ => then.deployment(told.deployment()).await?.is_some(),
        };
        ensure!(found, "nothing was there as of {position}");
        // The first ones open the connections' statements.
        if round >= 30 {
            all.record(started.elapsed());
            kinds[round % 3].record(started.elapsed());
        }
    }
    let what =
        format!("a run, a finding or a deployment as of a position of {} events: p95", grouped(told.events as f64));
    let beside = format!(
        "all: {}; runs: {}; findings: {}; deployments (of {} findings each): {}",
        all.in_words(),
        kinds[0].in_words(),
        kinds[1].in_words(),
        told.findings_each(),
        kinds[2].in_words()
    );
    Ok(Figure::below("past.state", &what, (all.percentile_ms(95.0), STATE_BAR_MS), "ms").beside(beside))
}

async fn lists(queries: &Queries, told: &LongLog, rounds: usize) -> Result<Vec<Figure>> {
    let (mut runs, mut findings) = (Latencies::new()?, Latencies::new()?);
    for _ in 0..rounds {
        let started = Instant::now();
        let (then, position) = as_of(queries, told).await?;
        let page = then.runs(&RunFilter::default(), &PageRequest::first(50)).await?;
        ensure!(page.items.len() == 50, "{} runs as of {position}", page.items.len());
        runs.record(started.elapsed());
        let started = Instant::now();
        let (then, position) = as_of(queries, told).await?;
        let filter = FindingFilter { deployment: Some(told.deployment()), ..FindingFilter::default() };
        let page = then.findings(&filter, &PageRequest::first(50)).await?;
        ensure!(!page.items.is_empty(), "no findings as of {position}");
        findings.record(started.elapsed());
    }
    let figure = |id: &str, what: &str, latencies: &Latencies| {
        Figure::plain(id, what, latencies.percentile_ms(95.0), "ms").beside(latencies.in_words())
    };
    Ok(vec![
        figure("past.runs", "the 50 newest runs as of a position: p95", &runs),
        figure("past.findings", "the findings of a deployment as of a position: p95", &findings),
    ])
}

async fn history_page(queries: &Queries, told: &LongLog, rounds: usize) -> Result<Figure> {
    let filter = |deployment: bool| RunFilter {
        deployment: deployment.then(|| told.deployment()),
        profile: Some("full".to_owned()),
        statuses: vec![RunStatus::Completed],
        ..RunFilter::default()
    };
    let plan = queries.runs_plan(&filter(false), &PageRequest::first(50)).await?;
    ensure!(plan.contains("Index Scan") && !plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
    let mut latencies = Latencies::new()?;
    for round in 0..rounds {
        let at = told.run_before(rand::rng().random_range(told.events / 10..=told.events));
        let from = queries.run(at).await?.context("a run")?;
        let page = PageRequest::after(50, from.cursor());
        let filter = filter(round % 2 == 0);
        let started = Instant::now();
        let found = queries.runs(&filter, &page).await?;
        latencies.record(started.elapsed());
        ensure!(!found.items.is_empty(), "no runs from a cursor on");
    }
    let what = format!("50 runs of {}, newest first, filter and cursor: p95", grouped(told.runs as f64));
    let beside = format!("{}; by plan an index scan", latencies.in_words());
    Ok(Figure::below("past.history-page", &what, (latencies.percentile_ms(95.0), STATE_BAR_MS), "ms").beside(beside))
}

/// Eight writers, for a while.
async fn append(log: &Arc<PostgresEventLog>, span: Duration) -> Result<Latencies> {
    let until = Instant::now() + span;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let log = Arc::clone(log);
        writers.spawn(async move {
            let (mut place, mut latencies) = (Place::new(), Latencies::new()?);
            while Instant::now() < until {
                let started = Instant::now();
                log.append(events::append(&place, 1)?).await?;
                latencies.record(started.elapsed());
                place.wrote(1);
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut all = Latencies::new()?;
    while let Some(written) = writers.join_next().await {
        all.merge(&written??)?;
    }
    Ok(all)
}

async fn appends(world: &World, long: &Arc<PostgresEventLog>) -> Result<Figure> {
    let pool = world::pool(&world.database("past_empty").await?, 2).await?;
    let empty = PostgresEventLog::connect(pool, PostgresLogOptions::default()).await?;
    let (mut ratios, mut beside) = (Vec::new(), (Latencies::new()?, Latencies::new()?));
    // The first round warms both up.
    for round in 0..=world.pick(7, 2) {
        let span = world.span(1.5);
        let (of_empty, of_long) = if round % 2 == 0 {
            let of_empty = append(&empty, span).await?;
            (of_empty, append(long, span).await?)
        } else {
            let of_long = append(long, span).await?;
            (append(&empty, span).await?, of_long)
        };
        if round > 0 {
            ratios.push(of_long.percentile_ms(95.0) / of_empty.percentile_ms(95.0));
            beside.0.merge(&of_empty)?;
            beside.1.merge(&of_long)?;
        }
    }
    let beside = format!("empty: {}; long: {}", beside.0.in_words(), beside.1.in_words());
    let what = "8 × 1 appends to the long log: p95, of that to an empty one";
    Ok(Figure::at_most("past.append", what, (median(&ratios), APPEND_BAR), "x").beside(beside))
}
