//! A finding does not alert until a moment. Another mute takes the place of an earlier one.

use super::{FindingEvent, FindingRefusal, FindingState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};
use chrono::{DateTime, Months, Utc};

pub(super) fn decide(
    state: &FindingState,
    until: DateTime<Utc>,
    reason: String,
    context: &Context,
) -> Result<Vec<FindingEvent>, FindingRefusal> {
    state.require_genuine()?;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    if until <= context.now {
        return Err(FindingRefusal::MuteInThePast);
    }
    if context.now.checked_add_months(Months::new(12)).is_none_or(|bound| until > bound) {
        return Err(FindingRefusal::MuteTooLong);
    }
    if state.muted_until == Some(until) && state.muted_reason.as_deref() == Some(reason.as_str()) {
        return Ok(Vec::new());
    }
    Ok(vec![FindingEvent::FindingMuted { by: context.actor.to_string(), until, reason, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::finding::story::{id, marked, opened, resolved, suspected};
    use crate::finding::{Finding, FindingCommand, FindingEvent};
    use crate::testing::{after, given, refuses, start};

    fn mute(seconds: i64, reason: &str) -> FindingCommand {
        FindingCommand::Mute { until: after(seconds), reason: reason.to_owned() }
    }

    #[test]
    fn it_is_muted() {
        let muted = FindingEvent::FindingMuted {
            by: "operator@example.org".to_owned(),
            until: after(60),
            reason: "known".to_owned(),
            at: start(),
        };
        let state = given::<Finding>(id(), [opened()]).when(mute(60, "known")).then(&[muted]);
        assert_eq!(state.muted_until, Some(after(60)));
        for events in [vec![suspected()], vec![opened(), resolved()]] {
            given::<Finding>(id(), events).when(mute(365 * 86_400, "known")).then_types(&["FindingMuted"]);
        }
        let muted = || given::<Finding>(id(), [opened()]).and(mute(60, "known"));
        muted().when(mute(60, "known")).then_nothing();
        muted().when(mute(90, "known")).then_types(&["FindingMuted"]);
    }

    #[test]
    fn refusals() {
        refuses::<Finding>(
            id(),
            [
                ("unknown", vec![], mute(60, "known"), "finding_unknown"),
                ("false positive", vec![opened(), marked()], mute(60, "known"), "finding_false_positive"),
                ("no reason", vec![opened()], mute(60, " "), "text_empty"),
                ("now", vec![opened()], mute(0, "known"), "mute_in_the_past"),
                ("past", vec![opened()], mute(-60, "known"), "mute_in_the_past"),
                ("for years", vec![opened()], mute(365 * 86_400 + 1, "known"), "mute_too_long"),
            ],
        );
    }
}
