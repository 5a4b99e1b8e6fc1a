//! Runs: their progress, and that they have ended.

use super::notices::follow;
use super::progress::{Fold, ScanProgress};
use crate::schema::codes::{NOT_FOUND, coded};
use crate::schema::context::{at_least_of, caller, log_error, owner};
use crate::schema::ids::{global, local, optional};
use crate::schema::query;
use crate::schema::scalars::PositionScalar;
use crate::schema::types::{Outcome, Run, RunStatus};
use crate::topics::{Notice, Topics};
use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject, Subscription};
use chrono::{DateTime, Utc};
use domain::any_event::DIAGNOSTIC_RUN;
use domain::diagnostic_run::{RunEvent, Tally};
use domain::{AnyEvent, DeploymentId, RunId, StreamVersion};
use event_store::{LiveFeed, StreamId, StreamSubscription};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::sync::Arc;
use uuid::Uuid;

/// That a run has ended, however it ended.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct ScanCompleted {
    /// The position of the event that says so.
    position: PositionScalar,
    /// When it ended.
    at: DateTime<Utc>,
    /// The run.
    run_id: ID,
    /// What it looked at.
    deployment_id: ID,
    /// How it ended.
    status: RunStatus,
    /// The verdict; null where it was cut short.
    outcome: Option<Outcome>,
    /// How many checks ended within bounds.
    ok: u32,
    /// How many ended as warnings.
    warning: u32,
    /// How many ended as critical.
    critical: u32,
    /// How many could not be measured.
    unknown: u32,
    /// Why it was cancelled or failed.
    reason: Option<String>,
    #[graphql(skip)]
    run: RunId,
}

#[ComplexObject]
impl ScanCompleted {
    /// The run. Waits until the view shows its end.
    async fn run(&self, ctx: &Context<'_>) -> Result<Option<Run>> {
        at_least_of(ctx, &["runs"], self.position).await?;
        query::run(ctx, self.run).await
    }
}

/// Runs.
#[derive(Default)]
pub struct ScanSubscription;

#[Subscription]
impl ScanSubscription {
    /// A run's progress: first as it is now, then with every batch of results, until it has ended.
    async fn scan_progress(&self, ctx: &Context<'_>, run_id: ID) -> Result<BoxStream<'static, Result<ScanProgress>>> {
        let run: RunId = local(&run_id)?;
        let feed = ctx.data::<Arc<LiveFeed>>()?;
        let id = StreamId::new(DIAGNOSTIC_RUN, &run.to_string());
        if owner(ctx, id.clone()).await?.as_ref() != Some(&caller(ctx)?.tenant) {
            return Err(coded(NOT_FOUND, format!("there is no run {run}")));
        }
        let follower =
            Follower { events: feed.subscribe_stream(id, StreamVersion(0)), fold: Fold::new(run), done: false };
        Ok(stream::unfold(follower, |mut follower| async move {
            let next = follower.next().await?;
            Some((next, follower))
        })
        .boxed())
    }

    /// Runs that end from now on: completed, cancelled, timed out or failed.
    async fn scan_completed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this deployment; of all where there is none.")] deployment_id: Option<ID>,
    ) -> Result<BoxStream<'static, Result<ScanCompleted>>> {
        let wanted: Option<DeploymentId> = optional(deployment_id.as_ref())?;
        let topics = ctx.data::<Arc<Topics>>()?;
        Ok(follow(topics, caller(ctx)?.tenant.clone(), move |notice| {
            completed(notice)
                .filter(|(deployment, _)| wanted.is_none_or(|wanted| wanted == *deployment))
                .map(|(_, end)| end)
        }))
    }
}

/// Follows one run to its end.
struct Follower {
    events: StreamSubscription,
    fold: Fold,
    done: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<ScanProgress>> {
        if self.done {
            return None;
        }
        let events = match self.events.next().await {
            Ok(events) => events,
            Err(error) => {
                self.done = true;
                return Some(Err(log_error(&error)));
            }
        };
        for recorded in events.iter().flat_map(event_store::RecordedEvent::shared_parts) {
            match recorded.decode() {
                Ok(AnyEvent::Run(event)) => self.fold.apply(&recorded, &event),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(position = %recorded.position, %error, "an event does not decode");
                    self.done = true;
                    let damaged = coded(crate::schema::codes::INTERNAL, "an event of the run is damaged");
                    return Some(Err(damaged));
                }
            }
        }
        self.done = self.fold.has_ended();
        Some(Ok(self.fold.snapshot()))
    }
}

fn completed(notice: &Notice) -> Option<(DeploymentId, ScanCompleted)> {
    let AnyEvent::Run(event) = &notice.event else { return None };
    let (deployment, status, outcome, tally, reason, at) = match event {
        RunEvent::RunCompleted { deployment, outcome, tally, at } => {
            (deployment, RunStatus::Completed, Some((*outcome).into()), tally, None, at)
        }
        RunEvent::RunCancelled { deployment, reason, tally, at } => {
            (deployment, RunStatus::Cancelled, None, tally, Some(reason.clone()), at)
        }
        RunEvent::RunTimedOut { deployment, tally, at, .. } => (deployment, RunStatus::TimedOut, None, tally, None, at),
        RunEvent::RunFailed { deployment, reason, tally, at } => {
            (deployment, RunStatus::Failed, None, tally, Some(reason.clone()), at)
        }
        _ => return None,
    };
    let run = RunId(Uuid::parse_str(&notice.recorded.stream.aggregate_id).ok()?);
    let Tally { ok, warning, critical, unknown } = *tally;
    let ended = ScanCompleted {
        position: notice.recorded.position.into(),
        at: *at,
        run_id: global(run),
        deployment_id: global(*deployment),
        status,
        outcome,
        ok,
        warning,
        critical,
        unknown,
        reason,
        run,
    };
    Some((*deployment, ended))
}
