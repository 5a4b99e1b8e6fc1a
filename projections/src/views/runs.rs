//! `view_runs`: each run and its progress.

use crate::decoded::Decoded;
use crate::projection::ApplyError;
use crate::single::{Folded, FoldedView};
use crate::table::{Columns as _, Existing, Loading, Table, Weighed, clean, columns, select_list};
use chrono::{DateTime, Utc};
use domain::any_event::{AnyEvent, DIAGNOSTIC_RUN};
use domain::diagnostic_run::{Priority, RunEvent, Tally};
use domain::{DeploymentId, Outcome};
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sqlx::PgConnection;
use std::sync::LazyLock;
use uuid::Uuid;

const VERSION: i32 = 1;

/// The projection.
pub type Runs = FoldedView<RunTable>;

/// One row of `view_runs`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RunRow {
    id: Uuid,
    deployment_id: Uuid,
    tenant: String,
    profile: String,
    status: String,
    priority: String,
    planned: i32,
    done: i32,
    outcome: Option<String>,
    ok: i32,
    warning: i32,
    critical: i32,
    unknown: i32,
    requested_by: String,
    requested_at: DateTime<Utc>,
    planned_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    deadline: DateTime<Utc>,
    reason: Option<String>,
    last_position: i64,
}

impl RunRow {
    fn requested(
        event: &Decoded,
        deployment: DeploymentId,
        profile: &str,
        priority: Priority,
        (deadline, at): (DateTime<Utc>, DateTime<Utc>),
    ) -> Self {
        let priority = match priority {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
        };
        Self {
            id: event.id,
            deployment_id: deployment.0,
            tenant: event.metadata.tenant.to_string(),
            profile: clean(profile),
            status: "requested".to_owned(),
            priority: priority.to_owned(),
            planned: 0,
            done: 0,
            outcome: None,
            ok: 0,
            warning: 0,
            critical: 0,
            unknown: 0,
            requested_by: event.metadata.actor.to_string(),
            requested_at: at,
            planned_at: None,
            started_at: None,
            ended_at: None,
            deadline,
            reason: None,
            last_position: event.position.0,
        }
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Warning => self.warning += 1,
            Outcome::Critical => self.critical += 1,
            Outcome::Unknown => self.unknown += 1,
        }
    }

    fn end(&mut self, status: &str, tally: Tally, at: DateTime<Utc>) {
        status.clone_into(&mut self.status);
        self.ok = tally.ok as i32;
        self.warning = tally.warning as i32;
        self.critical = tally.critical as i32;
        self.unknown = tally.unknown as i32;
        self.ended_at = Some(at);
    }
}

impl Weighed for RunRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 128 + self.reason.as_ref().map_or(0, String::len)
    }
}

fn fold(row: &mut Option<RunRow>, run: &RunEvent, event: &Decoded) -> Result<(), ApplyError> {
    if let RunEvent::RunRequested { deployment, profile, priority, deadline, at, .. } = run {
        *row = Some(RunRow::requested(event, *deployment, profile, *priority, (*deadline, *at)));
        return Ok(());
    }
    let row = row.as_mut().ok_or_else(|| ApplyError::no_row(event))?;
    row.last_position = event.position.0;
    match run {
        // Its outline was read instead, see there.
        RunEvent::RunRequested { .. } | RunEvent::RunPlanned { .. } | RunEvent::ChecksCompleted { .. } => {}
        RunEvent::RunStarted { at } => {
            "running".clone_into(&mut row.status);
            row.started_at = Some(*at);
        }
        RunEvent::RunCompleted { outcome, tally, at, .. } => {
            row.end("completed", *tally, *at);
            row.outcome = Some(outcome.as_str().to_owned());
        }
        RunEvent::RunCancelled { reason, tally, at, .. } => {
            row.end("cancelled", *tally, *at);
            row.reason = Some(clean(reason));
        }
        RunEvent::RunTimedOut { tally, missing, at, .. } => {
            row.end("timed_out", *tally, *at);
            row.reason = Some(format!("its deadline passed with {} checks still open", missing.len()));
        }
        RunEvent::RunFailed { reason, tally, at, .. } => {
            row.end("failed", *tally, *at);
            row.reason = Some(clean(reason));
        }
    }
    Ok(())
}

/// What the view needs of the two large events of a run: a plan's length, and how results came out. The rest, which is
/// most of the log, is passed over without being taken apart.
#[derive(Deserialize)]
enum Outline {
    RunPlanned { checks: Vec<IgnoredAny>, at: DateTime<Utc> },
    ChecksCompleted { results: Vec<ResultOutline>, done: u32, planned: u32 },
}

#[derive(Deserialize)]
struct ResultOutline {
    outcome: Outcome,
}

impl Outline {
    fn is_of(event: &RecordedEvent) -> bool {
        matches!(&*event.event_type, "RunPlanned" | "ChecksCompleted")
    }

    fn read(event: &Decoded) -> Result<Self, ApplyError> {
        serde_json::from_str(event.payload.get()).map_err(|error| ApplyError::Event {
            position: event.position,
            reason: format!("{} of {} does not decode: {error}", event.event_type, event.stream),
        })
    }

    fn fold(&self, row: &mut RunRow) {
        match self {
            Self::RunPlanned { checks, at } => {
                "planned".clone_into(&mut row.status);
                row.planned = checks.len() as i32;
                row.planned_at = Some(*at);
            }
            Self::ChecksCompleted { results, done, planned } => {
                row.done = *done as i32;
                row.planned = *planned as i32;
                for result in results {
                    row.count(result.outcome);
                }
            }
        }
    }
}

/// The table.
pub struct RunTable;

columns! {
    "view_runs" existing Existing::Replaced(&["id"]); row: RunRow {
        id "uuid" = row.id;
        deployment_id "uuid" = row.deployment_id;
        tenant "text" = row.tenant.as_str();
        profile "text" = row.profile.as_str();
        status "text" = row.status.as_str();
        priority "text" = row.priority.as_str();
        planned "integer" = row.planned;
        done "integer" = row.done;
        outcome "text" = row.outcome.as_deref();
        ok "integer" = row.ok;
        warning "integer" = row.warning;
        critical "integer" = row.critical;
        unknown "integer" = row.unknown;
        requested_by "text" = row.requested_by.as_str();
        requested_at "timestamptz" = row.requested_at;
        planned_at "timestamptz" = row.planned_at;
        started_at "timestamptz" = row.started_at;
        ended_at "timestamptz" = row.ended_at;
        deadline "timestamptz" = row.deadline;
        reason "text" = row.reason.as_deref();
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

impl Table for RunTable {
    type Key = Uuid;
    type Row = RunRow;
    const NAME: &'static str = "view_runs";

    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Uuid]) -> Loading<'a, Uuid, RunRow> {
        static SQL: LazyLock<String> =
            LazyLock::new(|| format!("SELECT {} FROM view_runs WHERE id = ANY($1)", select_list(COLUMNS)));
        Box::pin(async move {
            let rows = sqlx::query_as::<_, RunRow>(&SQL).bind(keys).fetch_all(db).await?;
            Ok(rows.into_iter().map(|row| (row.id, row)).collect())
        })
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a RunRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }

    fn add<'a>(db: &'a mut PgConnection, rows: &'a [&'a RunRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        TheColumns::add(db, rows)
    }
}

impl Folded for RunTable {
    const PROJECTION: &'static str = "runs";
    const VERSION: i32 = VERSION;

    fn wants(event: &RecordedEvent) -> bool {
        &*event.stream.aggregate_type == DIAGNOSTIC_RUN
    }

    fn takes_raw(event: &RecordedEvent) -> bool {
        Outline::is_of(event)
    }

    fn fold(row: &mut Option<RunRow>, event: &Decoded) -> Result<(), ApplyError> {
        if Outline::is_of(event) {
            let outline = Outline::read(event)?;
            let row = row.as_mut().ok_or_else(|| ApplyError::no_row(event))?;
            row.last_position = event.position.0;
            outline.fold(row);
            return Ok(());
        }
        match event.whole()? {
            AnyEvent::Run(run) => fold(row, run, event),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, deployment, log, result, run};
    use super::*;
    use domain::diagnostic_run::{CheckKey, CheckResult, PlannedCheck};

    fn requested() -> RunEvent {
        RunEvent::RunRequested {
            run: run(),
            deployment: deployment(),
            profile: "full".to_owned(),
            checks: vec![],
            priority: Priority::High,
            deadline: at(600),
            at: at(0),
        }
    }

    fn planned(checks: &[&str]) -> RunEvent {
        let key = |code: &&str| CheckKey { check: code.parse().unwrap(), component: "store-1".parse().unwrap() };
        let planned = |code| PlannedCheck { key: key(code), version: "1".to_owned(), timeout_ms: 1_000 };
        RunEvent::RunPlanned { checks: checks.iter().map(planned).collect(), at: at(1) }
    }

    fn completed(results: Vec<CheckResult>, done: u32) -> RunEvent {
        RunEvent::ChecksCompleted { deployment: deployment(), results, done, planned: 2, at: at(3) }
    }

    fn given(events: Vec<RunEvent>) -> Result<RunRow, ApplyError> {
        let mut row = None;
        for event in log(run().0, events.into_iter().map(AnyEvent::Run)) {
            RunTable::fold(&mut row, &event)?;
        }
        Ok(row.unwrap())
    }

    #[test]
    fn a_run_goes_its_way() {
        let row = given(vec![requested()]).unwrap();
        assert_eq!((row.status.as_str(), row.priority.as_str(), row.planned), ("requested", "high", 0));
        let row = given(vec![requested(), planned(&["A", "B"]), RunEvent::RunStarted { at: at(2) }]).unwrap();
        assert_eq!((row.status.as_str(), row.planned, row.started_at), ("running", 2, Some(at(2))));
        let half = vec![requested(), planned(&["A", "B"]), completed(vec![result("A", Outcome::Unknown)], 1)];
        let row = given(half).unwrap();
        assert_eq!((row.done, row.unknown, row.outcome, row.last_position), (1, 1, None, 3));
    }

    #[test]
    fn its_end_has_the_last_word_on_the_tally() {
        let tally = Tally { ok: 1, warning: 0, critical: 1, unknown: 0 };
        let end = RunEvent::RunCompleted { deployment: deployment(), outcome: Outcome::Critical, tally, at: at(9) };
        let results = vec![result("A", Outcome::Ok), result("B", Outcome::Critical)];
        let row = given(vec![requested(), planned(&["A", "B"]), completed(results, 2), end]).unwrap();
        assert_eq!((row.status.as_str(), row.outcome.as_deref()), ("completed", Some("critical")));
        assert_eq!((row.ok, row.critical, row.done, row.ended_at), (1, 1, 2, Some(at(9))));
    }

    #[test]
    fn a_run_that_was_cut_short_has_no_verdict() {
        let tally = Tally::default();
        let key = CheckKey { check: "A".parse().unwrap(), component: "store-1".parse().unwrap() };
        let ends = [
            (RunEvent::RunCancelled { deployment: deployment(), reason: "no".into(), tally, at: at(9) }, "cancelled"),
            (RunEvent::RunTimedOut { deployment: deployment(), tally, missing: vec![key], at: at(9) }, "timed_out"),
            (RunEvent::RunFailed { deployment: deployment(), reason: "a\0b".into(), tally, at: at(9) }, "failed"),
        ];
        for (end, status) in ends {
            let row = given(vec![requested(), end]).unwrap();
            assert_eq!((row.status.as_str(), row.outcome, row.reason.is_some()), (status, None, true));
        }
    }

    #[test]
    fn an_event_of_a_run_never_asked_for_is_refused() {
        let refused = given(vec![RunEvent::RunStarted { at: at(2) }]);
        assert!(matches!(refused, Err(ApplyError::Event { position, .. }) if position.0 == 1));
    }
}
