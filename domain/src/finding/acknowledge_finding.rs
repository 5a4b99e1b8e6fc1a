//! Somebody takes a finding on.

use super::{FindingEvent, FindingPhase, FindingRefusal, FindingState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, optional};

pub(super) fn decide(
    state: &FindingState,
    comment: String,
    context: &Context,
) -> Result<Vec<FindingEvent>, FindingRefusal> {
    state.require_genuine()?;
    match state.phase {
        FindingPhase::Absent => return Err(FindingRefusal::Unknown),
        FindingPhase::Suspected => return Err(FindingRefusal::NotOpen),
        FindingPhase::Resolved => return Err(FindingRefusal::Resolved),
        FindingPhase::Open => {}
    }
    if state.acknowledged {
        return Err(FindingRefusal::AlreadyAcknowledged);
    }
    optional("the comment", &comment, REASON_CHARS_MAX)?;
    Ok(vec![FindingEvent::FindingAcknowledged { by: context.actor.to_string(), comment, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::finding::story::{id, marked, muted, opened, resolved, suspected};
    use crate::finding::{Finding, FindingCommand, FindingEvent};
    use crate::testing::{given, refuses, start};

    fn acknowledge(comment: &str) -> FindingCommand {
        FindingCommand::Acknowledge { comment: comment.to_owned() }
    }

    #[test]
    fn it_is_acknowledged() {
        let acknowledged = FindingEvent::FindingAcknowledged {
            by: "operator@example.org".to_owned(),
            comment: String::new(),
            at: start(),
        };
        let state = given::<Finding>(id(), [opened()]).when(acknowledge("")).then(&[acknowledged]);
        assert!(state.acknowledged);
        given::<Finding>(id(), [opened(), muted()]).when(acknowledge("mine")).then_types(&["FindingAcknowledged"]);
    }

    #[test]
    fn refusals() {
        let taken = FindingEvent::FindingAcknowledged { by: "a".to_owned(), comment: String::new(), at: start() };
        refuses::<Finding>(
            id(),
            [
                ("unknown", vec![], acknowledge(""), "finding_unknown"),
                ("suspected", vec![suspected()], acknowledge(""), "finding_not_open"),
                ("resolved", vec![opened(), resolved()], acknowledge(""), "finding_resolved"),
                ("taken", vec![opened(), taken], acknowledge(""), "finding_already_acknowledged"),
                ("false positive", vec![opened(), marked()], acknowledge(""), "finding_false_positive"),
                ("a novel", vec![opened()], acknowledge(&"x".repeat(1_001)), "text_too_long"),
            ],
        );
    }
}
