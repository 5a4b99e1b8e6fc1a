//! Every request's way in, on any transport: the persisted document or the checked text, which kind of operation may
//! come here, and codes on the library's own errors.

use super::codes::{
    self, BAD_REQUEST, GRAPHQL_PARSE_FAILED, OPERATION_NOT_ALLOWED, PERSISTED_QUERY_MISMATCH,
    PERSISTED_QUERY_NOT_FOUND, assign, code_of, coded_server_error,
};
use super::guard::{check_document, check_text};
use super::kept::may_be_kept;
use crate::metrics::{Metrics, OperationLabels};
use crate::options::{ApiOptions, DocumentLimits};
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextPrepareRequest, NextRequest, NextSubscribe,
};
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationType};
use async_graphql::{Request, Response, ServerError, ServerResult, from_value};
use futures::StreamExt;
use futures::stream::BoxStream;
use moka::sync::Cache;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::any::TypeId;
use std::sync::{Arc, OnceLock};

/// Longer texts are remembered only where the client asked for it by their hash.
const REMEMBERED_BYTES_MAX: usize = 4 * 1024;

/// Which kinds of operation a transport takes; handed in with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedOperations {
    /// Whether it takes queries.
    pub query: bool,
    /// Whether it takes mutations.
    pub mutation: bool,
    /// Whether it takes subscriptions.
    pub subscription: bool,
}

impl AllowedOperations {
    /// Queries only: what a GET may do.
    pub const READ: Self = Self { query: true, mutation: false, subscription: false };
    /// Queries and mutations: one answer each.
    pub const ONE_ANSWER: Self = Self { query: true, mutation: true, subscription: false };
    /// Queries and subscriptions.
    pub const STREAM_READ: Self = Self { query: true, mutation: false, subscription: true };
    /// All.
    pub const ALL: Self = Self { query: true, mutation: true, subscription: true };

    const fn allows(self, kind: OperationType) -> bool {
        match kind {
            OperationType::Query => self.query,
            OperationType::Mutation => self.mutation,
            OperationType::Subscription => self.subscription,
        }
    }
}

/// The documents that were parsed and found within the limits lately, by the SHA-256 of their text.
pub struct Documents {
    known: Cache<String, Arc<Document>>,
    limits: DocumentLimits,
}

/// A document that is within the limits.
pub struct Document {
    parsed: ExecutableDocument,
    /// Whether its answers may be kept.
    pub may_be_kept: bool,
}

impl Documents {
    /// With an empty memory of documents.
    pub fn new(options: &ApiOptions) -> Self {
        let known = Cache::new(options.persisted_documents.max(1) as u64);
        Self { known, limits: options.limits }
    }

    /// The document of a text, or the one that was claimed by its hash; from memory where it was seen before.
    fn find(&self, text: &str, claimed: Option<&str>) -> ServerResult<Arc<Document>> {
        if text.trim().is_empty() {
            let Some(hash) = claimed else { return Err(coded_server_error(BAD_REQUEST, "there is no query")) };
            let known = self.known.get(hash);
            // The message is the protocol's own: clients look for it.
            return known.ok_or_else(|| coded_server_error(PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound"));
        }
        let hash = hex::encode(Sha256::digest(text.as_bytes()));
        if claimed.is_some_and(|claimed| *claimed != hash) {
            return Err(coded_server_error(PERSISTED_QUERY_MISMATCH, "the hash is not that of the query"));
        }
        if let Some(document) = self.known.get(&hash) {
            return Ok(document);
        }
        let parsed = checked(text, &self.limits)?;
        let document = Arc::new(Document { may_be_kept: may_be_kept(&parsed), parsed });
        if claimed.is_some() || text.len() <= REMEMBERED_BYTES_MAX {
            self.known.insert(hash, Arc::clone(&document));
        }
        Ok(document)
    }

    /// Whether the answers of a request may be kept. Not where anything is wrong with it: running it tells what.
    pub fn may_be_kept(&self, text: &str, claim: Option<&serde_json::Value>) -> bool {
        // A long text without a claim is not remembered, and would be parsed twice.
        if claim.is_none() && text.len() > REMEMBERED_BYTES_MAX {
            return false;
        }
        let claimed = claim.map(|claim| PersistedQuery::deserialize(claim).map(|claim| claim.sha256_hash));
        match claimed.transpose() {
            Ok(claimed) => self.find(text, claimed.as_deref()).is_ok_and(|document| document.may_be_kept),
            Err(_) => false,
        }
    }
}

/// Makes one [`DocumentGate`] a request.
pub struct DocumentGates {
    documents: Arc<Documents>,
    metrics: Arc<Metrics>,
}

impl DocumentGates {
    /// Over this memory of documents.
    pub fn new(documents: Arc<Documents>, metrics: Arc<Metrics>) -> Self {
        Self { documents, metrics }
    }
}

impl ExtensionFactory for DocumentGates {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(DocumentGate {
            documents: Arc::clone(&self.documents),
            metrics: Arc::clone(&self.metrics),
            kind: Arc::default(),
        })
    }
}

struct DocumentGate {
    documents: Arc<Documents>,
    metrics: Arc<Metrics>,
    kind: Arc<OnceLock<OperationType>>,
}

#[derive(Deserialize)]
struct PersistedQuery {
    version: i32,
    #[serde(rename = "sha256Hash")]
    sha256_hash: String,
}

impl DocumentGate {
    /// The document, from memory where it was seen before.
    fn document(&self, request: &mut Request) -> ServerResult<Arc<Document>> {
        let claimed = request.extensions.remove("persistedQuery").map(claimed_hash).transpose()?;
        self.documents.find(&request.query, claimed.as_deref())
    }
}

/// Counts an operation by its kind and by how its first answer ended.
fn count(metrics: &Metrics, kind: &OnceLock<OperationType>, response: &Response) {
    let kind = kind.get().map_or("none", |kind| match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    });
    let outcome = response.errors.first().map_or("ok", |error| codes::label(code_of(error)));
    metrics.graphql_operations.get_or_create(&OperationLabels { kind, outcome }).inc();
}

fn claimed_hash(value: async_graphql::Value) -> ServerResult<String> {
    let claim: PersistedQuery = from_value(value)
        .map_err(|_| coded_server_error(BAD_REQUEST, "persistedQuery is not {version, sha256Hash}"))?;
    if claim.version != 1 {
        return Err(coded_server_error(BAD_REQUEST, "persistedQuery is not of version 1"));
    }
    Ok(claim.sha256_hash)
}

/// Parses a text that is within the limits.
fn checked(text: &str, limits: &DocumentLimits) -> ServerResult<ExecutableDocument> {
    check_text(text, limits)?;
    let document = parse_query(text).map_err(|error| {
        let mut error = ServerError::from(error);
        error.extensions.get_or_insert_default().set("code", GRAPHQL_PARSE_FAILED);
        error
    })?;
    check_document(&document, limits)?;
    Ok(document)
}

/// The kind of the operation that will run; none where the name fits none (which the library reports).
fn kind_of(document: &ExecutableDocument, name: Option<&str>) -> Option<OperationType> {
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), _) => Some(operation.node.ty),
        (DocumentOperations::Multiple(all), Some(name)) => all.get(name).map(|operation| operation.node.ty),
        (DocumentOperations::Multiple(_), None) => None,
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for DocumentGate {
    async fn request(&self, ctx: &ExtensionContext<'_>, next: NextRequest<'_>) -> Response {
        let mut response = next.run(ctx).await;
        assign(&mut response);
        count(&self.metrics, &self.kind, &response);
        response
    }

    fn subscribe<'s>(
        &self,
        ctx: &ExtensionContext<'_>,
        stream: BoxStream<'s, Response>,
        next: NextSubscribe<'_>,
    ) -> BoxStream<'s, Response> {
        let (metrics, kind, mut counted) = (Arc::clone(&self.metrics), Arc::clone(&self.kind), false);
        let coded = stream.map(move |mut response| {
            assign(&mut response);
            if !std::mem::replace(&mut counted, true) {
                count(&metrics, &kind, &response);
            }
            response
        });
        next.run(ctx, Box::pin(coded))
    }

    async fn prepare_request(
        &self,
        ctx: &ExtensionContext<'_>,
        mut request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        let document = self.document(&mut request)?;
        if let Some(kind) = kind_of(&document.parsed, request.operation_name.as_deref()) {
            let _ = self.kind.set(kind);
            let allowed = request.data.get(&TypeId::of::<AllowedOperations>()).and_then(|data| data.downcast_ref());
            if !allowed.copied().unwrap_or(AllowedOperations::ALL).allows(kind) {
                let message = format!("a {kind} is not served here: {}", where_served(kind));
                return Err(coded_server_error(OPERATION_NOT_ALLOWED, message));
            }
        }
        request.set_parsed_query(document.parsed.clone());
        next.run(ctx, request).await
    }
}

const fn where_served(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "ask /graphql",
        OperationType::Mutation => "send it to /graphql by POST",
        OperationType::Subscription => "subscribe at /graphql/ws or /graphql/stream",
    }
}
