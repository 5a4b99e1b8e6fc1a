//! `view_deployment_findings`: what the health of deployments rests on, finding by finding.

use super::VERSION;
use crate::decoded::Decoded;
use crate::projection::ApplyError;
use crate::table::{Columns as _, Existing, Loading, Table, Weighed, columns, select_list};
use chrono::{DateTime, Utc};
use domain::Outcome;
use domain::finding::FindingEvent;
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::sync::LazyLock;
use uuid::Uuid;

/// One row of `view_deployment_findings`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct FindingRow {
    pub finding_id: Uuid,
    pub deployment_id: Uuid,
    severity: String,
    open: bool,
    false_positive: bool,
    muted_until: Option<DateTime<Utc>>,
    last_position: i64,
}

/// What an open finding counts as for its deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountsAs {
    Critical,
    Warning,
    Muted,
}

impl FindingRow {
    /// Nothing unless it is open. A mute counts until an event ends it; queries add what has run out since.
    pub fn counts_as(&self) -> Option<CountsAs> {
        if !self.open || self.false_positive {
            None
        } else if self.muted_until.is_some() {
            Some(CountsAs::Muted)
        } else if self.severity == Outcome::Critical.as_str() {
            Some(CountsAs::Critical)
        } else {
            Some(CountsAs::Warning)
        }
    }

    fn open(&mut self, severity: Outcome) {
        severity.as_str().clone_into(&mut self.severity);
        self.open = true;
    }
}

impl Weighed for FindingRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 64
    }
}

pub fn fold(row: &mut Option<FindingRow>, finding: &FindingEvent, event: &Decoded) -> Result<(), ApplyError> {
    if let FindingEvent::FindingSuspected { fingerprint, sighting, .. }
    | FindingEvent::FindingOpened { fingerprint, sighting, .. } = finding
    {
        row.get_or_insert_with(|| FindingRow {
            finding_id: event.id,
            deployment_id: fingerprint.deployment.0,
            severity: sighting.outcome.as_str().to_owned(),
            open: false,
            false_positive: false,
            muted_until: None,
            last_position: 0,
        });
    }
    let row = row.as_mut().ok_or_else(|| ApplyError::no_row(event))?;
    row.last_position = event.position.0;
    match finding {
        FindingEvent::FindingOpened { sighting, .. } | FindingEvent::FindingRegressed { sighting, .. } => {
            row.open(sighting.outcome);
        }
        FindingEvent::FindingSuspected { sighting, .. } => {
            sighting.outcome.as_str().clone_into(&mut row.severity);
            row.open = false;
        }
        FindingEvent::FindingSeverityChanged { to, .. } => to.as_str().clone_into(&mut row.severity),
        FindingEvent::FindingMuted { until, .. } => row.muted_until = Some(*until),
        FindingEvent::FindingUnmuted { .. } => row.muted_until = None,
        FindingEvent::FindingMarkedFalsePositive { .. } => row.false_positive = true,
        FindingEvent::FindingFalsePositiveWithdrawn { .. } => row.false_positive = false,
        FindingEvent::FindingResolved { .. } => row.open = false,
        FindingEvent::FindingSeenAgain { .. }
        | FindingEvent::FindingRecovering { .. }
        | FindingEvent::FindingAcknowledged { .. }
        | FindingEvent::FindingFlappingStarted { .. }
        | FindingEvent::FindingFlappingStopped { .. } => {}
    }
    Ok(())
}

/// The table.
pub struct FindingTable;

columns! {
    "view_deployment_findings" existing Existing::Replaced(&["finding_id"]); row: FindingRow {
        finding_id "uuid" = row.finding_id;
        deployment_id "uuid" = row.deployment_id;
        severity "text" = row.severity.as_str();
        open "boolean" = row.open;
        false_positive "boolean" = row.false_positive;
        muted_until "timestamptz" = row.muted_until;
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

impl Table for FindingTable {
    type Key = Uuid;
    type Row = FindingRow;
    const NAME: &'static str = "view_deployment_findings";

    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Uuid]) -> Loading<'a, Uuid, FindingRow> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!("SELECT {} FROM view_deployment_findings WHERE finding_id = ANY($1)", select_list(COLUMNS))
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
