//! `index.retry-allocation`: has the cluster try shards again that it has given up.

use super::{Health, Index};
use crate::action::http::{Body, pause};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// How often to look whether the shards are there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Tries shards again.
#[derive(Debug)]
pub struct RetryAllocation;

/// It is told nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

/// The health of the index.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    index: String,
    status: String,
    missing_shards: u64,
}

impl Act for RetryAllocation {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "index.retry-allocation",
        version: 1,
        title: "Have the cluster try shards again that it has given up",
        components: &[ComponentKind::ContentIndex],
        outputs: &[],
        undo: UndoSpec::Nothing("a shard that is there again holds what it held: it is not taken away again"),
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(5),
    };

    async fn capture(_: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let index = Index::of(target)?;
        let Health { status, missing, .. } = index.health().await?;
        Ok(State { index: index.name.to_owned(), status, missing_shards: missing })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        if before.missing_shards == 0 {
            return Vec::new();
        }
        let State { index, status, missing_shards } = before;
        vec![Change {
            summary: format!("try the {missing_shards} missing shards of {index} again, which is {status}"),
            subject: index.clone(),
            from: Some(status.clone().into()),
            to: None,
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        let until = Instant::now() + target.deadline / 2;
        let index = Index::of(target)?;
        let retry = [("retry_failed", "true")];
        index.api.call_with(Method::POST, &["_cluster", "reroute"], &retry, Body::None).await?;
        while index.health().await?.status == "red" && Instant::now() < until {
            pause(target, LOOK_EVERY).await?;
        }
        Ok(Outputs::new())
    }

    /// Replicas that have no place are another matter: what was red must not be red.
    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let index = Index::of(target)?;
        let Health { status, missing, .. } = index.health().await?;
        if status != "red" && (missing < before.missing_shards || before.status != "yellow") {
            return Ok(Verified::Done);
        }
        let why = format!("{} is {status}, {missing} shards are missing{}", index.name, explanation(&index).await);
        Ok(Verified::NotDone(why))
    }

    async fn undo(_: &Parameters, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}

/// What the cluster says of the first missing shard, where it says something.
async fn explanation(index: &Index<'_>) -> String {
    let told = index.get(&["_cluster", "allocation", "explain"]).await.ok();
    let text = told.and_then(|told| told["allocate_explanation"].as_str().map(str::to_owned));
    text.map_or_else(String::new, |text| format!(": {}", text.chars().take(300).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use crate::action::Verified;
    use crate::action::index::testing::{Site, trial};
    use serde_json::json;

    #[tokio::test]
    async fn a_red_index_is_tried_again_and_a_replica_without_a_place_is_not_helped() {
        let site = Site::start().await;
        let retry = trial(&site, "index.retry-allocation", json!({}));
        assert!(retry.preview(&retry.capture().await.unwrap()).is_empty());
        site.breaks("index-red").await;
        let before = retry.capture().await.unwrap();
        match retry.verify(&before).await.unwrap() {
            Verified::NotDone(why) => assert!(why.contains("maximum number of retries"), "{why}"),
            Verified::Done | Verified::NoTrace(_) => panic!("it is red"),
        }
        assert_eq!(retry.repeats().await["status"], "red");
        site.breaks("index-replicas").await;
        let before = retry.capture().await.unwrap();
        retry.apply(&before).await.unwrap();
        assert!(matches!(retry.verify(&before).await.unwrap(), Verified::NotDone(_)));
    }
}
