//! Removes the dead rows of a table, beside normal traffic.

use super::table::{self, TableName};
use super::{LOOKS, bytes_at_most, change, pause_after, run};
use crate::action::sql::{Access, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// See the module.
pub struct Vacuum;

/// When the table was vacuumed, and about how large it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    oid: i64,
    vacuumed_at: Option<String>,
    bytes_at_most: u64,
}

impl Act for Vacuum {
    type Parameters = TableName;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.vacuum",
        version: 1,
        title: "Remove the dead rows of a table and take its statistics",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::Nothing("dead rows are no data: nobody can see them any more"),
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_hours(1),
    };

    async fn capture(parameters: &TableName, target: &ActionTarget) -> Result<State, ActionError> {
        let mut session = Session::open(target, Access::Read).await?;
        let table = table::to_maintain(&mut session, parameters).await?;
        session.close().await;
        if table.kind == "p" {
            let text = format!("{} is partitioned: vacuum its partitions", parameters.shown());
            return Err(ActionError::precondition(text));
        }
        Ok(State { oid: table.oid, vacuumed_at: table.vacuumed_at, bytes_at_most: bytes_at_most(table.bytes) })
    }

    fn preview(parameters: &TableName, before: &State) -> Vec<Change> {
        let since = before.vacuumed_at.clone().map(Value::from);
        let last = before.vacuumed_at.as_deref().unwrap_or("never");
        let summary = format!("remove the dead rows of {} (last vacuum: {last})", parameters.shown());
        vec![change(summary, parameters.shown(), since, Some("now".into()))]
    }

    fn blast(_: &TableName, before: &State) -> BlastRadius {
        BlastRadius { bytes: before.bytes_at_most, ..BlastRadius::default() }
    }

    async fn apply(parameters: &TableName, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        run(target, Access::Write, &format!("VACUUM (ANALYZE) {}", parameters.quoted()?)).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &TableName, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let mut session = Session::open(target, Access::Read).await?;
        for look in 0..LOOKS {
            let table = table::to_maintain(&mut session, parameters).await?;
            if table.vacuumed_at.is_some() && table.vacuumed_at != before.vacuumed_at {
                session.close().await;
                return Ok(Verified::Done);
            }
            session.pause(pause_after(look)).await?;
        }
        Ok(Verified::NotDone(format!("the server still says that {} was not vacuumed", parameters.shown())))
    }

    async fn undo(_: &TableName, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}
