//! The platform's door: GraphQL over HTTP, WebSocket and server-sent events, health, readiness and metrics.
//!
//! Nothing is decided and nothing is queried here by hand: a query is a call of query-side, a mutation a command
//! through the bus, a subscription a view of the live feed. What the API adds is the contract with clients: types,
//! limits, error codes, positions for reading one's own writes, and streams that can be resumed.
//!
//! Read in this order: [`options`], [`state`], [`schema`], [`http`] (the transports), [`topics`] (the dispatcher of
//! subscriptions), [`health`], [`metrics`].

mod answers;
pub mod auth;
pub mod catalogue;
pub mod health;
pub mod http;
pub mod metrics;
mod opening;
pub mod options;
pub mod problem;
pub mod schema;
pub mod state;
mod stream;
mod topics;
pub mod what_if;

pub use http::router;
pub use options::{ApiOptions, ApiToken, DocumentLimits};
pub use state::{ApiParts, ApiState};
