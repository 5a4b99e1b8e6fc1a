//! `events.resume-processor`: has an event processor work again that is suspended or not enabled.

use super::{COMPONENTS, Connector};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The status that it gives.
const STATUS: &str = "Processing";

/// Have an event processor work again.
#[derive(Debug)]
pub struct ResumeProcessor;

/// Which one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The processor, by its type, such as `ContentIndex`.
    processor: String,
}

/// Its status. How much waits, moves by itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    status: String,
}

impl Act for ResumeProcessor {
    type Parameters = Parameters;
    type State = State;

    const SPEC: ActionSpec = ActionSpec {
        name: "events.resume-processor",
        version: 1,
        title: "Have an event processor work again",
        components: COMPONENTS,
        outputs: &[],
        undo: UndoSpec::FromBeforeImage,
        always_approve: false,
        isolation: Isolation::Connection,
        deadline: Duration::from_secs(60),
    };

    async fn capture(parameters: &Parameters, target: &ActionTarget) -> Result<State, ActionError> {
        Ok(State { status: Connector::of(target)?.processor(&parameters.processor).await?.status })
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        if before.status == STATUS {
            return Vec::new();
        }
        vec![Change {
            summary: format!("resume {}, which is {}", parameters.processor, before.status),
            subject: parameters.processor.clone(),
            from: Some(before.status.clone().into()),
            to: Some(STATUS.into()),
        }]
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        Connector::of(target)?.set_status(&parameters.processor, STATUS).await?;
        Ok(Outputs::new())
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        let is = Connector::of(target)?.processor(&parameters.processor).await?.status;
        if is == STATUS {
            return Ok(Verified::Done);
        }
        Ok(Verified::NotDone(format!("{} is {is}", parameters.processor)))
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        Connector::of(target)?.set_status(&parameters.processor, &before.status).await
    }
}

#[cfg(test)]
mod tests {
    use crate::action::event_queue::testing::Site;
    use serde_json::json;

    #[tokio::test]
    async fn what_is_suspended_or_ignored_works_again_and_is_put_back() {
        let site = Site::start().await;
        for (fault, processor, status) in [
            ("processor-suspended", "WordIndexing", "Suspended"),
            ("mail-processor-down", "MailNotification", "Ignored"),
        ] {
            site.breaks(fault).await;
            let trial = site.trial("events.resume-processor", json!({ "processor": processor }));
            assert_eq!(trial.undoes().await, json!({ "status": status }), "{fault}");
        }
        let trial = site.trial("events.resume-processor", json!({ "processor": "ContentIndex" }));
        let running = trial.capture().await.unwrap();
        assert!(trial.preview(&running).is_empty());
        for name in ["", "a/b", "..", "Nobody"] {
            assert!(
                site.trial("events.resume-processor", json!({ "processor": name })).capture().await.is_err(),
                "{name}"
            );
        }
        site.refuses_without_user("events.resume-processor", json!({ "processor": "ContentIndex" })).await;
    }
}
