//! `redis.set-limit`: raises `maxmemory` of the running server, within what the machine has.

use super::{Server, number};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a limit may take of the machine's memory at most.
const MACHINE_PERCENT_MAX: u64 = 60;

/// Raises the limit.
#[derive(Debug)]
pub struct SetLimit;

/// By how much.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// By so many percent of what it is: 1 to 200.
    #[schemars(range(min = 1, max = 200))]
    grow_percent: u64,
}

/// The limit.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    maxmemory: u64,
}

impl Parameters {
    /// In bytes, from what it was: the same however often it is worked out.
    const fn limit(&self, before: &State) -> u64 {
        before.maxmemory / 100 * (100 + self.grow_percent)
    }
}

impl Act for SetLimit {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "redis.set-limit",
        version: 1,
        title: "Raise the memory limit of Redis",
        components: &[ComponentKind::Cache],
        outputs: &[OutputSpec { name: "maxmemory", kind: OutputKind::Integer }],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(15),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        if !(1..=200).contains(&parameters.grow_percent) {
            return Err(ActionError::configuration("grow_percent is not within 1 and 200"));
        }
        let mut server = Server::open(target).await?;
        let text = server.setting("maxmemory").await?;
        let maxmemory = text.parse().map_err(|_| ActionError::precondition(format!("maxmemory is {text:?}")))?;
        if maxmemory == 0 {
            return Err(ActionError::precondition("the server has no limit: there is nothing to raise"));
        }
        let machine = number(&server.info("memory").await?, "total_system_memory")?;
        let state = State { maxmemory };
        let limit = parameters.limit(&state);
        if limit > machine / 100 * MACHINE_PERCENT_MAX {
            return Err(ActionError::precondition(format!(
                "a limit of {limit} bytes would be more than {MACHINE_PERCENT_MAX} % of the machine's memory ({machine} bytes)"
            )));
        }
        Ok(state)
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        let limit = parameters.limit(before);
        vec![Change {
            summary: format!("set maxmemory from {} to {limit} bytes", before.maxmemory),
            subject: "maxmemory".to_owned(),
            from: Some(before.maxmemory.into()),
            to: Some(limit.into()),
        }]
    }

    fn blast(parameters: &Parameters, before: &State) -> BlastRadius {
        let bytes = parameters.limit(before).saturating_sub(before.maxmemory);
        BlastRadius { deployments: 1, bytes, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Outputs, ActionError> {
        let limit = parameters.limit(before);
        Server::open(target).await?.set("maxmemory", &limit.to_string()).await?;
        Ok(Outputs::from([("maxmemory".to_owned(), limit.into())]))
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let is = Server::open(target).await?.setting("maxmemory").await?;
        if is == parameters.limit(before).to_string() {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("maxmemory is {is}")))
    }

    async fn undo(_: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        Server::open(target).await?.set("maxmemory", &before.maxmemory.to_string()).await
    }
}

#[cfg(test)]
mod tests {
    use crate::action::redis::testing::Cache;
    use serde_json::json;

    #[tokio::test]
    async fn the_limit_is_raised_and_put_back() {
        let cache = Cache::start().await;
        let trial = cache.trial("redis.set-limit", json!({ "grow_percent": 50 }));
        assert!(trial.capture().await.unwrap_err().message.contains("no limit"));
        cache.raw(&["CONFIG", "SET", "maxmemory", "10000000"]).await;
        let before = trial.undoes().await;
        assert_eq!(before, json!({ "maxmemory": 10_000_000 }));
        trial.apply(&before).await.unwrap();
        assert_eq!(cache.raw(&["CONFIG", "GET", "maxmemory"]).await[1], "15000000");
    }

    #[tokio::test]
    async fn more_than_the_machine_can_bear_is_refused() {
        let cache = Cache::start().await;
        cache.raw(&["CONFIG", "SET", "maxmemory", "1000000000000000"]).await;
        let error = cache.trial("redis.set-limit", json!({ "grow_percent": 10 })).capture().await.unwrap_err();
        assert!(error.message.contains("machine's memory"), "{error}");
        assert!(cache.trial("redis.set-limit", json!({ "grow_percent": 0 })).capture().await.is_err());
    }
}
