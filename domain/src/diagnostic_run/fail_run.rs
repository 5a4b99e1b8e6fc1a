//! A run can not be planned or carried on.

use super::{RunEvent, RunRefusal, RunState};
use crate::decider::Context;
use crate::text::{REASON_CHARS_MAX, required};

pub(super) fn decide(state: &RunState, reason: String, context: &Context) -> Result<Vec<RunEvent>, RunRefusal> {
    let deployment = state.require_open()?.deployment;
    required("the reason", &reason, REASON_CHARS_MAX)?;
    Ok(vec![RunEvent::RunFailed { deployment, reason, tally: state.tally, at: context.now }])
}

#[cfg(test)]
mod tests {
    use crate::diagnostic_run::{DiagnosticRun, RunCommand, RunEvent, RunPhase, Tally};
    use crate::testing::{DEPLOYMENT, RUN, given, refuses, run_requested, start};

    fn fail(reason: &str) -> RunCommand {
        RunCommand::Fail { reason: reason.to_owned() }
    }

    fn failed() -> RunEvent {
        let (reason, tally) = ("no such profile".to_owned(), Tally::default());
        RunEvent::RunFailed { deployment: DEPLOYMENT, reason, tally, at: start() }
    }

    #[test]
    fn it_fails() {
        let requested = given::<DiagnosticRun>(RUN.0, [run_requested()]);
        assert_eq!(requested.when(fail("no such profile")).then(&[failed()]).phase, RunPhase::Failed);
    }

    #[test]
    fn refusals() {
        refuses::<DiagnosticRun>(
            RUN.0,
            [
                ("unknown", vec![], fail("x"), "run_unknown"),
                ("ended", vec![run_requested(), failed()], fail("x"), "run_already_ended"),
                ("no reason", vec![run_requested()], fail(""), "text_empty"),
            ],
        );
    }
}
