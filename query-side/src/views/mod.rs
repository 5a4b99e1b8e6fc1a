//! One file per view: its row, its filter and its SQL.

pub mod check_results;
pub mod daily_figures;
pub mod deployments;
pub mod finding_history;
pub mod findings;
pub mod policies;
pub mod remediations;
pub mod runs;

use chrono::{DateTime, Utc};
use domain::Outcome;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder, Row};
use std::str::FromStr;
use uuid::Uuid;

/// The projections behind the views, alphabetical: what [`crate::Queries::wait_for`] waits for.
pub const PROJECTIONS: [&str; 10] = [
    "causation",
    "check_results",
    "daily_figures",
    "deployments",
    "emergency_stops",
    "finding_history",
    "findings",
    "policies",
    "remediations",
    "runs",
];

/// The views that answers which are kept may come from ([`crate::cache::Topic`] tells what changes them).
pub(crate) const ANSWERED_FROM: [&str; 5] = ["check_results", "deployments", "finding_history", "findings", "runs"];

/// A row that may change by the clock alone.
pub(crate) trait Timed {
    /// When it does next.
    fn changes_at(&self) -> Option<DateTime<Utc>> {
        None
    }
}

impl Timed for check_results::CheckResultView {}
impl Timed for daily_figures::DailyFigure {}
impl Timed for finding_history::FindingHistoryEntry {}
impl Timed for runs::RunView {}

impl Timed for deployments::DeploymentView {
    /// Its health, when a mute runs out.
    fn changes_at(&self) -> Option<DateTime<Utc>> {
        self.next_unmute_at
    }
}

impl Timed for findings::FindingView {
    /// Whether it is muted.
    fn changes_at(&self) -> Option<DateTime<Utc>> {
        self.muted_until
    }
}

/// A column that holds one of a few words.
pub(crate) fn word<T: FromStr<Err = UnknownWord>>(row: &PgRow, column: &str) -> Result<T, sqlx::Error> {
    row.try_get::<&str, _>(column)?.parse().map_err(|error| damaged(column, error))
}

/// An outcome's column.
pub(crate) fn outcome(row: &PgRow, column: &str) -> Result<Outcome, sqlx::Error> {
    optional_outcome(row, column)?.ok_or_else(|| damaged(column, UnknownWord("null".to_owned())))
}

pub(crate) fn optional_outcome(row: &PgRow, column: &str) -> Result<Option<Outcome>, sqlx::Error> {
    let Some(text) = row.try_get::<Option<&str>, _>(column)? else { return Ok(None) };
    let found = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text);
    found.map(Some).ok_or_else(|| damaged(column, UnknownWord(text.to_owned())))
}

/// A `jsonb` column.
pub(crate) fn json<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, sqlx::Error> {
    // Json<T> needs T: 'static for sqlx's type checks only when encoding; reading has no such need.
    row.try_get::<Json<Box<serde_json::value::RawValue>>, _>(column)
        .and_then(|raw| serde_json::from_str(raw.0.get()).map_err(|error| damaged(column, error)))
}

/// A UUID column as one of our ids.
pub(crate) fn id<T: From<Uuid>>(row: &PgRow, column: &str) -> Result<T, sqlx::Error> {
    row.try_get::<Uuid, _>(column).map(T::from)
}

pub(crate) fn optional_id<T: From<Uuid>>(row: &PgRow, column: &str) -> Result<Option<T>, sqlx::Error> {
    row.try_get::<Option<Uuid>, _>(column).map(|id| id.map(T::from))
}

fn damaged(column: &str, error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}

/// A word that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of the known words")]
pub struct UnknownWord(pub String);

/// Declares an enum that is stored as a word.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All of them, in the order of a life.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As stored.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::views::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err($crate::views::UnknownWord(other.to_owned())),
                }
            }
        }
    };
}
pub(crate) use words;

/// Adds `WHERE` or `AND`, as it comes.
pub(crate) struct Conditions<'a, 'args> {
    sql: &'a mut QueryBuilder<'args, Postgres>,
    any: bool,
}

impl<'a, 'args> Conditions<'a, 'args> {
    pub(crate) fn new(sql: &'a mut QueryBuilder<'args, Postgres>) -> Self {
        Self { sql, any: false }
    }

    /// The builder, ready for one more condition.
    pub(crate) fn and(&mut self) -> &mut QueryBuilder<'args, Postgres> {
        self.sql.push(if self.any { " AND " } else { " WHERE " });
        self.any = true;
        self.sql
    }

    /// `column IN (words)`. Literals, not parameters: the planner then sees that a partial index covers them. They come
    /// from our own enums, never from a request.
    pub(crate) fn words(&mut self, column: &str, words: &mut dyn Iterator<Item = &'static str>) {
        let list: Vec<String> = words.map(|word| format!("'{word}'")).collect();
        if !list.is_empty() {
            let condition = if list.len() == 1 {
                format!("{column} = {}", list[0])
            } else {
                format!("{column} IN ({})", list.join(", "))
            };
            self.and().push(condition);
        }
    }
}
