//! `redis.purge-memory`: has the allocator give free pages back to the system.

use super::{Server, number};
use crate::action::{
    Act, ActionError, ActionSpec, ActionTarget, Isolation, OutputKind, OutputSpec, UndoSpec, Verified,
};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Gives free memory back.
#[derive(Debug)]
pub struct PurgeMemory;

/// It is told nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

/// Which allocator the server uses: what it holds moves by itself, and is no state.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    allocator: String,
}

impl Act for PurgeMemory {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "redis.purge-memory",
        version: 1,
        title: "Give free memory of Redis back to the system",
        components: &[ComponentKind::Cache],
        outputs: &[OutputSpec { name: "bytes", kind: OutputKind::Integer }],
        undo: UndoSpec::Nothing(
            "free memory that the system has back is no state: Redis takes it again as it needs it",
        ),
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(30),
    };

    async fn capture(_: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let mut server = Server::open(target).await?;
        let allocator = server.info("memory").await?.remove("mem_allocator").unwrap_or_default();
        if !allocator.starts_with("jemalloc") {
            let text = format!("only jemalloc can give memory back on demand, and the server uses {allocator:?}");
            return Err(ActionError::precondition(text));
        }
        Ok(State { allocator })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let summary = format!("{} gives free pages back to the system", before.allocator);
        vec![Change { summary, subject: "memory".to_owned(), from: None, to: None }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        let mut server = Server::open(target).await?;
        let before = number(&server.info("memory").await?, "used_memory_rss")?;
        server.send::<()>(&["MEMORY", "PURGE"]).await?;
        let after = number(&server.info("memory").await?, "used_memory_rss")?;
        Ok(Outputs::from([("bytes".to_owned(), before.saturating_sub(after).into())]))
    }

    /// How much there was to give is not known: that the server works on is what can be seen. Whether it helped says
    /// the check.
    async fn verify(_: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let mut server = Server::open(target).await?;
        let answer: String = server.send(&["PING"]).await?;
        if answer != "PONG" {
            return Ok(Verified::NotDone("the server does not answer".to_owned()));
        }
        Ok(Verified::NoTrace("free pages that are given back twice are given back once".to_owned()))
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
    async fn it_may_be_repeated_and_stops_when_told() {
        let cache = Cache::start().await;
        let before = cache.trial("redis.purge-memory", json!({})).repeats().await;
        assert!(before["allocator"].as_str().unwrap().starts_with("jemalloc"));
        cache.trial("redis.purge-memory", json!({})).refuses_without_user().await;
    }
}
