//! Following remediations: each step as it happens, and every one that comes to rest.

use super::notices::follow;
use crate::schema::codes::{INTERNAL, NOT_FOUND, coded};
use crate::schema::context::{caller, command_error, log_error, owner};
use crate::schema::ids::{global, local, optional};
use crate::schema::scalars::PositionScalar;
use crate::schema::types::{RemediationStatus, StepStatus};
use crate::topics::{Notice, Topics};
use async_graphql::{Context, ID, Result, SimpleObject, Subscription};
use chrono::{DateTime, Utc};
use command_side::CommandBus;
use domain::any_event::REMEDIATION;
use domain::remediation::{Remediation, RemediationEvent, RemediationPhase, RemediationState, StepPhase, UndoState};
use domain::{AnyEvent, Decider as _, DeploymentId, DomainEvent as _, RemediationId, StreamVersion};
use event_store::{LiveFeed, RecordedEvent, StreamId, StreamSubscription};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use std::collections::VecDeque;
use std::sync::Arc;
use uuid::Uuid;

/// How far a remediation is, after one of its events.
#[derive(Debug, Clone, SimpleObject)]
pub struct RemediationProgress {
    /// The remediation.
    remediation_id: ID,
    /// The position of the event.
    position: PositionScalar,
    /// When it was recorded.
    at: DateTime<Utc>,
    /// What happened, such as `StepSucceeded`.
    event_type: String,
    /// Where it is in its life.
    status: RemediationStatus,
    /// Whether nothing more will come by itself: the subscription completes after this.
    at_rest: bool,
    /// How many steps it has; 0 before it is planned.
    planned: u32,
    /// How many of them are done and verified, and not taken back.
    done: u32,
    /// Each step, in the plan's order.
    steps: Vec<StepProgress>,
    /// Why it rests as it does.
    reason: Option<String>,
}

/// How far a step is.
#[derive(Debug, Clone, SimpleObject)]
pub struct StepProgress {
    /// Its name in the plan.
    name: String,
    /// In words.
    title: String,
    /// How far it has come forward.
    status: StepStatus,
    /// Whether it is being or was taken back.
    undoing: bool,
    /// Why it failed, or could not be taken back.
    error: Option<String>,
}

/// A remediation that has come to rest.
#[derive(Debug, Clone, SimpleObject)]
pub struct RemediationCompleted {
    /// The remediation.
    remediation_id: ID,
    /// Where.
    deployment_id: ID,
    /// What it was to put right.
    finding_id: ID,
    /// The position of the event that ended it.
    position: PositionScalar,
    /// When that was recorded.
    at: DateTime<Utc>,
    /// How it rests.
    status: RemediationStatus,
    /// Why it rests as it does.
    reason: Option<String>,
}

/// Remediations.
#[derive(Default)]
pub struct RemediationSubscription;

#[Subscription]
impl RemediationSubscription {
    /// A remediation's progress, event by event, from its beginning until it is at rest.
    async fn remediation_progress(
        &self,
        ctx: &Context<'_>,
        remediation_id: ID,
    ) -> Result<BoxStream<'static, Result<RemediationProgress>>> {
        let id: RemediationId = local(&remediation_id)?;
        let feed = ctx.data::<Arc<LiveFeed>>()?;
        let stream_id = StreamId::new(REMEDIATION, &id.to_string());
        if owner(ctx, stream_id.clone()).await?.as_ref() != Some(&caller(ctx)?.tenant) {
            return Err(coded(NOT_FOUND, format!("there is no remediation {id}")));
        }
        let follower = Follower {
            id,
            events: feed.subscribe_stream(stream_id, StreamVersion(0)),
            state: RemediationState::default(),
            waiting: VecDeque::new(),
            done: false,
        };
        Ok(stream::unfold(follower, |mut follower| async move {
            let next = follower.next().await?;
            Some((next, follower))
        })
        .boxed())
    }

    /// Remediations that come to rest from now on: succeeded, failed, undone, cancelled, stuck or halted.
    async fn remediation_completed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this deployment; of all where there is none.")] deployment_id: Option<ID>,
    ) -> Result<BoxStream<'static, Result<RemediationCompleted>>> {
        let wanted: Option<DeploymentId> = optional(deployment_id.as_ref())?;
        let topics = ctx.data::<Arc<Topics>>()?;
        let bus = Arc::clone(ctx.data::<Arc<CommandBus>>()?);
        let ended = follow(topics, caller(ctx)?.tenant.clone(), ending);
        let completed = ended.filter_map(move |ended| {
            let bus = Arc::clone(&bus);
            async move {
                match ended {
                    Ok(ended) => completed(&bus, wanted, ended).await.transpose(),
                    Err(error) => Some(Err(error)),
                }
            }
        });
        Ok(completed.boxed())
    }
}

/// Follows one remediation until it is at rest.
struct Follower {
    id: RemediationId,
    events: StreamSubscription,
    state: RemediationState,
    waiting: VecDeque<Arc<RecordedEvent>>,
    done: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<RemediationProgress>> {
        if self.done {
            return None;
        }
        while self.waiting.is_empty() {
            match self.events.next().await {
                Ok(events) => self.waiting.extend(events.iter().flat_map(RecordedEvent::shared_parts)),
                Err(error) => {
                    self.done = true;
                    return Some(Err(log_error(&error)));
                }
            }
        }
        let recorded = self.waiting.pop_front()?;
        match recorded.decode() {
            Ok(AnyEvent::Remediation(event)) => {
                Remediation::evolve(&mut self.state, &event);
                // A succeeded one may still be undone: whoever wants to see that follows it again.
                self.done = self.state.phase.is_at_rest() && self.waiting.is_empty();
                Some(Ok(self.snapshot(&recorded, event.event_type())))
            }
            Ok(_) | Err(_) => {
                tracing::error!(position = %recorded.position, "an event of a remediation does not decode");
                self.done = true;
                Some(Err(coded(INTERNAL, "an event of the remediation is damaged")))
            }
        }
    }

    fn snapshot(&self, recorded: &RecordedEvent, event_type: String) -> RemediationProgress {
        let steps: Vec<_> = self
            .state
            .planned_steps()
            .map(|(planned, step)| StepProgress {
                name: planned.name.to_string(),
                title: planned.title.clone(),
                status: step.phase.into(),
                undoing: step.undone != UndoState::Not,
                error: match &step.undone {
                    UndoState::Failed { error } => Some(error.clone()),
                    _ => step.error.clone(),
                },
            })
            .collect();
        let is_done = |step: &&StepProgress| step.status == StepStatus::from(StepPhase::Succeeded) && !step.undoing;
        RemediationProgress {
            remediation_id: global(self.id),
            position: recorded.position.into(),
            at: recorded.recorded_at,
            event_type,
            status: self.state.phase.into(),
            at_rest: self.state.phase.is_at_rest(),
            planned: steps.len() as u32,
            done: steps.iter().filter(is_done).count() as u32,
            steps,
            reason: self.state.reason.clone(),
        }
    }
}

/// How a remediation has come to rest.
struct Ended {
    id: RemediationId,
    recorded: Arc<RecordedEvent>,
    phase: RemediationPhase,
    reason: Option<String>,
}

/// An event after which a remediation rests.
fn ending(notice: &Notice) -> Option<Ended> {
    let AnyEvent::Remediation(event) = &notice.event else { return None };
    let (phase, reason) = match event {
        RemediationEvent::RemediationSucceeded { .. } => (RemediationPhase::Succeeded, None),
        RemediationEvent::RemediationFailed { reason, .. } => (RemediationPhase::Failed, Some(reason.clone())),
        RemediationEvent::RemediationUndone { .. } => (RemediationPhase::Undone, None),
        RemediationEvent::RemediationCancelled { reason, .. } => (RemediationPhase::Cancelled, Some(reason.clone())),
        RemediationEvent::RemediationStuck { reason, .. } => (RemediationPhase::Stuck, Some(reason.clone())),
        RemediationEvent::RemediationHalted { undo: false, reason, .. } => {
            (RemediationPhase::Halted, Some(reason.clone()))
        }
        _ => return None,
    };
    let id = Uuid::parse_str(&notice.recorded.stream.aggregate_id).ok()?;
    Some(Ended { id: RemediationId(id), recorded: Arc::clone(&notice.recorded), phase, reason })
}

/// What an end says beyond its event: read from the remediation itself.
async fn completed(
    bus: &CommandBus,
    wanted: Option<DeploymentId>,
    Ended { id, recorded, phase, reason }: Ended,
) -> Result<Option<RemediationCompleted>> {
    let (state, _) = bus.load::<Remediation>(id.0).await.map_err(|error| command_error(&error))?;
    let Some(problem) = &state.problem else { return Ok(None) };
    if wanted.is_some_and(|wanted| wanted != problem.deployment) {
        return Ok(None);
    }
    // One that had changed nothing yet is cancelled in the same decision: that is told.
    if phase == RemediationPhase::Halted && state.phase == RemediationPhase::Cancelled {
        return Ok(None);
    }
    Ok(Some(RemediationCompleted {
        remediation_id: global(id),
        deployment_id: global(problem.deployment),
        finding_id: global(problem.finding),
        position: recorded.position.into(),
        at: recorded.recorded_at,
        status: phase.into(),
        reason,
    }))
}
