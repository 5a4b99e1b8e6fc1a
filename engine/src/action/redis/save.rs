//! `redis.save`: writes a snapshot in the background, and waits for it.

use super::{Server, number};
use crate::action::http::pause;
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::deployment::ComponentKind;
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// How often to look whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Writes a snapshot.
#[derive(Debug)]
pub struct Save;

/// It is told nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {}

/// How the last snapshot went. When, and what changed since, moves by itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    last_save: String,
}

impl Act for Save {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "redis.save",
        version: 1,
        title: "Write a snapshot of Redis to disk and wait for it",
        components: &[ComponentKind::Cache],
        outputs: &[],
        undo: UndoSpec::Nothing("a newer snapshot only takes the place of an older one of the same data"),
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_mins(5),
    };

    async fn capture(_: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        let mut server = Server::open(target).await?;
        let last_save = server.info("persistence").await?.remove("rdb_last_bgsave_status");
        let unknown = || ActionError::precondition("the server does not say how its last snapshot went");
        Ok(State { last_save: last_save.ok_or_else(unknown)? })
    }

    fn preview(_: &Parameters, before: &State) -> Vec<Change> {
        let summary = format!("write a snapshot to disk; the last one was {}", before.last_save);
        vec![Change {
            summary,
            subject: "snapshot".to_owned(),
            from: Some(before.last_save.clone().into()),
            to: Some("ok".into()),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(_: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        let until = Instant::now() + target.deadline;
        let mut server = Server::open(target).await?;
        // One that is under way, ours of an earlier try perhaps, is waited for, and then one more is begun: it must
        // hold all that there is now.
        wait(&mut server, target, until).await?;
        server.send::<redis::Value>(&["BGSAVE"]).await?;
        wait(&mut server, target, until).await?;
        let info = server.info("persistence").await?;
        match info.get("rdb_last_bgsave_status").map(String::as_str) {
            Some("ok") => Ok(Outputs::new()),
            _ => Err(ActionError::target(
                "the snapshot failed: the log of Redis says why (space and rights of its folder, memory to fork)",
            )),
        }
    }

    async fn verify(_: &Parameters, target: &ActionTarget, before: &State) -> Result<Verified, ActionError> {
        let info = Server::open(target).await?.info("persistence").await?;
        let status = info.get("rdb_last_bgsave_status").map_or("unknown", String::as_str);
        if status == "ok" && number(&info, "rdb_bgsave_in_progress")? == 0 {
            return Ok(match before.last_save.as_str() {
                "ok" => {
                    Verified::NoTrace("an earlier snapshot was as good; one more holds what there is now".to_owned())
                }
                _ => Verified::Done,
            });
        }
        Ok(Verified::NotDone(format!("the last snapshot is {status}")))
    }

    async fn undo(_: &Parameters, _: &ActionTarget, _: &State) -> Result<(), ActionError> {
        Ok(())
    }
}

/// Waits for a snapshot that is under way.
async fn wait(server: &mut Server<'_>, target: &ActionTarget, until: Instant) -> Result<(), ActionError> {
    while number(&server.info("persistence").await?, "rdb_bgsave_in_progress")? != 0 {
        if Instant::now() > until {
            return Err(ActionError::timed_out(target.deadline));
        }
        pause(target, LOOK_EVERY).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::action::Verified;
    use crate::action::redis::testing::Cache;
    use serde_json::json;

    #[tokio::test]
    async fn a_save_that_failed_is_made_good_once_its_cause_is_gone() {
        let cache = Cache::start().await;
        let trial = cache.trial("redis.save", json!({}));
        // A folder stands where the snapshot is to go.
        let snapshot = cache.snapshot().await;
        let _ = std::fs::remove_file(&snapshot);
        std::fs::create_dir(&snapshot).unwrap();
        let before = trial.capture().await.unwrap();
        let error = trial.apply(&before).await.unwrap_err();
        assert!(error.message.contains("the snapshot failed"), "{error}");
        assert!(matches!(trial.verify(&before).await.unwrap(), Verified::NotDone(_)));
        std::fs::remove_dir(&snapshot).unwrap();
        let before = trial.repeats().await;
        assert_eq!(before["last_save"], "err");
        assert_eq!(trial.capture().await.unwrap()["last_save"], "ok");
    }
}
