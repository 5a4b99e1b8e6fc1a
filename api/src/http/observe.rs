//! What wraps every request: its id, its span, its time, and the headers that every answer carries.

use crate::metrics::HttpLabels;
use crate::state::ApiState;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use command_side::trace;
use std::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The trace context that the request's commands carry on.
#[derive(Debug, Clone, Default)]
pub struct Traceparent(pub Option<String>);

/// Wraps one request.
pub async fn observe(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = known_method(request.method());
    let id = request_id(request.headers());
    let incoming = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    // Of what anybody may send, only what is a trace context goes further.
    let incoming = incoming.and_then(trace::parse).map(|context| trace::format(&context));
    let span = tracing::info_span!(
        "http.request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
        request.id = id.to_str().unwrap_or_default(),
    );
    trace::adopt(&span, incoming.as_deref());
    // Where spans are not traced, the request's own context is handed on.
    let carried = trace::of(&span).map(|own| trace::format(&own)).or(incoming);
    request.extensions_mut().insert(Traceparent(carried));
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    dress(response.headers_mut(), id);
    let labels = HttpLabels { route, method, status: response.status().as_u16() };
    state.metrics.observe_http(&labels, started.elapsed());
    response
}

/// The client's own id where it is a plain one, so that both sides' logs meet; else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_CHARS_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let id = Uuid::now_v7().to_string();
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("-"))
    })
}

/// Anything may stand in a request line: only the methods that exist become labels.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn dress(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(REQUEST_ID, id);
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        // A handler that knows better (GraphiQL's page, a stream) has set its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
