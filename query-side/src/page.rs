//! Pages by keyset: a cursor is the sort key of a row, so that a page starts where the last one ended, whatever was
//! written in between.

use crate::error::QueryError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Where a row stands in its list: opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// The longest cursor looked at; ours are far shorter.
const CURSOR_CHARS_MAX: usize = 1024;

impl Cursor {
    /// Packs a sort key; `list` names the list, so that a cursor of another one is refused.
    pub(crate) fn pack(list: &str, key: &impl Serialize) -> Self {
        // A key is a tuple of texts, numbers and UUIDs: it always serialises.
        let json = serde_json::to_vec(&(list, key)).unwrap_or_default();
        Self(URL_SAFE_NO_PAD.encode(json))
    }

    pub(crate) fn unpack<K: DeserializeOwned>(&self, list: &str) -> Result<K, QueryError> {
        if self.0.len() > CURSOR_CHARS_MAX {
            return Err(QueryError::BadCursor);
        }
        let json = URL_SAFE_NO_PAD.decode(&self.0).map_err(|_| QueryError::BadCursor)?;
        let (named, key): (String, K) = serde_json::from_slice(&json).map_err(|_| QueryError::BadCursor)?;
        if named == list { Ok(key) } else { Err(QueryError::BadCursor) }
    }
}

/// A row that knows where it stands in its list.
pub trait Keyset {
    /// Its place.
    fn cursor(&self) -> Cursor;
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many rows, 1 to [`PageRequest::MAX`].
    pub first: i64,
    /// After this row; from the start where there is none.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// The most rows of one page.
    pub const MAX: i64 = 500;

    /// The first rows.
    pub const fn first(first: i64) -> Self {
        Self { first, after: None }
    }

    /// The rows after a cursor.
    pub const fn after(first: i64, after: Cursor) -> Self {
        Self { first, after: Some(after) }
    }

    /// How many rows to read: one more than asked, which tells whether there is a next page.
    pub(crate) fn limit(&self) -> Result<i64, QueryError> {
        bounded("first", self.first, Self::MAX).map(|first| first + 1)
    }

    pub(crate) fn key<K: DeserializeOwned>(&self, list: &str) -> Result<Option<K>, QueryError> {
        self.after.as_ref().map(|cursor| cursor.unpack(list)).transpose()
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::first(50)
    }
}

pub(crate) fn bounded(what: &'static str, value: i64, most: i64) -> Result<i64, QueryError> {
    if (1..=most).contains(&value) { Ok(value) } else { Err(QueryError::OutOfBounds { what, least: 1, most }) }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// Its rows, in the list's order.
    pub items: Vec<T>,
    /// The last row's place; ask for the next page with it.
    pub end_cursor: Option<Cursor>,
    /// Whether there are more.
    pub has_next: bool,
}

impl<T: Keyset> Page<T> {
    /// From the rows read with one too many.
    pub(crate) fn of(mut rows: Vec<T>, request: &PageRequest) -> Self {
        let has_next = rows.len() as i64 > request.first;
        rows.truncate(usize::try_from(request.first).unwrap_or(0));
        Self { end_cursor: rows.last().map(Keyset::cursor), items: rows, has_next }
    }
}

/// A count that stops counting at a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub value: i64,
    /// Whether there are more than that: the counting stopped.
    pub at_least: bool,
}

impl Count {
    /// Where counting stops.
    pub const MAX: i64 = 10_000;

    pub(crate) fn of(counted: i64) -> Self {
        Self { value: counted.min(Self::MAX), at_least: counted > Self::MAX }
    }
}

/// A point in time as a cursor carries it: what the database keeps, microseconds.
pub(crate) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

pub(crate) fn from_micros(micros: i64) -> Result<DateTime<Utc>, QueryError> {
    DateTime::from_timestamp_micros(micros).ok_or(QueryError::BadCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_belongs_to_one_list() {
        let key = (1_723_456_789_012_345_i64, uuid::Uuid::from_u128(7));
        let cursor = Cursor::pack("runs", &key);
        assert_eq!(cursor.unpack::<(i64, uuid::Uuid)>("runs").unwrap(), key);
        assert!(matches!(cursor.unpack::<(i64, uuid::Uuid)>("findings"), Err(QueryError::BadCursor)));
        assert!(matches!(cursor.unpack::<(i64, i64)>("runs"), Err(QueryError::BadCursor)));
    }

    #[test]
    fn hostile_cursors_are_refused() {
        for text in ["", "!", "bnVsbA", &"A".repeat(5000)] {
            let refused = Cursor(text.to_owned()).unpack::<(i64, uuid::Uuid)>("runs");
            assert!(matches!(refused, Err(QueryError::BadCursor)), "{text:.20}");
        }
    }

    #[test]
    fn a_page_is_between_one_row_and_the_bound() {
        for first in [i64::MIN, -1, 0, PageRequest::MAX + 1, i64::MAX] {
            assert!(matches!(PageRequest::first(first).limit(), Err(QueryError::OutOfBounds { .. })), "{first}");
        }
        assert_eq!(PageRequest::first(PageRequest::MAX).limit().unwrap(), PageRequest::MAX + 1);
    }
}
