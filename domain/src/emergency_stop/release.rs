//! Goes on after an emergency stop. What was halted stays as it is; what waited begins.

use super::{EmergencyStopEvent, EmergencyStopRefusal, EmergencyStopState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(
    state: &EmergencyStopState,
    reason: String,
    context: &Context,
) -> Result<Vec<EmergencyStopEvent>, EmergencyStopRefusal> {
    if state.engaged.is_none() {
        return Err(EmergencyStopRefusal::NotEngaged);
    }
    required("the reason", &reason, REASON_CHARS_MAX)?;
    Ok(vec![EmergencyStopEvent::EmergencyStopReleased { by: context.actor.clone(), reason, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::TenantId;
    use crate::emergency_stop::{EmergencyStop, EmergencyStopCommand, EmergencyStopEvent};
    use crate::testing::{context, given, refuses, start};

    fn release(reason: &str) -> EmergencyStopCommand {
        EmergencyStopCommand::Release { reason: reason.to_owned() }
    }

    fn engaged() -> EmergencyStopEvent {
        let id = EmergencyStop::of(&TenantId::default());
        let by = context(id, start()).actor;
        EmergencyStopEvent::EmergencyStopEngaged { undo: true, by, reason: "it went wrong".to_owned(), at: start() }
    }

    #[test]
    fn it_is_released_and_can_be_engaged_again() {
        let id = EmergencyStop::of(&TenantId::default());
        let state =
            given::<EmergencyStop>(id, [engaged()]).when(release("seen to")).then_types(&["EmergencyStopReleased"]);
        assert_eq!(state.engaged, None);
        let again = EmergencyStopCommand::Engage { undo: false, reason: "again".to_owned() };
        given::<EmergencyStop>(id, [engaged()])
            .and(release("seen to"))
            .when(again)
            .then_types(&["EmergencyStopEngaged"]);
    }

    #[test]
    fn each_tenant_has_its_own() {
        let other: TenantId = "other".parse().unwrap();
        assert_ne!(EmergencyStop::of(&TenantId::default()), EmergencyStop::of(&other));
    }

    #[test]
    fn refusals() {
        let rows = [
            ("not engaged", vec![], release("seen to"), "emergency_stop_not_engaged"),
            ("no reason", vec![engaged()], release(""), "text_empty"),
        ];
        refuses::<EmergencyStop>(EmergencyStop::of(&TenantId::default()), rows);
    }
}
