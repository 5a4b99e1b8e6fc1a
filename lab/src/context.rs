//! The tools a fault is planted with. Each notes how to take its step back before it does it.

use crate::config::{self, ConfigEdit};
use crate::control::{self, Switch};
use crate::database;
use crate::error::LabError;
use crate::handle::LabHandle;
use crate::index::{self, IndexEdit};
use crate::journal::{self, Planted, Undo};
use crate::layout::{Folders, write_atomically};
use crate::redis;
use crate::store;
use crate::undo::recount;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgPool, Row as _};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Rows that faults add have keys from here on: the lab's own never get there.
const FAULT_KEYS: i64 = 9_000_000_000;
/// Keys for one fault.
const KEYS_PER_FAULT: i64 = 100_000_000;

/// Sessions report what they did at most this much later.
const STATISTICS_BOUND: Duration = Duration::from_secs(30);

/// A document in a store, chosen as a victim.
#[derive(Debug, Clone)]
pub struct Victim {
    /// Its record.
    pub uri: i64,
    /// Its id in the store.
    pub resid: String,
    /// Its store.
    pub store: i64,
    /// Its recorded size.
    pub bytes: i64,
    /// Its recorded hash.
    pub hash: String,
    /// Its file.
    pub path: PathBuf,
}

/// What planting a fault works with.
pub struct FaultContext<'a> {
    handle: &'a LabHandle,
    name: String,
    planted: Planted,
    /// The fault is about neglected tables: they are left untidy.
    untidy: bool,
}

impl<'a> FaultContext<'a> {
    pub(crate) fn begin(handle: &'a LabHandle, name: &str) -> Result<Self, LabError> {
        let planted = Planted { since: (handle.clock())(), complete: false, undo: Vec::new() };
        journal::write(handle.folders(), name, Some(&planted))?;
        Ok(Self { handle, name: name.to_owned(), planted, untidy: false })
    }

    /// For a refresh: further steps are added to the journal of the first time.
    pub(crate) fn again(handle: &'a LabHandle, name: &str, planted: Planted) -> Self {
        Self { handle, name: name.to_owned(), planted, untidy: false }
    }

    /// Tidies up after the database's changes and marks the fault as complete.
    pub(crate) async fn finish(mut self) -> Result<(), LabError> {
        if !self.untidy {
            let touched: BTreeSet<&str> = self.planted.undo.iter().filter_map(crate::undo::touched).collect();
            if !touched.is_empty() {
                database::vacuum(self.db().await?, &touched.into_iter().collect::<Vec<_>>()).await?;
            }
        }
        self.planted.complete = true;
        journal::write(self.handle.folders(), &self.name, Some(&self.planted))
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        (self.handle.clock())()
    }

    /// Where everything lies.
    pub fn folders(&self) -> &Folders {
        self.handle.folders()
    }

    /// The dataset. Changes made here directly need their own [`Self::undo_sql`] first.
    pub async fn db(&self) -> Result<&'a PgPool, LabError> {
        self.handle.dataset().await
    }

    /// The first key for rows that this fault adds.
    pub fn keys(&self) -> i64 {
        let place = crate::faults::faults().iter().position(|fault| fault.name == self.name).unwrap_or(0);
        FAULT_KEYS + place as i64 * KEYS_PER_FAULT
    }

    /// How many records the lab has.
    pub fn records(&self) -> i64 {
        self.handle.manifest().records
    }

    /// How many documents the lab has.
    pub fn documents(&self) -> i64 {
        let manifest = self.handle.manifest();
        crate::options::Volume { records: manifest.records, files: manifest.files }.documents()
    }

    /// Leaves the tables without vacuum and statistics: for faults that are about just that.
    pub fn leave_untidy(&mut self) {
        self.untidy = true;
    }

    fn note(&mut self, undo: Undo) -> Result<(), LabError> {
        if !self.planted.undo.contains(&undo) {
            self.planted.undo.push(undo);
            journal::write(self.handle.folders(), &self.name, Some(&self.planted))?;
        }
        Ok(())
    }

    fn note_rows(&mut self, rows: &[Value]) -> Result<PathBuf, LabError> {
        let file = self.folders().fault(&self.name).join(format!("rows-{}.json", self.planted.undo.len()));
        let bytes = serde_json::to_vec(rows).map_err(|source| LabError::Damaged { path: file.clone(), source })?;
        write_atomically(&file, &bytes, 0o600)?;
        Ok(file)
    }

    /// Changes columns of the rows that `condition` picks; `set` is the list of an UPDATE of the table as `t`.
    /// Returns how many rows there are.
    pub async fn change(
        &mut self,
        (table, key): (&str, &str),
        columns: &[&str],
        condition: &str,
        set: &str,
    ) -> Result<usize, LabError> {
        let list = columns.join(", ");
        let select = format!("SELECT to_jsonb(x) FROM (SELECT {key}, {list} FROM {table} WHERE {condition}) x");
        let rows = self.rows(&select).await?;
        let file = self.note_rows(&rows)?;
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        self.note(Undo::Columns { table: table.to_owned(), key: key.to_owned(), columns, rows: file })?;
        let update = format!(
            "UPDATE {table} t SET {set} FROM jsonb_populate_recordset(NULL::{table}, $1) b WHERE t.{key} = b.{key}"
        );
        let query = sqlx::query(&update).bind(Value::from(rows.clone()));
        query.execute(self.db().await?).await.map_err(LabError::db("change rows for a fault"))?;
        Ok(rows.len())
    }

    /// Deletes the rows that `condition` picks.
    pub async fn delete(&mut self, (table, key): (&str, &str), condition: &str) -> Result<usize, LabError> {
        let rows = self.rows(&format!("SELECT to_jsonb(x) FROM {table} x WHERE {condition}")).await?;
        let file = self.note_rows(&rows)?;
        self.note(Undo::Deleted { table: table.to_owned(), key: key.to_owned(), rows: file })?;
        let delete = format!(
            "DELETE FROM {table} t USING jsonb_populate_recordset(NULL::{table}, $1) b WHERE t.{key} = b.{key}"
        );
        let query = sqlx::query(&delete).bind(Value::from(rows.clone()));
        query.execute(self.db().await?).await.map_err(LabError::db("delete rows for a fault"))?;
        Ok(rows.len())
    }

    /// Inserts rows with keys from [`Self::keys`] on, at most `count`: the statement has the first key as `$1`, the
    /// number of rows as `$2` and the time as `$3`.
    pub async fn insert(&mut self, (table, key): (&str, &str), count: i64, statement: &str) -> Result<(), LabError> {
        let from = self.keys();
        self.note(Undo::Inserted { table: table.to_owned(), key: key.to_owned(), from, to: from + count })?;
        sqlx::query(&format!("WITH given AS (SELECT $1::bigint, $2::bigint, $3::timestamptz) {statement}"))
            .bind(from)
            .bind(count)
            .bind(self.now())
            .execute(self.db().await?)
            .await
            .map_err(LabError::db("insert rows for a fault"))
            .map(drop)
    }

    async fn rows(&self, select: &str) -> Result<Vec<Value>, LabError> {
        let query = sqlx::query_scalar(select).fetch_all(self.db().await?);
        query.await.map_err(LabError::db("read rows for a fault"))
    }

    /// Notes the statement that will undo what is done next to the database.
    pub fn undo_sql(&mut self, statement: impl Into<String>) -> Result<(), LabError> {
        self.note(Undo::Sql { statement: statement.into() })
    }

    /// Has the table vacuumed when the fault is mended.
    pub fn undo_vacuum(&mut self, table: &str) -> Result<(), LabError> {
        self.note(Undo::Vacuum { table: table.to_owned() })
    }

    /// Has a store's counters made right again at the very end of mending, when the fault's rows are gone. To be asked
    /// for before the fault adds rows; [`Self::recount_now`] follows when they are there.
    pub fn recount(&mut self, store: i64) -> Result<(), LabError> {
        self.note(Undo::Recount { store })
    }

    /// Makes a store's counters right for the rows that there are now.
    pub async fn recount_now(&self, store: i64) -> Result<(), LabError> {
        recount(self.db().await?, store).await
    }

    /// Switches autovacuum off for a table, until the fault is mended.
    pub async fn without_autovacuum(&mut self, table: &str) -> Result<(), LabError> {
        self.undo_vacuum(table)?;
        self.undo_sql(format!("ALTER TABLE {table} RESET (autovacuum_enabled)"))?;
        sqlx::query(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)"))
            .execute(self.db().await?)
            .await
            .map_err(LabError::db("switch autovacuum off for a table"))
            .map(drop)
    }

    /// Waits until the server's counters of a table show what was done: sessions report with a delay.
    pub async fn wait_for_statistics(&self, table: &str, condition: &str) -> Result<(), LabError> {
        if self.statistics_show(table, condition, STATISTICS_BOUND).await? {
            return Ok(());
        }
        Err(LabError::Options(format!("the server's statistics of {table} do not show the fault: {condition}")))
    }

    /// Whether the server's counters of a table show a condition on `pg_stat_user_tables`, or do so within a time.
    pub async fn statistics_show(&self, table: &str, condition: &str, within: Duration) -> Result<bool, LabError> {
        let statement = format!("SELECT {condition} FROM pg_stat_user_tables WHERE relname = $1");
        let deadline = Instant::now() + within;
        loop {
            let shows: Option<bool> = sqlx::query_scalar(&statement)
                .bind(table)
                .fetch_one(self.db().await?)
                .await
                .map_err(LabError::db("read its statistics"))?;
            if shows == Some(true) || Instant::now() >= deadline {
                return Ok(shows == Some(true));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Documents of the first store, from the `skip`-th on.
    pub async fn victims(&self, skip: i64, count: i64) -> Result<Vec<Victim>, LabError> {
        let rows = sqlx::query(
            "SELECT uri, resid, restore, rebytes, rehash FROM tsrecelec
             WHERE restore = 1 AND rehash IS NOT NULL ORDER BY uri OFFSET $1 LIMIT $2",
        )
        .bind(skip)
        .bind(count)
        .fetch_all(self.db().await?)
        .await
        .map_err(LabError::db("choose documents for a fault"))?;
        let mut victims = Vec::new();
        for row in rows {
            let resid: String = row.get("resid");
            let store: i64 = row.get("restore");
            let path = self.find_file(store, &resid)?;
            let (uri, bytes, hash) = (row.get("uri"), row.get("rebytes"), row.get("rehash"));
            victims.push(Victim { uri, resid, store, bytes, hash, path });
        }
        Ok(victims)
    }

    fn find_file(&self, store: i64, resid: &str) -> Result<PathBuf, LabError> {
        let root = self.folders().store(store);
        let folders = std::fs::read_dir(&root).map_err(LabError::io("list", &root))?;
        let mut candidates = folders.flatten().map(|folder| folder.path().join(resid));
        let missing =
            || LabError::Options(format!("the file {resid} is not in store {store}: is it part of another fault?"));
        candidates.find(|path| path.exists()).ok_or_else(missing)
    }

    /// Puts a file aside.
    pub fn stash(&mut self, path: &Path) -> Result<(), LabError> {
        let number = self.planted.undo.len();
        let stash = self.folders().fault(&self.name).join("files").join(number.to_string());
        if let Some(folder) = stash.parent() {
            std::fs::create_dir_all(folder).map_err(LabError::io("create", folder))?;
        }
        self.note(Undo::Stashed { path: path.to_owned(), stash: stash.clone() })?;
        std::fs::rename(path, &stash).map_err(LabError::io("move", path))
    }

    /// Makes a file that was not there, or is put aside.
    pub fn create(&mut self, path: &Path, bytes: &[u8], mode: u32, changed: SystemTime) -> Result<(), LabError> {
        self.note(Undo::Created { path: path.to_owned() })?;
        store::write_file(path, bytes, mode, changed)
    }

    /// Makes many files at once, noted together.
    pub fn create_all(&mut self, files: &[(PathBuf, String)], mode: u32, changed: SystemTime) -> Result<(), LabError> {
        self.planted.undo.extend(files.iter().map(|(path, _)| Undo::Created { path: path.clone() }));
        journal::write(self.handle.folders(), &self.name, Some(&self.planted))?;
        files.iter().try_for_each(|(path, text)| store::write_file(path, text.as_bytes(), mode, changed))
    }

    /// Changes the mode of a folder.
    pub fn chmod(&mut self, path: &Path, mode: u32) -> Result<(), LabError> {
        let before = std::fs::metadata(path).map_err(LabError::io("look at", path))?.permissions().mode() & 0o7777;
        self.note(Undo::Mode { path: path.to_owned(), mode: before })?;
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).map_err(LabError::io("change the mode of", path))
    }

    /// Has the process that keeps the lab up behave differently; returns when it does.
    pub async fn switch(&mut self, switches: Vec<Switch>) -> Result<(), LabError> {
        self.note(Undo::Switches)?;
        control::set_switches(self.handle.folders(), &self.name, switches).await
    }

    /// Edits the configuration files.
    pub fn configure(&mut self, edits: Vec<ConfigEdit>) -> Result<(), LabError> {
        self.note(Undo::Config)?;
        config::set_edits(self.handle.folders(), self.handle.seed(), &self.name, edits)
    }

    /// Changes the double of the content index.
    pub fn edit_index(&mut self, edit: &IndexEdit, undo: IndexEdit) -> Result<(), LabError> {
        self.note(Undo::Index { edit: undo })?;
        index::with(self.folders(), |state| state.edit(edit))
    }

    /// Sets a setting of the cache.
    pub async fn set_redis(&mut self, name: &str, value: &str) -> Result<(), LabError> {
        let before = redis::get_setting(self.folders(), name).await?;
        self.note(Undo::Redis { name: name.to_owned(), value: before })?;
        redis::set_setting(self.folders(), name, value).await
    }
}
