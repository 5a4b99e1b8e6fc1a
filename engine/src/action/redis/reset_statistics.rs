//! `redis.reset-statistics`: has the counters of a Redis server begin anew, after what they counted was put right.

use super::Server;
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Has the counters begin anew.
#[derive(Debug)]
pub struct ResetStatistics;

/// It is told nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

/// Nothing: counters move by themselves.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {}

impl Act for ResetStatistics {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "redis.reset-statistics",
        version: 1,
        title: "Have the counters of Redis begin anew",
        components: &[ComponentKind::Cache],
        outputs: &[],
        undo: UndoSpec::Impossible("what the counters had counted is gone; no data is"),
        always_approve: true,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(15),
    };

    async fn capture(_: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let mut server = Server::open(target).await?;
        server.info("stats").await?;
        Ok(State {})
    }

    fn preview(_: &Parameters, _: &State) -> Vec<Change> {
        let summary = "hits, misses, evictions, connections and errors are counted from 0 again".to_owned();
        vec![Change { summary, subject: "statistics".to_owned(), from: None, to: None }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        Server::open(target).await?.send::<()>(&["CONFIG", "RESETSTAT"]).await?;
        Ok(Outputs::new())
    }

    /// Counters that have begun anew can not be told from small ones: that the server answers is what can be seen, and
    /// repeating it does no more.
    async fn verify(_: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let stats = Server::open(target).await?.info("stats").await?;
        if stats.contains_key("evicted_keys") {
            return Ok(Verified::NoTrace("counters that begin anew twice begin anew".to_owned()));
        }
        Ok(Verified::NotDone("the server does not show its counters".to_owned()))
    }

    async fn undo(_: &Parameters, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::action::redis::testing::Cache;
    use serde_json::json;

    #[tokio::test]
    async fn counters_begin_anew() {
        let cache = Cache::start().await;
        cache.raw(&["GET", "nothing"]).await;
        assert!(cache.stat("keyspace_misses").await >= 1);
        cache.trial("redis.reset-statistics", json!({})).repeats().await;
        assert_eq!(cache.stat("keyspace_misses").await, 0);
    }
}
