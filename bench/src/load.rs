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
    projectors), ask for a run with its ten findings, each at moments of its own: first every five \
    seconds, for 15 s, which is within what one process on this machine can do; then every two \
    seconds, for 10 s, which is more than that, to see what becomes of the rest. The time runs \
    from the moment that a request is due. What is turned away (503) or fails is counted. The \
    load generator with its 5,000 sockets shares the two cores with the server and the database.";

const USERS: usize = 5_000;
/// The figures' ids, how often each user asks, and for how many seconds.
const STEPS: [(&str, Duration, f64); 2] =
    [("within", Duration::from_secs(5), 15.0), ("beyond", Duration::from_secs(2), 10.0)];
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
    let mut figures = Vec::new();
    for (id, every, seconds) in STEPS {
        let connections = connected(serve.address, users).await?;
        let started = Instant::now();
        let outcome = read(connections, &bodies, every, (started, world.span(seconds))).await?;
        figures.extend(judge(id, every, &outcome, started.elapsed())?);
    }
    figures.push(serve.memory("load")?);
    serve.stop().await?;
    Ok(figures)
}

fn judge(id: &str, every: Duration, outcome: &Outcome, took: Duration) -> Result<[Figure; 2]> {
    let mut latencies = Latencies::new()?;
    outcome.took.iter().for_each(|took| latencies.record(*took));
    let answered = latencies.count() as f64;
    let beside = format!(
        "{}, longest {:.0} ms; {} requests answered, {}/s",
        latencies.in_words(),
        latencies.max_ms(),
        grouped(answered),
        grouped(answered / took.as_secs_f64())
    );
    let what = format!("5,000 users at the same time, a request every {} s each: p95", every.as_secs());
    let lost = (outcome.turned_away + outcome.failed) as f64;
    let lost_what = "of these requests turned away or failed";
    Ok([
        Figure::plain(&format!("load.{id}-p95"), &what, latencies.percentile_ms(95.0), "ms").beside(beside),
        Figure::plain(&format!("load.{id}-lost"), lost_what, 100.0 * lost / (lost + answered), "%")
            .beside(format!("{} turned away with 503, {} failed", outcome.turned_away, outcome.failed)),
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
    every: Duration,
    (started, span): (Instant, Duration),
) -> Result<Outcome> {
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let bodies = Arc::clone(bodies);
        let (offset, mut next) = (every.mul_f64(rand::rng().random()), rand::rng().random_range(0..bodies.len()));
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
                due += every;
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
