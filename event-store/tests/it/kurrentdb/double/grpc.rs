//! gRPC by hand, as much as the double needs: messages in frames, a status in the trailers.

use super::KurrentDouble;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use prost::Message;
use std::convert::Infallible;

/// A refusal: a status code, what it says, and further headers.
#[derive(Debug, Clone)]
pub struct Status {
    pub code: u16,
    pub message: String,
    pub headers: Vec<(&'static str, String)>,
}

pub const INVALID_ARGUMENT: u16 = 3;
pub const UNIMPLEMENTED: u16 = 12;
pub const UNAVAILABLE: u16 = 14;

impl Status {
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), headers: Vec::new() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer: messages, already in frames.
pub type Answer = Result<Bytes, Status>;

/// A call: its path, headers and messages.
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    body: Bytes,
}

impl Call {
    pub async fn read(request: Request<Incoming>) -> Result<Self, Status> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| Status::new(UNAVAILABLE, error.to_string()))?;
        Ok(Self { path: parts.uri.path().to_owned(), headers: parts.headers, body: body.to_bytes() })
    }

    /// Whether its first message names a stream that begins so, or a filter.
    pub fn mentions(&self, text: &str) -> bool {
        let length = self.body.get(1..5).map_or(0, |mut bytes| bytes.get_u32() as usize);
        let first = self.body.get(5..5 + length).unwrap_or_default();
        text.is_empty() || first.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// The messages of the call.
    pub fn messages<M: Message + Default>(&self) -> Result<Vec<M>, Status> {
        let broken = |what: String| Status::new(INVALID_ARGUMENT, what);
        let mut rest = self.body.clone();
        let mut messages = Vec::new();
        while rest.has_remaining() {
            if rest.len() < 5 || rest.get_u8() != 0 {
                return Err(broken("no frame, or a compressed one".to_owned()));
            }
            let length = rest.get_u32() as usize;
            if rest.len() < length {
                return Err(broken("a frame was cut".to_owned()));
            }
            messages.push(M::decode(rest.split_to(length)).map_err(|error| broken(error.to_string()))?);
        }
        Ok(messages)
    }
}

/// Messages in frames.
pub fn frames<M: Message>(messages: impl IntoIterator<Item = M>) -> Bytes {
    let mut all = BytesMut::new();
    for message in messages {
        all.put_u8(0);
        all.put_u32(message.encoded_len() as u32);
        message.encode(&mut all).unwrap();
    }
    all.freeze()
}

/// The answer as HTTP. Its headers go out at once.
pub fn response(answer: impl Future<Output = Answer> + Send + 'static) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let frames = futures::stream::once(answer).flat_map(|answer| futures::stream::iter(in_frames(answer)));
    Response::builder()
        .header("content-type", "application/grpc")
        .header("x-served-by", KurrentDouble::NAME)
        .body(StreamBody::new(frames).boxed_unsync())
        .unwrap()
}

fn in_frames(answer: Answer) -> [Result<Frame<Bytes>, Infallible>; 2] {
    let (body, status) = match answer {
        Ok(body) => (body, Status::new(0, "")),
        Err(status) => (Bytes::new(), status),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(status.code));
    let text = |text: &str| HeaderValue::from_str(text).unwrap();
    trailers.insert("grpc-message", text(&status.message));
    for (name, value) in &status.headers {
        trailers.insert(HeaderName::from_static(name), text(value));
    }
    [Ok(Frame::data(body)), Ok(Frame::trailers(trailers))]
}
