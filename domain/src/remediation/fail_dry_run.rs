//! What the plan would change can not be read from the targets, before the approval or after it: nothing was done.

use super::size::told;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;

pub(super) fn decide(
    state: &RemediationState,
    reason: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Planned, RemediationPhase::Confirming])?;
    let reason = format!("the targets could not be read: {}", told(reason));
    Ok(vec![RemediationEvent::RemediationFailed { reason, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::remediation::story::{Command, executable, executing, plan, requested, succeeded};
    use crate::remediation::{Remediation, RemediationPhase};
    use crate::testing::{REMEDIATION, refuses};

    fn fail() -> Command {
        Command::FailDryRun { reason: "no route to host".to_owned() }
    }

    #[test]
    fn it_fails_before_and_after_the_approval() {
        for story in [requested().and(plan()), executable().and(Command::Execute)] {
            let state = story.when(fail()).then_types(&["RemediationFailed"]);
            assert_eq!(state.phase, RemediationPhase::Failed);
            assert_eq!(state.reason.as_deref(), Some("the targets could not be read: no route to host"));
        }
    }

    #[test]
    fn refusals() {
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], fail(), "remediation_unknown"),
                ("not planned", requested().into_events(), fail(), "remediation_wrong_phase"),
                ("begun", executing().into_events(), fail(), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), fail(), "remediation_at_rest"),
            ],
        );
    }
}
