//! The past: the same queries, as of a position of the log.
//!
//! Nothing is told twice. A row that no event after the position has changed stands in today's view as it stood then
//! (its
//! `last_position` says so). A row that one has changed is folded anew, in memory, by the projection itself, from its
//! streams up to the position. What was not there yet has no event up to it, and so no row. The query is the present's,
//! to the letter: its statement runs over these rows instead of over the tables, with the moment in the place of now.
//!
//! Read in this order: [`moment`] (which position), [`rows`] (the rows as they stood), [`over`] (a statement over
//! them), then `one` (by id) and `lists`.

pub mod moment;

mod deployments;
mod figures;
mod lists;
mod one;
mod over;
mod rows;

pub use moment::{AsOf, Moment, NoMoment};
pub(crate) use over::Statement;

use crate::error::QueryError;
use crate::queries::Queries;
use domain::Position;

/// The most streams that one answer is folded from.
pub const STREAMS_MAX: usize = 5_000;
/// The most events.
pub const EVENTS_MAX: usize = 50_000;
/// The most rows of a list that are looked at for one page of it.
pub const LOOKED_AT_MAX: usize = 5_000;
/// By how much the clock of a process may be ahead of the database's: what was asked for later than that after a
/// position was recorded is not looked for before it.
pub(crate) const CLOCKS_APART: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// Queries that look at one moment of the past.
pub(crate) struct Past<'a> {
    queries: &'a Queries,
    as_of: AsOf,
}

impl<'a> Past<'a> {
    pub(crate) const fn new(queries: &'a Queries, as_of: AsOf) -> Self {
        Self { queries, as_of }
    }

    const fn position(&self) -> i64 {
        self.as_of.position.0
    }
}

fn too_much(what: &'static str, most: usize) -> QueryError {
    QueryError::TooMuch { what, most }
}

/// A fold that fails on what the log holds: the view stands still before it as well.
fn unfolded(error: &projections::ApplyError) -> QueryError {
    let position = match error {
        projections::ApplyError::Event { position, .. } => *position,
        projections::ApplyError::Database(_) => Position::START,
    };
    QueryError::Log(event_store::LogError::Damaged { position, reason: error.to_string() })
}
