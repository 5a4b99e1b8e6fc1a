//! The projections against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failures;
mod once;
mod past;
mod rebuild;
mod several;
mod support;
mod upcasting;
