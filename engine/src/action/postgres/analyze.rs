//! Gathers the planner's statistics of a table anew.

use super::table::{self, TableName};
use super::{LOOKS, change, pause_after, run};
use crate::action::sql::{Access, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// See the module.
pub struct Analyze;

/// When the statistics were taken: it changes with each analysis, whoever runs it.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    oid: i64,
    analysed_at: Option<String>,
}

impl Act for Analyze {
    type Parameters = TableName;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.analyze",
        version: 1,
        title: "Gather the planner's statistics of a table anew",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::Nothing("statistics say what the table holds: older ones are only less true"),
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(10),
    };

    async fn capture(parameters: &TableName, target: &ActionTarget) -> Result<State, ActionError> {
        let mut session = Session::open(target, Access::Read).await?;
        let table = table::to_maintain(&mut session, parameters).await?;
        session.close().await;
        Ok(State { oid: table.oid, analysed_at: table.analysed_at })
    }

    fn preview(parameters: &TableName, before: &State) -> Vec<Change> {
        let since = before.analysed_at.clone().map(Value::from);
        let last = before.analysed_at.as_deref().unwrap_or("never");
        let summary = format!("take the statistics of {} anew (last taken: {last})", parameters.shown());
        vec![change(summary, parameters.shown(), since, Some("now".into()))]
    }

    fn blast(_: &TableName, _: &State) -> BlastRadius {
        BlastRadius::default()
    }

    async fn apply(parameters: &TableName, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        run(target, Access::Write, &format!("ANALYZE {}", parameters.quoted()?)).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &TableName, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let mut session = Session::open(target, Access::Read).await?;
        for look in 0..LOOKS {
            let table = table::to_maintain(&mut session, parameters).await?;
            if table.analysed_at.is_some() && table.analysed_at != before.analysed_at {
                session.close().await;
                return Ok(Verified::Done);
            }
            session.pause(pause_after(look)).await?;
        }
        Ok(Verified::NotDone(format!("the server still says that {} was not analysed", parameters.shown())))
    }

    async fn undo(_: &TableName, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}
