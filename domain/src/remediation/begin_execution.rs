//! It begins where everything is as it was approved; else the approval is void.

use super::expire_approval::void;
use super::{RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState};
use crate::decider::Context;
use crate::ids::ContentHash;

pub(super) fn decide(
    state: &RemediationState,
    states: &[Option<ContentHash>],
    check_version: &str,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Confirming])?;
    let by = state.executor.clone().ok_or(RemediationRefusal::WrongPhase { phase: state.phase })?;
    if states.len() != state.previews.len() {
        return Err(RemediationRefusal::StatesIncomplete);
    }
    if state.expires_at.is_some_and(|expires_at| expires_at <= context.now) {
        return Ok(void(state, "it was not begun in time", context));
    }
    if state.check_version.as_deref() != Some(check_version) {
        return Ok(void(state, "the check has another version now", context));
    }
    let drifted: Vec<&str> = state
        .previews
        .iter()
        .zip(states)
        .filter(|(preview, now)| preview.state != **now)
        .map(|(preview, _)| preview.step.as_str())
        .collect();
    if !drifted.is_empty() {
        let reason = format!("the target is not as it was in the dry run any more: {}", drifted.join(", "));
        return Ok(void(state, &reason, context));
    }
    Ok(vec![RemediationEvent::ExecutionStarted { by, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::ids::ContentHash;
    use crate::remediation::story::{Command, begin, executable, executing, succeeded};
    use crate::remediation::{Remediation, RemediationEvent, RemediationPhase};
    use crate::testing::{Given, REMEDIATION, after, content_hash, executor, refuses, remediation_states, start};

    fn confirming() -> Given<Remediation> {
        executable().and(Command::Execute)
    }

    fn begin_with(states: Vec<Option<ContentHash>>, check_version: &str) -> Command {
        Command::Begin { states, check_version: check_version.to_owned() }
    }

    #[test]
    fn it_begins_where_all_is_as_approved() {
        let begun = RemediationEvent::ExecutionStarted { by: executor(), at: start() };
        let state = confirming().when(begin()).then(&[begun]);
        assert_eq!((state.phase, state.executor), (RemediationPhase::Executing, Some(executor())));
    }

    #[test]
    fn any_drift_voids_the_approval() {
        let drifted = |place: usize, state: Option<ContentHash>| {
            let mut states = remediation_states();
            states[place] = state;
            begin_with(states, "0123456789ab")
        };
        for (what, command, at) in [
            ("state", drifted(2, Some(content_hash("drifted"))), 0),
            ("nothing there any more", drifted(0, None), 0),
            ("another check", begin_with(remediation_states(), "ba9876543210"), 0),
            ("too late", begin(), 3_600),
        ] {
            let state = confirming().at(after(at)).when(command).then_types(&["ApprovalVoided"]);
            assert_eq!((state.phase, state.plan), (RemediationPhase::Requested, None), "{what}");
            assert_eq!((state.executor, state.approvals.len()), (None, 0), "{what}");
        }
    }

    #[test]
    fn refusals() {
        let short = begin_with(remediation_states()[1..].to_vec(), "0123456789ab");
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], begin(), "remediation_unknown"),
                ("nobody wants it", executable().into_events(), begin(), "remediation_wrong_phase"),
                ("twice", executing().into_events(), begin(), "remediation_wrong_phase"),
                ("at rest", succeeded().into_events(), begin(), "remediation_at_rest"),
                ("one missing", confirming().into_events(), short, "states_incomplete"),
            ],
        );
    }
}
