//! One request is one trace: from HTTP over the command and its events to the process managers, the checks, their
//! probes and the SQL on the target, as a collector sees it.

use acceptance_tests::{Cmdiag, Collector, Serving, TakenSpan};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use private_servers::testing::{TestDatabase, test_folder};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT_SPAN: &str = "00f067aa0ba902b7";
const CHECKS: [&str; 2] = ["PG-BLOCKED-QUERY", "CM-WGS-DOWN"];

const REQUEST_RUN: &str = "mutation RequestRun($id: ID!, $checks: [String!]!) { requestRun(input: { deploymentId: $id, \
                           profile: \"quick\", checks: $checks }) { __typename ... on RequestRunAccepted { runId } } }";

/// The test's own PostgreSQL as the dataset, and a workgroup server that nobody listens for: a problem to be found.
async fn office(cmdiag: &Cmdiag, folder: &Path, database: &TestDatabase) -> String {
    let (login, server) = database.url().split_once('@').unwrap();
    let user = login.trim_start_matches("postgres://").split(':').next().unwrap();
    let description = format!(
        r#"
        name = "Traced Office"
        product_version = "24.3"
        [[component]]
        name = "dataset"
        kind = "dataset-database"
        settings = {{ url = "postgres://{user}@{server}", dbid = "D1", expected_schema_version = "24" }}
        secrets = {{ password = "env:DATASET_PASSWORD" }}
        [[component]]
        name = "wgs-1"
        kind = "workgroup-server"
        settings = {{ host = "127.0.0.1", port = "1", config = "{folder}/none.tcfg", logs = "{folder}" }}
        "#,
        folder = folder.display()
    );
    std::fs::write(folder.join("office.toml"), description).unwrap();
    let added = cmdiag.run(&["deployment", "add", "office.toml", "--format", "json"]).await.succeeded().json();
    added["id"].as_str().unwrap().to_owned()
}

fn password(database: &TestDatabase) -> String {
    let login = database.url().split('@').next().unwrap();
    login.trim_start_matches("postgres://").split_once(':').map(|(_, password)| password.to_owned()).unwrap_or_default()
}

async fn request_run(serving: &Serving, deployment: &str, checks: &[&str], traceparent: Option<&str>) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let body = json!({ "query": REQUEST_RUN, "variables": { "id": deployment, "checks": checks } });
    let mut request = reqwest::Client::new().post(serving.url("/graphql")).json(&body);
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let id = answer["data"]["requestRun"]["runId"].as_str().unwrap_or_else(|| panic!("{answer:#}"));
    let id = String::from_utf8(BASE64_STANDARD.decode(id).unwrap()).unwrap();
    id.split(':').nth(1).unwrap().to_owned()
}

fn of_trace(spans: &[TakenSpan], trace: &str) -> Vec<TakenSpan> {
    spans.iter().filter(|span| span.trace == trace).cloned().collect()
}

fn named<'s>(spans: &'s [TakenSpan], name: &str) -> Vec<&'s TakenSpan> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn count(spans: &[TakenSpan], trace: &str, name: &str) -> usize {
    spans.iter().filter(|span| span.trace == trace && span.name == name).count()
}

/// The events of a run that has completed, within half a minute.
async fn completed(cmdiag: &Cmdiag, run: &str) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let stream = format!("DiagnosticRun-{run}");
        let history = cmdiag.run(&["history", &stream, "--format", "json"]).await.succeeded().json();
        let events = history.as_array().unwrap();
        if events.iter().any(|event| event["type"] == "RunCompleted") {
            return events.clone();
        }
        assert!(Instant::now() < deadline, "run {run} does not complete: {history:#}");
    }
}

/// The span that an event's metadata name.
fn span_of(event: &Value) -> &str {
    event["traceparent"].as_str().and_then(|traceparent| traceparent.split('-').nth(2)).unwrap_or_default()
}

/// The only span with this name, whose parent is this one.
fn child<'s>(spans: &'s [TakenSpan], parent: &str, name: &str) -> &'s TakenSpan {
    let found: Vec<&TakenSpan> = named(spans, name).into_iter().filter(|span| span.parent == parent).collect();
    assert_eq!(found.len(), 1, "one {name} under {parent} in {spans:#?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_request_to_the_sql() {
    let (folder, database, collector) = (test_folder(), TestDatabase::migrated().await, Collector::start().await);
    let password = password(&database);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url()).with("DATASET_PASSWORD", &password);
    let deployment = office(&cmdiag, folder.path(), &database).await;
    let traced = cmdiag.clone().with("CMDIAG_OTLP_ENDPOINT", collector.endpoint());
    let serving = Serving::start(&traced, &["serve", "--listen", "127.0.0.1:0"]).await;
    let run = request_run(&serving, &deployment, &CHECKS, Some(&format!("00-{TRACE}-{CLIENT_SPAN}-01"))).await;
    let history = completed(&cmdiag, &run).await;
    // Spans come as they end: what caused others often after them.
    let is_whole = |spans: &[TakenSpan]| {
        let ids: HashSet<&str> = spans.iter().map(|span| span.id.as_str()).chain([CLIENT_SPAN]).collect();
        count(spans, TRACE, "check.run") == CHECKS.len()
            && count(spans, TRACE, "command observe_finding") == 1
            && history.iter().all(|event| ids.contains(span_of(event)))
            && spans.iter().filter(|span| span.trace == TRACE).all(|span| ids.contains(span.parent.as_str()))
    };
    let spans = of_trace(&collector.spans_when(is_whole).await, TRACE);

    let request = child(&spans, CLIENT_SPAN, "POST /graphql");
    assert_eq!(request.kind, SpanKind::Server);
    assert_eq!(request.attributes["http.response.status_code"], "200");
    assert_eq!(request.service["service.name"], "cmdiag");
    let graphql = child(&spans, &request.id, "graphql.request");
    let requested = child(&spans, &graphql.id, "command request_run");
    let appended = child(&spans, &requested.id, "events.append");
    assert_eq!(requested.attributes["outcome"], "executed");
    assert_eq!(appended.attributes["events"], "1");

    let planner = child(&spans, &requested.id, "run-planner");
    child(&spans, &planner.id, "command plan_run");
    let checks: Vec<&TakenSpan> = named(&spans, "check.run");
    assert_eq!(checks.len(), CHECKS.len());
    for check in &checks {
        assert_eq!((check.parent.as_str(), check.attributes["run"].as_str()), (requested.id.as_str(), run.as_str()));
    }
    let of_check = |code: &str| *checks.iter().find(|span| span.attributes["check"] == code).unwrap();
    assert_eq!(of_check(CHECKS[0]).attributes["outcome"], "ok");
    let probe = child(&spans, &of_check(CHECKS[0]).id, "probe sql");
    let sql = child(&spans, &probe.id, "sql.query");
    assert_eq!((sql.kind, sql.failed), (SpanKind::Client, false));
    assert_eq!(sql.attributes["db.system.name"], "postgresql");
    assert_eq!(sql.attributes["db.query.summary"], CHECKS[0]);
    child(&spans, &of_check(CHECKS[1]).id, "probe tcp");

    let keeper = named(&spans, "finding-keeper")[0];
    let recorded = spans.iter().find(|span| span.id == keeper.parent).unwrap();
    assert_eq!((recorded.name.as_str(), recorded.parent.as_str()), ("command record_results", requested.id.as_str()));
    child(&spans, &keeper.id, "command observe_finding");

    for span in &spans {
        for text in &span.texts {
            assert!(!text.contains("SELECT") && !text.contains("postgres://"), "{}: {text}", span.name);
            assert!(password.is_empty() || !text.contains(&password), "{}: {text}", span.name);
        }
    }
    let doctor = traced.run(&["doctor"]).await.succeeded();
    assert!(doctor.stdout.contains("the collector takes them"), "{}", doctor.stdout);
    // Each event names the command that it came from.
    for event in &history {
        let command = spans.iter().find(|span| span.id == span_of(event)).unwrap();
        let is_of_trace = event["traceparent"].as_str().unwrap().starts_with(&format!("00-{TRACE}-"));
        assert!(is_of_trace && command.name.starts_with("command "), "{event:#}: {command:#?}");
    }
    assert_eq!(serving.interrupt().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_a_trace_decides_whether_it_is_recorded() {
    let (folder, database, collector) = (test_folder(), TestDatabase::migrated().await, Collector::start().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url()).with("DATASET_PASSWORD", password(&database));
    let deployment = office(&cmdiag, folder.path(), &database).await;
    let traced = cmdiag.clone().with("CMDIAG_OTLP_ENDPOINT", collector.endpoint());
    let serving =
        Serving::start(&traced.with("CMDIAG_OTLP_SAMPLE_RATIO", "0"), &["serve", "--listen", "127.0.0.1:0"]).await;
    let check = [CHECKS[0]];
    let unsampled = "0af7651916cd43dd8448eb211c80319c";
    let silent = request_run(&serving, &deployment, &check, Some(&format!("00-{unsampled}-{CLIENT_SPAN}-00"))).await;
    request_run(&serving, &deployment, &check, None).await;
    request_run(&serving, &deployment, &check, Some(&format!("00-{TRACE}-{CLIENT_SPAN}-01"))).await;
    // Interrupted, it sends what it still has.
    collector.spans_when(|spans| count(spans, TRACE, "command record_results") == 1).await;
    assert_eq!(serving.interrupt().await, 0);
    let spans = collector.spans();
    let others: Vec<&TakenSpan> = spans.iter().filter(|span| span.trace != TRACE).collect();
    assert!(others.is_empty(), "{others:#?}");
    // What is not recorded here is handed on all the same.
    let history = completed(&cmdiag, &silent).await;
    for event in &history {
        let traceparent = event["traceparent"].as_str().unwrap();
        assert!(traceparent.starts_with(&format!("00-{unsampled}-")) && traceparent.ends_with("-00"), "{event:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_collector_the_platform_works_and_says_so_once() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url())
        .with("DATASET_PASSWORD", password(&database))
        .with("CMDIAG_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .with("NO_COLOR", "");
    let deployment = office(&cmdiag, folder.path(), &database).await;
    let serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0"]).await;
    let run = request_run(&serving, &deployment, &CHECKS, None).await;
    completed(&cmdiag, &run).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let said = || serving.printed().matches("traces can not be sent").count();
    while said() == 0 {
        assert!(Instant::now() < deadline, "{}", serving.printed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // More traces, more failures: not more words.
    request_run(&serving, &deployment, &CHECKS, None).await;
    assert_eq!(said(), 1, "{}", serving.printed());
    assert!(!serving.printed().contains('\u{1b}'), "no colours in a pipe: {}", serving.printed());
    let doctor = cmdiag.run(&["doctor"]).await;
    assert!(doctor.code == 1 && doctor.stdout.contains("CMDIAG_OTLP_ENDPOINT"), "{}", doctor.stdout);
    assert_eq!(serving.interrupt().await, 0);
}
