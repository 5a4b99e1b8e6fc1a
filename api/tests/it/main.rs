//! The API against a real database, through real sockets.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod answers;
mod as_of;
mod clients;
mod documents;
mod erasure;
mod explanations;
mod http;
mod mutations;
mod outage;
mod policies;
mod projections;
mod queries;
mod remediation_life;
mod remediations;
mod remediations_followed;
mod schema_file;
mod sockets;
mod subscriptions;
mod support;
