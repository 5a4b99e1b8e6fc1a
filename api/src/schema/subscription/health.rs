//! Changes of health: of the platform's own, and of deployments'.
//!
//! One watcher a process: it looks at the platform every second and at the deployments that events have touched, and
//! only while somebody listens.

use crate::schema::codes::{SLOW_CLIENT, UNAVAILABLE, coded};
use crate::schema::context::caller;
use crate::schema::ids::global;
use crate::schema::query;
use crate::schema::types::{Deployment, HealthStatus, Outcome};
use crate::state::Platform;
use crate::topics::{Notice, Topics};
use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject, Subscription, Union};
use chrono::{DateTime, Utc};
use command_side::Clock;
use domain::{AnyEvent, DeploymentId, Position};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use query_side::{DeploymentFilter, DeploymentView, PageRequest, Queries, QueryError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often the platform is looked at, and how long a touched deployment's view is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const VIEW_BOUND: Duration = Duration::from_secs(2);
/// Events that come in quick succession are looked at together.
const GATHER: Duration = Duration::from_millis(50);
const BEHIND_MAX: usize = 1_024;
/// Deployments watched at most; those beyond are not reported.
const DEPLOYMENTS_MAX: usize = 10_000;

/// The platform's own health.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub struct PlatformHealthChanged {
    /// When it was seen.
    at: DateTime<Utc>,
    /// How it was; null in the first message, which tells how it is.
    previous: Option<HealthStatus>,
    /// How it is.
    current: HealthStatus,
    /// The parts that do not pass, with what is wrong.
    failing: Vec<String>,
}

/// A deployment's health.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
#[graphql(complex)]
pub struct DeploymentHealthChanged {
    /// When it was seen.
    at: DateTime<Utc>,
    /// The deployment.
    deployment_id: ID,
    /// How it was; null for one that has just come under care.
    previous: Option<Outcome>,
    /// How it is.
    current: Outcome,
    #[graphql(skip)]
    id: DeploymentId,
    #[graphql(skip)]
    tenant: String,
}

#[ComplexObject]
impl DeploymentHealthChanged {
    /// The deployment.
    async fn deployment(&self, ctx: &Context<'_>) -> Result<Option<Deployment>> {
        query::deployment(ctx, self.id).await
    }
}

/// A change of health.
#[derive(Debug, Clone, PartialEq, Eq, Union)]
pub enum SystemHealthChanged {
    /// Of the platform.
    Platform(PlatformHealthChanged),
    /// Of a deployment.
    Deployment(DeploymentHealthChanged),
}

/// Health.
#[derive(Default)]
pub struct HealthSubscription;

#[Subscription]
impl HealthSubscription {
    /// Changes of the platform's own health and of the deployments'. The first message tells how the platform is now.
    async fn system_health_changed(
        &self,
        ctx: &Context<'_>,
    ) -> Result<BoxStream<'static, Result<SystemHealthChanged>>> {
        let watch = ctx.data::<Arc<HealthWatch>>()?;
        let tenant = caller(ctx)?.tenant.to_string();
        let receiver = watch.changes.subscribe();
        watch.wanted.notify_one();
        let now = watch.platform_now(None).await;
        let follower = Some((receiver, watch.ended.clone(), tenant));
        let changes = stream::unfold(follower, |follower| async move {
            let (mut receiver, ended, tenant) = follower?;
            loop {
                match ended.run_until_cancelled(receiver.recv()).await {
                    Some(Ok(change)) => match change.as_ref() {
                        SystemHealthChanged::Deployment(change) if change.tenant != tenant => {}
                        change => return Some((Ok(change.clone()), Some((receiver, ended, tenant)))),
                    },
                    Some(Err(RecvError::Lagged(_))) => {
                        return Some((Err(coded(SLOW_CLIENT, "changes went by; subscribe again")), None));
                    }
                    Some(Err(RecvError::Closed)) | None => {
                        return Some((Err(coded(UNAVAILABLE, "the live feed has ended; subscribe again")), None));
                    }
                }
            }
        });
        Ok(stream::once(std::future::ready(Ok(now))).chain(changes).boxed())
    }
}

/// Watches health while somebody listens.
pub struct HealthWatch {
    changes: broadcast::Sender<Arc<SystemHealthChanged>>,
    wanted: Notify,
    ended: CancellationToken,
    queries: Queries,
    platform: Arc<Platform>,
    clock: Arc<dyn Clock>,
}

struct Known {
    health: domain::Outcome,
    /// When a mute runs out, and the health may change without an event.
    next_unmute_at: Option<DateTime<Utc>>,
}

impl HealthWatch {
    /// Makes it; [`Self::run`] watches.
    pub fn new(
        queries: Queries,
        platform: Arc<Platform>,
        clock: Arc<dyn Clock>,
        ended: CancellationToken,
    ) -> Arc<Self> {
        let changes = broadcast::Sender::new(BEHIND_MAX);
        Arc::new(Self { changes, wanted: Notify::new(), ended, queries, platform, clock })
    }

    /// Watches until the topics end.
    pub async fn run(self: Arc<Self>, topics: Arc<Topics>) {
        let ended = self.ended.clone();
        ended
            .run_until_cancelled(async {
                loop {
                    self.wanted.notified().await;
                    self.while_wanted(&topics).await;
                }
            })
            .await;
    }

    async fn while_wanted(&self, topics: &Topics) {
        let mut notices = topics.subscribe();
        let mut deployments = self.all_deployments().await;
        let mut platform = None;
        let mut look = tokio::time::interval(LOOK_EVERY);
        while self.changes.receiver_count() > 0 {
            tokio::select! {
                _ = look.tick() => {
                    platform = Some(self.look_at_platform(platform).await);
                    let now = self.clock.now();
                    let due = deployments.iter().filter(|(_, known)| known.next_unmute_at.is_some_and(|at| at <= now));
                    let due: HashSet<DeploymentId> = due.map(|(id, _)| *id).collect();
                    self.look_at_deployments(due, &mut deployments).await;
                }
                notice = notices.recv() => match notice {
                    Ok(notice) => {
                        let (touched, position) = gather(&notice, &mut notices).await;
                        // What the view does not show in time it shows at a later event, or at the next look.
                        let _ = self.queries.wait_for_named(&["deployments"], position, VIEW_BOUND).await;
                        self.look_at_deployments(touched, &mut deployments).await;
                    }
                    Err(RecvError::Lagged(_)) => {
                        let all = deployments.keys().copied().collect();
                        self.look_at_deployments(all, &mut deployments).await;
                    }
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    async fn look_at_platform(&self, before: Option<crate::health::HealthStatus>) -> crate::health::HealthStatus {
        let change = self.platform_now(before).await;
        let SystemHealthChanged::Platform(now) = &change else {
            return before.unwrap_or(crate::health::HealthStatus::Fail);
        };
        let current = now.current.into();
        if before.is_some_and(|before| before != current) {
            self.tell(change);
        }
        current
    }

    async fn platform_now(&self, previous: Option<crate::health::HealthStatus>) -> SystemHealthChanged {
        let health = self.platform.health().await;
        let failing = health.checks.iter().filter(|check| check.status != crate::health::HealthStatus::Pass);
        SystemHealthChanged::Platform(PlatformHealthChanged {
            at: self.clock.now(),
            previous: previous.map(Into::into),
            current: health.status.into(),
            failing: failing
                .map(|check| match &check.output {
                    Some(output) => format!("{} {}: {output}", check.component, check.measurement),
                    None => format!("{} {}", check.component, check.measurement),
                })
                .collect(),
        })
    }

    async fn look_at_deployments(&self, touched: HashSet<DeploymentId>, known: &mut HashMap<DeploymentId, Known>) {
        if touched.is_empty() {
            return;
        }
        let ids: Vec<DeploymentId> = touched.into_iter().collect();
        for some in ids.chunks(500) {
            match self.queries.deployments_by_ids(some).await {
                Ok(views) => views.values().for_each(|view| self.compare(view, known)),
                Err(error) => tracing::warn!(%error, "the deployments' health can not be read"),
            }
        }
    }

    fn compare(&self, view: &DeploymentView, known: &mut HashMap<DeploymentId, Known>) {
        let previous = known.get(&view.id).map(|known| known.health);
        if previous.is_none() && known.len() >= DEPLOYMENTS_MAX {
            return;
        }
        known.insert(view.id, Known { health: view.health, next_unmute_at: view.next_unmute_at });
        if previous == Some(view.health) {
            return;
        }
        self.tell(SystemHealthChanged::Deployment(DeploymentHealthChanged {
            at: self.clock.now(),
            deployment_id: global(view.id),
            previous: previous.map(Into::into),
            current: view.health.into(),
            id: view.id,
            tenant: view.tenant.clone(),
        }));
    }

    fn tell(&self, change: SystemHealthChanged) {
        // Nobody left to hear it is no error.
        let _ = self.changes.send(Arc::new(change));
    }

    async fn all_deployments(&self) -> HashMap<DeploymentId, Known> {
        loop {
            match self.read_all_deployments().await {
                Ok(known) => return known,
                Err(error) => {
                    tracing::warn!(%error, "the deployments' health can not be read");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    async fn read_all_deployments(&self) -> Result<HashMap<DeploymentId, Known>, QueryError> {
        let mut known = HashMap::new();
        let mut page = PageRequest::first(PageRequest::MAX);
        loop {
            let read = self.queries.deployments(&DeploymentFilter::default(), &page).await?;
            known.extend(
                read.items
                    .iter()
                    .map(|view| (view.id, Known { health: view.health, next_unmute_at: view.next_unmute_at })),
            );
            match read.end_cursor {
                Some(cursor) if read.has_next && known.len() < DEPLOYMENTS_MAX => {
                    page = PageRequest::after(PageRequest::MAX, cursor);
                }
                _ => return Ok(known),
            }
        }
    }
}

/// The deployments that a notice and those right behind it touch, and the last one's position.
async fn gather(first: &Notice, notices: &mut broadcast::Receiver<Arc<Notice>>) -> (HashSet<DeploymentId>, Position) {
    let mut touched: HashSet<DeploymentId> = touched_by(first).into_iter().collect();
    let mut position = first.recorded.position;
    tokio::time::sleep(GATHER).await;
    while let Ok(notice) = notices.try_recv() {
        touched.extend(touched_by(&notice));
        position = notice.recorded.position;
    }
    (touched, position)
}

fn touched_by(notice: &Notice) -> Option<DeploymentId> {
    use domain::diagnostic_run::RunEvent;
    match &notice.event {
        AnyEvent::Deployment(_) => Uuid::parse_str(&notice.recorded.stream.aggregate_id).ok().map(DeploymentId),
        AnyEvent::Finding(_) => notice.finding.as_ref().map(|about| about.deployment),
        AnyEvent::Run(
            RunEvent::RunCompleted { deployment, .. }
            | RunEvent::RunCancelled { deployment, .. }
            | RunEvent::RunTimedOut { deployment, .. }
            | RunEvent::RunFailed { deployment, .. },
        ) => Some(*deployment),
        AnyEvent::Run(_)
        | AnyEvent::Remediation(_)
        | AnyEvent::Policy(_)
        | AnyEvent::EmergencyStop(_)
        | AnyEvent::AuditKeys(_)
        | AnyEvent::ProjectionControl(_)
        | AnyEvent::Subject(_) => None,
    }
}
