//! W3C trace context: from a request into its commands, from a command into its events' metadata, and from there into
//! whatever answers them, in this process or another.
//!
//! Spans are `tracing`'s. Where no exporter is configured they are switched off and all of this costs next to nothing;
//! the trace context of a request is handed on all the same.

use domain::Metadata;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Reads a `traceparent`; none where it is not one.
pub fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, chars: usize| {
        part.len() == chars && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let well_formed = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    // Version 00 has exactly four parts; later ones may have more.
    if !well_formed || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let trace = TraceId::from_hex(trace).ok()?;
    let context = SpanContext::new(trace, SpanId::from_hex(span).ok()?, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

/// Writes a `traceparent`.
pub fn format(context: &SpanContext) -> String {
    // Of the flags, only what says whether the trace is recorded is known to us.
    let sampled = u8::from(context.is_sampled());
    format!("00-{:032x}-{:016x}-{sampled:02x}", context.trace_id(), context.span_id())
}

/// Makes a new span a child of the span that this `traceparent` names, wherever that one was.
pub fn adopt(span: &Span, traceparent: Option<&str>) {
    // Where spans are switched off, nothing is parsed.
    if span.is_disabled() {
        return;
    }
    if let Some(parent) = traceparent.and_then(parse) {
        // Without an OpenTelemetry layer there is nothing to tell it to.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// A span's own place in its trace; none where spans are not traced.
pub fn of(span: &Span) -> Option<SpanContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context().span().span_context().clone();
    context.is_valid().then_some(context)
}

/// Puts a command's span into its trace, and the span into the metadata: what answers the command's events is its
/// child.
pub(crate) fn join(span: &Span, metadata: &mut Metadata) {
    // Within the work that sends it, the command is a child of whatever sends it there.
    let sender = of(&Span::current()).map(|sender| format!("{:032x}", sender.trace_id()));
    let is_inside = |parent: &str| sender.is_some_and(|trace| parent.get(3..35) == Some(&trace));
    adopt(span, metadata.traceparent.as_deref().filter(|parent| !is_inside(parent)));
    match of(span) {
        Some(own) => metadata.traceparent = Some(format(&own)),
        None => ensure_traceparent(metadata),
    }
}

/// Gives the metadata a trace context where it has none: the trace is the correlation id, so that all that one request
/// caused is found under one trace, and the span is the command's. Not sampled: no tracer has recorded it.
fn ensure_traceparent(metadata: &mut Metadata) {
    if metadata.traceparent.is_some() || metadata.correlation_id.0.is_nil() {
        return;
    }
    let span = metadata.command_id.0.as_u64_pair().1;
    if span != 0 {
        metadata.traceparent = Some(format!("00-{}-{span:016x}-00", metadata.correlation_id.0.simple()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::metadata;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_the_formats_examples_and_refuses_the_rest() {
        let parsed = parse(GOOD).unwrap();
        assert!(parsed.is_sampled() && parsed.is_remote());
        assert_eq!(format(&parsed), GOOD);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_trace_context_is_made_only_where_there_is_none() {
        let mut bare = metadata();
        join(&Span::none(), &mut bare);
        let made = bare.traceparent.clone().unwrap();
        let parts: Vec<&str> = made.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{made}");
        assert_eq!(parts[1], bare.correlation_id.0.simple().to_string());
        let mut traced = Metadata { traceparent: Some(GOOD.to_owned()), ..metadata() };
        join(&Span::none(), &mut traced);
        assert_eq!(traced.traceparent.as_deref(), Some(GOOD));
    }
}
