//! Drops an index that a failed build has left invalid.

use super::index::{self, Index, IndexName};
use super::{bytes_at_most, change};
use crate::action::sql::{Access, Session};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// See the module.
pub struct DropInvalidIndex;

/// What it was meant to be.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    index: Index,
    bytes_at_most: u64,
}

impl Act for DropInvalidIndex {
    type Parameters = IndexName;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "postgres.drop-invalid-index",
        version: 1,
        title: "Drop an index that a failed build has left invalid",
        components: &[ComponentKind::DatasetDatabase],
        outputs: &[],
        undo: UndoSpec::Nothing("an invalid index serves no search; its definition is kept, to build it properly"),
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(30),
    };

    async fn capture(parameters: &IndexName, target: &ActionTarget) -> Result<State, ActionError> {
        let found = index::to_change(target, parameters).await?;
        let fail = |why: String| Err(ActionError::precondition(format!("{} stays: {why}", parameters.shown())));
        if found.index.is_valid {
            return fail("it is valid".to_owned());
        }
        if let Some(reason) = index::holds_back(&found) {
            return fail(reason);
        }
        Ok(State { bytes_at_most: bytes_at_most(found.bytes), index: found.index })
    }

    fn preview(parameters: &IndexName, before: &State) -> Vec<Change> {
        let name = parameters.shown();
        let unique = if before.index.is_unique { "; the uniqueness that it was to guard stays unguarded" } else { "" };
        let summary = format!("drop the invalid index {name} on {}{unique}", before.index.table);
        vec![change(summary, name, Some(json!({"definition": before.index.definition})), None)]
    }

    fn blast(_: &IndexName, before: &State) -> BlastRadius {
        BlastRadius { bytes: before.bytes_at_most, ..BlastRadius::default() }
    }

    async fn apply(parameters: &IndexName, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let mut session = Session::open(target, Access::Patient).await?;
        if let Some(found) = index::find(&mut session, parameters).await? {
            if found.index.is_valid || found.index.definition != before.index.definition {
                let text = format!("{} is not the invalid index any more", parameters.shown());
                return Err(ActionError::precondition(text));
            }
            index::drop_concurrently(&mut session, parameters).await?;
        }
        session.close().await;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &IndexName, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        Ok(match index::find_once(target, parameters).await? {
            None => Verified::Done,
            Some(_) => Verified::NotDone(format!("{} is still there", parameters.shown())),
        })
    }

    async fn undo(_: &IndexName, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}
