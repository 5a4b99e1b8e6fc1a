//! Two runs of one deployment beside each other: what is new, what came back, what is worse, what is gone, and what was
//! changed in between.
//!
//! A problem is the same one in both runs where check and resource are (its finding). What one of the runs could not
//! measure is undecided: neither new nor gone. [`ComparedProblem::baseline_state`] gives the word that SARIF has for
//! it.

use crate::error::QueryError;
use crate::page::PageRequest;
use crate::queries::{HISTORY_MAX, Queries};
use crate::views::check_results::CheckResultView;
use crate::views::runs::RunView;
use chrono::{DateTime, Utc};
use domain::any_event::{DEPLOYMENT, REMEDIATION};
use domain::diagnostic_run::Observation;
use domain::{FindingId, Outcome, RunId, StreamVersion, TenantId};
use event_store::{LogError, RecordedEvent, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// The most results of a run that are compared.
const RESULTS_MAX: usize = 10_000;
/// The most problems told of: those that got worse come first.
const PROBLEMS_MAX: usize = 10_000;
/// The most events in between that are told of.
const BETWEEN_MAX: usize = 500;
/// The most remediations whose events are looked at.
const REMEDIATIONS_MAX: i64 = 100;

/// Which findings had been open at a position. `$1` findings, `$2` the position.
pub(crate) const OPENED_BEFORE: &str = "SELECT DISTINCT finding_id FROM view_finding_history WHERE finding_id = ANY($1) \
    AND position <= $2 AND event_type IN ('FindingOpened', 'FindingRegressed')";
/// The remediations of a deployment that something happened to after a position. `$1` the deployment, `$2` asked for
/// until, `$3` the position, `$4` the most.
pub(crate) const REMEDIATIONS: &str = "SELECT id FROM view_remediations WHERE deployment_id = $1 \
    AND requested_at <= $2 AND last_position > $3 ORDER BY requested_at DESC, id DESC LIMIT $4";

/// What became of a problem from the base to the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was never there before.
    New,
    /// It had been there before the base, was gone, and is back.
    Regressed,
    /// It is worse than it was.
    Worse,
    /// One of the runs could not measure it.
    Undecided,
    /// It is as bad as it was, and reads otherwise.
    Updated,
    /// It is milder than it was.
    Better,
    /// It is as it was.
    Unchanged,
    /// It is gone.
    Fixed,
}

impl Change {
    /// All of them, the worst first.
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Regressed,
        Self::Worse,
        Self::Undecided,
        Self::Updated,
        Self::Better,
        Self::Unchanged,
        Self::Fixed,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Regressed => "regressed",
            Self::Worse => "worse",
            Self::Undecided => "undecided",
            Self::Updated => "updated",
            Self::Better => "better",
            Self::Unchanged => "unchanged",
            Self::Fixed => "fixed",
        }
    }

    /// Whether the head is the worse for it.
    pub const fn is_worse(self) -> bool {
        matches!(self, Self::New | Self::Regressed | Self::Worse)
    }
}

/// SARIF's words for a result beside its baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BaselineState {
    /// In the head, not in the base.
    New,
    /// In both, and the same.
    Unchanged,
    /// In both, and not the same.
    Updated,
    /// In the base, not in the head.
    Absent,
}

/// A problem in one of the runs, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedProblem {
    /// Its finding.
    pub finding: FindingId,
    /// The check.
    pub check_code: String,
    /// The component that the check looked at.
    pub component: String,
    /// What it is about.
    pub resource: String,
    /// What became of it.
    pub change: Change,
    /// SARIF's word for it.
    pub baseline_state: BaselineState,
    /// Why it is undecided.
    pub reason: Option<String>,
    /// As the base saw it.
    pub base: Option<Observation>,
    /// As the head sees it.
    pub head: Option<Observation>,
}

/// A check that judged by another version in the head, or was not there in one of the runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedCheck {
    /// The check.
    pub check_code: String,
    /// The component.
    pub component: String,
    /// Its version in the base.
    pub base_version: Option<String>,
    /// Its version in the head.
    pub head_version: Option<String>,
}

/// What kind of thing happened in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetweenKind {
    /// A component was attached, changed or taken out.
    Configuration,
    /// The deployment itself came under care or left it.
    Deployment,
    /// A threshold was overridden or restored.
    Threshold,
    /// Maintenance was announced.
    Maintenance,
    /// Something was put right, or taken back.
    Remediation,
}

/// An event between the two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Between {
    /// Where it is in the log.
    pub position: i64,
    /// Its id.
    pub event_id: Uuid,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// What kind of thing it is.
    pub kind: BetweenKind,
    /// Its type, such as `ThresholdOverridden`.
    pub event_type: String,
    /// Its stream.
    pub stream: String,
    /// Who.
    pub actor: String,
    /// What it says.
    pub detail: Value,
}

/// Two runs beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What is compared with.
    pub base: Arc<RunView>,
    /// What is compared.
    pub head: Arc<RunView>,
    /// The problems, those that got worse first.
    pub problems: Vec<ComparedProblem>,
    /// How many there are of each kind.
    pub counts: BTreeMap<Change, u32>,
    /// Checks that are not the same in both.
    pub changed_checks: Vec<ChangedCheck>,
    /// What happened after the base had ended and before the head had.
    pub between: Vec<Between>,
    /// Whether there is more than the bounds allow.
    pub truncated: bool,
}

impl Comparison {
    /// How many problems became that.
    pub fn count(&self, change: Change) -> u32 {
        self.counts.get(&change).copied().unwrap_or(0)
    }

    /// Whether the head is the worse for anything.
    pub fn is_worse(&self) -> bool {
        self.counts.iter().any(|(change, count)| change.is_worse() && *count > 0)
    }
}

impl Queries {
    /// Compares two runs of one deployment. `None` where the tenant has no such runs, or they are of two deployments.
    pub async fn compare_runs(
        &self,
        tenant: &TenantId,
        base: RunId,
        head: RunId,
    ) -> Result<Option<Comparison>, QueryError> {
        self.note(None);
        let mut runs = self.runs_by_ids(&[base, head]).await?;
        runs.retain(|_, run| run.tenant == tenant.as_str());
        let (Some(base), Some(head)) = (runs.get(&base).cloned(), runs.get(&head).cloned()) else { return Ok(None) };
        if base.deployment_id != head.deployment_id {
            return Ok(None);
        }
        let (of_base, base_cut) = self.all_results(base.id).await?;
        let (of_head, head_cut) = self.all_results(head.id).await?;
        let mut problems = compared(&of_base, &of_head);
        self.tell_regressions(&mut problems, base.last_position).await?;
        problems.sort_by(|a, b| {
            let key = |one: &ComparedProblem| (one.change, one.check_code.clone(), one.resource.clone());
            key(a).cmp(&key(b))
        });
        let mut counts = BTreeMap::new();
        for problem in &problems {
            *counts.entry(problem.change).or_insert(0) += 1;
        }
        let mut truncated = base_cut || head_cut || problems.len() > PROBLEMS_MAX;
        problems.truncate(PROBLEMS_MAX);
        let (between, cut) = self.between(&base, &head).await?;
        truncated |= cut;
        let changed_checks = changed_checks(&of_base, &of_head);
        Ok(Some(Comparison { base, head, problems, counts, changed_checks, between, truncated }))
    }

    /// A run's results by check and component, and whether there are more.
    async fn all_results(&self, run: RunId) -> Result<(Results, bool), QueryError> {
        let mut results = Results::new();
        let mut request = PageRequest::first(PageRequest::MAX);
        while results.len() < RESULTS_MAX {
            let page = self.check_results(run, &[], &request).await?;
            let next = page.end_cursor.filter(|_| page.has_next);
            results.extend(page.items.into_iter().map(|one| ((one.check_code.clone(), one.component.clone()), one)));
            match next {
                Some(cursor) => request = PageRequest::after(PageRequest::MAX, cursor),
                None => return Ok((results, false)),
            }
        }
        Ok((results, true))
    }

    /// What the base did not see and had been open before it has come back.
    async fn tell_regressions(&self, problems: &mut [ComparedProblem], before: i64) -> Result<(), QueryError> {
        let new = |problem: &&ComparedProblem| problem.change == Change::New;
        let ids: Vec<Uuid> = problems.iter().filter(new).map(|problem| problem.finding.0).collect();
        for some in ids.chunks(crate::queries::IDS_MAX) {
            let known: Vec<Uuid> =
                sqlx::query_scalar(OPENED_BEFORE).bind(some).bind(before).fetch_all(self.pool()).await?;
            let known: HashSet<Uuid> = known.into_iter().collect();
            for problem in problems.iter_mut().filter(|problem| known.contains(&problem.finding.0)) {
                problem.change = Change::Regressed;
            }
        }
        Ok(())
    }

    /// What happened to the deployment from the end of one run to the end of the other.
    async fn between(&self, base: &RunView, head: &RunView) -> Result<(Vec<Between>, bool), QueryError> {
        let log = Arc::clone(self.log().ok_or(LogError::Closed)?);
        let (first, last) = (base.last_position.min(head.last_position), base.last_position.max(head.last_position));
        let until = [base, head].into_iter().map(|run| run.ended_at.unwrap_or(run.deadline)).max();
        let remediations: Vec<Uuid> = sqlx::query_scalar(REMEDIATIONS)
            .bind(base.deployment_id.0)
            .bind(until)
            .bind(first)
            .bind(REMEDIATIONS_MAX)
            .fetch_all(self.pool())
            .await?;
        let mut truncated = remediations.len() as i64 == REMEDIATIONS_MAX;
        let mut between = Vec::new();
        let streams = remediations.into_iter().map(|id| (REMEDIATION, id));
        for (kind, id) in std::iter::once((DEPLOYMENT, base.deployment_id.0)).chain(streams) {
            let stream = StreamId::new(kind, &id.to_string());
            let mut after = StreamVersion(0);
            loop {
                let page = log.read_stream(stream.clone(), after, HISTORY_MAX).await?;
                let over = page.len() < HISTORY_MAX || page.last().is_some_and(|event| event.position.0 > last);
                after = page.last().map_or(after, |event| event.version);
                let lies_between = |event: &&RecordedEvent| event.position.0 > first && event.position.0 <= last;
                between.extend(page.iter().filter(lies_between).filter_map(told));
                if over || between.len() > BETWEEN_MAX {
                    break;
                }
            }
        }
        between.sort_by_key(|event| event.position);
        truncated |= between.len() > BETWEEN_MAX;
        between.truncate(BETWEEN_MAX);
        Ok((between, truncated))
    }
}

type Results = BTreeMap<(String, String), CheckResultView>;

/// Each problem of either run. One that only the head has is new: whether it came back, its history tells.
fn compared(base: &Results, head: &Results) -> Vec<ComparedProblem> {
    let (of_base, of_head) = (by_finding(base), by_finding(head));
    let mut problems = Vec::new();
    for (finding, (result, seen)) in &of_head {
        let before = of_base.get(finding);
        let unsure =
            if before.is_none() { unmeasured("base", base.get(&key(result)), &head_key(result)) } else { None };
        let change = match (before, &unsure) {
            (Some((_, before)), _) => changed(before, seen),
            (None, Some(_)) => Change::Undecided,
            (None, None) => Change::New,
        };
        problems.push(problem(*finding, result, change, unsure, before.map(|(_, seen)| *seen), Some(seen)));
    }
    for (finding, (result, seen)) in of_base.iter().filter(|(finding, _)| !of_head.contains_key(finding)) {
        let unsure = unmeasured("head", head.get(&key(result)), &head_key(result));
        let change = if unsure.is_some() { Change::Undecided } else { Change::Fixed };
        problems.push(problem(*finding, result, change, unsure, Some(seen), None));
    }
    problems
}

fn problem(
    finding: FindingId,
    result: &CheckResultView,
    change: Change,
    reason: Option<String>,
    base: Option<&Observation>,
    head: Option<&Observation>,
) -> ComparedProblem {
    let baseline_state = match (base, head) {
        (None, _) => BaselineState::New,
        (Some(_), None) => BaselineState::Absent,
        (Some(_), Some(_)) if change == Change::Unchanged => BaselineState::Unchanged,
        (Some(_), Some(_)) => BaselineState::Updated,
    };
    ComparedProblem {
        finding,
        check_code: result.check_code.clone(),
        component: result.component.clone(),
        resource: head.or(base).map(|seen| seen.resource.to_string()).unwrap_or_default(),
        change,
        baseline_state,
        reason,
        base: base.cloned(),
        head: head.cloned(),
    }
}

fn changed(before: &Observation, now: &Observation) -> Change {
    match now.outcome.rank().cmp(&before.outcome.rank()) {
        std::cmp::Ordering::Greater => Change::Worse,
        std::cmp::Ordering::Less => Change::Better,
        std::cmp::Ordering::Equal if now.symptom == before.symptom => Change::Unchanged,
        std::cmp::Ordering::Equal => Change::Updated,
    }
}

/// Why a run says nothing of what its check did not show; `None` where it measured all of it.
fn unmeasured(which: &str, result: Option<&CheckResultView>, what: &str) -> Option<String> {
    match result {
        None => Some(format!("the {which} has no result of {what}")),
        Some(result) if result.outcome == Outcome::Unknown => {
            let cause = result.unknown_cause.as_deref().unwrap_or(&result.summary);
            Some(format!("the {which} could not measure: {cause}"))
        }
        Some(result) if result.omitted > 0 => {
            Some(format!("the {which} left out {} problems or rows of {what}", result.omitted))
        }
        Some(_) => None,
    }
}

fn key(result: &CheckResultView) -> (String, String) {
    (result.check_code.clone(), result.component.clone())
}

fn head_key(result: &CheckResultView) -> String {
    format!("{} on {}", result.check_code, result.component)
}

/// Each problem by its finding; of several on one resource the worst.
fn by_finding(results: &Results) -> BTreeMap<FindingId, (&CheckResultView, &Observation)> {
    let mut found: BTreeMap<FindingId, (&CheckResultView, &Observation)> = BTreeMap::new();
    for result in results.values() {
        // A code that is none could not have been recorded.
        let Ok(check) = result.check_code.parse() else { continue };
        for seen in &result.observations {
            let id = FindingId::of(result.deployment_id, &check, &seen.resource);
            let kept = found.entry(id).or_insert((result, seen));
            if seen.outcome.rank() > kept.1.outcome.rank() {
                *kept = (result, seen);
            }
        }
    }
    found
}

fn changed_checks(base: &Results, head: &Results) -> Vec<ChangedCheck> {
    let mut keys: Vec<&(String, String)> = base.keys().chain(head.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let version = |results: &Results, key| results.get(key).map(|result| result.version.clone());
    let each = keys.into_iter().map(|key| ChangedCheck {
        check_code: key.0.clone(),
        component: key.1.clone(),
        base_version: version(base, key),
        head_version: version(head, key),
    });
    each.filter(|check| check.base_version != check.head_version).collect()
}

/// An event in between, where it can have changed what is measured or how it is judged.
fn told(event: &RecordedEvent) -> Option<Between> {
    let kind = match event.event_type.as_str() {
        "ComponentAttached" | "ComponentChanged" | "ComponentDetached" => BetweenKind::Configuration,
        "DeploymentRegistered" | "DeploymentRetired" => BetweenKind::Deployment,
        "ThresholdOverridden" | "ThresholdRestored" => BetweenKind::Threshold,
        "MaintenanceScheduled" => BetweenKind::Maintenance,
        "ExecutionStarted"
        | "StepSucceeded"
        | "StepUndone"
        | "RollbackProven"
        | "RollbackIncomplete"
        | "RemediationSucceeded"
        | "RemediationFailed"
        | "RemediationUndone"
        | "RemediationHalted"
        | "RemediationStuck" => BetweenKind::Remediation,
        _ => return None,
    };
    let payload: Value = serde_json::from_str(event.payload.get()).unwrap_or(Value::Null);
    let detail = match payload {
        Value::Object(tagged) => tagged.into_iter().next().map_or(Value::Null, |(_, said)| said),
        other => other,
    };
    Some(Between {
        position: event.position.0,
        event_id: event.event_id,
        at: event.recorded_at,
        kind,
        event_type: event.event_type.clone(),
        stream: event.stream.to_string(),
        actor: event.metadata.actor.to_string(),
        detail,
    })
}

#[cfg(test)]
mod tests;
