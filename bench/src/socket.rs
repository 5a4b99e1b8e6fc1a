//! A GraphQL subscription over WebSocket (`graphql-transport-ws`).

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const OPEN_BOUND: Duration = Duration::from_secs(20);

/// One subscription on a connection of its own.
pub struct Subscription(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Subscription {
    /// Connects and subscribes.
    pub async fn open(address: SocketAddr, query: &str, variables: Value) -> Result<Self> {
        tokio::time::timeout(OPEN_BOUND, Self::opened(address, query, variables))
            .await
            .context("a WebSocket in time")?
    }

    async fn opened(address: SocketAddr, query: &str, variables: Value) -> Result<Self> {
        let mut request = format!("ws://{address}/graphql/ws").into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let (socket, _) = tokio_tungstenite::connect_async(request).await.context("open a WebSocket")?;
        let mut one = Self(socket);
        one.send(&json!({ "type": "connection_init" })).await?;
        let acknowledged = one.message().await?.context("an acknowledgement")?;
        if acknowledged["type"] != "connection_ack" {
            bail!("instead of an acknowledgement: {acknowledged}");
        }
        let payload = json!({ "query": query, "variables": variables });
        one.send(&json!({ "id": "1", "type": "subscribe", "payload": payload })).await?;
        Ok(one)
    }

    /// The data of the next message; `None` at the subscription's end.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        while let Some(message) = self.message().await? {
            match message["type"].as_str() {
                Some("next") if message["payload"].get("errors").is_none() => {
                    return Ok(Some(message["payload"]["data"].clone()));
                }
                Some("ping") => self.send(&json!({ "type": "pong" })).await?,
                Some("pong") => {}
                Some("complete") => return Ok(None),
                _ => bail!("an unexpected message: {message}"),
            }
        }
        Ok(None)
    }

    async fn message(&mut self) -> Result<Option<Value>> {
        while let Some(message) = self.0.next().await {
            match message? {
                Message::Text(text) => return Ok(Some(serde_json::from_str(&text)?)),
                Message::Close(frame) => bail!("closed: {frame:?}"),
                _ => {}
            }
        }
        Ok(None)
    }

    async fn send(&mut self, value: &Value) -> Result<()> {
        self.0.send(Message::text(value.to_string())).await.context("send over the WebSocket")
    }
}
