//! `view_finding_history`: each finding's life, event by event.

use crate::decoded::Decoded;
use crate::single::{Added, AddedView};
use crate::table::{Existing, Weighed, clean_json, columns};
use chrono::{DateTime, Utc};
use domain::any_event::{AnyEvent, FINDING};
use domain::finding::{FindingEvent, Sighting};
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

const VERSION: i32 = 1;

/// The projection. It remembers nothing of the database: history is only added to.
pub type FindingHistory = AddedView<HistoryTable>;

/// One row of `view_finding_history`.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    finding_id: Uuid,
    version: i64,
    position: i64,
    event_type: String,
    at: DateTime<Utc>,
    actor: String,
    run_id: Option<Uuid>,
    detail: String,
}

impl HistoryRow {
    fn new(event: &Decoded) -> Option<Self> {
        let Some(AnyEvent::Finding(finding)) = &event.event else { return None };
        let (at, run_id, detail) = told(finding);
        Some(Self {
            finding_id: event.id,
            version: event.version.0,
            position: event.position.0,
            event_type: event.event_type.clone(),
            at,
            actor: event.metadata.actor.to_string(),
            run_id,
            detail: clean_json(&detail),
        })
    }
}

impl Weighed for HistoryRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 64 + self.detail.len()
    }
}

/// The table.
pub struct HistoryTable;

impl Added for HistoryTable {
    type Row = HistoryRow;
    const PROJECTION: &'static str = "finding_history";
    const VERSION: i32 = VERSION;
    const TABLE: &'static str = "view_finding_history";

    fn wants(event: &RecordedEvent) -> bool {
        &*event.stream.aggregate_type == FINDING
    }

    fn rows(event: &Decoded) -> Vec<HistoryRow> {
        // One line for what was recorded once, also where it is read as several events today.
        if event.part > 0 {
            return Vec::new();
        }
        HistoryRow::new(event).into_iter().collect()
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a HistoryRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }
}

/// When it happened, in which run, and what there is to say: not the whole sighting again, only what changes from one
/// to the next.
fn told(finding: &FindingEvent) -> (DateTime<Utc>, Option<Uuid>, Value) {
    let seen = |sighting: &Sighting| json!({ "outcome": sighting.outcome, "symptom": sighting.symptom });
    match finding {
        FindingEvent::FindingSuspected { sighting, in_a_row, at, .. } => {
            (*at, Some(sighting.run.0), with(seen(sighting), "in_a_row", json!(in_a_row)))
        }
        FindingEvent::FindingOpened { sighting, at, .. } => (*at, Some(sighting.run.0), seen(sighting)),
        FindingEvent::FindingSeenAgain { sighting, occurrences, at } => {
            (*at, Some(sighting.run.0), with(seen(sighting), "occurrences", json!(occurrences)))
        }
        FindingEvent::FindingRegressed { sighting, occurrences, regressions, at } => {
            let detail = with(seen(sighting), "occurrences", json!(occurrences));
            (*at, Some(sighting.run.0), with(detail, "regressions", json!(regressions)))
        }
        FindingEvent::FindingSeverityChanged { from, to, at } => (*at, None, json!({ "from": from, "to": to })),
        FindingEvent::FindingRecovering { in_a_row, at, .. } => (*at, None, json!({ "in_a_row": in_a_row })),
        FindingEvent::FindingResolved { open_seconds, at, .. } => (*at, None, json!({ "open_seconds": open_seconds })),
        FindingEvent::FindingAcknowledged { by, comment, at } => (*at, None, json!({ "by": by, "comment": comment })),
        FindingEvent::FindingMuted { by, until, reason, at } => {
            (*at, None, json!({ "by": by, "until": until, "reason": reason }))
        }
        FindingEvent::FindingUnmuted { expired, at } => (*at, None, json!({ "expired": expired })),
        FindingEvent::FindingMarkedFalsePositive { by, reason, at }
        | FindingEvent::FindingFalsePositiveWithdrawn { by, reason, at } => {
            (*at, None, json!({ "by": by, "reason": reason }))
        }
        FindingEvent::FindingFlappingStarted { changes, at } | FindingEvent::FindingFlappingStopped { changes, at } => {
            (*at, None, json!({ "changes": changes }))
        }
    }
}

fn with(mut detail: Value, name: &str, value: Value) -> Value {
    detail[name] = value;
    detail
}

// No ON CONFLICT: an event comes once, and a second row of it would be a defect that must not pass unseen.
columns! {
    "view_finding_history" existing Existing::Fails; row: HistoryRow {
        finding_id "uuid" = row.finding_id;
        version "bigint" = row.version;
        position "bigint" = row.position;
        event_type "text" = row.event_type.as_str();
        at "timestamptz" = row.at;
        actor "text" = row.actor.as_str();
        run_id "uuid" = row.run_id;
        detail "jsonb" = row.detail.as_str();
        last_position "bigint" = row.position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, fingerprint, log, run, sighting};
    use super::HistoryRow;
    use domain::finding::FindingEvent;
    use domain::{AnyEvent, FindingId, Outcome};
    use uuid::Uuid;

    #[test]
    fn every_event_is_a_row_and_only_bad_sightings_name_their_run() {
        let id = FindingId(Uuid::from_u128(3));
        let seen = sighting(Outcome::Warning, 1);
        let events = [
            FindingEvent::FindingOpened { id, fingerprint: fingerprint(), sighting: seen.clone(), at: at(1) },
            FindingEvent::FindingSeenAgain { sighting: seen, occurrences: 2, at: at(2) },
            FindingEvent::FindingResolved { run: run(), open_seconds: 9, at: at(10) },
        ];
        let rows: Vec<_> = log(id.0, events.map(AnyEvent::Finding))
            .iter()
            .map(|event| HistoryRow::new(event).unwrap())
            .map(|row| (row.version, row.event_type, row.run_id, row.detail))
            .collect();
        let symptom = r#""outcome":"warning","symptom":"a file is missing""#;
        let expected = [
            (1, "FindingOpened".to_owned(), Some(run().0), format!("{{{symptom}}}")),
            (2, "FindingSeenAgain".to_owned(), Some(run().0), format!("{{\"occurrences\":2,{symptom}}}")),
            (3, "FindingResolved".to_owned(), None, r#"{"open_seconds":9}"#.to_owned()),
        ];
        let sorted = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(
                (row.0, &row.1, row.2, sorted(&row.3)),
                (expected.0, &expected.1, expected.2, sorted(&expected.3))
            );
        }
        assert_eq!(rows.len(), expected.len());
    }
}
