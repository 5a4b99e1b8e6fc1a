//! Passes over an event. Nothing to do where that is decided already: the first reason stays on record.

use super::{ProjectionControlEvent, ProjectionControlRefusal, ProjectionControlState, belongs};
use crate::decider::Context;
use crate::ids::Position;
use crate::text::{REASON_CHARS_MAX, required};

/// What a projection says of its failure is kept as far as this, in characters.
const FAILURE_CHARS_MAX: usize = 2_000;

pub(super) fn decide(
    state: &ProjectionControlState,
    (projection, position): (String, Position),
    (failure, reason): (String, String),
    context: &Context,
) -> Result<Vec<ProjectionControlEvent>, ProjectionControlRefusal> {
    belongs(&projection, context)?;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    if position.0 < 1 {
        return Err(ProjectionControlRefusal::NoSuchPosition(position));
    }
    if state.skipped.contains_key(&position.0) {
        return Ok(Vec::new());
    }
    let failure = failure.chars().filter(|c| !c.is_control()).take(FAILURE_CHARS_MAX).collect();
    let (by, at) = (context.actor.clone(), context.now);
    Ok(vec![ProjectionControlEvent::PoisonEventSkipped { projection, position, failure, reason, by, at }])
}

#[cfg(test)]
mod tests {
    use crate::Position;
    use crate::projection_control::{ProjectionControl, ProjectionControlCommand};
    use crate::testing::{given, refuses};

    fn skip(projection: &str, position: i64, reason: &str) -> ProjectionControlCommand {
        ProjectionControlCommand::SkipEvent {
            projection: projection.to_owned(),
            position: Position(position),
            failure: "does not \0decode".to_owned(),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn an_event_is_passed_over_once_and_the_first_reason_stays() {
        let id = ProjectionControl::of("runs");
        let first = skip("runs", 7, "a broken build wrote it");
        let state = given::<ProjectionControl>(id, []).when(first.clone()).then_types(&["PoisonEventSkipped"]);
        assert_eq!(state.skipped[&7].reason, "a broken build wrote it");
        assert_eq!(state.skipped[&7].failure, "does not decode");
        given::<ProjectionControl>(id, []).and(first.clone()).when(skip("runs", 7, "again")).then_nothing();
        let two = given::<ProjectionControl>(id, []).and(first).when(skip("runs", 9, "that one, too"));
        assert_eq!(two.then_types(&["PoisonEventSkipped"]).skipped.len(), 2);
    }

    #[test]
    fn refusals() {
        let rows = [
            ("no reason", vec![], skip("runs", 7, "\n"), "text_empty"),
            ("a long reason", vec![], skip("runs", 7, &"x".repeat(1_001)), "text_too_long"),
            ("no such event", vec![], skip("runs", 0, "nothing there"), "projection_no_such_position"),
            ("another's stream", vec![], skip("findings", 7, "a slip"), "projection_another"),
        ];
        refuses::<ProjectionControl>(ProjectionControl::of("runs"), rows);
    }
}
