//! `/health` (IETF draft `application/health+json`) and `/ready`: what works, what does not, and since when.

use crate::problem::{Problem, retry_after_value};
use crate::state::ApiState;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthStatus {
    /// It works.
    Pass,
    /// It works, and somebody should look.
    Warn,
    /// It does not work.
    Fail,
}

impl HealthStatus {
    /// As the draft writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One measurement of one part of the platform.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// The part, such as `database`, `event-log`, `projection:findings`, `process-manager:run-planner`, `workers`,
    /// `redis`.
    pub component: String,
    /// What was measured of it, such as `responseTime`, `lag`, `connections`.
    pub measurement: String,
    /// How it is.
    pub status: HealthStatus,
    /// The measured value.
    pub observed: Option<f64>,
    /// Its unit, such as `ms` or `events`.
    pub unit: Option<&'static str>,
    /// What is wrong, where something is.
    pub output: Option<String>,
    /// Whether the API can answer nothing useful without it: `/ready` then says 503 while it fails.
    pub needed: bool,
    /// When it was measured.
    pub at: DateTime<Utc>,
}

/// Whoever knows how a part of the platform is. Asked often: it must answer from memory, at once.
pub trait HealthSource: Send + Sync + 'static {
    /// What it knows.
    fn checks(&self) -> Vec<HealthCheck>;
}

/// The platform's health at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct PlatformHealth {
    /// The worst of all.
    pub status: HealthStatus,
    /// Whether all that is needed works.
    pub ready: bool,
    /// All measurements.
    pub checks: Vec<HealthCheck>,
}

impl PlatformHealth {
    /// Sums up measurements. A part that fails without being needed is a warning for the whole.
    pub fn of(checks: Vec<HealthCheck>) -> Self {
        let weight = |check: &HealthCheck| match check.status {
            HealthStatus::Fail if !check.needed => HealthStatus::Warn,
            status => status,
        };
        let status = checks.iter().map(weight).max().unwrap_or(HealthStatus::Pass);
        let ready = !checks.iter().any(|check| check.needed && check.status == HealthStatus::Fail);
        Self { status, ready, checks }
    }
}

impl HealthCheck {
    fn to_json(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("componentType".to_owned(), json!("component"));
        entry.insert("status".to_owned(), json!(self.status.as_str()));
        entry.insert("time".to_owned(), json!(self.at.to_rfc3339()));
        if let Some(observed) = self.observed {
            entry.insert("observedValue".to_owned(), json!(observed));
        }
        if let Some(unit) = self.unit {
            entry.insert("observedUnit".to_owned(), json!(unit));
        }
        if let Some(output) = &self.output {
            entry.insert("output".to_owned(), json!(output));
        }
        Value::Object(entry)
    }
}

/// `GET /health`: 200 while it passes or warns, 503 when it fails. Details only for whoever may speak.
pub(crate) async fn health(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    let health = state.platform_health().await;
    let known = crate::auth::actor_of(&state.options, crate::auth::authorization(&headers)).is_ok();
    let mut body = json!({ "status": health.status.as_str(), "version": env!("CARGO_PKG_VERSION") });
    if known {
        let mut groups: Map<String, Value> = Map::new();
        for check in &health.checks {
            let group = groups.entry(format!("{}:{}", check.component, check.measurement)).or_insert_with(|| json!([]));
            if let Value::Array(entries) = group {
                entries.push(check.to_json());
            }
        }
        body["checks"] = Value::Object(groups);
    }
    let status = match health.status {
        HealthStatus::Fail => StatusCode::SERVICE_UNAVAILABLE,
        HealthStatus::Pass | HealthStatus::Warn => StatusCode::OK,
    };
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/health+json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, retry_after_value(state.options.retry_after));
    }
    response
}

/// `GET /ready`: 200 when requests can be answered, 503 while not.
pub(crate) async fn ready(State(state): State<ApiState>) -> Response {
    let health = state.platform_health().await;
    if health.ready {
        return (StatusCode::OK, "ready\n").into_response();
    }
    let missing: Vec<&str> = health
        .checks
        .iter()
        .filter(|check| check.needed && check.status == HealthStatus::Fail)
        .map(|check| check.component.as_str())
        .collect();
    Problem::unavailable(format!("not there yet: {}", missing.join(", ")), state.options.retry_after).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: HealthStatus, needed: bool) -> HealthCheck {
        HealthCheck {
            component: "redis".to_owned(),
            measurement: "connection".to_owned(),
            status,
            observed: None,
            unit: None,
            output: None,
            needed,
            at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_whole_is_as_bad_as_its_worst_needed_part() {
        use HealthStatus::{Fail, Pass, Warn};
        let cases = [
            (vec![], Pass, true),
            (vec![check(Pass, true), check(Warn, true)], Warn, true),
            (vec![check(Pass, true), check(Fail, false)], Warn, true),
            (vec![check(Pass, false), check(Fail, true)], Fail, false),
        ];
        for (checks, status, ready) in cases {
            let health = PlatformHealth::of(checks);
            assert_eq!((health.status, health.ready), (status, ready));
        }
    }
}
