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
