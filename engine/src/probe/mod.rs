//! Probes measure: one file, or one folder, a kind.
//!
//! A probe gives rows, or a [`ProbeError`] where it can not measure. What is down is a measurement where "is it up"
//! is the question (TCP, TLS, HTTP, Redis), and an error everywhere else. Every probe ends at its deadline and when
//! it is cancelled: a query is cancelled on its server, a child process and its group are killed, a walk stops.
//!
//! Secrets are looked up where they are used ([`secret`]), and cut out of every error's text.

mod audit;
mod command;
pub(crate) mod config;
mod disk;
mod error;
mod host;
pub(crate) mod http;
mod log;
mod net;
mod offsets;
mod redis;
mod rows;
mod secret;
mod sql;
pub(crate) mod store;
mod tcp;
mod tls;

pub use error::{ProbeError, ProbeErrorKind};
pub use offsets::{MemoryOffsets, OffsetError, OffsetKey, OffsetStore};
pub use rows::{Measurement, Row};
pub use secret::Secret;

pub(crate) use rows::Measured;
pub(crate) use tls::roots as trusted_roots;

use crate::check::{ProbePlan, ProbeSpec};
use chrono::{DateTime, Utc};
use domain::deployment::Component;
use domain::{CheckCode, ComponentName, DeploymentId, RunId};
use futures::future::{BoxFuture, FutureExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing::field::Empty;

/// What to measure, and for whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// The run: what checks of one run read alike is read once.
    pub run: RunId,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The check.
    pub check: CheckCode,
    /// The component that is looked at.
    pub component: Component,
    /// All components of the deployment.
    pub components: Arc<BTreeMap<ComponentName, Component>>,
    /// The time of the measurement.
    pub now: DateTime<Utc>,
}

impl Target {
    /// A setting of the component.
    pub(crate) fn setting(&self, key: &str) -> Result<&str, ProbeError> {
        setting_of(&self.component, key)
    }

    /// A setting of the component, where it has it and it is not empty.
    pub(crate) fn optional(&self, key: &str) -> Option<&str> {
        self.component.settings.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The component that a setting names.
    pub(crate) fn named_by(&self, key: &str) -> Result<&Component, ProbeError> {
        let name = self.setting(key)?;
        let named = name.parse::<ComponentName>().ok().and_then(|name| self.components.get(&name));
        named.ok_or_else(|| {
            let own = &self.component.name;
            ProbeError::configuration(format!(
                "setting {key:?} of {own} names {name:?}, and there is no such component"
            ))
        })
    }

    /// The component whose connection a probe uses.
    pub(crate) fn connection(&self, on: Option<&str>) -> Result<&Component, ProbeError> {
        on.map_or(Ok(&self.component), |key| self.named_by(key))
    }
}

/// A setting of a component.
pub(crate) fn setting_of<'a>(component: &'a Component, key: &str) -> Result<&'a str, ProbeError> {
    component
        .settings
        .get(key)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| ProbeError::configuration(format!("component {} has no setting {key:?}", component.name)))
}

/// All probes and what they share: connections, clients, and what one run reads once.
pub struct Probes {
    sql: sql::SqlTargets,
    store: store::StoreViews,
    http: http::Clients,
    offsets: Arc<dyn OffsetStore>,
}

impl Probes {
    /// Probes that keep how far they have read logs in `offsets`.
    pub fn new(offsets: Arc<dyn OffsetStore>) -> Self {
        Self {
            sql: sql::SqlTargets::default(),
            store: store::StoreViews::default(),
            http: http::Clients::default(),
            offsets,
        }
    }

    /// Measures, until it is done, the plan's timeout has passed or it is cancelled.
    pub async fn measure(
        &self,
        plan: &ProbePlan,
        target: &Target,
        cancel: &CancellationToken,
    ) -> Result<Measurement, ProbeError> {
        let started = Instant::now();
        // Blocking parts look at this token: it is cancelled when this call ends, however it ends.
        let stop = cancel.child_token();
        let _stops_at_the_end = stop.clone().drop_guard();
        let run = Run { target, timeout: plan.timeout, on: plan.on.as_deref(), stop };
        let kind = plan.spec.kind();
        let span = tracing::debug_span!(
            "probe",
            otel.name = format!("probe {kind}"),
            kind,
            rows = Empty,
            error.type = Empty,
            otel.status_code = Empty
        );
        let measured = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ProbeError::cancelled()),
            measured = self.dispatch(&plan.spec, &run).instrument(span.clone()) => measured,
            () = tokio::time::sleep(plan.timeout) => Err(ProbeError::timed_out(plan.timeout)),
        };
        match &measured {
            Ok(measured) => span.record("rows", measured.rows.len()),
            Err(error) => span.record("error.type", error.kind.as_str()).record("otel.status_code", "ERROR"),
        };
        let measured = measured?;
        Ok(Measurement {
            rows: measured.rows,
            facts: measured.facts,
            truncated: measured.truncated,
            taken_at: target.now,
            duration: started.elapsed(),
        })
    }

    /// Boxed: the compiler does not see through all of these at once that they may move between threads.
    fn dispatch<'a>(&'a self, spec: &'a ProbeSpec, run: &'a Run<'a>) -> BoxFuture<'a, Result<Measured, ProbeError>> {
        match spec {
            ProbeSpec::Sql(spec) => sql::measure(&self.sql, spec, run).boxed(),
            ProbeSpec::Store(spec) => store::measure(&self.store, &self.sql, spec, run).boxed(),
            ProbeSpec::Tcp => tcp::measure(run).boxed(),
            ProbeSpec::Tls => tls::measure(run).boxed(),
            ProbeSpec::Http(spec) => http::measure(&self.http, &self.sql, spec, run).boxed(),
            ProbeSpec::Log(spec) => log::measure(&*self.offsets, spec, run).boxed(),
            ProbeSpec::Host => host::measure(run).boxed(),
            ProbeSpec::Config => config::measure(run).boxed(),
            ProbeSpec::Redis => redis::measure(run).boxed(),
            ProbeSpec::Audit(spec) => audit::measure(&*self.offsets, spec, run).boxed(),
            ProbeSpec::Command(spec) => command::measure(spec, run).boxed(),
        }
    }

    /// Closes idle connections and waits, bounded, for queries that are being cancelled.
    pub async fn close(&self) {
        self.sql.close().await;
    }
}

/// One measurement under way.
pub(crate) struct Run<'a> {
    /// What to measure.
    pub target: &'a Target,
    /// How long it may take.
    pub timeout: Duration,
    /// The setting that names the component whose connection is used.
    pub on: Option<&'a str>,
    /// Cancelled when the measurement has ended, however it ended.
    pub stop: CancellationToken,
}

impl Run<'_> {
    /// Runs blocking work on a thread of its own. The work looks at `stop` as it goes.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancellationToken) -> Result<T, ProbeError> + Send + 'static,
    ) -> Result<T, ProbeError> {
        let stop = self.stop.clone();
        match tokio::task::spawn_blocking(move || work(&stop)).await {
            Ok(done) => done,
            Err(failed) => Err(ProbeError::internal(format!("the probe's thread ended early: {failed}"))),
        }
    }
}
