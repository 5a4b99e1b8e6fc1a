//! Taking the steps of a fault back, in reverse. Each step may be taken back twice, or without ever having been done.

use crate::config;
use crate::control::{self, Control, Switch};
use crate::database;
use crate::error::LabError;
use crate::handle::LabHandle;
use crate::index;
use crate::journal::Undo;
use crate::layout::read_json;
use crate::redis;
use serde_json::Value;
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Takes all steps back and vacuums the tables they touched.
pub async fn undo_all(handle: &LabHandle, name: &str, steps: &[Undo]) -> Result<(), LabError> {
    for step in steps.iter().rev() {
        undo_one(handle, name, step).await?;
    }
    let tables: BTreeSet<&str> = steps.iter().filter_map(touched).collect();
    if tables.is_empty() {
        return Ok(());
    }
    database::vacuum(handle.dataset().await?, &tables.into_iter().collect::<Vec<_>>()).await
}

/// The table that a step leaves dead rows or stale statistics in.
pub fn touched(step: &Undo) -> Option<&str> {
    match step {
        Undo::Columns { table, .. }
        | Undo::Deleted { table, .. }
        | Undo::Inserted { table, .. }
        | Undo::Vacuum { table } => Some(table),
        Undo::Recount { .. } => Some("tselecstor"),
        _ => None,
    }
}

async fn undo_one(handle: &LabHandle, name: &str, step: &Undo) -> Result<(), LabError> {
    match step {
        Undo::Columns { table, key, columns, rows } => {
            let set: Vec<String> = columns.iter().map(|column| format!("{column} = b.{column}")).collect();
            let statement = format!(
                "UPDATE {table} t SET {} FROM jsonb_populate_recordset(NULL::{table}, $1) b WHERE t.{key} = b.{key}",
                set.join(", ")
            );
            with_rows(handle, rows, &statement).await
        }
        Undo::Deleted { table, key, rows } => {
            let statement = format!(
                "INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, $1)
                 ON CONFLICT ({key}) DO NOTHING"
            );
            with_rows(handle, rows, &statement).await
        }
        Undo::Inserted { table, key, from, to } => {
            let statement = format!("DELETE FROM {table} WHERE {key} BETWEEN $1 AND $2");
            let query = sqlx::query(&statement).bind(from).bind(to).execute(handle.dataset().await?);
            query.await.map_err(LabError::db("delete a fault's rows")).map(drop)
        }
        Undo::Sql { statement } => {
            let done = sqlx::raw_sql(statement).execute(handle.dataset().await?).await;
            done.map_err(LabError::db("undo a fault's statement")).map(drop)
        }
        Undo::Recount { store } => recount(handle.dataset().await?, *store).await,
        Undo::Vacuum { .. } => Ok(()),
        Undo::Stashed { path, stash } => {
            if stash.exists() {
                std::fs::rename(stash, path).map_err(LabError::io("move back", path))?;
            }
            Ok(())
        }
        Undo::Created { path } => remove(path),
        Undo::Mode { path, mode } => std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode))
            .map_err(LabError::io("change the mode of", path)),
        Undo::Switches => take_switches_back(handle, name).await,
        Undo::Config => config::set_edits(handle.folders(), handle.seed(), name, Vec::new()),
        Undo::Redis { name, value } => redis::set_setting(handle.folders(), name, value).await,
        Undo::Index { edit } => index::with(handle.folders(), |state| state.edit(edit)),
    }
}

/// With what was ordered about the processors that they are of.
async fn take_switches_back(handle: &LabHandle, name: &str) -> Result<(), LabError> {
    let control: Control = read_json(&handle.folders().control())?.unwrap_or_default();
    for switch in control.switches.get(name).into_iter().flatten() {
        if let Switch::Processor { name, .. } = switch {
            config::forget_order(handle.folders(), handle.seed(), name)?;
        }
    }
    control::set_switches(handle.folders(), name, Vec::new()).await
}

async fn with_rows(handle: &LabHandle, file: &Path, statement: &str) -> Result<(), LabError> {
    let missing = || LabError::Options(format!("the before-image {} is gone: this can not be mended", file.display()));
    let rows: Value = read_json(file)?.ok_or_else(missing)?;
    let query = sqlx::query(statement).bind(rows).execute(handle.dataset().await?);
    query.await.map_err(LabError::db("put a fault's rows back")).map(drop)
}

fn remove(path: &Path) -> Result<(), LabError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LabError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Sets a store's counters to what the dataset's rows say: the same however often and in which order.
pub async fn recount(pool: &PgPool, store: i64) -> Result<(), LabError> {
    sqlx::query(
        "UPDATE tselecstor SET (esitems, esbytes) = (
             SELECT count(*), COALESCE(sum(bytes), 0) FROM (
                 SELECT resid, max(bytes) AS bytes FROM (
                     SELECT resid, rebytes AS bytes FROM tsrecelec WHERE restore = $1
                     UNION ALL SELECT resid, rvbytes FROM tserecvsn WHERE restore = $1
                     UNION ALL SELECT resid, rdbytes FROM tsrenditio WHERE restore = $1) rows
                 GROUP BY resid) files)
         WHERE uri = $1",
    )
    .bind(store)
    .execute(pool)
    .await
    .map_err(LabError::db("count a store's files"))
    .map(drop)
}
