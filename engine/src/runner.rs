//! Runs one check on one component: looks up what is needed, measures, judges, keeps the evidence.
//!
//! Whatever goes wrong on the way, a panic included, is a result: `Unknown` with its cause.

use crate::check::Check;
use crate::evidence::judged::{JudgedMeasurement, in_force, overrides_of};
use crate::evidence::{EvidenceStore, JSON, TOML};
use crate::judge::{Effective, Judgement, Subject, judge};
use crate::pack::Packs;
use crate::probe::{Measurement, ProbeError, ProbeErrorKind, Probes, Target};
use crate::queue::WorkItem;
use crate::sealing::sealed;
use crate::worker::CheckRunner;
use chrono::{DateTime, Utc};
use command_side::{Clock, CommandBus, trace};
use domain::deployment::{Component, Deployment, DeploymentState, ThresholdOverride};
use domain::diagnostic_run::CheckResult;
use domain::{DeploymentId, EvidenceHash};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use vault::Vault;

/// Gives deployments as they are now.
pub trait DeploymentSource: Send + Sync + 'static {
    /// The deployment's state; the error is in words.
    fn deployment(&self, id: DeploymentId) -> BoxFuture<'_, Result<DeploymentState, String>>;

    /// The vault that personal columns are sealed in.
    fn vault(&self) -> Vault {
        Vault::off()
    }
}

impl DeploymentSource for CommandBus {
    fn deployment(&self, id: DeploymentId) -> BoxFuture<'_, Result<DeploymentState, String>> {
        async move {
            let loaded = self.load::<Deployment>(id.0).await;
            loaded.map(|(state, _)| state).map_err(|error| format!("the deployment can not be loaded: {error}"))
        }
        .boxed()
    }

    fn vault(&self) -> Vault {
        Self::vault(self).clone()
    }
}

/// Keeps measurements, and the files of the checks that judged them.
pub trait EvidenceSink: Send + Sync + 'static {
    /// Stores a piece of evidence and gives its hash; the error is in words.
    fn keep(
        &self,
        bytes: Vec<u8>,
        media_type: &'static str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<EvidenceHash, String>>;
}

impl EvidenceSink for EvidenceStore {
    fn keep(
        &self,
        bytes: Vec<u8>,
        media_type: &'static str,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<EvidenceHash, String>> {
        async move { self.put_as(bytes, media_type, now).await.map_err(|error| error.to_string()) }.boxed()
    }
}

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
    /// The digests of the check files that this process has stored.
    definitions: Mutex<HashSet<String>>,
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
        let definitions = Mutex::default();
        Self(Arc::new(Inner { packs, probes, deployments, evidence, clock, definitions }))
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
    evidence: Option<EvidenceHash>,
}

impl Outcome {
    /// It could not be measured.
    fn unknown(item: &WorkItem, cause: String) -> Self {
        Self { version: item.version.clone(), judgement: Judgement::unknown(cause), evidence: None }
    }
}

impl Inner {
    async fn run(&self, item: WorkItem, cancel: CancellationToken) -> CheckResult {
        let started = Instant::now();
        let now = self.clock.now();
        let done = AssertUnwindSafe(self.check(&item, now, &cancel)).catch_unwind().await;
        let outcome = match done {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(cause)) => Outcome::unknown(&item, cause),
            Err(panic) => {
                let cause = format!("the check failed in a way that is a defect of the platform: {}", words(&*panic));
                tracing::error!(%cause, "a check panicked");
                Outcome::unknown(&item, cause)
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
            evidence: outcome.evidence,
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
        let overrides = overrides_of(code, &deployment);
        let limits = in_force(check, &overrides)?;
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
        let measured = match measured {
            Ok(measurement) => Ok(sealed(&self.deployments.vault(), check, &item.tenant, measurement).await?),
            Err(error) => Err(error),
        };
        let pack_version = self.packs.pack(&check.pack).map_or_else(String::new, |pack| pack.version.clone());
        let bench =
            Bench { check: Arc::clone(check), pack_version, component: component.clone(), overrides, limits, now };
        let (mut judgement, record) = bench.judged(measured).await?;
        let evidence = match record {
            Some(record) => self.keep_evidence(check, &mut judgement, record, now).await,
            None => None,
        };
        for error in &judgement.text_errors {
            tracing::warn!(%error, "a text of the check could not be rendered");
        }
        Ok(Outcome { version: check.version.clone(), judgement, evidence })
    }

    /// Stores the measurement with all that its judgement rested on, also of a good result: it may be judged anew.
    async fn keep_evidence(
        &self,
        check: &Check,
        judgement: &mut Judgement,
        record: Vec<u8>,
        now: DateTime<Utc>,
    ) -> Option<EvidenceHash> {
        let kept = match self.keep_definition(check, now).await {
            Ok(()) => self.evidence.keep(record, JSON, now).await,
            Err(error) => Err(error),
        };
        match kept {
            Ok(hash) => {
                judgement.observations.iter_mut().for_each(|seen| seen.evidence.hash = Some(hash.clone()));
                Some(hash)
            }
            // The result stands with its own rows: losing it for want of its attachment would be worse.
            Err(error) => {
                tracing::warn!(%error, "the evidence could not be stored");
                None
            }
        }
    }

    /// Stores the check's file, once in a process: without it nobody could judge as it did.
    async fn keep_definition(&self, check: &Check, now: DateTime<Utc>) -> Result<(), String> {
        // A set of texts is never half changed: a poisoned lock is as good as any.
        if self.definitions.lock().unwrap_or_else(PoisonError::into_inner).contains(&check.digest) {
            return Ok(());
        }
        self.evidence.keep(check.source.as_bytes().to_vec(), TOML, now).await?;
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner).insert(check.digest.clone());
        Ok(())
    }
}

/// What a measurement is judged by.
struct Bench {
    check: Arc<Check>,
    pack_version: String,
    component: Component,
    overrides: BTreeMap<String, ThresholdOverride>,
    limits: Effective,
    now: DateTime<Utc>,
}

/// A judgement, and the record of what it rests on where something was measured.
type Judged = (Judgement, Option<Vec<u8>>);

impl Bench {
    async fn judged(self, measured: Result<Measurement, ProbeError>) -> Result<Judged, String> {
        let rows = measured.as_ref().map_or(0, |measurement| measurement.rows.len());
        let work = move || self.judge(measured);
        if rows < MANY_ROWS {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|error| format!("judging the measurement failed: {error}"))
    }

    fn judge(self, measured: Result<Measurement, ProbeError>) -> Judged {
        let Self { check, pack_version, component, overrides, limits, now } = self;
        let subject = Subject { component: component.name.as_str(), settings: &component.settings, now };
        match measured {
            Err(error) => (judge(&check, subject, Err(&error), &limits), None),
            Ok(measurement) => {
                let record =
                    JudgedMeasurement::new(&check, &pack_version, &component, overrides, &limits, &measurement);
                let (record, measurement) = record.stored(measurement);
                (judge(&check, subject, Ok(&measurement), &limits), Some(record))
            }
        }
    }
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
