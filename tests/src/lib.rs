//! What the whole-system tests share: the real binary, run as a user runs it, on private servers and in folders of its
//! own.

#![expect(clippy::expect_used, reason = "a test's set-up fails by panicking")]

mod collector;
pub mod matrix;
mod program;
mod serving;

pub use collector::{Collector, TakenSpan};
pub use program::{Cmdiag, Finished};
pub use serving::Serving;
