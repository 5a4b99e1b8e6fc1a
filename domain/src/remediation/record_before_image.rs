//! What was there before a step: from here on it may be changed.

use super::size::{fits, holds_nul};
use super::{
    BeforeImage, RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, StepPhase, Undoing,
};
use crate::decider::Context;
use crate::ids::StepName;

/// The largest inline before-image, in bytes of JSON; what is larger is kept in the evidence store.
pub const INLINE_IMAGE_BYTES_MAX: usize = 64 * 1_024;

pub(super) fn decide(
    state: &RemediationState,
    name: StepName,
    image: BeforeImage,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Executing])?;
    let (planned, step) = state.require_step(&name)?;
    match step.phase {
        StepPhase::Waiting => return Err(RemediationRefusal::StepNotStarted { step: name }),
        StepPhase::Succeeded | StepPhase::Failed => return Err(RemediationRefusal::StepAlreadyEnded { step: name }),
        StepPhase::Captured if step.image.as_deref() == Some(&image) => return Ok(Vec::new()),
        StepPhase::Captured => return Err(RemediationRefusal::ImageDiffers { step: name }),
        StepPhase::Started if state.failure.is_some() => return Err(RemediationRefusal::RollbackPending),
        StepPhase::Started => {}
    }
    if image.inline.as_ref().is_some_and(|value| holds_nul(value) || !fits(value, INLINE_IMAGE_BYTES_MAX)) {
        return Err(RemediationRefusal::ImageNotInline { max: INLINE_IMAGE_BYTES_MAX });
    }
    if planned.undo == Undoing::FromBeforeImage && image.inline.is_none() && image.kept.is_none() {
        return Err(RemediationRefusal::ImageMissing { step: name });
    }
    // The target of a step that comes after others may be as those have left it; that of a first one is as approved.
    let approved =
        state.previews.iter().find(|preview| preview.step == name).and_then(|preview| preview.state.as_ref());
    if planned.after.is_empty() && approved != Some(&image.state) {
        return Err(RemediationRefusal::TargetDrifted { step: name });
    }
    Ok(vec![RemediationEvent::BeforeImageCaptured { step: name, image, at: context.now }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remediation::story::{Command, cancel, executing, fail, image, start_step, with_captured, with_done};
    use crate::remediation::{Remediation, RemediationEvent};
    use crate::testing::{REMEDIATION, content_hash, refuses, start, step_image, step_name};
    use serde_json::json;

    fn of(step: &str, image: BeforeImage) -> Command {
        Command::RecordBeforeImage { step: step_name(step), image }
    }

    #[test]
    fn what_was_there_is_recorded_once() {
        let captured = RemediationEvent::BeforeImageCaptured {
            step: step_name("recount"),
            image: step_image("recount"),
            at: start(),
        };
        executing().and(start_step("recount")).when(image("recount")).then(&[captured]);
        with_captured(executing(), &["recount"]).when(image("recount")).then_nothing();
    }

    #[test]
    fn what_comes_after_others_may_be_as_they_left_it() {
        let later = BeforeImage { state: content_hash("as the first one left it"), ..step_image("restore-file") };
        let story = with_done(executing(), &["find-copy"]).and(start_step("restore-file"));
        story.when(of("restore-file", later)).then_types(&["BeforeImageCaptured"]);
    }

    #[test]
    fn refusals() {
        let drifted = BeforeImage { state: content_hash("drifted"), ..step_image("recount") };
        let nothing = BeforeImage { inline: None, ..step_image("recount") };
        let huge = BeforeImage { inline: Some(json!("x".repeat(INLINE_IMAGE_BYTES_MAX))), ..step_image("recount") };
        let with_nul = BeforeImage { inline: Some(json!({"n": "a\0"})), ..step_image("recount") };
        let begun = || executing().and(start_step("recount")).into_events();
        let done = with_done(executing(), &["recount"]).into_events();
        let captured = with_captured(executing(), &["recount"]).into_events();
        let failing = with_captured(executing(), &["find-copy"]).and(start_step("recount"));
        let other = executing().and(start_step("find-copy")).and(start_step("recount")).and(fail("recount"));
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], image("recount"), "remediation_unknown"),
                ("no such step", begun(), image("elsewhere"), "step_unknown"),
                ("not begun", executing().into_events(), image("recount"), "step_not_started"),
                ("done", done, image("recount"), "step_already_ended"),
                ("another one", captured, of("recount", drifted.clone()), "image_differs"),
                ("drifted", begun(), of("recount", drifted), "target_drifted"),
                ("nothing to put back", begun(), of("recount", nothing), "image_missing"),
                ("too large", begun(), of("recount", huge), "image_not_inline"),
                ("nul", begun(), of("recount", with_nul), "image_not_inline"),
                ("taken back", failing.and(cancel()).into_events(), image("recount"), "remediation_wrong_phase"),
                ("another one failed", other.into_events(), image("find-copy"), "remediation_at_rest"),
            ],
        );
        let waiting = with_captured(executing(), &["find-copy"]).and(start_step("recount"));
        let pending = waiting.and(fail("recount"));
        assert!(pending.state().failure.is_some());
    }

    #[test]
    fn no_step_goes_on_while_another_ones_failure_waits() {
        let mut plan = crate::testing::remediation_plan();
        let mut third = plan.steps[2].clone();
        third.name = step_name("recount-again");
        plan.steps.push(third);
        let mut previews = crate::testing::remediation_previews();
        let again = crate::remediation::StepPreview { step: step_name("recount-again"), ..previews[2].clone() };
        previews.push(again);
        let states = previews.iter().map(|preview| preview.state.clone()).collect();
        let check_version = || "0123456789ab".to_owned();
        let story = crate::remediation::story::requested()
            .and(Command::RecordPlan { plan, check_version: check_version() })
            .and(Command::RecordDryRun { previews })
            .and(crate::remediation::story::admit(crate::remediation::Admission::Automatic))
            .and(Command::Begin { states, check_version: check_version() });
        let pending = with_captured(story, &["find-copy"])
            .and(start_step("recount"))
            .and(start_step("recount-again"))
            .and(fail("recount"));
        let same = BeforeImage { state: content_hash("recount"), ..step_image("recount-again") };
        pending.when(of("recount-again", same)).then_refused("rollback_pending");
    }
}
