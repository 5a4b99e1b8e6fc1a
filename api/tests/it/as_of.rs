//! Time travel by GraphQL: a root field as of a moment, and all below it.

use crate::support::Api;
use domain::Outcome;
use serde_json::{Value, json};

/// Asked as of a moment: the findings of a deployment, and what hangs on them.
const FINDINGS: &str = "query($of: ID!, $asOf: AsOfInput) { findings(filter: { deploymentId: $of }, asOf: $asOf) { \
    asOf { position } total { count } nodes { id status occurrences severity asOf { position } \
    history { edges { node { eventType } } } deployment { health openCritical openWarning } \
    lastRun { status done } } } }";

async fn findings(api: &Api, deployment: &Value, position: i64) -> Value {
    let variables = json!({ "of": deployment, "asOf": { "position": position } });
    api.data(FINDINGS, variables).await["findings"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_asked_below_a_moment_is_of_that_moment() {
    let api = Api::start().await;
    let deployment = api.deployment("travelled").await;
    let run = api.run(deployment, 2).await;
    let registered = api.head().await.0;
    api.sighting(deployment, run, "store-1/a.docx", Outcome::Warning).await;
    let warned = api.head().await.0;
    api.result(run, 0, Outcome::Warning).await;
    api.sighting(deployment, run, "store-1/b.docx", Outcome::Critical).await;
    let critical = api.head().await.0;
    api.projected().await;
    let id = json!(deployment.0);

    let then = findings(&api, &id, registered).await;
    assert_eq!((&then["total"]["count"], &then["asOf"]["position"]), (&json!(0), &json!(registered)));
    let then = findings(&api, &id, warned).await;
    assert_eq!(then["total"]["count"], 1);
    let one = &then["nodes"][0];
    assert_eq!(one["deployment"], json!({ "health": "WARNING", "openCritical": 0, "openWarning": 1 }));
    assert_eq!(one["lastRun"]["done"], 0, "the result came later");
    assert_eq!(one["asOf"]["position"], warned);
    let then = findings(&api, &id, critical).await;
    assert_eq!(then["nodes"][0]["deployment"], json!({ "health": "CRITICAL", "openCritical": 1, "openWarning": 1 }));
    assert_eq!(then["nodes"][0]["lastRun"]["done"], 1);

    // Two root fields, two moments, and the present beside them.
    let query = "query($id: ID!, $a: Position!, $b: Position!) { \
        a: deployment(id: $id, asOf: { position: $a }) { health asOf { position recordedAt } findings { nodes { \
        id } } } \
        b: deployment(id: $id, asOf: { position: $b }) { health asOf { position } findings { nodes { id } } } \
        now: deployment(id: $id) { health asOf { position } findings { nodes { id } } } }";
    let read = api.data(query, json!({ "id": id, "a": registered, "b": warned })).await;
    let seen = |name: &str| (read[name]["health"].clone(), read[name]["findings"]["nodes"].as_array().unwrap().len());
    assert_eq!(seen("a"), (json!("UNKNOWN"), 0));
    assert_eq!(seen("b"), (json!("WARNING"), 1));
    assert_eq!(seen("now"), (json!("CRITICAL"), 2));
    assert!(read["a"]["asOf"]["recordedAt"].is_string());
    assert_eq!(read["now"]["asOf"], Value::Null);

    // By the time at which it was recorded, it is the same.
    let time = &read["a"]["asOf"]["recordedAt"];
    let query = "query($id: ID!, $at: DateTime!) { deployment(id: $id, asOf: { time: $at }) { asOf { position } } }";
    let by_time = api.data(query, json!({ "id": id, "at": time })).await;
    assert_eq!(by_time["deployment"]["asOf"]["position"], registered);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_root_field_of_a_moment_answers_and_what_is_none_is_refused() {
    let api = Api::start().await;
    let deployment = api.deployment("travelled").await;
    let run = api.run(deployment, 1).await;
    api.projected().await;
    let end = api.head().await.0;
    let query = format!(
        "{{ deployments(asOf: {{ position: {end} }}) {{ asOf {{ position }} nodes {{ name }} total {{ count }} }} \
         deploymentNamed(name: \"TRAVELLED\", asOf: {{ position: {end} }}) {{ name runs {{ nodes {{ id }} }} }} \
         runs(asOf: {{ position: {end} }}) {{ nodes {{ status results {{ nodes {{ checkCode }} }} \
            findings {{ nodes {{ id }} }} }} }} run(id: \"{run}\", asOf: {{ position: {end} }}) {{ status }} \
         checkResults(runId: \"{run}\", asOf: {{ position: {end} }}) {{ asOf {{ position }} nodes {{ checkCode }} }} \
         remediations(asOf: {{ position: {end} }}) {{ asOf {{ position }} nodes {{ id }} }} \
         policies(asOf: {{ position: {end} }}) {{ name }} \
         emergencyStop(asOf: {{ position: {end} }}) {{ engaged asOf {{ position }} }} \
         history(stream: {{ type: DIAGNOSTIC_RUN, id: \"{run}\" }}, asOf: {{ position: {end} }}) {{ type }} }}"
    );
    let read = api.data(&query, json!({})).await;
    assert_eq!(read["deployments"]["nodes"], json!([{ "name": "travelled" }]));
    assert_eq!(read["deploymentNamed"]["runs"]["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(read["runs"]["nodes"][0]["status"], read["run"]["status"]);
    assert_eq!(read["emergencyStop"], json!({ "engaged": false, "asOf": { "position": end } }));
    let events = read["history"].as_array().unwrap().len();
    let before = end - 1;
    let query = format!(
        "{{ history(stream: {{ type: DIAGNOSTIC_RUN, id: \"{run}\" }}, asOf: {{ position: {before} }}) {{ type }} }}"
    );
    assert_eq!(api.data(&query, json!({})).await["history"].as_array().unwrap().len(), events - 1);
    for (query, code) in [
        (format!("{{ runs(asOf: {{ position: {} }}) {{ nodes {{ id }} }} }}", end + 1), "NOT_YET"),
        ("{ runs(asOf: { time: \"2999-01-01T00:00:00Z\" }) { nodes { id } } }".to_owned(), "NOT_YET"),
        (format!("{{ runs(asOf: {{ position: {end} }}, atLeast: 1) {{ nodes {{ id }} }} }}"), "BAD_USER_INPUT"),
    ] {
        assert_eq!(api.code(&query, json!({})).await, code, "{query}");
    }
    let early =
        api.data("{ runs(asOf: { time: \"1999-01-01T00:00:00Z\" }) { asOf { position } nodes { id } } }", json!({}));
    assert_eq!(early.await["runs"], json!({ "asOf": { "position": 0 }, "nodes": [] }));
}
