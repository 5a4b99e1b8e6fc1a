//! Announces a maintenance window. Nothing to do where the same one was announced.

use super::{DeploymentEvent, DeploymentRefusal, DeploymentState, MaintenanceWindow};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};
use chrono::TimeDelta;

const WINDOWS_MAX: usize = 100;
const WINDOW_DAYS_MAX: i64 = 90;

pub(super) fn decide(
    state: &DeploymentState,
    window: MaintenanceWindow,
    context: &Context,
) -> Result<Vec<DeploymentEvent>, DeploymentRefusal> {
    state.require_active()?;
    required("the reason", &window.reason, REASON_CHARS_MAX)?;
    if window.until <= window.from {
        return Err(DeploymentRefusal::WindowReversed);
    }
    if window.until <= context.now {
        return Err(DeploymentRefusal::WindowOver);
    }
    if window.until - window.from > TimeDelta::days(WINDOW_DAYS_MAX) {
        return Err(DeploymentRefusal::WindowTooLong { days: WINDOW_DAYS_MAX });
    }
    if state.maintenance.contains(&window) {
        return Ok(Vec::new());
    }
    if state.maintenance.iter().filter(|earlier| earlier.until > context.now).count() >= WINDOWS_MAX {
        return Err(DeploymentRefusal::TooManyWindows { max: WINDOWS_MAX });
    }
    Ok(vec![DeploymentEvent::MaintenanceScheduled { window, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::deployment::{Deployment, DeploymentCommand, DeploymentEvent, MaintenanceWindow};
    use crate::testing::{DEPLOYMENT, after, deployment, given, refuses, registered, start};

    fn window(from: i64, until: i64, reason: &str) -> MaintenanceWindow {
        MaintenanceWindow { from: after(from), until: after(until), reason: reason.to_owned() }
    }

    fn schedule(from: i64, until: i64, reason: &str) -> DeploymentCommand {
        DeploymentCommand::ScheduleMaintenance { window: window(from, until, reason) }
    }

    #[test]
    fn it_is_announced() {
        let scheduled = DeploymentEvent::MaintenanceScheduled { window: window(10, 20, "patches"), at: start() };
        let state =
            given::<Deployment>(DEPLOYMENT.0, deployment()).when(schedule(10, 20, "patches")).then(&[scheduled]);
        let within = [9, 10, 19, 20].map(|seconds| state.in_maintenance(after(seconds)));
        assert_eq!(within, [false, true, true, false]);
        given::<Deployment>(DEPLOYMENT.0, deployment())
            .and(schedule(10, 20, "patches"))
            .when(schedule(10, 20, "patches"))
            .then_nothing();
    }

    #[test]
    fn ended_windows_make_room() {
        let state = given::<Deployment>(DEPLOYMENT.0, deployment())
            .and(schedule(10, 20, "patches"))
            .at(after(30))
            .when(schedule(40, 50, "more patches"))
            .then_types(&["MaintenanceScheduled"]);
        assert_eq!(state.maintenance, [window(40, 50, "more patches")]);
    }

    #[test]
    fn refusals() {
        let retired = DeploymentEvent::DeploymentRetired { reason: "moved".to_owned(), at: start() };
        let full = (0..100).map(|number| DeploymentEvent::MaintenanceScheduled {
            window: window(number, number + 100, "patches"),
            at: start(),
        });
        refuses::<Deployment>(
            DEPLOYMENT.0,
            [
                ("unknown", vec![], schedule(10, 20, "patches"), "deployment_unknown"),
                ("retired", vec![registered(), retired], schedule(10, 20, "patches"), "deployment_retired"),
                ("no reason", deployment(), schedule(10, 20, ""), "text_empty"),
                ("reversed", deployment(), schedule(20, 10, "patches"), "window_reversed"),
                ("no time at all", deployment(), schedule(10, 10, "patches"), "window_reversed"),
                ("over", deployment(), schedule(-20, 0, "patches"), "window_over"),
                ("for ever", deployment(), schedule(0, 91 * 86_400, "patches"), "window_too_long"),
                (
                    "full",
                    deployment().into_iter().chain(full).collect(),
                    schedule(0, 9, "one more"),
                    "too_many_windows",
                ),
            ],
        );
    }
}
