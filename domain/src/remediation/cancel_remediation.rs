//! It is no longer wanted. Before it has begun that is the end; later, what has been done is taken back.

use super::rollback::{Turn, turn_back};
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, RollbackEnd};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &RemediationState,
    reason: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_open()?;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    let (by, at) = (context.actor.clone(), context.now);
    if state.phase.is_before_execution() {
        return Ok(vec![RemediationEvent::RemediationCancelled { reason, by, at }]);
    }
    if state.phase == RemediationPhase::RollingBack {
        return Err(RemediationRefusal::WrongPhase { phase: state.phase });
    }
    Ok(turn_back(state, Vec::new(), stopping(state, reason, context)))
}

/// The way back of what is stopped while it is executed. What has failed before stays a failure.
pub(super) fn stopping(state: &RemediationState, reason: String, context: &Context) -> Turn {
    let (by, at) = (context.actor.clone(), context.now);
    match &state.failure {
        Some(failure) => Turn { reason: format!("{failure}; then: {reason}"), by, end: RollbackEnd::Failed, at },
        None => Turn { reason, by, end: RollbackEnd::Cancelled, at },
    }
}

#[cfg(test)]
mod tests {
    use crate::remediation::story::{
        Command, admit, cancel, dry_run, executable, executing, fail, failing, plan, requested, start_step, succeeded,
        waiting, with_captured, with_undone,
    };
    use crate::remediation::{Admission, Remediation, RemediationPhase, RollbackEnd};
    use crate::testing::{Given, REMEDIATION, after, refuses, remediation_stuck};

    #[test]
    fn before_it_has_begun_that_is_the_end() {
        let previewed = || requested().and(plan()).and(dry_run());
        let stories: [Given<Remediation>; 7] = [
            requested(),
            requested().and(plan()),
            previewed(),
            previewed().and(admit(Admission::Deferred { retry_at: after(60) })),
            waiting(2),
            executable(),
            executable().and(Command::Execute),
        ];
        for story in stories {
            let state = story.when(cancel()).then_types(&["RemediationCancelled"]);
            assert_eq!((state.phase, state.reason.as_deref()), (RemediationPhase::Cancelled, Some("enough")));
        }
    }

    #[test]
    fn what_has_been_done_is_taken_back() {
        let untouched = executing().and(start_step("recount"));
        let state = untouched.when(cancel()).then_types(&["RollbackStarted", "RollbackProven", "RemediationCancelled"]);
        assert_eq!(state.phase, RemediationPhase::Cancelled);
        let state = with_captured(executing(), &["recount"]).when(cancel()).then_types(&["RollbackStarted"]);
        assert_eq!(state.phase, RemediationPhase::RollingBack);
        let story = with_captured(executing(), &["recount"]).and(cancel());
        assert_eq!(with_undone(story, &["recount"]).state().phase, RemediationPhase::Cancelled);
    }

    #[test]
    fn what_has_failed_before_stays_a_failure() {
        let pending = with_captured(executing(), &["recount", "find-copy"]).and(fail("find-copy"));
        let rollback = pending.when(cancel()).then_types(&["RollbackStarted"]).rollback.unwrap();
        assert_eq!(
            (rollback.end, rollback.reason.as_str()),
            (RollbackEnd::Failed, "step find-copy: disk full; then: enough")
        );
    }

    #[test]
    fn refusals() {
        let silent = Command::Cancel { reason: " ".to_owned() };
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], cancel(), "remediation_unknown"),
                ("taken back already", failing().into_events(), cancel(), "remediation_wrong_phase"),
                ("succeeded", succeeded().into_events(), cancel(), "remediation_at_rest"),
                ("stuck", remediation_stuck(), cancel(), "remediation_at_rest"),
                ("twice", requested().and(cancel()).into_events(), cancel(), "remediation_at_rest"),
                ("without a word", requested().into_events(), silent, "text_empty"),
            ],
        );
    }
}
