//! Findings: new ones, and what becomes of them.

use super::notices::follow;
use crate::schema::context::{at_least_of, caller};
use crate::schema::ids::{global, optional};
use crate::schema::query;
use crate::schema::scalars::PositionScalar;
use crate::schema::types::{Finding, Outcome};
use crate::topics::{AboutFinding, Notice, Topics};
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Result, SimpleObject, Subscription};
use chrono::{DateTime, Utc};
use domain::finding::FindingEvent;
use domain::{AnyEvent, DeploymentId, FindingId};
use futures::stream::BoxStream;
use std::sync::Arc;

/// What became of a finding.
#[derive(Debug, Enum, Copy, Clone, PartialEq, Eq)]
pub enum FindingChange {
    /// Seen bad, not often enough in a row to be called a problem.
    Suspected,
    /// It is a problem.
    Opened,
    /// Seen again.
    SeenAgain,
    /// Its severity is another one.
    SeverityChanged,
    /// Measured good, not often enough in a row to be resolved.
    Recovering,
    /// Somebody has taken it on.
    Acknowledged,
    /// It does not alert for a while.
    Muted,
    /// It alerts again.
    Unmuted,
    /// It is said to be no problem.
    MarkedFalsePositive,
    /// It may be a problem after all.
    FalsePositiveWithdrawn,
    /// It is gone.
    Resolved,
    /// It came back.
    Regressed,
    /// It changes to and fro.
    FlappingStarted,
    /// It has settled.
    FlappingStopped,
}

/// A change of a finding.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct FindingNotice {
    /// The position of the event that says so.
    position: PositionScalar,
    /// When the log recorded it.
    at: DateTime<Utc>,
    /// Who brought it about.
    actor: String,
    /// What became of it.
    change: FindingChange,
    /// The finding.
    finding_id: ID,
    /// Where it is.
    deployment_id: ID,
    /// Which check found it.
    check_code: String,
    /// What it is about.
    resource: String,
    /// How bad it is.
    severity: Option<Outcome>,
    #[graphql(skip)]
    id: FindingId,
}

#[ComplexObject]
impl FindingNotice {
    /// The finding. Waits until the view shows the change.
    async fn finding(&self, ctx: &Context<'_>) -> Result<Option<Finding>> {
        at_least_of(ctx, &["findings"], self.position).await?;
        query::finding(ctx, self.id).await
    }
}

/// Which findings.
#[derive(InputObject, Default)]
pub struct FindingNoticeFilter {
    /// Of this deployment.
    deployment_id: Option<ID>,
    /// Found by this check.
    check_code: Option<String>,
    /// Of any of these severities; all where there are none.
    #[graphql(default)]
    severity: Vec<Outcome>,
}

struct Wanted {
    deployment: Option<DeploymentId>,
    check: Option<String>,
    severities: Vec<Outcome>,
}

impl FindingNoticeFilter {
    fn wanted(self) -> Result<Wanted> {
        let deployment = optional(self.deployment_id.as_ref())?;
        Ok(Wanted { deployment, check: self.check_code, severities: self.severity })
    }
}

impl Wanted {
    fn covers(&self, about: &AboutFinding) -> bool {
        self.deployment.is_none_or(|wanted| wanted == about.deployment)
            && self.check.as_ref().is_none_or(|wanted| wanted == about.check.as_str())
            && (self.severities.is_empty()
                || about.severity.is_some_and(|severity| self.severities.contains(&severity.into())))
    }
}

/// Findings.
#[derive(Default)]
pub struct FindingSubscription;

#[Subscription]
impl FindingSubscription {
    /// Findings that open from now on, for the first time. One that comes back is a `findingUpdated`.
    async fn new_finding(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] filter: FindingNoticeFilter,
    ) -> Result<BoxStream<'static, Result<FindingNotice>>> {
        let wanted = filter.wanted()?;
        Ok(follow(ctx.data::<Arc<Topics>>()?, caller(ctx)?.tenant.clone(), move |notice| {
            changed(notice, &wanted).filter(|notice| notice.change == FindingChange::Opened)
        }))
    }

    /// Whatever becomes of findings from now on, other than that they open for the first time.
    async fn finding_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] filter: FindingNoticeFilter,
    ) -> Result<BoxStream<'static, Result<FindingNotice>>> {
        let wanted = filter.wanted()?;
        Ok(follow(ctx.data::<Arc<Topics>>()?, caller(ctx)?.tenant.clone(), move |notice| {
            changed(notice, &wanted).filter(|notice| notice.change != FindingChange::Opened)
        }))
    }
}

fn changed(notice: &Notice, wanted: &Wanted) -> Option<FindingNotice> {
    let AnyEvent::Finding(event) = &notice.event else { return None };
    let about = notice.finding.as_ref().filter(|about| wanted.covers(about))?;
    Some(FindingNotice {
        position: notice.recorded.position.into(),
        at: notice.recorded.recorded_at,
        actor: notice.recorded.metadata.actor.to_string(),
        change: change_of(event),
        finding_id: global(about.id),
        deployment_id: global(about.deployment),
        check_code: about.check.to_string(),
        resource: about.resource.clone(),
        severity: about.severity.map(Into::into),
        id: about.id,
    })
}

const fn change_of(event: &FindingEvent) -> FindingChange {
    match event {
        FindingEvent::FindingSuspected { .. } => FindingChange::Suspected,
        FindingEvent::FindingOpened { .. } => FindingChange::Opened,
        FindingEvent::FindingSeenAgain { .. } => FindingChange::SeenAgain,
        FindingEvent::FindingSeverityChanged { .. } => FindingChange::SeverityChanged,
        FindingEvent::FindingRecovering { .. } => FindingChange::Recovering,
        FindingEvent::FindingAcknowledged { .. } => FindingChange::Acknowledged,
        FindingEvent::FindingMuted { .. } => FindingChange::Muted,
        FindingEvent::FindingUnmuted { .. } => FindingChange::Unmuted,
        FindingEvent::FindingMarkedFalsePositive { .. } => FindingChange::MarkedFalsePositive,
        FindingEvent::FindingFalsePositiveWithdrawn { .. } => FindingChange::FalsePositiveWithdrawn,
        FindingEvent::FindingResolved { .. } => FindingChange::Resolved,
        FindingEvent::FindingRegressed { .. } => FindingChange::Regressed,
        FindingEvent::FindingFlappingStarted { .. } => FindingChange::FlappingStarted,
        FindingEvent::FindingFlappingStopped { .. } => FindingChange::FlappingStopped,
    }
}
