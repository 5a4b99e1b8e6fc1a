//! The vault against a real database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod forgetting;
mod sealing;
mod support;
mod table;
