//! Why something is there, and what followed.

use super::enums::Outcome;
use crate::schema::ids::global;
use crate::schema::scalars::PositionScalar;
use async_graphql::{Enum, ID, Json, SimpleObject};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// What a node of a causation graph is.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "query_side::WhyNodeKind")]
pub enum WhyNodeKind {
    /// Somebody outside asked for something.
    Request,
    /// What was asked of an aggregate; also what was refused.
    Command,
    /// What happened.
    Event,
    /// What a probe measured, with all that its judgement rested on.
    Measurement,
    /// The file of the check that judged.
    Definition,
}

/// What an edge of a causation graph says.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "query_side::WhyEdgeKind")]
pub enum WhyEdgeKind {
    /// A request sent a command.
    Sent,
    /// A command decided an event.
    Decided,
    /// An event was answered by a command.
    AnsweredBy,
    /// A measurement was judged, and this came of it.
    JudgedAs,
    /// A check judged a measurement.
    Judged,
    /// A finding is what somebody wanted put right.
    RemediedBy,
}

/// A node of a causation graph.
#[derive(Debug, SimpleObject)]
pub struct WhyNode {
    /// Its id within the graph, such as `event:…`.
    id: String,
    /// What it is.
    kind: WhyNodeKind,
    /// What to call it: the event's type, the command's name.
    label: String,
    /// When it was recorded.
    at: Option<DateTime<Utc>>,
    /// Where it is in the log.
    position: Option<PositionScalar>,
    /// Who.
    actor: Option<String>,
    /// The stream that it belongs to, such as `DiagnosticRun-…`.
    stream: Option<String>,
    /// Of a command: `accepted`, `refused` or `nothing_to_do`.
    outcome: Option<String>,
    /// Whether it is what was asked about.
    is_subject: bool,
    /// What there is to say beyond that; of a refused command its code and message.
    detail: Json<Value>,
}

/// An edge of a causation graph, from what came first to what came of it.
#[derive(Debug, SimpleObject)]
pub struct WhyEdge {
    /// The node that it leaves.
    from: String,
    /// The node that it reaches.
    to: String,
    /// What it says.
    kind: WhyEdgeKind,
}

/// What happened to a finding after it was raised.
#[derive(Debug, SimpleObject)]
pub struct FindingMoment {
    /// What happened, such as `FindingResolved`.
    event_type: String,
    /// When.
    at: DateTime<Utc>,
    /// Who.
    actor: String,
    /// Where it is in the log.
    position: PositionScalar,
    /// What the event says beyond that.
    detail: Json<Value>,
}

/// A remediation of the finding that was asked about.
#[derive(Debug, SimpleObject)]
pub struct FollowedRemediation {
    /// Its global id.
    id: ID,
    /// How it is.
    status: String,
    /// Its runbook, once chosen.
    runbook: Option<String>,
    /// Who asked for it.
    requested_by: String,
    /// When.
    requested_at: DateTime<Utc>,
    /// When it came to rest.
    ended_at: Option<DateTime<Utc>>,
}

/// Where a finding comes from: the sighting that last opened it, and all that it rested on.
#[derive(Debug, SimpleObject)]
pub struct FindingOrigin {
    /// The check that raised it.
    check_code: String,
    /// The version of the check that judged.
    check_version: String,
    /// The SHA-256 of the check's file, which is evidence, too.
    definition: Option<String>,
    /// The check's pack.
    pack: Option<String>,
    /// The pack's version.
    pack_version: Option<String>,
    /// The thresholds in force, by name.
    thresholds: Option<Json<Value>>,
    /// Which of them the deployment had overridden.
    overrides: Option<Json<Value>>,
    /// The component that the check looked at.
    component: String,
    /// What it is about.
    resource: String,
    /// What it was when it was raised.
    outcome: Outcome,
    /// What was seen.
    symptom: String,
    /// What raised it, such as `FindingOpened`.
    event_type: String,
    /// That event.
    event_id: Uuid,
    /// Where it is in the log.
    position: PositionScalar,
    /// When it was raised.
    raised_at: DateTime<Utc>,
    /// When it was measured.
    measured_at: DateTime<Utc>,
    /// The run that saw it.
    run_id: ID,
    /// The run's profile.
    profile: Option<String>,
    /// Who asked for the run.
    requested_by: Option<String>,
    /// When.
    requested_at: Option<DateTime<Utc>>,
    /// The SHA-256 of the measurement with all that its judgement rested on.
    evidence_hash: Option<String>,
    /// Its size in bytes.
    evidence_bytes: Option<i64>,
    /// The measurement itself: rows and facts, or the row seen where no more was kept.
    measurement: Option<Json<Value>>,
    /// What can not be told, and why.
    missing: Vec<String>,
    /// What happened to the finding afterwards.
    afterwards: Vec<FindingMoment>,
    /// What was done about it, newest first.
    remediations: Vec<FollowedRemediation>,
}

/// Why something is there, and what followed.
#[derive(Debug, SimpleObject)]
pub struct Why {
    /// The nodes, in the order in which things happened.
    nodes: Vec<WhyNode>,
    /// The edges between them.
    edges: Vec<WhyEdge>,
    /// Whether there is more than the bounds allowed.
    truncated: bool,
    /// Where the finding comes from, where a finding was asked about.
    finding: Option<FindingOrigin>,
}

impl From<query_side::Why> for Why {
    fn from(why: query_side::Why) -> Self {
        let node = |node: query_side::WhyNode| WhyNode {
            id: node.id,
            kind: node.kind.into(),
            label: node.label,
            at: node.at,
            position: node.position.map(Into::into),
            actor: node.actor,
            stream: node.stream,
            outcome: node.outcome,
            is_subject: node.is_subject,
            detail: Json(node.detail),
        };
        let edge = |edge: query_side::WhyEdge| WhyEdge { from: edge.from, to: edge.to, kind: edge.kind.into() };
        Self {
            nodes: why.nodes.into_iter().map(node).collect(),
            edges: why.edges.into_iter().map(edge).collect(),
            truncated: why.truncated,
            finding: why.finding.map(Into::into),
        }
    }
}

impl From<query_side::FindingOrigin> for FindingOrigin {
    fn from(origin: query_side::FindingOrigin) -> Self {
        let afterwards = origin.afterwards.into_iter().map(|entry| FindingMoment {
            event_type: entry.event_type,
            at: entry.at,
            actor: entry.actor,
            position: entry.position.into(),
            detail: Json(entry.detail),
        });
        let remediations = origin.remediations.into_iter().map(|one| FollowedRemediation {
            id: global(one.id),
            status: one.status,
            runbook: one.runbook,
            requested_by: one.requested_by,
            requested_at: one.requested_at,
            ended_at: one.ended_at,
        });
        Self {
            check_code: origin.check_code,
            check_version: origin.check_version,
            definition: origin.definition,
            pack: origin.pack,
            pack_version: origin.pack_version,
            thresholds: origin.thresholds.map(Json),
            overrides: origin.overrides.map(Json),
            component: origin.component,
            resource: origin.resource,
            outcome: origin.outcome.into(),
            symptom: origin.symptom,
            event_type: origin.event_type,
            event_id: origin.event_id,
            position: origin.position.into(),
            raised_at: origin.raised_at,
            measured_at: origin.measured_at,
            run_id: global(origin.run),
            profile: origin.profile,
            requested_by: origin.requested_by,
            requested_at: origin.requested_at,
            evidence_hash: origin.evidence.map(|hash| hash.to_string()),
            evidence_bytes: origin.evidence_bytes.map(|bytes| bytes as i64),
            measurement: origin.measurement.map(Json),
            missing: origin.missing,
            afterwards: afterwards.collect(),
            remediations: remediations.collect(),
        }
    }
}
