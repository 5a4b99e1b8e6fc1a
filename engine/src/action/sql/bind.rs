//! Values of statements: always bound, never written into the text.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;

/// One value.
#[derive(Debug, Clone)]
pub(crate) enum Bind {
    Text(String),
    Integer(i64),
    Integers(Vec<i64>),
    Texts(Vec<String>),
    Time(DateTime<Utc>),
    Json(Value),
}

macro_rules! bind_from {
    ($($of:ty => $variant:ident),* $(,)?) => {$(
        impl From<$of> for Bind {
            fn from(value: $of) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

bind_from! {
    &str => Text, String => Text, &String => Text, i64 => Integer, i32 => Integer, u32 => Integer,
    Vec<i64> => Integers, Vec<String> => Texts, DateTime<Utc> => Time, Value => Json,
}

type Prepared<'q> = Query<'q, Postgres, PgArguments>;

pub(super) fn bind_all<'q>(mut query: Prepared<'q>, values: &'q [Bind]) -> Prepared<'q> {
    for value in values {
        query = match value {
            Bind::Text(text) => query.bind(text),
            Bind::Integer(number) => query.bind(number),
            Bind::Integers(numbers) => query.bind(numbers),
            Bind::Texts(texts) => query.bind(texts),
            Bind::Time(time) => query.bind(time),
            Bind::Json(json) => query.bind(json),
        };
    }
    query
}
