//! Lets the check that raised the finding judge, and the runbook's further ones.

use super::driver::{Driver, Purposes, Shared};
use super::sender::Trouble;
use crate::queue::{ItemKey, WorkItem};
use chrono::TimeDelta;
use domain::diagnostic_run::{CheckKey, CheckResult, Priority};
use domain::remediation::{PostCheckResult, Problem, RemediationCommand, RemediationState};
use domain::{CommandId, Outcome, RunId};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long is waited before a problem is measured again: longer and longer.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How much longer than its probe a check may take.
const BEYOND_PROBE: Duration = Duration::from_secs(2);

pub(super) async fn judge(driver: &Driver, state: &RemediationState, id: &Purposes) -> Result<(), Trouble> {
    let (Some(plan), Some(problem)) = (state.plan.clone(), state.problem.clone()) else {
        return Err(Trouble::Failed("it has no plan to check".to_owned()));
    };
    let token = CancellationToken::new();
    let within = Duration::from_millis(plan.post_check.within_ms.into());
    let work = async {
        let until = Instant::now() + within;
        let mut results = Vec::new();
        for (place, key) in plan.post_check.checks.iter().enumerate() {
            results.push(measured(driver, &problem, key, place == 0, until, &token).await);
        }
        results
    };
    let Some(results) = driver.watched(state.phase, &token, work).await? else { return Ok(()) };
    driver.sender.send(RemediationCommand::RecordPostCheck { results }, &id.of("post-check")).await.map(|_| ())
}

/// Measures until it is well or the time is up.
async fn measured(
    driver: &Driver,
    problem: &Arc<Problem>,
    key: &CheckKey,
    raised: bool,
    until: Instant,
    token: &CancellationToken,
) -> PostCheckResult {
    let mut pause = PAUSE_MIN;
    loop {
        let result = run(driver, problem, key, token).await;
        let verdict = if raised { of_resource(problem, result) } else { as_a_whole(result) };
        if verdict.outcome == Outcome::Ok || Instant::now() + pause >= until || token.is_cancelled() {
            return verdict;
        }
        if token.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return verdict;
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn run(driver: &Driver, problem: &Problem, key: &CheckKey, token: &CancellationToken) -> CheckResult {
    let shared: &Shared = &driver.shared;
    let held = driver.sender.held();
    let check = shared.parts.packs.check(&key.check);
    let timeout = check.map_or(Duration::from_secs(10), |check| check.probe.timeout) + BEYOND_PROBE;
    let now = shared.now();
    let item = WorkItem {
        // No run of the history: what is measured here goes into the remediation's own.
        key: ItemKey { run: RunId(CommandId::derived(held.remediation.0, "post-check").0), check: key.clone() },
        deployment: problem.deployment,
        version: check.map_or_else(String::new, |check| check.version.clone()),
        priority: Priority::High,
        queued_at: now,
        rank: now,
        deadline: now + TimeDelta::from_std(timeout).unwrap_or_default(),
        timeout,
        attempt: 1,
        crashes: 0,
        slot: 1,
        tenant: held.tenant.clone(),
        correlation: held.correlation,
        causation: Some(held.cause),
        traceparent: held.traceparent.clone(),
        started: true,
    };
    let cancel = token.child_token();
    let unknown = |cause: String| crate::worker::unknown_result(&item, cause, now, Duration::ZERO);
    match tokio::time::timeout(timeout, shared.parts.checks.run(item.clone(), cancel.clone())).await {
        Ok(result) => result,
        Err(_) => {
            cancel.cancel();
            unknown(format!("timed out after {} ms", timeout.as_millis()))
        }
    }
}

/// `Ok` where the finding's resource is surely well, whatever else the check sees.
fn of_resource(problem: &Problem, result: CheckResult) -> PostCheckResult {
    let seen = result.observations.iter().find(|seen| seen.resource == problem.resource);
    let (outcome, summary) = match seen {
        Some(seen) => (seen.outcome, seen.symptom.clone()),
        None if result.outcome == Outcome::Unknown => (Outcome::Unknown, result.summary.clone()),
        // It may be among what was left out or could not be judged.
        None if result.omitted > 0 => {
            let summary = format!("{} problems or rows are not listed, it may be among them", result.omitted);
            (Outcome::Unknown, summary)
        }
        None => (Outcome::Ok, format!("{} is well", problem.resource)),
    };
    PostCheckResult { key: result.key, version: result.version, outcome, summary }
}

fn as_a_whole(result: CheckResult) -> PostCheckResult {
    PostCheckResult { key: result.key, version: result.version, outcome: result.outcome, summary: result.summary }
}
