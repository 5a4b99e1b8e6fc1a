//! Ends a session that holds a transaction open and does nothing.

use super::backend::{Backend, BackendName};
use super::change;
use super::ending::{self, Ending};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, Verified, no_undo};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct TerminateIdleInTransaction;

/// The same session, idle in the same transaction.
const ENDING: Ending = Ending {
    is_meant: Backend::is_idle_in_transaction,
    otherwise: ", and not idle in its transaction: it is left alone",
    began: |backend| backend.xact_start,
    signal: "SELECT pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a
             WHERE a.pid = $1 AND a.backend_start = $2 AND a.state LIKE 'idle in transaction%'
               AND a.xact_start = $3",
    goes_on: |now, before| now.xact_start == before.xact_start,
    still: "is still in the same transaction",
};

impl Act for TerminateIdleInTransaction {
    type Parameters = BackendName;
    type State = Backend;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.terminate-idle-in-transaction",
        version: 1,
        title: "End a session that is idle in its transaction",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: no_undo("its transaction is rolled back and its connection closed: what it had not committed is lost"),
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(30),
    };

    async fn capture(parameters: &BackendName, target: &ActionTarget) -> Result<Backend, ActionError> {
        ENDING.capture(parameters, target).await
    }

    fn preview(_: &BackendName, before: &Backend) -> Vec<Change> {
        let query = before.query.as_deref().unwrap_or("?");
        let summary = format!("end {} and roll its transaction back; it ran last: {query}", before.shown());
        let from = json!({"state": before.state, "query": query, "transaction_since": before.xact_start});
        vec![change(summary, before.shown(), Some(from), None)]
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
