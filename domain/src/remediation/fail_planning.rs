//! There can be no plan: nothing was done.

use super::size::told;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;

pub(super) fn decide(
    state: &RemediationState,
    reason: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Requested])?;
    let reason = format!("there is no plan: {}", told(reason));
    Ok(vec![RemediationEvent::RemediationFailed { reason, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::remediation::story::{Command, plan, requested, succeeded};
    use crate::remediation::{Remediation, RemediationEvent, RemediationPhase};
    use crate::testing::{REMEDIATION, refuses, start};

    fn fail(reason: &str) -> Command {
        Command::FailPlanning { reason: reason.to_owned() }
    }

    #[test]
    fn it_fails_whatever_is_said() {
        let reason = "there is no plan: no runbook fits".to_owned();
        let state = requested()
            .when(fail("no runbook fits\n"))
            .then(&[RemediationEvent::RemediationFailed { reason: reason.clone(), at: start() }]);
        assert_eq!(
            (state.phase, state.reason, state.ended_at),
            (RemediationPhase::Failed, Some(reason), Some(start()))
        );
        requested().when(fail("")).then_types(&["RemediationFailed"]);
    }

    #[test]
    fn refusals() {
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], fail("x"), "remediation_unknown"),
                ("planned", requested().and(plan()).into_events(), fail("x"), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), fail("x"), "remediation_at_rest"),
            ],
        );
    }
}
