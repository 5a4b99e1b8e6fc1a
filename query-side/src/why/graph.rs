//! Nodes and edges, made of events, commands and a finding's origin: pure.

use super::commands::CommandView;
use super::origin::FindingOrigin;
use chrono::{DateTime, Utc};
use event_store::RecordedEvent;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The longest text of an event that a node repeats, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyNodeKind {
    /// Somebody outside asked for something.
    Request,
    /// What was asked of an aggregate.
    Command,
    /// What happened.
    Event,
    /// What a probe measured, with all that its judgement rested on.
    Measurement,
    /// The file of the check that judged.
    Definition,
}

/// What an edge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyNode {
    /// Its id within the graph: the kind and the thing's own id, such as `event:…`.
    pub id: String,
    /// What it is.
    pub kind: WhyNodeKind,
    /// What to call it: the event's type, the command's name.
    pub label: String,
    /// When it was recorded.
    pub at: Option<DateTime<Utc>>,
    /// Where it is in the log.
    pub position: Option<i64>,
    /// Who.
    pub actor: Option<String>,
    /// The stream that it belongs to, such as `DiagnosticRun-…`.
    pub stream: Option<String>,
    /// Of a command: `accepted`, `refused`, or `nothing_to_do`.
    pub outcome: Option<String>,
    /// Whether it is what was asked about.
    pub is_subject: bool,
    /// What there is to say beyond that; a refusal's code and words.
    pub detail: Value,
}

/// One edge, from what came first to what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WhyEdge {
    /// The node that it leaves.
    pub from: String,
    /// The node that it reaches.
    pub to: String,
    /// What it says.
    pub kind: WhyEdgeKind,
}

/// Why something is there, and what followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The nodes, in the order in which things happened.
    pub nodes: Vec<WhyNode>,
    /// The edges between them.
    pub edges: Vec<WhyEdge>,
    /// Whether there is more than the bounds allowed.
    pub truncated: bool,
    /// Where the finding comes from, where a finding was asked about.
    pub finding: Option<FindingOrigin>,
}

/// What a graph is made of.
pub(super) struct Parts {
    pub events: Vec<RecordedEvent>,
    pub commands: HashMap<Uuid, CommandView>,
    pub silent: Vec<CommandView>,
    pub subjects: Vec<Uuid>,
    pub origin: Option<FindingOrigin>,
    pub nodes_max: usize,
    pub truncated: bool,
}

#[derive(Default)]
struct Graph {
    nodes: Vec<WhyNode>,
    known: HashSet<String>,
    edges: Vec<WhyEdge>,
    drawn: HashSet<WhyEdge>,
}

impl Graph {
    fn node(&mut self, node: WhyNode) {
        if self.known.insert(node.id.clone()) {
            self.nodes.push(node);
        }
    }

    fn edge(&mut self, from: String, to: String, kind: WhyEdgeKind) {
        let edge = WhyEdge { from, to, kind };
        if self.drawn.insert(edge.clone()) {
            self.edges.push(edge);
        }
    }
}

/// The graph of the parts, which come in the order in which things happened.
pub(super) fn of(parts: Parts) -> Why {
    let Parts { events, commands, silent, subjects, origin, nodes_max, mut truncated } = parts;
    let subjects: HashSet<Uuid> = subjects.into_iter().collect();
    let mut graph = Graph::default();
    for event in &events {
        let command = event.metadata.command_id.0;
        let node = match commands.get(&command) {
            Some(view) => command_node(view, subjects.contains(&command)),
            None => foreign_command(event),
        };
        let came = Came {
            cause: event.metadata.causation_id,
            request: event.metadata.correlation_id.0,
            traceparent: event.metadata.traceparent.clone(),
        };
        let from = node.id.clone();
        above(&mut graph, &came, node);
        let node = event_node(event, subjects.contains(&event.event_id));
        graph.edge(from, node.id.clone(), WhyEdgeKind::Decided);
        graph.node(node);
    }
    for command in &silent {
        let came = Came {
            cause: command.causation_id,
            request: command.correlation_id.unwrap_or(command.id),
            traceparent: None,
        };
        above(&mut graph, &came, command_node(command, subjects.contains(&command.id)));
    }
    if let Some(origin) = &origin {
        measured(&mut graph, origin, &events);
    }
    truncated |= cut(&mut graph, nodes_max);
    // What leads out of what is told is not drawn: the commands and events carry the ids.
    let known = graph.known;
    graph.edges.retain(|edge| known.contains(&edge.from) && known.contains(&edge.to));
    graph.nodes.sort_by_key(|node| (node.at, node.position, rank(node.kind)));
    Why { nodes: graph.nodes, edges: graph.edges, truncated, finding: origin }
}

/// What a command came of.
struct Came {
    cause: Option<Uuid>,
    request: Uuid,
    traceparent: Option<String>,
}

/// Adds a command and what it answers: an event, or a request from outside.
fn above(graph: &mut Graph, came: &Came, command: WhyNode) {
    match came.cause {
        Some(cause) => graph.edge(event_id(cause), command.id.clone(), WhyEdgeKind::AnsweredBy),
        None => {
            let actor = command.actor.clone().unwrap_or_default();
            let id = format!("request:{}", came.request);
            graph.edge(id.clone(), command.id.clone(), WhyEdgeKind::Sent);
            graph.node(WhyNode {
                id,
                kind: WhyNodeKind::Request,
                label: format!("{actor} asked"),
                at: command.at,
                position: None,
                actor: command.actor.clone(),
                stream: None,
                outcome: None,
                is_subject: false,
                detail: json!({ "correlation_id": came.request, "traceparent": came.traceparent }),
            });
        }
    }
    graph.node(command);
}

/// Draws what was measured before the event that its judgement became, and from a finding to what remedied it.
fn measured(graph: &mut Graph, origin: &FindingOrigin, events: &[RecordedEvent]) {
    let stream = format!("Finding-{}", origin.finding);
    let opened = event_id(origin.event_id);
    for event in events.iter().filter(|event| event.event_type == "RemediationRequested") {
        if detail(event)["problem"]["finding"] == json!(origin.finding) && graph.known.contains(&opened) {
            graph.edge(opened.clone(), event_id(event.event_id), WhyEdgeKind::RemediedBy);
        }
    }
    let Some(hash) = &origin.evidence else { return };
    let measurement = format!("evidence:{hash}");
    if let Some(judged) = origin.judged_event {
        graph.edge(measurement.clone(), event_id(judged), WhyEdgeKind::JudgedAs);
    }
    let node = |id: String, kind, label: String, detail| WhyNode {
        id,
        kind,
        label,
        at: Some(origin.measured_at),
        position: None,
        actor: None,
        stream: Some(stream.clone()),
        outcome: None,
        is_subject: false,
        detail,
    };
    let of = format!("measurement of {} by {}", origin.component, origin.check_code);
    let said = json!({ "hash": hash, "bytes": origin.evidence_bytes, "thresholds": origin.thresholds });
    graph.node(node(measurement.clone(), WhyNodeKind::Measurement, of, said));
    if let Some(digest) = &origin.definition {
        let id = format!("definition:{digest}");
        graph.edge(id.clone(), measurement, WhyEdgeKind::Judged);
        let label = format!("{} {}", origin.check_code, origin.check_version);
        let said = json!({ "sha256": digest, "pack": origin.pack, "pack_version": origin.pack_version });
        graph.node(node(id, WhyNodeKind::Definition, label, said));
    }
}

/// Leaves out the latest nodes that nobody asked about, down to the bound.
fn cut(graph: &mut Graph, most: usize) -> bool {
    let over = graph.nodes.len().saturating_sub(most);
    if over == 0 {
        return false;
    }
    graph.nodes.sort_by_key(|node| (!node.is_subject, node.at, node.position, rank(node.kind)));
    graph.nodes.truncate(most);
    graph.known = graph.nodes.iter().map(|node| node.id.clone()).collect();
    true
}

fn rank(kind: WhyNodeKind) -> u8 {
    match kind {
        WhyNodeKind::Request => 0,
        WhyNodeKind::Definition => 1,
        WhyNodeKind::Measurement => 2,
        WhyNodeKind::Command => 3,
        WhyNodeKind::Event => 4,
    }
}

fn event_id(id: Uuid) -> String {
    format!("event:{id}")
}

fn event_node(event: &RecordedEvent, is_subject: bool) -> WhyNode {
    WhyNode {
        id: event_id(event.event_id),
        kind: WhyNodeKind::Event,
        label: event.event_type.clone(),
        at: Some(event.recorded_at),
        position: Some(event.position.0),
        actor: Some(event.metadata.actor.to_string()),
        stream: Some(event.stream.to_string()),
        outcome: None,
        is_subject,
        detail: detail(event),
    }
}

fn command_node(command: &CommandView, is_subject: bool) -> WhyNode {
    let outcome = match (&command.refusal, command.positions) {
        (Some(_), _) => "refused",
        (None, Some(_)) => "accepted",
        (None, None) => "nothing_to_do",
    };
    let detail = match &command.refusal {
        Some((code, message)) => json!({ "code": code, "message": message }),
        None => Value::Null,
    };
    WhyNode {
        id: format!("command:{}", command.id),
        kind: WhyNodeKind::Command,
        label: command.name.clone(),
        at: Some(command.recorded_at),
        position: command.positions.map(|(first, _)| first),
        actor: Some(command.actor.clone()),
        stream: Some(format!("{}-{}", command.aggregate_type, command.aggregate_id)),
        outcome: Some(outcome.to_owned()),
        is_subject,
        detail,
    }
}

/// An event whose command is not on record: another program wrote it.
fn foreign_command(event: &RecordedEvent) -> WhyNode {
    WhyNode {
        id: format!("command:{}", event.metadata.command_id),
        kind: WhyNodeKind::Command,
        label: "a command that is not on record".to_owned(),
        at: Some(event.recorded_at),
        position: Some(event.position.0),
        actor: Some(event.metadata.actor.to_string()),
        stream: Some(event.stream.to_string()),
        outcome: None,
        is_subject: false,
        detail: Value::Null,
    }
}

/// What an event says, without its long parts: numbers, short texts, and the small things that name others.
fn detail(event: &RecordedEvent) -> Value {
    let Ok(Value::Object(tagged)) = serde_json::from_str(event.payload.get()) else { return Value::Null };
    let Some(Value::Object(said)) = tagged.into_iter().next().map(|(_, said)| said) else { return Value::Null };
    let mut told = Map::new();
    for (name, value) in said {
        match value {
            Value::Array(items) => {
                told.insert(name, json!(items.len()));
            }
            Value::Object(inner) if name == "sighting" || name == "problem" || name == "fingerprint" => {
                let short = inner.into_iter().filter(|(_, value)| !value.is_object() && !value.is_array());
                told.insert(name, Value::Object(short.map(|(name, value)| (name, shortened(value))).collect()));
            }
            Value::Object(_) => {}
            short => {
                told.insert(name, shortened(short));
            }
        }
    }
    Value::Object(told)
}

fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > TEXT_CHARS_MAX => {
            Value::String(text.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect())
        }
        other => other,
    }
}
