//! `index.clear-read-only`: takes the block off that a full disk has put on an index, once there is room again.

use super::{Index, is_set};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

const BLOCK: &str = "index.blocks.read_only_allow_delete";
/// Above this a disk is not free: the cluster would put the block on again.
const DISK_PERCENT: f64 = 90.0;

/// Takes the block off.
#[derive(Debug)]
pub struct ClearReadOnly;

/// It is told nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

/// Whether the block is on.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    index: String,
    blocked: bool,
}

impl Act for ClearReadOnly {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "index.clear-read-only",
        version: 1,
        title: "Take the block of a full disk off the content index",
        components: &[ComponentKind::ContentIndex],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(60),
    };

    async fn capture(_: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let index = Index::of(target)?;
        let (name, settings) = index.settings().await?;
        let blocked = is_set(&settings, BLOCK);
        if blocked {
            must_have_room(&index).await?;
        }
        Ok(State { index: name, blocked })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        if !before.blocked {
            return Vec::new();
        }
        vec![Change {
            summary: format!("let {} be written to again", before.index),
            subject: BLOCK.to_owned(),
            from: Some(true.into()),
            to: None,
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        Index::of(target)?.set(&before.index, &json!({ BLOCK: null })).await?;
        Ok(Outputs::new())
    }

    async fn verify(_: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let (name, settings) = Index::of(target)?.settings().await?;
        if is_set(&settings, BLOCK) {
            return Ok(Verified::NotDone(format!("{name} is still blocked")));
        }
        Ok(Verified::Done)
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        let value = if before.blocked { json!(true) } else { Value::Null };
        Index::of(target)?.set(&before.index, &json!({ BLOCK: value })).await
    }
}

/// Of each node that holds data: what it does not say is no room.
async fn must_have_room(index: &Index<'_>) -> Result<(), ActionError> {
    let query = [("format", "json"), ("bytes", "b")];
    let nodes = index.api.call_with(reqwest::Method::GET, &["_cat", "allocation"], &query, super::Body::None).await?;
    let nodes = nodes.as_array().ok_or_else(|| index.api.odd("no allocation"))?;
    let mut seen = false;
    for node in nodes.iter().filter(|node| node["node"] != "UNASSIGNED") {
        let (name, said) = (node["node"].as_str().unwrap_or("a node"), &node["disk.percent"]);
        let used = said.as_f64().or_else(|| said.as_str()?.parse().ok());
        let used =
            used.ok_or_else(|| ActionError::precondition(format!("how full the disk of {name} is, is not known")))?;
        if used >= DISK_PERCENT {
            return Err(ActionError::precondition(format!(
                "the disk of {name} is {used} % full: make room first, or the block comes back"
            )));
        }
        seen = true;
    }
    if seen { Ok(()) } else { Err(ActionError::precondition("no node says how full its disk is")) }
}

#[cfg(test)]
mod tests {
    use crate::action::index::testing::{Site, trial};
    use serde_json::json;

    #[tokio::test]
    async fn the_block_is_taken_off_and_put_on_again() {
        let site = Site::start().await;
        site.breaks("index-read-only").await;
        let clear = trial(&site, "index.clear-read-only", json!({}));
        let before = clear.undoes().await;
        assert_eq!(before, json!({ "index": "cm-d1-000001", "blocked": true }));
        clear.refuses_without_user().await;
    }
}
