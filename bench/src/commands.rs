//! Commands through the bus, beside the raw append of the same run.

use crate::events::{self, Place};
use crate::figure::{Figure, grouped};
use crate::latencies::{Latencies, median};
use crate::world::{self, World};
use anyhow::Result;
use chrono::{TimeDelta, Utc};
use command_side::{BusOptions, CommandBus};
use domain::diagnostic_run::{CheckKey, CheckResult, DiagnosticRun, PlannedCheck, Priority, RunCommand};
use domain::{DeploymentId, Outcome, RunId};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How it is measured, for the page.
pub const HOW: &str = "64 workers each live runs to their end: request, plan of two checks, start, two results \
    one by one (the second completes the run). Every command loads its aggregate (from the \
    bus's cache), decides, is appended and recorded for dedupe. The raw append is 64 writers × \
    1 event through the same log in the same round.";

const WORKERS: usize = 64;
const BAR: f64 = 0.5;

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let pool = world::pool(&world.database("commands").await?, 8).await?;
    let log: Arc<dyn EventLog> = PostgresEventLog::connect(pool, PostgresLogOptions::default()).await?;
    let bus = CommandBus::new(Arc::clone(&log), BusOptions::default());
    let (mut ratios, mut rates, mut raw_rates) = (Vec::new(), Vec::new(), Vec::new());
    let mut latencies = Latencies::new()?;
    for number in 0..=world.pick(4, 1) {
        let span = world.span(if number == 0 { 0.5 } else { 2.0 });
        let raw = raw(&log, span).await?;
        let (rate, took) = commands(&bus, span).await?;
        if number > 0 {
            ratios.push(rate / raw);
            rates.push(rate);
            raw_rates.push(raw);
            latencies.merge(&took)?;
        }
    }
    let beside = format!(
        "{} commands/s, {}; raw append {} a second",
        grouped(median(&rates)),
        latencies.in_words(),
        grouped(median(&raw_rates))
    );
    let what = "64 concurrent: commands/s through the bus, of the raw appends/s";
    Ok(vec![Figure::at_least("commands.ratio", what, (median(&ratios), BAR), "x").beside(beside)])
}

async fn raw(log: &Arc<dyn EventLog>, span: Duration) -> Result<f64> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..WORKERS {
        let log = Arc::clone(log);
        tasks.spawn(async move {
            let (mut place, mut count) = (Place::new(), 0_u64);
            while started.elapsed() < span {
                log.append(events::append(&place, 1)?).await?;
                place.wrote(1);
                count += 1;
            }
            Ok::<_, anyhow::Error>(count)
        });
    }
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        count += ended??;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

async fn commands(bus: &CommandBus, span: Duration) -> Result<(f64, Latencies)> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..WORKERS {
        let bus = bus.clone();
        tasks.spawn(async move {
            let mut latencies = Latencies::new()?;
            while started.elapsed() < span {
                let id = Uuid::now_v7();
                for command in life(id)? {
                    let sent = Instant::now();
                    bus.execute::<DiagnosticRun>(id, command, events::metadata()?).await?;
                    latencies.record(sent.elapsed());
                }
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut all = Latencies::new()?;
    while let Some(ended) = tasks.join_next().await {
        all.merge(&ended??)?;
    }
    Ok((all.count() as f64 / started.elapsed().as_secs_f64(), all))
}

/// A run from its request to its end.
fn life(id: Uuid) -> Result<Vec<RunCommand>> {
    let planned = (0..2).map(planned_check).collect::<Result<Vec<_>>>()?;
    let recorded = |check: &PlannedCheck| RunCommand::RecordResults { results: vec![result(check.key.clone())] };
    let results: Vec<RunCommand> = planned.iter().map(recorded).collect();
    let request = request(RunId(id), DeploymentId(Uuid::nil()));
    Ok([request, RunCommand::Plan { checks: planned }, RunCommand::Start].into_iter().chain(results).collect())
}

/// Asks for a run.
pub fn request(run: RunId, deployment: DeploymentId) -> RunCommand {
    RunCommand::Request {
        run,
        deployment,
        profile: "full".to_owned(),
        checks: Vec::new(),
        priority: Priority::Normal,
        deadline: Utc::now() + TimeDelta::minutes(10),
    }
}

/// One check of a plan.
pub fn planned_check(number: usize) -> Result<PlannedCheck> {
    let key = CheckKey { check: format!("BENCH-{number}").parse()?, component: "store-1".parse()? };
    Ok(PlannedCheck { key, version: "0123456789ab".to_owned(), timeout_ms: 5_000 })
}

/// A result that says that all is well.
pub fn result(key: CheckKey) -> CheckResult {
    CheckResult {
        key,
        version: "0123456789ab".to_owned(),
        outcome: Outcome::Ok,
        summary: "12 % used".to_owned(),
        unknown_cause: None,
        observations: Vec::new(),
        omitted: 0,
        metrics: BTreeMap::from([("used_percent".to_owned(), 12.0)]),
        evidence: None,
        measured_at: Utc::now(),
        duration_ms: 0,
    }
}
