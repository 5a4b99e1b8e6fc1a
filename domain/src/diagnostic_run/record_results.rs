//! Records results. Those of checks already recorded are left out: the work of a killed worker is done again. The first
//! results start a run that was not seen to start; the last complete it, in the same decision.

use super::result_rules::{check_result, make_storable};
use super::{CheckResult, RunEvent, RunPhase, RunRefusal, RunState};
use crate::decider::Context;
use std::collections::HashSet;

/// The most results of one command.
pub const RESULTS_MAX: usize = 1_000;

pub(super) fn decide(
    state: &RunState,
    results: Vec<CheckResult>,
    context: &Context,
) -> Result<Vec<RunEvent>, RunRefusal> {
    let deployment = state.require_open()?.deployment;
    if state.phase == RunPhase::Requested {
        return Err(RunRefusal::NotPlanned);
    }
    if results.len() > RESULTS_MAX {
        return Err(RunRefusal::TooManyResults { max: RESULTS_MAX });
    }
    let results = fresh(state, results)?;
    if results.is_empty() {
        return Ok(Vec::new());
    }
    let at = context.now;
    let mut events = Vec::with_capacity(3);
    if state.phase == RunPhase::Planned {
        events.push(RunEvent::RunStarted { at });
    }
    let planned = state.planned;
    let done = state.done + u32::try_from(results.len()).unwrap_or(u32::MAX);
    let mut tally = state.tally;
    for result in &results {
        tally.count(result.outcome);
    }
    events.push(RunEvent::ChecksCompleted { deployment, results, done, planned, at });
    if done == planned {
        events.push(RunEvent::RunCompleted { deployment, outcome: tally.worst(), tally, at });
    }
    Ok(events)
}

/// The results that are not recorded yet, each check once, in the order given.
fn fresh(state: &RunState, results: Vec<CheckResult>) -> Result<Vec<CheckResult>, RunRefusal> {
    let mut seen = HashSet::with_capacity(results.len());
    let mut fresh = Vec::with_capacity(results.len());
    for mut result in results {
        let Some(index) = state.index_of(&result.key) else {
            return Err(RunRefusal::CheckNotPlanned(result.key));
        };
        if state.is_recorded(index) || !seen.insert(index) {
            continue;
        }
        check_result(&result)?;
        make_storable(&mut result);
        fresh.push(result);
    }
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use crate::Outcome;
    use crate::diagnostic_run::{CheckResult, DiagnosticRun, RunCommand, RunEvent, RunPhase, Tally};
    use crate::testing::{DEPLOYMENT, Given, RUN, check_result, given, refuses, run_planned, run_requested, start};

    fn planned(count: u32) -> Given<DiagnosticRun> {
        given::<DiagnosticRun>(RUN.0, [run_requested(), run_planned(count)])
    }

    fn record(results: Vec<CheckResult>) -> RunCommand {
        RunCommand::RecordResults { results }
    }

    fn ok(number: u32) -> CheckResult {
        check_result(number, Outcome::Ok)
    }

    #[test]
    fn the_last_result_completes_the_run() {
        let results = vec![ok(0), check_result(1, Outcome::Unknown)];
        let tally = Tally { ok: 1, unknown: 1, ..Tally::default() };
        let completed = RunEvent::ChecksCompleted {
            deployment: DEPLOYMENT,
            results: results.clone(),
            done: 2,
            planned: 2,
            at: start(),
        };
        let ended = RunEvent::RunCompleted { deployment: DEPLOYMENT, outcome: Outcome::Unknown, tally, at: start() };
        let state = planned(2).and(RunCommand::Start).when(record(results)).then(&[completed, ended]);
        assert_eq!((state.phase, state.done, state.worst()), (RunPhase::Completed, 2, Outcome::Unknown));
    }

    #[test]
    fn the_first_results_start_the_run() {
        let state = planned(2).when(record(vec![ok(1)])).then_types(&["RunStarted", "ChecksCompleted"]);
        assert_eq!((state.phase, state.done), (RunPhase::Running, 1));
        assert_eq!(state.missing().count(), 1);
    }

    #[test]
    fn what_is_recorded_is_left_out() {
        let some = planned(3).and(record(vec![ok(0), ok(1)]));
        some.when(record(vec![ok(1), check_result(0, Outcome::Critical)])).then_nothing();
        let some = planned(3).and(record(vec![ok(0), ok(1)]));
        let state = some.when(record(vec![ok(1), ok(2), ok(2)])).then_types(&["ChecksCompleted", "RunCompleted"]);
        assert_eq!((state.done, state.tally.ok), (3, 3));
        planned(3).when(record(vec![])).then_nothing();
    }

    #[test]
    fn a_nul_is_not_stored() {
        let noisy = CheckResult { summary: "a\u{0}b".to_owned(), ..ok(0) };
        match planned(1).and(RunCommand::Start).when(record(vec![noisy])).accepted() {
            [RunEvent::ChecksCompleted { results, .. }, _] => assert_eq!(results[0].summary, "a\u{fffd}b"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refusals() {
        let open = || vec![run_requested(), run_planned(1)];
        let cancelled = RunEvent::RunCancelled {
            deployment: DEPLOYMENT,
            reason: "enough".to_owned(),
            tally: Tally::default(),
            at: start(),
        };
        let ended = vec![run_requested(), run_planned(1), cancelled];
        let silent = CheckResult { unknown_cause: None, ..check_result(0, Outcome::Unknown) };
        refuses::<DiagnosticRun>(
            RUN.0,
            [
                ("unknown", vec![], record(vec![ok(0)]), "run_unknown"),
                ("not planned", vec![run_requested()], record(vec![ok(0)]), "run_not_planned"),
                ("ended", ended, record(vec![ok(0)]), "run_already_ended"),
                ("not in the plan", open(), record(vec![ok(0), ok(1)]), "check_not_planned"),
                ("many", open(), record(vec![ok(0); 1_001]), "too_many_results"),
                ("no cause", open(), record(vec![silent]), "unknown_without_cause"),
            ],
        );
    }
}
