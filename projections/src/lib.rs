//! Projections: the views that queries read, kept up to date from the event log.
//!
//! A [`Runner`] follows the log for one [`Projection`]: it folds a batch of events into set-based upserts and moves the
//! checkpoint in the SAME transaction, so each event takes effect once, whatever is killed when. It asserts that
//! positions are contiguous, and stops at what it can not take (a gap, a poison event) until an operator has decided:
//! nothing is skipped silently. [`replay()`] fills views from position 0, with big batches and everything overlapped.
//!
//! Read in this order: [`projection`], [`views`] (one file per projection: its events, its rows, its SQL, its tests),
//! [`single`], [`rows`] and [`table`] (what they share), [`runner`], [`mod@replay`], [`rebuild`], [`operator`].

pub mod decoded;
pub mod operator;
pub mod past;
pub mod projection;
pub mod rebuild;
pub mod replay;
pub mod rows;
pub mod runner;
pub mod single;
pub mod table;
pub mod testing;
pub mod views;

mod connection;
mod copying;
pub mod decisions;
mod json;

pub use connection::Place;
pub use decoded::{DecodeRing, Decoded};
pub use operator::retry;
pub use past::as_of;
pub use projection::{ApplyError, Pending, Projection, TableRows};
pub use replay::{ReplayError, ReplayOptions, Replayed, replay};
pub use runner::status::{Failure, ProjectionStatus, RunnerState};
pub use runner::{Runner, RunnerHandle, RunnerOptions};
pub use views::all;
