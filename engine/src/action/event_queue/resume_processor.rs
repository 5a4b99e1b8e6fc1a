//! `events.resume-processor`: has an event processor work again that is suspended or not enabled.

use super::COMPONENTS;
use super::status::{self, Parameters, State};
use crate::action::{Act, ActionError, ActionSpec, ActionTarget, Isolation, UndoSpec, Verified};
use domain::remediation::{BlastRadius, Change, Outputs};
use std::time::Duration;

/// The status that it gives.
const STATUS: &str = "Processing";

/// Have an event processor work again.
#[derive(Debug)]
pub struct ResumeProcessor;

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
        status::capture(parameters, target).await
    }

    fn preview(parameters: &Parameters, before: &State) -> Vec<Change> {
        status::preview("resume", STATUS, parameters, before)
    }

    fn blast(_: &Parameters, _: &State) -> BlastRadius {
        BlastRadius { deployments: 1, ..BlastRadius::default() }
    }

    async fn apply(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Outputs, ActionError> {
        status::apply(STATUS, parameters, target).await
    }

    async fn verify(parameters: &Parameters, target: &ActionTarget, _: &State) -> Result<Verified, ActionError> {
        status::verify(STATUS, parameters, target).await
    }

    async fn undo(parameters: &Parameters, target: &ActionTarget, before: &State) -> Result<(), ActionError> {
        status::undo(parameters, target, before).await
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
