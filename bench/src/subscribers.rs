//! From the commit of an event to the GraphQL subscriber that follows its run.

use crate::commands::{planned_check, request, result};
use crate::events;
use crate::figure::{Figure, grouped};
use crate::latencies::Latencies;
use crate::serve::Serve;
use crate::socket::Subscription;
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use command_side::{BusOptions, CommandBus};
use domain::diagnostic_run::{DiagnosticRun, RunCommand};
use domain::{DeploymentId, RunId};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How it is measured, for the page.
pub const HOW: &str = "A `cmdiag serve` (API and projectors) has 100 WebSocket connections, each subscribed to \
    `scanProgress` of a run of its own. Another process, the bench, records ten results a \
    second in each run, on a fixed schedule: 1,000 events a second in all. The time runs from \
    the moment that the writer knows of its commit to the moment that the subscriber has the \
    message with that position (or a later one) in its hands; both are of one clock. So a \
    wake-up between processes is part of it.";

const RUNS: usize = 100;
const EVERY: Duration = Duration::from_millis(100);
const BAR_MS: f64 = 50.0;
const QUERY: &str = "subscription ($id: ID!) { scanProgress(runId: $id) { position done ended } }";

type Moments = Vec<(i64, Instant)>;

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("subscribers").await?;
    let log: Arc<dyn EventLog> =
        PostgresEventLog::connect(world::pool(&url, 8).await?, PostgresLogOptions::default()).await?;
    let bus = CommandBus::new(Arc::clone(&log), BusOptions::default());
    let serve = Serve::start(world, "subscribers", &url, "api,projector").await?;
    let results = world.pick(100, 20);
    let runs = begun(&bus, results).await?;
    let measured = measure(&bus, serve.address, &runs, results).await?;
    let mut latencies = Latencies::new()?;
    let (mut missed, mut early) = (0, 0);
    for (commits, receipts) in &measured {
        for (position, committed) in commits {
            match receipts.iter().find(|(received, _)| received >= position) {
                Some((_, received)) => {
                    early += usize::from(received < committed);
                    latencies.record(received.saturating_duration_since(*committed));
                }
                None => missed += 1,
            }
        }
    }
    let commits = measured.iter().flat_map(|(commits, _)| commits.iter().map(|(_, at)| *at));
    let (first, last) = (commits.clone().min(), commits.max());
    let span = last.zip(first).map_or(0.0, |(last, first)| (last - first).as_secs_f64());
    let rate = latencies.count() as f64 / span;
    ensure!(rate > 800.0, "only {rate:.0} events/s were written: the schedule was not kept");
    let beside = format!(
        "{}, longest {:.1} ms; {} events at {}/s, {early} of them received \
         before the writer knew of its commit",
        latencies.in_words(),
        latencies.max_ms(),
        grouped(latencies.count() as f64),
        grouped(rate)
    );
    let what = "100 subscribers, 1,000 events/s: from commit to subscriber, p99";
    let figures = vec![
        Figure::at_most("subscribers.p99", what, (latencies.percentile_ms(99.0), BAR_MS), "ms").beside(beside),
        Figure::at_most("subscribers.missed", "events that no message told of", (f64::from(missed), 0.0), "events"),
        serve.memory("subscribers")?,
    ];
    serve.stop().await?;
    Ok(figures)
}

/// Runs that have begun, with one check more than is going to be recorded.
async fn begun(bus: &CommandBus, results: usize) -> Result<Vec<Uuid>> {
    let planned = (0..=results).map(planned_check).collect::<Result<Vec<_>>>()?;
    let mut runs = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let id = Uuid::now_v7();
        let asked = request(RunId(id), DeploymentId(Uuid::nil()));
        for command in [asked, RunCommand::Plan { checks: planned.clone() }, RunCommand::Start] {
            bus.execute::<DiagnosticRun>(id, command, events::metadata()?).await?;
        }
        runs.push(id);
    }
    Ok(runs)
}

/// Each run's commits and what its subscriber received.
async fn measure(
    bus: &CommandBus,
    address: SocketAddr,
    runs: &[Uuid],
    results: usize,
) -> Result<Vec<(Moments, Moments)>> {
    let mut subscriptions = Vec::with_capacity(runs.len());
    for run in runs {
        let mut subscription = Subscription::open(address, QUERY, json!({ "id": run.to_string() })).await?;
        // The first message tells the run as it is: the subscription stands.
        subscription.next().await?.context("the run as it is")?;
        subscriptions.push(subscription);
    }
    let start = Instant::now() + Duration::from_millis(200);
    let (mut writing, mut following) = (JoinSet::new(), JoinSet::new());
    for (number, (run, subscription)) in runs.iter().zip(subscriptions).enumerate() {
        let offset = EVERY.mul_f64(number as f64 / runs.len() as f64);
        writing.spawn(write(bus.clone(), *run, number, results, start + offset));
        following.spawn(follow(subscription, number, results));
    }
    let mut measured: Vec<(Moments, Moments)> = runs.iter().map(|_| Default::default()).collect();
    while let Some(ended) = writing.join_next().await {
        let (number, commits) = ended??;
        measured[number].0 = commits;
    }
    while let Some(ended) = following.join_next().await {
        let (number, receipts) = ended??;
        measured[number].1 = receipts;
    }
    Ok(measured)
}

async fn write(bus: CommandBus, run: Uuid, number: usize, results: usize, start: Instant) -> Result<(usize, Moments)> {
    let mut commits = Vec::with_capacity(results);
    for round in 0..results {
        tokio::time::sleep_until((start + EVERY * u32::try_from(round)?).into()).await;
        let results = vec![result(planned_check(round)?.key)];
        let command = RunCommand::RecordResults { results };
        let executed = bus.execute::<DiagnosticRun>(run, command, events::metadata()?).await?;
        commits.push((executed.position.0, Instant::now()));
    }
    Ok((number, commits))
}

/// Takes messages until all results have been told of, or none has come for five seconds.
async fn follow(mut subscription: Subscription, number: usize, results: usize) -> Result<(usize, Moments)> {
    let mut receipts = Vec::with_capacity(results);
    loop {
        let next = tokio::time::timeout(Duration::from_secs(5), subscription.next()).await;
        let Ok(message) = next else { return Ok((number, receipts)) };
        let received = Instant::now();
        let Some(data) = message? else { return Ok((number, receipts)) };
        let progress = &data["scanProgress"];
        receipts.push((progress["position"].as_i64().context("a position")?, received));
        if progress["done"].as_u64() == Some(results as u64) {
            return Ok((number, receipts));
        }
    }
}
