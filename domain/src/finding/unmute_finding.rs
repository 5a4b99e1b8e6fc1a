//! A finding alerts again, by hand.

use super::{FindingEvent, FindingRefusal, FindingState};
use crate::decider::Context;

pub(super) fn decide(state: &FindingState, context: &Context) -> Result<Vec<FindingEvent>, FindingRefusal> {
    state.require_known()?;
    let Some(until) = state.muted_until else { return Err(FindingRefusal::NotMuted) };
    Ok(vec![FindingEvent::FindingUnmuted { expired: until <= context.now, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::finding::story::{id, muted, opened};
    use crate::finding::{Finding, FindingCommand, FindingEvent};
    use crate::testing::{after, given, refuses, start};

    #[test]
    fn it_is_unmuted() {
        let given = || given::<Finding>(id(), [opened(), muted()]);
        let by_hand = FindingEvent::FindingUnmuted { expired: false, at: start() };
        assert_eq!(given().when(FindingCommand::Unmute).then(&[by_hand]).muted_until, None);
        let ran_out = FindingEvent::FindingUnmuted { expired: true, at: after(86_400) };
        given().at(after(86_400)).when(FindingCommand::Unmute).then(&[ran_out]);
    }

    #[test]
    fn refusals() {
        let unmuted = FindingEvent::FindingUnmuted { expired: false, at: start() };
        refuses::<Finding>(
            id(),
            [
                ("unknown", vec![], FindingCommand::Unmute, "finding_unknown"),
                ("never muted", vec![opened()], FindingCommand::Unmute, "finding_not_muted"),
                ("no longer", vec![opened(), muted(), unmuted], FindingCommand::Unmute, "finding_not_muted"),
            ],
        );
    }
}
