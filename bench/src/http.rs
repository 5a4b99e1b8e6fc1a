//! The least HTTP client that does: one kept connection, one request after another. What a load generator spends is
//! taken from the server on the same cores.

use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ANSWER_BOUND: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 16 * 1_024;

/// A POST of JSON, ready to be sent.
pub fn request_bytes(path: &str, body: &str) -> Box<[u8]> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         accept: application/graphql-response+json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(body.as_bytes());
    request.into()
}

/// An answer's status and body.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// One kept connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    body: Range<usize>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8 * 1_024), body: 0..0 })
    }

    /// Posts JSON and waits for the answer, at most half a minute.
    pub async fn post(&mut self, path: &str, body: &str) -> Result<Answer> {
        tokio::time::timeout(ANSWER_BOUND, self.exchange(path, body)).await.context("no answer within 30 s")?
    }

    async fn exchange(&mut self, path: &str, body: &str) -> Result<Answer> {
        let (status, body) = self.sent(&request_bytes(path, body)).await?;
        Ok(Answer { status, body: self.buffer[body].to_vec() })
    }

    /// Sends a request that is ready to be sent ([`request_bytes`]) and waits for the answer, at most half a minute.
    pub async fn ask(&mut self, request: &[u8]) -> Result<u16> {
        self.body = 0..0;
        let (status, body) =
            tokio::time::timeout(ANSWER_BOUND, self.sent(request)).await.context("no answer within 30 s")??;
        self.body = body;
        Ok(status)
    }

    /// The body of the last answer of [`Self::ask`].
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    /// A page of text.
    pub async fn get(&mut self, path: &str) -> Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        let status = self.ask(request.as_bytes()).await?;
        if status != 200 {
            bail!("{path}: {status}");
        }
        Ok(String::from_utf8_lossy(self.body()).into_owned())
    }

    /// The status, and where in the buffer the body is.
    async fn sent(&mut self, request: &[u8]) -> Result<(u16, Range<usize>)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                bail!("the answer's head is too long");
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).to_ascii_lowercase();
        let status = head.split_whitespace().nth(1).and_then(|text| text.parse().ok()).context("a status line")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("an answer with a content-length")?.trim().parse()?;
        while self.buffer.len() < head_end + length {
            self.more().await?;
        }
        Ok((status, head_end..head_end + length))
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }

    /// Sends a GraphQL operation; anything but data without errors is an error.
    pub async fn graphql(&mut self, query: &str, variables: &serde_json::Value) -> Result<serde_json::Value> {
        let body = serde_json::json!({ "query": query, "variables": variables }).to_string();
        let answer = self.post("/graphql", &body).await?;
        let json: serde_json::Value = serde_json::from_slice(&answer.body).context("a JSON answer")?;
        if answer.status != 200 || json.get("errors").is_some() {
            bail!("status {}: {json}", answer.status);
        }
        json.get("data").cloned().context("data")
    }
}
