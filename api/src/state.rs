//! What the API stands on: handed in by whoever composes the platform.

use crate::answers::AnswerSamples;
use crate::catalogue::CheckCatalogue;
use crate::health::{HealthCheck, HealthSource, HealthStatus, PlatformHealth};
use crate::http::Admission;
use crate::metrics::{MetricSource, Metrics};
use crate::options::ApiOptions;
use crate::schema::documents::Documents;
use crate::schema::{self, ApiSchema, HealthWatch};
use crate::topics::Topics;
use command_side::{Clock, CommandBus};
use domain::TenantId;
use event_store::LiveFeed;
use query_side::queries::ProjectionPosition;
use query_side::views::PROJECTIONS;
use query_side::{Queries, QueryError};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vault::Vault;

/// How long an answer of the database to `/health` and `/ready` is good for: probes do not become load.
const PING_GOOD_FOR: Duration = Duration::from_millis(500);
/// A bad one is soon asked for again, so that recovery is seen at once.
const PING_BAD_FOR: Duration = Duration::from_millis(50);
const PING_BOUND: Duration = Duration::from_secs(2);

/// The parts that the API is made of.
pub struct ApiParts {
    /// Executes commands.
    pub bus: Arc<CommandBus>,
    /// Answers queries; with its log, or there is no history.
    pub queries: Queries,
    /// Follows the log.
    pub feed: Arc<LiveFeed>,
    /// Who knows how the platform is; the API itself asks the database.
    pub health: Vec<Arc<dyn HealthSource>>,
    /// Who has figures for `/metrics`.
    pub metrics: Vec<Arc<dyn MetricSource>>,
    /// The checks that there are.
    pub catalogue: Arc<dyn CheckCatalogue>,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// Whose data this installation serves.
    pub tenant: TenantId,
    /// How it behaves.
    pub options: ApiOptions,
    /// Ends all streams.
    pub cancel: CancellationToken,
}

/// The API's state. Cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

impl Deref for ApiState {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What the handlers see.
pub struct Inner {
    pub(crate) queries: Queries,
    pub(crate) options: ApiOptions,
    pub(crate) tenant: TenantId,
    /// What names are opened with, on their way out.
    pub(crate) vault: Vault,
    pub(crate) schema: ApiSchema,
    pub(crate) metrics: Arc<Metrics>,
    /// What callers may read; kept answers are told apart by it. All callers of the tenant may read the same.
    pub(crate) scope: Arc<str>,
    pub(crate) documents: Arc<Documents>,
    pub(crate) admission: Admission,
    /// Bodies that are arriving: each may take its bound of memory.
    pub(crate) arriving: Semaphore,
    pub(crate) stream_connections: Arc<Semaphore>,
    pub(crate) cancel: CancellationToken,
    pub(crate) tasks: TaskTracker,
    platform: Arc<Platform>,
}

impl ApiState {
    /// Starts the dispatcher of subscriptions; it ends with `cancel`.
    pub fn new(parts: ApiParts) -> Self {
        let ApiParts { bus, queries, feed, health, metrics, catalogue, clock, tenant, options, cancel } = parts;
        let vault = bus.vault().clone();
        let mut metrics = metrics;
        metrics.push(Arc::new(AnswerSamples(queries.cache().clone())));
        let metrics = Metrics::new(metrics);
        let documents = Arc::new(Documents::new(&options));
        let tasks = TaskTracker::new();
        let platform = Arc::new(Platform::new(queries.clone(), health, Arc::clone(&clock)));
        let topics = Topics::start(Arc::clone(&feed), Arc::clone(&bus), &tasks, cancel.clone());
        let health_watch =
            HealthWatch::new(queries.clone(), Arc::clone(&platform), Arc::clone(&clock), topics.ended().clone());
        tasks.spawn(Arc::clone(&health_watch).run(Arc::clone(&topics)));
        let schema = schema::builder(&options, &documents, &metrics)
            .data(bus)
            .data(queries.clone())
            .data(feed)
            .data(topics)
            .data(health_watch)
            .data(catalogue)
            .data(clock)
            .data(Arc::clone(&platform))
            .data(Arc::clone(&metrics))
            .data(options.clone())
            .finish();
        Self(Arc::new(Inner {
            scope: tenant.as_str().into(),
            documents,
            admission: Admission::new(options.concurrency, options.queue_wait),
            arriving: Semaphore::new(options.arriving_bodies),
            stream_connections: Arc::new(Semaphore::new(options.stream_connections)),
            queries,
            options,
            tenant,
            vault,
            schema,
            metrics,
            cancel,
            tasks,
            platform,
        }))
    }

    /// The platform's health now.
    pub async fn platform_health(&self) -> PlatformHealth {
        self.platform.health().await
    }

    /// Waits for the streams and the dispatcher to end; to be called after the cancel, with a bound.
    pub async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Knows how the platform is.
pub(crate) struct Platform {
    queries: Queries,
    sources: Vec<Arc<dyn HealthSource>>,
    clock: Arc<dyn Clock>,
    asked: Mutex<Option<(Instant, Vec<HealthCheck>)>>,
}

impl Platform {
    fn new(queries: Queries, sources: Vec<Arc<dyn HealthSource>>, clock: Arc<dyn Clock>) -> Self {
        Self { queries, sources, clock, asked: Mutex::new(None) }
    }

    /// How it is now.
    pub async fn health(&self) -> PlatformHealth {
        let mut checks = self.database().await;
        checks.extend(self.sources.iter().flat_map(|source| source.checks()));
        PlatformHealth::of(checks)
    }

    /// The database's answer, and what the projections' checkpoints in it say.
    async fn database(&self) -> Vec<HealthCheck> {
        let mut asked = self.asked.lock().await;
        if let Some((at, checks)) = &*asked {
            let good = checks.iter().all(|check| check.status == HealthStatus::Pass);
            if at.elapsed() < if good { PING_GOOD_FOR } else { PING_BAD_FOR } {
                return checks.clone();
            }
        }
        let started = Instant::now();
        let answer = tokio::time::timeout(PING_BOUND, self.queries.projection_positions()).await;
        let took = started.elapsed().as_secs_f64() * 1_000.0;
        let checks = match answer {
            Ok(Ok(positions)) => {
                let mut checks = vec![self.check("database", HealthStatus::Pass, Some(took), None)];
                checks.push(self.projections_begun(&positions));
                checks.extend(positions.into_iter().filter_map(|projection| {
                    let (position, why) = projection.failure?;
                    let output = format!("stands still before position {position}: {why}");
                    let component = format!("projection:{}", projection.name);
                    Some(self.check(&component, HealthStatus::Fail, None, Some(output)))
                }));
                checks
            }
            Ok(Err(error)) => vec![self.check("database", HealthStatus::Fail, None, Some(in_words(&error)))],
            Err(_) => vec![self.check("database", HealthStatus::Fail, None, Some("no answer in time".to_owned()))],
        };
        *asked = Some((Instant::now(), checks.clone()));
        checks
    }

    /// Whether every view has begun to follow the log: before that there is nothing to answer from.
    fn projections_begun(&self, positions: &[ProjectionPosition]) -> HealthCheck {
        let begun = |name: &&str| positions.iter().any(|position| position.name == *name);
        let missing: Vec<&str> = PROJECTIONS.into_iter().filter(|name| !begun(name)).collect();
        let status = if missing.is_empty() { HealthStatus::Pass } else { HealthStatus::Fail };
        let output = (!missing.is_empty()).then(|| format!("have not begun: {}", missing.join(", ")));
        let check = self.check("projections", status, None, output);
        HealthCheck { measurement: "begun".to_owned(), needed: true, ..check }
    }

    fn check(&self, component: &str, status: HealthStatus, took: Option<f64>, output: Option<String>) -> HealthCheck {
        HealthCheck {
            component: component.to_owned(),
            measurement: if took.is_some() || component == "database" { "responseTime" } else { "failure" }.to_owned(),
            status,
            observed: took,
            unit: took.map(|_| "ms"),
            output,
            needed: component == "database",
            at: self.clock.now(),
        }
    }
}

fn in_words(error: &QueryError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
