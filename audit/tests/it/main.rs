//! The audit against a real database: sealing, verifying, attacks.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod append_only;
mod attacks;
mod bundles;
mod keys;
mod proofs;
mod publishing;
mod sealing;
mod support;
