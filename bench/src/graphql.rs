//! A run with its ten findings from the views, beside a bare axum handler and a static resolver.

use crate::child;
use crate::figure::{Figure, grouped};
use crate::http::Connection;
use crate::latencies::{Latencies, median};
use crate::replay_story::{Length, Story};
use crate::serve::Serve;
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use sqlx::PgPool;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How it is measured, for the page.
pub const HOW: &str = "64 connections, each with one request under way, ask a `cmdiag serve` (API and projectors) \
    for one of 1,000 runs with its ten findings, 16 fields each. Beside it in every round, in \
    another process: an axum handler that sends a fixed body of the same answer, and the same \
    query on async-graphql with resolvers that have their data at hand. The load generator \
    shares the cores with the server. Caches are as a user has them (in process; a private \
    Redis where it is installed), and nothing is written meanwhile: after the first second nearly \
    every answer is a kept one. `anew` is the same with answers that are all made anew: each \
    question has a variable of its own beside it, so that no kept answer fits.";

/// What is asked for.
pub const QUERY: &str = "query ($id: ID!) { run(id: $id) { id status outcome planned done \
    tally { ok warning critical unknown } findings(first: 10) { hasMore nodes { id checkCode component resource status \
    severity symptom cause impact advice occurrences firstSeenAt lastSeenAt } } } }";

const CONNECTIONS: usize = 64;
const RUNS: usize = 1_000;
const BAR_MS: f64 = 100.0;
const VIEWS_BOUND: Duration = Duration::from_secs(60);

/// Measures.
pub async fn run(world: &World) -> Result<Vec<Figure>> {
    let url = world.database("graphql").await?;
    let bodies = seeded(&url).await?;
    let serve = Serve::start(world, "graphql", &url, "api,projector").await?;
    wait_for_views(&url).await?;
    check(serve.address, &bodies[0]).await?;
    let mut peers = child::start("peers", None)?;
    let peer_address: SocketAddr = child::line(&mut peers).await?.parse().context("the peers' address")?;
    let ours = |anew| Target { address: serve.address, path: "/graphql", anew };
    let peer = |path| Target { address: peer_address, path, anew: false };
    let targets = [ours(false), peer("/bare"), peer("/graphql"), ours(true)];
    let mut rates: [Vec<f64>; 4] = Default::default();
    let mut latencies = [Latencies::new()?, Latencies::new()?, Latencies::new()?, Latencies::new()?];
    for number in 0..=world.pick(4, 1) {
        for (at, target) in targets.into_iter().enumerate() {
            let span = world.span(if number == 0 { 1.0 } else { 3.0 });
            let (rate, took) = drive(target, &bodies, span).await?;
            if number > 0 {
                rates[at].push(rate);
                latencies[at].merge(&took)?;
            }
        }
    }
    let memory = serve.memory("graphql")?;
    serve.stop().await?;
    Ok(judge(&rates, &latencies).into_iter().chain([memory]).collect())
}

fn judge(rates: &[Vec<f64>; 4], latencies: &[Latencies; 4]) -> Vec<Figure> {
    let said = |target: usize| format!("{}/s, {}", grouped(median(&rates[target])), latencies[target].in_words());
    let ratio = |other: usize| {
        let pairs = rates[0].iter().zip(&rates[other]);
        median(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
    };
    let p95 = latencies[0].percentile_ms(95.0);
    vec![
        Figure::below("graphql.p95", "a run with ten findings, 64 connections: p95", (p95, BAR_MS), "ms")
            .beside(said(0)),
        Figure::plain("graphql.rate", "the same: requests/s", median(&rates[0]), "requests/s"),
        Figure::plain("graphql.of-bare", "the same: requests/s, of a bare axum handler's", ratio(1), "x")
            .beside(said(1)),
        Figure::plain("graphql.of-static", "the same: requests/s, of a static resolver's", ratio(2), "x")
            .beside(said(2)),
        Figure::below(
            "graphql.anew-p95",
            "the same, every answer made anew: p95",
            (latencies[3].percentile_ms(95.0), BAR_MS),
            "ms",
        )
        .beside(said(3)),
        Figure::plain(
            "graphql.anew-of-static",
            "the same: requests/s, of a static resolver's",
            {
                let pairs = rates[3].iter().zip(&rates[2]);
                median(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
            },
            "x",
        ),
    ]
}

/// Who is asked.
#[derive(Clone, Copy)]
struct Target {
    address: SocketAddr,
    path: &'static str,
    /// Whether no two questions are the same.
    anew: bool,
}

/// Fills a log with runs and findings; the requests' bodies, one a run.
pub async fn seeded(url: &str) -> Result<Arc<[String]>> {
    let pool = world::pool(url, 2).await?;
    let length = Length {
        deployments: 1,
        runs: RUNS,
        checks_per_run: 6,
        results_at_once: 3,
        findings_per_run: 10,
        findings: RUNS * 10,
    };
    let story = Story::tell(&pool, length).await?;
    let body = |id: &Uuid| json!({ "query": QUERY, "variables": { "id": id.to_string() } }).to_string();
    Ok(story.deployments.iter().flat_map(|told| &told.runs).map(body).collect())
}

/// Waits until the projectors have filled the views; their statistics are then made anew.
pub async fn wait_for_views(url: &str) -> Result<()> {
    let pool: PgPool = world::pool(url, 1).await?;
    let sql =
        "SELECT count(*) FILTER (WHERE position = (SELECT max(position) FROM events)) FROM projection_checkpoints";
    let until = Instant::now() + VIEWS_BOUND;
    loop {
        let there: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await?;
        if there as usize == projections::all().len() {
            // As autovacuum leaves a database that has been up for some minutes: until it has been here, plans rest on
            // guesses about tables that were empty a moment ago.
            sqlx::query("VACUUM (ANALYZE)").execute(&pool).await.context("vacuum the views")?;
            return Ok(());
        }
        ensure!(Instant::now() < until, "only {there} views have come to the log's end within {VIEWS_BOUND:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The answer is what it should be: ten findings.
pub async fn check(address: SocketAddr, body: &str) -> Result<()> {
    let answer = Connection::open(address).await?.post("/graphql", body).await?;
    let json: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let findings = json["data"]["run"]["findings"]["nodes"].as_array().map_or(0, Vec::len);
    ensure!(findings == 10, "instead of a run with ten findings: {json}");
    Ok(())
}

async fn drive(target: Target, bodies: &Arc<[String]>, span: Duration) -> Result<(f64, Latencies)> {
    let Target { address, path, anew } = target;
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(address).await?);
    }
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        let bodies = Arc::clone(bodies);
        tasks.spawn(async move {
            let mut latencies = Latencies::new()?;
            // Each begins elsewhere and takes steps of another length: no two ask for the same run at the same time.
            let mut next = number * bodies.len() / CONNECTIONS;
            while started.elapsed() < span {
                let mut body = Cow::Borrowed(bodies[next % bodies.len()].as_str());
                if anew {
                    // One more variable, which the operation does not declare: the answer is the same.
                    let open = body.len() - "}}".len();
                    body = Cow::Owned(format!("{},\"nth\":\"{}\"}}}}", &body[..open], Uuid::now_v7()));
                }
                let sent = Instant::now();
                let answer = connection.post(path, &body).await?;
                latencies.record(sent.elapsed());
                ensure!(answer.status == 200, "status {}", answer.status);
                next += 7 + number;
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
