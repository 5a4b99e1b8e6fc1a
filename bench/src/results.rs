//! Results a second through the whole way: request, plan, queue, workers, log, views.

use crate::commands::request;
use crate::events;
use crate::figure::{Figure, grouped};
use crate::latencies::median;
use crate::platform::Platform;
use crate::world::World;
use anyhow::{Context, Result, ensure};
use domain::deployment::{Component, ComponentKind, Deployment, DeploymentCommand};
use domain::diagnostic_run::DiagnosticRun;
use domain::{DeploymentId, Position, RunId};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How it is measured, for the page.
pub const HOW: &str = "Runs are asked for, 64 commands at a time: of 20 deployments with 5 components each, 50 \
    checks a run, whose probe gives its result at once. The platform's parts, composed as \
    `cmdiag serve` composes them, run in the bench's process: run planner, queue filler, \
    queue, workers, finding keeper, all six projections. The clock stops when every view shows \
    the last event; the rows of the result view are counted against what was asked for.";

const BAR: f64 = 5_000.0;
const DEPLOYMENTS: usize = 20;
const COMPONENTS: usize = 5;
const CHECKS: usize = 10;
const RUN_BOUND: Duration = Duration::from_secs(120);

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("results").await?;
    let platform = Platform::start(&url, CHECKS).await?;
    let deployments = registered(&platform).await?;
    let runs = world.pick(600, 40);
    let (mut whole, mut recorded, mut counted) = (Vec::new(), Vec::new(), 0);
    for number in 0..=world.pick(3, 1) {
        let runs = if number == 0 { runs / 8 } else { runs };
        let round = round(&platform, &deployments, runs).await?;
        counted += (runs * COMPONENTS * CHECKS) as i64;
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM view_check_results").fetch_one(&platform.pool).await?;
        ensure!(rows == counted, "{rows} results are in the view instead of {counted}");
        if number > 0 {
            whole.push(round.shown);
            recorded.push(round.recorded);
        }
    }
    let beside = format!(
        "rounds: {}; recorded in the log (the views not awaited): {} a second",
        whole.iter().map(|rate| grouped(*rate)).collect::<Vec<_>>().join(", "),
        grouped(median(&recorded))
    );
    platform.stop().await;
    let what = "results of a no-cost probe, from the request of their run to all views";
    Ok(vec![Figure::at_least("results.rate", what, (median(&whole), BAR), "results/s").beside(beside)])
}

/// Results a second.
struct Round {
    /// Until the last one is in the log.
    recorded: f64,
    /// Until every view shows it.
    shown: f64,
}

async fn round(platform: &Platform, deployments: &[DeploymentId], runs: usize) -> Result<Round> {
    let start = platform.log.head().await?;
    let started = Instant::now();
    let asking = stream::iter(0..runs).map(|number| async move {
        let id = Uuid::now_v7();
        let command = request(RunId(id), deployments[number % deployments.len()]);
        platform.bus.execute::<DiagnosticRun>(id, command, events::metadata()?).await.context("ask for a run")
    });
    let asking = asking.buffer_unordered(64).try_for_each(|_| async { Ok(()) });
    let ((), last) = tokio::try_join!(asking, completed(platform, start, runs))?;
    let results = (runs * COMPONENTS * CHECKS) as f64;
    let recorded = results / started.elapsed().as_secs_f64();
    platform.views_reach(last).await?;
    Ok(Round { recorded, shown: results / started.elapsed().as_secs_f64() })
}

/// Waits until so many runs have completed; the position of the last one's end.
async fn completed(platform: &Platform, start: Position, runs: usize) -> Result<Position> {
    let mut subscription = platform.feed.subscribe(start);
    let mut ended = 0;
    loop {
        let batch = tokio::time::timeout(RUN_BOUND, subscription.next()).await;
        for event in batch.with_context(|| format!("{ended} of {runs} runs ended, then nothing happened"))??.iter() {
            match event.event_type.as_str() {
                "RunCompleted" => ended += 1,
                "RunFailed" | "RunTimedOut" | "RunCancelled" => {
                    anyhow::bail!("a run ended with {}: {}", event.event_type, event.payload);
                }
                _ => {}
            }
            if ended == runs {
                return Ok(event.position);
            }
        }
    }
}

async fn registered(platform: &Platform) -> Result<Vec<DeploymentId>> {
    let mut deployments = Vec::with_capacity(DEPLOYMENTS);
    for number in 0..DEPLOYMENTS {
        let id = Uuid::now_v7();
        let components = (0..COMPONENTS).map(|number| host(&format!("host-{number}"))).collect::<Result<_>>()?;
        let command = register(&format!("bench-{number}"), components);
        platform.bus.execute::<Deployment>(id, command, events::metadata()?).await?;
        deployments.push(DeploymentId(id));
    }
    Ok(deployments)
}

/// A component that is this machine.
pub fn host(name: &str) -> Result<Component> {
    Ok(Component {
        name: name.parse()?,
        kind: ComponentKind::Host,
        settings: BTreeMap::from([("path".to_owned(), "/".to_owned())]),
        secrets: BTreeMap::new(),
        labels: BTreeMap::new(),
    })
}

/// Takes a deployment under care.
pub fn register(name: &str, components: Vec<Component>) -> DeploymentCommand {
    DeploymentCommand::Register {
        name: name.to_owned(),
        product_version: "10.1".to_owned(),
        is_double: true,
        labels: BTreeMap::new(),
        components,
    }
}
