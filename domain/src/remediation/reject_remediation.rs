//! A person says no, before it has begun: that is the end.

use super::people::require_person;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &RemediationState,
    comment: String,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::AwaitingApproval, RemediationPhase::Executable])?;
    require_person(&context.actor)?;
    required("the comment", &comment, REASON_CHARS_MAX)?;
    let (by, at) = (context.actor.clone(), context.now);
    let reason = format!("rejected: {comment}");
    Ok(vec![
        RemediationEvent::RemediationRejected { by: by.clone(), comment, at },
        RemediationEvent::RemediationCancelled { reason, by, at },
    ])
}

#[cfg(test)]
mod tests {
    use crate::remediation::story::{Command, actor, executable, executing, requested, waiting};
    use crate::remediation::{Remediation, RemediationEvent, RemediationPhase};
    use crate::testing::{REMEDIATION, approver, refuses, remediation_waiting, start};

    fn reject(comment: &str) -> Command {
        Command::Reject { comment: comment.to_owned() }
    }

    #[test]
    fn it_is_rejected() {
        let (by, at) = (approver(), start());
        let state = waiting(2).by(approver()).when(reject("too risky")).then(&[
            RemediationEvent::RemediationRejected { by: by.clone(), comment: "too risky".to_owned(), at },
            RemediationEvent::RemediationCancelled { reason: "rejected: too risky".to_owned(), by, at },
        ]);
        assert_eq!((state.phase, state.ended_at), (RemediationPhase::Cancelled, Some(start())));
        executable().when(reject("wait")).then_types(&["RemediationRejected", "RemediationCancelled"]);
    }

    #[test]
    fn refusals() {
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], reject("no"), "remediation_unknown"),
                ("nobody is asked", requested().into_events(), reject("no"), "remediation_wrong_phase"),
                ("begun", executing().into_events(), reject("no"), "remediation_wrong_phase"),
                ("rejected", waiting(1).and(reject("no")).into_events(), reject("no"), "remediation_at_rest"),
                ("without a word", remediation_waiting(1), reject(" "), "text_empty"),
            ],
        );
        waiting(1).by(actor("system:x")).when(reject("no")).then_refused("person_needed");
    }
}
