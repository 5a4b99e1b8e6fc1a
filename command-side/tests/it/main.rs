//! The command bus and the process managers, on the double of the log and on PostgreSQL.

#![expect(clippy::expect_used, reason = "a test stops at what should not be")]

mod bus;
mod bus_postgres;
mod bus_promises;
mod erasure;
mod process_failures;
mod processes;
mod sealing_speed;
mod snapshots;
mod stage;
mod support;
