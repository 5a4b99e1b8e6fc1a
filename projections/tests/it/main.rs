//! The projections against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failures;
mod once;
mod several;
mod support;
