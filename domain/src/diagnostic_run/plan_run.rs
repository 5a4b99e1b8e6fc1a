//! Fixes which checks a run consists of. An empty plan completes it at once, with the outcome `Unknown`: nothing was
//! measured.

use super::{PlannedCheck, RunEvent, RunPhase, RunRefusal, RunState, Tally};
use crate::decider::Context;
use crate::text::required;
use std::collections::HashSet;

/// The most checks of one run.
pub const PLANNED_CHECKS_MAX: usize = 20_000;
const VERSION_CHARS_MAX: usize = 64;
const TIMEOUT_MS_MAX: u32 = 24 * 3_600 * 1_000;

pub(super) fn decide(
    state: &RunState,
    checks: Vec<PlannedCheck>,
    context: &Context,
) -> Result<Vec<RunEvent>, RunRefusal> {
    let request = state.require_open()?;
    if state.phase != RunPhase::Requested {
        return Err(RunRefusal::AlreadyPlanned);
    }
    if checks.len() > PLANNED_CHECKS_MAX {
        return Err(RunRefusal::PlanTooLarge { max: PLANNED_CHECKS_MAX });
    }
    let mut keys = HashSet::with_capacity(checks.len());
    for planned in &checks {
        required("a check's version", &planned.version, VERSION_CHARS_MAX)?;
        if !(1..=TIMEOUT_MS_MAX).contains(&planned.timeout_ms) {
            let check = planned.key.check.to_string();
            return Err(RunRefusal::TimeoutOutOfBounds { check, max_ms: TIMEOUT_MS_MAX });
        }
        if !keys.insert(&planned.key) {
            return Err(RunRefusal::CheckRepeated(format!("{} of {}", planned.key.check, planned.key.component)));
        }
    }
    let at = context.now;
    let is_empty = checks.is_empty();
    let mut events = vec![RunEvent::RunPlanned { checks, at }];
    if is_empty {
        let tally = Tally::default();
        let outcome = tally.worst();
        events.push(RunEvent::RunCompleted { deployment: request.deployment, outcome, tally, at });
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use crate::diagnostic_run::{DiagnosticRun, PlannedCheck, RunCommand, RunEvent, RunPhase};
    use crate::testing::{RUN, given, planned_check, refuses, request_run, run_planned, run_requested, start};
    use crate::{DomainEvent as _, Outcome};

    fn plan(checks: Vec<PlannedCheck>) -> RunCommand {
        RunCommand::Plan { checks }
    }

    #[test]
    fn it_is_planned() {
        let state = given::<DiagnosticRun>(RUN.0, [run_requested()])
            .when(plan((0..3).map(planned_check).collect()))
            .then(&[run_planned(3)]);
        assert_eq!((state.phase, state.planned, state.done), (RunPhase::Planned, 3, 0));
    }

    #[test]
    fn an_empty_plan_completes_with_unknown() {
        let then = given::<DiagnosticRun>(RUN.0, []).and(request_run()).when(plan(vec![]));
        match then.accepted() {
            [planned, RunEvent::RunCompleted { outcome, tally, .. }] => {
                assert_eq!(planned.event_type(), "RunPlanned");
                assert_eq!((*outcome, tally.total()), (Outcome::Unknown, 0));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refusals() {
        let one = || plan(vec![planned_check(0)]);
        let failed = || RunEvent::RunFailed {
            deployment: crate::testing::DEPLOYMENT,
            reason: "no such profile".to_owned(),
            tally: crate::diagnostic_run::Tally::default(),
            at: start(),
        };
        let many = (0..=20_000).map(planned_check).collect();
        let hasty = PlannedCheck { timeout_ms: 0, ..planned_check(0) };
        let endless = PlannedCheck { timeout_ms: u32::MAX, ..planned_check(0) };
        let nameless = PlannedCheck { version: String::new(), ..planned_check(0) };
        refuses::<DiagnosticRun>(
            RUN.0,
            [
                ("unknown", vec![], one(), "run_unknown"),
                ("planned", vec![run_requested(), run_planned(1)], one(), "run_already_planned"),
                ("failed", vec![run_requested(), failed()], one(), "run_already_ended"),
                ("many", vec![run_requested()], plan(many), "plan_too_large"),
                ("twice", vec![run_requested()], plan(vec![planned_check(0); 2]), "check_repeated"),
                ("no time", vec![run_requested()], plan(vec![hasty]), "timeout_out_of_bounds"),
                ("for ever", vec![run_requested()], plan(vec![endless]), "timeout_out_of_bounds"),
                ("no version", vec![run_requested()], plan(vec![nameless]), "text_empty"),
            ],
        );
    }
}
