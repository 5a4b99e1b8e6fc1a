//! Runs one check on one component: looks up what is needed, measures, judges, keeps the evidence.
//!
//! Whatever goes wrong on the way, a panic included, is a result: `Unknown` with its cause.

use crate::check::Check;
use crate::evidence::EvidenceStore;
use crate::judge::{Effective, Judgement, Subject, ThresholdOverride, judge};
use crate::pack::Packs;
use crate::probe::{Measurement, ProbeError, ProbeErrorKind, Probes, Target};
use crate::queue::WorkItem;
use crate::worker::CheckRunner;
use chrono::{DateTime, Utc};
use command_side::{Clock, CommandBus, trace};
use domain::deployment::{Component, Deployment, DeploymentState};
use domain::diagnostic_run::CheckResult;
use domain::{DeploymentId, EvidenceHash};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Gives deployments as they are now.
pub trait DeploymentSource: Send + Sync + 'static {
    /// The deployment's state; the error is in words.
    fn deployment(&self, id: DeploymentId) -> BoxFuture<'_, Result<DeploymentState, String>>;
}

impl DeploymentSource for CommandBus {
    fn deployment(&self, id: DeploymentId) -> BoxFuture<'_, Result<DeploymentState, String>> {
        async move {
            let loaded = self.load::<Deployment>(id.0).await;
            loaded.map(|(state, _)| state).map_err(|error| format!("the deployment can not be loaded: {error}"))
        }
        .boxed()
    }
}

/// Keeps measurements that are too large for an event.
pub trait EvidenceSink: Send + Sync + 'static {
    /// Stores a piece of JSON and gives its hash; the error is in words.
    fn keep(&self, json: Vec<u8>, now: DateTime<Utc>) -> BoxFuture<'_, Result<EvidenceHash, String>>;
}

impl EvidenceSink for EvidenceStore {
    fn keep(&self, json: Vec<u8>, now: DateTime<Utc>) -> BoxFuture<'_, Result<EvidenceHash, String>> {
        async move { self.put(json, now).await.map_err(|error| error.to_string()) }.boxed()
    }
}

/// Measurements up to this size are wholly in the observations' own rows.
const INLINE_BYTES: usize = 512;
/// From so many rows on, judging is left to a blocking thread.
const MANY_ROWS: usize = 200;

/// Runs checks by their packs and probes.
#[derive(Clone)]
pub struct ProbeRunner(Arc<Inner>);

struct Inner {
    packs: Arc<Packs>,
    probes: Probes,
    deployments: Arc<dyn DeploymentSource>,
    evidence: Arc<dyn EvidenceSink>,
    clock: Arc<dyn Clock>,
}

impl ProbeRunner {
    /// Puts the parts together.
    pub fn new(
        packs: Arc<Packs>,
        probes: Probes,
        deployments: Arc<dyn DeploymentSource>,
        evidence: Arc<dyn EvidenceSink>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner { packs, probes, deployments, evidence, clock }))
    }

    /// Closes idle connections and waits, bounded, for queries that are being cancelled.
    pub async fn close(&self) {
        self.0.probes.close().await;
    }
}

impl CheckRunner for ProbeRunner {
    fn run(&self, item: WorkItem, cancel: CancellationToken) -> BoxFuture<'_, CheckResult> {
        let span = tracing::info_span!(
            "check.run",
            run = %item.key.run,
            check = %item.key.check.check,
            component = %item.key.check.component,
            outcome = tracing::field::Empty,
        );
        trace::adopt(&span, item.traceparent.as_deref());
        let ended = span.clone();
        let run = async move {
            let result = self.0.run(item, cancel).await;
            ended.record("outcome", result.outcome.as_str());
            result
        };
        run.instrument(span).boxed()
    }
}

/// What came of a check, before it is a result.
struct Outcome {
    version: String,
    judgement: Judgement,
}

impl Inner {
    async fn run(&self, item: WorkItem, cancel: CancellationToken) -> CheckResult {
        let started = Instant::now();
        let now = self.clock.now();
        let done = AssertUnwindSafe(self.check(&item, now, &cancel)).catch_unwind().await;
        let outcome = match done {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(cause)) => Outcome { version: item.version.clone(), judgement: Judgement::unknown(cause) },
            Err(panic) => {
                let cause = format!("the check failed in a way that is a defect of the platform: {}", words(&*panic));
                tracing::error!(%cause, "a check panicked");
                Outcome { version: item.version.clone(), judgement: Judgement::unknown(cause) }
            }
        };
        let judgement = outcome.judgement;
        CheckResult {
            key: item.key.check,
            version: outcome.version,
            outcome: judgement.outcome,
            summary: judgement.summary,
            unknown_cause: judgement.unknown_cause,
            observations: judgement.observations,
            omitted: judgement.omitted,
            metrics: judgement.metrics,
            measured_at: now,
            duration_ms: u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX),
        }
    }

    async fn check(&self, item: &WorkItem, now: DateTime<Utc>, cancel: &CancellationToken) -> Result<Outcome, String> {
        let code = &item.key.check.check;
        let check = self.packs.check(code).ok_or_else(|| format!("there is no check {code} in the packs any more"))?;
        let deployment = self.deployments.deployment(item.deployment).await?;
        let name = &item.key.check.component;
        let component = deployment.components.get(name);
        let component = component.ok_or_else(|| format!("the deployment has no component {name} any more"))?;
        let limits = effective(check, &deployment)?;
        let target = Target {
            run: item.key.run,
            deployment: item.deployment,
            check: code.clone(),
            component: component.clone(),
            components: Arc::clone(&deployment.components),
            now,
        };
        let measured = self.probes.measure(&check.probe, &target, cancel).await;
        log_trouble(measured.as_ref().err());
        let (mut judgement, measured) = judged(Arc::clone(check), component.clone(), measured, limits, now).await?;
        if let Ok(measurement) = &measured {
            self.keep_evidence(&mut judgement, measurement).await;
        }
        for error in &judgement.text_errors {
            tracing::warn!(%error, "a text of the check could not be rendered");
        }
        Ok(Outcome { version: check.version.clone(), judgement })
    }

    /// Stores the whole measurement beside findings whose own rows do not hold all of it.
    async fn keep_evidence(&self, judgement: &mut Judgement, measurement: &Measurement) {
        if judgement.observations.is_empty() {
            return;
        }
        let whole = json!({"rows": measurement.rows, "facts": measurement.facts, "taken_at": measurement.taken_at});
        let whole = whole.to_string().into_bytes();
        // A row whose texts were cut for the event is not whole, however small the measurement is.
        let is_cut = judgement.observations.iter().any(|seen| {
            let row = seen.evidence.inline.as_ref().and_then(Value::as_object);
            row.is_some_and(|row| row.values().any(|value| value.as_str().is_some_and(|text| text.ends_with('…'))))
        });
        if whole.len() <= INLINE_BYTES && !is_cut {
            return;
        }
        match self.evidence.keep(whole, measurement.taken_at).await {
            Ok(hash) => {
                judgement.observations.iter_mut().for_each(|seen| seen.evidence.hash = Some(hash.clone()));
            }
            // The finding stands with its own row: losing it for want of its attachment would be worse.
            Err(error) => tracing::warn!(%error, "the evidence could not be stored"),
        }
    }
}

fn effective(check: &Check, deployment: &DeploymentState) -> Result<Effective, String> {
    let overrides = deployment.overrides.get(&check.code).into_iter().flatten();
    Effective::overridden(
        check,
        overrides.map(|(threshold, given)| ThresholdOverride {
            threshold,
            warning: given.warning.as_deref(),
            critical: given.critical.as_deref(),
        }),
    )
}

type Judged = (Judgement, Result<Measurement, ProbeError>);

async fn judged(
    check: Arc<Check>,
    component: Component,
    measured: Result<Measurement, ProbeError>,
    limits: Effective,
    now: DateTime<Utc>,
) -> Result<Judged, String> {
    let rows = measured.as_ref().map_or(0, |measurement| measurement.rows.len());
    let work = move || {
        let subject = Subject { component: component.name.as_str(), settings: &component.settings, now };
        let judgement = judge(&check, subject, measured.as_ref(), &limits);
        (judgement, measured)
    };
    if rows < MANY_ROWS {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("judging the measurement failed: {error}"))
}

fn log_trouble(error: Option<&ProbeError>) {
    if let Some(error) = error.filter(|error| error.kind != ProbeErrorKind::Cancelled) {
        tracing::info!(kind = error.kind.as_str(), cause = %error.cause, "the check could not measure");
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it left no words")
}
