//! What is sampled, and what is traced.

use super::*;
use opentelemetry::Context as OtelContext;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample};

fn decision(ratio: f64, parent: Option<TraceFlags>, trace: u128) -> SamplingDecision {
    let trace = TraceId::from(trace);
    let context = parent.map(|flags| {
        let parent = SpanContext::new(trace, SpanId::from(7), flags, true, TraceState::NONE);
        OtelContext::new().with_remote_span_context(parent)
    });
    sampler(ratio).should_sample(context.as_ref(), trace, "one", &SpanKind::Server, &[], &[]).decision
}

#[test]
fn whoever_began_a_trace_decides_and_else_the_ratio() {
    use SamplingDecision::{Drop, RecordAndSample};
    let (sampled, not) = (Some(TraceFlags::SAMPLED), Some(TraceFlags::default()));
    let (low, high) = (1, u128::MAX >> 1);
    for (ratio, parent, trace, expected) in [
        (1.0, None, high, RecordAndSample),
        (0.0, None, low, Drop),
        (0.5, None, low, RecordAndSample),
        (0.0, sampled, high, RecordAndSample),
        (1.0, not, low, Drop),
    ] {
        assert_eq!(decision(ratio, parent, trace), expected, "{ratio} {parent:?} {trace:x}");
    }
    let recorded = (0..1_000_u64).filter(|n| {
        let trace = u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 32 | 1;
        decision(0.25, None, trace) == RecordAndSample
    });
    let recorded = recorded.count();
    assert!((200..300).contains(&recorded), "{recorded} of 1000 at a ratio of 0.25");
}

#[test]
fn what_only_traces_are_made_of_is_off_until_they_are_exported() {
    // As `cmdiag serve` has it.
    let filter = || EnvFilter::new("info,sqlx=warn");
    let spans = || {
        (
            tracing::span_enabled!(target: "api::http::observe", Level::INFO),
            tracing::span_enabled!(target: "command_side::bus", Level::DEBUG),
            tracing::span_enabled!(target: "hyper::client", Level::DEBUG),
            tracing::event_enabled!(target: "sqlx::query", Level::DEBUG),
        )
    };
    let plain = tracing_subscriber::registry().with(filter()).with(logs(false));
    assert_eq!(tracing::subscriber::with_default(plain, spans), (true, false, false, false));
    let provider = SdkTracerProvider::builder().build();
    let exported = tracing_subscriber::registry().with(logs(false).with_filter(filter())).with(traces(&provider));
    assert_eq!(tracing::subscriber::with_default(exported, spans), (true, true, false, false));
}
