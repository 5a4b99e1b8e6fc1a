//! Cancels the statement that a session is running; the session stays.

use super::backend::{self, Backend, BackendName};
use super::{LOOK_EVERY, LOOKS, change};
use crate::action::sql::{Access, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, Verified, no_undo};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct CancelQuery;

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
        let mut session = Session::open(target, Access::Read).await?;
        let found = backend::find(&mut session, parameters).await?;
        session.close().await;
        let gone = || ActionError::precondition(format!("session {} is gone: nothing is to be done", parameters.pid));
        let found = found.ok_or_else(gone)?;
        if !found.is_active() {
            let state = found.state.as_deref().unwrap_or("?");
            let text = format!("{} runs no statement (it is {state}): a cancel would do nothing", found.shown());
            return Err(ActionError::precondition(text));
        }
        Ok(found)
    }

    fn preview(_: &BackendName, before: &Backend) -> Vec<Change> {
        let query = before.query.as_deref().unwrap_or("?");
        let summary = format!("cancel, and so roll back, what {} is running: {query}", before.shown());
        vec![change(summary, before.shown(), Some(json!({"state": before.state, "query": query})), None)]
    }

    fn blast(_: &BackendName, _: &Backend) -> BlastRadius {
        BlastRadius { users: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &BackendName, target: &ActionTarget, before: &Backend) -> Result<Outputs, ActionError> {
        let mut session = Session::open(target, Access::Write).await?;
        // The same session, still at the same statement: judged where the signal is sent.
        let signal = "SELECT pg_cancel_backend(a.pid) FROM pg_catalog.pg_stat_activity a
                      WHERE a.pid = $1 AND a.backend_start = $2 AND a.state = 'active'
                        AND a.query_start IS NOT DISTINCT FROM $3";
        let [pid, start] = parameters.values();
        if let Some(began) = before.query_start {
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
            let now = backend::find(&mut session, parameters).await?;
            if now.is_none_or(|now| !now.is_active() || now.query_start != before.query_start) {
                session.close().await;
                return Ok(Verified::Done);
            }
            session.pause(LOOK_EVERY).await?;
        }
        Ok(Verified::NotDone(format!("{} still runs the same statement", before.shown())))
    }

    async fn undo(_: &BackendName, _: &ActionTarget, _: &Backend) -> Result<(), ActionError> {
        Ok(())
    }
}
