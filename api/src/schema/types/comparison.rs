//! Two runs beside each other.

use super::Run;
use super::check_result::Observation;
use crate::schema::ids::global;
use crate::schema::scalars::PositionScalar;
use async_graphql::{Enum, ID, Json, SimpleObject};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// What became of a problem from the base to the head.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(name = "ProblemChange", remote = "query_side::Change")]
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

/// SARIF's words for a result beside its baseline.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "query_side::BaselineState")]
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

/// What kind of thing happened between two runs.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "query_side::comparison::BetweenKind")]
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

/// A problem in one of the runs, or both.
#[derive(SimpleObject)]
pub struct ComparedProblem {
    /// Its finding's global id.
    finding_id: ID,
    /// The check.
    check_code: String,
    /// The component that the check looked at.
    component: String,
    /// What it is about.
    resource: String,
    /// What became of it.
    change: Change,
    /// SARIF's word for it.
    baseline_state: BaselineState,
    /// Why it is undecided.
    reason: Option<String>,
    /// As the base saw it.
    base: Option<Observation>,
    /// As the head sees it.
    head: Option<Observation>,
}

/// How many problems became what.
#[derive(SimpleObject)]
pub struct ChangeCount {
    /// What.
    change: Change,
    /// How many.
    count: i64,
}

/// A check that judged by another version in the head, or was not there in one of the runs.
#[derive(SimpleObject)]
pub struct ChangedCheck {
    /// The check.
    check_code: String,
    /// The component.
    component: String,
    /// Its version in the base.
    base_version: Option<String>,
    /// Its version in the head.
    head_version: Option<String>,
}

/// An event between the two runs.
#[derive(SimpleObject)]
pub struct BetweenEvent {
    /// Where it is in the log.
    position: PositionScalar,
    /// Its id.
    event_id: Uuid,
    /// When it was recorded.
    at: DateTime<Utc>,
    /// What kind of thing it is.
    kind: BetweenKind,
    /// Its type, such as `ThresholdOverridden`.
    event_type: String,
    /// Its stream.
    stream: String,
    /// Who.
    actor: String,
    /// What it says.
    detail: Json<Value>,
}

/// Two runs of one deployment beside each other.
#[derive(SimpleObject)]
pub struct RunComparison {
    /// What is compared with.
    base: Run,
    /// What is compared.
    head: Run,
    /// Whether the head is the worse for anything: something is new, came back or is worse.
    is_worse: bool,
    /// How many problems became what.
    counts: Vec<ChangeCount>,
    /// The problems, those that got worse first.
    problems: Vec<ComparedProblem>,
    /// Checks that are not the same in both.
    changed_checks: Vec<ChangedCheck>,
    /// What happened after the one run had ended and before the other had.
    between: Vec<BetweenEvent>,
    /// Whether there is more than the bounds allow.
    truncated: bool,
}

impl From<query_side::Comparison> for RunComparison {
    fn from(compared: query_side::Comparison) -> Self {
        let problem = |one: query_side::ComparedProblem| ComparedProblem {
            finding_id: global(one.finding),
            check_code: one.check_code,
            component: one.component,
            resource: one.resource,
            change: one.change.into(),
            baseline_state: one.baseline_state.into(),
            reason: one.reason,
            base: one.base.as_ref().map(Into::into),
            head: one.head.as_ref().map(Into::into),
        };
        let check = |one: query_side::ChangedCheck| ChangedCheck {
            check_code: one.check_code,
            component: one.component,
            base_version: one.base_version,
            head_version: one.head_version,
        };
        let between = |one: query_side::Between| BetweenEvent {
            position: one.position.into(),
            event_id: one.event_id,
            at: one.at,
            kind: one.kind.into(),
            event_type: one.event_type,
            stream: one.stream,
            actor: one.actor,
            detail: Json(one.detail),
        };
        let count = |(change, count): (&query_side::Change, &u32)| ChangeCount {
            change: (*change).into(),
            count: i64::from(*count),
        };
        Self {
            is_worse: compared.is_worse(),
            counts: compared.counts.iter().map(count).collect(),
            base: Run(compared.base),
            head: Run(compared.head),
            problems: compared.problems.into_iter().map(problem).collect(),
            changed_checks: compared.changed_checks.into_iter().map(check).collect(),
            between: compared.between.into_iter().map(between).collect(),
            truncated: compared.truncated,
        }
    }
}
