//! A run's deadline has passed.

use super::{RunEvent, RunRefusal, RunState};
use crate::decider::Context;

pub(super) fn decide(state: &RunState, context: &Context) -> Result<Vec<RunEvent>, RunRefusal> {
    let request = state.require_open()?;
    if context.now < request.deadline {
        return Err(RunRefusal::DeadlineAhead);
    }
    let missing = state.missing().map(|planned| planned.key.clone()).collect();
    Ok(vec![RunEvent::RunTimedOut { deployment: request.deployment, tally: state.tally, missing, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::Outcome;
    use crate::diagnostic_run::{DiagnosticRun, RunCommand, RunEvent, RunPhase, Tally};
    use crate::testing::{
        DEPLOYMENT, RUN, after, check_key, check_result, given, refuses, run_planned, run_requested, start,
    };

    #[test]
    fn it_times_out_with_what_is_missing() {
        let running = given::<DiagnosticRun>(RUN.0, [run_requested(), run_planned(3)])
            .and(RunCommand::RecordResults { results: vec![check_result(1, Outcome::Critical)] })
            .at(after(3_600));
        let timed_out = RunEvent::RunTimedOut {
            deployment: DEPLOYMENT,
            tally: Tally { critical: 1, ..Tally::default() },
            missing: vec![check_key(0), check_key(2)],
            at: after(3_600),
        };
        let state = running.when(RunCommand::TimeOut).then(&[timed_out]);
        assert_eq!(state.phase, RunPhase::TimedOut);
    }

    #[test]
    fn refusals() {
        let failed = RunEvent::RunFailed {
            deployment: DEPLOYMENT,
            reason: "no such profile".to_owned(),
            tally: Tally::default(),
            at: start(),
        };
        refuses::<DiagnosticRun>(
            RUN.0,
            [
                ("unknown", vec![], RunCommand::TimeOut, "run_unknown"),
                ("ended", vec![run_requested(), failed], RunCommand::TimeOut, "run_already_ended"),
                ("in time", vec![run_requested()], RunCommand::TimeOut, "deadline_not_passed"),
            ],
        );
    }
}
