//! The API against a real database, through real sockets.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod answers;
mod clients;
mod documents;
mod http;
mod mutations;
mod outage;
mod queries;
mod schema_file;
mod sockets;
mod subscriptions;
mod support;
