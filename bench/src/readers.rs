//! What readers ask for: a mix of everyday questions, spread over everything that there is, a few things much more
//! often than most.

use crate::graphql;
use crate::http::{Connection, request_bytes};
use crate::replay_story::{Length, Story, Told};
use crate::world::{self, World};
use anyhow::{Context, Result, ensure};
use rand::Rng;
use serde_json::{Value, json};
use std::net::SocketAddr;
use uuid::Uuid;

/// How steep the popularity of things is: the n-th is asked for in proportion to 1 / n to this power.
const STEEPNESS: f64 = 0.9;
/// Findings that each run sees.
pub const SEEN: usize = 10;

const FINDING: &str = "query ($id: ID!) { finding(id: $id) { id checkCode component resource status severity symptom \
    cause impact advice occurrences muted firstSeenAt lastSeenAt lastRun { id status } \
    history(first: 10) { nodes { eventType at actor position } } } }";
const RUNS: &str = "query ($id: ID!, $after: String) { runs(filter: { deploymentId: $id }, first: 20, after: $after) { \
    nodes { id status outcome planned done requestedBy requestedAt endedAt } pageInfo { hasNextPage endCursor } } }";
const FINDINGS: &str = "query ($id: ID!, $after: String) { findings(filter: { deploymentId: $id, status: [OPEN, \
    ACKNOWLEDGED] }, first: 20, after: $after) { nodes { id checkCode resource status severity symptom lastSeenAt } \
    pageInfo { hasNextPage endCursor } } }";
const OVERVIEW: &str = "query ($id: ID!) { deployment(id: $id) { id name health openCritical openWarning openMuted \
    lastRunAt lastRun { id status outcome tally { ok warning critical unknown } } \
    findings(first: 5) { hasMore nodes { id severity symptom } } } }";
const RESULTS: &str = "query ($id: ID!) { checkResults(runId: $id, first: 50) { \
    nodes { checkCode component outcome summary durationMs } } }";
const NEWEST: &str = "{ runs(first: 20) { nodes { id status outcome done planned deployment { name health } } } }";

/// One kind of question.
struct Kind {
    /// Of a hundred.
    share: u32,
    /// Requests, ready to be sent, the most popular first.
    requests: Vec<Box<[u8]>>,
    /// How often one of the first so many is asked for, of all.
    up_to: Vec<f64>,
}

/// The mix.
pub struct Questions(Vec<Kind>);

/// Fills a log with what they ask for.
pub async fn seeded(world: &World, url: &str) -> Result<Vec<Told>> {
    let runs = world.pick(2_000, 400);
    let length = Length {
        deployments: 100,
        runs,
        checks_per_run: 12,
        results_at_once: 6,
        findings_per_run: SEEN,
        findings: runs * SEEN,
    };
    Ok(Story::tell(&world::pool(url, 2).await?, length).await?.deployments)
}

impl Questions {
    /// About these; second pages are asked for once, to know where they begin.
    pub async fn about(deployments: &[Told], address: SocketAddr) -> Result<Self> {
        let of = |query: &str, id: Uuid| ask(query, &json!({ "id": id.to_string() }));
        // The last of each deployment is the most popular: what happened lately.
        let runs = || interleaved(deployments, |told| told.runs.iter().rev().copied());
        let findings = interleaved(deployments, |told| told.findings.iter().rev().map(|(id, _)| id.0));
        let mut connection = Connection::open(address).await?;
        let mut pages = Vec::new();
        for (query, list) in [(RUNS, "runs"), (FINDINGS, "findings")] {
            let mut requests = Vec::new();
            for told in deployments {
                let id = told.id.to_string();
                let first: Value = connection.graphql(query, &json!({ "id": id })).await?;
                let info = &first[list]["pageInfo"];
                requests.push(ask(query, &json!({ "id": id })));
                if info["hasNextPage"] == true {
                    requests.push(ask(query, &json!({ "id": id, "after": info["endCursor"] })));
                }
            }
            pages.push(requests);
        }
        let (findings_pages, runs_pages) = (pages.pop().context("pages")?, pages.pop().context("pages")?);
        Ok(Self(vec![
            Kind::new(40, runs().map(|id| of(graphql::QUERY, id)).collect()),
            Kind::new(15, findings.map(|id| of(FINDING, id)).collect()),
            Kind::new(15, runs_pages),
            Kind::new(12, findings_pages),
            Kind::new(10, deployments.iter().map(|told| of(OVERVIEW, told.id.0)).collect()),
            Kind::new(6, runs().map(|id| of(RESULTS, id)).collect()),
            Kind::new(2, vec![ask(NEWEST, &json!({}))]),
        ]))
    }

    /// Every kind gets an answer without errors.
    pub async fn check(&self, address: SocketAddr) -> Result<()> {
        let mut connection = Connection::open(address).await?;
        for kind in &self.0 {
            let request = kind.requests.first().context("a question of each kind")?;
            let answer = connection.ask(request).await?;
            let said = String::from_utf8_lossy(connection.body());
            ensure!(answer == 200 && is_fine(connection.body()), "{answer}: {said}");
        }
        Ok(())
    }

    /// The next one.
    pub fn pick(&self, chance: &mut impl Rng) -> &[u8] {
        let mut share = chance.random_range(0..100);
        for kind in &self.0 {
            if share < kind.share {
                let at = kind.up_to.partition_point(|up_to| *up_to < chance.random::<f64>());
                return &kind.requests[at.min(kind.requests.len() - 1)];
            }
            share -= kind.share;
        }
        &self.0[0].requests[0]
    }
}

impl Kind {
    fn new(share: u32, requests: Vec<Box<[u8]>>) -> Self {
        let weights: Vec<f64> = (1..=requests.len()).map(|nth| (nth as f64).powf(-STEEPNESS)).collect();
        let all: f64 = weights.iter().sum();
        let up_to = weights.iter().scan(0.0, |sum, weight| {
            *sum += weight / all;
            Some(*sum)
        });
        Self { share, up_to: up_to.collect(), requests }
    }
}

/// Data and no errors: those would stand behind the data.
pub fn is_fine(body: &[u8]) -> bool {
    body.starts_with(b"{\"data\":{\"") && body.ends_with(b"}}")
}

fn ask(query: &str, variables: &Value) -> Box<[u8]> {
    request_bytes("/graphql", &json!({ "query": query, "variables": variables }).to_string())
}

/// The first of each, then the second of each, and so on.
fn interleaved<'a, T, I: Iterator<Item = T>>(
    deployments: &'a [Told],
    of: impl Fn(&'a Told) -> I,
) -> impl Iterator<Item = T> {
    let mut each: Vec<I> = deployments.iter().map(of).collect();
    std::iter::from_fn(move || {
        let round: Vec<T> = each.iter_mut().filter_map(Iterator::next).collect();
        (!round.is_empty()).then_some(round)
    })
    .flatten()
}
