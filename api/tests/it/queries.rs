//! Reading: one's own writes, pages, nodes, and how many statements it takes.

use crate::support::{Api, until};
use domain::{Outcome, Position};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tracing_subscriber::layer::SubscriberExt;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_can_be_read_back() {
    let api = Api::start().await;
    for round in 0..20 {
        let query = "mutation($name: String!) { registerDeployment(input: { name: $name, productVersion: \"10.1\" }) \
            { ... on RegisterDeploymentAccepted { position deploymentId } } }";
        let name = format!("written-{round}");
        let written = api.data(query, json!({ "name": name })).await["registerDeployment"].take();
        let query = "query($id: ID!, $at: Position) { deployment(id: $id, atLeast: $at) { name health position } }";
        let read = api.data(query, json!({ "id": written["deploymentId"], "at": written["position"] })).await;
        let expected = json!({ "name": name, "health": "UNKNOWN", "position": written["position"] });
        assert_eq!(read["deployment"], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_not_reached_in_time_is_told() {
    let options = api::ApiOptions { at_least_timeout: std::time::Duration::from_millis(200), ..Default::default() };
    let api = Api::with(options).await;
    let started = Instant::now();
    let code = api.code("{ runs(atLeast: \"123456789\") { nodes { id } } }", json!({})).await;
    assert_eq!(code, "BEHIND");
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_on_each_other() {
    let api = Api::start().await;
    for n in 0..7 {
        api.deployment(&format!("page-{n}")).await;
    }
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let query = "query($after: String, $at: Position) { deployments(first: 3, after: $after, atLeast: $at) \
            { edges { cursor node { name } } pageInfo { hasNextPage endCursor hasPreviousPage } total { count atLeast } } }";
        let at = api.head().await.0;
        let mut page = api.data(query, json!({ "after": after, "at": at })).await["deployments"].take();
        assert_eq!(page["total"], json!({ "count": 7, "atLeast": false }));
        assert_eq!(page["pageInfo"]["hasPreviousPage"], !after.is_null());
        let edges = page["edges"].as_array().unwrap();
        seen.extend(edges.iter().map(|edge| edge["node"]["name"].as_str().unwrap().to_owned()));
        assert_eq!(page["pageInfo"]["endCursor"], edges.last().unwrap()["cursor"]);
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].take();
    }
    assert_eq!(seen, (0..7).map(|n| format!("page-{n}")).collect::<Vec<_>>());
}

/// Two deployments with a run each that saw two findings.
async fn sample(api: &Api) -> (Vec<String>, Position) {
    let mut runs = Vec::new();
    for name in ["north", "south"] {
        let deployment = api.deployment(name).await;
        let run = api.run(deployment, 3).await;
        for (number, outcome) in [(0, Outcome::Ok), (1, Outcome::Critical), (2, Outcome::Unknown)] {
            api.result(run, number, outcome).await;
        }
        for resource in ["store-1/a", "store-1/b"] {
            api.sighting(deployment, run, resource, Outcome::Critical).await;
        }
        runs.push(run.to_string());
    }
    (runs, api.head().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_found_by_whom_it_belongs_to() {
    let api = Api::start().await;
    let (runs, at) = sample(&api).await;
    let query = "query($id: ID!, $at: Position) { run(id: $id, atLeast: $at) { id status outcome planned done ended \
        tally { ok warning critical unknown } deployment { name health openCritical lastRun { status } \
        findings { nodes { resource } hasMore } runs { nodes { profile } total { count } } } \
        results(first: 2) { hasMore nodes { checkCode outcome unknownCause run { profile } \
        observations { resource outcome symptom } } } findings(first: 1) { hasMore nodes { id severity status symptom \
        checkCode component occurrences muted lastRun { id } } } } }";
    let run = api.data(query, json!({ "id": runs[0], "at": at.0 })).await["run"].take();
    assert_eq!(run["tally"], json!({ "ok": 1, "warning": 0, "critical": 1, "unknown": 1 }), "{run:#}");
    assert_eq!((&run["status"], &run["outcome"]), (&json!("COMPLETED"), &json!("CRITICAL")));
    assert_eq!(run["deployment"]["health"], "CRITICAL");
    assert_eq!(run["deployment"]["findings"]["nodes"].as_array().unwrap().len(), 2);
    assert_eq!((&run["results"]["hasMore"], run["results"]["nodes"].as_array().unwrap().len()), (&json!(true), 2));
    assert_eq!((&run["findings"]["hasMore"], run["findings"]["nodes"].as_array().unwrap().len()), (&json!(true), 1));

    let node =
        "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Run { profile } ... on Finding { severity } } }";
    let ids = json!([
        run["findings"]["nodes"][0]["id"],
        run["id"],
        "UnVuOjAxOTAwMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDA5OQ=="
    ]);
    let nodes = api.data(node, json!({ "ids": ids })).await["nodes"].take();
    assert_eq!(
        (&nodes[0]["__typename"], &nodes[1]["__typename"], &nodes[2]),
        (&json!("Finding"), &json!("Run"), &Value::Null)
    );

    let query =
        "query($run: ID!) { checkResults(runId: $run, outcomes: [UNKNOWN]) { nodes { checkCode unknownCause } } }";
    let results = api.data(query, json!({ "run": runs[0] })).await["checkResults"].take();
    assert_eq!(results["nodes"], json!([{ "checkCode": "SAMPLE-2", "unknownCause": "connection refused" }]));

    let deployment =
        api.data("{ deploymentNamed(name: \"north\") { id } }", json!({})).await["deploymentNamed"]["id"].take();
    let query = "query($id: ID!) { \
        checkResultHistory(filter: { deploymentId: $id, checkCode: \"SAMPLE-1\", component: \"store-1\" }) \
        { edges { cursor node { outcome } } } \
        findings(filter: { deploymentId: $id, severity: [CRITICAL], status: [OPEN] }) { total { count } } \
        dailyFigures(filter: { from: \"2000-01-01\", until: \"2999-01-01\", deploymentId: $id }) \
        { nodes { checkCode severity results findingsOpened } } \
        checks { code thresholds { warning } } check(code: \"NONE\") { code } }";
    let data = api.data(query, json!({ "id": deployment })).await;
    assert_eq!(data["checkResultHistory"]["edges"][0]["node"]["outcome"], "CRITICAL");
    assert_eq!(data["findings"]["total"]["count"], 2);
    assert_eq!(data["dailyFigures"]["nodes"].as_array().unwrap().len(), 4, "{data:#}");
    assert_eq!((data["checks"].as_array().unwrap().len(), &data["check"]), (2, &Value::Null));
}

/// Counts what the queries' own pool logs as information.
struct Statements(&'static AtomicUsize);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == "sqlx::query" && *metadata.level() == tracing::Level::INFO {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_query_takes_few_statements() {
    static COUNTED: AtomicUsize = AtomicUsize::new(0);
    let subscriber = tracing_subscriber::registry().with(Statements(&COUNTED));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let api = Api::start().await;
    for n in 0..10 {
        let deployment = api.deployment(&format!("many-{n}")).await;
        for _ in 0..3 {
            let run = api.run(deployment, 2).await;
            api.result(run, 0, Outcome::Ok).await;
            api.result(run, 1, Outcome::Critical).await;
            api.sighting(deployment, run, "store-1/a", Outcome::Critical).await;
        }
    }
    let at = api.head().await.0;
    until("the views have caught up", async || {
        let answer =
            api.answer("query($at: Position) { runs(first: 1, atLeast: $at) { nodes { id } } }", json!({ "at": at }));
        answer.await.get("errors").is_none().then_some(())
    })
    .await;
    let query = "{ runs(first: 30) { nodes { id deployment { name lastRun { status } findings(first: 5) { nodes { symptom } } } \
        results(first: 5) { nodes { summary } } findings(first: 5) { nodes { symptom lastRun { status } } } } } }";
    let before = COUNTED.load(Ordering::SeqCst);
    let data = api.data(query, json!({})).await;
    let statements = COUNTED.load(Ordering::SeqCst) - before;
    assert_eq!(data["runs"]["nodes"].as_array().unwrap().len(), 30);
    // The page, the deployments, their last runs and findings, the runs' results and findings, those findings' last
    // runs: one statement each. A loader that gathers needs another one for each wave in which its ids come, and a busy
    // machine makes more waves; one statement for each run would be thirty and more.
    assert!((1..=24).contains(&statements), "{statements} statements for 30 runs");
}
