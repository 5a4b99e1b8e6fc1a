//! What the running parts say of themselves, as the API shows it: health checks and metrics.

use super::roles::Statuses;
use api::health::{HealthCheck, HealthSource, HealthStatus};
use api::metrics::{MetricSource, Sample, SampleKind};
use chrono::Utc;
use command_side::CommandBus;
use domain::remediation::Rest;
use engine::remediation::RemediationStatus;
use projections::RunnerState;
use query_side::Cache;

/// A view that is this far behind is worth a look.
const LAG_WARN_SECONDS: f64 = 5.0;

/// The parts of this process.
pub struct Parts {
    /// What they say.
    pub statuses: Statuses,
    /// The command bus's figures.
    pub bus: CommandBus,
    /// The cache's figures.
    pub cache: Cache,
    /// Whether a shared cache is configured.
    pub has_redis: bool,
}

pub(super) fn check(component: String, measurement: &str, status: HealthStatus, output: Option<String>) -> HealthCheck {
    HealthCheck {
        component,
        measurement: measurement.to_owned(),
        status,
        observed: None,
        unit: None,
        output,
        needed: false,
        at: Utc::now(),
    }
}

impl HealthSource for Parts {
    fn checks(&self) -> Vec<HealthCheck> {
        let mut checks = self.projections();
        checks.extend(self.processes());
        checks.extend(self.engine());
        checks.extend(super::auditing::checks(&self.statuses));
        checks.extend(super::event_log::checks(self.statuses.copied.as_ref(), self.statuses.newest()));
        if self.has_redis {
            let failing = self.cache.is_redis_failing();
            let (status, output) = if failing {
                (HealthStatus::Warn, Some("does not answer: slower, still correct".to_owned()))
            } else {
                (HealthStatus::Pass, None)
            };
            checks.push(check("redis".to_owned(), "responseTime", status, output));
        }
        checks
    }
}

impl Parts {
    fn projections(&self) -> Vec<HealthCheck> {
        let mut checks = Vec::new();
        for status in &self.statuses.projections {
            let status = status.borrow();
            let (verdict, output) = match (&status.failure, &status.state) {
                (Some(failure), _) => {
                    let output = format!("stands still before position {}: {}", failure.position, failure.reason);
                    (HealthStatus::Fail, Some(output))
                }
                (None, RunnerState::Retrying(why)) => (HealthStatus::Warn, Some(why.clone())),
                (None, RunnerState::Rebuilding) => {
                    let output = "an older version is read, standing still, until the new one is filled beside it";
                    (HealthStatus::Warn, Some(output.to_owned()))
                }
                (None, _) if status.lag_seconds > LAG_WARN_SECONDS => {
                    (HealthStatus::Warn, Some(format!("{:.1} s behind the log", status.lag_seconds)))
                }
                (None, _) => (HealthStatus::Pass, None),
            };
            let component = format!("projection:{}", status.name);
            let mut events = check(component.clone(), "lag_events", verdict, output);
            (events.observed, events.unit) = (Some(status.lag_events as f64), Some("events"));
            let mut seconds = check(component, "lag_seconds", verdict, None);
            (seconds.observed, seconds.unit) = (Some(status.lag_seconds), Some("s"));
            checks.extend([events, seconds]);
        }
        checks
    }

    fn processes(&self) -> Vec<HealthCheck> {
        let of = |status: &tokio::sync::watch::Receiver<command_side::ProcessStatus>| {
            let status = status.borrow();
            let verdict = if status.failure.is_some() { HealthStatus::Warn } else { HealthStatus::Pass };
            let mut one = check(format!("process-manager:{}", status.name), "lag", verdict, status.failure.clone());
            if status.active {
                (one.observed, one.unit) = (Some(status.lag_events as f64), Some("events"));
            } else if one.output.is_none() {
                one.output = Some("stands by: another process is active".to_owned());
            }
            one
        };
        self.statuses.processes.iter().map(of).collect()
    }

    fn engine(&self) -> Vec<HealthCheck> {
        let mut checks = Vec::new();
        if let Some(status) = &self.statuses.workers {
            let status = status.borrow();
            let verdict = if status.failing { HealthStatus::Warn } else { HealthStatus::Pass };
            let output = if status.failing { status.last_error.clone() } else { None };
            let mut one = check("workers".to_owned(), "running", verdict, output);
            (one.observed, one.unit) = (Some(status.running as f64), Some("checks"));
            checks.push(one);
        }
        if let Some(status) = &self.statuses.filler {
            let status = status.borrow();
            let verdict = if status.failure.is_some() { HealthStatus::Warn } else { HealthStatus::Pass };
            checks.push(check("queue-filler".to_owned(), "position", verdict, status.failure.clone()));
        }
        if let Some(status) = &self.statuses.remediations {
            let status = status.borrow();
            let (verdict, output) = match (&status.failure, status.stopped) {
                (Some(failure), _) => (HealthStatus::Warn, Some(failure.clone())),
                (None, true) => (HealthStatus::Warn, Some("the emergency stop is engaged".to_owned())),
                (None, false) => (HealthStatus::Pass, None),
            };
            let mut one = check("remediations".to_owned(), "running", verdict, output);
            (one.observed, one.unit) = (Some(status.running as f64), Some("remediations"));
            checks.push(one);
        }
        checks
    }
}

impl MetricSource for Parts {
    fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        self.projection_samples(&mut samples);
        self.process_samples(&mut samples);
        self.engine_samples(&mut samples);
        super::auditing::samples(&self.statuses, &mut samples);
        let counts = self.bus.counts();
        for (outcome, count) in [
            ("executed", counts.executed),
            ("repeated", counts.repeated),
            ("refused", counts.refused),
            ("failed", counts.failed),
        ] {
            samples.push(Sample {
                labels: vec![("outcome", outcome.to_owned())],
                ..counter("cmdiag_commands", "Commands by how they ended", count)
            });
        }
        samples.push(counter("cmdiag_command_conflicts", "Commands decided anew after a conflict", counts.conflicts));
        let cache = self.cache.figures();
        for (result, count) in
            [("local", cache.local_hits), ("redis", cache.redis_hits), ("stale", cache.stale), ("miss", cache.misses)]
        {
            samples.push(Sample {
                labels: vec![("result", result.to_owned())],
                ..counter("cmdiag_cache_reads", "Rows asked of the cache by what it had", count)
            });
        }
        samples.push(counter("cmdiag_redis_failures", "Calls to Redis that failed", cache.redis_failures));
        samples
    }
}

impl Parts {
    fn projection_samples(&self, samples: &mut Vec<Sample>) {
        let each = |name: &'static str, help: &'static str, value: fn(&projections::ProjectionStatus) -> f64| {
            self.statuses.projections.iter().map(move |status| {
                let status = status.borrow();
                let labels = vec![("projection", status.name.to_owned())];
                Sample { labels, ..gauge(name, help, value(&status)) }
            })
        };
        samples.extend(each("cmdiag_projection_lag_events", "Events the view is behind", |one| one.lag_events as f64));
        samples.extend(each("cmdiag_projection_lag_seconds", "Age of what the view lacks", |one| one.lag_seconds));
        samples.extend(each("cmdiag_projection_position", "Last event in the view", |one| one.position.0 as f64));
        samples.extend(each("cmdiag_projection_failed", "1 where it stands still", |one| {
            if one.failure.is_some() { 1.0 } else { 0.0 }
        }));
    }

    fn process_samples(&self, samples: &mut Vec<Sample>) {
        for status in &self.statuses.processes {
            let status = status.borrow();
            let labels = vec![("process", status.name.to_owned())];
            let lag = status.lag_events as f64;
            samples.push(Sample { labels, ..gauge("cmdiag_process_lag_events", "Events not yet answered", lag) });
        }
    }

    fn engine_samples(&self, samples: &mut Vec<Sample>) {
        if let Some(depth) = self.statuses.depth.as_ref().and_then(|depth| *depth.borrow()) {
            samples.push(gauge("cmdiag_queue_waiting", "Checks that wait", depth.waiting as f64));
            samples.push(gauge("cmdiag_queue_leased", "Checks that workers hold", depth.leased as f64));
            samples.push(gauge("cmdiag_queue_runs", "Runs with open checks", depth.runs as f64));
        }
        if let Some(workers) = &self.statuses.workers {
            let workers = workers.borrow();
            samples.push(gauge("cmdiag_worker_running", "Checks that run in this process", workers.running as f64));
            samples.push(gauge("cmdiag_worker_buffered", "Results not yet recorded", workers.buffered as f64));
            samples.push(counter("cmdiag_worker_claimed", "Checks claimed", workers.claimed));
            samples.push(counter("cmdiag_worker_recorded", "Results recorded", workers.recorded));
            samples.push(counter("cmdiag_worker_cancelled", "Checks cancelled", workers.cancelled));
            samples.push(counter("cmdiag_worker_panics", "Checks that panicked", workers.panics));
        }
        if let Some(remediations) = &self.statuses.remediations {
            remediation_samples(&remediations.borrow(), samples);
        }
    }
}

fn remediation_samples(status: &RemediationStatus, samples: &mut Vec<Sample>) {
    samples.push(gauge("cmdiag_remediations_running", "Remediations in this process's hands", status.running as f64));
    samples.push(counter("cmdiag_remediations_claimed", "Remediations taken up", status.claimed));
    samples.push(counter("cmdiag_remediations_adopted", "Remediations taken over from a dead process", status.adopted));
    samples.push(counter("cmdiag_remediation_leases_lost", "Remediations that another took over", status.leases_lost));
    let stopped = if status.stopped { 1.0 } else { 0.0 };
    samples.push(gauge("cmdiag_emergency_stop", "1 where an emergency stop is engaged", stopped));
    for (rest, label) in [
        (Rest::Succeeded, "succeeded"),
        (Rest::Failed, "failed"),
        (Rest::Undone, "undone"),
        (Rest::Cancelled, "cancelled"),
        (Rest::Stuck, "stuck"),
        (Rest::Halted, "halted"),
    ] {
        let count = status.rested.get(&rest).copied().unwrap_or_default();
        samples.push(Sample {
            labels: vec![("outcome", label.to_owned())],
            ..counter("cmdiag_remediations_rested", "Remediations that came to rest, by how", count)
        });
    }
}

pub(super) fn gauge(name: &'static str, help: &'static str, value: f64) -> Sample {
    Sample { name, help, kind: SampleKind::Gauge, labels: Vec::new(), value }
}

pub(super) fn counter(name: &'static str, help: &'static str, value: u64) -> Sample {
    Sample { name, help, kind: SampleKind::Counter, labels: Vec::new(), value: value as f64 }
}
