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
