//! Cancels the statement that a session is running; the session stays.

use super::backend::{Backend, BackendName};
use super::change;
use super::ending::{self, Ending};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, Verified, no_undo};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct CancelQuery;

/// The same session, still at the same statement.
const ENDING: Ending = Ending {
    is_meant: Backend::is_active,
    otherwise: ", and runs no statement: a cancel would do nothing",
    began: |backend| backend.query_start,
    signal: "SELECT pg_cancel_backend(a.pid) FROM pg_catalog.pg_stat_activity a
             WHERE a.pid = $1 AND a.backend_start = $2 AND a.state = 'active'
               AND a.query_start IS NOT DISTINCT FROM $3",
    goes_on: |now, before| now.is_active() && now.query_start == before.query_start,
    still: "still runs the same statement",
};

impl Act for CancelQuery {
    type Parameters = BackendName;
    type State = Backend;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.cancel-query",
        version: 1,
        title: "Cancel the statement that a session is running",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: no_undo("the statement's transaction is rolled back: its owner has to run it again"),
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(30),
    };

    async fn capture(parameters: &BackendName, target: &ActionTarget) -> Result<Backend, ActionError> {
        ENDING.capture(parameters, target).await
    }

    fn preview(_: &BackendName, before: &Backend) -> Vec<Change> {
        let query = before.query.as_deref().unwrap_or("?");
        let summary = format!("cancel, and so roll back, what {} is running: {query}", before.shown());
        vec![change(summary, before.shown(), Some(json!({"state": before.state, "query": query})), None)]
    }

    fn blast(_: &BackendName, _: &Backend) -> BlastRadius {
        ending::blast()
    }

    async fn apply(parameters: &BackendName, target: &ActionTarget, before: &Backend) -> Result<Outputs, ActionError> {
        ENDING.apply(parameters, target, before).await
    }

    async fn verify(
        parameters: &BackendName,
        target: &ActionTarget,
        before: &Backend,
    ) -> Result<Verified, ActionError> {
        ENDING.verify(parameters, target, before).await
    }

    async fn undo(_: &BackendName, _: &ActionTarget, _: &Backend) -> Result<(), ActionError> {
        Ok(())
    }
}
