//! A thousand remediations in flight at once on one node.

use super::problems::{self, Planted};
use super::step_to_subscriber::with_packs;
use crate::figure::{Figure, grouped};
use crate::graphql::wait_for_views;
use crate::http::Connection;
use crate::latencies::Latencies;
use crate::serve::Serve;
use crate::world::{self, World};
use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use command_side::{BusOptions, CommandBus};
use domain::policy::Mode;
use event_store::{PostgresEventLog, PostgresLogOptions};
use serde_json::json;
use sqlx::PgPool;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

const CONNECTIONS: usize = 50;
const BOUND: Duration = Duration::from_secs(300);
const REQUEST: &str = "mutation ($input: RequestRemediationInput!) { requestRemediation(input: $input) { __typename \
    ... on RequestRemediationAccepted { remediationId } ... on CommandRefused { code message } } }";
const EXECUTE: &str = "mutation ($input: ExecuteRemediationInput!) { executeRemediation(input: $input) { __typename \
    ... on CommandRefused { code message } } }";

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let (name, count) = ("remediation-in-flight", world.pick(1_000, 20));
    let url = world.database("remediation_in_flight").await?;
    let pool = world::pool(&url, 4).await?;
    let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await?;
    let bus = CommandBus::new(log, BusOptions::default());
    problems::define(&bus, problems::definition(Mode::Unattended)).await?;
    let planted = problems::plant(&bus, &world.folder("remediation-desks")?, count).await?;
    with_packs(world, name)?;
    let serve = Serve::start(world, name, &url, "api,commands,projector,engine").await?;
    wait_for_views(&url).await?;
    let measured = measure(&pool, serve.address, &planted).await;
    let memory = serve.memory("remediation");
    serve.stop().await?;
    let mut figures = figures(&measured?, count)?;
    figures.push(memory?);
    Ok(figures)
}

/// What came of them.
struct Measured {
    /// Until all of them waited to be executed.
    planned: Duration,
    /// From then on, until all had ended.
    executed: Duration,
    ended: Vec<Ended>,
    /// When each was asked to be executed.
    asked: HashMap<Uuid, DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Ended {
    id: Uuid,
    status: String,
    at: DateTime<Utc>,
}

fn figures(measured: &Measured, count: usize) -> Result<Vec<Figure>> {
    let mut latencies = Latencies::new()?;
    for one in &measured.ended {
        let asked = measured.asked.get(&one.id).context("a remediation that was not executed has ended")?;
        latencies.record((one.at - asked).to_std().unwrap_or_default());
    }
    let succeeded = measured.ended.iter().filter(|one| one.status == "succeeded").count();
    let steps = count as f64 * 10.0 / measured.executed.as_secs_f64();
    let beside = format!(
        "all planned, run dry and admitted {:.1} s after the first request, all ended {:.1} s after the first \
         execution \
         ({} steps/s); from execution to end: {}",
        measured.planned.as_secs_f64(),
        measured.executed.as_secs_f64(),
        grouped(steps),
        latencies.in_words()
    );
    let what = format!("{} remediations in flight at once on one node: ended", grouped(count as f64));
    let (ended, all) = (measured.ended.len() as f64, count as f64);
    Ok(vec![
        Figure::at_least("remediation.in-flight", &what, (ended, all), "remediations").beside(beside),
        Figure::at_least(
            "remediation.in-flight-succeeded",
            "of these succeeded",
            (succeeded as f64, all),
            "remediations",
        ),
        Figure::plain("remediation.in-flight-longest", "the longest of these", latencies.max_ms() / 1_000.0, "s"),
    ])
}

async fn measure(pool: &PgPool, address: SocketAddr, planted: &[Planted]) -> Result<Measured> {
    let started = Instant::now();
    let findings: Vec<Uuid> = planted.iter().map(|one| one.problem.finding.0).collect();
    let requested = posted(
        address,
        REQUEST,
        findings,
        |finding| json!({ "input": { "findingId": finding.to_string(), "runbook": "ten-steps" } }),
    );
    requested.await.context("request them")?;
    let ids = wait_executable(pool, planted.len()).await?;
    let planned = started.elapsed();
    let started = Instant::now();
    let asked = posted(address, EXECUTE, ids, |id| json!({ "input": { "remediationId": id.to_string() } }));
    let asked = asked.await.context("execute them")?;
    let ended = wait_ended(pool, planted.len()).await?;
    let executed = started.elapsed();
    for one in planted {
        let text = std::fs::read_to_string(&one.file).context("a file that was to be written")?;
        ensure!(text.trim_end() == "green", "{} holds {text:?}", one.file.display());
    }
    Ok(Measured { planned, executed, ended, asked })
}

/// Posts a mutation about each of these; when each was sent.
async fn posted(
    address: SocketAddr,
    mutation: &'static str,
    ids: Vec<Uuid>,
    variables: fn(Uuid) -> serde_json::Value,
) -> Result<HashMap<Uuid, DateTime<Utc>>> {
    let mut tasks = JoinSet::new();
    for own in ids.chunks(ids.len().div_ceil(CONNECTIONS)).map(<[Uuid]>::to_vec) {
        let mut connection = Connection::open(address).await?;
        tasks.spawn(async move {
            let mut sent = Vec::with_capacity(own.len());
            for id in own {
                sent.push((id, Utc::now()));
                let data = connection.graphql(mutation, &variables(id)).await?;
                let refused =
                    data.as_object().into_iter().flatten().any(|(_, one)| one["__typename"] == "CommandRefused");
                ensure!(!refused, "it was refused: {data}");
            }
            Ok::<_, anyhow::Error>(sent)
        });
    }
    let mut all = HashMap::with_capacity(ids.len());
    while let Some(sent) = tasks.join_next().await {
        all.extend(sent??);
    }
    Ok(all)
}

/// Waits until all of them wait to be executed: so many are in flight then.
async fn wait_executable(pool: &PgPool, count: usize) -> Result<Vec<Uuid>> {
    let until = Instant::now() + BOUND;
    loop {
        let ids: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM view_remediations WHERE status = 'executable'")
            .fetch_all(pool)
            .await
            .context("the remediations that wait")?;
        if ids.len() == count {
            return Ok(ids);
        }
        let over: Option<(String, Option<String>)> =
            sqlx::query_as("SELECT status, reason FROM view_remediations WHERE at_rest LIMIT 1")
                .fetch_optional(pool)
                .await?;
        if let Some((status, reason)) = over {
            bail!("one has come to rest before it was executed: {status} {reason:?}");
        }
        ensure!(Instant::now() < until, "only {} of {count} wait to be executed after {BOUND:?}", ids.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn wait_ended(pool: &PgPool, count: usize) -> Result<Vec<Ended>> {
    let until = Instant::now() + BOUND;
    loop {
        let ended: i64 =
            sqlx::query_scalar("SELECT count(*) FROM view_remediations WHERE at_rest").fetch_one(pool).await?;
        // Those that have not ended by then are missing from the figure, and it misses its bar.
        if ended as usize == count || Instant::now() > until {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sql = "SELECT id, status, ended_at AS at FROM view_remediations WHERE at_rest AND ended_at IS NOT NULL";
    Ok(sqlx::query_as(sql).fetch_all(pool).await?)
}
