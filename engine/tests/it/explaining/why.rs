//! Why: from a finding to the measurement, the check, the run and whoever asked; from a run to what it caused.

use super::{Told, code};
use domain::finding::{Finding, FindingCommand};
use domain::{CommandId, Metadata, TenantId};
use query_side::{Why, WhyBounds, WhyEdgeKind, WhyNode, WhyNodeKind, WhySubject};
use serde_json::json;
use std::collections::HashMap;
use uuid::Uuid;

fn node<'a>(why: &'a Why, id: &str) -> &'a WhyNode {
    why.nodes.iter().find(|node| node.id == id).unwrap_or_else(|| panic!("no {id} in {why:#?}"))
}

/// The labels from a node up to where nothing leads to it: by the way of commands and events.
fn up<'a>(why: &'a Why, from: &str) -> Vec<&'a str> {
    let causes: HashMap<&str, &str> = why
        .edges
        .iter()
        .filter(|edge| !matches!(edge.kind, WhyEdgeKind::JudgedAs | WhyEdgeKind::Judged | WhyEdgeKind::RemediedBy))
        .map(|edge| (edge.to.as_str(), edge.from.as_str()))
        .collect();
    let mut labels = Vec::new();
    let mut at = from;
    loop {
        labels.push(node(why, at).label.as_str());
        match causes.get(at) {
            Some(cause) => at = cause,
            None => return labels,
        }
    }
}

async fn ask(told: &Told, subject: WhySubject) -> Why {
    let queries = told.queries().await;
    let why = queries.why(&TenantId::default(), subject, WhyBounds::default()).await.unwrap();
    why.unwrap_or_else(|| panic!("nothing is known of {subject:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_leads_from_a_finding_to_its_evidence_and_to_who_asked() {
    let told = Told::whole("{{ row.used }} % used").await;
    let finding = told.finding("host-a");
    let why = ask(&told, WhySubject::Any(finding.0)).await;
    let origin = why.finding.as_ref().unwrap();
    assert_eq!(origin.event_type, "FindingRegressed");
    assert_eq!((origin.run, origin.requested_by.as_deref()), (told.runs[7], Some("ann")));
    assert_eq!((origin.check_code.as_str(), origin.pack.as_deref()), (code().as_str(), Some("t")));
    assert_eq!(origin.pack_version.as_deref(), Some("7"));
    assert!(origin.definition.as_ref().unwrap().starts_with(&origin.check_version));
    assert_eq!(origin.thresholds, Some(json!({"used": {"warning": "70", "critical": "90"}})));
    assert_eq!(origin.overrides, Some(json!({"used": {"warning": "70", "critical": null}})));
    assert_eq!(origin.measurement.as_ref().unwrap()["rows"][0]["used"], 75.25);
    assert!(origin.missing.is_empty() && origin.evidence.is_some(), "{origin:?}");
    assert_eq!(origin.afterwards.len(), 1, "seen again by the last run");
    assert_eq!(origin.afterwards[0].event_type, "FindingSeenAgain");

    // The same way as a graph: what was recorded, and what was asked, up to the person.
    let raised = format!("event:{}", origin.event_id);
    assert!(node(&why, &raised).is_subject);
    let way = [
        "FindingRegressed",
        "observe_finding",
        "ChecksCompleted",
        "record_results",
        "RunRequested",
        "request_run",
        "ann asked",
    ];
    assert_eq!(up(&why, &raised), way);
    let hash = origin.evidence.as_ref().unwrap();
    let judged = why.edges.iter().find(|edge| edge.from == format!("evidence:{hash}")).unwrap();
    assert_eq!(judged.kind, WhyEdgeKind::JudgedAs);
    assert_eq!(node(&why, &judged.to).label, "ChecksCompleted");
    assert!(why.nodes.iter().any(|node| node.kind == WhyNodeKind::Definition));
    assert!(!why.truncated, "{why:#?}");
    assert!(why.nodes.is_sorted_by_key(|node| node.at));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_what_it_caused_and_refused_commands_say_why() {
    let mut told = Told::begin().await;
    told.run("95", "65").await;
    let finding = told.finding("host-a");
    let opened = told.finding_events(finding).await.remove(0);
    let command = Uuid::now_v7();
    let metadata = Metadata {
        command_id: CommandId(command),
        correlation_id: opened.metadata.correlation_id,
        causation_id: Some(opened.event_id),
        ..Told::metadata("bob")
    };
    let refused = FindingCommand::MarkFalsePositive { reason: String::new() };
    assert!(told.process.bus.execute::<Finding>(finding.0, refused, metadata).await.is_err());

    let why = ask(&told, WhySubject::Run(told.runs[0])).await;
    let labels: Vec<&str> = why.nodes.iter().map(|node| node.label.as_str()).collect();
    for expected in ["ann asked", "request_run", "RunPlanned", "ChecksCompleted", "observe_finding", "FindingOpened"] {
        assert!(labels.contains(&expected), "{expected} in {labels:?}");
    }
    // By the run, by the event that it answers, and by its own id.
    for subject in
        [WhySubject::Run(told.runs[0]), WhySubject::Event(opened.event_id), WhySubject::Command(CommandId(command))]
    {
        let why = ask(&told, subject).await;
        let node = node(&why, &format!("command:{command}"));
        assert_eq!((node.outcome.as_deref(), node.actor.as_deref()), (Some("refused"), Some("bob")));
        assert_eq!(node.detail["code"], "text_empty", "{node:?}");
        assert!(up(&why, &node.id).ends_with(&["RunRequested", "request_run", "ann asked"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_bounded_and_nobody_elses() {
    let told = Told::whole("{{ row.used }} % used").await;
    let queries = told.queries().await;
    let (finding, tenant) = (told.finding("host-a"), TenantId::default());
    for (depth, nodes) in [(1, 200), (8, 1), (8, 10), (32, 25)] {
        let bounds = WhyBounds { depth, nodes };
        let why = queries.why(&tenant, WhySubject::Finding(finding), bounds).await.unwrap().unwrap();
        assert!(why.nodes.len() as i64 <= nodes && why.truncated, "{bounds:?}: {} nodes", why.nodes.len());
        let known: Vec<&str> = why.nodes.iter().map(|node| node.id.as_str()).collect();
        assert!(why.edges.iter().all(|edge| known.contains(&&*edge.from) && known.contains(&&*edge.to)));
    }
    for wrong in [WhyBounds { depth: 0, nodes: 1 }, WhyBounds { depth: 1, nodes: 1_001 }] {
        assert!(queries.why(&tenant, WhySubject::Finding(finding), wrong).await.is_err());
    }
    let other = TenantId::new("other").unwrap();
    let event = told.finding_events(finding).await.remove(0);
    let command = CommandId(event.metadata.command_id.0);
    for subject in [
        WhySubject::Finding(finding),
        WhySubject::Run(told.runs[0]),
        WhySubject::Event(event.event_id),
        WhySubject::Command(command),
        WhySubject::Any(finding.0),
    ] {
        assert!(queries.why(&other, subject, WhyBounds::default()).await.unwrap().is_none(), "{subject:?}");
        assert!(queries.why(&tenant, subject, WhyBounds::default()).await.unwrap().is_some(), "{subject:?}");
    }
    assert!(queries.why(&tenant, WhySubject::Any(Uuid::nil()), WhyBounds::default()).await.unwrap().is_none());
}
