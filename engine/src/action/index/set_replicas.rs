//! `index.set-replicas`: sets how many copies of each shard the content index keeps.

use super::Index;
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

const SETTING: &str = "index.number_of_replicas";

/// Sets the number of replicas.
#[derive(Debug)]
pub struct SetReplicas;

/// How many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Copies beside the primary: fewer than there are data nodes.
    replicas: u64,
}

/// How many there are to be.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    index: String,
    replicas: u64,
}

impl Act for SetReplicas {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "index.set-replicas",
        version: 1,
        title: "Set how many copies the content index keeps",
        components: &[ComponentKind::ContentIndex],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(60),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let index = Index::of(target)?;
        let nodes = index.health().await?.nodes;
        if parameters.replicas >= nodes {
            let text = format!("{} replicas have no place on {nodes} data nodes", parameters.replicas);
            return Err(ActionError::precondition(text));
        }
        let (name, settings) = index.settings().await?;
        let replicas = number(&settings[SETTING]).ok_or_else(|| index.api.odd("no number of replicas"))?;
        if settings["index.auto_expand_replicas"].as_str().is_some_and(|range| range != "false") {
            let text = format!("{name} sets its replicas by itself (auto_expand_replicas)");
            return Err(ActionError::precondition(text));
        }
        Ok(State { index: name, replicas })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        if parameters.replicas == before.replicas {
            return Vec::new();
        }
        vec![Change {
            summary: format!("set replicas of {} from {} to {}", before.index, before.replicas, parameters.replicas),
            subject: SETTING.to_owned(),
            from: Some(before.replicas.into()),
            to: Some(parameters.replicas.into()),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        Index::of(target)?.set(&before.index, &json!({ SETTING: parameters.replicas })).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let (name, settings) = Index::of(target)?.settings().await?;
        match number(&settings[SETTING]) {
            Some(is) if is == parameters.replicas => Ok(Verified::Done),
            is => Ok(Verified::NotDone(format!("{name} has {is:?} replicas"))),
        }
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        Index::of(target)?.set(&before.index, &json!({ SETTING: before.replicas })).await
    }
}

/// Settings are texts.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use crate::action::index::testing::{Site, trial};
    use serde_json::json;

    #[tokio::test]
    async fn a_replica_without_a_place_is_given_up_and_wanted_again() {
        let site = Site::start().await;
        site.breaks("index-replicas").await;
        let before = trial(&site, "index.set-replicas", json!({ "replicas": 0 })).undoes().await;
        assert_eq!(before, json!({ "index": "cm-d1-000001", "replicas": 1 }));
        let error = trial(&site, "index.set-replicas", json!({ "replicas": 1 })).capture().await.unwrap_err();
        assert!(error.message.contains("have no place on 1"), "{error}");
    }
}
