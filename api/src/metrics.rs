//! `/metrics` in OpenMetrics: what the API counts itself, and what other parts of the platform tell it.

use crate::state::ApiState;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A figure of another part of the platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its name without a unit's or `_total` suffix, such as `cmdiag_projection_lag_events`.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: SampleKind,
    /// Its labels.
    pub labels: Vec<(&'static str, String)>,
    /// Its value.
    pub value: f64,
}

/// How a figure behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleKind {
    /// It goes up and down.
    Gauge,
    /// It only grows.
    Counter,
}

/// Whoever has figures: projections, the queue, the workers, the log. It must answer from memory, at once.
pub trait MetricSource: Send + Sync + 'static {
    /// Its figures; those of one name next to each other.
    fn samples(&self) -> Vec<Sample>;
}

/// Of an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HttpLabels {
    /// The route, as declared.
    pub route: String,
    /// The method.
    pub method: &'static str,
    /// The status.
    pub status: u16,
}

/// Of a GraphQL operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabels {
    /// `query`, `mutation`, `subscription`, or `none` where the document was refused before.
    pub kind: &'static str,
    /// `ok` or the first error's code.
    pub outcome: &'static str,
}

/// Of a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CommandLabels {
    /// Its stable name.
    pub command: &'static str,
    /// `accepted`, `repeated`, `refused`, or an error's code.
    pub outcome: &'static str,
}

/// Of an open stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StreamLabels {
    /// `websocket` or `sse`.
    pub transport: &'static str,
}

type Latencies = Family<HttpLabels, Histogram, fn() -> Histogram>;

/// What the API counts.
pub struct Metrics {
    registry: Registry,
    http_seconds: Latencies,
    /// Requests turned away.
    pub(crate) shed: Counter,
    pub(crate) graphql_operations: Family<OperationLabels, Counter>,
    /// Queries that were answered without being executed: operations like any other.
    pub(crate) kept_answers: Counter,
    pub(crate) commands: Family<CommandLabels, Counter>,
    pub(crate) connections: Family<StreamLabels, Gauge>,
    pub(crate) subscriptions: Family<StreamLabels, Gauge>,
    /// Clients cut off since they took their messages too slowly.
    pub(crate) slow_clients: Family<StreamLabels, Counter>,
}

impl Metrics {
    /// All at zero; `sources` are asked at each scrape.
    pub fn new(sources: Vec<Arc<dyn MetricSource>>) -> Arc<Self> {
        let mut registry = Registry::default();
        let http_seconds = Latencies::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 14)));
        let shed = Counter::default();
        let graphql_operations = Family::<OperationLabels, Counter>::default();
        let kept_answers = graphql_operations.get_or_create(&OperationLabels { kind: "query", outcome: "ok" }).clone();
        let commands = Family::default();
        let connections = Family::default();
        let subscriptions = Family::default();
        let slow_clients = Family::default();
        registry.register("cmdiag_http_request_seconds", "Time to the answer's head", http_seconds.clone());
        registry.register("cmdiag_http_shed", "Requests turned away under load", shed.clone());
        registry.register("cmdiag_graphql_operations", "Operations by outcome", graphql_operations.clone());
        registry.register("cmdiag_commands", "Commands by outcome", commands.clone());
        registry.register("cmdiag_stream_connections", "Open streaming connections", connections.clone());
        registry.register("cmdiag_subscriptions", "Operations under way on streams", subscriptions.clone());
        registry.register("cmdiag_slow_clients", "Clients cut off as too slow", slow_clients.clone());
        registry.register_collector(Box::new(Sources(sources)));
        Arc::new(Self {
            registry,
            http_seconds,
            shed,
            graphql_operations,
            kept_answers,
            commands,
            connections,
            subscriptions,
            slow_clients,
        })
    }

    pub(crate) fn observe_http(&self, labels: &HttpLabels, took: Duration) {
        self.http_seconds.get_or_create(labels).observe(took.as_secs_f64());
    }

    /// All figures as OpenMetrics text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Counts up now and down when dropped.
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn of(family: &Family<StreamLabels, Gauge>, transport: &'static str) -> Self {
        let gauge = family.get_or_create(&StreamLabels { transport }).clone();
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Sample {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self.kind {
            SampleKind::Gauge => ConstGauge::new(self.value).encode(encoder),
            SampleKind::Counter => ConstCounter::new(self.value).encode(encoder),
        }
    }
}

struct Sources(Vec<Arc<dyn MetricSource>>);

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sources").field(&self.0.len()).finish()
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut samples: Vec<Sample> = self.0.iter().flat_map(|source| source.samples()).collect();
        // OpenMetrics wants a name's samples together, under one description.
        samples.sort_by_key(|sample| sample.name);
        for group in samples.chunk_by(|one, other| one.name == other.name) {
            let Some(first) = group.first() else { continue };
            let gauge = ConstGauge::new(0.0_f64);
            let kind = match first.kind {
                SampleKind::Gauge => gauge.metric_type(),
                SampleKind::Counter => ConstCounter::new(0.0_f64).metric_type(),
            };
            let mut family = encoder.encode_descriptor(first.name, first.help, None, kind)?;
            if let [only] = group
                && only.labels.is_empty()
            {
                only.encode(family)?;
                continue;
            }
            for sample in group {
                sample.encode(family.encode_family(&sample.labels)?)?;
            }
        }
        Ok(())
    }
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(state): State<ApiState>) -> Response {
    match state.metrics.encode() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(fmt::Error) => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lag;

    impl MetricSource for Lag {
        fn samples(&self) -> Vec<Sample> {
            let sample = |projection: &str, value| Sample {
                name: "cmdiag_projection_lag_events",
                help: "Events behind the log",
                kind: SampleKind::Gauge,
                labels: vec![("projection", projection.to_owned())],
                value,
            };
            let total = Sample {
                name: "cmdiag_log_appends",
                help: "Appends",
                kind: SampleKind::Counter,
                labels: Vec::new(),
                value: 3.0,
            };
            vec![sample("runs", 2.0), total, sample("findings", 0.0)]
        }
    }

    #[test]
    fn other_parts_figures_are_grouped_under_their_names() {
        let metrics = Metrics::new(vec![Arc::new(Lag)]);
        metrics.commands.get_or_create(&CommandLabels { command: "request_run", outcome: "accepted" }).inc();
        let text = metrics.encode().unwrap();
        for line in [
            "cmdiag_commands_total{command=\"request_run\",outcome=\"accepted\"} 1",
            "cmdiag_projection_lag_events{projection=\"runs\"} 2.0",
            "cmdiag_projection_lag_events{projection=\"findings\"} 0.0",
            "cmdiag_log_appends_total 3.0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!(text.matches("# TYPE cmdiag_projection_lag_events gauge").count(), 1);
        assert!(text.ends_with("# EOF\n"));
    }
}
