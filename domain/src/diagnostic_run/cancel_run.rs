//! Stops a run.

use super::{RunEvent, RunRefusal, RunState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(state: &RunState, reason: String, context: &Context) -> Result<Vec<RunEvent>, RunRefusal> {
    let deployment = state.require_open()?.deployment;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    Ok(vec![RunEvent::RunCancelled { deployment, reason, tally: state.tally, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::Outcome;
    use crate::diagnostic_run::{DiagnosticRun, RunCommand, RunEvent, RunPhase, Tally};
    use crate::testing::{DEPLOYMENT, RUN, check_result, given, refuses, run_planned, run_requested, start};

    fn cancel(reason: &str) -> RunCommand {
        RunCommand::Cancel { reason: reason.to_owned() }
    }

    fn cancelled(tally: Tally) -> RunEvent {
        RunEvent::RunCancelled { deployment: DEPLOYMENT, reason: "enough".to_owned(), tally, at: start() }
    }

    #[test]
    fn it_is_cancelled_wherever_it_is() {
        let requested = given::<DiagnosticRun>(RUN.0, [run_requested()]);
        let state = requested.when(cancel("enough")).then(&[cancelled(Tally::default())]);
        assert_eq!(state.phase, RunPhase::Cancelled);
        let running = given::<DiagnosticRun>(RUN.0, [run_requested(), run_planned(2)])
            .and(RunCommand::RecordResults { results: vec![check_result(0, Outcome::Ok)] });
        running.when(cancel("enough")).then(&[cancelled(Tally { ok: 1, ..Tally::default() })]);
    }

    #[test]
    fn refusals() {
        let ended = vec![run_requested(), cancelled(Tally::default())];
        refuses::<DiagnosticRun>(
            RUN.0,
            [
                ("unknown", vec![], cancel("enough"), "run_unknown"),
                ("ended", ended, cancel("enough"), "run_already_ended"),
                ("no reason", vec![run_requested()], cancel(" "), "text_empty"),
                ("a novel", vec![run_requested()], cancel(&"x".repeat(1_001)), "text_too_long"),
            ],
        );
    }
}
