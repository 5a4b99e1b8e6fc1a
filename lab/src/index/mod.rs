//! The double of the content index: as much of the Elasticsearch wire as checks and remediations of an index need.
//!
//! There is no search engine behind it. It knows which documents it holds, by number, and reads what they say from the
//! dataset. Every response has the header `X-Double: content-manager-lab`, and the cluster is named after it.

mod cluster;
mod documents;
mod indices;
mod state;

pub use state::{ALIAS, IndexEdit, with};

use crate::error::LabError;
use crate::layout::Folders;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use sqlx::PgPool;
use state::ContentIndex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The name of the cluster: whoever looks shall see that it is a double.
const CLUSTER: &str = "content-manager-lab-double";
const BODY_BYTES_MAX: usize = 16 << 20;

/// What the handlers need.
#[derive(Clone)]
pub struct IndexDouble {
    folders: Folders,
    pool: PgPool,
    /// What a request that changes something must bring.
    authorization: Arc<str>,
}

impl IndexDouble {
    /// Over a lab's folder and dataset; `authorization` is the header of whoever may change something.
    pub fn new(folders: Folders, pool: PgPool, authorization: Arc<str>) -> Self {
        Self { folders, pool, authorization }
    }

    /// Takes up what the dataset says to be indexed.
    pub async fn follow(&self) -> Result<(), LabError> {
        self.work(|_| ()).await
    }

    /// Follows the dataset, then does some work.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut ContentIndex) -> T + Send + 'static,
    ) -> Result<T, LabError> {
        let rows: Vec<(i64, bool)> = sqlx::query_as("SELECT uri, reindexstatus = 'OK' FROM tsrecelec")
            .fetch_all(&self.pool)
            .await
            .map_err(LabError::db("ask which documents are indexed"))?;
        let indexed: BTreeSet<i64> = rows.iter().filter(|row| row.1).map(|row| row.0).collect();
        let all: BTreeSet<i64> = rows.iter().map(|row| row.0).collect();
        let folders = self.folders.clone();
        let done = tokio::task::spawn_blocking(move || {
            with(&folders, |state| {
                state.follow(&indexed, &all);
                work(state)
            })
        });
        done.await.map_err(|error| LabError::Options(format!("the content index double failed: {error}")))?
    }

    /// The answer of a piece of work.
    async fn answer(&self, work: impl FnOnce(&mut ContentIndex) -> Answer + Send + 'static) -> Answer {
        match self.work(work).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(error = crate::with_causes(&error), "the content index double could not answer");
                Err(Refusal(503, "cluster_block_exception", "the double's dataset is not available".to_owned()))
            }
        }
    }
}

/// What a handler gives.
type Answer = Result<Value, Refusal>;

/// A refusal as the wire has it: status, type, reason.
#[derive(Debug)]
struct Refusal(u16, &'static str, String);

fn no_such(index: &str) -> Refusal {
    Refusal(404, "index_not_found_exception", format!("no such index [{index}]"))
}

fn reply(answer: Answer) -> Response {
    match answer {
        Ok(value) => Json(value).into_response(),
        Err(Refusal(status, kind, reason)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let error = json!({ "type": kind, "reason": reason, "root_cause": [{ "type": kind, "reason": reason }] });
            (status, Json(json!({ "error": error, "status": status.as_u16(), "double": true }))).into_response()
        }
    }
}

/// All routes.
pub fn router(double: IndexDouble) -> Router {
    Router::new()
        .route("/", get(cluster::root))
        .route("/_cluster/health", get(cluster::health))
        .route("/_cluster/health/{index}", get(cluster::health_of))
        .route("/_cluster/reroute", post(cluster::reroute))
        .route("/_cluster/allocation/explain", get(cluster::explain).post(cluster::explain))
        .route("/_cat/allocation", get(cluster::allocation))
        .route("/_aliases", get(indices::aliases).post(indices::swap))
        .route("/_alias/{name}", get(indices::alias))
        .route("/_reindex", post(documents::reindex))
        .route("/_bulk", post(documents::bulk))
        .route("/{index}", get(indices::get).put(indices::create).delete(indices::delete))
        .route("/{index}/_settings", get(indices::settings).put(indices::set))
        .route("/{index}/_mapping", get(indices::mapping))
        .route("/{index}/_count", get(documents::count).post(documents::count))
        .route("/{index}/_search", get(documents::search).post(documents::search))
        .route("/{index}/_bulk", post(documents::bulk_of))
        .route("/{index}/_refresh", post(documents::refresh))
        .fallback(|| async {
            reply(Err(Refusal(400, "illegal_argument_exception", "this double has no such route".to_owned())))
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(double.clone(), guard))
        .with_state(double)
}

/// Reading is for everybody; what changes something is not. Every response says that it is a double's.
async fn guard(State(double): State<IndexDouble>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD)
        || ["/_count", "/_search", "/_cluster/allocation/explain"].iter().any(|end| path.ends_with(end));
    let brought = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let mut response = if reads || brought == Some(&*double.authorization) {
        next.run(request).await
    } else {
        reply(Err(Refusal(401, "security_exception", "this action needs a user of the double's".to_owned())))
    };
    response.headers_mut().insert("x-double", HeaderValue::from_static("content-manager-lab"));
    response
}
