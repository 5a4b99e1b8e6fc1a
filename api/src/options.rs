//! What an operator can set about the API; every default is safe on a loopback address.

use domain::Actor;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A bearer token and who speaks with it. Only the token's SHA-256 is kept.
#[derive(Debug, Clone)]
pub struct ApiToken {
    pub(crate) digest: [u8; 32],
    /// Who acts.
    pub actor: Actor,
    /// Whether it also decides about the platform itself.
    pub operator: bool,
}

impl ApiToken {
    /// Remembers a token by its digest.
    pub fn new(secret: &str, actor: Actor) -> Self {
        Self { digest: Sha256::digest(secret.as_bytes()).into(), actor, operator: false }
    }

    /// Lets it decide about the platform itself, or not.
    #[must_use]
    pub const fn operating(mut self, operator: bool) -> Self {
        self.operator = operator;
        self
    }
}

/// The bounds of one GraphQL document. They are checked before the document is parsed or executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Lexical tokens.
    pub tokens: usize,
    /// Brackets within brackets, in the text.
    pub nesting: usize,
    /// Fields within fields, fragments expanded.
    pub depth: usize,
    /// Fields in all, fragments expanded.
    pub fields: usize,
    /// Aliases in all, fragments expanded.
    pub aliases: usize,
    /// Fields of the root, fragments expanded.
    pub root_fields: usize,
    /// Directives in all, fragments expanded.
    pub directives: usize,
    /// The sum of the fields' costs: a list's is that of its items times their number.
    pub complexity: usize,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            body_bytes: 64 * 1024,
            tokens: 2_000,
            nesting: 32,
            depth: 15,
            fields: 600,
            aliases: 50,
            root_fields: 20,
            directives: 50,
            complexity: 20_000,
        }
    }
}

/// How the API behaves.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Who may speak. None: whoever reaches the socket is the local operator (bind it to a loopback address).
    pub tokens: Vec<ApiToken>,
    /// Values of `Host` that are answered; empty: all. Closes the door that DNS rebinding opens to a loopback address.
    pub allowed_hosts: Vec<String>,
    /// Values of `Origin` that are answered beside the server's own.
    pub allowed_origins: Vec<String>,
    /// Whether the schema may be asked for.
    pub introspection: bool,
    /// Whether a browser is shown GraphiQL (its page loads scripts from a public host: for development).
    pub graphiql: bool,
    /// Bounds of a document.
    pub limits: DocumentLimits,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long `atLeast` waits for the views.
    pub at_least_timeout: Duration,
    /// Requests in work at the same time; more wait for their turn. Kept answers need none of these places.
    pub concurrency: usize,
    /// How long a request waits for its turn at the most. Where the queue is longer than that, and for 0 in work, it is
    /// turned away with 503.
    pub queue_wait: Duration,
    /// Bodies that may be arriving at the same time; more wait, for as long.
    pub arriving_bodies: usize,
    /// Open WebSocket and event-stream connections; more are turned away with 503.
    pub stream_connections: usize,
    /// Operations under way on one WebSocket.
    pub operations_per_socket: usize,
    /// How long a WebSocket may stay silent before its `connection_init`.
    pub init_timeout: Duration,
    /// How often an open stream is pinged; a WebSocket that answers none of two is closed.
    pub keep_alive: Duration,
    /// How long one message may wait for a client to take it.
    pub slow_client: Duration,
    /// Documents remembered by their hash.
    pub persisted_documents: usize,
    /// What `Retry-After` says.
    pub retry_after: Duration,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            introspection: true,
            graphiql: false,
            limits: DocumentLimits::default(),
            request_timeout: Duration::from_secs(15),
            at_least_timeout: Duration::from_secs(3),
            concurrency: 256,
            queue_wait: Duration::from_millis(100),
            arriving_bodies: 1_024,
            stream_connections: 10_000,
            operations_per_socket: 100,
            init_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            slow_client: Duration::from_secs(15),
            persisted_documents: 256,
            retry_after: Duration::from_secs(2),
        }
    }
}
