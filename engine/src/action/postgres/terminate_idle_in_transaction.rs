//! Ends a session that holds a transaction open and does nothing.

use super::backend::{self, Backend, BackendName};
use super::{LOOK_EVERY, LOOKS, change};
use crate::action::sql::{Access, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, Verified, no_undo};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct TerminateIdleInTransaction;

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
        let mut session = Session::open(target, Access::Read).await?;
        let found = backend::find(&mut session, parameters).await?;
        session.close().await;
        let gone = || ActionError::precondition(format!("session {} is gone: nothing is to be done", parameters.pid));
        let found = found.ok_or_else(gone)?;
        if !found.is_idle_in_transaction() {
            let state = found.state.as_deref().unwrap_or("?");
            let text = format!("{} is {state}, and not idle in its transaction: it is left alone", found.shown());
            return Err(ActionError::precondition(text));
        }
        Ok(found)
    }

    fn preview(_: &BackendName, before: &Backend) -> Vec<Change> {
        let query = before.query.as_deref().unwrap_or("?");
        let summary = format!("end {} and roll its transaction back; it ran last: {query}", before.shown());
        let from = json!({"state": before.state, "query": query, "transaction_since": before.xact_start});
        vec![change(summary, before.shown(), Some(from), None)]
    }

    fn blast(_: &BackendName, _: &Backend) -> BlastRadius {
        BlastRadius { users: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &BackendName, target: &ActionTarget, before: &Backend) -> Result<Outputs, ActionError> {
        let mut session = Session::open(target, Access::Write).await?;
        // The same session, idle in the same transaction: judged where the signal is sent.
        let signal = "SELECT pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a
                      WHERE a.pid = $1 AND a.backend_start = $2 AND a.state LIKE 'idle in transaction%'
                        AND a.xact_start = $3";
        let [pid, start] = parameters.values();
        if let Some(began) = before.xact_start {
            session.execute(signal, &[pid, start, began.into()]).await?;
        }
        session.close().await;
        Ok(Outputs::new())
    }

    async fn verify(
        parameters: &BackendName,
        target: &ActionTarget,
        before: &Backend,
    ) -> Result<Verified, ActionError> {
        let mut session = Session::open(target, Access::Read).await?;
        for _ in 0..LOOKS {
            // Gone; or it has gone on by itself, and is no longer in that transaction.
            let now = backend::find(&mut session, parameters).await?;
            if now.is_none_or(|now| now.xact_start != before.xact_start) {
                session.close().await;
                return Ok(Verified::Done);
            }
            session.pause(LOOK_EVERY).await?;
        }
        Ok(Verified::NotDone(format!("{} is still in the same transaction", before.shown())))
    }

    async fn undo(_: &BackendName, _: &ActionTarget, _: &Backend) -> Result<(), ActionError> {
        Ok(())
    }
}
