//! Logs to standard error, traces by OTLP where it is configured.

use crate::config::TelemetryConfig;
use anyhow::{Context, Result};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Keeps the exporter alive; flushes it when dropped.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sets up logging and tracing for the process. `default_filter` holds where none is configured.
    pub fn start(config: &TelemetryConfig, default_filter: &str) -> Result<Self> {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let directives = config.log.as_deref().unwrap_or(default_filter);
        let filter = EnvFilter::try_new(directives).with_context(|| format!("telemetry.log = {directives:?}"))?;
        let logs = fmt::layer().with_writer(std::io::stderr).with_target(true);
        let logs = if config.json { logs.json().boxed() } else { logs.compact().boxed() };
        let provider = config.otlp_endpoint.as_deref().map(exporter).transpose()?;
        let traces = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer().with_tracer(provider.tracer("cmdiag")).with_filter(EnvFilter::new("info"))
        });
        tracing_subscriber::registry()
            .with(logs.with_filter(filter))
            .with(traces)
            .try_init()
            .context("set up logging")?;
        Ok(Self { provider })
    }
}

fn exporter(endpoint: &str) -> Result<SdkTracerProvider> {
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(url)
        .with_timeout(std::time::Duration::from_secs(5))
        .build()
        .context("telemetry.otlp_endpoint")?;
    let resource = Resource::builder().with_service_name("cmdiag").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(error) = provider.shutdown()
        {
            eprintln!("the last traces could not be sent: {error}");
        }
    }
}
