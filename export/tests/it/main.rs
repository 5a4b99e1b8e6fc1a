//! Exports against a real PostgreSQL, filled with stories by the deciders themselves, and read back as others would.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod analysts;
mod event_schemas;
mod log;
mod reports;
mod support;
