//! Logs to standard error, traces by OTLP where it is configured.
//!
//! Spans that say in a log line what it is about (a request, a check) are at level info. Those that only traces are
//! made of are at level debug: without an exporter and with the usual filters they are switched off where they stand,
//! and cost one look at a flag.

mod sender;

use crate::config::TelemetryConfig;
use anyhow::{Context, Result};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
use sender::Sender;
use std::io::IsTerminal;
use std::time::Duration;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{self, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Our crates, whose spans are exported; other crates' would say what they do, not what the platform does.
const TRACED: &[&str] =
    &["api", "cmdiag", "command_side", "engine", "event_store", "projections", "query_side", "private_servers"];
/// How many spans wait for the exporter; what comes beyond is dropped, never waited for.
const QUEUE_SPANS: usize = 16_384;
const BATCH_SPANS: usize = 1_024;
const SEND_EVERY: Duration = Duration::from_secs(1);
/// How long one delivery, and the last one when the process ends, may take.
const SEND_BOUND: Duration = Duration::from_secs(5);

/// Keeps the exporter alive; flushes it when dropped.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sets up logging and tracing for the process; within the runtime. `default_filter` holds where none is
    /// configured.
    pub fn start(config: &TelemetryConfig, default_filter: &str) -> Result<Self> {
        let directives = config.log.as_deref().unwrap_or(default_filter);
        let filter = EnvFilter::try_new(directives).with_context(|| format!("telemetry.log = {directives:?}"))?;
        let provider = config.otlp_endpoint.as_deref().map(|endpoint| exporter(endpoint, config.sample_ratio));
        let provider = provider.transpose()?;
        let registry = tracing_subscriber::registry();
        let started = match &provider {
            // One filter for all: what it leaves out costs nothing.
            None => registry.with(filter).with(logs(config.json)).try_init(),
            Some(provider) => registry.with(logs(config.json).with_filter(filter)).with(traces(provider)).try_init(),
        };
        started.context("set up logging")?;
        Ok(Self { provider })
    }
}

fn logs<S>(json: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    // In a file or a pipe, colours are noise.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logs = fmt::layer().with_writer(std::io::stderr).with_target(true).with_ansi(colours);
    if json { logs.json().boxed() } else { logs.compact().boxed() }
}

/// Makes traces of our spans, and of what is logged within them.
fn traces<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("cmdiag"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        // Whoever needs a span's context asks the span for it.
        .with_context_activation(false)
        .with_filter(Traced)
}

/// Lets our spans through to the exporter, and what we log within them.
struct Traced;

impl<S> Filter<S> for Traced {
    fn enabled(&self, metadata: &Metadata<'_>, _: &layer::Context<'_, S>) -> bool {
        is_traced(metadata)
    }

    /// Asked anew each time. An answer that is kept would go with whatever was asked last on the same thread, and a
    /// question that nothing follows (`log_enabled!`, before each of sqlx's statements) would so drop the next span.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_traced(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    let ours = metadata.target().split("::").next().is_some_and(|name| TRACED.contains(&name));
    let most = if metadata.is_span() { Level::DEBUG } else { Level::INFO };
    ours && *metadata.level() <= most
}

fn exporter(endpoint: &str, sample_ratio: f64) -> Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new(SEND_BOUND)?)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(SEND_BOUND)
        .build()
        .context("telemetry.otlp_endpoint")?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS)
        .with_max_export_batch_size(BATCH_SPANS)
        .with_scheduled_delay(SEND_EVERY)
        .build();
    let resource = Resource::builder()
        .with_service_name("cmdiag")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
        .with_sampler(sampler(sample_ratio))
        .with_resource(resource)
        .build())
}

/// Whoever began the trace has decided; of those that begin here, the given share is recorded.
fn sampler(ratio: f64) -> Sampler {
    let roots = if ratio >= 1.0 { Sampler::AlwaysOn } else { Sampler::TraceIdRatioBased(ratio) };
    Sampler::ParentBased(Box::new(roots))
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(error) = provider.shutdown_with_timeout(SEND_BOUND)
        {
            eprintln!("the last traces could not be sent: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
