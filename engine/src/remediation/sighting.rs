//! What was measured when a finding was last seen bad: the row that plans are made from, whole or not at all.

use crate::check::Check;
use crate::evidence::EvidenceStore;
use crate::judge::{Effective, Subject, row_about};
use crate::probe::{Measurement, Row};
use domain::deployment::Component;
use domain::diagnostic_run::Evidence;
use domain::finding::{FindingEvent, Sighting};
use domain::{AnyEvent, FindingId, ResourceName, StreamVersion, any_event};
use event_store::{EventLog, LogError, StreamId};
use serde_json::{Map, Value};
use std::time::Duration;

/// How many events of a finding one read takes.
const PAGE: usize = 256;
/// A text of this length that ends so was cut where evidence was put into an event.
const CUT_CHARS: usize = 120;

/// Why the row is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("the finding's history can not be read: {0}")]
    Log(#[from] LogError),
    #[error("{0}")]
    Missing(String),
}

/// The last bad sighting of a finding whose stream is at this version.
pub(super) async fn last_sighting(
    log: &dyn EventLog,
    finding: FindingId,
    version: StreamVersion,
) -> Result<Option<Sighting>, LogError> {
    let stream = StreamId::new(any_event::FINDING, &finding.to_string());
    let mut end = version.0;
    while end > 0 {
        let start = (end - PAGE as i64).max(0);
        let page = log.read_stream(stream.clone(), StreamVersion(start), (end - start) as usize).await?;
        let found = page.iter().rev().find_map(|event| match event.decode() {
            Ok(AnyEvent::Finding(
                FindingEvent::FindingSuspected { sighting, .. }
                | FindingEvent::FindingOpened { sighting, .. }
                | FindingEvent::FindingSeenAgain { sighting, .. }
                | FindingEvent::FindingRegressed { sighting, .. },
            )) => Some(sighting),
            _ => None,
        });
        if found.is_some() {
            return Ok(found);
        }
        end = start;
    }
    Ok(None)
}

/// The evidence row of a sighting. `None` where the finding is about a measurement as a whole.
pub(super) async fn row(
    evidence: &EvidenceStore,
    check: &Check,
    component: &Component,
    resource: &ResourceName,
    sighting: &Sighting,
) -> Result<Option<Row>, RowError> {
    let Evidence { inline, hash } = &sighting.evidence;
    let Some(hash) = hash else {
        return match inline {
            None => Ok(None),
            Some(Value::Object(row)) if !row.values().any(is_cut) => Ok(Some(row.clone())),
            Some(Value::Object(_)) => Err(RowError::Missing("the evidence of the finding is not whole".to_owned())),
            Some(_) => Err(RowError::Missing("the evidence of the finding is not a row".to_owned())),
        };
    };
    let missing = |why: String| RowError::Missing(format!("the evidence of the finding can not be read: {why}"));
    let stored = evidence.get(hash).await.map_err(|error| missing(error.to_string()))?;
    let stored = stored.ok_or_else(|| missing("it is not in the evidence store".to_owned()))?;
    let whole: Whole = serde_json::from_slice(&stored.bytes).map_err(|error| missing(error.to_string()))?;
    let measurement = Measurement {
        rows: whole.rows,
        facts: whole.facts,
        truncated: false,
        taken_at: sighting.measured_at,
        duration: Duration::ZERO,
    };
    let now = sighting.measured_at;
    let subject = Subject { component: component.name.as_str(), settings: &component.settings, now };
    let limits = Effective::own(check);
    match row_about(check, subject, &measurement, &limits, resource) {
        Some(row) => Ok(Some(row.clone())),
        None if inline.is_none() => Ok(None),
        None => Err(RowError::Missing(format!("no row of the finding's evidence is about {resource}"))),
    }
}

/// A measurement as the evidence store has it, whatever else is beside it.
#[derive(serde::Deserialize)]
struct Whole {
    rows: Vec<Row>,
    #[serde(default)]
    facts: Map<String, Value>,
}

fn is_cut(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with('…') && text.chars().count() == CUT_CHARS)
}
