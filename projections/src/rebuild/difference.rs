//! How a filling differs from what is served: counts, rows only here or there, and the first rows that differ, with the
//! columns in which they do.

use super::RebuildError;
use crate::connection::{self, Place};
use crate::projection::Projection;
use serde::Serialize;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, PgPool, Row};

/// How many characters of a value are shown.
const VALUE_CHARS: usize = 200;
/// How long a comparison may take.
const PATIENCE: &str = "1h";

/// How a filling of a view differs from the served one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The projection.
    pub name: &'static str,
    /// Version and position of what is served.
    pub served: (i32, i64),
    /// Version and position of what it was compared with.
    pub other: (i32, i64),
    /// Table by table.
    pub tables: Vec<TableDifference>,
}

impl Difference {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(TableDifference::is_empty)
    }
}

/// How two tables differ. Rows that changed after the position up to which both are filled are left out: they can not
/// be compared yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableDifference {
    /// Its name.
    pub table: String,
    /// Rows of the served table.
    pub rows_served: i64,
    /// Rows of the other.
    pub rows_other: i64,
    /// Rows with keys that only the served table has.
    pub only_served: i64,
    /// Rows with keys that only the other has.
    pub only_other: i64,
    /// Rows of both that differ.
    pub differing: i64,
    /// Rows left out, for they changed meanwhile.
    pub left_out: i64,
    /// Columns that only the served table has.
    pub columns_only_served: Vec<String>,
    /// Columns that only the other has.
    pub columns_only_other: Vec<String>,
    /// The first rows that differ, or are only here or there, by their keys.
    pub first: Vec<DifferingRow>,
}

impl TableDifference {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.only_served + self.only_other + self.differing == 0
            && self.columns_only_served.is_empty()
            && self.columns_only_other.is_empty()
    }
}

/// One row that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DifferingRow {
    /// Its key, by column.
    pub key: Value,
    /// `both`, `served` or `other`: where it is.
    pub found_in: String,
    /// Of a row in both: by column what is served and what is in the other, as text, cut off.
    pub columns: Value,
}

/// Compares a filling with what is served, from one snapshot; shows at most `rows_max` rows of each table.
pub async fn compare(
    pool: &PgPool,
    projection: &dyn Projection,
    place: Place,
    rows_max: u32,
) -> Result<Difference, RebuildError> {
    let name = projection.name();
    let missing = |place| RebuildError::NoFilling { name: name.to_owned(), place };
    let mut db = connection::open(pool, Place::Served).await?;
    let mut transaction = db.begin().await?;
    // The first statement takes the snapshot that both tables are then read from.
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *transaction).await?;
    sqlx::query("SELECT set_config('statement_timeout', $1, true)").bind(PATIENCE).execute(&mut *transaction).await?;
    let served = filling(&mut transaction, Place::Served, name).await?.ok_or_else(|| missing(Place::Served))?;
    let other = filling(&mut transaction, place, name).await?.ok_or_else(|| missing(place))?;
    let until = served.1.min(other.1);
    let mut tables = Vec::new();
    for table in projection.tables() {
        let compared = Compared { table, place, until, same_version: served.0 == other.0, rows_max };
        tables.push(compared.read(&mut transaction).await?);
    }
    transaction.rollback().await?;
    Ok(Difference { name, served, other, tables })
}

async fn filling(db: &mut PgConnection, place: Place, name: &str) -> Result<Option<(i32, i64)>, sqlx::Error> {
    let sql = format!("SELECT version, position FROM {}.projection_checkpoints WHERE name = $1", place.schema());
    sqlx::query_as(&sql).bind(name).fetch_optional(db).await
}

/// Two tables on their way through a comparison.
struct Compared<'a> {
    table: &'a str,
    place: Place,
    until: i64,
    same_version: bool,
    rows_max: u32,
}

/// A table's columns, and those of its key.
struct Shape {
    columns: Vec<String>,
    key: Vec<String>,
}

impl Compared<'_> {
    async fn read(&self, db: &mut PgConnection) -> Result<TableDifference, RebuildError> {
        let served = shape(db, Place::Served, self.table).await?;
        let other = shape(db, self.place, self.table).await?;
        let only = |some: &Shape, others: &Shape| -> Vec<String> {
            some.columns.iter().filter(|column| !others.columns.contains(column)).cloned().collect()
        };
        let both: Vec<&String> = served
            .columns
            .iter()
            .filter(|column| other.columns.contains(column))
            // Of another version every row has another one.
            .filter(|column| self.same_version || *column != "projection_version")
            .collect();
        let joined = self.joined(&served.key);
        let is_different = both.iter().map(|column| differs(column)).collect::<Vec<_>>().join(" OR ");
        let counts = sqlx::query(&format!(
            "SELECT (SELECT count(*) FROM {s}) AS rows_served, (SELECT count(*) FROM {o}) AS rows_other, \
             count(*) FILTER (WHERE {comparable} AND o.last_position IS NULL) AS only_served, \
             count(*) FILTER (WHERE {comparable} AND s.last_position IS NULL) AS only_other, \
             count(*) FILTER (WHERE {comparable} AND s.last_position IS NOT NULL AND o.last_position IS NOT NULL \
             AND ({is_different})) AS differing, count(*) FILTER (WHERE NOT {comparable}) AS left_out FROM {joined}",
            s = self.name_of(Place::Served),
            o = self.name_of(self.place),
            comparable = COMPARABLE,
        ))
        .bind(self.until)
        .fetch_one(&mut *db)
        .await?;
        let mut difference = TableDifference {
            table: self.table.to_owned(),
            rows_served: counts.try_get("rows_served")?,
            rows_other: counts.try_get("rows_other")?,
            only_served: counts.try_get("only_served")?,
            only_other: counts.try_get("only_other")?,
            differing: counts.try_get("differing")?,
            left_out: counts.try_get("left_out")?,
            columns_only_served: only(&served, &other),
            columns_only_other: only(&other, &served),
            first: Vec::new(),
        };
        if difference.only_served + difference.only_other + difference.differing > 0 {
            difference.first = self.first(db, &served.key, &both, &is_different).await?;
        }
        Ok(difference)
    }

    async fn first(
        &self,
        db: &mut PgConnection,
        key: &[String],
        both: &[&String],
        is_different: &str,
    ) -> Result<Vec<DifferingRow>, sqlx::Error> {
        let keys: Vec<String> = key.iter().map(|column| format!("'{column}', {}", either(column))).collect();
        let each = |column: &&String| {
            format!(
                "'{column}', CASE WHEN {} THEN jsonb_build_array(left(s.\"{column}\"::text, {VALUE_CHARS}), \
                 left(o.\"{column}\"::text, {VALUE_CHARS})) END",
                differs(column)
            )
        };
        // A function takes a hundred arguments: so many columns at a time.
        let columns: Vec<String> = both
            .chunks(40)
            .map(|some| format!("jsonb_build_object({})", some.iter().map(each).collect::<Vec<_>>().join(", ")))
            .collect();
        let order: Vec<String> = key.iter().map(|column| either(column)).collect();
        let sql = format!(
            "SELECT jsonb_build_object({keys}) AS key, CASE WHEN o.last_position IS NULL THEN 'served' \
             WHEN s.last_position IS NULL THEN 'other' ELSE 'both' END AS found_in, \
             CASE WHEN s.last_position IS NOT NULL AND o.last_position IS NOT NULL \
             THEN jsonb_strip_nulls({columns}) ELSE '{{}}' END AS columns FROM {joined} \
             WHERE {COMPARABLE} AND (s.last_position IS NULL OR o.last_position IS NULL OR {is_different}) \
             ORDER BY {order} LIMIT $2",
            keys = keys.join(", "),
            columns = columns.join(" || "),
            joined = self.joined(key),
            order = order.join(", "),
        );
        let rows = sqlx::query(&sql).bind(self.until).bind(i64::from(self.rows_max)).fetch_all(db).await?;
        rows.iter()
            .map(|row| {
                Ok(DifferingRow {
                    key: row.try_get("key")?,
                    found_in: row.try_get("found_in")?,
                    columns: row.try_get("columns")?,
                })
            })
            .collect()
    }

    fn joined(&self, key: &[String]) -> String {
        let on: Vec<String> = key.iter().map(|column| format!("s.\"{column}\" = o.\"{column}\"")).collect();
        let (served, other) = (self.name_of(Place::Served), self.name_of(self.place));
        format!("{served} AS s FULL JOIN {other} AS o ON {}", on.join(" AND "))
    }

    fn name_of(&self, place: Place) -> String {
        format!("{}.\"{}\"", place.schema(), self.table)
    }
}

/// Neither of the two has changed since.
const COMPARABLE: &str = "(coalesce(s.last_position, 0) <= $1 AND coalesce(o.last_position, 0) <= $1)";

/// A NULL is a value, too. Whatever the type, it has a text (`json` has no equality of its own).
fn differs(column: &str) -> String {
    format!("s.\"{column}\"::text IS DISTINCT FROM o.\"{column}\"::text")
}

fn either(column: &str) -> String {
    format!("coalesce(s.\"{column}\", o.\"{column}\")")
}

async fn shape(db: &mut PgConnection, place: Place, table: &str) -> Result<Shape, sqlx::Error> {
    let relation = format!("{}.{table}", place.schema());
    let columns = "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 \
        AND NOT attisdropped ORDER BY attnum";
    let key = "SELECT a.attname::text FROM pg_index AS i CROSS JOIN unnest(i.indkey::int[]) WITH ORDINALITY AS k (attnum, nth) \
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
        WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY k.nth";
    Ok(Shape {
        columns: sqlx::query_scalar(columns).bind(&relation).fetch_all(&mut *db).await?,
        key: sqlx::query_scalar(key).bind(&relation).fetch_all(&mut *db).await?,
    })
}
