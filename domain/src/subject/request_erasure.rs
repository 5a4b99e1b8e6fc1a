//! Somebody wants a subject forgotten. Asked for once: there is nothing to do the second time.

use super::{SubjectEvent, SubjectPhase, SubjectRefusal, SubjectState};
use crate::decider::Context;
use crate::ids::SubjectId;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &SubjectState,
    reason: String,
    context: &Context,
) -> Result<Vec<SubjectEvent>, SubjectRefusal> {
    required("the reason", &reason, REASON_CHARS_MAX)?;
    if state.phase != SubjectPhase::Known {
        return Ok(Vec::new());
    }
    let (subject, by, at) = (SubjectId(context.id), context.actor.clone(), context.now);
    Ok(vec![SubjectEvent::SubjectErasureRequested { subject, reason, by, at }])
}

#[cfg(test)]
mod tests {
    use crate::subject::{Subject, SubjectCommand, SubjectPhase};
    use crate::testing::{given, refuses};
    use uuid::Uuid;

    const ID: Uuid = Uuid::from_u128(7);

    fn ask(reason: &str) -> SubjectCommand {
        SubjectCommand::RequestErasure { reason: reason.to_owned() }
    }

    #[test]
    fn it_is_asked_for_once() {
        let state = given::<Subject>(ID, []).when(ask("left the house")).then_types(&["SubjectErasureRequested"]);
        assert_eq!(state.phase, SubjectPhase::ErasureRequested);
        given::<Subject>(ID, []).and(ask("left the house")).when(ask("again")).then_nothing();
    }

    #[test]
    fn refusals() {
        let rows = [
            ("no reason", vec![], ask(" "), "text_empty"),
            ("a novel", vec![], ask(&"x".repeat(1_001)), "text_too_long"),
        ];
        refuses::<Subject>(ID, rows);
    }
}
