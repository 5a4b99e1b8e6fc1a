//! Tables as the projections write them: whole rows by key, one statement for a whole batch.

use crate::json::AsJson;
use crate::projection::Pending;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::borrow::Cow;
use std::hash::Hash;

/// Rows by key, as far as there are some.
pub type Loading<'a, K, R> = BoxFuture<'a, Result<Vec<(K, R)>, sqlx::Error>>;

/// A table whose rows are read and written whole, by key.
pub trait Table: Send + 'static {
    /// What a row is found by.
    type Key: Copy + Eq + Hash + Ord + Send + Sync;
    /// One row.
    type Row: Weighed + AsJson + Clone + Send + Sync;

    /// Its name.
    const NAME: &'static str;

    /// The rows with these keys, as far as there are some.
    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Self::Key]) -> Loading<'a, Self::Key, Self::Row>;

    /// Writes rows, each with its own key, over what was there.
    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a Self::Row]) -> BoxFuture<'a, Result<(), sqlx::Error>>;

    /// Writes rows with keys of which none is there: a quicker way, where there is one.
    fn add<'a>(db: &'a mut PgConnection, rows: &'a [&'a Self::Row]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Self::save(db, rows)
    }
}

/// The columns of a table, as [`columns`] declares them.
pub(crate) trait Columns<R> {
    /// Writes rows, in as few statements as their size allows.
    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a R]) -> BoxFuture<'a, Result<(), sqlx::Error>>;

    /// Writes rows of which none is there.
    fn add<'a>(db: &'a mut PgConnection, rows: &'a [&'a R]) -> BoxFuture<'a, Result<(), sqlx::Error>>;
}

/// A row that knows roughly how large it is.
pub trait Weighed {
    /// Its bytes, roughly.
    fn bytes(&self) -> usize;
}

/// How many rows, and how many bytes of rows, one statement writes.
const STATEMENT_ROWS: usize = 5_000;
const STATEMENT_BYTES: usize = 16 << 20;

/// Cuts rows into what one statement writes.
pub(crate) fn statements<'a, R: Weighed>(rows: &'a [&'a R]) -> impl Iterator<Item = &'a [&'a R]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |row: &&&R| {
            bytes += row.bytes();
            bytes <= STATEMENT_BYTES
        };
        let count = rest.iter().take(STATEMENT_ROWS).take_while(fits).count().max(1).min(rest.len());
        let (now, later) = rest.split_at(count);
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

/// How much waits to be written.
pub(crate) fn pending<'a, R: Weighed + 'a>(rows: impl Iterator<Item = &'a R>) -> Pending {
    rows.fold(Pending::default(), |sum, row| sum + Pending { rows: 1, bytes: row.bytes() })
}

/// What happens to a row that exists already.
pub(crate) enum Existing<'a> {
    /// It is an error.
    Fails,
    /// It is replaced; its key's columns.
    Replaced(&'a [&'a str]),
    /// As the clause says.
    Merged(&'a str),
}

/// The statement that writes rows from one array per column: `columns` are name and type, where `jsonb` travels as
/// text.
pub(crate) fn insert_sql(table: &str, existing: &Existing<'_>, columns: &[(&str, &str)]) -> String {
    let list = |each: &dyn Fn(usize, &str, &str) -> String| {
        let texts: Vec<String> =
            columns.iter().enumerate().map(|(index, (name, kind))| each(index, name, kind)).collect();
        texts.join(", ")
    };
    let names = list(&|_, name, _| name.to_owned());
    let values = list(&|_, name, kind| if kind == "jsonb" { format!("{name}::jsonb") } else { name.to_owned() });
    let arrays = list(&|index, _, kind| format!("${}::{}[]", index + 1, if kind == "jsonb" { "text" } else { kind }));
    let conflict = match existing {
        Existing::Fails => String::new(),
        Existing::Merged(clause) => format!(" {clause}"),
        Existing::Replaced(key) => {
            let rest = columns.iter().filter(|(name, _)| !key.contains(name));
            let rest: Vec<String> = rest.map(|(name, _)| format!("{name} = EXCLUDED.{name}")).collect();
            format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), rest.join(", "))
        }
    };
    format!("INSERT INTO {table} ({names}) SELECT {values} FROM UNNEST({arrays}) AS new ({names}){conflict}")
}

/// The select list that reads the columns back: `jsonb` as text.
pub(crate) fn select_list(columns: &[(&str, &str)]) -> String {
    let each = columns.iter().map(|(name, kind)| match *kind {
        "jsonb" => format!("{name}::text AS {name}"),
        _ => (*name).to_owned(),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Declares the columns of a table and how a row fills them: `COLUMNS`, and `TheColumns`, which writes rows;
/// `save_rows` is the right way for the table.
macro_rules! columns {
    ($table:literal existing $existing:expr; $row:ident: $row_type:ty {
        $($column:ident $kind:literal = $value:expr;)+
    }) => {
        const COLUMNS: &[(&str, &str)] = &[$((stringify!($column), $kind)),+];

        /// Writes rows.
        struct TheColumns;

        impl TheColumns {
            async fn insert(db: &mut sqlx::PgConnection, rows: &[&$row_type]) -> Result<(), sqlx::Error> {
                static SQL: std::sync::LazyLock<String> =
                    std::sync::LazyLock::new(|| $crate::table::insert_sql($table, &$existing, COLUMNS));
                for rows in $crate::table::statements(rows) {
                    let query = sqlx::query(&SQL);
                    $(let query = query.bind(rows.iter().copied().map(|$row| $value).collect::<Vec<_>>());)+
                    query.execute(&mut *db).await?;
                }
                Ok(())
            }

            async fn copy(db: &mut sqlx::PgConnection, rows: &[&$row_type]) -> Result<(), sqlx::Error> {
                static SQL: std::sync::LazyLock<String> =
                    std::sync::LazyLock::new(|| $crate::copying::copy_sql($table, COLUMNS));
                for rows in $crate::table::statements(rows) {
                    let mut copying = $crate::copying::Copying::new(COLUMNS.len());
                    for $row in rows.iter().copied() {
                        copying.row();
                        $(copying.column($kind, $value)?;)+
                    }
                    copying.send(db, &SQL).await?;
                }
                Ok(())
            }
        }

        impl $crate::table::Columns<$row_type> for TheColumns {
            fn save<'a>(
                db: &'a mut sqlx::PgConnection,
                rows: &'a [&'a $row_type],
            ) -> futures::future::BoxFuture<'a, Result<(), sqlx::Error>> {
                // Where a row that is there is an error there is none.
                if matches!($existing, $crate::table::Existing::Fails) {
                    return <Self as $crate::table::Columns<$row_type>>::add(db, rows);
                }
                Box::pin(Self::insert(db, rows))
            }

            fn add<'a>(
                db: &'a mut sqlx::PgConnection,
                rows: &'a [&'a $row_type],
            ) -> futures::future::BoxFuture<'a, Result<(), sqlx::Error>> {
                if rows.len() < $crate::copying::COPY_ROWS_MIN {
                    return Box::pin(Self::insert(db, rows));
                }
                Box::pin(Self::copy(db, rows))
            }
        }

        /// Writes rows, in as few statements as their size allows.
        async fn save_rows(db: &mut sqlx::PgConnection, rows: &[&$row_type]) -> Result<(), sqlx::Error> {
            <TheColumns as $crate::table::Columns<$row_type>>::save(db, rows).await
        }

        impl $crate::json::AsJson for $row_type {
            fn as_json(&self) -> String {
                let $row = self;
                let mut json = String::from("{");
                $(
                    json.push_str(concat!("\"", stringify!($column), "\":"));
                    $crate::json::Cell::push(&$value, &mut json, $kind == "jsonb");
                    json.push(',');
                )+
                json.pop();
                json.push('}');
                json
            }
        }
    };
}
pub(crate) use columns;

/// Text as PostgreSQL can keep it: it has no NUL, but what was measured may.
pub(crate) fn clean(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// JSON as PostgreSQL can keep it as `jsonb`.
pub(crate) fn clean_json(value: &impl serde::Serialize) -> String {
    // Events come from JSON, so they go back into it.
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    without_nul_escapes(&text).into_owned()
}

/// Replaces the escape of NUL, but not a backslash followed by "u0000".
fn without_nul_escapes(json: &str) -> Cow<'_, str> {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return Cow::Borrowed(json);
    }
    let mut clean = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        clean.push_str(&rest[..at]);
        // An escape is a backslash and what follows it: taken together, so that "\\" is never read as a beginning.
        let length = if rest[at..].starts_with(NUL) {
            clean.push_str("\\ufffd");
            NUL.len()
        } else {
            let length = 1 + rest[at + 1..].chars().next().map_or(0, char::len_utf8);
            clean.push_str(&rest[at..at + length]);
            length
        };
        rest = &rest[at + length..];
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::{Existing, clean, insert_sql, statements, without_nul_escapes};

    #[test]
    fn nul_is_replaced_and_nothing_else() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        for (json, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"b"}"#),
            (r#""x\u0000y""#, r#""x\ufffdy""#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\\\u0000""#, r#""\\\ufffd""#),
            (r#""\u00001""#, r#""\ufffd1""#),
            (r#""\n\u0000\"""#, r#""\n\ufffd\"""#),
        ] {
            assert_eq!(without_nul_escapes(json), expected);
        }
    }

    struct Heavy(usize);

    impl super::Weighed for Heavy {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn statements_hold_every_row_once_within_their_bounds() {
        for (weights, expected) in [
            (vec![1; 12_000], vec![5_000, 5_000, 2_000]),
            (vec![10 << 20, 10 << 20, 1, 90 << 20, 1], vec![1, 2, 1, 1]),
            (vec![], vec![]),
        ] {
            let rows: Vec<Heavy> = weights.into_iter().map(Heavy).collect();
            let rows: Vec<&Heavy> = rows.iter().collect();
            let counts: Vec<usize> = statements(&rows).map(<[_]>::len).collect();
            assert_eq!(counts, expected);
        }
    }

    #[test]
    fn the_statement_names_every_column() {
        let sql = insert_sql("t", &Existing::Replaced(&["id"]), &[("id", "uuid"), ("name", "text"), ("more", "jsonb")]);
        assert_eq!(
            sql,
            "INSERT INTO t (id, name, more) SELECT id, name, more::jsonb FROM UNNEST($1::uuid[], $2::text[], \
             $3::text[]) AS new (id, name, more) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, \
             more = EXCLUDED.more"
        );
    }
}
