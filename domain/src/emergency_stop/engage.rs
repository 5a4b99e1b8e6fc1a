//! Stops everything. Nothing to do where everything stops already; except that one which leaves things as they are
//! becomes one that takes them back, where that is asked for. The other way round there is nothing to do: what is taken
//! back is taken back.

use super::{EmergencyStopEvent, EmergencyStopRefusal, EmergencyStopState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &EmergencyStopState,
    undo: bool,
    reason: String,
    context: &Context,
) -> Result<Vec<EmergencyStopEvent>, EmergencyStopRefusal> {
    required("the reason", &reason, REASON_CHARS_MAX)?;
    if state.engaged.as_ref().is_some_and(|engaged| engaged.undo || !undo) {
        return Ok(Vec::new());
    }
    Ok(vec![EmergencyStopEvent::EmergencyStopEngaged { undo, by: context.actor.clone(), reason, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::TenantId;
    use crate::emergency_stop::{EmergencyStop, EmergencyStopCommand};
    use crate::testing::{given, refuses, start};

    fn engage(undo: bool) -> EmergencyStopCommand {
        EmergencyStopCommand::Engage { undo, reason: "it went wrong".to_owned() }
    }

    #[test]
    fn it_is_engaged_once_and_can_be_asked_for_more() {
        let id = EmergencyStop::of(&TenantId::default());
        let stop = || given::<EmergencyStop>(id, []);
        let state = stop().when(engage(false)).then_types(&["EmergencyStopEngaged"]);
        let engaged = state.engaged.unwrap();
        assert_eq!((engaged.undo, engaged.at, engaged.reason.as_str()), (false, start(), "it went wrong"));
        stop().and(engage(false)).when(engage(false)).then_nothing();
        let more = stop().and(engage(false)).when(engage(true)).then_types(&["EmergencyStopEngaged"]);
        assert!(more.engaged.unwrap().undo);
        stop().and(engage(true)).when(engage(false)).then_nothing();
    }

    #[test]
    fn refusals() {
        let silent = |reason: &str| EmergencyStopCommand::Engage { undo: true, reason: reason.to_owned() };
        let rows = [
            ("no reason", vec![], silent(" "), "text_empty"),
            ("a long reason", vec![], silent(&"x".repeat(1_001)), "text_too_long"),
        ];
        refuses::<EmergencyStop>(EmergencyStop::of(&TenantId::default()), rows);
    }
}
