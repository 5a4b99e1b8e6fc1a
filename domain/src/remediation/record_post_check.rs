//! The check that raised the finding judges. What it could not measure is no success.

use super::rollback::{Turn, turn_back};
use super::size::{told, without_nul};
use super::{PostCheckResult, RemediationEvent, RemediationPhase, RemediationRefusal, RemediationState, RollbackEnd};
use crate::decider::Context;
use crate::outcome::Outcome;

pub(super) fn decide(
    state: &RemediationState,
    mut results: Vec<PostCheckResult>,
    context: &Context,
) -> Result<Vec<RemediationEvent>, RemediationRefusal> {
    state.require_phase(&[RemediationPhase::Executing])?;
    if state.failure.is_some() {
        return Err(RemediationRefusal::RollbackPending);
    }
    if !state.all_succeeded() {
        return Err(RemediationRefusal::StepsOpen);
    }
    let checks = &state.require_plan()?.post_check.checks;
    if !checks.iter().eq(results.iter().map(|result| &result.key)) {
        return Err(RemediationRefusal::PostCheckMismatch);
    }
    for result in &mut results {
        result.summary = told(&result.summary);
        without_nul(&mut result.version);
    }
    let at = context.now;
    let Some(reason) = failure(state, &results) else {
        return Ok(vec![
            RemediationEvent::PostCheckPassed { results, at },
            RemediationEvent::RemediationSucceeded { at },
        ]);
    };
    let turn = Turn { reason, by: context.actor.clone(), end: RollbackEnd::Failed, at };
    Ok(turn_back(state, vec![RemediationEvent::PostCheckFailed { results, at }], turn))
}

/// Why the post-checks have not passed.
fn failure(state: &RemediationState, results: &[PostCheckResult]) -> Option<String> {
    if let Some(bad) = results.iter().find(|result| result.outcome != Outcome::Ok) {
        return Some(format!("post-check {} is {}: {}", bad.key.check, bad.outcome, bad.summary));
    }
    // Another version may see the finding with other eyes: it was not what people approved.
    let is_same = results.first().map(|first| &first.version) == state.check_version.as_ref();
    (!is_same).then(|| "the check that raised the finding has another version now".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::Outcome;
    use crate::remediation::story::{done, executing, failing, post_check, succeeded, with_done};
    use crate::remediation::{Next, PostCheckResult, Remediation, RemediationPhase, Rest, next};
    use crate::testing::{REMEDIATION, check_key, post_check_results, refuses, start, step_name};

    #[test]
    fn it_is_put_right() {
        assert_eq!(next(&done().state(), start()), Next::PostCheck);
        let good = post_check(post_check_results(Outcome::Ok));
        let state = done().when(good).then_types(&["PostCheckPassed", "RemediationSucceeded"]);
        assert_eq!((state.phase, state.ended_at), (RemediationPhase::Succeeded, Some(start())));
        assert_eq!(next(&state, start()), Next::Rest(Rest::Succeeded));
    }

    #[test]
    fn whatever_is_not_measured_as_well_is_no_success() {
        for outcome in [Outcome::Warning, Outcome::Critical, Outcome::Unknown] {
            let results = post_check(post_check_results(outcome));
            let state = done().when(results).then_types(&["PostCheckFailed", "RollbackStarted"]);
            assert_eq!(next(&state, start()), Next::Undo(step_name("restore-file")), "{outcome}");
        }
        let other = PostCheckResult { version: "2".to_owned(), ..post_check_results(Outcome::Ok)[0].clone() };
        done().when(post_check(vec![other])).then_types(&["PostCheckFailed", "RollbackStarted"]);
    }

    #[test]
    fn refusals() {
        let good = || post_check(post_check_results(Outcome::Ok));
        let other = PostCheckResult { key: check_key(1), ..post_check_results(Outcome::Ok)[0].clone() };
        let some = with_done(executing(), &["recount"]).into_events();
        refuses::<Remediation>(
            REMEDIATION.0,
            [
                ("unknown", vec![], good(), "remediation_unknown"),
                ("steps open", some, good(), "steps_open"),
                ("twice", succeeded().into_events(), good(), "remediation_at_rest"),
                ("taken back", failing().into_events(), good(), "remediation_wrong_phase"),
                ("nothing", done().into_events(), post_check(vec![]), "post_check_mismatch"),
                ("something else", done().into_events(), post_check(vec![other]), "post_check_mismatch"),
            ],
        );
    }
}
