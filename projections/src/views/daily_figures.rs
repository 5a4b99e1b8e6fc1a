//! `view_daily_figures`: counts and durations by day, deployment, check and severity, for analysts.

use super::{ROWS_REMEMBERED, begun};
use crate::decoded::Decoded;
use crate::json::rows_of;
use crate::projection::{ApplyError, Pending, Projection, TableRows};
use crate::rows::Rows;
use crate::table::{Existing, Table as _, Weighed, columns};
use chrono::{DateTime, NaiveDate, Utc};
use domain::any_event::{AnyEvent, DIAGNOSTIC_RUN, FINDING};
use domain::diagnostic_run::{CheckResult, RunEvent};
use domain::finding::{FindingEvent, Fingerprint, Sighting};
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

mod finding_row;

use finding_row::{FindingRow, FindingTable};

const VERSION: i32 = 1;
const FIGURES: &str = "view_daily_figures";

/// The projection.
pub struct DailyFigures {
    findings: Rows<FindingTable>,
    figures: Figures,
}

impl Default for DailyFigures {
    fn default() -> Self {
        Self { findings: Rows::new(ROWS_REMEMBERED), figures: Figures::default() }
    }
}

impl Projection for DailyFigures {
    fn name(&self) -> &'static str {
        "daily_figures"
    }

    fn version(&self) -> i32 {
        VERSION
    }

    fn tables(&self) -> &'static [&'static str] {
        &[FIGURES, "view_daily_findings"]
    }

    fn wants(&self) -> fn(&RecordedEvent) -> bool {
        wants
    }

    fn fold<'a>(
        &'a mut self,
        events: &'a [Arc<Decoded>],
        db: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            let findings = events.iter().filter(|event| matches!(event.event, Some(AnyEvent::Finding(_))));
            self.findings.fetch(db, findings.map(|event| event.id), &begun(events)).await?;
            self.fold_known(events)
        })
    }

    fn fold_known(&mut self, events: &[Arc<Decoded>]) -> Result<(), ApplyError> {
        let mut figures = std::mem::take(&mut self.figures);
        let folded = events.iter().try_for_each(|event| self.fold_one(event, &mut figures));
        self.figures = figures;
        folded
    }

    fn rows(&self) -> Vec<TableRows> {
        let figures: Vec<(&Key, &Sums)> = self.figures.by_key.iter().collect();
        vec![rows_of(FIGURES, figures.iter()), rows_of(FindingTable::NAME, self.findings.known())]
    }

    fn pending(&self) -> Pending {
        let rows = self.figures.by_key.len();
        self.findings.pending() + Pending { rows, bytes: rows * FIGURE_BYTES }
    }

    fn write<'a>(&'a mut self, db: &'a mut PgConnection) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            self.findings.write(db).await?;
            let figures = std::mem::take(&mut self.figures);
            let rows: Vec<(&Key, &Sums)> = figures.by_key.iter().collect();
            save_rows(db, &rows.iter().collect::<Vec<_>>()).await
        })
    }

    fn forget(&mut self) {
        self.findings.forget();
        self.figures.by_key.clear();
    }
}

fn wants(event: &RecordedEvent) -> bool {
    match &*event.stream.aggregate_type {
        DIAGNOSTIC_RUN => event.event_type == "ChecksCompleted",
        FINDING => matches!(
            &*event.event_type,
            "FindingSuspected" | "FindingOpened" | "FindingSeverityChanged" | "FindingRegressed" | "FindingResolved"
        ),
        _ => false,
    }
}

impl DailyFigures {
    fn fold_one(&mut self, event: &Decoded, figures: &mut Figures) -> Result<(), ApplyError> {
        match event.whole()? {
            AnyEvent::Run(RunEvent::ChecksCompleted { deployment, results, at, .. }) => {
                for result in results {
                    figures.count_result(event, deployment.0, result, *at);
                }
                Ok(())
            }
            AnyEvent::Finding(finding) => self.fold_finding(finding, event, figures),
            _ => Ok(()),
        }
    }

    fn fold_finding(
        &mut self,
        finding: &FindingEvent,
        event: &Decoded,
        figures: &mut Figures,
    ) -> Result<(), ApplyError> {
        let slot = self.findings.change(event.id);
        if let FindingEvent::FindingSuspected { fingerprint, sighting, .. }
        | FindingEvent::FindingOpened { fingerprint, sighting, .. } = finding
        {
            slot.get_or_insert_with(|| new_finding(event.id, fingerprint, sighting));
        }
        let row = slot.as_mut().ok_or_else(|| ApplyError::no_row(event))?;
        row.last_position = event.position.0;
        match finding {
            FindingEvent::FindingSuspected { sighting, .. } => {
                sighting.outcome.as_str().clone_into(&mut row.severity);
                row.suspected_at.get_or_insert(sighting.measured_at);
            }
            FindingEvent::FindingOpened { sighting, at, .. } => {
                let detect_seconds = row.open(sighting, *at);
                let sums = figures.of_finding(event, row, *at);
                sums.findings_opened += 1;
                sums.detected(detect_seconds);
            }
            FindingEvent::FindingRegressed { sighting, at, .. } => {
                let detect_seconds = row.open(sighting, *at);
                let sums = figures.of_finding(event, row, *at);
                sums.findings_regressed += 1;
                sums.detected(detect_seconds);
            }
            FindingEvent::FindingSeverityChanged { to, .. } => to.as_str().clone_into(&mut row.severity),
            FindingEvent::FindingResolved { open_seconds, at, .. } => {
                // What was only suspected goes without having been a problem.
                if row.open {
                    let sums = figures.of_finding(event, row, *at);
                    sums.findings_resolved += 1;
                    sums.resolve_seconds_sum += open_seconds;
                    sums.resolve_count += 1;
                }
                row.open = false;
                row.suspected_at = None;
            }
            _ => {}
        }
        Ok(())
    }
}

fn new_finding(id: Uuid, fingerprint: &Fingerprint, sighting: &Sighting) -> FindingRow {
    FindingRow {
        finding_id: id,
        deployment_id: fingerprint.deployment.0,
        check_code: fingerprint.check.to_string(),
        severity: sighting.outcome.as_str().to_owned(),
        open: false,
        suspected_at: None,
        last_position: 0,
    }
}

/// Day, deployment, check, severity.
type Key = (NaiveDate, Uuid, String, String);

/// One row of figures, roughly.
const FIGURE_BYTES: usize = 256;

impl Weighed for (&Key, &Sums) {
    fn bytes(&self) -> usize {
        FIGURE_BYTES
    }
}

/// What the events since the last write add to the figures.
#[derive(Default)]
struct Figures {
    by_key: BTreeMap<Key, Sums>,
}

#[derive(Debug, Default, PartialEq)]
struct Sums {
    results: i64,
    findings_opened: i64,
    findings_regressed: i64,
    findings_resolved: i64,
    duration_ms_sum: i64,
    duration_ms_max: i64,
    detect_seconds_sum: i64,
    detect_count: i64,
    resolve_seconds_sum: i64,
    resolve_count: i64,
    last_position: i64,
}

impl Sums {
    fn detected(&mut self, seconds: i64) {
        self.detect_seconds_sum += seconds;
        self.detect_count += 1;
    }
}

impl Figures {
    fn count_result(&mut self, event: &Decoded, deployment: Uuid, result: &CheckResult, at: DateTime<Utc>) {
        let key = (at.date_naive(), deployment, result.key.check.to_string(), result.outcome.as_str().to_owned());
        let sums = self.by_key.entry(key).or_default();
        let duration_ms = i64::from(result.duration_ms);
        sums.results += 1;
        sums.duration_ms_sum += duration_ms;
        sums.duration_ms_max = sums.duration_ms_max.max(duration_ms);
        sums.last_position = event.position.0;
    }

    fn of_finding(&mut self, event: &Decoded, row: &FindingRow, at: DateTime<Utc>) -> &mut Sums {
        let key = (at.date_naive(), row.deployment_id, row.check_code.clone(), row.severity.clone());
        let sums = self.by_key.entry(key).or_default();
        sums.last_position = event.position.0;
        sums
    }
}

// The rows of a batch are added to what is there, so nothing has to be read first.
const ADDED: &str = "ON CONFLICT (day, deployment_id, check_code, severity) DO UPDATE SET \
    results = view_daily_figures.results + EXCLUDED.results, \
    findings_opened = view_daily_figures.findings_opened + EXCLUDED.findings_opened, \
    findings_regressed = view_daily_figures.findings_regressed + EXCLUDED.findings_regressed, \
    findings_resolved = view_daily_figures.findings_resolved + EXCLUDED.findings_resolved, \
    duration_ms_sum = view_daily_figures.duration_ms_sum + EXCLUDED.duration_ms_sum, \
    duration_ms_max = GREATEST(view_daily_figures.duration_ms_max, EXCLUDED.duration_ms_max), \
    detect_seconds_sum = view_daily_figures.detect_seconds_sum + EXCLUDED.detect_seconds_sum, \
    detect_count = view_daily_figures.detect_count + EXCLUDED.detect_count, \
    resolve_seconds_sum = view_daily_figures.resolve_seconds_sum + EXCLUDED.resolve_seconds_sum, \
    resolve_count = view_daily_figures.resolve_count + EXCLUDED.resolve_count, \
    last_position = EXCLUDED.last_position, projection_version = EXCLUDED.projection_version";

columns! {
    "view_daily_figures" existing Existing::Merged(ADDED); row: (&Key, &Sums) {
        day "date" = row.0.0;
        deployment_id "uuid" = row.0.1;
        check_code "text" = row.0.2.as_str();
        severity "text" = row.0.3.as_str();
        results "bigint" = row.1.results;
        findings_opened "bigint" = row.1.findings_opened;
        findings_regressed "bigint" = row.1.findings_regressed;
        findings_resolved "bigint" = row.1.findings_resolved;
        duration_ms_sum "bigint" = row.1.duration_ms_sum;
        duration_ms_max "bigint" = row.1.duration_ms_max;
        detect_seconds_sum "bigint" = row.1.detect_seconds_sum;
        detect_count "bigint" = row.1.detect_count;
        resolve_seconds_sum "bigint" = row.1.resolve_seconds_sum;
        resolve_count "bigint" = row.1.resolve_count;
        last_position "bigint" = row.1.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, deployment, fingerprint, log_of, result, run, sighting};
    use super::*;
    use domain::{FindingId, Outcome};

    const ID: Uuid = Uuid::from_u128(3);

    fn figures(events: Vec<(Uuid, AnyEvent)>) -> Vec<(String, Sums)> {
        let (mut view, mut figures) = (DailyFigures::default(), Figures::default());
        for event in log_of(events) {
            view.fold_one(&event, &mut figures).unwrap();
        }
        figures.by_key.into_iter().map(|(key, sums)| (key.3, sums)).collect()
    }

    fn finding(event: FindingEvent) -> (Uuid, AnyEvent) {
        (ID, AnyEvent::Finding(event))
    }

    fn suspected(seconds: i64) -> (Uuid, AnyEvent) {
        let sighting = sighting(Outcome::Warning, seconds);
        finding(FindingEvent::FindingSuspected {
            id: FindingId(ID),
            fingerprint: fingerprint(),
            sighting,
            in_a_row: 1,
            at: at(seconds + 1),
        })
    }

    fn opened(seconds: i64) -> (Uuid, AnyEvent) {
        let sighting = sighting(Outcome::Warning, seconds);
        let (id, fingerprint) = (FindingId(ID), fingerprint());
        finding(FindingEvent::FindingOpened { id, fingerprint, sighting, at: at(seconds + 1) })
    }

    fn resolved(open_seconds: i64, seconds: i64) -> (Uuid, AnyEvent) {
        finding(FindingEvent::FindingResolved { run: run(), open_seconds, at: at(seconds) })
    }

    #[test]
    fn results_are_counted_by_outcome() {
        let mut slow = result("A", Outcome::Ok);
        slow.duration_ms = 100;
        let results = vec![slow, result("A", Outcome::Ok), result("A", Outcome::Unknown)];
        let batch = RunEvent::ChecksCompleted { deployment: deployment(), results, done: 3, planned: 3, at: at(3) };
        let figures = figures(vec![(run().0, AnyEvent::Run(batch))]);
        let seen: Vec<_> = figures
            .iter()
            .map(|(severity, sums)| (severity.as_str(), sums.results, sums.duration_ms_sum, sums.duration_ms_max))
            .collect();
        assert_eq!(seen, [("ok", 2, 140, 100), ("unknown", 1, 40, 40)]);
    }

    #[test]
    fn detection_runs_from_the_first_bad_measurement() {
        let (_, sums) = figures(vec![suspected(0), suspected(30), opened(60)]).remove(0);
        assert_eq!((sums.findings_opened, sums.detect_seconds_sum, sums.detect_count), (1, 61, 1));
        let (_, sums) = figures(vec![opened(60)]).remove(0);
        assert_eq!((sums.findings_opened, sums.detect_seconds_sum), (1, 1));
    }

    #[test]
    fn what_was_only_suspected_is_not_resolved() {
        assert!(figures(vec![suspected(0), resolved(0, 30)]).is_empty());
        let (_, sums) = figures(vec![opened(0), resolved(29, 30)]).remove(0);
        assert_eq!((sums.findings_resolved, sums.resolve_seconds_sum, sums.resolve_count), (1, 29, 1));
    }

    #[test]
    fn the_severity_is_that_of_the_moment() {
        let worse = FindingEvent::FindingSeverityChanged { from: Outcome::Warning, to: Outcome::Critical, at: at(9) };
        let figures = figures(vec![opened(0), finding(worse), resolved(29, 30)]);
        let seen: Vec<_> = figures
            .iter()
            .map(|(severity, sums)| (severity.as_str(), sums.findings_opened, sums.findings_resolved))
            .collect();
        assert_eq!(seen, [("critical", 0, 1), ("warning", 1, 0)]);
    }
}
