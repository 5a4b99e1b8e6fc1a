//! `/graphql/stream`: server-sent events by the protocol of `graphql-sse`, one connection an operation.
//!
//! An event of `events()` carries its position as the SSE id, so that a browser's `EventSource` resumes by itself.

use super::accept::names;
use super::observe::Traceparent;
use super::params::{Malformed, Params, caller};
use crate::metrics::{Counted, StreamLabels};
use crate::problem::Problem;
use crate::schema::codes;
use crate::schema::documents::AllowedOperations;
use crate::state::ApiState;
use crate::stream::{CutOff, LastEventId, ResumeAt};
use async_graphql::Response as GraphqlResponse;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::Position;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const TRANSPORT: &str = "sse";
/// Messages that wait for the client to take them.
const WAITING_MAX: usize = 16;

/// Queries and subscriptions by GET, as `EventSource` sends them.
pub async fn get(
    State(state): State<ApiState>,
    Extension(Traceparent(traceparent)): Extension<Traceparent>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    open(&state, &headers, traceparent, AllowedOperations::STREAM_READ, Params::from_uri(&uri))
}

/// Any operation by POST.
pub async fn post(
    State(state): State<ApiState>,
    Extension(Traceparent(traceparent)): Extension<Traceparent>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let params = Params::from_body(&headers, body, state.options.limits.body_bytes);
    match tokio::time::timeout(state.options.request_timeout, params).await {
        Ok(params) => open(&state, &headers, traceparent, AllowedOperations::ALL, params),
        Err(_) => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, codes::TIMEOUT, "Too slow", "the body did not arrive in time")
                .into_response()
        }
    }
}

fn open(
    state: &ApiState,
    headers: &HeaderMap,
    traceparent: Option<String>,
    allowed: AllowedOperations,
    params: Result<Params, Malformed>,
) -> Response {
    if headers.contains_key(header::ACCEPT) && !names(headers, "text/event-stream") && !names(headers, "*/*") {
        let detail = "text/event-stream is served";
        return Problem::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", "Not acceptable", detail).into_response();
    }
    let caller = match caller(state, headers, traceparent) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let params = match params {
        Ok(params) => params,
        Err(Malformed { status, error }) => {
            let body = serde_json::json!({ "errors": [error] });
            return (status, axum::Json(body)).into_response();
        }
    };
    let Ok(permit) = Arc::clone(&state.stream_connections).try_acquire_owned() else {
        state.metrics.shed.inc();
        return Problem::overloaded("too many streams are open", state.options.retry_after).into_response();
    };
    let prepared = params.into_request(&state.queries, caller, allowed);
    let request = match last_event_id(headers) {
        Some(position) => prepared.request.data(LastEventId(position)),
        None => prepared.request,
    };
    let operation = state.schema.execute_stream(request);
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let connection = Counted::of(&state.metrics.connections, TRANSPORT);
    let pump = Pump { state: state.clone(), resume: prepared.resume, sender };
    state.tasks.spawn(pump.run(operation));
    // The permit lives as long as the answer's body.
    let events = ReceiverStream::new(receiver).map(move |event| {
        let _ = (&permit, &connection);
        event
    });
    stream_response(events, state)
}

fn stream_response(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
    state: &ApiState,
) -> Response {
    let keep_alive = KeepAlive::new().interval(state.options.keep_alive);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // A proxy that gathers the answer would make the stream useless.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn last_event_id(headers: &HeaderMap) -> Option<Position> {
    let text = headers.get("last-event-id")?.to_str().ok()?;
    text.parse().ok().filter(|position| *position >= 0).map(Position)
}

/// Carries an operation's answers to a connection, and gives up on one that does not take them.
struct Pump {
    state: ApiState,
    resume: Arc<ResumeAt>,
    sender: mpsc::Sender<Result<Event, Infallible>>,
}

impl Pump {
    async fn run(self, mut operation: BoxStream<'static, GraphqlResponse>) {
        let _counted = Counted::of(&self.state.metrics.subscriptions, TRANSPORT);
        let mut sent = None;
        let cut = loop {
            let response = tokio::select! {
                // A server that stops says so before anything that fails on account of that.
                biased;
                () = self.state.cancel.cancelled() => break Some(CutOff::GoingAway),
                () = self.sender.closed() => return,
                response = operation.next() => response,
            };
            let Some(response) = response else { break None };
            let reached = self.resume.get();
            if !self.send(self.next(&response, reached).await).await {
                self.state.metrics.slow_clients.get_or_create(&StreamLabels { transport: TRANSPORT }).inc();
                break Some(CutOff::Slow);
            }
            sent = reached;
        };
        if let Some(cut) = cut {
            // Waits once more: a client that was only slow learns where to resume.
            let _ = self.send(self.next(&cut.response(sent), None).await).await;
        }
        let _ = self.send(Event::default().event("complete").data("")).await;
    }

    async fn next(&self, response: &GraphqlResponse, position: Option<Position>) -> Event {
        let data = serde_json::to_string(response).unwrap_or_default();
        let event = Event::default().event("next").data(self.state.opened_text(data).await);
        match position {
            Some(position) => event.id(position.to_string()),
            None => event,
        }
    }

    /// False where the client did not take it in time.
    async fn send(&self, event: Event) -> bool {
        self.sender.send_timeout(Ok(event), self.state.options.slow_client).await.is_ok()
    }
}
