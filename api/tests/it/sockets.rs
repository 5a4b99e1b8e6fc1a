//! WebSockets beyond what the npm client shows: tokens, origins, limits, slow clients, many followers.

use crate::support::Api;
use api::{ApiOptions, ApiToken};
use domain::{Actor, Outcome};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Socket(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Socket {
    async fn open(api: &Api, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{}/graphql/ws", api.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn ready(api: &Api) -> Self {
        let mut socket = Self::open(api, &[]).await.unwrap();
        socket.say(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.hear().await.unwrap()["type"], "connection_ack");
        socket
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
    }

    /// The next message that is no ping; the close's code and reason where it is closed.
    async fn hear(&mut self) -> Result<Value, (u16, String)> {
        let hear = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let message: Value = serde_json::from_str(&text).unwrap();
                        if message["type"] != "ping" {
                            return Ok(message);
                        }
                    }
                    Some(Ok(Message::Close(Some(frame)))) => return Err((frame.code.into(), frame.reason.to_string())),
                    Some(Ok(_)) => {}
                    other => return Err((0, format!("{other:?}"))),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), hear).await.expect("a message within 20 s")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_strangers_are_refused() {
    let token = ApiToken::new("a-long-enough-secret", Actor::new("ada").unwrap());
    let options = ApiOptions { tokens: vec![token], stream_connections: 1, ..ApiOptions::default() };
    let api = Api::with(options).await;
    assert_eq!(Socket::open(&api, &[("origin", "https://evil.example")]).await.err(), Some(403));
    let mut socket = Socket::open(&api, &[]).await.unwrap();
    assert_eq!(Socket::open(&api, &[]).await.err(), Some(503), "one connection is the limit here");
    socket.say(json!({ "type": "connection_init", "payload": { "authorization": "Bearer wrong" } })).await;
    assert_eq!(socket.hear().await.unwrap_err().0, 4403);
    drop(socket);
    let mut socket =
        crate::support::until("the place is free again", async || Socket::open(&api, &[]).await.ok()).await;
    let payload = json!({ "authorization": "Bearer a-long-enough-secret" });
    socket.say(json!({ "type": "connection_init", "payload": payload })).await;
    assert_eq!(socket.hear().await.unwrap()["type"], "connection_ack");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_socket_is_closed_and_a_dead_one_too() {
    let options = ApiOptions {
        init_timeout: Duration::from_millis(200),
        keep_alive: Duration::from_millis(200),
        ..ApiOptions::default()
    };
    let api = Api::with(options).await;
    let mut silent = Socket::open(&api, &[]).await.unwrap();
    assert_eq!(silent.hear().await.unwrap_err(), (4408, "Connection initialisation timeout".to_owned()));
    // It reads pings and never answers them: a client must.
    let mut deaf = Socket::ready(&api).await;
    assert_eq!(deaf.hear().await.unwrap_err().0, 4499);
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_of_a_socket_are_bounded_and_ids_come_free() {
    let api = Api::with(ApiOptions { operations_per_socket: 2, ..ApiOptions::default() }).await;
    let mut socket = Socket::ready(&api).await;
    let endless = "subscription { events { position } }";
    socket.subscribe("a", endless).await;
    socket.subscribe("b", endless).await;
    socket.subscribe("c", endless).await;
    let refused = socket.hear().await.unwrap();
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("c")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "OVERLOADED");
    for _ in 0..50 {
        socket.say(json!({ "type": "complete", "id": "a" })).await;
        socket.subscribe("a", endless).await;
    }
    socket.say(json!({ "type": "complete", "id": "a" })).await;
    socket.subscribe("a", "{ __typename }").await;
    let answer = socket.hear().await.unwrap();
    assert_eq!((&answer["type"], &answer["payload"]["data"]["__typename"]), (&json!("next"), &json!("Query")));
    assert_eq!(socket.hear().await.unwrap(), json!({ "type": "complete", "id": "a" }));
    api.go_away();
    let (code, reason) = socket.hear().await.unwrap_err();
    assert_eq!((code, reason.contains("subscribe again")), (1001, true), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_cut_off_and_told_where_to_resume() {
    let options = ApiOptions { slow_client: Duration::from_millis(500), ..ApiOptions::default() };
    let api = Api::with(options).await;
    let deployment = api.deployment("records").await;
    let mut socket = Socket::ready(&api).await;
    // Long answers: what the sockets' buffers hold is soon full.
    let many = (0..40).map(|n| format!("d{n}: data")).collect::<Vec<_>>().join(" ");
    socket.subscribe("1", &format!("subscription {{ events(after: 0) {{ position {many} }} }}")).await;
    let run = api.run(deployment, 2_000).await;
    for round in 0..40 {
        let results = (round * 50..(round + 1) * 50).map(|n| domain::testing::check_result(n, Outcome::Critical));
        let command = domain::diagnostic_run::RunCommand::RecordResults { results: results.collect() };
        api.send::<domain::diagnostic_run::DiagnosticRun>(run.0, command).await;
    }
    crate::support::until("the client is cut off", async || {
        let text = api.http.get(api.url("/metrics")).send().await.unwrap().text().await.unwrap();
        text.contains("cmdiag_slow_clients_total{transport=\"websocket\"} 1").then_some(())
    })
    .await;
    // It wakes up: what was on its way arrives in order, then maybe the reason.
    let mut last = 0;
    let ended = loop {
        match socket.hear().await {
            Ok(message) => {
                let position = message["payload"]["data"]["events"]["position"].as_i64().unwrap();
                assert_eq!(position, last + 1);
                last = position;
            }
            Err(ended) => break ended,
        }
    };
    assert!(last > 0 && last < api.head().await.0, "cut off at {last}");
    if ended.0 != 0 {
        assert_eq!(ended.0, 4008);
        let resume: i64 = ended.1.split(|c: char| !c.is_ascii_digit()).find_map(|n| n.parse().ok()).unwrap();
        assert!(resume <= last, "nothing is lost by resuming after {resume}: {last} was seen");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_followers_of_their_own_runs_each_hear_their_own() {
    const FOLLOWERS: usize = 300;
    let api = Api::with(ApiOptions { operations_per_socket: FOLLOWERS, ..ApiOptions::default() }).await;
    let deployment = api.deployment("records").await;
    let mut runs = Vec::new();
    for _ in 0..FOLLOWERS {
        runs.push(api.run(deployment, 1).await);
    }
    let mut socket = Socket::ready(&api).await;
    for run in &runs {
        let query = format!("subscription {{ scanProgress(runId: \"{run}\") {{ done ended runId }} }}");
        socket.subscribe(&run.to_string(), &query).await;
    }
    for _ in 0..FOLLOWERS {
        assert_eq!(socket.hear().await.unwrap()["payload"]["data"]["scanProgress"]["done"], 0);
    }
    for run in runs.iter().step_by(3) {
        api.result(*run, 0, Outcome::Ok).await;
    }
    let mut completed = 0;
    while completed < FOLLOWERS / 3 {
        let message = socket.hear().await.unwrap();
        completed += usize::from(message["type"] == "complete");
        let at = runs.iter().position(|run| run.to_string() == message["id"]).unwrap();
        assert_eq!(at % 3, 0, "only those hear whose runs went on: {message:#}");
    }
}
