//! `/graphql/ws`: the `graphql-transport-ws` protocol.
//!
//! Our own, since the stock one closes idle sockets that it never pinged, lets an id be used twice, and bounds neither
//! the operations of a socket nor the time that a message waits for its client.

use super::observe::Traceparent;
use super::params::Params;
use crate::auth::{Caller, actor_of, authorization};
use crate::metrics::{Counted, StreamLabels};
use crate::problem::Problem;
use crate::schema::codes::{OVERLOADED, coded_server_error};
use crate::schema::documents::AllowedOperations;
use crate::state::ApiState;
use crate::stream::{CutOff, ResumeAt};
use async_graphql::{Response as GraphqlResponse, ServerError};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{Actor, Position};
use futures::StreamExt;
use futures::stream::{self, AbortHandle, Abortable, BoxStream, SelectAll};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::{Instant, MissedTickBehavior};

const PROTOCOL: &str = "graphql-transport-ws";
const TRANSPORT: &str = "websocket";
/// The longest operation id; clients use UUIDs.
const ID_BYTES_MAX: usize = 128;

/// Close codes of the protocol, and one of ours (4008).
mod close {
    pub const GOING_AWAY: u16 = 1001;
    pub const SLOW: u16 = 4008;
    pub const BAD_MESSAGE: u16 = 4400;
    pub const UNAUTHORIZED: u16 = 4401;
    pub const FORBIDDEN: u16 = 4403;
    pub const INIT_TIMEOUT: u16 = 4408;
    pub const ID_IN_USE: u16 = 4409;
    pub const TOO_MANY_INITS: u16 = 4429;
    pub const NO_PONG: u16 = 4499;
}

/// Opens a socket.
pub async fn upgrade(
    State(state): State<ApiState>,
    Extension(Traceparent(traceparent)): Extension<Traceparent>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(state.options.limits.body_bytes);
    if upgrade.selected_protocol().is_none() {
        let detail = format!("the sub-protocol {PROTOCOL} is spoken here");
        return Problem::new(StatusCode::BAD_REQUEST, "BAD_SUBPROTOCOL", "Another protocol", detail).into_response();
    }
    let Ok(permit) = Arc::clone(&state.stream_connections).try_acquire_owned() else {
        state.metrics.shed.inc();
        return Problem::overloaded("too many streams are open", state.options.retry_after).into_response();
    };
    let by_header = authorization(&headers).map(str::to_owned);
    upgrade.on_upgrade(move |socket| {
        let tasks = state.tasks.clone();
        tasks.track_future(async move {
            let _counted = Counted::of(&state.metrics.connections, TRANSPORT);
            Connection::new(state, socket, by_header, traceparent).serve().await;
            drop(permit);
        })
    })
}

/// A message as it comes; which members it must have depends on its type.
#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default, borrow)]
    payload: Option<&'a RawValue>,
}

enum ClientMessage<'a> {
    ConnectionInit { payload: Option<&'a RawValue> },
    Ping { payload: Option<&'a RawValue> },
    Pong,
    Subscribe { id: String, payload: &'a RawValue },
    Complete { id: String },
}

impl<'a> ClientMessage<'a> {
    fn parse(text: &'a str) -> Result<Self, Ended> {
        let bad = |what: String| Ended::new(close::BAD_MESSAGE, what);
        let RawMessage { kind, id, payload } =
            serde_json::from_str(text).map_err(|error| bad(format!("not a message: {error}")))?;
        Ok(match (kind.as_str(), id, payload) {
            ("connection_init", _, payload) => Self::ConnectionInit { payload },
            ("ping", _, payload) => Self::Ping { payload },
            ("pong", _, _) => Self::Pong,
            ("subscribe", Some(id), Some(payload)) => Self::Subscribe { id, payload },
            ("complete", Some(id), _) => Self::Complete { id },
            _ => return Err(bad("a message of unknown type, or one without its id or payload".to_owned())),
        })
    }
}

/// Why a connection ends.
struct Ended {
    code: u16,
    reason: String,
}

impl Ended {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// The client is gone, or the connection is to be closed with a reason.
type Flow = Result<(), Option<Ended>>;

struct Operation {
    /// Tells it apart from an earlier one of the same id.
    serial: u64,
    abort: AbortHandle,
    resume: Arc<ResumeAt>,
    /// The position of the last event that was sent.
    sent: Option<Position>,
    _counted: Counted,
}

/// An operation's id and serial number with its next answer, none at its end.
type Answers = BoxStream<'static, (String, u64, Option<GraphqlResponse>)>;

struct Connection {
    state: ApiState,
    socket: WebSocket,
    authorization: Option<String>,
    traceparent: Option<String>,
    actor: Option<Actor>,
    operations: HashMap<String, Operation>,
    answers: SelectAll<Answers>,
    serial: u64,
    heard: Instant,
}

impl Connection {
    fn new(state: ApiState, socket: WebSocket, authorization: Option<String>, traceparent: Option<String>) -> Self {
        Self {
            state,
            socket,
            authorization,
            traceparent,
            actor: None,
            operations: HashMap::new(),
            answers: SelectAll::new(),
            serial: 0,
            heard: Instant::now(),
        }
    }

    async fn serve(mut self) {
        let Err(Some(ended)) = self.until_it_ends().await else { return };
        let frame = CloseFrame { code: ended.code, reason: close_reason(&ended.reason).into() };
        let _ =
            tokio::time::timeout(self.state.options.slow_client, self.socket.send(Message::Close(Some(frame)))).await;
    }

    async fn until_it_ends(&mut self) -> Flow {
        let opened = Instant::now();
        let mut ticks = tokio::time::interval_at(opened + self.state.options.keep_alive, self.state.options.keep_alive);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A server that stops says so before anything that fails on account of that.
                biased;
                () = self.state.cancel.cancelled() => return Err(Some(self.going_away())),
                () = tokio::time::sleep_until(opened + self.state.options.init_timeout), if self.actor.is_none() => {
                    return Err(Some(Ended::new(close::INIT_TIMEOUT, "Connection initialisation timeout")));
                }
                _ = ticks.tick() => self.keep_alive().await?,
                message = self.socket.recv() => self.receive(message).await?,
                Some((id, serial, response)) = self.answers.next(), if !self.answers.is_empty() => {
                    self.answer(id, serial, response).await?;
                }
            }
        }
    }

    async fn keep_alive(&mut self) -> Flow {
        if self.heard.elapsed() > self.state.options.keep_alive * 2 {
            return Err(Some(Ended::new(close::NO_PONG, "pings were not answered")));
        }
        if self.actor.is_some() { self.send(&json!({ "type": "ping" })).await } else { Ok(()) }
    }

    async fn receive(&mut self, message: Option<Result<Message, axum::Error>>) -> Flow {
        self.heard = Instant::now();
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            // The library answers pings itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => return Err(Some(Ended::new(close::BAD_MESSAGE, "messages are text"))),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(None),
        };
        match ClientMessage::parse(text.as_str()).map_err(Some)? {
            ClientMessage::ConnectionInit { payload } => self.init(payload).await,
            ClientMessage::Ping { payload } => self.pong(payload).await,
            ClientMessage::Pong => Ok(()),
            ClientMessage::Subscribe { id, payload } => self.subscribe(id, payload.get()).await,
            ClientMessage::Complete { id } => {
                if let Some(operation) = self.operations.remove(&id) {
                    operation.abort.abort();
                }
                Ok(())
            }
        }
    }

    async fn init(&mut self, payload: Option<&RawValue>) -> Flow {
        if self.actor.is_some() {
            return Err(Some(Ended::new(close::TOO_MANY_INITS, "Too many initialisation requests")));
        }
        // A browser can not set a header here: the token may come in the payload.
        let payload: Option<Value> = payload.and_then(|payload| serde_json::from_str(payload.get()).ok());
        let by_payload = payload.as_ref().and_then(|payload| payload.get("authorization")).and_then(Value::as_str);
        let actor = actor_of(&self.state.options, by_payload.or(self.authorization.as_deref()));
        self.actor = Some(actor.map_err(|error| Some(Ended::new(close::FORBIDDEN, error.to_string())))?);
        self.send(&json!({ "type": "connection_ack" })).await
    }

    async fn pong(&mut self, payload: Option<&RawValue>) -> Flow {
        match payload {
            Some(payload) => self.send(&json!({ "type": "pong", "payload": payload })).await,
            None => self.send(&json!({ "type": "pong" })).await,
        }
    }

    async fn subscribe(&mut self, id: String, payload: &str) -> Flow {
        let Some(actor) = self.actor.clone() else {
            return Err(Some(Ended::new(close::UNAUTHORIZED, "Unauthorized")));
        };
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(Some(Ended::new(close::BAD_MESSAGE, "the id is empty or too long")));
        }
        if self.operations.contains_key(&id) {
            return Err(Some(Ended::new(close::ID_IN_USE, format!("Subscriber for {id} already exists"))));
        }
        let most = self.state.options.operations_per_socket;
        if self.operations.len() >= most {
            let error = coded_server_error(OVERLOADED, format!("a socket carries at most {most} operations"));
            return self.refuse(&id, &[error]).await;
        }
        let params = match Params::from_json(payload.as_bytes()) {
            Ok(params) => params,
            Err(malformed) => return self.refuse(&id, &[malformed.error]).await,
        };
        let caller = Caller { actor, tenant: self.state.tenant.clone(), traceparent: self.traceparent.clone() };
        let prepared = params.into_request(&self.state.queries, caller, AllowedOperations::ALL);
        let (abort, registration) = AbortHandle::new_pair();
        let answers = Abortable::new(self.state.schema.execute_stream(prepared.request), registration);
        self.serial += 1;
        let (name, serial) = (id.clone(), self.serial);
        let ended = stream::once(std::future::ready(None));
        self.answers.push(answers.map(Some).chain(ended).map(move |one| (name.clone(), serial, one)).boxed());
        let counted = Counted::of(&self.state.metrics.subscriptions, TRANSPORT);
        let resume = prepared.resume;
        self.operations.insert(id, Operation { serial, abort, resume, sent: None, _counted: counted });
        Ok(())
    }

    async fn answer(&mut self, id: String, serial: u64, response: Option<GraphqlResponse>) -> Flow {
        // Nothing is said of an operation that the client has completed; its id may be in use again.
        let operation = self.operations.get(&id).filter(|operation| operation.serial == serial);
        let Some(operation) = operation else { return Ok(()) };
        let Some(response) = response else {
            self.operations.remove(&id);
            return self.send(&json!({ "type": "complete", "id": id })).await;
        };
        if response.data == async_graphql::Value::Null && response.errors.iter().all(|error| error.path.is_empty()) {
            self.operations.remove(&id);
            return self.refuse(&id, &response.errors).await;
        }
        let reached = operation.resume.get();
        self.send(&json!({ "type": "next", "id": id, "payload": response })).await?;
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.sent = reached;
        }
        Ok(())
    }

    /// Ends one operation with errors.
    async fn refuse(&mut self, id: &str, errors: &[ServerError]) -> Flow {
        self.send(&json!({ "type": "error", "id": id, "payload": errors })).await
    }

    async fn send(&mut self, message: &Value) -> Flow {
        let message = self.state.opened_text(message.to_string()).await;
        let sent = self.socket.send(Message::text(message));
        match tokio::time::timeout(self.state.options.slow_client, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(None),
            Err(_) => {
                self.state.metrics.slow_clients.get_or_create(&StreamLabels { transport: TRANSPORT }).inc();
                Err(Some(Ended::new(close::SLOW, CutOff::Slow.reason(self.sent()))))
            }
        }
    }

    fn going_away(&self) -> Ended {
        Ended::new(close::GOING_AWAY, CutOff::GoingAway.reason(self.sent()))
    }

    /// Up to where all operations of the socket have been sent their events.
    fn sent(&self) -> Option<Position> {
        self.operations.values().filter_map(|operation| operation.sent).min()
    }
}

/// A close frame holds at most 123 bytes of reason.
fn close_reason(text: &str) -> String {
    let mut cut = text.len().min(123);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    text[..cut].to_owned()
}
