//! `view_findings`: what is wrong, since when, and who looks after it.

use crate::decoded::Decoded;
use crate::projection::ApplyError;
use crate::single::{Folded, FoldedView};
use crate::table::{Columns as _, Existing, Loading, Table, Weighed, clean, clean_json, columns, select_list};
use chrono::{DateTime, Utc};
use domain::RunId;
use domain::any_event::{AnyEvent, FINDING};
use domain::finding::{FindingEvent, Fingerprint, Sighting};
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::sync::LazyLock;
use uuid::Uuid;

const VERSION: i32 = 1;

/// The projection.
pub type Findings = FoldedView<FindingTable>;

/// One row of `view_findings`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct FindingRow {
    id: Uuid,
    deployment_id: Uuid,
    tenant: String,
    check_code: String,
    component: String,
    resource: String,
    status: String,
    phase: String,
    severity: String,
    muted_until: Option<DateTime<Utc>>,
    mute_reason: Option<String>,
    flapping: bool,
    occurrences: i32,
    regressions: i32,
    symptom: String,
    cause: String,
    impact: String,
    advice: String,
    evidence: String,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    opened_at: Option<DateTime<Utc>>,
    resolved_at: Option<DateTime<Utc>>,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<DateTime<Utc>>,
    last_run_id: Uuid,
    last_position: i64,
}

const FALSE_POSITIVE: &str = "false_positive";

impl FindingRow {
    fn new(event: &Decoded, fingerprint: &Fingerprint, sighting: &Sighting) -> Self {
        Self {
            id: event.id,
            deployment_id: fingerprint.deployment.0,
            tenant: event.metadata.tenant.to_string(),
            check_code: fingerprint.check.to_string(),
            component: sighting.component.to_string(),
            resource: fingerprint.resource.to_string(),
            status: "suspected".to_owned(),
            phase: "suspected".to_owned(),
            severity: sighting.outcome.as_str().to_owned(),
            muted_until: None,
            mute_reason: None,
            flapping: false,
            occurrences: 0,
            regressions: 0,
            symptom: String::new(),
            cause: String::new(),
            impact: String::new(),
            advice: String::new(),
            evidence: String::new(),
            first_seen_at: sighting.measured_at,
            last_seen_at: sighting.measured_at,
            opened_at: None,
            resolved_at: None,
            acknowledged_by: None,
            acknowledged_at: None,
            last_run_id: sighting.run.0,
            last_position: event.position.0,
        }
    }

    fn see(&mut self, sighting: &Sighting) {
        self.component = sighting.component.to_string();
        self.symptom = clean(&sighting.symptom);
        self.cause = clean(&sighting.cause);
        self.impact = clean(&sighting.impact);
        self.advice = clean(&sighting.advice);
        self.evidence = clean_json(&sighting.evidence);
        self.last_seen_at = sighting.measured_at;
        self.last_run_id = sighting.run.0;
    }

    fn open(&mut self, sighting: &Sighting, at: DateTime<Utc>) {
        sighting.outcome.as_str().clone_into(&mut self.severity);
        self.opened_at = Some(at);
        self.resolved_at = None;
        self.acknowledge(None);
        self.see(sighting);
        self.enter("open");
    }

    fn acknowledge(&mut self, by: Option<(&str, DateTime<Utc>)>) {
        self.acknowledged_by = by.map(|(by, _)| clean(by));
        self.acknowledged_at = by.map(|(_, at)| at);
    }

    /// Moves on in its life. A false positive keeps that name, and its life goes on beneath it.
    fn enter(&mut self, phase: &str) {
        phase.clone_into(&mut self.phase);
        if self.status != FALSE_POSITIVE {
            self.show_phase();
        }
    }

    fn show_phase(&mut self) {
        let acknowledged = self.phase == "open" && self.acknowledged_by.is_some();
        self.status = if acknowledged { "acknowledged".to_owned() } else { self.phase.clone() };
    }

    fn measured_good(&mut self, run: RunId) {
        self.last_run_id = run.0;
    }
}

impl Weighed for FindingRow {
    fn bytes(&self) -> usize {
        let texts = [&self.resource, &self.symptom, &self.cause, &self.impact, &self.advice, &self.evidence];
        size_of::<Self>() + 128 + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

fn fold(row: &mut Option<FindingRow>, finding: &FindingEvent, event: &Decoded) -> Result<(), ApplyError> {
    if let FindingEvent::FindingSuspected { fingerprint, sighting, .. }
    | FindingEvent::FindingOpened { fingerprint, sighting, .. } = finding
    {
        row.get_or_insert_with(|| FindingRow::new(event, fingerprint, sighting));
    }
    let row = row.as_mut().ok_or_else(|| ApplyError::no_row(event))?;
    row.last_position = event.position.0;
    match finding {
        FindingEvent::FindingSuspected { sighting, .. } => {
            // Before it first opened there is nothing to count.
            row.occurrences += i32::from(row.opened_at.is_some());
            sighting.outcome.as_str().clone_into(&mut row.severity);
            row.see(sighting);
            row.enter("suspected");
        }
        FindingEvent::FindingOpened { sighting, at, .. } => {
            row.occurrences = 1;
            row.open(sighting, *at);
        }
        FindingEvent::FindingSeenAgain { sighting, occurrences, .. } => {
            row.occurrences = *occurrences as i32;
            row.see(sighting);
        }
        FindingEvent::FindingRegressed { sighting, occurrences, regressions, at } => {
            row.occurrences = *occurrences as i32;
            row.regressions = *regressions as i32;
            row.open(sighting, *at);
        }
        FindingEvent::FindingSeverityChanged { to, .. } => to.as_str().clone_into(&mut row.severity),
        FindingEvent::FindingRecovering { run, .. } => row.measured_good(*run),
        FindingEvent::FindingResolved { run, at, .. } => {
            row.measured_good(*run);
            row.resolved_at = Some(*at);
            row.acknowledge(None);
            row.enter("resolved");
        }
        FindingEvent::FindingAcknowledged { by, at, .. } => {
            row.acknowledge(Some((by, *at)));
            row.enter("open");
        }
        FindingEvent::FindingMuted { until, reason, .. } => {
            row.muted_until = Some(*until);
            row.mute_reason = Some(clean(reason));
        }
        FindingEvent::FindingUnmuted { .. } => {
            row.muted_until = None;
            row.mute_reason = None;
        }
        FindingEvent::FindingMarkedFalsePositive { .. } => FALSE_POSITIVE.clone_into(&mut row.status),
        FindingEvent::FindingFalsePositiveWithdrawn { .. } => row.show_phase(),
        FindingEvent::FindingFlappingStarted { .. } => row.flapping = true,
        FindingEvent::FindingFlappingStopped { .. } => row.flapping = false,
    }
    Ok(())
}

/// The table.
pub struct FindingTable;

columns! {
    "view_findings" existing Existing::Replaced(&["id"]); row: FindingRow {
        id "uuid" = row.id;
        deployment_id "uuid" = row.deployment_id;
        tenant "text" = row.tenant.as_str();
        check_code "text" = row.check_code.as_str();
        component "text" = row.component.as_str();
        resource "text" = row.resource.as_str();
        status "text" = row.status.as_str();
        phase "text" = row.phase.as_str();
        severity "text" = row.severity.as_str();
        muted_until "timestamptz" = row.muted_until;
        mute_reason "text" = row.mute_reason.as_deref();
        flapping "boolean" = row.flapping;
        occurrences "integer" = row.occurrences;
        regressions "integer" = row.regressions;
        symptom "text" = row.symptom.as_str();
        cause "text" = row.cause.as_str();
        impact "text" = row.impact.as_str();
        advice "text" = row.advice.as_str();
        evidence "jsonb" = row.evidence.as_str();
        first_seen_at "timestamptz" = row.first_seen_at;
        last_seen_at "timestamptz" = row.last_seen_at;
        opened_at "timestamptz" = row.opened_at;
        resolved_at "timestamptz" = row.resolved_at;
        acknowledged_by "text" = row.acknowledged_by.as_deref();
        acknowledged_at "timestamptz" = row.acknowledged_at;
        last_run_id "uuid" = row.last_run_id;
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

impl Table for FindingTable {
    type Key = Uuid;
    type Row = FindingRow;
    const NAME: &'static str = "view_findings";

    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Uuid]) -> Loading<'a, Uuid, FindingRow> {
        static SQL: LazyLock<String> =
            LazyLock::new(|| format!("SELECT {} FROM view_findings WHERE id = ANY($1)", select_list(COLUMNS)));
        Box::pin(async move {
            let rows = sqlx::query_as::<_, FindingRow>(&SQL).bind(keys).fetch_all(db).await?;
            Ok(rows.into_iter().map(|row| (row.id, row)).collect())
        })
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a FindingRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }

    fn add<'a>(db: &'a mut PgConnection, rows: &'a [&'a FindingRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        TheColumns::add(db, rows)
    }
}

impl Folded for FindingTable {
    const PROJECTION: &'static str = "findings";
    const VERSION: i32 = VERSION;

    fn wants(event: &RecordedEvent) -> bool {
        &*event.stream.aggregate_type == FINDING
    }

    fn fold(row: &mut Option<FindingRow>, event: &Decoded) -> Result<(), ApplyError> {
        match event.whole()? {
            AnyEvent::Finding(finding) => fold(row, finding, event),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, fingerprint, log, run, sighting};
    use super::*;
    use domain::{FindingId, Outcome};

    fn id() -> FindingId {
        FindingId(Uuid::from_u128(3))
    }

    fn suspected(seconds: i64) -> FindingEvent {
        FindingEvent::FindingSuspected {
            id: id(),
            fingerprint: fingerprint(),
            sighting: sighting(Outcome::Warning, seconds),
            in_a_row: 1,
            at: at(seconds),
        }
    }

    fn opened(seconds: i64) -> FindingEvent {
        FindingEvent::FindingOpened {
            id: id(),
            fingerprint: fingerprint(),
            sighting: sighting(Outcome::Critical, seconds),
            at: at(seconds),
        }
    }

    fn resolved(seconds: i64) -> FindingEvent {
        FindingEvent::FindingResolved { run: run(), open_seconds: seconds, at: at(seconds) }
    }

    fn acknowledged() -> FindingEvent {
        FindingEvent::FindingAcknowledged { by: "ann".into(), comment: String::new(), at: at(5) }
    }

    fn marked() -> FindingEvent {
        FindingEvent::FindingMarkedFalsePositive { by: "ann".into(), reason: "meant".into(), at: at(6) }
    }

    fn withdrawn() -> FindingEvent {
        FindingEvent::FindingFalsePositiveWithdrawn { by: "ann".into(), reason: "real".into(), at: at(7) }
    }

    fn given(events: Vec<FindingEvent>) -> Result<FindingRow, ApplyError> {
        let mut row = None;
        for event in log(id().0, events.into_iter().map(AnyEvent::Finding)) {
            let Some(AnyEvent::Finding(finding)) = &event.event else { unreachable!() };
            fold(&mut row, finding, &event)?;
        }
        Ok(row.unwrap())
    }

    fn status(events: Vec<FindingEvent>) -> String {
        given(events).unwrap().status
    }

    #[test]
    fn it_follows_the_finding_through_its_life() {
        assert_eq!(status(vec![suspected(1)]), "suspected");
        assert_eq!(status(vec![suspected(1), opened(2)]), "open");
        assert_eq!(status(vec![opened(1), acknowledged()]), "acknowledged");
        assert_eq!(status(vec![opened(1), acknowledged(), resolved(9)]), "resolved");
        assert_eq!(status(vec![opened(1), resolved(9), suspected(12)]), "suspected");
        let sighting = sighting(Outcome::Warning, 20);
        let regressed = FindingEvent::FindingRegressed { sighting, occurrences: 2, regressions: 1, at: at(20) };
        let row = given(vec![opened(1), acknowledged(), resolved(9), regressed]).unwrap();
        assert_eq!((row.status.as_str(), row.severity.as_str()), ("open", "warning"));
        assert_eq!((row.occurrences, row.regressions, row.resolved_at), (2, 1, None));
        assert_eq!((row.first_seen_at, row.last_seen_at, row.opened_at), (at(1), at(20), Some(at(20))));
        assert_eq!(row.acknowledged_by, None);
    }

    #[test]
    fn a_false_positive_comes_back_to_where_it_stood() {
        assert_eq!(status(vec![opened(1), marked()]), "false_positive");
        assert_eq!(status(vec![opened(1), marked(), withdrawn()]), "open");
        assert_eq!(status(vec![opened(1), acknowledged(), marked(), withdrawn()]), "acknowledged");
        assert_eq!(status(vec![opened(1), resolved(4), marked(), withdrawn()]), "resolved");
        assert_eq!(status(vec![suspected(1), marked(), withdrawn()]), "suspected");
        let sighting = sighting(Outcome::Critical, 90_000);
        let seen = FindingEvent::FindingSeenAgain { sighting, occurrences: 2, at: at(90_000) };
        let row = given(vec![opened(1), marked(), seen]).unwrap();
        assert_eq!((row.status.as_str(), row.occurrences, row.last_seen_at), ("false_positive", 2, at(90_000)));
    }

    #[test]
    fn marks_come_and_go() {
        let muted = FindingEvent::FindingMuted { by: "ann".into(), until: at(99), reason: "known".into(), at: at(2) };
        let row = given(vec![opened(1), muted.clone()]).unwrap();
        assert_eq!((row.muted_until, row.mute_reason.as_deref()), (Some(at(99)), Some("known")));
        let row = given(vec![opened(1), muted, FindingEvent::FindingUnmuted { expired: true, at: at(99) }]).unwrap();
        assert_eq!((row.muted_until, row.mute_reason), (None, None));
        let flaps = FindingEvent::FindingFlappingStarted { changes: 8, at: at(3) };
        assert!(given(vec![opened(1), flaps.clone()]).unwrap().flapping);
        let settled = FindingEvent::FindingFlappingStopped { changes: 3, at: at(4) };
        assert!(!given(vec![opened(1), flaps, settled]).unwrap().flapping);
        let worse = FindingEvent::FindingSeverityChanged { from: Outcome::Warning, to: Outcome::Critical, at: at(2) };
        assert_eq!(given(vec![suspected(1), worse]).unwrap().severity, "critical");
    }

    #[test]
    fn text_that_the_database_can_not_keep_is_mended() {
        let mut seen = sighting(Outcome::Warning, 1);
        seen.symptom = "a\0b".to_owned();
        seen.evidence.inline = Some(serde_json::json!({ "line": "x\0" }));
        let opened = FindingEvent::FindingOpened { id: id(), fingerprint: fingerprint(), sighting: seen, at: at(1) };
        let row = given(vec![opened]).unwrap();
        assert_eq!(row.symptom, "a\u{fffd}b");
        assert!(!row.evidence.contains("\\u0000"), "{}", row.evidence);
    }

    #[test]
    fn an_event_of_a_finding_never_seen_is_refused() {
        assert!(matches!(given(vec![resolved(1)]), Err(ApplyError::Event { .. })));
    }
}
