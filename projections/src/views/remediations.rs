//! `view_remediations`: each remediation as its aggregate folds it.

use crate::decoded::Decoded;
use crate::projection::ApplyError;
use crate::single::{Folded, FoldedView};
use crate::table::{Existing, Loading, Table, Weighed, clean, clean_json, columns, select_list};
use chrono::{DateTime, Utc};
use domain::any_event::{AnyEvent, REMEDIATION};
use domain::remediation::{
    Problem, Remediation, RemediationEvent, RemediationState, StepPhase, StepState, Trigger, UndoState,
};
use domain::{Actor, Decider as _};
use event_store::RecordedEvent;
use futures::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row as _};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

const VERSION: i32 = 1;

/// The projection.
pub type Remediations = FoldedView<RemediationTable>;

/// One row of `view_remediations`.
#[derive(Debug, Clone, PartialEq)]
pub struct RemediationRow {
    id: Uuid,
    tenant: String,
    problem: Arc<Problem>,
    trigger: Trigger,
    requested_by: Actor,
    requested_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    state: RemediationState,
    last_position: i64,
}

impl RemediationRow {
    /// Done and verified, and not taken back.
    fn steps_done(&self) -> i32 {
        let is_done = |step: &&StepState| step.phase == StepPhase::Succeeded && step.undone == UndoState::Not;
        self.state.steps.values().filter(is_done).count() as i32
    }

    fn runbook(&self) -> Option<&str> {
        let planned = self.state.plan.as_ref().map(|plan| plan.runbook.as_str());
        planned.or(self.state.runbook.as_ref().map(domain::RunbookName::as_str))
    }
}

impl Weighed for RemediationRow {
    fn bytes(&self) -> usize {
        let changes: usize = self.state.previews.iter().map(|preview| 1 + preview.changes.len()).sum();
        size_of::<Self>() + 1_024 + 512 * (self.state.steps.len() + changes)
    }
}

const fn word(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Person => "person",
        Trigger::Policy => "policy",
    }
}

/// The table.
pub struct RemediationTable;

columns! {
    "view_remediations" existing Existing::Replaced(&["id"]); row: RemediationRow {
        id "uuid" = row.id;
        tenant "text" = row.tenant.as_str();
        deployment_id "uuid" = row.problem.deployment.0;
        finding_id "uuid" = row.problem.finding.0;
        check_code "text" = row.problem.check.as_str();
        component "text" = row.problem.component.as_str();
        resource "text" = row.problem.resource.as_str();
        severity "text" = row.problem.severity.as_str();
        runbook "text" = row.runbook();
        status "text" = row.state.phase.as_str();
        at_rest "boolean" = row.state.phase.is_at_rest();
        trigger "text" = word(row.trigger);
        requested_by "text" = row.requested_by.as_str();
        requested_at "timestamptz" = row.requested_at;
        started_at "timestamptz" = row.started_at;
        ended_at "timestamptz" = row.state.ended_at;
        steps "integer" = row.state.steps.len() as i32;
        steps_done "integer" = row.steps_done();
        reason "text" = row.state.reason.as_deref().map(clean);
        state "jsonb" = clean_json(&row.state);
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

impl FromRow<'_, PgRow> for RemediationRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let damaged =
            |column: &str, what: String| sqlx::Error::ColumnDecode { index: column.to_owned(), source: what.into() };
        let state: RemediationState =
            serde_json::from_str(row.try_get("state")?).map_err(|error| damaged("state", error.to_string()))?;
        let missing = || damaged("state", "nobody asked for this remediation".to_owned());
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant")?,
            problem: state.problem.clone().ok_or_else(missing)?,
            trigger: state.trigger.ok_or_else(missing)?,
            requested_by: state.requested_by.clone().ok_or_else(missing)?,
            requested_at: row.try_get("requested_at")?,
            started_at: row.try_get("started_at")?,
            last_position: row.try_get("last_position")?,
            state,
        })
    }
}

impl Table for RemediationTable {
    type Key = Uuid;
    type Row = RemediationRow;
    const NAME: &'static str = "view_remediations";

    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Uuid]) -> Loading<'a, Uuid, RemediationRow> {
        static SQL: LazyLock<String> =
            LazyLock::new(|| format!("SELECT {} FROM view_remediations WHERE id = ANY($1)", select_list(COLUMNS)));
        Box::pin(async move {
            let rows = sqlx::query_as::<_, RemediationRow>(&SQL).bind(keys).fetch_all(db).await?;
            Ok(rows.into_iter().map(|row| (row.id, row)).collect())
        })
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a RemediationRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }
}

impl Folded for RemediationTable {
    const PROJECTION: &'static str = "remediations";
    const VERSION: i32 = VERSION;

    fn wants(event: &RecordedEvent) -> bool {
        &*event.stream.aggregate_type == REMEDIATION
    }

    fn fold(row: &mut Option<RemediationRow>, event: &Decoded) -> Result<(), ApplyError> {
        let AnyEvent::Remediation(told) = event.whole()? else { return Ok(()) };
        if let RemediationEvent::RemediationRequested { problem, trigger, by, at, .. } = told {
            *row = Some(RemediationRow {
                id: event.id,
                tenant: event.metadata.tenant.to_string(),
                problem: Arc::new(problem.clone()),
                trigger: *trigger,
                requested_by: by.clone(),
                requested_at: *at,
                started_at: None,
                state: RemediationState::default(),
                last_position: event.position.0,
            });
        }
        let row = row.as_mut().ok_or_else(|| ApplyError::no_row(event))?;
        if let RemediationEvent::ExecutionStarted { at, .. } = told {
            row.started_at = Some(*at);
        }
        Remediation::evolve(&mut row.state, told);
        row.last_position = event.position.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Told, log};
    use super::*;
    use domain::testing as sample;
    use serde_json::{Value, json};

    fn told(events: Vec<RemediationEvent>) -> Vec<Arc<Decoded>> {
        log(sample::REMEDIATION.0, events.into_iter().map(AnyEvent::Remediation))
    }

    const SHOWN: &str = "SELECT status, at_rest, steps, steps_done, runbook, started_at IS NOT NULL AS started, \
        ended_at IS NOT NULL AS ended, reason IS NOT NULL AS says_why FROM view_remediations";

    fn shown(status: &str, steps: (u32, u32), started: bool, rest: (bool, bool, bool)) -> Value {
        let (at_rest, ended, says_why) = rest;
        let runbook = (steps.0 > 0).then_some("restore-missing-file");
        json!({ "status": status, "at_rest": at_rest, "steps": steps.0, "steps_done": steps.1, "runbook": runbook,
            "started": started, "ended": ended, "says_why": says_why })
    }

    #[tokio::test]
    async fn a_remediation_is_shown_as_it_goes_its_way() {
        let views = Told::new().await;
        let no_rest = (false, false, false);
        let cases = [
            (vec![sample::remediation_requested()], shown("requested", (0, 0), false, no_rest)),
            (sample::remediation_waiting(2), shown("awaiting_approval", (3, 0), false, no_rest)),
            (sample::remediation_executing(), shown("executing", (3, 0), true, no_rest)),
            (sample::remediation_succeeded(), shown("succeeded", (3, 3), true, (true, true, false))),
            // What is taken back is not done.
            (sample::remediation_rolled_back(), shown("failed", (3, 0), true, (true, true, true))),
            // A person is needed: it rests, and that is not its end.
            (sample::remediation_stuck(), shown("stuck", (3, 0), true, (true, false, true))),
        ];
        for (events, expected) in cases {
            assert_eq!(views.then::<Remediations>(&told(events), SHOWN).await, [expected]);
        }
    }

    #[tokio::test]
    async fn it_says_of_what_it_is_and_who_asked() {
        let views = Told::new().await;
        let events = told(sample::remediation_succeeded());
        let columns = "SELECT id, tenant, deployment_id, finding_id, check_code, component, resource, severity, \
            trigger, requested_by, last_position FROM view_remediations";
        let problem = sample::problem();
        let expected = json!({ "id": sample::REMEDIATION, "tenant": "default", "deployment_id": problem.deployment,
            "finding_id": problem.finding, "check_code": sample::CHECK, "component": sample::COMPONENT,
            "resource": sample::RESOURCE, "severity": "critical", "trigger": "person",
            "requested_by": "operator@example.org", "last_position": events.len() });
        assert_eq!(views.then::<Remediations>(&events, columns).await, [expected]);
    }

    #[tokio::test]
    async fn its_state_is_what_the_aggregate_folds() {
        let views = Told::new().await;
        for events in [sample::remediation_waiting(1), sample::remediation_succeeded(), sample::remediation_stuck()] {
            let expected = sample::fold::<Remediation>(&events);
            let rows = views.then::<Remediations>(&told(events), "SELECT state FROM view_remediations").await;
            let state: RemediationState = serde_json::from_value(rows[0]["state"].clone()).unwrap();
            assert_eq!(state, expected);
        }
    }

    #[tokio::test]
    async fn it_goes_on_after_its_row_was_forgotten() {
        let views = Told::new().await;
        let step = sample::step_name("recount");
        let mut failed = sample::remediation_executing();
        failed.push(RemediationEvent::StepStarted { step: step.clone(), attempt: 1, at: sample::after(1) });
        // PostgreSQL takes no NUL in a text.
        failed.push(RemediationEvent::StepFailed { step, error: "it said \0".to_owned(), at: sample::after(2) });
        for events in [sample::remediation_succeeded(), sample::remediation_rolled_back(), failed] {
            views.survives_being_forgotten::<Remediations>(&told(events)).await;
        }
    }

    #[test]
    fn an_event_of_a_remediation_never_asked_for_is_refused() {
        let events = told(vec![RemediationEvent::RemediationSucceeded { at: sample::start() }]);
        let refused = RemediationTable::fold(&mut None, &events[0]);
        assert!(matches!(refused, Err(ApplyError::Event { position, .. }) if position.0 == 1));
    }
}
