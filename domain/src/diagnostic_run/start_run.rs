//! The first check is under way. Nothing to do where the run has started.

use super::{RunEvent, RunPhase, RunRefusal, RunState};
use crate::decider::Context;

pub(super) fn decide(state: &RunState, context: &Context) -> Result<Vec<RunEvent>, RunRefusal> {
    state.require_open()?;
    match state.phase {
        RunPhase::Requested => Err(RunRefusal::NotPlanned),
        RunPhase::Planned => Ok(vec![RunEvent::RunStarted { at: context.now }]),
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic_run::{DiagnosticRun, RunCommand, RunEvent, RunPhase};
    use crate::testing::{RUN, given, refuses, run_planned, run_requested, start};

    #[test]
    fn it_starts_once() {
        let planned = || given::<DiagnosticRun>(RUN.0, [run_requested(), run_planned(2)]);
        let state = planned().when(RunCommand::Start).then(&[RunEvent::RunStarted { at: start() }]);
        assert_eq!(state.phase, RunPhase::Running);
        planned().and(RunCommand::Start).when(RunCommand::Start).then_nothing();
    }

    #[test]
    fn refusals() {
        let ended = given::<DiagnosticRun>(RUN.0, [run_requested()]).and(RunCommand::Plan { checks: vec![] });
        assert_eq!(ended.state().phase, RunPhase::Completed);
        ended.when(RunCommand::Start).then_refused("run_already_ended");
        refuses::<DiagnosticRun>(
            RUN.0,
            [
                ("unknown", vec![], RunCommand::Start, "run_unknown"),
                ("not planned", vec![run_requested()], RunCommand::Start, "run_not_planned"),
            ],
        );
    }
}
