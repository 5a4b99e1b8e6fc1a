//! The peers of the GraphQL benchmark, in a process of their own: a bare axum handler that sends a fixed answer, and
//! async-graphql with resolvers that have all they say at hand.

use anyhow::{Context as _, Result};
use async_graphql::{Context, EmptyMutation, EmptySubscription, ID, Object, Request, Schema, SimpleObject};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::sync::Arc;

type StaticSchema = Schema<Query, EmptyMutation, EmptySubscription>;

#[derive(Clone, SimpleObject)]
struct Tally {
    ok: u32,
    warning: u32,
    critical: u32,
    unknown: u32,
}

#[derive(Clone, SimpleObject)]
struct Finding {
    id: ID,
    check_code: String,
    component: String,
    resource: String,
    status: String,
    severity: String,
    symptom: String,
    cause: String,
    impact: String,
    advice: String,
    occurrences: i32,
    first_seen_at: String,
    last_seen_at: String,
}

#[derive(Clone, SimpleObject)]
struct FindingList {
    nodes: Vec<Finding>,
    has_more: bool,
}

#[derive(Clone)]
struct Run {
    findings: FindingList,
}

#[Object]
impl Run {
    async fn id(&self) -> ID {
        ID("UnVuOjAxOTBiNmEwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMQ==".to_owned())
    }
    async fn status(&self) -> &str {
        "COMPLETED"
    }
    async fn outcome(&self) -> &str {
        "OK"
    }
    async fn planned(&self) -> i32 {
        6
    }
    async fn done(&self) -> i32 {
        6
    }
    async fn tally(&self) -> Tally {
        Tally { ok: 6, warning: 0, critical: 0, unknown: 0 }
    }
    async fn findings(&self, first: i32) -> FindingList {
        let nodes = self.findings.nodes.iter().take(usize::try_from(first).unwrap_or_default());
        FindingList { nodes: nodes.cloned().collect(), has_more: false }
    }
}

struct Query;

#[Object]
impl Query {
    #[expect(clippy::unused_async, reason = "a resolver is async")]
    async fn run(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Run>> {
        let run = ctx.data::<Arc<Run>>()?;
        Ok((!id.is_empty()).then(|| Run::clone(run)))
    }
}

#[derive(Clone)]
struct Peers {
    schema: StaticSchema,
    fixed: Bytes,
}

/// Serves `/bare` and `/graphql` on a free port, prints the address, and ends with its standard input.
pub async fn serve() -> Result<()> {
    let findings = FindingList { nodes: (0..10).map(finding).collect(), has_more: false };
    let run = Arc::new(Run { findings });
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription).data(run).finish();
    let variables = serde_json::json!({ "query": crate::graphql::QUERY, "variables": { "id": "1" } });
    let fixed = executed(&schema, variables.to_string().as_bytes()).await?;
    let router = Router::new()
        .route("/bare", post(bare))
        .route("/graphql", post(graphql))
        .with_state(Peers { schema, fixed: fixed.into() });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("a free port")?;
    println!("{}", listener.local_addr()?);
    let closed = async {
        let waiting = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
        let _ = waiting.await;
    };
    axum::serve(listener, router).with_graceful_shutdown(closed).await.context("serve the peers")
}

async fn bare(State(peers): State<Peers>, _body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], peers.fixed).into_response()
}

async fn graphql(State(peers): State<Peers>, body: Bytes) -> Response {
    match executed(&peers.schema, &body).await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => (axum::http::StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn executed(schema: &StaticSchema, body: &[u8]) -> Result<Vec<u8>> {
    let request: Request = serde_json::from_slice(body).context("a GraphQL request")?;
    let response = schema.execute(request).await;
    anyhow::ensure!(response.errors.is_empty(), "{:?}", response.errors);
    serde_json::to_vec(&response).context("the answer as JSON")
}

fn finding(number: usize) -> Finding {
    Finding {
        id: ID(format!("RmluZGluZzowMTkwYjZhMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMD{number:02}=")),
        check_code: format!("BENCH-{number}"),
        component: "store-1".to_owned(),
        resource: format!("store-1/000/rec_{number:07}.docx"),
        status: "OPEN".to_owned(),
        severity: "WARNING".to_owned(),
        symptom: format!("The file of record {number} is missing from the store"),
        cause: "It was deleted or moved beside Content Manager".to_owned(),
        impact: "The record has no document: users see an error when they open it".to_owned(),
        advice: "Restore the file from the backup of the store, then diagnose again".to_owned(),
        occurrences: 1,
        first_seen_at: "2026-01-05T08:00:00.123456+00:00".to_owned(),
        last_seen_at: "2026-01-05T08:00:00.123456+00:00".to_owned(),
    }
}
