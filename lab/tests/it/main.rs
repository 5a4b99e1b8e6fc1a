//! The lab on real parts: its data, its doubles, its faults.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod data;
mod doubles;
mod faults;
mod operations;
mod shows;
mod support;
