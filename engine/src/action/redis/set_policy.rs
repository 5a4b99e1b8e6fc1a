//! `redis.set-policy`: sets what Redis throws out when its memory is full.

use super::Server;
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The policies there are: anything else is refused before the server sees it.
const POLICIES: [&str; 8] = [
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

/// Sets the policy.
#[derive(Debug)]
pub struct SetPolicy;

/// Which one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The policy, by its name in Redis.
    policy: String,
}

/// The policy that is set.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    policy: String,
}

impl Act for SetPolicy {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "redis.set-policy",
        version: 1,
        title: "Set what Redis throws out when its memory is full",
        components: &[ComponentKind::Cache],
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        // Keys that are thrown out meanwhile do not come back with the old policy.
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(15),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        if !POLICIES.contains(&parameters.policy.as_str()) {
            let text = format!("{:?} is no policy; known are {}", parameters.policy, POLICIES.join(", "));
            return Err(ActionError::configuration(text));
        }
        Ok(State { policy: Server::open(target).await?.setting("maxmemory-policy").await? })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        if before.policy == parameters.policy {
            return Vec::new();
        }
        vec![Change {
            summary: format!("set maxmemory-policy from {} to {}", before.policy, parameters.policy),
            subject: "maxmemory-policy".to_owned(),
            from: Some(before.policy.clone().into()),
            to: Some(parameters.policy.clone().into()),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        Server::open(target).await?.set("maxmemory-policy", &parameters.policy).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let is = Server::open(target).await?.setting("maxmemory-policy").await?;
        if is == parameters.policy {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("maxmemory-policy is {is}")))
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        Server::open(target).await?.set("maxmemory-policy", &before.policy).await
    }
}

#[cfg(test)]
mod tests {
    use crate::action::redis::testing::Cache;
    use serde_json::json;

    #[tokio::test]
    async fn the_policy_is_set_and_put_back_and_others_are_refused() {
        let cache = Cache::start().await;
        let before = cache.trial("redis.set-policy", json!({ "policy": "allkeys-lru" })).undoes().await;
        assert_eq!(before, json!({ "policy": "noeviction" }));
        for policy in ["allkeys", "noeviction maxmemory 0", ""] {
            let error = cache.trial("redis.set-policy", json!({ "policy": policy })).capture().await.unwrap_err();
            assert!(error.message.contains("is no policy"), "{policy}: {error}");
        }
    }
}
