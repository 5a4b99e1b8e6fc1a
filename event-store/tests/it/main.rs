//! Tests of the event log: the contract that every backend must keep, and what is PostgreSQL's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
#[cfg(feature = "kurrentdb")]
mod kurrentdb;
mod postgres;
mod support;
