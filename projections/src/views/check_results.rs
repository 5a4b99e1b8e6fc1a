//! `view_check_results`: what each check of each run gave.

use crate::decoded::Decoded;
use crate::single::{Added, AddedView};
use crate::table::{Existing, Weighed, clean, clean_json, columns};
use chrono::{DateTime, Utc};
use domain::DeploymentId;
use domain::any_event::{AnyEvent, DIAGNOSTIC_RUN};
use domain::diagnostic_run::{CheckResult, RunEvent};
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

const VERSION: i32 = 1;

/// The projection. It remembers nothing of the database: a result is recorded once and never changes.
pub type CheckResults = AddedView<ResultTable>;

/// One row of `view_check_results`.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    run_id: Uuid,
    check_code: String,
    component: String,
    deployment_id: Uuid,
    version: String,
    outcome: &'static str,
    summary: String,
    unknown_cause: Option<String>,
    observations: String,
    omitted: i32,
    metrics: String,
    measured_at: DateTime<Utc>,
    duration_ms: i32,
    recorded_at: DateTime<Utc>,
    last_position: i64,
}

impl ResultRow {
    fn new(event: &Decoded, deployment: DeploymentId, result: &CheckResult, at: DateTime<Utc>) -> Self {
        Self {
            run_id: event.id,
            check_code: result.key.check.to_string(),
            component: result.key.component.to_string(),
            deployment_id: deployment.0,
            version: clean(&result.version),
            outcome: result.outcome.as_str(),
            summary: clean(&result.summary),
            unknown_cause: result.unknown_cause.as_deref().map(clean),
            observations: clean_json(&result.observations),
            omitted: result.omitted as i32,
            metrics: clean_json(&result.metrics),
            measured_at: result.measured_at,
            duration_ms: i32::try_from(result.duration_ms).unwrap_or(i32::MAX),
            recorded_at: at,
            last_position: event.position.0,
        }
    }
}

impl Weighed for ResultRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 128 + self.summary.len() + self.observations.len() + self.metrics.len()
    }
}

/// The table.
pub struct ResultTable;

impl Added for ResultTable {
    type Row = ResultRow;
    const PROJECTION: &'static str = "check_results";
    const VERSION: i32 = VERSION;
    const TABLE: &'static str = "view_check_results";

    fn wants(event: &RecordedEvent) -> bool {
        &*event.stream.aggregate_type == DIAGNOSTIC_RUN && event.event_type == "ChecksCompleted"
    }

    fn rows(event: &Decoded) -> Vec<ResultRow> {
        match &event.event {
            Some(AnyEvent::Run(RunEvent::ChecksCompleted { deployment, results, at, .. })) => {
                results.iter().map(|result| ResultRow::new(event, *deployment, result, *at)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a ResultRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }
}

// No ON CONFLICT: the run records each check once, and a second row of it would be a defect that must not pass unseen.
columns! {
    "view_check_results" existing Existing::Fails; row: ResultRow {
        run_id "uuid" = row.run_id;
        check_code "text" = row.check_code.as_str();
        component "text" = row.component.as_str();
        deployment_id "uuid" = row.deployment_id;
        version "text" = row.version.as_str();
        outcome "text" = row.outcome;
        summary "text" = row.summary.as_str();
        unknown_cause "text" = row.unknown_cause.as_deref();
        observations "jsonb" = row.observations.as_str();
        omitted "integer" = row.omitted;
        metrics "jsonb" = row.metrics.as_str();
        measured_at "timestamptz" = row.measured_at;
        duration_ms "integer" = row.duration_ms;
        recorded_at "timestamptz" = row.recorded_at;
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, deployment, log, result, run};
    use super::ResultTable;
    use crate::single::Added as _;
    use domain::diagnostic_run::RunEvent;
    use domain::{AnyEvent, Outcome};

    #[test]
    fn each_result_is_a_row_and_an_unknown_one_keeps_its_cause() {
        let results = vec![result("A", Outcome::Ok), result("B", Outcome::Unknown)];
        let batch = RunEvent::ChecksCompleted { deployment: deployment(), results, done: 2, planned: 2, at: at(3) };
        let events = log(run().0, [AnyEvent::Run(batch), AnyEvent::Run(RunEvent::RunStarted { at: at(4) })]);
        let rows: Vec<_> = events.iter().flat_map(|event| ResultTable::rows(event)).collect();
        let seen: Vec<_> = rows.iter().map(|row| (row.check_code.as_str(), row.outcome)).collect();
        assert_eq!(seen, [("A", "ok"), ("B", "unknown")]);
        assert_eq!((rows[0].unknown_cause.as_deref(), rows[1].unknown_cause.as_deref()), (None, Some("no route")));
        assert_eq!((rows[0].run_id, rows[0].recorded_at, rows[0].last_position), (run().0, at(3), 1));
        assert_eq!(rows[0].metrics, r#"{"used_percent":12.5}"#);
    }
}
