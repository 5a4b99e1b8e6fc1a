//! A finding is no problem: it no longer opens until the mark is taken back.

use super::{FindingEvent, FindingRefusal, FindingState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &FindingState,
    reason: String,
    context: &Context,
) -> Result<Vec<FindingEvent>, FindingRefusal> {
    state.require_known()?;
    if state.false_positive {
        return Err(FindingRefusal::AlreadyFalsePositive);
    }
    required("the reason", &reason, REASON_CHARS_MAX)?;
    Ok(vec![FindingEvent::FindingMarkedFalsePositive { by: context.actor.to_string(), reason, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::finding::story::{id, marked, opened, resolved, suspected};
    use crate::finding::{Finding, FindingCommand};
    use crate::testing::{given, refuses};

    fn mark(reason: &str) -> FindingCommand {
        FindingCommand::MarkFalsePositive { reason: reason.to_owned() }
    }

    #[test]
    fn it_is_marked() {
        for events in [vec![opened()], vec![suspected()], vec![opened(), resolved()]] {
            let state =
                given::<Finding>(id(), events).when(mark("as meant")).then_types(&["FindingMarkedFalsePositive"]);
            assert!(state.false_positive);
        }
    }

    #[test]
    fn refusals() {
        refuses::<Finding>(
            id(),
            [
                ("unknown", vec![], mark("as meant"), "finding_unknown"),
                ("marked", vec![opened(), marked()], mark("as meant"), "finding_already_false_positive"),
                ("no reason", vec![opened()], mark(""), "text_empty"),
            ],
        );
    }
}
