//! The intent to do a step: recorded before anything is done. A step under way is begun once more by whoever takes
//! over.

use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, StepPhase};
use crate::decider::Context;
use crate::ids::StepName;

/// How often a step is begun (or begun to be taken back) without an outcome before it counts as failed.
pub const ATTEMPTS_MAX: u32 = 10;

pub(super) fn decide(
    state: &RemediationState,
    name: StepName,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Executing])?;
    let (planned, step) = state.require_step(&name)?;
    match step.phase {
        StepPhase::Succeeded | StepPhase::Failed => return Err(RemediationRefusal::StepAlreadyEnded { step: name }),
        // What may have been changed is followed up to its outcome, whatever else has failed.
        StepPhase::Captured => {}
        StepPhase::Waiting | StepPhase::Started => {
            if state.failure.is_some() {
                return Err(RemediationRefusal::RollbackPending);
            }
            if !state.is_ready(planned) {
                return Err(RemediationRefusal::StepNotReady { step: name });
            }
        }
    }
    if step.attempt >= ATTEMPTS_MAX {
        return Err(RemediationRefusal::AttemptsExhausted { step: name, max: ATTEMPTS_MAX });
    }
    Ok(vec![RemediationEvent::StepStarted { attempt: step.attempt + 1, step: name, at: context.now }])
}

#[cfg(test)]
mod tests {
    use super::ATTEMPTS_MAX;
    use crate::remediation::story::{
        Command, executable, executing, fail, image, start_step, story, succeed, succeeded, with_captured, with_done,
    };
    use crate::remediation::{Next, Remediation, RemediationEvent, StepPhase, StepStage, StepWork, next};
    use crate::testing::{REMEDIATION, refuses, start, step_name};

    fn work(step: &str, from: StepStage) -> StepWork {
        StepWork { step: step_name(step), from }
    }

    #[test]
    fn independent_steps_are_begun_beside_each_other() {
        let both = vec![work("find-copy", StepStage::Intent), work("recount", StepStage::Intent)];
        assert_eq!(next(&executing().state(), start()), Next::Steps(both));
        let begun = RemediationEvent::StepStarted { step: step_name("find-copy"), attempt: 1, at: start() };
        let state = executing().when(start_step("find-copy")).then(&[begun]);
        let rest = vec![work("find-copy", StepStage::Capture), work("recount", StepStage::Intent)];
        assert_eq!(next(&state, start()), Next::Steps(rest));
        let state =
            with_done(executing(), &["find-copy"]).when(start_step("restore-file")).then_types(&["StepStarted"]);
        let rest = vec![work("restore-file", StepStage::Capture), work("recount", StepStage::Intent)];
        assert_eq!(next(&state, start()), Next::Steps(rest));
    }

    #[test]
    fn whoever_takes_over_begins_it_once_more() {
        let taken_over = with_captured(executing(), &["find-copy"]).and(start_step("find-copy"));
        let step = taken_over.state().steps[&step_name("find-copy")].clone();
        assert_eq!((step.phase, step.attempt), (StepPhase::Captured, 2), "the first before-image counts");
        let mut often = executing();
        for _ in 0..ATTEMPTS_MAX {
            often = often.and(start_step("find-copy"));
        }
        let given_up = vec![work("find-copy", StepStage::GiveUp), work("recount", StepStage::Intent)];
        assert_eq!(next(&often.state(), start()), Next::Steps(given_up));
        let events = often.into_events();
        story(events.clone()).when(start_step("find-copy")).then_refused("attempts_exhausted");
        story(events).and(image("find-copy")).when(succeed("find-copy")).then_types(&["StepSucceeded"]);
    }

    #[test]
    fn refusals() {
        let failing = with_captured(executing(), &["recount"]).and(start_step("find-copy")).and(fail("find-copy"));
        let waiting = failing.into_events();
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], start_step("recount"), "remediation_unknown"),
                ("not begun", executable().into_events(), start_step("recount"), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), start_step("recount"), "remediation_at_rest"),
                ("no such step", executing().into_events(), start_step("elsewhere"), "step_unknown"),
                ("too early", executing().into_events(), start_step("restore-file"), "step_not_ready"),
                (
                    "while the one before is under way",
                    with_captured(executing(), &["find-copy"]).into_events(),
                    start_step("restore-file"),
                    "step_not_ready",
                ),
                (
                    "done",
                    with_done(executing(), &["recount"]).into_events(),
                    start_step("recount"),
                    "step_already_ended",
                ),
                ("failed", waiting.clone(), start_step("find-copy"), "step_already_ended"),
                ("after a failure", waiting, start_step("restore-file"), "rollback_pending"),
                (
                    "taken back",
                    executing().and(start_step("recount")).and(Command::Cancel { reason: "x".into() }).into_events(),
                    start_step("recount"),
                    "remediation_at_rest",
                ),
            ],
        );
    }
}
