//! W3C trace context of commands that come without one.

use domain::Metadata;

/// Gives the metadata a trace context where it has none: the trace is the correlation id, so that all that one request
/// caused is found under one trace, and the span is the command's. Not sampled: no tracer has recorded it.
pub(crate) fn ensure_traceparent(metadata: &mut Metadata) {
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

    #[test]
    fn a_trace_context_is_made_only_where_there_is_none() {
        let mut bare = metadata();
        ensure_traceparent(&mut bare);
        let made = bare.traceparent.clone().unwrap();
        let parts: Vec<&str> = made.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{made}");
        assert_eq!(parts[1], bare.correlation_id.0.simple().to_string());
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut traced = Metadata { traceparent: Some(given.to_owned()), ..metadata() };
        ensure_traceparent(&mut traced);
        assert_eq!(traced.traceparent.as_deref(), Some(given));
    }
}
