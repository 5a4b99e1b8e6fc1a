//! A thousand runs, requested at once.

use crate::events;
use crate::figure::{Figure, grouped};
use crate::http::Connection;
use crate::latencies::Latencies;
use crate::results::{host, register};
use crate::serve::Serve;
use crate::world::{self, World};
use anyhow::{Context, Result, bail, ensure};
use command_side::{BusOptions, CommandBus};
use domain::deployment::Deployment;
use event_store::{PostgresEventLog, PostgresLogOptions};
use serde_json::json;
use sqlx::PgPool;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How it is measured, for the page.
pub const HOW: &str = "250 connections post four `requestRun` mutations each to a `cmdiag serve` with all roles: \
    the `quick` profile of ten deployments with two host components each, that is eight real \
    probes a run. Each run has a deadline of 60 s. The times are the run view's own, from \
    request to end.";

const CONNECTIONS: usize = 250;
const DEPLOYMENTS: usize = 10;
const DEADLINE_SECONDS: u64 = 60;
const REQUEST: &str = "mutation ($input: RequestRunInput!) { requestRun(input: $input) { __typename } }";

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("runs_1000").await?;
    let pool = world::pool(&url, 4).await?;
    let deployments = registered(&pool).await?;
    let serve = Serve::start(world, "runs-1000", &url, "api,commands,projector,engine").await?;
    let each = world.pick(4, 1);
    let runs = CONNECTIONS * each;
    let started = Instant::now();
    request(serve.address, &deployments, each).await?;
    let requested = started.elapsed();
    let ended = wait(&pool, runs).await?;
    let took = started.elapsed();
    let memory = serve.memory("runs-1000")?;
    serve.stop().await?;
    let mut latencies = Latencies::new()?;
    for run in &ended {
        latencies.record(Duration::from_secs_f64(run.seconds.max(0.0)));
    }
    let completed = ended.iter().filter(|run| run.status == "completed").count();
    let late = ended.iter().filter(|run| run.seconds > DEADLINE_SECONDS as f64).count();
    let results: i32 = ended.iter().map(|run| run.done).sum();
    let beside = format!(
        "{}, longest {:.2} s; all requested after {:.2} s, all ended after {:.2} s; {} results",
        latencies.in_words(),
        latencies.max_ms() / 1_000.0,
        requested.as_secs_f64(),
        took.as_secs_f64(),
        grouped(f64::from(results))
    );
    let longest = latencies.max_ms() / 1_000.0;
    let what = "1,000 runs requested at once: the longest, from request to end";
    Ok(vec![
        Figure::at_most("runs-1000.longest", what, (longest, DEADLINE_SECONDS as f64), "s").beside(beside),
        Figure::at_least("runs-1000.completed", "of these completed", (completed as f64, runs as f64), "runs"),
        Figure::at_most("runs-1000.late", "of these after their deadline", (late as f64, 0.0), "runs"),
        memory,
    ])
}

async fn registered(pool: &PgPool) -> Result<Vec<Uuid>> {
    let log = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default()).await?;
    let bus = CommandBus::new(log, BusOptions::default());
    let mut ids = Vec::with_capacity(DEPLOYMENTS);
    for number in 0..DEPLOYMENTS {
        let id = Uuid::now_v7();
        let command = register(&format!("bench-{number}"), vec![host("host-1")?, host("host-2")?]);
        bus.execute::<Deployment>(id, command, events::metadata()?).await?;
        ids.push(id);
    }
    Ok(ids)
}

async fn request(address: SocketAddr, deployments: &[Uuid], each: usize) -> Result<()> {
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(address).await?);
    }
    let deployments: Arc<[Uuid]> = deployments.into();
    let mut tasks = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        let deployments = Arc::clone(&deployments);
        tasks.spawn(async move {
            for round in 0..each {
                let deployment = deployments[(number + round) % deployments.len()].to_string();
                let variables = json!({ "input": {
                    "deploymentId": deployment, "profile": "quick", "timeoutSeconds": DEADLINE_SECONDS,
                } });
                let data = connection.graphql(REQUEST, &variables).await?;
                let accepted = data["requestRun"]["__typename"] == "RequestRunAccepted";
                ensure!(accepted, "a run was refused: {data}");
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// A run as the view shows it at its end.
#[derive(sqlx::FromRow)]
struct Ended {
    status: String,
    done: i32,
    seconds: f64,
}

/// Waits until all of them have ended.
async fn wait(pool: &PgPool, runs: usize) -> Result<Vec<Ended>> {
    let until = Instant::now() + Duration::from_secs(DEADLINE_SECONDS * 2);
    loop {
        let ended: i64 = sqlx::query_scalar("SELECT count(*) FROM view_runs WHERE ended_at IS NOT NULL")
            .fetch_one(pool)
            .await
            .context("count the runs that have ended")?;
        if ended as usize == runs {
            break;
        }
        if Instant::now() > until {
            bail!("only {ended} of {runs} runs have ended");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sql = "SELECT status, done, extract(epoch FROM ended_at - requested_at)::float8 AS seconds FROM view_runs";
    Ok(sqlx::query_as(sql).fetch_all(pool).await?)
}
