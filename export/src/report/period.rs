//! What happened in a period, read from the log itself: which events, what was done by whom, and what was refused.
//!
//! The log is read in one pass over the period's positions, as everybody reads it (brought up to date, deciphered where
//! that is still possible). Lists are bounded; the page says how many lines they left out.

use crate::error::ExportError;
use chrono::{DateTime, TimeDelta, Utc};
use domain::any_event::AnyEvent;
use domain::emergency_stop::EmergencyStopEvent;
use domain::finding::FindingEvent;
use domain::policy::PolicyEvent;
use domain::remediation::RemediationEvent;
use domain::{Position, TenantId};
use event_store::{EventLog, RecordedEvent};
use sqlx::{FromRow, PgPool};
use std::collections::BTreeMap;

/// So many lines of each list are kept; further ones are only counted.
pub const LINES_MAX: usize = 20_000;
const PAGE: usize = 1_000;

/// From when until when: events recorded at or after `since` and before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// From this moment.
    pub since: DateTime<Utc>,
    /// Until before this one.
    pub until: DateTime<Utc>,
}

/// One thing that was done, or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place in the log; none of what was refused.
    pub position: Option<i64>,
    /// When.
    pub at: DateTime<Utc>,
    /// What, such as `RemediationApproved`.
    pub what: String,
    /// To what, such as `Remediation-…`.
    pub to: String,
    /// By whom.
    pub by: String,
    /// In words.
    pub detail: String,
}

/// A list that stops growing at a bound, and counts on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    /// The first ones.
    pub lines: Vec<Line>,
    /// How many further ones there were.
    pub more: u64,
}

impl Lines {
    fn add(&mut self, line: Line) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(line);
        } else {
            self.more += 1;
        }
    }
}

/// What happened in a period.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeriodFacts {
    /// The first position of the period; none where nothing was recorded in it.
    pub first_position: Option<i64>,
    /// The last.
    pub last_position: Option<i64>,
    /// How many events of the tenant, by aggregate and type.
    pub events: BTreeMap<(String, String), u64>,
    /// Findings that opened, came back, were resolved, taken on, muted or marked.
    pub findings: Lines,
    /// What was asked, approved, done and taken back.
    pub actions: Lines,
    /// Emergency stops.
    pub stops: Lines,
    /// What was changed about deployments, thresholds and policies.
    pub changes: Lines,
    /// Refused commands.
    pub refused: Lines,
}

impl PeriodFacts {
    /// Reads a period. `progress` is told each position that was reached, and the last one.
    pub async fn read(
        log: &dyn EventLog,
        pool: &PgPool,
        tenant: &TenantId,
        period: Period,
        progress: &mut (dyn FnMut(i64, i64) + Send),
    ) -> Result<Self, ExportError> {
        let mut facts = Self::default();
        let head = log.head().await?.0;
        // As of the moment before: what was recorded at the very beginning belongs to the period, at its end not.
        let before = |moment: DateTime<Utc>| log.position_at(moment - TimeDelta::microseconds(1));
        let first = before(period.since).await?.0 + 1;
        let last = before(period.until).await?.0.min(head);
        if first <= last {
            (facts.first_position, facts.last_position) = (Some(first), Some(last));
        }
        let mut after = first - 1;
        while after < last {
            let wanted = usize::try_from(last - after).unwrap_or(PAGE).min(PAGE);
            let events = log.read_all(Position(after), wanted).await?;
            let Some(end) = events.last() else { return Err(ExportError::Missing(after + 1)) };
            after = end.position.0;
            for event in events.iter().filter(|event| event.metadata.tenant == *tenant) {
                for part in event.parts() {
                    facts.take(&part)?;
                }
            }
            progress(after, last);
        }
        facts.refused = refused(pool, tenant, period).await?;
        Ok(facts)
    }

    fn take(&mut self, event: &RecordedEvent) -> Result<(), ExportError> {
        let key = (event.stream.aggregate_type.to_string(), event.event_type.clone());
        *self.events.entry(key).or_default() += 1;
        let decoded = event
            .decode()
            .map_err(|error| event_store::LogError::Damaged { position: event.position, reason: error.to_string() })?;
        let told = match &decoded {
            AnyEvent::Finding(told) => finding_detail(told).map(|detail| (&mut self.findings, detail)),
            AnyEvent::Remediation(told) => remediation_detail(told).map(|detail| (&mut self.actions, detail)),
            AnyEvent::EmergencyStop(told) => Some((&mut self.stops, stop_detail(told))),
            AnyEvent::Policy(told) => policy_detail(told).map(|detail| (&mut self.changes, detail)),
            AnyEvent::Deployment(_) => Some((&mut self.changes, String::new())),
            _ => None,
        };
        if let Some((lines, detail)) = told {
            lines.add(Line {
                position: Some(event.position.0),
                at: event.recorded_at,
                what: event.event_type.clone(),
                to: event.stream.to_string(),
                by: event.metadata.actor.to_string(),
                detail,
            });
        }
        Ok(())
    }
}

fn finding_detail(event: &FindingEvent) -> Option<String> {
    Some(match event {
        FindingEvent::FindingOpened { fingerprint, sighting, .. } => {
            format!("{} {} {}: {}", sighting.outcome, fingerprint.check, fingerprint.resource, sighting.symptom)
        }
        FindingEvent::FindingRegressed { sighting, regressions, .. } => {
            format!("{} for the {regressions}. time: {}", sighting.outcome, sighting.symptom)
        }
        FindingEvent::FindingSeverityChanged { from, to, .. } => format!("from {from} to {to}"),
        FindingEvent::FindingResolved { open_seconds, .. } => format!("open for {open_seconds} s"),
        FindingEvent::FindingAcknowledged { comment, .. } => comment.clone(),
        FindingEvent::FindingMuted { until, reason, .. } => format!("until {until}: {reason}"),
        FindingEvent::FindingMarkedFalsePositive { reason, .. }
        | FindingEvent::FindingFalsePositiveWithdrawn { reason, .. } => reason.clone(),
        _ => return None,
    })
}

fn remediation_detail(event: &RemediationEvent) -> Option<String> {
    use RemediationEvent as Event;
    Some(match event {
        Event::RemediationRequested { problem, dry_run, .. } => {
            let only = if *dry_run { ", dry run only" } else { "" };
            format!("of {} on {}{only}", problem.check, problem.resource)
        }
        Event::RemediationPlanned { plan, .. } => {
            format!("runbook {} version {}: {}", plan.runbook, plan.version, plan.title)
        }
        Event::RemediationAdmitted { policy, reason, .. } | Event::RemediationDeferred { policy, reason, .. } => {
            format!("by policy {policy}: {reason}")
        }
        Event::ApprovalRequested { people, binding, .. } => format!("of {people}, bound to {binding}"),
        Event::RemediationApproved { by, on_behalf_of, comment, binding, .. } => {
            let instead = on_behalf_of.as_ref().map(|of| format!(" on behalf of {of}")).unwrap_or_default();
            format!("by {by}{instead}: {comment} (bound to {binding})")
        }
        Event::RemediationRejected { by, comment, .. } | Event::RemediationReleased { by, comment, .. } => {
            format!("by {by}: {comment}")
        }
        Event::ApprovalDelegated { by, to, comment, .. } => format!("by {by} to {to}: {comment}"),
        Event::ExecutionRequested { by, .. } | Event::ExecutionStarted { by, .. } => format!("by {by}"),
        Event::StepStarted { step, attempt, .. } => format!("{step}, attempt {attempt}"),
        Event::StepFailed { step, error, .. } | Event::StepUndoFailed { step, error, .. } => format!("{step}: {error}"),
        Event::StepSucceeded { step, .. } | Event::StepUndone { step, .. } => step.to_string(),
        Event::RollbackStarted { reason, by, .. }
        | Event::RemediationCancelled { reason, by, .. }
        | Event::RemediationHalted { reason, by, .. } => format!("by {by}: {reason}"),
        Event::ApprovalVoided { reason, .. }
        | Event::RollbackIncomplete { reason, .. }
        | Event::RemediationFailed { reason, .. }
        | Event::RemediationStuck { reason, .. } => reason.clone(),
        Event::PostCheckPassed { .. }
        | Event::PostCheckFailed { .. }
        | Event::RollbackProven { .. }
        | Event::RemediationSucceeded { .. }
        | Event::RemediationUndone { .. } => String::new(),
        _ => return None,
    })
}

fn stop_detail(event: &EmergencyStopEvent) -> String {
    match event {
        EmergencyStopEvent::EmergencyStopEngaged { undo, by, reason, .. } => {
            let undo = if *undo { "; what was done is taken back" } else { "" };
            format!("by {by}: {reason}{undo}")
        }
        EmergencyStopEvent::EmergencyStopReleased { by, reason, .. } => format!("by {by}: {reason}"),
    }
}

fn policy_detail(event: &PolicyEvent) -> Option<String> {
    Some(match event {
        PolicyEvent::PolicyDefined { policy, revision, by, .. } => format!("{policy} revision {revision}, by {by}"),
        PolicyEvent::PolicyRevised { revision, by, reason, .. } => format!("revision {revision}, by {by}: {reason}"),
        PolicyEvent::PolicyRetired { by, reason, .. } => format!("by {by}: {reason}"),
        _ => return None,
    })
}

#[derive(FromRow)]
struct Refused {
    recorded_at: DateTime<Utc>,
    name: String,
    aggregate_type: String,
    aggregate_id: String,
    actor: String,
    refusal_code: Option<String>,
    refusal_message: Option<String>,
}

const REFUSED: &str = "SELECT recorded_at, name, aggregate_type, aggregate_id, actor, refusal_code, refusal_message \
    FROM cmdiag.commands WHERE outcome = 'refused' AND recorded_at >= $1 AND recorded_at < $2 AND tenant = $3 \
    ORDER BY recorded_at LIMIT $4";
const REFUSED_COUNT: &str = "SELECT count(*) FROM cmdiag.commands \
    WHERE outcome = 'refused' AND recorded_at >= $1 AND recorded_at < $2 AND tenant = $3";

async fn refused(pool: &PgPool, tenant: &TenantId, period: Period) -> Result<Lines, ExportError> {
    let rows = sqlx::query_as::<_, Refused>(REFUSED).bind(period.since).bind(period.until).bind(tenant.as_str());
    let rows = rows.bind(LINES_MAX as i64).fetch_all(pool).await?;
    let count = sqlx::query_scalar::<_, i64>(REFUSED_COUNT).bind(period.since).bind(period.until);
    let count = count.bind(tenant.as_str()).fetch_one(pool).await?;
    let more = (count - rows.len() as i64).max(0) as u64;
    let lines = rows.into_iter().map(|row| Line {
        position: None,
        at: row.recorded_at,
        what: row.name,
        to: format!("{}-{}", row.aggregate_type, row.aggregate_id),
        by: row.actor,
        detail: format!("{}: {}", row.refusal_code.unwrap_or_default(), row.refusal_message.unwrap_or_default()),
    });
    Ok(Lines { lines: lines.collect(), more })
}
