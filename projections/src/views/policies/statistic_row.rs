//! `view_policy_statistics`: successes and failures of a runbook, and whether it may run by itself.

use super::VERSION;
use crate::decoded::Decoded;
use crate::table::{Existing, Loading, Table, Weighed, clean, columns, select_list};
use chrono::{DateTime, Utc};
use domain::AnyEvent;
use domain::policy::{PolicyEvent, Posterior, Share, StatisticsKey};
use futures::future::BoxFuture;
use sqlx::PgConnection;
use std::sync::LazyLock;
use uuid::Uuid;

/// What an event says of a runbook.
pub(super) struct Learned<'a> {
    pub key: &'a StatisticsKey,
    posterior: Posterior,
    right: Option<(bool, Share, Option<&'a str>)>,
    at: DateTime<Utc>,
}

/// What an event says of a runbook, where it does.
pub(super) fn learned(event: &Decoded) -> Option<Learned<'_>> {
    let Some(AnyEvent::Policy(told)) = &event.event else { return None };
    let (key, posterior, right, at) = match told {
        PolicyEvent::ReservationReleased { counted: Some(counted), at, .. } => {
            (&counted.key, counted.posterior, None, *at)
        }
        PolicyEvent::SettlementCorrected { key, posterior, at, .. } => (key, *posterior, None, *at),
        PolicyEvent::AutomaticRightGained { key, posterior, lower_bound, at } => {
            (key, *posterior, Some((true, *lower_bound, None)), *at)
        }
        PolicyEvent::AutomaticRightLost { key, posterior, lower_bound, reason, at } => {
            (key, *posterior, Some((false, *lower_bound, Some(reason.as_str()))), *at)
        }
        _ => return None,
    };
    Some(Learned { key, posterior, right, at })
}

/// One row of `view_policy_statistics`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct StatisticRow {
    id: Uuid,
    policy_id: Uuid,
    tenant: String,
    runbook: String,
    runbook_version: String,
    check_code: String,
    check_version: String,
    successes: i32,
    failures: i32,
    automatic: Option<bool>,
    lower_bound: Option<f64>,
    reason: Option<String>,
    changed_at: DateTime<Utc>,
    last_position: i64,
}

pub(super) fn fold(row: &mut Option<StatisticRow>, id: Uuid, learned: &Learned<'_>, event: &Decoded) {
    let row = row.get_or_insert_with(|| StatisticRow {
        id,
        policy_id: event.id,
        tenant: event.metadata.tenant.to_string(),
        runbook: learned.key.runbook.to_string(),
        runbook_version: learned.key.runbook_version.clone(),
        check_code: learned.key.check.to_string(),
        check_version: learned.key.check_version.clone(),
        successes: 0,
        failures: 0,
        automatic: None,
        lower_bound: None,
        reason: None,
        changed_at: learned.at,
        last_position: 0,
    });
    row.successes = learned.posterior.successes as i32;
    row.failures = learned.posterior.failures as i32;
    row.changed_at = learned.at;
    row.last_position = event.position.0;
    if let Some((automatic, bound, reason)) = learned.right {
        row.automatic = Some(automatic);
        row.lower_bound = Some(bound.as_f64());
        row.reason = reason.map(clean);
    }
}

impl Weighed for StatisticRow {
    fn bytes(&self) -> usize {
        size_of::<Self>() + 192 + self.reason.as_ref().map_or(0, String::len)
    }
}

/// The table.
pub struct StatisticTable;

columns! {
    "view_policy_statistics" existing Existing::Replaced(&["id"]); row: StatisticRow {
        id "uuid" = row.id;
        policy_id "uuid" = row.policy_id;
        tenant "text" = row.tenant.as_str();
        runbook "text" = row.runbook.as_str();
        runbook_version "text" = row.runbook_version.as_str();
        check_code "text" = row.check_code.as_str();
        check_version "text" = row.check_version.as_str();
        successes "integer" = row.successes;
        failures "integer" = row.failures;
        automatic "boolean" = row.automatic;
        lower_bound "double precision" = row.lower_bound;
        reason "text" = row.reason.as_deref();
        changed_at "timestamptz" = row.changed_at;
        last_position "bigint" = row.last_position;
        projection_version "integer" = { let _ = row; VERSION };
    }
}

impl Table for StatisticTable {
    type Key = Uuid;
    type Row = StatisticRow;
    const NAME: &'static str = "view_policy_statistics";

    fn load<'a>(db: &'a mut PgConnection, keys: &'a [Uuid]) -> Loading<'a, Uuid, StatisticRow> {
        static SQL: LazyLock<String> =
            LazyLock::new(|| format!("SELECT {} FROM view_policy_statistics WHERE id = ANY($1)", select_list(COLUMNS)));
        Box::pin(async move {
            let rows = sqlx::query_as::<_, StatisticRow>(&SQL).bind(keys).fetch_all(db).await?;
            Ok(rows.into_iter().map(|row| (row.id, row)).collect())
        })
    }

    fn save<'a>(db: &'a mut PgConnection, rows: &'a [&'a StatisticRow]) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(save_rows(db, rows))
    }
}
