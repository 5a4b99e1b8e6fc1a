//! A finding may be a problem after all: its life goes on where it stood when it was marked.

use super::{FindingEvent, FindingRefusal, FindingState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &FindingState,
    reason: String,
    context: &Context,
) -> Result<Vec<FindingEvent>, FindingRefusal> {
    state.require_known()?;
    if !state.false_positive {
        return Err(FindingRefusal::NotFalsePositive);
    }
    required("the reason", &reason, REASON_CHARS_MAX)?;
    Ok(vec![FindingEvent::FindingFalsePositiveWithdrawn { by: context.actor.to_string(), reason, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::finding::story::{id, marked, opened};
    use crate::finding::{Finding, FindingCommand, FindingPhase};
    use crate::testing::{given, refuses};

    fn withdraw(reason: &str) -> FindingCommand {
        FindingCommand::WithdrawFalsePositive { reason: reason.to_owned() }
    }

    #[test]
    fn it_is_withdrawn() {
        let given = given::<Finding>(id(), [opened(), marked()]);
        let state = given.when(withdraw("it is real")).then_types(&["FindingFalsePositiveWithdrawn"]);
        assert_eq!((state.false_positive, state.phase), (false, FindingPhase::Open));
    }

    #[test]
    fn refusals() {
        refuses::<Finding>(
            id(),
            [
                ("unknown", vec![], withdraw("it is real"), "finding_unknown"),
                ("not marked", vec![opened()], withdraw("it is real"), "finding_not_false_positive"),
                ("no reason", vec![opened(), marked()], withdraw(" "), "text_empty"),
            ],
        );
    }
}
