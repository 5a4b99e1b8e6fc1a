//! Which part of a list: the filters of queries.

use super::codes::{BAD_USER_INPUT, coded};
use super::ids::{local, optional};
use super::types::{FindingStatus, Outcome, RunStatus, StreamType};
use async_graphql::{ID, InputObject, Result};
use chrono::{DateTime, NaiveDate, Utc};
use domain::{DeploymentId, FindingId, RemediationId, RunId};
use event_store::StreamId;
use query_side::{CheckResultFilter, DailyFigureFilter, DeploymentFilter, FindingFilter, RunFilter};
use uuid::Uuid;

/// Which deployments.
#[derive(InputObject, Default)]
pub struct DeploymentFilterInput {
    /// Also those whose care has ended.
    #[graphql(default)]
    include_retired: bool,
    /// Of any of these healths; all where there are none.
    #[graphql(default)]
    health: Vec<Outcome>,
}

impl DeploymentFilterInput {
    pub(super) fn into_filter(self, tenant: Option<String>) -> DeploymentFilter {
        let healths = self.health.into_iter().map(Into::into).collect();
        DeploymentFilter { tenant, include_retired: self.include_retired, healths }
    }
}

/// Which runs.
#[derive(InputObject, Default)]
pub struct RunFilterInput {
    /// Of this deployment.
    deployment_id: Option<ID>,
    /// In any of these states; all where there are none.
    #[graphql(default)]
    status: Vec<RunStatus>,
    /// Of this profile.
    profile: Option<String>,
    /// Asked for at or after.
    since: Option<DateTime<Utc>>,
    /// Asked for before.
    until: Option<DateTime<Utc>>,
}

impl RunFilterInput {
    pub(super) fn into_filter(self, tenant: Option<String>) -> Result<RunFilter> {
        Ok(RunFilter {
            tenant,
            deployment: optional(self.deployment_id.as_ref())?,
            statuses: self.status.into_iter().map(Into::into).collect(),
            profile: self.profile,
            since: self.since,
            until: self.until,
        })
    }
}

/// Which findings.
#[derive(InputObject, Default)]
pub struct FindingFilterInput {
    /// Of this deployment.
    deployment_id: Option<ID>,
    /// In any of these states; all where there are none.
    #[graphql(default)]
    status: Vec<FindingStatus>,
    /// Of any of these severities; all where there are none.
    #[graphql(default)]
    severity: Vec<Outcome>,
    /// Found by this check.
    check_code: Option<String>,
    /// On this component.
    component: Option<String>,
    /// Muted at this moment, or not.
    muted: Option<bool>,
    /// Last seen at or after.
    since: Option<DateTime<Utc>>,
}

impl FindingFilterInput {
    pub(super) fn into_filter(self, tenant: Option<String>) -> Result<FindingFilter> {
        Ok(FindingFilter {
            tenant,
            deployment: optional(self.deployment_id.as_ref())?,
            statuses: self.status.into_iter().map(Into::into).collect(),
            severities: self.severity.into_iter().map(Into::into).collect(),
            check: self.check_code,
            component: self.component,
            muted: self.muted,
            since: self.since,
        })
    }
}

/// Which results over time.
#[derive(InputObject)]
pub struct CheckResultHistoryFilter {
    /// Of this deployment.
    deployment_id: ID,
    /// Of this check.
    check_code: String,
    /// On this component.
    component: String,
    /// Measured at or after.
    since: Option<DateTime<Utc>>,
    /// Measured before.
    until: Option<DateTime<Utc>>,
}

impl CheckResultHistoryFilter {
    pub(super) fn into_filter(self) -> Result<CheckResultFilter> {
        Ok(CheckResultFilter {
            deployment: local(&self.deployment_id)?,
            check: self.check_code,
            component: self.component,
            since: self.since,
            until: self.until,
        })
    }
}

/// Which daily figures.
#[derive(InputObject)]
pub struct DailyFigureFilterInput {
    /// From this day on (UTC).
    from: NaiveDate,
    /// Until this day, inclusive.
    until: NaiveDate,
    /// Of this deployment.
    deployment_id: Option<ID>,
    /// Of this check.
    check_code: Option<String>,
    /// Of any of these outcomes; all where there are none.
    #[graphql(default)]
    severities: Vec<Outcome>,
}

impl DailyFigureFilterInput {
    pub(super) fn into_filter(self, tenant: Option<String>) -> Result<DailyFigureFilter> {
        Ok(DailyFigureFilter {
            tenant,
            from: self.from,
            until: self.until,
            deployment: optional(self.deployment_id.as_ref())?,
            check: self.check_code,
            severities: self.severities.into_iter().map(Into::into).collect(),
        })
    }
}

/// Which stream.
#[derive(InputObject)]
pub struct StreamInput {
    /// Whose events it holds.
    #[graphql(name = "type")]
    kind: StreamType,
    /// The global id or UUID of the deployment, run, finding or remediation; the UUID of anything else.
    id: ID,
}

impl StreamInput {
    /// As the log names it.
    pub(super) fn into_stream(self) -> Result<StreamId> {
        let id: Uuid = match self.kind {
            StreamType::Deployment => local::<DeploymentId>(&self.id)?.0,
            StreamType::DiagnosticRun => local::<RunId>(&self.id)?.0,
            StreamType::Finding => local::<FindingId>(&self.id)?.0,
            StreamType::Remediation => local::<RemediationId>(&self.id)?.0,
            StreamType::Policy | StreamType::EmergencyStop | StreamType::AuditKeys | StreamType::Subject => {
                self.id.parse().map_err(|_| coded(BAD_USER_INPUT, "a stream of this type is named by its UUID"))?
            }
        };
        Ok(StreamId::new(self.kind.as_str(), &id.to_string()))
    }
}
