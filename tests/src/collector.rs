//! A double of an OpenTelemetry collector: takes traces by OTLP over HTTP and keeps them.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode as SpanStatus};
use prost::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const BODY: &str = "application/x-protobuf";

/// A span as it was taken.
#[derive(Debug, Clone)]
pub struct TakenSpan {
    /// The trace's id, in hexadecimal digits.
    pub trace: String,
    /// Its own.
    pub id: String,
    /// Its parent's; empty at a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// Whether it says that it failed.
    pub failed: bool,
    /// Its attributes, as texts.
    pub attributes: BTreeMap<String, String>,
    /// All texts in it, its events' included.
    pub texts: Vec<String>,
    /// The attributes of the service that it comes from.
    pub service: BTreeMap<String, String>,
}

/// A listening collector; gone when dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<TakenSpan>>>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let taken = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&taken));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("the collector serves") });
        Self { address, taken, task }
    }

    /// What `CMDIAG_OTLP_ENDPOINT` is to say.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<TakenSpan> {
        self.taken.lock().expect("no taker panics").clone()
    }

    /// Waits, at most half a minute, until the spans are as wanted; gives them.
    pub async fn spans_when(&self, wanted: impl Fn(&[TakenSpan]) -> bool) -> Vec<TakenSpan> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let spans = self.spans();
            if wanted(&spans) {
                return spans;
            }
            let names = || spans.iter().map(|span| format!("{} {}", span.trace, span.name)).collect::<Vec<_>>();
            assert!(Instant::now() < deadline, "the wanted spans never came; there are {:#?}", names());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(taken): State<Arc<Mutex<Vec<TakenSpan>>>>, headers: HeaderMap, body: Bytes) -> Response {
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != BODY) {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut taken = taken.lock().expect("no taker panics");
    for resource in request.resource_spans {
        let service = resource.resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default();
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        taken.extend(spans.map(|span| taken_span(span, &service)));
    }
    ([(header::CONTENT_TYPE, BODY)], ExportTraceServiceResponse::default().encode_to_vec()).into_response()
}

fn taken_span(span: Span, service: &BTreeMap<String, String>) -> TakenSpan {
    let kind = span.kind();
    let all = span.attributes.iter().chain(span.events.iter().flat_map(|event| &event.attributes));
    let mut texts: Vec<String> = all.map(|pair| text(pair.value.as_ref())).collect();
    texts.extend(span.events.iter().map(|event| event.name.clone()));
    texts.extend(span.status.iter().map(|status| status.message.clone()));
    TakenSpan {
        trace: digits(&span.trace_id),
        id: digits(&span.span_id),
        parent: digits(&span.parent_span_id),
        kind,
        failed: span.status.as_ref().is_some_and(|status| status.code() == SpanStatus::Error),
        attributes: attributes(&span.attributes),
        texts,
        service: service.clone(),
        name: span.name,
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

fn digits(id: &[u8]) -> String {
    id.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
