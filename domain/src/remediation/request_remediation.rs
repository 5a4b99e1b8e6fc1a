//! Somebody, or the policy, wants a problem put right.

use super::{Problem, RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, Trigger};
use crate::decider::Context;
use crate::ids::{RemediationId, RunbookName};
use crate::outcome::Outcome;

/// What is asked for.
pub(super) struct Request {
    pub(super) problem: Problem,
    pub(super) runbook: Option<RunbookName>,
    pub(super) trigger: Trigger,
    pub(super) dry_run: bool,
}

pub(super) fn decide(
    state: &RemediationState,
    request: Request,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    if state.phase != RemediationPhase::Absent {
        return Err(RemediationRefusal::AlreadyRequested);
    }
    let Request { problem, runbook, trigger, dry_run } = request;
    if !matches!(problem.severity, Outcome::Warning | Outcome::Critical) {
        return Err(RemediationRefusal::NotAProblem);
    }
    Ok(vec![RemediationEvent::RemediationRequested {
        remediation: RemediationId(context.id),
        problem,
        runbook,
        trigger,
        dry_run,
        by: context.actor.clone(),
        at: context.now,
    }])
}

#[cfg(test)]
mod tests {
    use crate::Outcome;
    use crate::remediation::story::Command;
    use crate::remediation::{Problem, Remediation, RemediationPhase, Trigger};
    use crate::testing::{
        REMEDIATION, executor, given, problem, refuses, remediation_requested, request_remediation, start,
    };

    #[test]
    fn it_is_requested() {
        let state =
            given::<Remediation>(REMEDIATION.0, []).when(request_remediation()).then(&[remediation_requested()]);
        assert_eq!((state.phase, state.id), (RemediationPhase::Requested, Some(REMEDIATION)));
        assert_eq!((state.requested_by, state.requested_at), (Some(executor()), Some(start())));
        assert_eq!(state.problem.as_deref(), Some(&problem()));
    }

    #[test]
    fn refusals() {
        let of = |severity| Command::Request {
            problem: Problem { severity, ..problem() },
            runbook: None,
            trigger: Trigger::Policy,
            dry_run: false,
        };
        let again = vec![remediation_requested()];
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("twice", again, request_remediation(), "remediation_already_requested"),
                ("unknown", vec![], of(Outcome::Unknown), "not_a_problem"),
                ("well", vec![], of(Outcome::Ok), "not_a_problem"),
            ],
        );
    }
}
