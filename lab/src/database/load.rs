//! The dataset's rows: records by set-based statements inside the server, documents from the files that were written.

use crate::error::LabError;
use crate::layout::{Folders, STORES};
use crate::live::processors;
use crate::options::Volume;
use crate::store::{Stored, StoredKind};
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use sqlx::PgPool;

/// What the double's binaries expect, and its healthy schema has.
pub const SCHEMA_VERSION: i32 = 1105;
const BATCH: usize = 5_000;

/// Fills the empty tables.
pub async fn load(
    pool: &PgPool,
    folders: &Folders,
    volume: Volume,
    seed: u64,
    born: DateTime<Utc>,
    stored: &[Stored],
) -> Result<(), LabError> {
    fill(pool, volume, seed, born).await?;
    load_documents(pool, volume, born, stored).await?;
    load_stores(pool, folders, stored).await?;
    processors::load(pool, born).await?;
    sqlx::query("INSERT INTO double_schema_info VALUES ($1, $2, $3)")
        .bind(SCHEMA_VERSION)
        .bind(crate::layout::DBID)
        .bind("Content Manager 23.4 (DOUBLE, not the product)")
        .execute(pool)
        .await
        .map_err(LabError::db("load its schema version"))?;
    sqlx::raw_sql(include_str!("indexes.sql")).execute(pool).await.map_err(LabError::db("make its indexes"))?;
    Ok(())
}

async fn fill(pool: &PgPool, volume: Volume, seed: u64, born: DateTime<Utc>) -> Result<(), LabError> {
    // Numbers and a formatted time only: nothing here comes from outside.
    let born = format!("CAST('{}' AS timestamptz)", born.to_rfc3339_opts(SecondsFormat::Micros, true));
    let script = include_str!("fill.sql")
        .replace("$records", &format!("CAST({} AS bigint)", volume.records))
        .replace("$documents", &format!("CAST({} AS bigint)", volume.documents()))
        .replace("$seed", &(seed % 1_000_003).to_string())
        .replace("$born", &born);
    sqlx::raw_sql(&script).execute(pool).await.map_err(LabError::db("load its records")).map(drop)
}

/// The statement that loads one kind of file.
fn statement(kind: StoredKind) -> &'static str {
    match kind {
        StoredKind::Document => {
            "INSERT INTO tsrecelec
             SELECT d.recuri, d.resid, d.store, d.name, d.versions, NULL, d.bytes, d.hash, d.changed,
                    CASE WHEN d.recuri % 97 = 5 THEN 'NoTextExtracted' WHEN d.recuri % 101 = 6 THEN 'MetadataOnly'
                         WHEN d.recuri % 211 = 7 THEN 'PasswordProtected' WHEN d.recuri % 307 = 8 THEN 'TooBig'
                         ELSE 'OK' END
             FROM UNNEST($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
                         $8::int[], $9::timestamptz[])
                  AS d(uri, recuri, resid, store, bytes, hash, name, versions, changed)"
        }
        StoredKind::Revision => {
            "INSERT INTO tserecvsn
             SELECT d.uri, d.recuri, d.resid, d.store, d.bytes, d.hash
             FROM UNNEST($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
                  AS d(uri, recuri, resid, store, bytes, hash)"
        }
        StoredKind::Rendition => {
            "INSERT INTO tsrenditio
             SELECT d.uri, d.recuri, d.resid, d.store, d.bytes, d.hash
             FROM UNNEST($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
                  AS d(uri, recuri, resid, store, bytes, hash)"
        }
    }
}

async fn load_documents(pool: &PgPool, volume: Volume, born: DateTime<Utc>, stored: &[Stored]) -> Result<(), LabError> {
    for kind in [StoredKind::Document, StoredKind::Revision, StoredKind::Rendition] {
        let of_kind: Vec<&Stored> = stored.iter().filter(|one| one.kind == kind).collect();
        for batch in of_kind.chunks(BATCH) {
            let numbers = |of: &dyn Fn(&Stored) -> i64| batch.iter().map(|one| of(one)).collect::<Vec<i64>>();
            let texts = |of: &dyn Fn(&Stored) -> String| batch.iter().map(|one| of(one)).collect::<Vec<String>>();
            let mut query = sqlx::query(statement(kind))
                .bind(numbers(&|one| one.uri))
                .bind(numbers(&|one| volume.record_of_document(one.document)))
                .bind(texts(&|one| one.resid.clone()))
                .bind(numbers(&|one| one.store))
                .bind(numbers(&|one| one.bytes))
                .bind(texts(&|one| one.hash.clone()));
            if kind == StoredKind::Document {
                query = query
                    .bind(texts(&Stored::file_name))
                    .bind(batch.iter().map(|one| one.versions(volume)).collect::<Vec<i32>>())
                    .bind(batch.iter().map(|one| born - Duration::seconds(one.age_s)).collect::<Vec<_>>());
            }
            query.execute(pool).await.map_err(LabError::db("load its documents"))?;
        }
    }
    Ok(())
}

async fn load_stores(pool: &PgPool, folders: &Folders, stored: &[Stored]) -> Result<(), LabError> {
    for (number, component, name) in STORES {
        let items = stored.iter().filter(|one| one.store == number).count() as i64;
        let bytes: i64 = stored.iter().filter(|one| one.store == number).map(|one| one.bytes).sum();
        // A healthy store is a bit over half full.
        sqlx::query("INSERT INTO tselecstor VALUES ($1, $2, $3, $4, $5, $6, $7, 85, 'Available', 0, 1)")
            .bind(number)
            .bind(name)
            .bind(items)
            .bind(bytes)
            .bind(folders.store_root(component).display().to_string())
            .bind(crate::layout::WORKGROUP_SERVERS[0])
            .bind(bytes * 100 / 55)
            .execute(pool)
            .await
            .map_err(LabError::db("load its stores"))?;
    }
    Ok(())
}
