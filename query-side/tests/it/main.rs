//! The queries against a real PostgreSQL, filled by the projections.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod caching;
mod lists;
mod past;
mod support;
mod waiting;
