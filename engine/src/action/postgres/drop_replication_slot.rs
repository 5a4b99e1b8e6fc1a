//! Drops a replication slot that nobody reads.

use super::change;
use crate::action::sql::{Access, Session, identifier};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, Verified, no_undo};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct DropReplicationSlot;

/// Which slot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Its name.
    pub slot: String,
}

/// What it is. The place that it keeps does not move while nobody reads it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    slot_type: String,
    plugin: Option<String>,
    database: Option<String>,
    active: bool,
    temporary: bool,
    restart_lsn: Option<String>,
}

const FIND: &str = "
    SELECT s.slot_type, CAST(s.plugin AS text) AS plugin, CAST(s.database AS text) AS database, s.active, s.temporary,
           CAST(s.restart_lsn AS text) AS restart_lsn
    FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1";

impl Act for DropReplicationSlot {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.drop-replication-slot",
        version: 1,
        title: "Drop a replication slot that nobody reads",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: no_undo("what the slot kept is removed: a standby that comes back must be built anew"),
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(1),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let slot = &parameters.slot;
        let missing = || ActionError::precondition(format!("there is no replication slot {slot}"));
        let found = find(parameters, target).await?.ok_or_else(missing)?;
        if found.active {
            return Err(ActionError::precondition(format!("slot {slot} is active: somebody reads it")));
        }
        if found.temporary {
            return Err(ActionError::precondition(format!("slot {slot} is temporary: it ends with its session")));
        }
        Ok(found)
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        let slot = &parameters.slot;
        let from = before.restart_lsn.as_deref().unwrap_or("nothing");
        let kind = &before.slot_type;
        let summary = format!(
            "drop the {kind} replication slot {slot}, which keeps all since {from}. Not known: whether its reader is gone \
             for good or only down"
        );
        vec![change(summary, slot.clone(), Some(json!(before)), None)]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius::default()
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let mut session = Session::open(target, Access::Write).await?;
        // Still inactive, still at the same place: else somebody has read it meanwhile.
        let drop = "SELECT pg_drop_replication_slot(s.slot_name) FROM pg_catalog.pg_replication_slots s
                    WHERE s.slot_name = $1 AND NOT s.active AND coalesce(CAST(s.restart_lsn AS text), '') = $2";
        let place = before.restart_lsn.clone().unwrap_or_default();
        session.execute(drop, &[parameters.slot.as_str().into(), place.into()]).await?;
        session.close().await;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let slot = &parameters.slot;
        Ok(match find(parameters, target).await? {
            None => Verified::Done,
            Some(now) if now == *before => Verified::NotDone(format!("slot {slot} is still there")),
            Some(_) => Verified::NotDone(format!("slot {slot} has been read meanwhile, and stays")),
        })
    }

    async fn undo(_: &Parameters, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}

async fn find(parameters: &Parameters, target: &ActionTarget) -> Result<Option<State>, ActionError> {
    identifier(&parameters.slot)?;
    let mut session = Session::open(target, Access::Read).await?;
    let found = session.row(FIND, &[parameters.slot.as_str().into()]).await?;
    session.close().await;
    Ok(found)
}
