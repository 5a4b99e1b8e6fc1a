//! Five thousand users who read, and ten thousand requests a second.

use crate::figure::{Figure, grouped};
use crate::graphql;
use crate::http::Connection;
use crate::latencies::Latencies;
use crate::readers::{self, Questions, is_fine};
use crate::serve::Serve;
use crate::world::World;
use crate::writers::Writer;
use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How it is measured, for the page.
pub const HOW: &str = "One `cmdiag serve` (API and projectors) over 100 deployments with 2,000 runs and 20,000 \
    findings. What is asked for: 40 % a run with its ten findings, 15 % a finding with its life, 15 % a page of a \
    deployment's runs and 12 % one of its open findings (the first or the second page), 10 % a deployment's overview, \
    6 % the results of a run, 2 % the newest runs of all; of each kind the n-th most popular thing in proportion to \
    1 / n^0.9, about 25,000 different questions in all. Beside it, ten times a second, a run of one of the deployments \
    lives from its request to its end and sees three of the findings again. `users`: 5,000 users, each with a kept \
    connection of its own, in a closed loop: ask, wait for the answer, think for a while (at random, 0.45 s on \
    average), ask again; the time runs from the sending. `open`: 10,000 requests a second, due at random moments \
    whatever becomes of those before, over 1,000 kept connections; the time runs from the moment that a request is \
    due. Each for 20 s, after a few seconds that do not count. Refused is what is turned away (503), failed what \
    else is not data without errors. The views are vacuumed and analysed \
    before, as autovacuum does within minutes. The load generator with its sockets, the writer and the database share \
    the two cores with the server.";

const USERS: usize = 5_000;
const THINK: Duration = Duration::from_millis(450);
const OPEN_RATE: f64 = 10_000.0;
const OPEN_CONNECTIONS: usize = 1_000;
const SECONDS: f64 = 20.0;
/// Before it counts: connections are opened, caches fill.
const WARM_SECONDS: f64 = 10.0;
/// Connections opened at the same time: the accept queue is bounded.
const OPENED_AT_ONCE: usize = 100;

const P95_USERS_MS: f64 = 200.0;
const P95_API_MS: f64 = 100.0;
const RATE: f64 = 10_000.0;

/// What became of the requests that count.
struct Outcome {
    latencies: Latencies,
    refused: u64,
    failed: u64,
}

/// From when to when it is asked, and from when on it counts.
#[derive(Clone, Copy)]
struct Span {
    begin: Instant,
    counts: Instant,
    end: Instant,
}

/// When the next request of a connection is due.
#[derive(Clone, Copy)]
enum Pace {
    /// So long after the answer, on average.
    Thinking(Duration),
    /// So long after the one before was due, on average.
    Due(Duration),
}

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("load").await?;
    let deployments: Arc<[_]> = readers::seeded(world, &url).await?.into();
    let serve = Serve::start(world, "load", &url, "api,projector").await?;
    graphql::wait_for_views(&url).await?;
    let questions = Arc::new(Questions::about(&deployments, serve.address).await?);
    questions.check(serve.address).await?;
    let writer = Writer::connect(&url, deployments).await?;
    let users = world.pick(USERS, 500);
    let open = world.pick(OPEN_CONNECTIONS, 100);
    let between = Duration::from_secs_f64(open as f64 / world.pick(OPEN_RATE, 1_000.0));
    let mut figures = Vec::new();
    for (id, connections, pace) in [("users", users, Pace::Thinking(THINK)), ("open", open, Pace::Due(between))] {
        let connections = connected(serve.address, connections).await?;
        let begin = Instant::now();
        let counts = begin + world.span(WARM_SECONDS);
        let span = Span { begin, counts, end: counts + world.span(SECONDS) };
        let asking = ask(connections, &questions, pace, span);
        let (outcome, kept, written) =
            tokio::try_join!(asking, kept_share(serve.address, span), writer.write(span.end))?;
        figures.extend(judge(id, &outcome, span, &format!("{kept}; {written:.0} events/s written beside it")));
    }
    figures.push(serve.memory("load")?);
    serve.stop().await?;
    Ok(figures)
}

fn judge(id: &str, outcome: &Outcome, span: Span, beside: &str) -> [Figure; 3] {
    let Outcome { latencies, refused, failed } = outcome;
    let answered = latencies.count() as f64;
    let rate = answered / (span.end - span.counts).as_secs_f64();
    let (what, p95_bar) = match id {
        "users" => ("5,000 users at the same time", P95_USERS_MS),
        _ => ("10,000 requests/s, come what may", P95_API_MS),
    };
    let said = format!("{}, longest {:.0} ms", latencies.in_words(), latencies.max_ms());
    let lost = (refused + failed) as f64;
    // Of an open loop not quite all that is due ends within the span.
    let rate_bar = if id == "users" { RATE } else { 0.99 * RATE };
    [
        Figure::below(
            &format!("load.{id}-p95"),
            &format!("{what}: p95"),
            (latencies.percentile_ms(95.0), p95_bar),
            "ms",
        )
        .beside(said),
        Figure::at_least(&format!("load.{id}-rate"), "of these answered", (rate, rate_bar), "requests/s")
            .beside(beside),
        Figure::at_most(
            &format!("load.{id}-lost"),
            "of these refused or failed",
            (100.0 * lost / (lost + answered).max(1.0), 0.0),
            "%",
        )
        .beside(format!("{} answered, {refused} refused with 503, {failed} failed", grouped(answered))),
    ]
}

async fn connected(address: SocketAddr, count: usize) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    while connections.len() < count {
        let some = (count - connections.len()).min(OPENED_AT_ONCE);
        let opened = futures::future::try_join_all((0..some).map(|_| Connection::open(address))).await;
        connections.extend(opened.with_context(|| format!("connection {}", connections.len()))?);
    }
    Ok(connections)
}

async fn ask(connections: Vec<Connection>, questions: &Arc<Questions>, pace: Pace, span: Span) -> Result<Outcome> {
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn(one(connection, Arc::clone(questions), pace, span));
    }
    let mut all = Outcome { latencies: Latencies::new()?, refused: 0, failed: 0 };
    while let Some(ended) = tasks.join_next().await {
        let (took, refused, failed) = ended?;
        for took in took {
            all.latencies.record(took);
        }
        all.refused += refused;
        all.failed += failed;
    }
    Ok(all)
}

/// One connection's requests: how long the answered ones took, and how many were refused or failed. Durations, not a
/// histogram: there are thousands of these.
async fn one(
    mut connection: Connection,
    questions: Arc<Questions>,
    pace: Pace,
    span: Span,
) -> (Vec<Duration>, u64, u64) {
    let mut chance = StdRng::from_rng(&mut rand::rng());
    let (mut took, mut refused, mut failed) = (Vec::new(), 0, 0);
    let mean = match pace {
        Pace::Thinking(mean) | Pace::Due(mean) => mean,
    };
    let mut due = span.begin + mean.mul_f64(chance.random());
    while due < span.end {
        tokio::time::sleep_until(due.into()).await;
        let since = match pace {
            Pace::Thinking(_) => Instant::now(),
            Pace::Due(_) => due,
        };
        let status = connection.ask(questions.pick(&mut chance)).await;
        let counts = since >= span.counts;
        match status {
            Ok(200) if is_fine(connection.body()) => {
                if counts {
                    took.push(since.elapsed());
                }
            }
            Ok(503) => refused += u64::from(counts),
            Ok(_) => failed += u64::from(counts),
            Err(_) => return (took, refused, failed + 1),
        }
        // Exponential: moments that know nothing of each other.
        let pause = mean.mul_f64(-(1.0 - chance.random::<f64>()).ln());
        due = match pace {
            Pace::Thinking(_) => Instant::now() + pause,
            Pace::Due(_) => due + pause,
        };
    }
    (took, refused, failed)
}

/// The share of queries answered from what is kept while it counts, as the server itself tells it, in words.
async fn kept_share(address: SocketAddr, span: Span) -> Result<String> {
    let mut connection = Connection::open(address).await?;
    tokio::time::sleep_until(span.counts.into()).await;
    let before = Asked::of(&connection.get("/metrics").await?);
    tokio::time::sleep_until(span.end.into()).await;
    let after = Asked::of(&connection.get("/metrics").await?);
    let [kept, shared, made] = [after.kept - before.kept, after.shared - before.shared, after.made - before.made];
    let all = (kept + shared + made).max(1.0);
    Ok(format!(
        "{:.1} % from kept answers, {:.1} % from one that was just being made for the same question, {:.1} % made anew \
         ({}/s)",
        100.0 * kept / all,
        100.0 * shared / all,
        100.0 * made / all,
        grouped(made / (span.end - span.counts).as_secs_f64())
    ))
}

/// What the server has counted.
struct Asked {
    kept: f64,
    shared: f64,
    made: f64,
}

impl Asked {
    fn of(metrics: &str) -> Self {
        let value = |result: &str| {
            let name = format!("cmdiag_answers_asked_total{{result=\"{result}\"}} ");
            metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok()).unwrap_or_default()
        };
        Self { kept: value("hit"), shared: value("shared"), made: value("miss") }
    }
}
