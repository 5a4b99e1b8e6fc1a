//! Kept answers change what a query costs and never what it says.

use crate::support::{Api, until};
use chrono::{TimeDelta, Utc};
use command_side::{CommandError, Executed};
use domain::finding::{Finding, FindingCommand};
use domain::{DeploymentId, FindingId, Outcome, RunId, TenantId};
use serde_json::{Value, json};
use uuid::Uuid;

const RUN: &str = "query($id: ID!) { run(id: $id) { status done outcome position \
    deployment { name health openCritical } results(first: 5) { nodes { checkCode outcome } } \
    findings(first: 3) { hasMore nodes { resource status severity muted occurrences position } } } }";
const LISTS: &str = "query($id: ID!) { runs(first: 3) { nodes { id status done } total { count } } \
    findings(filter: { deploymentId: $id }, first: 5) { nodes { id status position } total { count } } \
    deployments { nodes { name health openWarning runs(first: 2) { nodes { status } } findings { nodes { id } } } } \
    deployment(id: $id) { health lastRun { status } } }";
const FINDING: &str = "query($id: ID!) { finding(id: $id) { status occurrences muted acknowledgedBy lastRun { done } \
    history(first: 50) { nodes { eventType position } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_write_shows_in_the_very_next_read() {
    let api = Api::start().await;
    let deployment = api.deployment("north").await;
    let run = api.run(deployment, 200).await;
    for number in 0..200 {
        api.result(run, number, Outcome::Ok).await;
        api.projected().await;
        for _ in 0..2 {
            let read = api.data("query($id: ID!) { run(id: $id) { done } }", json!({ "id": run.to_string() })).await;
            assert_eq!(read["run"]["done"], number + 1);
        }
    }
    let figures = api.queries.cache().answers().unwrap().figures();
    assert!(figures.hits >= 150, "the second read of each is kept: {figures:?}");
}

/// What there is to ask for, and a source of chance.
struct Chance {
    seed: u64,
    deployments: Vec<DeploymentId>,
    runs: Vec<(RunId, u32)>,
    findings: Vec<FindingId>,
}

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX generator: the upper bits are good enough for a die.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % bound
    }

    async fn write(&mut self, api: &Api) {
        let at = self.below(self.deployments.len());
        let deployment = self.deployments[at];
        match self.below(10) {
            0 => self.deployments.push(api.deployment(&format!("d-{}", self.deployments.len())).await),
            1 | 2 => self.runs.push((api.run(deployment, 3).await, 0)),
            3 | 4 => {
                let Some(at) = (0..self.runs.len()).rev().find(|at| self.runs[*at].1 < 3) else { return };
                let (run, done) = self.runs[at];
                let outcome = [Outcome::Ok, Outcome::Critical, Outcome::Unknown][self.below(3)];
                api.result(run, done, outcome).await;
                self.runs[at].1 += 1;
            }
            5..=7 => {
                let Some((run, _)) = self.runs.last().copied() else { return };
                let outcome = [Outcome::Ok, Outcome::Warning, Outcome::Critical][self.below(3)];
                let resource = format!("store-1/{}", self.below(5));
                let id = api.sighting(deployment, run, &resource, outcome).await;
                if !self.findings.contains(&id) && outcome != Outcome::Ok {
                    self.findings.push(id);
                }
            }
            8 => self.mark(api, FindingCommand::Acknowledge { comment: "seen".to_owned() }).await,
            _ => {
                let until = Utc::now() + TimeDelta::hours(1);
                self.mark(api, FindingCommand::Mute { until, reason: "known".to_owned() }).await;
            }
        }
    }

    async fn mark(&mut self, api: &Api, command: FindingCommand) {
        if self.findings.is_empty() {
            return;
        }
        let at = self.below(self.findings.len());
        let id = self.findings[at];
        let metadata = Api::metadata();
        let marked: Result<Executed<_>, CommandError> = api.bus.execute::<Finding>(id.0, command, metadata).await;
        assert!(matches!(marked, Ok(_) | Err(CommandError::Refused { .. })), "{:?}", marked.err());
    }

    fn questions(&self) -> Vec<(&'static str, Value)> {
        let runs = self.runs.iter().rev().take(4).map(|(run, _)| (RUN, json!({ "id": run.to_string() })));
        let lists = self.deployments.iter().take(3).map(|id| (LISTS, json!({ "id": id.to_string() })));
        let findings = self.findings.iter().take(4).map(|id| (FINDING, json!({ "id": id.to_string() })));
        let missing = [(RUN, json!({ "id": Uuid::from_u128(7).to_string() }))];
        runs.chain(lists).chain(findings).chain(missing).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_answers_are_those_made_anew_under_random_writes() {
    let api = Api::start().await;
    let anew = api.beside(TenantId::default(), api.uncached()).await;
    for seed in 1..=2 {
        let first = api.deployment(&format!("first-{seed}")).await;
        let mut chance = Chance { seed, deployments: vec![first], runs: Vec::new(), findings: Vec::new() };
        for step in 0..25 {
            for _ in 0..=chance.below(3) {
                chance.write(&api).await;
            }
            // Read while the views are on their way, too: what is then kept must not stay.
            for (query, variables) in chance.questions() {
                api.answer(query, variables).await;
            }
            api.projected().await;
            for (query, variables) in chance.questions() {
                let expected = anew.answer(query, variables.clone()).await;
                for _ in 0..2 {
                    let kept = api.answer(query, variables.clone()).await;
                    assert_eq!(kept, expected, "seed {seed}, step {step}: {query} {variables}");
                }
            }
        }
    }
    let figures = api.queries.cache().answers().unwrap().figures();
    assert!(figures.hits > 300 && figures.stale > 50, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_never_share_an_answer() {
    let api = Api::start().await;
    let other: TenantId = "other".parse().unwrap();
    let theirs = api.beside(other, api.queries.clone()).await;
    let deployment = api.deployment("ours").await;
    api.projected().await;
    let by_id = "query($id: ID!) { deployment(id: $id) { name } deployments { nodes { name } } }";
    for _ in 0..3 {
        let ours = api.data(by_id, json!({ "id": deployment.to_string() })).await;
        assert_eq!(ours, json!({ "deployment": { "name": "ours" }, "deployments": { "nodes": [{ "name": "ours" }] } }));
        let theirs = theirs.data(by_id, json!({ "id": deployment.to_string() })).await;
        assert_eq!(theirs, json!({ "deployment": null, "deployments": { "nodes": [] } }));
    }
    let figures = api.queries.cache().answers().unwrap().figures();
    assert!(figures.hits >= 3, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_questions_at_the_same_time_are_answered_once() {
    let api = Api::start().await;
    let run = api.run(api.deployment("north").await, 3).await;
    api.projected().await;
    let asked = (0..50).map(|_| api.data(RUN, json!({ "id": run.to_string() })));
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let figures = api.queries.cache().answers().unwrap().figures();
    assert_eq!((figures.misses, figures.hits + figures.shared), (1, 49), "{figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plain_query_is_not_kept() {
    let api = Api::start().await;
    let register = "mutation { registerDeployment(input: { name: \"twice\", productVersion: \"10.1\" }) \
        { ... on RegisterDeploymentAccepted { position } } }";
    let (first, second) = (api.data(register, json!({})).await, api.data(register, json!({})).await);
    assert_ne!(first["registerDeployment"]["position"], second["registerDeployment"]["position"]);
    api.projected().await;
    let before = api.queries.cache().answers().unwrap().figures();
    for query in [
        "{ __schema { types { name } } }",
        "{ platform { ready } }",
        "{ checks { code } }",
        "{ runs { nodes { id } } platform { ready } }",
        // The clock decides who is in it.
        "{ findings(filter: { muted: true }) { nodes { id } } }",
        // Errors.
        "{ run(id: \"x\") { id } }",
        "{ runs(after: \"nonsense\") { nodes { id } } }",
        "{ nothing }",
    ] {
        for _ in 0..3 {
            api.answer(query, json!({})).await;
        }
    }
    let after = api.queries.cache().answers().unwrap().figures();
    assert_eq!((after.hits, after.shared), (before.hits, before.shared), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_that_runs_out_shows_without_an_event() {
    let api = Api::start().await;
    let deployment = api.deployment("north").await;
    let run = api.run(deployment, 1).await;
    let finding = api.sighting(deployment, run, "store-1/a", Outcome::Critical).await;
    let until_then = Utc::now() + TimeDelta::milliseconds(1_500);
    api.send::<Finding>(finding.0, FindingCommand::Mute { until: until_then, reason: "known".to_owned() }).await;
    api.projected().await;
    let query = "query($id: ID!) { finding(id: $id) { muted } }";
    let is_muted = async || api.data(query, json!({ "id": finding.to_string() })).await["finding"]["muted"] == true;
    let first = is_muted().await;
    assert!(first || Utc::now() >= until_then, "it was muted a moment ago");
    until("the mute has run out", async || (!is_muted().await).then_some(())).await;
    assert!(Utc::now() >= until_then);
}

/// Many readers while somebody writes: nobody ever sees a run go backwards, and in the end all see its end.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_time_go_backwards() {
    let api = Api::start().await;
    let run = api.run(api.deployment("north").await, 100).await;
    api.projected().await;
    let query = "query($id: ID!) { run(id: $id) { done status } }";
    let read = async || {
        let mut seen = 0;
        loop {
            let read = api.data(query, json!({ "id": run.to_string() })).await;
            let done = read["run"]["done"].as_i64().unwrap();
            assert!(done >= seen, "{done} after {seen}");
            seen = done;
            if read["run"]["status"] == "COMPLETED" {
                return seen;
            }
        }
    };
    let write = async {
        for number in 0..100 {
            api.result(run, number, Outcome::Ok).await;
        }
    };
    let readers = futures::future::join_all((0..8).map(|_| read()));
    let bounded = tokio::time::timeout(std::time::Duration::from_secs(60), futures::future::join(write, readers));
    let ((), ends) = bounded.await.expect("all see the end within a minute");
    assert_eq!(ends, [100; 8]);
}
