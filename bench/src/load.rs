//! Five thousand users who read.

use crate::figure::{Figure, grouped};
use crate::graphql;
use crate::http::Connection;
use crate::latencies::Latencies;
use crate::serve::Serve;
use crate::world::World;
use anyhow::{Context, Result};
use rand::Rng;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How it is measured, for the page.
pub const HOW: &str = "5,000 users, each with a kept connection of its own to one `cmdiag serve` (API and \
    projectors), ask for a run with its ten findings every two seconds (each at moments of its \
    own), for 15 s. What is turned away (503) or fails is counted. The load generator with its \
    5,000 sockets shares the two cores with the server and the database.";

const USERS: usize = 5_000;
const EVERY: Duration = Duration::from_secs(2);
/// Connections opened at the same time: the accept queue is bounded.
const OPENED_AT_ONCE: usize = 100;

/// What became of the requests. Durations, not a histogram: there are thousands of these.
#[derive(Default)]
struct Outcome {
    took: Vec<Duration>,
    turned_away: u64,
    failed: u64,
}

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("load").await?;
    let bodies = graphql::seeded(&url).await?;
    let serve = Serve::start(world, "load", &url, "api,projector").await?;
    graphql::wait_for_views(&url).await?;
    graphql::check(serve.address, &bodies[0]).await?;
    let users = world.pick(USERS, 500);
    let connections = connected(serve.address, users).await?;
    let span = world.span(15.0);
    let started = Instant::now();
    let outcome = read(connections, &bodies, started, span).await?;
    let mut latencies = Latencies::new()?;
    outcome.took.iter().for_each(|took| latencies.record(*took));
    let rate = latencies.count() as f64 / started.elapsed().as_secs_f64();
    let memory = serve.memory("load")?;
    serve.stop().await?;
    let beside = format!(
        "{}, longest {:.0} ms; {} requests at {}/s",
        latencies.in_words(),
        latencies.max_ms(),
        grouped(latencies.count() as f64),
        grouped(rate)
    );
    let what = "5,000 users at the same time, a request every two seconds each: p95";
    let lost = outcome.turned_away + outcome.failed;
    Ok(vec![
        Figure::plain("load.p95", what, latencies.percentile_ms(95.0), "ms").beside(beside),
        Figure::plain("load.rate", "the same: requests/s", rate, "requests/s"),
        Figure::plain("load.not-answered", "the same: requests turned away or failed", lost as f64, "requests")
            .beside(format!("{} turned away with 503, {} failed", outcome.turned_away, outcome.failed)),
        memory,
    ])
}

async fn connected(address: SocketAddr, users: usize) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(users);
    while connections.len() < users {
        let some = (users - connections.len()).min(OPENED_AT_ONCE);
        let opened = futures::future::try_join_all((0..some).map(|_| Connection::open(address))).await;
        connections.extend(opened.with_context(|| format!("connection {}", connections.len()))?);
    }
    Ok(connections)
}

async fn read(
    connections: Vec<Connection>,
    bodies: &Arc<[String]>,
    started: Instant,
    span: Duration,
) -> Result<Outcome> {
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let bodies = Arc::clone(bodies);
        let (offset, mut next) = (EVERY.mul_f64(rand::rng().random()), rand::rng().random_range(0..bodies.len()));
        tasks.spawn(async move {
            let mut outcome = Outcome::default();
            let mut due = started + offset;
            while due < started + span {
                tokio::time::sleep_until(due.into()).await;
                // From the moment that it was due: a user who had to wait for the answer before counts it, too.
                match connection.post("/graphql", &bodies[next % bodies.len()]).await {
                    Ok(answer) if answer.status == 200 => outcome.took.push(due.elapsed()),
                    Ok(answer) if answer.status == 503 => outcome.turned_away += 1,
                    Ok(_) => outcome.failed += 1,
                    Err(_) => {
                        outcome.failed += 1;
                        return outcome;
                    }
                }
                next += 1;
                due += EVERY;
            }
            outcome
        });
    }
    let mut all = Outcome::default();
    while let Some(ended) = tasks.join_next().await {
        let one = ended?;
        all.took.extend(one.took);
        all.turned_away += one.turned_away;
        all.failed += one.failed;
    }
    Ok(all)
}
