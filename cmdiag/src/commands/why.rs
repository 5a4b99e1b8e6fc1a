//! `cmdiag why`: who asked, what was decided, what happened, what followed.

use crate::cli::Format;
use crate::commands::findings;
use crate::output;
use crate::platform::Platform;
use anyhow::{Result, anyhow};
use clap::Args;
use query_side::{FindingOrigin, Why, WhyBounds, WhyNode, WhyNodeKind, WhySubject};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The deepest that a tree is drawn.
const TREE_DEPTH_MAX: usize = 64;

#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The id of a finding (or the beginning of it), a run, a remediation, a command or an event
    pub id: String,
    /// How far: events that answer each other count one each
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(i64).range(1..=32))]
    pub depth: i64,
    /// At most so many nodes
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    pub nodes: i64,
}

/// Prints why something is there, as a tree from whoever asked down to what followed.
pub async fn run(platform: &Platform, format: Format, arguments: &WhyArgs) -> Result<()> {
    let subject = match Uuid::parse_str(&arguments.id) {
        Ok(id) => WhySubject::Any(id),
        // A beginning can only be a finding's: the other ids begin with a time.
        Err(_) => WhySubject::Finding(findings::find(platform, &arguments.id).await?.id),
    };
    let bounds = WhyBounds { depth: arguments.depth, nodes: arguments.nodes };
    let why = platform.queries.why(&platform.tenant, subject, bounds).await?;
    let why = why.ok_or_else(|| anyhow!("nothing has the id {}", arguments.id))?;
    if format == Format::Json {
        return output::json(&why);
    }
    if let Some(origin) = &why.finding {
        output::line(&of_origin(origin))?;
        output::line("")?;
    }
    output::line(&tree(&why))?;
    if why.truncated {
        output::line("… there is more: --depth and --nodes say how much is shown")?;
    }
    Ok(())
}

/// Where a finding comes from, in words.
fn of_origin(origin: &FindingOrigin) -> String {
    let unknown = || "not known".to_owned();
    let json = |value: &Option<Value>| value.as_ref().map_or_else(unknown, Value::to_string);
    let time = |at: &chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
    let pack = match (&origin.pack, &origin.pack_version) {
        (Some(pack), Some(version)) => format!("{pack} {version}"),
        _ => unknown(),
    };
    let mut lines = vec![
        format!("{} {} {}", output::coloured(origin.outcome.as_str()), origin.check_code, origin.resource),
        format!("  seen        {}", output::wrapped(&origin.symptom, 100, "              ")),
        format!("  raised      {} by {}", time(&origin.raised_at), origin.event_type),
        format!("  measured    {} on {}", time(&origin.measured_at), origin.component),
        format!("  run         {}", origin.run),
        format!("  asked by    {}", origin.requested_by.clone().unwrap_or_else(unknown)),
        format!("  check       {} version {}", origin.check_code, origin.check_version),
        format!("  pack        {pack}"),
        format!("  thresholds  {}", json(&origin.thresholds)),
        format!("  evidence    {}", origin.evidence.as_ref().map_or_else(unknown, ToString::to_string)),
    ];
    for missing in &origin.missing {
        lines.push(format!("  not known   {}", output::wrapped(missing, 100, "              ")));
    }
    for entry in &origin.afterwards {
        lines.push(format!("  then        {} {} by {}", time(&entry.at), entry.event_type, entry.actor));
    }
    for one in &origin.remediations {
        let runbook = one.runbook.as_deref().unwrap_or("no runbook yet");
        lines.push(format!("  remedy      {} {} ({runbook}), asked by {}", one.id, one.status, one.requested_by));
    }
    lines.join("\n")
}

/// The graph as a tree. What several things lead to is shown once, under the first of them.
fn tree(why: &Why) -> String {
    let mut below: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut has_cause: HashSet<&str> = HashSet::new();
    for edge in &why.edges {
        below.entry(&edge.from).or_default().push(&edge.to);
        has_cause.insert(&edge.to);
    }
    let nodes: HashMap<&str, &WhyNode> = why.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut drawing = Drawing { below, nodes, drawn: HashSet::new(), lines: Vec::new() };
    for node in &why.nodes {
        if !has_cause.contains(node.id.as_str()) {
            drawing.draw(&node.id, "", "", 0);
        }
    }
    // What leads in a circle has no beginning.
    for node in &why.nodes {
        drawing.draw(&node.id, "", "", 0);
    }
    drawing.lines.join("\n")
}

struct Drawing<'a> {
    below: HashMap<&'a str, Vec<&'a str>>,
    nodes: HashMap<&'a str, &'a WhyNode>,
    drawn: HashSet<String>,
    lines: Vec<String>,
}

impl Drawing<'_> {
    fn draw(&mut self, id: &str, lead: &str, indent: &str, depth: usize) {
        let Some(node) = self.nodes.get(id).copied() else { return };
        if depth > TREE_DEPTH_MAX || !self.drawn.insert(id.to_owned()) {
            return;
        }
        self.lines.push(format!("{lead}{}", line(node)));
        let children: Vec<String> = self.below.get(id).into_iter().flatten().map(|id| (*id).to_owned()).collect();
        let children: Vec<String> = children.into_iter().filter(|child| !self.drawn.contains(child)).collect();
        for (index, child) in children.iter().enumerate() {
            let last = index + 1 == children.len();
            let lead = format!("{indent}{}", if last { "└─ " } else { "├─ " });
            let indent = format!("{indent}{}", if last { "   " } else { "│  " });
            self.draw(child, &lead, &indent, depth + 1);
        }
    }
}

fn line(node: &WhyNode) -> String {
    let mark = if node.is_subject { " ◀" } else { "" };
    let at = node.at.map(|at| at.format("%H:%M:%S%.3f").to_string()).unwrap_or_default();
    let position = node.position.map_or_else(String::new, |position| format!(" @{position}"));
    match node.kind {
        WhyNodeKind::Request => format!("{} {at} {}", node.label, node.id),
        WhyNodeKind::Command => {
            let actor = node.actor.as_deref().unwrap_or("?");
            let outcome = match node.outcome.as_deref() {
                Some("refused") => {
                    format!(" REFUSED {}: {}", word(&node.detail, "code"), word(&node.detail, "message"))
                }
                Some("nothing_to_do") => " (nothing to do)".to_owned(),
                _ => String::new(),
            };
            format!("{} by {actor} {at}{outcome}{mark}", node.label)
        }
        WhyNodeKind::Event => {
            let stream = node.stream.as_deref().unwrap_or_default();
            let said: String = node.detail.to_string().chars().take(100).collect();
            format!("{}{position} {at} {stream} {said}{mark}", node.label)
        }
        WhyNodeKind::Measurement | WhyNodeKind::Definition => format!("{} {}", node.label, node.id),
    }
}

fn word<'a>(detail: &'a Value, name: &str) -> &'a str {
    detail[name].as_str().unwrap_or_default()
}
