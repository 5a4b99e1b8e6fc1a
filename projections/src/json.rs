//! Rows as JSON: what the database makes of such an object is the row that it would have made of the columns
//! themselves.

use crate::projection::TableRows;
use chrono::{DateTime, NaiveDate, Utc};
use std::fmt::Write as _;
use uuid::Uuid;

/// A row that is written as a JSON object of its columns.
pub trait AsJson {
    /// The object.
    fn as_json(&self) -> String;
}

/// Rows of a table as JSON.
pub(crate) fn rows_of<'a, R: AsJson + 'a>(table: &'static str, rows: impl Iterator<Item = &'a R>) -> TableRows {
    TableRows { table, rows: rows.map(AsJson::as_json).collect() }
}

/// What a column holds.
pub(crate) trait Cell {
    /// Adds the value; `is_json`: a text that is JSON itself.
    fn push(&self, json: &mut String, is_json: bool);
}

impl Cell for &str {
    fn push(&self, json: &mut String, is_json: bool) {
        if is_json {
            json.push_str(self);
        } else {
            // A text always serialises.
            json.push_str(&serde_json::to_string(self).unwrap_or_default());
        }
    }
}

impl Cell for String {
    fn push(&self, json: &mut String, is_json: bool) {
        self.as_str().push(json, is_json);
    }
}

impl<T: Cell> Cell for Option<T> {
    fn push(&self, json: &mut String, is_json: bool) {
        match self {
            Some(value) => value.push(json, is_json),
            None => json.push_str("null"),
        }
    }
}

impl Cell for f64 {
    fn push(&self, json: &mut String, _is_json: bool) {
        // The shortest text that comes back as the same number.
        json.push_str(&serde_json::to_string(self).unwrap_or_else(|_| "null".to_owned()));
    }
}

impl Cell for DateTime<Utc> {
    /// To the microsecond, cut off: what the database keeps.
    fn push(&self, json: &mut String, _is_json: bool) {
        // Writing to a String can not fail.
        let _ = write!(json, "\"{}\"", self.format("%Y-%m-%dT%H:%M:%S%.6fZ"));
    }
}

/// Values that read the same in JSON as in words; some in quotes.
macro_rules! cells {
    ($($kind:ty, $quote:literal;)+) => {$(
        impl Cell for $kind {
            fn push(&self, json: &mut String, _is_json: bool) {
                let _ = write!(json, concat!($quote, "{}", $quote), self);
            }
        }
    )+};
}
cells! { bool, ""; i32, ""; i64, ""; Uuid, "\""; NaiveDate, "\""; }

#[cfg(test)]
mod tests {
    use super::*;

    fn json(cell: &dyn Cell) -> String {
        let mut json = String::new();
        cell.push(&mut json, false);
        json
    }

    #[test]
    fn values_are_json() {
        let at = DateTime::from_timestamp(1_750_000_000, 123_456_789).unwrap();
        for (cell, expected) in [
            (&"a \"b\"\n" as &dyn Cell, r#""a \"b\"\n""#),
            (&Some(7_i64), "7"),
            (&None::<bool>, "null"),
            (&0.1_f64, "0.1"),
            (&at, r#""2025-06-15T15:06:40.123456Z""#),
            (&Uuid::nil(), r#""00000000-0000-0000-0000-000000000000""#),
        ] {
            assert_eq!(json(cell), expected);
        }
        let mut raw = String::new();
        Some(r#"{"a":1e400}"#).push(&mut raw, true);
        assert_eq!(raw, r#"{"a":1e400}"#);
    }
}
