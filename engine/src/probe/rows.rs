//! What probes give.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use std::time::Duration;

/// One measured thing: columns by name.
pub type Row = Map<String, Value>;

/// What a probe measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The rows.
    pub rows: Vec<Row>,
    /// What is true of the measurement as a whole, such as how many files were looked at.
    pub facts: Row,
    /// Whether there was more than the probe may give.
    pub truncated: bool,
    /// When it began.
    pub taken_at: DateTime<Utc>,
    /// How long it took.
    pub duration: Duration,
}

/// What one kind of probe gives; the rest of a [`Measurement`] is the same for all.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub rows: Vec<Row>,
    pub facts: Row,
    pub truncated: bool,
}

impl Measured {
    /// One row.
    pub(crate) fn one(row: Row) -> Self {
        Self { rows: vec![row], ..Self::default() }
    }
}

/// A row literal: `row! { name: value, … }` with anything that becomes JSON.
macro_rules! row {
    ($($name:ident : $value:expr),* $(,)?) => {{
        let mut row = crate::probe::Row::new();
        $(row.insert(stringify!($name).to_owned(), serde_json::json!($value));)*
        row
    }};
}
pub(crate) use row;
