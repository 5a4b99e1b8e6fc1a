//! Why, what lies between two runs, and what-if, as GraphQL gives them; nothing of it to another tenant.

use crate::support::Api;
use domain::finding::{Finding, FindingCommand};
use domain::{CommandId, Metadata, Outcome, TenantId};
use serde_json::json;
use uuid::Uuid;

const WHY: &str = "query ($subject: WhySubjectInput!) { why(subject: $subject) { truncated
    finding { requestedBy runId evidenceHash missing } nodes { id kind label outcome isSubject detail } edges { kind } } }";
const COMPARE: &str = "query ($base: ID!, $head: ID!) { compareRuns(base: $base, head: $head) { isWorse truncated
    counts { change count } problems { change baselineState resource head { symptom } } between { eventType } } }";
const WHAT_IF: &str = "query ($input: WhatIfInput!) { whatIf(input: $input) { raised } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_a_refused_command_and_two_runs_are_explained_to_their_tenant_only() {
    let api = Api::start().await;
    let deployment = api.deployment("records").await;
    let (base, head) = (api.run(deployment, 1).await, api.run(deployment, 1).await);
    api.result(base, 0, Outcome::Ok).await;
    api.result(head, 0, Outcome::Critical).await;
    let finding = api.sighting(deployment, head, "store-1/000/a.docx", Outcome::Critical).await;
    let command = Uuid::now_v7();
    let metadata = Metadata { command_id: CommandId(command), ..Api::metadata() };
    let refused = FindingCommand::MarkFalsePositive { reason: String::new() };
    assert!(api.bus.execute::<Finding>(finding.0, refused, metadata).await.is_err());
    api.projected().await;

    let of = |name: &str, id: String| json!({ "subject": { name: id } });
    let why = api.data(WHY, of("findingId", finding.to_string())).await;
    let why = &why["why"];
    assert_eq!(why["finding"]["requestedBy"], "system:test", "{why:#}");
    assert_eq!(why["finding"]["evidenceHash"], json!(null));
    assert_ne!(why["finding"]["missing"], json!([]), "what is not known is said");
    let labels: Vec<&str> = why["nodes"].as_array().unwrap().iter().filter_map(|node| node["label"].as_str()).collect();
    assert!(labels.contains(&"FindingOpened") && labels.contains(&"observe_finding"), "{labels:?}");
    let why = api.data(WHY, of("commandId", command.to_string())).await;
    let node = why["why"]["nodes"].as_array().unwrap().iter().find(|node| node["kind"] == "COMMAND").unwrap();
    assert_eq!((&node["outcome"], &node["detail"]["code"]), (&json!("refused"), &json!("text_empty")));

    let runs = json!({ "base": base.to_string(), "head": head.to_string() });
    let compared = api.data(COMPARE, runs.clone()).await;
    let compared = &compared["compareRuns"];
    assert_eq!(compared["isWorse"], true, "{compared:#}");
    assert_eq!(compared["counts"], json!([{ "change": "NEW", "count": 1 }]));
    assert_eq!(compared["problems"][0]["baselineState"], "NEW");

    let other = api.beside(TenantId::new("other").unwrap(), api.uncached()).await;
    for (name, id) in
        [("findingId", finding.to_string()), ("runId", head.to_string()), ("commandId", command.to_string())]
    {
        assert_eq!(other.data(WHY, of(name, id)).await["why"], json!(null), "{name}");
    }
    assert_eq!(other.data(COMPARE, runs).await["compareRuns"], json!(null));
    let input = json!({ "input": { "deploymentId": deployment.to_string() } });
    assert_eq!(other.code(WHAT_IF, input.clone()).await, "BAD_USER_INPUT");
    // This API has nobody who could answer: that is said, and no empty report given.
    assert_eq!(api.code(WHAT_IF, input).await, "UNAVAILABLE");
    let both = json!({ "subject": { "runId": head.to_string(), "findingId": finding.to_string() } });
    assert_eq!(api.code(WHY, both).await, "BAD_USER_INPUT");
    assert_eq!(api.code(WHY, json!({ "subject": {} })).await, "BAD_USER_INPUT");
}
