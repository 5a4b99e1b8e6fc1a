//! Puts on record which filling of a view is served: it happened in the database, and nobody can say no to it any more.

use super::{ProjectionControlEvent, ProjectionControlRefusal, Served, belongs};
use crate::decider::Context;

pub(super) fn decide(
    projection: String,
    (served, before): (Served, Served),
    back: bool,
    context: &Context,
) -> Result<Vec<ProjectionControlEvent>, ProjectionControlRefusal> {
    belongs(&projection, context)?;
    let (by, at) = (context.actor.clone(), context.now);
    Ok(vec![if back {
        ProjectionControlEvent::ProjectionSwitchedBack { projection, served, before, by, at }
    } else {
        ProjectionControlEvent::ProjectionSwitched { projection, served, before, by, at }
    }])
}

#[cfg(test)]
mod tests {
    use crate::Position;
    use crate::projection_control::{ProjectionControl, ProjectionControlCommand, Served};
    use crate::testing::{given, refuses};

    fn switch(projection: &str, versions: (i32, i32), back: bool) -> ProjectionControlCommand {
        let of = |version| Served { version, position: Position(100) };
        let (served, before) = (of(versions.0), of(versions.1));
        ProjectionControlCommand::RecordSwitch { projection: projection.to_owned(), served, before, back }
    }

    #[test]
    fn there_and_back() {
        let id = ProjectionControl::of("runs");
        let there = switch("runs", (2, 1), false);
        let state = given::<ProjectionControl>(id, []).when(there.clone()).then_types(&["ProjectionSwitched"]);
        assert_eq!(state.served.map(|served| served.version), Some(2));
        let back = given::<ProjectionControl>(id, []).and(there).when(switch("runs", (1, 2), true));
        assert_eq!(back.then_types(&["ProjectionSwitchedBack"]).served.map(|served| served.version), Some(1));
    }

    #[test]
    fn refusals() {
        let rows = [("another's stream", vec![], switch("findings", (2, 1), false), "projection_another")];
        refuses::<ProjectionControl>(ProjectionControl::of("runs"), rows);
    }
}
