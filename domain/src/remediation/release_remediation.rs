//! A person has seen by hand to what was left behind, and says what was done: it rests as failed.

use super::people::require_person;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &RemediationState,
    comment: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Stuck, RemediationPhase::Halted])?;
    require_person(&context.actor)?;
    required("the comment", &comment, REASON_CHARS_MAX)?;
    let (by, at) = (context.actor.clone(), context.now);
    let reason = format!("seen to by hand: {comment}");
    Ok(vec![
        RemediationEvent::RemediationReleased { by, comment, at },
        RemediationEvent::RemediationFailed { reason, at },
    ])
}

#[cfg(test)]
mod tests {
    use crate::remediation::story::{
        Command, actor, executing, failing, halt, release, story, succeeded, with_captured,
    };
    use crate::remediation::{Remediation, RemediationPhase};
    use crate::testing::{REMEDIATION, refuses, remediation_stuck, start};

    #[test]
    fn a_stuck_or_halted_one_is_released() {
        for story in [story(remediation_stuck()), with_captured(executing(), &["recount"]).and(halt(false))] {
            let state = story.when(release()).then_types(&["RemediationReleased", "RemediationFailed"]);
            assert_eq!(state.phase, RemediationPhase::Failed);
            assert_eq!(state.reason.as_deref(), Some("seen to by hand: put back by hand"));
            assert_eq!(state.ended_at, Some(start()));
        }
    }

    #[test]
    fn refusals() {
        let silent = Command::Release { comment: " ".to_owned() };
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], release(), "remediation_unknown"),
                ("under way", failing().into_events(), release(), "remediation_wrong_phase"),
                ("succeeded", succeeded().into_events(), release(), "remediation_at_rest"),
                ("twice", story(remediation_stuck()).and(release()).into_events(), release(), "remediation_at_rest"),
                ("without a word", remediation_stuck(), silent, "text_empty"),
            ],
        );
        story(remediation_stuck()).by(actor("system:x")).when(release()).then_refused("person_needed");
    }
}
