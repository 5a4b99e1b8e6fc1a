//! The emergency stop: nothing more is done; what has been done is taken back where that is asked for.

use super::cancel_remediation::stopping;
use super::rollback::turn_back;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &RemediationState,
    undo: bool,
    reason: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_open()?;
    required("the reason", reason, REASON_CHARS_MAX)?;
    let (by, at) = (context.actor.clone(), context.now);
    let halted = RemediationEvent::RemediationHalted { undo, reason: reason.to_owned(), by: by.clone(), at };
    if state.phase == RemediationPhase::RollingBack {
        // What is being taken back goes on to be, unless nothing at all may be done.
        let is_known = undo && state.halted;
        return Ok(if is_known { Vec::new() } else { vec![halted] });
    }
    let reason = format!("emergency stop: {reason}");
    if !state.any_captured() {
        return Ok(vec![halted, RemediationEvent::RemediationCancelled { reason, by, at }]);
    }
    if undo {
        return Ok(turn_back(state, vec![halted], stopping(state, reason, context)));
    }
    Ok(vec![halted])
}

#[cfg(test)]
mod tests {
    use crate::remediation::story::{
        Command, executing, failing, halt, requested, start_step, start_undo, story, succeeded, undo, waiting,
        with_captured, with_undone,
    };
    use crate::remediation::{Next, Remediation, RemediationPhase, Rest, next};
    use crate::testing::{REMEDIATION, refuses, start, step_name};

    #[test]
    fn where_nothing_was_done_that_is_the_end() {
        for undo in [true, false] {
            for story in [requested(), waiting(1), executing(), executing().and(start_step("recount"))] {
                let state = story.when(halt(undo)).then_types(&["RemediationHalted", "RemediationCancelled"]);
                assert_eq!(state.phase, RemediationPhase::Cancelled);
                assert_eq!(state.reason.as_deref(), Some("emergency stop: fire"));
            }
        }
    }

    #[test]
    fn with_undo_what_was_done_is_taken_back() {
        let captured = || with_captured(executing(), &["recount"]);
        let state = captured().when(halt(true)).then_types(&["RemediationHalted", "RollbackStarted"]);
        assert_eq!(next(&state, start()), Next::Undo(step_name("recount")));
        let ended = with_undone(captured().and(halt(true)), &["recount"]).state();
        assert_eq!((ended.phase, ended.halted), (RemediationPhase::Cancelled, true));
    }

    #[test]
    fn without_undo_it_rests_as_it_is() {
        let halted = || with_captured(executing(), &["recount"]);
        let state = halted().when(halt(false)).then_types(&["RemediationHalted"]);
        assert_eq!(next(&state, start()), Next::Rest(Rest::Halted));
        assert_eq!((state.reason.as_deref(), state.ended_at), (Some("fire"), None));
        halted()
            .and(halt(false))
            .when(crate::remediation::story::succeed("recount"))
            .then_refused("remediation_at_rest");
    }

    #[test]
    fn taking_back_goes_on_unless_nothing_at_all_may_be_done() {
        let state = failing().when(halt(true)).then_types(&["RemediationHalted"]);
        assert_eq!(next(&state, start()), Next::Undo(step_name("restore-file")));
        failing().and(halt(true)).when(halt(true)).then_nothing();
        let stopped = failing().and(start_undo("restore-file")).and(halt(false)).into_events();
        assert_eq!(story(stopped.clone()).state().phase, RemediationPhase::Halted);
        let resumed = story(stopped).and(undo());
        assert_eq!(next(&resumed.state(), start()), Next::Undo(step_name("restore-file")));
    }

    #[test]
    fn refusals() {
        let silent = Command::Halt { undo: true, reason: String::new() };
        let halted = with_captured(executing(), &["recount"]).and(halt(false)).into_events();
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], halt(true), "remediation_unknown"),
                ("succeeded", succeeded().into_events(), halt(true), "remediation_at_rest"),
                ("halted", halted, halt(false), "remediation_at_rest"),
                ("without a word", executing().into_events(), silent, "text_empty"),
            ],
        );
    }
}
