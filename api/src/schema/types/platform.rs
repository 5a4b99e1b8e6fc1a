//! How the platform itself is.

use super::enums::HealthStatus;
use crate::health::{HealthCheck, PlatformHealth};
use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};

/// How the platform itself is.
#[derive(SimpleObject)]
pub struct Platform {
    /// The worst of all its parts; one that fails without being needed is a warning.
    pub status: HealthStatus,
    /// Whether all that is needed to answer works.
    pub ready: bool,
    /// The platform's version.
    pub version: &'static str,
    /// Its parts: database, event log, projections, process managers, workers, caches.
    pub checks: Vec<PlatformCheck>,
}

/// One measurement of one part.
#[derive(SimpleObject)]
pub struct PlatformCheck {
    /// The part, such as `projection:findings`.
    component: String,
    /// What was measured, such as `lag`.
    measurement: String,
    /// How it is.
    status: HealthStatus,
    /// The measured value.
    observed: Option<f64>,
    /// Its unit.
    unit: Option<&'static str>,
    /// What is wrong, where something is.
    output: Option<String>,
    /// When it was measured.
    at: DateTime<Utc>,
}

impl From<PlatformHealth> for Platform {
    fn from(health: PlatformHealth) -> Self {
        Self {
            status: health.status.into(),
            ready: health.ready,
            version: env!("CARGO_PKG_VERSION"),
            checks: health.checks.into_iter().map(PlatformCheck::from).collect(),
        }
    }
}

impl From<HealthCheck> for PlatformCheck {
    fn from(check: HealthCheck) -> Self {
        Self {
            component: check.component,
            measurement: check.measurement,
            status: check.status.into(),
            observed: check.observed,
            unit: check.unit,
            output: check.output,
            at: check.at,
        }
    }
}
