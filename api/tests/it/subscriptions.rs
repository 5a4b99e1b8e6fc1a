//! Subscriptions: each by its name, and what a reconnect may not lose.

use crate::support::{Api, until};
use domain::Outcome;
use futures::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;

/// A stream of server-sent events, as a test reads it.
pub struct Stream {
    bytes: futures::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    buffer: String,
}

impl Stream {
    pub async fn open(api: &Api, query: &str, variables: Value) -> Self {
        let body = json!({ "query": query, "variables": variables });
        let request = api.http.post(api.url("/graphql/stream")).header("accept", "text/event-stream").json(&body);
        let answer = request.timeout(Duration::from_secs(60)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self {
            bytes: answer.bytes_stream().map(|bytes| bytes.map(|bytes| bytes.to_vec())).boxed(),
            buffer: String::new(),
        }
    }

    /// The next result; none when the operation is complete.
    pub async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(Duration::from_secs(20), self.read()).await.expect("an event within 20 s")
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.buffer.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())) {
                self.buffer = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
                match field("event:") {
                    Some("next") => return Some(serde_json::from_str(field("data:").unwrap()).unwrap()),
                    Some("complete") => return None,
                    _ => {}
                }
            }
            let bytes = self.bytes.next().await.expect("the stream ends with an event").unwrap();
            self.buffer.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_starts_with_what_is_and_ends_with_the_run() {
    let api = Api::start().await;
    let deployment = api.deployment("records").await;
    let run = api.run(deployment, 3).await;
    api.result(run, 0, Outcome::Ok).await;
    let query = "subscription($run: ID!) { scanProgress(runId: $run) { status ended planned done ok critical unknown \
        outcome latest { checkCode outcome unknownCause problems } } }";
    let mut stream = Stream::open(&api, query, json!({ "run": run.to_string() })).await;
    let first = stream.next().await.unwrap()["data"]["scanProgress"].take();
    assert_eq!((&first["planned"], &first["done"], &first["ok"]), (&json!(3), &json!(1), &json!(1)), "{first:#}");
    assert_eq!(first["latest"][0]["checkCode"], "SAMPLE-0");
    api.result(run, 1, Outcome::Critical).await;
    let second = stream.next().await.unwrap()["data"]["scanProgress"].take();
    assert_eq!(
        (&second["done"], &second["critical"], second["latest"].as_array().unwrap().len()),
        (&json!(2), &json!(1), 1)
    );
    api.result(run, 2, Outcome::Unknown).await;
    let mut last = Value::Null;
    while let Some(mut snapshot) = stream.next().await {
        last = snapshot["data"]["scanProgress"].take();
    }
    assert_eq!(
        (&last["status"], &last["ended"], &last["outcome"]),
        (&json!("COMPLETED"), &json!(true), &json!("CRITICAL"))
    );
    // One that has ended is told in full, and is over.
    let mut stream = Stream::open(&api, query, json!({ "run": run.to_string() })).await;
    let told = stream.next().await.unwrap()["data"]["scanProgress"].take();
    assert_eq!((told["latest"].as_array().unwrap().len(), &told["unknown"]), (3, &json!(1)));
    assert_eq!(stream.next().await, None);
    let mut stream = Stream::open(&api, query, json!({ "run": deployment.to_string() })).await;
    let told = stream.next().await.unwrap();
    assert_eq!(told["errors"][0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(stream.next().await, None);
}

/// Opens a subscription and makes sure that it is heard before anything happens.
pub async fn heard(api: &Api, query: &str, variables: Value) -> Stream {
    let before = subscriptions(api).await;
    let stream = Stream::open(api, query, variables).await;
    until("the subscription is open", async || (subscriptions(api).await > before).then_some(())).await;
    // The metric counts when the transport starts it; the resolver runs right then.
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream
}

async fn subscriptions(api: &Api) -> i64 {
    let text = api.http.get(api.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("cmdiag_subscriptions{transport=\"sse\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_of_runs_and_lives_of_findings_are_told() {
    let api = Api::start().await;
    let (north, south) = (api.deployment("north").await, api.deployment("south").await);
    let of_north = json!({ "id": north.to_string() });
    let query =
        "subscription($id: ID) { scanCompleted(deploymentId: $id) { runId status outcome critical run { done } } }";
    let mut completed = heard(&api, query, of_north.clone()).await;
    let query = "subscription($id: ID) { newFinding(filter: { deploymentId: $id, severity: [CRITICAL] }) \
        { change severity checkCode resource finding { status symptom } } }";
    let mut opened = heard(&api, query, of_north.clone()).await;
    let query = "subscription($id: ID) { findingUpdated(filter: { deploymentId: $id }) { change severity actor \
        finding { status } } }";
    let mut updated = heard(&api, query, of_north).await;

    for deployment in [south, north] {
        let run = api.run(deployment, 1).await;
        api.sighting(deployment, run, "store-1/mild", Outcome::Warning).await;
        let finding = api.sighting(deployment, run, "store-1/bad", Outcome::Critical).await;
        api.result(run, 0, Outcome::Critical).await;
        let input = json!({ "input": { "findingId": finding.to_string(), "comment": "mine" } });
        let query = "mutation($input: AcknowledgeFindingInput!) { acknowledgeFinding(input: $input) { __typename } }";
        api.data(query, input).await;
        // A second run sees it better: a change whose event does not say what it is about.
        let again = api.run(deployment, 1).await;
        api.sighting(deployment, again, "store-1/bad", Outcome::Warning).await;
    }
    let ended = completed.next().await.unwrap()["data"]["scanCompleted"].take();
    assert_eq!(
        (&ended["status"], &ended["outcome"], &ended["run"]["done"]),
        (&json!("COMPLETED"), &json!("CRITICAL"), &json!(1))
    );
    let new = opened.next().await.unwrap()["data"]["newFinding"].take();
    assert_eq!((&new["change"], &new["resource"]), (&json!("OPENED"), &json!("store-1/bad")), "{new:#}");
    assert_eq!((&new["severity"], &new["checkCode"]), (&json!("CRITICAL"), &json!("CM-FILE-MISSING")));
    let mut changes = Vec::new();
    for _ in 0..3 {
        let mut told = updated.next().await.unwrap()["data"]["findingUpdated"].take();
        if told["change"] == "ACKNOWLEDGED" {
            assert_eq!(
                (&told["actor"], &told["finding"]["status"]),
                (&json!("anonymous:local"), &json!("ACKNOWLEDGED"))
            );
        }
        changes.push(told["change"].take().as_str().unwrap().to_owned());
    }
    changes.sort();
    assert_eq!(changes, ["ACKNOWLEDGED", "SEEN_AGAIN", "SEVERITY_CHANGED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_when_it_changes() {
    let api = Api::start().await;
    let deployment = api.deployment("records").await;
    let at = api.head().await.0;
    api.data("query($at: Position) { runs(atLeast: $at) { nodes { id } } }", json!({ "at": at })).await;
    let query = "subscription { systemHealthChanged { __typename ... on PlatformHealthChanged { state: previous current failing } \
        ... on DeploymentHealthChanged { previous now: current deployment { name } } } }";
    let mut stream = Stream::open(&api, query, json!({})).await;
    let first = stream.next().await.unwrap()["data"]["systemHealthChanged"].take();
    assert_eq!((&first["current"], &first["state"]), (&json!("PASS"), &Value::Null), "{first:#}");
    // The watcher takes its first look right after that message.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let run = api.run(deployment, 1).await;
    api.sighting(deployment, run, "store-1/a", Outcome::Critical).await;
    let told = stream.next().await.unwrap()["data"]["systemHealthChanged"].take();
    let expected = json!({ "__typename": "DeploymentHealthChanged", "previous": "UNKNOWN", "now": "CRITICAL",
        "deployment": { "name": "records" } });
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_resume_over_reconnects_without_loss_or_double() {
    let api = Api::start().await;
    let deployment = api.deployment("records").await;
    let query = "subscription($after: Position) { events(after: $after) { position streamType version type data } }";
    let writing = async {
        for _ in 0..60 {
            let run = api.run(deployment, 1).await;
            api.result(run, 0, Outcome::Ok).await;
        }
        api.head().await
    };
    let reading = async {
        let mut seen: Vec<i64> = Vec::new();
        // A new connection every seven events, in the middle of the writing. 60 runs of five events and a deployment.
        while seen.len() < 301 {
            let after = seen.last().copied().unwrap_or(0);
            let mut stream = Stream::open(&api, query, json!({ "after": after })).await;
            for _ in 0..7.min(301 - seen.len()) {
                let told = stream.next().await.unwrap();
                seen.push(told["data"]["events"]["position"].as_i64().unwrap_or_else(|| panic!("{told:#}")));
            }
        }
        seen
    };
    let (head, seen) = tokio::join!(writing, reading);
    assert_eq!(seen, (1..=head.0).collect::<Vec<_>>());

    let ahead = Stream::open(&api, query, json!({ "after": head.0 + 1 })).await.next().await.unwrap();
    assert_eq!(ahead["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    let query = "subscription { events(after: 0, filter: { types: [\"RunCompleted\"], streamTypes: [DIAGNOSTIC_RUN] }) \
        { type } }";
    let mut filtered = Stream::open(&api, query, json!({})).await;
    for _ in 0..60 {
        assert_eq!(filtered.next().await.unwrap()["data"]["events"]["type"], "RunCompleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_where_to_resume() {
    let api = Api::start().await;
    api.deployment("records").await;
    let mut stream = Stream::open(&api, "subscription { events(after: 0) { position } }", json!({})).await;
    assert_eq!(stream.next().await.unwrap()["data"]["events"]["position"], 1);
    api.go_away();
    let last = stream.next().await.unwrap();
    assert_eq!(last["errors"][0]["extensions"], json!({ "code": "GOING_AWAY", "resumeAfter": 1 }), "{last:#}");
    assert_eq!(stream.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_stream_is_cut_off_and_told_where_to_resume() {
    let options = api::ApiOptions { slow_client: Duration::from_millis(1_500), ..api::ApiOptions::default() };
    let api = Api::with(options).await;
    let deployment = api.deployment("records").await;
    let many = (0..40).map(|n| format!("d{n}: data")).collect::<Vec<_>>().join(" ");
    let query = format!("subscription {{ events(after: 0) {{ position {many} }} }}");
    let mut stream = Stream::open(&api, &query, json!({})).await;
    let run = api.run(deployment, 2_000).await;
    for round in 0..40 {
        let results = (round * 50..(round + 1) * 50).map(|n| domain::testing::check_result(n, Outcome::Critical));
        let command = domain::diagnostic_run::RunCommand::RecordResults { results: results.collect() };
        api.send::<domain::diagnostic_run::DiagnosticRun>(run.0, command).await;
    }
    until("the client is cut off", async || {
        let text = api.http.get(api.url("/metrics")).send().await.unwrap().text().await.unwrap();
        text.contains("cmdiag_slow_clients_total{transport=\"sse\"} 1").then_some(())
    })
    .await;
    let mut last = 0;
    let told = loop {
        let told = stream.next().await.expect("it is told why");
        match told["data"]["events"]["position"].as_i64() {
            Some(position) => {
                assert_eq!(position, last + 1);
                last = position;
            }
            None => break told,
        }
    };
    assert_eq!(told["errors"][0]["extensions"], json!({ "code": "SLOW_CLIENT", "resumeAfter": last }));
    assert!(last > 0 && last < api.head().await.0);
    assert_eq!(stream.next().await, None);
}
