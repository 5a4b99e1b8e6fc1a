//! `view_daily_findings`: what is remembered of findings, for the events that do not repeat it.

use super::VERSION;
use crate::table::{Columns as _, Existing, Loading, Table, Weighed, columns, select_list};
use chrono::{DateTime, Utc};
use domain::finding::Sighting;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::sync::LazyLock;
use uuid::Uuid;

/// One row of `view_daily_findings`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct FindingRow {
    pub finding_id: Uuid,
    pub deployment_id: Uuid,
    pub check_code: String,
    pub severity: String,
    pub open: bool,
    pub suspected_at: Option<DateTime<Utc>>,
    pub last_position: i64,
}

impl FindingRow {
    /// It is a problem from now on; returns how many seconds that took from the first bad measurement.
    pub fn open(&mut self, sighting: &Sighting, at: DateTime<Utc>) -> i64 {
        sighting.outcome.as_str().clone_into(&mut self.severity);
        self.open = true;
        let first_bad = self.suspected_at.take().unwrap_or(sighting.measured_at);
        (at - first_bad).num_seconds().max(0)
    }
}

impl Weighed for FindingRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 64
    }
}

/// The table.
pub struct FindingTable;

columns! {
    "view_daily_findings" existing Existing::Replaced(&["finding_id"]); row: FindingRow {
        finding_id "uuid" = row.finding_id;
        deployment_id "uuid" = row.deployment_id;
        check_code "text" = row.check_code.as_str();
        severity "text" = row.severity.as_str();
        open "boolean" = row.open;
        suspected_at "timestamptz" = row.suspected_at;
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

impl Table for FindingTable {
    type Key = Uuid;
    type Row = FindingRow;
    const NAME: &'static str = "view_daily_findings";

    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Uuid]) -> Loading<'a, Uuid, FindingRow> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!("SELECT {} FROM view_daily_findings WHERE finding_id = ANY($1)", select_list(COLUMNS))
        });
        Box::pin(async move {
            let rows = sqlx::query_as::<_, FindingRow>(&SQL).bind(keys).fetch_all(db).await?;
            Ok(rows.into_iter().map(|row| (row.finding_id, row)).collect())
        })
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a FindingRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }

    fn add<'a>(db: &'a mut PgConnection, rows: &'a [&'a FindingRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        TheColumns::add(db, rows)
    }
}
